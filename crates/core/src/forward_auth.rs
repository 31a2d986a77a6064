//! A request that a gateway asks about before it lets it through: what it says, and what may not come from another site. Protocol §7, §11 (forward-auth);
//! Fetch Metadata Request Headers; advisories T37–T39.
//!
//! Paths decide nothing here. Gateways and apps read `..`, `//` and `%2f` each in their own way, and a rule about paths is a way around it: an app is
//! behind its gateway as a whole.

use crate::app::Origin;

/// What the gateway's headers say, one value each.
#[derive(Debug, Clone, Copy)]
pub struct Said<'h> {
    /// `X-Forwarded-Proto`
    pub scheme: &'h str,
    /// `X-Forwarded-Host`, with the port if it is not the scheme's own.
    pub host: &'h str,
    /// `X-Forwarded-Method`
    pub method: &'h str,
    /// `X-Forwarded-Uri`: path and query.
    pub target: &'h str,
}

/// The request as the browser made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Whose page or address it is for.
    pub origin: Origin,
    /// Nothing is changed by it, and going there again is the same.
    safe: bool,
    /// The address as a whole.
    url: String,
}

/// Why there is no such request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither `https` nor `http`.
    #[error("X-Forwarded-Proto is neither https nor http")]
    Scheme,
    /// Not what a browser sends as `Host`, or `http` for a host that is no loopback one.
    #[error("X-Forwarded-Host and X-Forwarded-Proto are not an app's address")]
    Host,
    /// Not the name of a method.
    #[error("X-Forwarded-Method is no method")]
    Method,
}

impl Original {
    /// Reads it. `handshake`: it opens a WebSocket, which is a GET, but what follows is not, and browsers let other sites open one with our cookies.
    pub fn read(said: Said<'_>, handshake: bool) -> Result<Self, Unreadable> {
        let scheme = match said.scheme {
            // Some gateways say so of a WebSocket.
            "https" | "wss" => "https",
            "http" | "ws" => "http",
            _ => return Err(Unreadable::Scheme),
        };
        let origin: Origin = format!("{scheme}://{}", said.host).parse().map_err(|_| Unreadable::Host)?;
        let letters = said.method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if said.method.is_empty() || said.method.len() > 32 || !letters {
            return Err(Unreadable::Method);
        }
        let safe = matches!(said.method, "GET" | "HEAD" | "OPTIONS") && !handshake;
        // Only where to come back to; what cannot be that is left out.
        let target = Some(said.target).filter(|target| target.starts_with('/')).unwrap_or("/");
        let url = format!("{origin}{target}");
        Ok(Self { origin, safe, url })
    }

    /// Where to come back to after a sign-in. What would have been changed is not repeated by that: the front page.
    pub fn return_to(&self) -> String {
        if self.safe { self.url.clone() } else { format!("{}/", self.origin) }
    }

    /// Whether a person is looking, so that the answer may send their browser elsewhere: a script would get a page that it did not ask for. `mode` is
    /// `Sec-Fetch-Mode`; older browsers do not send it, but say what they `accept`.
    pub fn is_navigation(&self, mode: Option<&str>, accept: Option<&str>) -> bool {
        let page = || accept.is_some_and(|accept| accept.contains("text/html"));
        self.safe && mode.map_or_else(page, |mode| mode == "navigate")
    }

