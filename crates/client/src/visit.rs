//! What a request is: a navigation that may be redirected, something that wants a page, something that wants JSON;
//! and where the person is to come back to (protocol §6, §12; Fetch Metadata Request Headers).

use axum::extract::OriginalUri;
use http::HeaderValue;
use http::header::{ACCEPT, HeaderMap, HeaderName, REFERER};
use http::request::Parts;
use url::Url;

use crate::origin::{Origin, may_change_something};

/// Where the layer's own endpoints live.
pub(crate) const OWN_PATHS: &str = "/.hallpass/";

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Beyond this, a destination is shortened to its path, then to `/`: the engine's request line holds 8 KB.
const LONGEST_DESTINATION: usize = 2000;

/// One request, as far as the rules care.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    /// The path as the browser asked for it, also when the layer sits inside a nested router.
    pub(crate) path: String,
    /// A GET that fills a window: it may be answered with a redirect.
    pub(crate) navigation: bool,
    /// Whoever asks can show a page.
    pub(crate) page: bool,
    /// It may change something: origin rule, CSRF token, no grace.
    pub(crate) may_change: bool,
    /// Where the person wants to be, as a path and query on our own origin.
    pub(crate) destination: String,
}

impl Visit {
    /// Reads a request that came to `own` origin.
    pub(crate) fn read(parts: &Parts, own: &Origin) -> Self {
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let page = wants_page(&parts.headers);
        let navigation = page && parts.method == http::Method::GET;
        let asked = if navigation { uri.path_and_query().map(http::uri::PathAndQuery::as_str) } else { None };
        let destination = match asked {
            Some(asked) => local(asked),
            // A script or a form asked. The person is on the page that sent it, not at the address it was sent to.
            None => referring_page(&parts.headers, own),
        };
        Self {
            path: uri.path().to_owned(),
            navigation,
            page,
            may_change: may_change_something(&parts.method, &parts.headers),
            destination,
        }
    }

    /// Whether the path means the same to everybody who reads it. Only such a path may be declared open to
    /// anonymous visitors: `/public/../admin` and `/public%2f..` are read differently by different routers.
    pub(crate) fn path_is_plain(&self) -> bool {
        let lower = self.path.to_ascii_lowercase();
        let ambiguous = ["//", "\\", "%2e", "%2f", "%5c", "%00", ";"].iter().any(|part| lower.contains(part));
        let dotted = self.path.split('/').any(|segment| matches!(segment, "." | ".."));
        self.path.starts_with('/') && !ambiguous && !dotted
    }
}

/// Whether whoever sent `headers` can show a page: by Fetch Metadata where the browser sends it, else by `Accept`.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|accept| accept.to_str().ok())
            .any(|accept| accept.to_ascii_lowercase().contains("text/html")),
    }
}

/// A path and query that stays on our own origin, or `/`. Read by the parser that browsers use, because what
/// counts is what they make of it (`/\evil.com`, `/%0d%0a`, tabs inside).
pub(crate) fn local(asked: &str) -> String {
    let plain = |text: &str| {
        text.len() <= LONGEST_DESTINATION
            && text.starts_with('/')
            && !text[1..].starts_with(['/', '\\'])
            && !text.starts_with(OWN_PATHS)
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
            && !encodes_control(text)
            && stays(text)
    };
    let path = asked.split(['?', '#']).next().unwrap_or_default();
    [asked, path].into_iter().find(|text| plain(text)).unwrap_or("/").to_owned()
}

fn stays(text: &str) -> bool {
    let base = Url::parse("https://own.invalid/").expect("a constant URL");
    base.join(text).is_ok_and(|url| url.origin() == base.origin() && !url.path().starts_with("//"))
}

fn encodes_control(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| match text.as_bytes().get(at + 1..at + 3) {
        Some([b'0' | b'1', _]) => true,
        Some([b'7', low]) => low.eq_ignore_ascii_case(&b'f'),
        _ => false,
    })
}

fn referring_page(headers: &HeaderMap, own: &Origin) -> String {
    let referer = headers.get(REFERER).and_then(|value| value.to_str().ok()).and_then(|text| Url::parse(text).ok());
    match referer {
        Some(page) if page.origin().ascii_serialization() == own.as_str() => {
            local(&page[url::Position::BeforePath..url::Position::AfterQuery])
        }
        _ => "/".to_owned(),
    }
}

