//! The access token of an app that calls a service in its own name: a JWT (RFC 9068) whose subject is the client (RFC 6749 §4.4, RFC 9068 §2.2).
//!
//! It stands for no person and no session, and says so by having neither `sid` nor `scope`: what a request token (`token.rs`) must have. So neither
//! is ever read as the other.

use serde::{Deserialize, Serialize};

use super::access_token::lifetime;
use super::{Confirmation, TOKEN_LIFETIME, there};
use crate::crypto::Random;
use crate::id::{AppKey, Audience, TokenId, UserId};
use crate::jose::{self, Buffer, Kind, Refused};
use crate::jwk::Thumbprint;
use crate::keyring::{Keyring, SigningKey};
use crate::time::Timestamp;

/// What it says.
#[derive(Debug, Clone, Copy)]
pub struct ClientToken<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the one service that may accept it.
    pub audience: &'a Audience,
    /// `client_id`, and `sub`.
    pub app: &'a AppKey,
    /// `iat`; `exp` is [`TOKEN_LIFETIME`] later.
    pub issued_at: Timestamp,
    /// `cnf`: the key that whoever uses it must hold, if it is bound to one (RFC 9449 §6).
    pub key: Option<Thumbprint>,
}

/// The app is called like a user: a service that looks at `sub` alone would take it for that person (RFC 9068 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an app key that reads like a user id")]
pub struct LooksLikeUser;

impl ClientToken<'_> {
    /// Signed, with a `jti` of its own.
    pub fn mint(&self, key: &SigningKey, random: &mut dyn Random) -> Result<String, LooksLikeUser> {
        let app = self.app.as_str();
        if app.starts_with(UserId::PREFIX) {
            return Err(LooksLikeUser);
        }
        let claims = Claims {
            iss: self.issuer,
            sub: app,
            aud: self.audience.as_str(),
            client_id: app,
            iat: self.issued_at.as_seconds(),
            exp: (self.issued_at + TOKEN_LIFETIME).as_seconds(),
            jti: TokenId::mint(random),
            cnf: Confirmation::of(self.key),
        };
        Ok(jose::sign(key, Kind::AccessToken, &claims))
    }
}

/// A token of this kind whose signature, issuer, audience and times were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClientToken {
    /// The service it is for.
    pub audience: String,
    /// The app that it stands for.
    pub app: AppKey,
    /// Names it.
    pub id: TokenId,
    /// When it was minted, to the second.
    pub issued_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Timestamp,
    /// The key that whoever presents it must prove to hold, if it is bound to one.
    pub key: Option<Thumbprint>,
}

