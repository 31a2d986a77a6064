//! The access token of an app that calls a service in its own name: a JWT (RFC 9068) whose subject is the client (RFC 6749 §4.4, RFC 9068 §2.2).
//!
//! It stands for no person and no session, and says so by having neither `sid` nor `scope`: what a request token (`token.rs`) must have. So neither
//! is ever read as the other.

use serde::Serialize;

use super::{Confirmation, TOKEN_LIFETIME};
use crate::crypto::Random;
use crate::id::{AppKey, Audience, TokenId, UserId};
use crate::jose::{self, Kind};
use crate::jwk::Thumbprint;
use crate::keyring::SigningKey;
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

/// RFC 9068 §2.2.
#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    sub: &'c str,
    aud: &'c str,
    client_id: &'c str,
    iat: i64,
    exp: i64,
    jti: TokenId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Algorithm;
    use crate::crypto::tests::Seeded;
    use crate::jose::Refused;
    use crate::keyring::tests::keyring;
    use crate::keyring::{Keyring, Purpose};
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