/// Removes inbound headers that look like identity (advisory T38), also those that a CGI-style hop would read as
/// such because it turns `_` into `-`.
pub(crate) fn strip_identity(headers: &mut HeaderMap<HeaderValue>) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str().replace('_', "-");
            name == "x-hallpass" || name.starts_with("x-hallpass-")
        })
        .cloned()
        .collect();
    for name in forged {
        headers.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request};
    use proptest::prelude::*;

    fn visit(method: Method, uri: &str, headers: &[(&str, &str)]) -> Visit {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Visit::read(&parts, &Origin::parse("https://pos.company.com").expect("valid"))
    }

    #[test]
    fn a_navigation_is_known_by_fetch_metadata_and_by_accept_where_that_is_absent() {
        assert!(visit(Method::GET, "/", &[("sec-fetch-mode", "navigate")]).navigation);
        assert!(visit(Method::GET, "/", &[("accept", "text/html,*/*")]).navigation);
        for (method, headers) in [
            (Method::GET, vec![("sec-fetch-mode", "cors"), ("accept", "text/html")]),
            (Method::GET, vec![("accept", "*/*")]),
            (Method::GET, vec![]),
            (Method::POST, vec![("sec-fetch-mode", "navigate")]),
        ] {
            assert!(!visit(method, "/", &headers).navigation, "{headers:?}");
        }
    }

    #[test]
    fn people_come_back_to_the_page_they_were_on() {
        let page = [("accept", "text/html")];
        assert_eq!(visit(Method::GET, "/orders?open=1", &page).destination, "/orders?open=1");
        let script = [("referer", "https://pos.company.com/orders?open=1#x"), ("sec-fetch-mode", "cors")];
        assert_eq!(visit(Method::GET, "/api/orders", &script).destination, "/orders?open=1");
        let elsewhere = [("referer", "https://evil.company.com/x"), ("sec-fetch-mode", "cors")];
        assert_eq!(visit(Method::GET, "/api/orders", &elsewhere).destination, "/");
        assert_eq!(visit(Method::GET, &format!("/orders?{}", "x".repeat(3000)), &page).destination, "/orders");
        assert_eq!(visit(Method::GET, "/.hallpass/switch", &page).destination, "/");
    }

    #[test]
    fn a_destination_never_leaves_the_origin() {
        for bad in [
            "//evil.com",
            "/\\evil.com",
            "https://evil.com",
            "",
            "evil",
            "/a\\b",
            "/\t/evil.com",
            "/%0d%0aX",
            "/./\u{e9}",
            "/..//evil.com",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
        assert_eq!(local("/a/b?x=%20y"), "/a/b?x=%20y");
    }

    #[test]
    fn known_redirect_tricks_never_leave_the_origin() {
        let Some(tricks) = crate::test_data("open-redirects.txt") else { return };
        let base = Url::parse("https://pos.company.com/").expect("valid");
        let mut read = 0;
        for trick in String::from_utf8_lossy(&tricks).lines() {
            let url = base.join(&local(trick)).expect("a URL");
            assert_eq!(url.origin(), base.origin(), "{trick}");
            read += 1;
        }
        assert!(read > 20, "the list was read");
    }

    #[test]
    fn an_ambiguous_path_is_never_plain() {
        let plain = |path: &str| visit(Method::GET, path, &[]).path_is_plain();
        assert!(plain("/public/logo.svg"));
        for path in [
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public%2Fadmin",
            "//public",
            "/public/./x",
            "/public;/../admin",
            "/public%5c..",
            "*",
        ] {
            assert!(!plain(path), "{path}");
        }
    }

    #[test]
    fn identity_headers_are_removed_in_every_spelling() {
        let mut headers = HeaderMap::new();
        for name in
            ["x-hallpass-user", "X-Hallpass-User", "x_hallpass_user", "x-hallpass", "x-hallpasses", "x-csrf-token"]
        {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_static("1"));
        }
        strip_identity(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-csrf-token", "x-hallpasses"]);
    }

    proptest! {
        #[test]
        fn no_text_leads_away(text in "\\PC{0,80}") {
            let base = Url::parse("https://pos.company.com/").expect("valid");
            let url = base.join(&local(&text)).expect("a URL");
            prop_assert_eq!(url.origin(), base.origin());
        }
    }
}
