//! Addresses that a browser is sent to with a code, or after a sign-out: registered as a text, and compared byte by byte. Protocol §12;
//! RFC 9700 §2.1, OIDC Core 1.0 §3.1.2.1.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use url::{Host, Url};

use crate::app::Origin;

/// What native clients' addresses at their own computer begin with (RFC 8252 §7.3).
const IPV4_LOOPBACK: &str = "http://127.0.0.1";
const IPV6_LOOPBACK: &str = "http://[::1]";
/// The longest that is registered.
const MAXIMUM_LENGTH: usize = 1024;

/// A registered address. `https`; `http` at `localhost`, `*.localhost` and loopback addresses; or a scheme of a program's own, which is somebody's
/// domain name turned round (RFC 8252 §7.1). Which kinds of clients may have which is [`check_redirect_uri`](super::check_redirect_uri)'s.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedirectUri {
    text: Box<str>,
    /// None of a scheme of its own.
    origin: Option<Origin>,
}

/// Why a text cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an https address such as https://wiki.company.com/callback (http for localhost only), written as browsers write it: without user name, fragment, wildcard, backslash, semicolon and dot segments; or, for native clients, one like com.company.wiki:/callback"
)]
pub struct InvalidRedirectUri;

impl RedirectUri {
    /// The text, to which nothing but itself is equal.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads; nowhere that has an origin if the scheme is a program's own.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Where it leads, for people: a host, or the scheme of a program's own.
    pub fn place(&self) -> &str {
        let scheme = || self.text.split(':').next().unwrap_or_default();
        self.origin.as_ref().map_or_else(scheme, Origin::authority)
    }

    /// What the form that begins the way there must be allowed to lead to, as Content Security Policy says it. `any_port` at loopback addresses.
    pub fn form_source(&self, any_port: bool) -> String {
        match (&self.origin, self.loopback()) {
            (_, Some((IPV4_LOOPBACK, _))) if any_port => format!("{IPV4_LOOPBACK}:*"),
            // There is no way to name an IPv6 address (CSP3 §2.3.1, `host-char`).
            (_, Some((IPV6_LOOPBACK, _))) => "http:".to_owned(),
            (Some(origin), _) => origin.to_string(),
            (None, _) => self.text.split_inclusive(':').next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether any program of the person's own computer may be what answers there: whoever is first to listen at a loopback address or name, or to claim
    /// a scheme (RFC 8252 §8.6).
    pub fn is_for_any_program(&self) -> bool {
        self.origin.as_ref().is_none_or(Origin::is_loopback)
    }

    /// Of an address at this very computer: scheme and host, and what follows the port. Addresses only, no names that somebody answers for.
    pub(super) fn loopback(&self) -> Option<(&'static str, &str)> {
        [IPV4_LOOPBACK, IPV6_LOOPBACK].into_iter().find_map(|base| {
            let rest = self.text.strip_prefix(base)?;
            let rest = match rest.strip_prefix(':') {
                Some(port) => port.trim_start_matches(|digit: char| digit.is_ascii_digit()),
                None => rest,
            };
            rest.starts_with('/').then_some((base, rest))
        })
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
        if url.as_str() == text && is_of_own_scheme(text) {
            return Ok(Self { text: text.into(), origin: None });
        }
        if url.as_str() != text || !matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_))) {
            return Err(InvalidRedirectUri);
        }
        // `https`, or `http` where that is as good.
        let origin = Origin::of(&url).map_err(|_| InvalidRedirectUri)?;
        Ok(Self { text: text.into(), origin: Some(origin) })
    }
}

/// `com.company.wiki:/callback`: a scheme with a dot, so that `javascript` is none, and a path after it, but nobody's name (RFC 8252 §7.1).
fn is_of_own_scheme(text: &str) -> bool {
    let Some((scheme, path)) = text.split_once(':') else { return false };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    scheme.contains('.') && scheme.split('.').all(label) && path.starts_with('/') && !path.starts_with("//")
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
        assert_eq!(uri("com.company.wiki:/cb").with(&[("a", "1")]), "com.company.wiki:/cb?a=1");
        assert_eq!(uri("http://127.0.0.1:8080/cb").origin().map(Origin::as_str), Some("http://127.0.0.1:8080"));
    }

    #[test]
    fn a_form_may_lead_to_exactly_the_address_or_as_near_as_a_policy_can_say() {
        for (text, fixed, any_port) in [
            ("https://wiki.company.com/cb", "https://wiki.company.com", "https://wiki.company.com"),
            ("http://127.0.0.1:8080/cb", "http://127.0.0.1:8080", "http://127.0.0.1:*"),
            ("http://127.0.0.1.localhost/cb", "http://127.0.0.1.localhost", "http://127.0.0.1.localhost"),
            ("http://[::1]:8080/cb", "http:", "http:"),
            ("com.company.wiki:/cb", "com.company.wiki:", "com.company.wiki:"),
        ] {
            let uri = text.parse::<RedirectUri>().expect("registered");
            assert_eq!((&*uri.form_source(false), &*uri.form_source(true)), (fixed, any_port), "{text}");
        }
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
            "wiki:/cb",
            "com.company.wiki:cb",
            "com.company.wiki://cb",
            "com.company.wiki:///cb",
            "com..wiki:/cb",
            "COM.company.wiki:/cb",
            "com.company.wiki:/a/../cb",
            "com.company.wiki+x:/cb",
            "https://127.1/cb",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
        assert!(format!("https://wiki.company.com/{}", "a".repeat(1024)).parse::<RedirectUri>().is_err());
    }
}
