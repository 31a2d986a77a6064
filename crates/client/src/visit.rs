//! What a request is: a navigation that may be redirected, something that wants a page, something that wants JSON;
//! and where the person is to come back to (protocol §6, §12; Fetch Metadata Request Headers).

use axum::extract::OriginalUri;
use http::HeaderValue;
use http::header::{ACCEPT, HeaderMap, HeaderName, REFERER};
use http::request::Parts;
use url::Url;

use crate::destination::local;
use crate::origin::{Origin, may_change_something};

/// Where the layer's own endpoints live.
pub(crate) const OWN_PATHS: &str = "/.hallpass/";

/// `Sec-Fetch-Mode` (Fetch Metadata Request Headers).
pub(crate) const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// One request, as far as the rules care.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    /// The path as the browser asked for it, also when the layer sits inside a nested router.
    pub(crate) path: String,
    /// A GET that fills a window: it may be answered with a redirect.
    pub(crate) navigation: bool,
    /// A navigation that somebody looks at: no frame, no prefetch. Only such a one may begin or end a handoff.
    pub(crate) window: bool,
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
            window: navigation && fills_window(&parts.headers),
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

/// Whether `headers` leave it possible that the answer fills a window that somebody looks at. A frame, an image or a
/// prefetch of another site must not be able to use up somebody's handoff behind their back. Browsers that do not say
/// are let through.
pub(crate) fn fills_window(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, expected: &str| headers.get_all(name).iter().all(|value| value == expected);
    says(&SEC_FETCH_MODE, "navigate") && says(&SEC_FETCH_DEST, "document") && !headers.contains_key(SEC_PURPOSE)
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
    fn frames_images_and_prefetches_fill_no_window() {
        let window = |more: &[(&str, &str)]| {
            let headers: Vec<_> = [("accept", "text/html")].iter().chain(more).copied().collect();
            visit(Method::GET, "/", &headers).window
        };
        assert!(window(&[]) && window(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(!window(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        assert!(!window(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-dest", "x")]));
        assert!(!window(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]));
        assert!(!window(&[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch;prerender")]));
        assert!(!window(&[("sec-purpose", "")]));
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
}
