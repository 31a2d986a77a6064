//! Telling apps that a session has ended: the logout token (OIDC Back-Channel Logout 1.0 §2.4), where it is sent, and what a
//! receipt says of it. Protocol §9.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Host, Url};

use crate::crypto::Random;
use crate::id::{SessionId, TokenId};
use crate::jose::{self, Kind};
use crate::keyring::SigningKey;
use crate::oidc::Subject;
use crate::time::Timestamp;

/// How long a logout token is good for (protocol §15). Each attempt gets a fresh one.
pub const LIFETIME: Duration = Duration::from_mins(2);

/// After so long an app that could not be told is a matter for people.
pub const GIVE_UP: Duration = Duration::from_hours(24);

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a logout token says.
#[derive(Debug, Clone, Copy)]
pub struct LogoutToken<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the app that is told.
    pub client_id: &'a str,
    /// `sub`: the person, as the app knows them.
    pub subject: Subject,
    /// `sid`: which session.
    pub session_id: SessionId,
    /// `iat`; `exp` is [`LIFETIME`] later.
    pub issued_at: Timestamp,
}

impl LogoutToken<'_> {
    /// Signed, with a `jti` of its own, and without a `nonce`, so that no ID token can be taken for it (§2.4).
    pub fn mint(&self, key: &SigningKey, random: &mut dyn Random) -> String {
        let claims = Claims {
            iss: self.issuer,
            aud: self.client_id,
            iat: self.issued_at.as_seconds(),
            exp: (self.issued_at + LIFETIME).as_seconds(),
            jti: TokenId::mint(random),
            sub: self.subject,
            sid: self.session_id,
            events: json!({ EVENT: {} }),
        };
        jose::sign(key, Kind::LogoutToken, &claims)
    }
}

#[derive(Serialize)]
struct Claims<'c> {
    iss: &'c str,
    aud: &'c str,
    iat: i64,
    exp: i64,
    jti: TokenId,
    sub: Subject,
    sid: SessionId,
    events: Value,
}

/// Where an app hears of it: `https`, or `http` at a loopback address. At most 1,024 characters, no user information, no fragment (§2.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogoutUrl(Box<str>);

/// Why a text is no [`LogoutUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address such as https://pos.company.com/backchannel-logout, without user name and fragment")]
pub struct InvalidLogoutUrl;

impl LogoutUrl {
    /// The address, as a URL parser writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogoutUrl {
    type Err = InvalidLogoutUrl;

    fn from_str(text: &str) -> Result<Self, InvalidLogoutUrl> {
        let url = Url::parse(text).map_err(|_| InvalidLogoutUrl)?;
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(_)) | None => false,
        };
        let secure = url.scheme() == "https" || (url.scheme() == "http" && loopback);
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        // What is written down is what everybody reads: a text that the parser would change is refused.
        if secure && plain && url.has_host() && url.as_str() == text && text.len() <= 1024 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidLogoutUrl)
        }
    }
}

impl fmt::Display for LogoutUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for LogoutUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for LogoutUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LogoutUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a receipt says of one app, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// It has taken note; or it has no address for that and hears of it at its next question, which is answered "nobody".
    SignedOut,
    /// It keeps a session of its own, as OIDC clients do, and has no address to be told at: nobody here knows when that session ends.
    Untold,
    /// It has not answered yet, and is tried again.
    Retrying,
    /// It was tried for a day.
    Unreachable,
}

impl Told {
    /// As commands print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed out",
            Self::Untold => "not told",
            Self::Retrying => "retrying",
            Self::Unreachable => "unreachable",
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::crypto::tests::Seeded;
    use crate::crypto::{Algorithm, PrivateKey};
    use crate::id::{KeyId, UserId};
    use crate::keyring::{KeyPolicy, Keyring, Purpose};

    #[test]
    fn a_logout_token_is_what_the_standard_says() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let policy = KeyPolicy::default();
        let private = PrivateKey::generate(Algorithm::EdDsa);
        let kid = KeyId::mint(&mut Seeded(1));
        let ring = Keyring::new(Vec::new());
        let key = ring.rotate(Purpose::Token, kid, private, Duration::ZERO, &policy, now).successor;
        let (user_id, session_id) = (UserId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let subject = Subject::Public(user_id);
        let token =
            LogoutToken { issuer: "https://auth.company.com", client_id: "pos", subject, session_id, issued_at: now };
        let token = token.mint(&key, &mut Seeded(2));
        assert_eq!(jose::kind_of(&token), Some(Kind::LogoutToken));
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64url");
        let claims: Value = serde_json::from_slice(&claims).expect("JSON");
        let jti = claims["jti"].as_str().expect("a name").to_owned();
        let expected = json!({
            "iss": "https://auth.company.com", "aud": "pos", "iat": 1_800_000_000, "exp": 1_800_000_120, "jti": jti,
            "sub": user_id, "sid": session_id, "events": { EVENT: {} },
        });
        assert_eq!(claims, expected, "and no nonce");
    }

    #[test]
    fn an_address_is_https_or_loopback_and_plain() {
        for good in [
            "https://pos.company.com/logout",
            "https://pos.company.com:8443/a?b=c",
            "http://127.0.0.1:9/x",
            "http://[::1]/",
        ] {
            assert!(good.parse::<LogoutUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://pos.company.com/logout",
            "http://localhost/x",
            "https://pos.company.com",
            "https://user@pos.company.com/",
            "https://pos.company.com/#x",
            "https://POS.company.com/",
            "https://pos.company.com/a/../b",
            "https://pos.company.com:443/",
            "ftp://pos.company.com/",
            "javascript:alert(1)",
            &format!("https://pos.company.com/{}", "x".repeat(1024)),
        ] {
            assert!(bad.parse::<LogoutUrl>().is_err(), "{bad}");
        }
    }
}
