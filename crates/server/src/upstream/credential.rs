//! What shows to Kratos who somebody is, while it is with us: checked, never logged, sealed where it is stored. Protocol §10, §16.

use hallpass_core::crypto::{Random, Sealer};
use hallpass_core::id::SessionId;
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use super::kratos;

/// What begins every session token.
const TOKEN_PREFIX: &str = "ory_st_";

/// What shows to Kratos who somebody is: the value of its cookie, or a session token. No `Debug`: it is as good as a password.
pub enum Credential {
    /// The value of the cookie.
    Cookie(Zeroizing<String>),
    /// A token, of somebody without a browser.
    Token(Zeroizing<String>),
}

impl Credential {
    /// The value of a cookie, if it is one (RFC 6265 §4.1.1, "cookie-octet"): nothing that would be two cookies, or two headers.
    pub fn cookie(value: &str) -> Option<Self> {
        let octet = |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        let fits = !value.is_empty() && value.len() <= 4096 && value.bytes().all(octet);
        fits.then(|| Self::Cookie(value.to_owned().into()))
    }

    /// A session token, if it reads like one.
    pub fn token(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(TOKEN_PREFIX)?;
        let fits = (16..=256).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self::Token(text.to_owned().into()))
    }

    /// For the database, where it opens for this session only.
    pub fn seal(&self, session: &SessionId, sealer: &Sealer, random: &mut dyn Random) -> Vec<u8> {
        let (kind, value) = match self {
            Self::Cookie(value) => (b'c', value),
            Self::Token(value) => (b't', value),
        };
        let mut plain = Zeroizing::new(Vec::with_capacity(value.len() + 1));
        plain.push(kind);
        plain.extend_from_slice(value.as_bytes());
        sealer.seal(&plain, &associated(session), random)
    }

    /// From the database.
    pub fn open(sealed: &[u8], session: &SessionId, sealer: &Sealer) -> Option<Self> {
        let plain = sealer.open(sealed, &associated(session))?;
        let (kind, value) = plain.split_first()?;
        let value = std::str::from_utf8(value).ok()?;
        match kind {
            b'c' => Self::cookie(value),
            b't' => Self::token(value),
            _ => None,
        }
    }

    /// How it is shown; `cookie` is what Kratos calls its own.
    pub(super) fn header(&self, cookie: &str) -> (HeaderName, HeaderValue) {
        let (name, text) = match self {
            Self::Cookie(value) => (header::COOKIE, Zeroizing::new(format!("{cookie}={}", value.as_str()))),
            Self::Token(value) => (HeaderName::from_static("x-session-token"), value.clone()),
        };
        (name, HeaderValue::from_str(&text).expect("checked when it was made, and when it was configured"))
    }
}

fn associated(session: &SessionId) -> Vec<u8> {
    [kratos::NAME.as_bytes(), b"\0", session.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use hallpass_core::crypto::{MasterKey, SystemRandom};
    use hallpass_core::upstream::CREDENTIAL_SEALER;

    use super::*;

    #[test]
    fn a_credential_opens_for_its_own_session_only() {
        let sealer = MasterKey::new([1; 32]).sealer(CREDENTIAL_SEALER);
        let (one, two) = (SessionId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        let token = format!("{TOKEN_PREFIX}{}", "a".repeat(32));
        for credential in [Credential::cookie("MTY4|abc==").expect("one"), Credential::token(&token).expect("one")] {
            let sealed = credential.seal(&one, &sealer, &mut SystemRandom);
            let opened = Credential::open(&sealed, &one, &sealer).expect("opens");
            assert_eq!(opened.header("c"), credential.header("c"));
            assert!(Credential::open(&sealed, &two, &sealer).is_none());
            assert!(!sealed.windows(8).any(|part| token.as_bytes().starts_with(part)));
        }
    }

    #[test]
    fn what_is_no_credential_is_not_sent() {
        for bad in ["", "a b", "a;b=c", "a,b", "a\"b", "a\\b", "a\r\nx: y", "é", &"a".repeat(4097)] {
            assert!(Credential::cookie(bad).is_none(), "{bad:?}");
        }
        let long = format!("{TOKEN_PREFIX}{}", "a".repeat(257));
        for bad in ["", "ory_st_", "ory_st_short", "hp_ss_aaaaaaaaaaaaaaaaaaaaaaaa", "ory_st_aaaaaaaaaaaaaaaa\n", &long]
        {
            assert!(Credential::token(bad).is_none(), "{bad:?}");
        }
    }
}