    /// Whether it may go on as far as other sites are concerned: nothing is changed, or it is from one of the app's own pages. `site` is `Sec-Fetch-Site`,
    /// and where a browser does not send that, `from` its `Origin`. A pass is no proof: pages of sibling hosts send it along.
    pub fn is_from_own_page(&self, site: Option<&str>, from: Option<&str>) -> bool {
        self.safe || site.map_or(from == Some(self.origin.as_str()), |site| site == "same-origin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Said<'_> = Said { scheme: "https", host: "pos.company.com", method: "GET", target: "/a?b=c" };

    #[test]
    fn a_request_is_what_the_browser_asked_for() {
        let read = |said| Original::read(said, false).expect("readable");
        let original = read(SAID);
        assert_eq!(original.origin.as_str(), "https://pos.company.com");
        assert_eq!(original.return_to(), "https://pos.company.com/a?b=c");
        assert_eq!(read(Said { target: "//evil.com/", ..SAID }).return_to(), "https://pos.company.com//evil.com/");
        for target in ["", "*", "@evil.com/", ".evil.com/", "https://evil.com/"] {
            assert_eq!(read(Said { target, ..SAID }).return_to(), "https://pos.company.com/", "{target}");
        }
        assert_eq!(read(Said { method: "POST", ..SAID }).return_to(), "https://pos.company.com/");
        assert_eq!(read(Said { scheme: "wss", ..SAID }).origin, original.origin);
        let local = read(Said { scheme: "http", host: "pos.localhost:8080", ..SAID });
        assert_eq!(local.origin.as_str(), "http://pos.localhost:8080");
    }

    /// T38: whatever two readers could read differently is nobody's.
    #[test]
    fn what_is_not_exactly_an_address_is_refused() {
        for host in [
            "",
            "POS.company.com",
            "pos.company.com:443",
            "pos.company.com.",
            "pos.company.com/",
            "ana@pos.company.com",
            "pos.company.com, evil.com",
            "pos.company.com#x",
            "pos.company.com\\.evil.com",
            " pos.company.com",
        ] {
            let read = Original::read(Said { host, ..SAID }, false);
            // A dot at the end is a host of its own, which no app has.
            assert!(read.is_err() || read.is_ok_and(|read| read.origin.host().ends_with('.')), "{host}");
        }
        for scheme in ["", "HTTPS", "https://", "ftp", "javascript", "https, http"] {
            assert_eq!(Original::read(Said { scheme, ..SAID }, false), Err(Unreadable::Scheme), "{scheme}");
        }
        assert_eq!(Original::read(Said { scheme: "http", ..SAID }, false), Err(Unreadable::Host));
        for method in ["", "get", "GET, POST", "G T", "GET\u{e9}"] {
            assert_eq!(Original::read(Said { method, ..SAID }, false), Err(Unreadable::Method), "{method}");
        }
    }

    /// T51.
    #[test]
    fn what_changes_something_comes_from_the_apps_own_pages() {
        let own = Some("https://pos.company.com");
        for (method, handshake, safe) in [
            ("GET", false, true),
            ("HEAD", false, true),
            ("OPTIONS", false, true),
            ("GET", true, false),
            ("POST", false, false),
            ("DELETE", false, false),
            ("CONNECT", false, false),
            ("X-ANY", false, false),
        ] {
            let original = Original::read(Said { method, ..SAID }, handshake).expect("readable");
            for (site, from, from_own_page) in [
                (Some("same-origin"), None, true),
                (None, own, true),
                (Some("same-site"), own, false),
                (Some("cross-site"), own, false),
                (Some("none"), None, false),
                (Some(""), own, false),
                (None, Some("https://evil.company.com"), false),
                (None, Some("https://pos.company.com.evil.com"), false),
                (None, Some("null"), false),
                (None, None, false),
            ] {
                let verdict = original.is_from_own_page(site, from);
                assert_eq!(verdict, safe || from_own_page, "{method} {site:?} {from:?}");
            }
        }
    }

    #[test]
    fn only_a_window_is_sent_elsewhere() {
        let get = Original::read(SAID, false).expect("readable");
        let post = Original::read(Said { method: "POST", ..SAID }, false).expect("readable");
        assert!(get.is_navigation(Some("navigate"), None) && get.is_navigation(None, Some("text/html,*/*;q=0.8")));
        for (mode, accept) in
            [(Some("cors"), Some("text/html")), (Some("no-cors"), None), (None, Some("*/*")), (None, None)]
        {
            assert!(!get.is_navigation(mode, accept), "{mode:?} {accept:?}");
        }
        assert!(!post.is_navigation(Some("navigate"), Some("text/html")));
    }
}
