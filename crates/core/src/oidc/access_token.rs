//! The access token of an OIDC client: a JWT (RFC 9068) for our own userinfo endpoint, or for the one service that it was asked for (RFC 8707). It
//! names its family, so that a revoked one is refused at once, however well it is signed.
//!
//! The same `typ` as a request token (`token.rs`), and never taken for one: each has a claim that the other refuses.

use serde::{Deserialize, Serialize};

use super::{Confirmation, Scope, Subject, TOKEN_LIFETIME, there};
use crate::crypto::Random;
use crate::id::{Audience, FamilyId, SessionId, TokenId};
use crate::jose::{self, Buffer, Kind, Refused};
use crate::jwk::Thumbprint;
use crate::keyring::{Keyring, SigningKey};
use crate::pass::CLOCK_LEEWAY;
use crate::time::Timestamp;

/// What an access token says.
#[derive(Debug, Clone, Copy)]
pub struct AccessToken<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the one service that may accept it; none for ourselves.
    pub audience: Option<&'a Audience>,
    /// `client_id`
    pub client_id: &'a str,
    /// `sub`: whom it stands for, as the client knows them.
    pub subject: Subject,
    /// `sid`
    pub session_id: SessionId,
    /// `fam`: what it is revoked with.
    pub family: FamilyId,
    /// `scope`
    pub scope: Scope,
    /// `iat`; `exp` is [`TOKEN_LIFETIME`] later.
    pub issued_at: Timestamp,
    /// `cnf`: the key that whoever uses it must hold, if it is bound to one (RFC 9449 §6).
    pub key: Option<Thumbprint>,
}

impl AccessToken<'_> {
    /// Signed, with a `jti` of its own.
    pub fn mint(&self, key: &SigningKey, random: &mut dyn Random) -> String {
        let claims = Claims {
            iss: self.issuer,
            sub: self.subject,
            aud: self.audience.map_or(self.issuer, Audience::as_str),
            client_id: self.client_id,
            iat: self.issued_at.as_seconds(),
            exp: (self.issued_at + TOKEN_LIFETIME).as_seconds(),
            jti: TokenId::mint(random),
            sid: self.session_id,
            fam: self.family,
            scope: &self.scope.to_string(),
            cnf: Confirmation::of(self.key),
        };
        jose::sign(key, Kind::AccessToken, &claims)
    }
}

/// An access token whose signature, issuer, audience and times were checked. Whether session and family live is for the caller to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAccessToken {
    /// Whom it is for: ourselves, or a service.
    pub audience: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// Whom it stands for, as the client knows them.
    pub subject: Subject,
    /// The session that it came of.
    pub session_id: SessionId,
    /// What it is revoked with.
    pub family: FamilyId,
    /// What it opens.
    pub scope: Scope,
    /// Names it.
    pub id: TokenId,
    /// When it was minted, to the second.
    pub issued_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Timestamp,
    /// The key that whoever presents it must prove to hold, if it is bound to one.
    pub key: Option<Thumbprint>,
}

/// Everything that can be known from an access token for our own endpoints. One for a service opens none of them.
pub fn verify(token: &str, keyring: &Keyring, issuer: &str, now: Timestamp) -> Result<VerifiedAccessToken, Refused> {
    verify_for(token, keyring, issuer, now, |audience| audience == issuer)
}