/// Everything that can be known from one that the service shows which `is_meant` knows (advisory T33).
pub fn verify(
    token: &str,
    keyring: &Keyring,
    issuer: &str,
    now: Timestamp,
    is_meant: impl Fn(&str) -> bool,
) -> Result<VerifiedClientToken, Refused> {
    let mut buffer = Buffer::default();
    let (claims, _): (Claims<'_>, _) = jose::verify(token, Kind::AccessToken, keyring, now, &mut buffer)?;
    if claims.iss != issuer {
        return Err(Refused::WrongIssuer);
    }
    if !is_meant(claims.aud) {
        return Err(Refused::WrongAudience);
    }
    if claims.sub != claims.client_id {
        return Err(Refused::Malformed);
    }
    let (issued_at, expires_at) = lifetime(claims.iat, claims.exp, now)?;
    Ok(VerifiedClientToken {
        audience: claims.aud.to_owned(),
        app: claims.client_id.parse().map_err(|_| Refused::Malformed)?,
        id: claims.jti,
        issued_at,
        expires_at,
        key: claims.cnf.map(|cnf| cnf.jkt),
    })
}

/// RFC 9068 §2.2, all required, nothing else but `cnf`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'c> {
    iss: &'c str,
    sub: &'c str,
    aud: &'c str,
    client_id: &'c str,
    iat: i64,
    exp: i64,
    jti: TokenId,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    cnf: Option<Confirmation>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Algorithm;
    use crate::crypto::tests::Seeded;
    use crate::keyring::Purpose;
    use crate::keyring::tests::keyring;
    use crate::{oidc, token};

    const ISSUER: &str = "https://auth.company.com";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn minted(ring: &Keyring, app: &str, audience: &Audience) -> Result<String, LooksLikeUser> {
        let app: AppKey = app.parse().expect("a key");
        let token = ClientToken { issuer: ISSUER, audience, app: &app, issued_at: NOW, key: None };
        token.mint(&ring.keys()[0], &mut Seeded(1))
    }

    /// Whoever takes tokens of people takes none of these, even if both are for the same door.
    #[test]
    fn it_is_never_taken_for_a_token_of_a_person() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        for audience in ["stock", ISSUER] {
            let audience: Audience = audience.parse().expect("an audience");
            let text = minted(&ring, "pos", &audience).expect("minted");
            let own = std::slice::from_ref(&audience);
            assert_eq!(token::verify(&text, &ring, ISSUER, own, NOW), Err(Refused::Malformed));
            assert_eq!(oidc::verify_access_token(&text, &ring, ISSUER, NOW), Err(Refused::Malformed));
        }
    }

    /// T28, T29, T33: each claim left out, of another type, or of another value.
    #[test]
    fn its_service_reads_it_back_and_nobody_else_and_every_claim_counts() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let text = minted(&ring, "pos", &"stock".parse().expect("an audience")).expect("minted");
        let read = |issuer, meant: &str, now| verify(&text, &ring, issuer, now, |audience| audience == meant);
        let end = NOW + TOKEN_LIFETIME;
        let found = read(ISSUER, "stock", end - std::time::Duration::from_millis(1)).expect("good");
        assert_eq!((found.app.as_str(), &*found.audience, found.expires_at), ("pos", "stock", end));
        assert_eq!(read(ISSUER, "billing", NOW), Err(Refused::WrongAudience));
        assert_eq!(read("https://evil.com", "stock", NOW), Err(Refused::WrongIssuer));
        assert_eq!(read(ISSUER, "stock", end), Err(Refused::Expired));

        let seconds = NOW.as_seconds();
        let good = serde_json::json!({
            "iss": ISSUER, "sub": "pos", "aud": "stock", "client_id": "pos", "iat": seconds, "exp": seconds + 300,
            "jti": TokenId::mint(&mut Seeded(2)),
        });
        let outcome = |kind, claims: &serde_json::Value| {
            let text = jose::sign(&ring.keys()[0], kind, claims);
            verify(&text, &ring, ISSUER, NOW, |audience| audience == "stock")
        };
        assert!(outcome(Kind::AccessToken, &good).is_ok());
        for name in good.as_object().expect("an object").keys() {
            let mut bad = good.clone();
            bad.as_object_mut().expect("an object").remove(name);
            assert_eq!(outcome(Kind::AccessToken, &bad), Err(Refused::Malformed), "{name}");
            for value in [serde_json::json!(null), serde_json::json!([]), serde_json::json!("other")] {
                bad[name] = value;
                assert!(outcome(Kind::AccessToken, &bad).is_err(), "{bad}");
            }
        }
        for (name, value) in [("sid", serde_json::json!("x")), ("exp", serde_json::json!(seconds + 301))] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(outcome(Kind::AccessToken, &bad).is_err(), "{bad}");
        }
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::AccessToken) {
            assert!(outcome(kind, &good).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn an_app_that_is_called_like_a_user_gets_none() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let audience: Audience = "stock".parse().expect("an audience");
        let user = UserId::mint(&mut Seeded(1)).to_string();
        for (app, minted_for) in [("pos", true), ("u", true), (&*user, false), ("u_x", false)] {
            assert_eq!(minted(&ring, app, &audience).is_ok(), minted_for, "{app}");
        }
    }
}
