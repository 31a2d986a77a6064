//! Writing cookies (protocol §2, RFC 6265): ours are host-only, an expired one is looked for wherever a sibling may have put
//! it, and a line that the engine asks us to relay sets the pass or nothing.

use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;

/// More lines than this would overflow the header buffers of common reverse proxies.
pub(crate) const MOST_EXPIRY_LINES: usize = 32;
/// Browsers silently drop a cookie whose name and value are longer together.
pub(crate) const LONGEST_PAIR: usize = 4096;

/// `Set-Cookie` lines that remove a cookie wherever a sibling may have put it: host-only and for each of
/// `domains`, at `/` and at each prefix of `path`.
pub(crate) fn expiry(name: &str, path: &str, domains: &[&str]) -> Vec<HeaderValue> {
    let mut lines = Vec::new();
    for path in prefixes(path) {
        lines.extend(expiry_line(name, path, None));
        lines.extend(domains.iter().filter_map(|domain| expiry_line(name, path, Some(domain))));
    }
    lines.truncate(MOST_EXPIRY_LINES);
    lines
}

fn expiry_line(name: &str, path: &str, domain: Option<&str>) -> Option<HeaderValue> {
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    HeaderValue::from_str(&format!("{name}=; Path={path}{domain}; Max-Age=0; Secure; HttpOnly; SameSite=Lax")).ok()
}

/// `/orders/5` gives `/`, `/orders`, `/orders/`, `/orders/5`: every cookie path that this request matches
/// (RFC 6265 §5.1.4). Ends at the first character that a cookie path cannot hold.
fn prefixes(path: &str) -> Vec<&str> {
    let representable = path.find(|c: char| !c.is_ascii_graphic() || c == ';').unwrap_or(path.len());
    let complete = representable == path.len();
    let path = &path[..representable];
    let mut prefixes = vec!["/"];
    for (index, _) in path.match_indices('/').filter(|(index, _)| *index > 0) {
        prefixes.push(&path[..index]);
        prefixes.push(&path[..=index]);
    }
    if complete && path.len() > 1 && !path.ends_with('/') {
        prefixes.push(path);
    }
    prefixes
}

/// A host-only cookie of ours.
pub(crate) fn host_only(name: &str, value: &str, max_age: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax")).ok()
}

/// The line the engine asks us to relay, if it sets the pass and nothing else; the engine's word is not taken for
/// more than that.
pub(crate) fn relayable(line: &str, pass_cookie: &str) -> Option<HeaderValue> {
    let rest = line.strip_prefix(pass_cookie)?.strip_prefix('=')?;
    if rest.is_empty() || rest.starts_with(';') {
        return None;
    }
    line.bytes().all(|byte| (0x20..0x7f).contains(&byte)).then(|| HeaderValue::from_str(line).ok())?
}

/// Whether a `Set-Cookie` line names no domain, so that the cookie goes back to this host alone (RFC 6265 §5.3).
pub(crate) fn is_host_only(line: &str) -> bool {
    let mut attributes =
        line.split(';').skip(1).map(|attribute| attribute.split('=').next().unwrap_or_default().trim());
    !attributes.any(|name| name.eq_ignore_ascii_case("domain"))
}

/// Adds cookies to an answer of our own.
pub(crate) fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "__Secure-hallpass-pass";

    #[test]
    fn a_shadowing_cookie_is_expired_wherever_it_can_be() {
        let lines = expiry(NAME, "/orders/5", &["pos.company.com", "company.com"]);
        assert_eq!(lines.len(), 12);
        let at = |path: &str| {
            HeaderValue::from_str(&format!(
                "{NAME}=; Path={path}; Domain=company.com; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
            ))
            .expect("a header value")
        };
        for path in ["/", "/orders", "/orders/", "/orders/5"] {
            assert!(lines.contains(&at(path)), "{path}");
        }
        assert_eq!(expiry(NAME, &"/a".repeat(500), &["pos.company.com"]).len(), MOST_EXPIRY_LINES);
    }

    #[test]
    fn a_path_cannot_add_attributes_to_the_expiry() {
        assert_eq!(prefixes("/a/b;Domain=evil.com/c"), ["/", "/a", "/a/"]);
        assert_eq!(prefixes("/"), ["/"]);
        assert_eq!(prefixes("/a/"), ["/", "/a", "/a/"]);
        assert_eq!(prefixes("*"), ["/"]);
    }

    #[test]
    fn only_a_line_that_sets_the_pass_is_relayed() {
        let good = "__Secure-hallpass-pass=a.b.c; Domain=company.com; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(relayable(good, NAME).expect("relayed"), good);
        for bad in [
            "session=evil; Path=/",
            "__Secure-hallpass-pass-2=x",
            "__Secure-hallpass-pass=",
            "__Secure-hallpass-pass=; Max-Age=0",
            "__Secure-hallpass-pass=x\r\nLocation: https://evil.com",
            "__Secure-hallpass-pass=x\ny",
            "__Secure-hallpass-pass=\u{e9}",
            "__secure-hallpass-pass=x",
            " __Secure-hallpass-pass=x",
        ] {
            assert_eq!(relayable(bad, NAME), None, "{bad:?}");
        }
    }

    #[test]
    fn a_domain_is_found_however_it_is_written() {
        let line = |attributes: &str| format!("__Host-Http-hallpass-pass=a.b.c; Path=/{attributes}; Secure; HttpOnly");
        assert!(is_host_only(&line("")) && is_host_only(&line("; Comment=Domain")));
        for attributes in
            ["; Domain=company.com", ";domain=company.com", "; \tDOMAIN = company.com", "; Domain", "; Domain="]
        {
            assert!(!is_host_only(&line(attributes)), "{attributes}");
        }
    }

    proptest! {
        #[test]
        fn an_expiry_line_never_holds_more_than_its_own_attributes(path in "/[ -~]{0,60}") {
            for line in expiry(NAME, &path, &["company.com"]) {
                let line = line.to_str().expect("ASCII").to_owned();
                prop_assert!(line.matches(';').count() <= 6, "{}", line);
                prop_assert!(line.starts_with("__Secure-hallpass-pass=; Path=/"), "{}", line);
            }
        }
    }
}