/// The same of one for whomever `is_meant` says: a service learns nothing about tokens meant for another (advisory T33).
pub fn verify_for(
    token: &str,
    keyring: &Keyring,
    issuer: &str,
    now: Timestamp,
    is_meant: impl Fn(&str) -> bool,
) -> Result<VerifiedAccessToken, Refused> {
    let mut buffer = Buffer::default();
    let (claims, _): (Claims<'_>, _) = jose::verify(token, Kind::AccessToken, keyring, now, &mut buffer)?;
    if claims.iss != issuer {
        return Err(Refused::WrongIssuer);
    }
    if !is_meant(claims.aud) {
        return Err(Refused::WrongAudience);
    }
    let (issued_at, expires_at) = lifetime(claims.iat, claims.exp, now)?;
    Ok(VerifiedAccessToken {
        audience: claims.aud.to_owned(),
        client_id: claims.client_id.to_owned(),
        subject: claims.sub,
        session_id: claims.sid,
        family: claims.fam,
        scope: claims.scope.parse().map_err(|_| Refused::Malformed)?,
        id: claims.jti,
        issued_at,
        expires_at,
        key: claims.cnf.map(|cnf| cnf.jkt),
    })
}

/// From when until when an access token of ours lives, if it lives at `now`. The same rule for people's and for apps' own.
pub(super) fn lifetime(iat: i64, exp: i64, now: Timestamp) -> Result<(Timestamp, Timestamp), Refused> {
    if iat < 0 || exp < iat {
        return Err(Refused::Malformed);
    }
    let (issued_at, expires_at) = (Timestamp::from_seconds(iat), Timestamp::from_seconds(exp));
    if expires_at.since(issued_at) > TOKEN_LIFETIME {
        return Err(Refused::LivesTooLong);
    }
    if now >= expires_at {
        return Err(Refused::Expired);
    }
    if issued_at > now + CLOCK_LEEWAY {
        return Err(Refused::NotYetValid);
    }
    Ok((issued_at, expires_at))
}

/// RFC 9068 §2.2, with `sid` and `fam`: all required, nothing else but `cnf`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'c> {
    iss: &'c str,
    sub: Subject,
    aud: &'c str,
    client_id: &'c str,
    iat: i64,
    exp: i64,
    jti: TokenId,
    sid: SessionId,
    fam: FamilyId,
    scope: &'c str,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    cnf: Option<Confirmation>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::Algorithm;
    use crate::crypto::tests::Seeded;
    use crate::id::UserId;
    use crate::keyring::Purpose;
    use crate::keyring::tests::keyring;
    use crate::token;

    const ISSUER: &str = "https://auth.company.com";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "sub": UserId::mint(&mut Seeded(1)), "aud": ISSUER, "client_id": "wiki",
            "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 300, "jti": TokenId::mint(&mut Seeded(2)),
            "sid": SessionId::mint(&mut Seeded(3)), "fam": FamilyId::mint(NOW, &mut Seeded(4)), "scope": "openid",
        })
    }

    fn outcome(ring: &Keyring, kind: Kind, claims: &Value, now: Timestamp) -> Result<VerifiedAccessToken, Refused> {
        verify(&jose::sign(&ring.keys()[0], kind, claims), ring, ISSUER, now)
    }

    #[test]
    fn what_was_minted_is_read_back_until_it_expires() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let minted = AccessToken {
            issuer: ISSUER,
            audience: None,
            client_id: "wiki",
            subject: Subject::Public(UserId::mint(&mut Seeded(1))),
            session_id: SessionId::mint(&mut Seeded(3)),
            family: FamilyId::mint(NOW, &mut Seeded(4)),
            scope: Scope { profile: true, email: false, offline_access: false },
            issued_at: NOW,
            key: Some(Thumbprint::from_bytes([7; 32])),
        };
        let token = minted.mint(&ring.keys()[0], &mut Seeded(9));
        let second = Duration::from_secs(1);
        let read = verify(&token, &ring, ISSUER, NOW + TOKEN_LIFETIME - second).expect("good");
        assert_eq!((&*read.client_id, read.subject, read.family), ("wiki", minted.subject, minted.family));
        assert_eq!((read.session_id, read.scope, read.key), (minted.session_id, minted.scope, minted.key));
        assert_eq!(verify(&token, &ring, ISSUER, NOW + TOKEN_LIFETIME), Err(Refused::Expired));
        assert_eq!(verify(&token, &ring, ISSUER, NOW - CLOCK_LEEWAY - second), Err(Refused::NotYetValid));
        assert_eq!(verify(&token, &ring, "https://evil.com", NOW), Err(Refused::WrongIssuer));
    }

    /// RFC 8707: what is for a service is for that service alone, and opens nothing of ours.
    #[test]
    fn one_for_a_service_is_for_nobody_else() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let mut for_stock = claims();
        for_stock["aud"] = json!("stock");
        let token = jose::sign(&ring.keys()[0], Kind::AccessToken, &for_stock);
        let read = |meant: &str| verify_for(&token, &ring, ISSUER, NOW, |audience| audience == meant);
        assert_eq!(read("stock").expect("theirs").audience, "stock");
        assert_eq!(read("billing"), Err(Refused::WrongAudience));
        assert_eq!(verify(&token, &ring, ISSUER, NOW), Err(Refused::WrongAudience));
        let stock = ["stock".parse().expect("an audience")];
        assert_eq!(token::verify(&token, &ring, ISSUER, &stock, NOW), Err(Refused::Malformed), "no request token");
    }

    /// T28, T29: each claim left out, of another type, or of another value.
    #[test]
    fn every_claim_is_needed_and_checked() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        assert!(outcome(&ring, Kind::AccessToken, &claims(), NOW).is_ok());
        let members: Vec<String> = claims().as_object().expect("an object").keys().cloned().collect();
        for member in &members {
            let mut without = claims();
            without.as_object_mut().expect("an object").remove(member);
            assert_eq!(outcome(&ring, Kind::AccessToken, &without, NOW), Err(Refused::Malformed), "{member}");
            for value in [Value::Null, json!([]), json!("x"), json!("1800000300"), json!(-1)] {
                let mut other = claims();
                other[member] = value.clone();
                assert!(
                    outcome(&ring, Kind::AccessToken, &other, NOW).is_err()
                        || (member == "client_id" && value.is_string()),
                    "{member} {value}"
                );
            }
        }
        // A binding that is not understood is not no binding.
        let jkt = Thumbprint::from_bytes([7; 32]).to_string();
        for (cnf, taken) in [
            (json!({ "jkt": jkt }), true),
            (json!(null), false),
            (json!({}), false),
            (json!({ "jkt": null }), false),
            (json!({ "jkt": "AAAA" }), false),
            (json!({ "x5t#S256": jkt }), false),
            (json!({ "jkt": jkt, "x5t#S256": jkt }), false),
        ] {
            let mut bound = claims();
            bound["cnf"] = cnf;
            assert_eq!(outcome(&ring, Kind::AccessToken, &bound, NOW).is_ok(), taken, "{bound}");
        }
        let mut long = claims();
        long["exp"] = json!(NOW.as_seconds() + 301);
        assert_eq!(outcome(&ring, Kind::AccessToken, &long, NOW), Err(Refused::LivesTooLong));
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::AccessToken && *kind != Kind::Pass) {
            assert_eq!(outcome(&ring, kind, &claims(), NOW), Err(Refused::WrongType), "{kind:?}");
        }
    }

    /// T15: two uses of one `typ`, even for a service that has our own address for a name.
    #[test]
    fn it_is_no_request_token_and_no_request_token_is_one() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let ours = jose::sign(&ring.keys()[0], Kind::AccessToken, &claims());
        let audience = [ISSUER.parse().expect("an audience")];
        assert_eq!(token::verify(&ours, &ring, ISSUER, &audience, NOW), Err(Refused::Malformed));
        let request = token::RequestToken {
            issuer: ISSUER,
            audience: &audience[0],
            app_key: &"wiki".parse().expect("a key"),
            user_id: UserId::mint(&mut Seeded(1)),
            session_id: SessionId::mint(&mut Seeded(3)),
            permissions: &["openid".parse().expect("a permission")],
            issued_at: NOW,
            key: None,
        };
        let request = request.mint(&ring.keys()[0], &mut Seeded(5)).expect("short");
        assert_eq!(verify(&request, &ring, ISSUER, NOW), Err(Refused::Malformed));
    }
}
