//! Origins (RFC 6454) and the origin rule for requests that may change something (protocol §7, Fetch Metadata).

use http::header::{HeaderMap, HeaderName, ORIGIN, UPGRADE};
use http::{HeaderValue, Method};
use url::{Host, Url};

/// `Sec-Fetch-Site` (Fetch Metadata Request Headers).
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme, host and port, as browsers write it: `https://pos.company.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    url: Url,
    text: String,
}

impl Origin {
    /// `None` unless `text` is an https origin (http for loopback names, which browsers count as secure), exactly
    /// as a browser writes it; one slash at the end is forgiven.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let url = Url::parse(text).ok()?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => is_loopback(&url),
            _ => false,
        };
        (secure && url.origin().ascii_serialization() == text).then(|| Self { url, text: text.to_owned() })
    }

    /// As a browser sends it in `Origin`.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port, as a browser sends it in `Host`.
    pub(crate) fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The host without its port.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The origin with a path, as a URL to add a query to. `path` begins with a slash.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// The same scheme and host at another port.
    pub(crate) fn with_port(&self, port: u16) -> Self {
        let mut url = self.url.clone();
        // Refused only for URLs without a host, which an origin has.
        let _ = url.set_port(Some(port));
        let text = url.origin().ascii_serialization();
        Self { url, text }
    }

    /// Every domain for which a sibling could have set a cookie that reaches this host: the host itself and its
    /// parents with at least two labels. Browsers refuse those that are public suffixes. Empty for addresses.
    pub(crate) fn cookie_domains(&self) -> Vec<&str> {
        let Some(Host::Domain(host)) = self.url.host() else { return Vec::new() };
        let mut domains = Vec::new();
        let mut rest = Some(host);
        while let Some(domain) = rest.filter(|domain| domain.contains('.')) {
            domains.push(domain);
            rest = domain.split_once('.').map(|(_, parent)| parent);
        }
        domains
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether the request could change something. A WebSocket handshake counts: it is a GET, but what follows is not,
/// and browsers let other origins open one with this origin's cookies.
pub(crate) fn may_change_something(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || headers.contains_key(UPGRADE)
}

/// Whether `headers` prove that the request comes from a page of `own` origin. `SameSite` is no such proof between
/// siblings: their requests carry our cookies.
pub(crate) fn is_same_origin(headers: &HeaderMap, own: &Origin) -> bool {
    let is = |name: &HeaderName, expected: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().map(HeaderValue::as_bytes) == Some(expected.as_bytes()) && values.next().is_none()
    };
    if headers.contains_key(SEC_FETCH_SITE) { is(&SEC_FETCH_SITE, "same-origin") } else { is(&ORIGIN, own.as_str()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_secure_origin_is_an_origin() {
        let origin = Origin::parse("http://pos.company.localhost:7070/").expect("valid");
        assert_eq!(origin.as_str(), "http://pos.company.localhost:7070");
        assert_eq!((origin.host(), origin.authority()), ("pos.company.localhost", "pos.company.localhost:7070"));
        assert_eq!(origin.with_port(9).authority(), "pos.company.localhost:9");
        for bad in [
            "http://pos.company.com",
            "http://localhost.evil.com",
            "http://10.0.0.1",
            "https://pos.company.com/app",
            "https://pos.company.com//",
            "https://pos.company.com:443",
            "https://user@pos.company.com",
            "https://POS.company.com",
            "ftp://pos.company.com",
            "null",
            "",
        ] {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn cookies_may_come_from_every_parent_with_two_labels() {
        let domains = |text| Origin::parse(text).expect("valid").cookie_domains().join(" ");
        assert_eq!(domains("https://pos.apps.company.com"), "pos.apps.company.com apps.company.com company.com");
        assert_eq!(domains("http://localhost:1"), "");
        assert_eq!(domains("http://127.0.0.1:1"), "");
    }

    #[test]
    fn the_origin_rule_lets_only_the_own_origin_in() {
        let own = Origin::parse("https://pos.company.com").expect("valid");
        for allowed in [
            headers(&[("sec-fetch-site", "same-origin")]),
            headers(&[("sec-fetch-site", "same-origin"), ("origin", "https://pos.company.com")]),
            headers(&[("origin", "https://pos.company.com")]),
        ] {
            assert!(is_same_origin(&allowed, &own), "{allowed:?}");
        }
        let mut doubled = headers(&[("sec-fetch-site", "same-origin")]);
        doubled.append(SEC_FETCH_SITE, HeaderValue::from_static("cross-site"));
        let mut doubled_origin = headers(&[("origin", "https://pos.company.com")]);
        doubled_origin.append(ORIGIN, HeaderValue::from_static("https://evil.company.com"));
        for refused in [
            doubled,
            doubled_origin,
            headers(&[]),
            headers(&[("sec-fetch-site", "same-site"), ("origin", "https://pos.company.com")]),
            headers(&[("sec-fetch-site", "cross-site")]),
            headers(&[("sec-fetch-site", "none")]),
            headers(&[("sec-fetch-site", "Same-Origin")]),
            headers(&[("origin", "https://evil.company.com")]),
            headers(&[("origin", "https://pos.company.com.evil.com")]),
            headers(&[("origin", "http://pos.company.com")]),
            headers(&[("origin", "null")]),
        ] {
            assert!(!is_same_origin(&refused, &own), "{refused:?}");
        }
    }

    #[test]
    fn a_websocket_handshake_counts_as_unsafe() {
        assert!(may_change_something(&Method::GET, &headers(&[("upgrade", "websocket")])));
        assert!(!may_change_something(&Method::GET, &headers(&[])));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::CONNECT, Method::TRACE] {
            assert!(may_change_something(&method, &headers(&[])), "{method}");
        }
        assert!(may_change_something(&Method::from_bytes(b"get").expect("a token"), &headers(&[])));
    }
}
