//! Addresses that a browser is sent to with a code, or after a sign-out: registered as a text, and compared byte by byte. Protocol §12;
//! RFC 9700 §2.1, OIDC Core 1.0 §3.1.2.1.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use url::{Host, Url};

use crate::app::Origin;

/// The longest that is registered.
const MAXIMUM_LENGTH: usize = 1024;

/// A registered address. `https`, or `http` at `localhost`, `*.localhost` and loopback addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedirectUri {
    text: Box<str>,
    origin: Origin,
}

/// Why a text cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an https address such as https://wiki.company.com/callback (http for localhost only), written as browsers write it: without user name, fragment, wildcard, backslash, semicolon and dot segments"
)]
pub struct InvalidRedirectUri;

impl RedirectUri {
    /// The text, to which nothing but itself is equal.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads: what the form that begins the way there must be allowed to lead to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The address with these parameters behind those that it has.
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let joint = match self.text.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{joint}{}", self.text, query.finish())
    }
}

impl FromStr for RedirectUri {
    type Err = InvalidRedirectUri;

    fn from_str(text: &str) -> Result<Self, InvalidRedirectUri> {
        if text.len() > MAXIMUM_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidRedirectUri);
        }
        let lower = text.to_ascii_lowercase();
        // What one reader resolves and another one does not (advisories T1, T2).
        if ["*", "\\", ";", "#", "..", "%2e", "%2f", "%5c", "@"].iter().any(|bad| lower.contains(bad))
            || has_encoded_control(&lower)
        {
            return Err(InvalidRedirectUri);
        }
        let url = Url::parse(text).map_err(|_| InvalidRedirectUri)?;
        // The parser would have changed it: two readers would see two addresses.
        if url.as_str() != text || !matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))) {
            return Err(InvalidRedirectUri);
        }
        // `https`, or `http` where that is as good.
        let origin = Origin::of(&url).map_err(|_| InvalidRedirectUri)?;
        Ok(Self { text: text.into(), origin })
    }
}

/// `%00` to `%1f` and `%7f`, in lower case.
fn has_encoded_control(text: &str) -> bool {
    text.as_bytes().windows(3).any(|window| matches!(window, [b'%', b'0' | b'1', _] | b"%7f"))
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for RedirectUri {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_behind_those_that_are_there() {
        let uri = |text: &str| text.parse::<RedirectUri>().expect("registered");
        assert_eq!(uri("https://wiki.company.com/cb").with(&[("a", "1 &")]), "https://wiki.company.com/cb?a=1+%26");
        assert_eq!(uri("https://wiki.company.com/cb?x=1").with(&[("a", "1")]), "https://wiki.company.com/cb?x=1&a=1");
        assert_eq!(uri("https://wiki.company.com/cb?").with(&[("a", "1")]), "https://wiki.company.com/cb?a=1");
        assert_eq!(uri("http://127.0.0.1:8080/cb").origin().as_str(), "http://127.0.0.1:8080");
    }

    /// T1 to T5: what cannot be registered cannot be matched.
    #[test]
    fn addresses_that_two_readers_could_read_differently_are_not_registered() {
        for bad in [
            "",
            "wiki.company.com/cb",
            "http://wiki.company.com/cb",
            "https://wiki.company.com",
            "https://wiki.company.com/cb#",
            "https://wiki.company.com/cb#x",
            "https://ana@wiki.company.com/cb",
            "https://wiki.company.com/@/cb",
            "https://*.company.com/cb",
            "https://wiki.company.com/*",
            "https://k\u{f6}ln.de/cb",
            "https://wiki.company.com/../cb",
            "https://wiki.company.com/a/%2E%2e/cb",
            "https://wiki.company.com/a%2Fcb",
            "https://wiki.company.com/a%5ccb",
            "https://wiki.company.com\\cb",
            "https://wiki.company.com/a;b",
            "https://wiki.company.com/c b",
            "https://wiki.company.com/c%0Ab",
            "https://wiki.company.com/c\tb",
            " https://wiki.company.com/cb",
            "HTTPS://wiki.company.com/cb",
            "https://Wiki.company.com/cb",
            "https://wiki.company.com:443/cb",
            "https:wiki.company.com/cb",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "com.company.wiki:/cb",
            "https://127.1/cb",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
        assert!(format!("https://wiki.company.com/{}", "a".repeat(1024)).parse::<RedirectUri>().is_err());
    }
}
