//! Reading cookies (protocol §2, RFC 6265): several cookies of one name, names that differ only in
//! case, and paths that shadow one another are attacks by a sibling host, not accidents.

use std::fmt;

use http::header::{COOKIE, HeaderMap};

/// More cookies of the pass's name than this are an attack.
pub(crate) const MOST_PASSES: usize = 3;

/// A longer value is no pass: browsers drop cookies of more than 4,096 bytes.
const LONGEST_PASS: usize = 4096;

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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
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
    }
}
