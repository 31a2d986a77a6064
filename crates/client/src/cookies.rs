//! Reading and expiring cookies (protocol §2, RFC 6265): several cookies of one name, names that differ only in
//! case, and paths that shadow one another are attacks by a sibling host, not accidents.

use std::fmt;

use axum::response::Response;
use http::HeaderValue;
use http::header::{COOKIE, HeaderMap, SET_COOKIE};

/// More cookies of the pass's name than this are an attack.
pub(crate) const MOST_PASSES: usize = 3;
/// Browsers silently drop a cookie whose name and value are longer together.
pub(crate) const LONGEST_PAIR: usize = 4096;

/// A longer value is no pass: browsers drop cookies of more than 4,096 bytes.
const LONGEST_PASS: usize = 4096;
/// More lines than this would overflow the header buffers of common reverse proxies.
const MOST_EXPIRY_LINES: usize = 32;

/// A value that could be a pass: a compact JWS by its alphabet. Nothing else is ever sent to the engine.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pass(String);

impl Pass {
    fn parse(value: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if value.is_empty() || value.len() > LONGEST_PASS || !value.iter().all(allowed) {
            return None;
        }
        String::from_utf8(value.to_vec()).ok().map(Self)
    }

    /// As it travels.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pass(redacted)")
    }
}

/// What a request brought under the pass's name.
#[derive(Debug, Default)]
pub(crate) struct Presented {
    /// How many cookies had exactly that name.
    pub(crate) count: usize,
    /// Those of them that could be a pass, each value once.
    pub(crate) passes: Vec<Pass>,
}

/// Collects the cookies whose name is `name`, byte for byte, from every `Cookie` header.
///
/// Browsers keep `__SECURE-…` as a second cookie without the prefix's protection; such a cookie is dropped and
/// reported.
pub(crate) fn presented(headers: &HeaderMap, name: &str) -> Presented {
    let mut presented = Presented::default();
    let mut variants = 0;
    for (found, value) in pairs(headers) {
        if found == name.as_bytes() {
            presented.count += 1;
            presented.passes.extend(Pass::parse(value).filter(|pass| !presented.passes.contains(pass)));
        } else if found.eq_ignore_ascii_case(name.as_bytes()) {
            variants += 1;
        }
    }
    if variants > 0 {
        tracing::warn!(cookie = name, variants, "dropped cookies whose name differs from the pass's only in case");
    }
    presented
}

/// The values of a host-only cookie of ours.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    pairs(headers).filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value).collect()
}

/// The names of cookies of ours that are `prefix` and eight characters of base64url, each once. Nothing else: the names
/// go into answers again.
pub(crate) fn names<'a>(headers: &'a HeaderMap, prefix: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = pairs(headers)
        .filter_map(|(name, _)| std::str::from_utf8(name).ok())
        .filter(|name| {
            let suffix = name.strip_prefix(prefix).filter(|suffix| suffix.len() == 8);
            suffix
                .is_some_and(|suffix| suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Every `name=value` of every `Cookie` header (HTTP/2 splits them), white space around both removed.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';')).filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((trimmed(&pair[..equals]), trimmed(&pair[equals + 1..])))
    })
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

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

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).expect("a header value"));
        }
        headers
    }

    fn passes(lines: &[&[u8]]) -> (usize, Vec<String>) {
        let presented = presented(&headers(lines), NAME);
        (presented.count, presented.passes.iter().map(|pass| pass.as_str().to_owned()).collect())
    }

    #[test]
    fn all_cookie_headers_are_read_and_names_are_compared_byte_for_byte() {
        assert_eq!(
            passes(&[
                b"a=b; __Secure-hallpass-pass=one.x.y",
                b"__Secure-hallpass-pass=two; __SECURE-hallpass-pass=evil"
            ]),
            (2, vec!["one.x.y".to_owned(), "two".to_owned()])
        );
        assert_eq!(passes(&[b"__secure-hallpass-pass=evil; x__Secure-hallpass-pass=evil"]), (0, vec![]));
    }

    #[test]
    fn what_cannot_be_a_pass_is_counted_and_never_asked_about() {
        let long = [b"__Secure-hallpass-pass=".as_slice(), &[b'a'; 5000]].concat();
        assert_eq!(passes(&[b"__Secure-hallpass-pass="]), (1, vec![]));
        assert_eq!(passes(&[b"__Secure-hallpass-pass=\"a.b.c\""]), (1, vec![]));
        assert_eq!(passes(&[b"__Secure-hallpass-pass=a b"]), (1, vec![]));
        assert_eq!(passes(&[b"__Secure-hallpass-pass=\xff\xfe"]), (1, vec![]));
        assert_eq!(passes(&[&long]), (1, vec![]));
        assert_eq!(passes(&[b"__Secure-hallpass-pass=a; __Secure-hallpass-pass=a"]), (2, vec!["a".to_owned()]));
    }

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

    #[test]
    fn only_names_of_our_own_making_are_listed() {
        let found = headers(&[
            b"tx-abcd-_09=1; tx-abcd-_09=2; tx-short=3; tx-abcdefghi=4",
            b"tx-a\xffcdefgh=5; tx-a,cdefgh=6; tx-ABCDEFGH=7",
        ]);
        assert_eq!(names(&found, "tx-"), ["tx-ABCDEFGH", "tx-abcd-_09"]);
    }

    /// Cases of what browsers send, from the http-state working group's corpus where it is present.
    #[test]
    fn what_browsers_send_is_read_as_they_mean_it() {
        let Some(cases) = crate::test_data("cookie-parsing.json") else { return };
        let cases: serde_json::Value = serde_json::from_slice(&cases).expect("JSON");
        let mut read = 0;
        for case in cases.as_array().expect("a list") {
            let sent: Vec<(&str, &str)> = case["sent"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|pair| Some((pair["name"].as_str()?, pair["value"].as_str()?)))
                .collect();
            let line = sent.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let headers = headers(&[line.as_bytes()]);
            let expected: Vec<(&[u8], &[u8])> =
                sent.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            assert_eq!(pairs(&headers).collect::<Vec<_>>(), expected, "{}", case["test"]);
            read += expected.len();
        }
        assert!(read > 50, "the corpus was read");
    }

    proptest! {
        /// T37: no cookie header panics, and what comes out holds only the pass's alphabet.
        #[test]
        fn any_bytes_give_no_panic_and_only_well_formed_passes(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
        ) {
            let mut headers = HeaderMap::new();
            for line in lines {
                if let Ok(value) = HeaderValue::from_bytes(&line) {
                    headers.append(COOKIE, value);
                }
            }
            let presented = presented(&headers, NAME);
            prop_assert!(presented.passes.len() <= presented.count);
        }

        #[test]
        fn near_misses_of_the_name_give_no_pass(
            line in "(__[Ss]ecure-hallpass-pass|__Secure-hallpass-pas|=|;|,| |\t|\"|[a-z.]{0,4}|\u{e9}){0,30}",
        ) {
            let headers = headers(&[line.as_bytes()]);
            let presented = presented(&headers, NAME);
            let exact = line.split(';').filter(|pair| {
                pair.split_once('=').is_some_and(|(name, _)| name.trim_matches([' ', '\t']) == NAME)
            }).count();
            prop_assert_eq!(presented.count, exact);
        }

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
