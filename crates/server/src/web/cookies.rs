//! Cookies at the home host: reading them strictly, writing them completely. Protocol §2; RFC 6265.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::sha256;
use hallpass_core::handoff::State;
use hallpass_core::id::AppKey;
use hallpass_core::zone::Zone;
use http::{HeaderMap, HeaderValue, header};

/// The host-only session cookie.
pub const SESSION: &str = "__Host-Http-hallpass";
/// One sign-in in progress.
pub const FLOW: &str = "__Host-Http-hallpass-flow";
/// The known-device mark.
pub const DEVICE: &str = "__Host-Http-hallpass-device";

/// Handoffs under way; each has eight characters of its own after this.
const TRANSACTION: &str = "__Host-Http-hallpass-tx-";
/// Sign-ins at an upstream under way; the same.
const UPSTREAM: &str = "__Host-Http-hallpass-up-";

/// Refresh tokens of browser clients; the same.
const REFRESH: &str = "__Host-Http-hallpass-rt-";

/// Values looked at in one request; protocol §14.
const MAXIMUM_COOKIES: usize = 64;

/// What a request says about one cookie name.
#[derive(Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No such cookie.
    None,
    /// Exactly one.
    One(&'a str),
    /// Two or more. One of our host-only names twice means that somebody else set one of them: they count as none and are expired.
    Several,
}

/// The values of every cookie whose name equals `name` byte for byte; one that is not even text counts, as the empty text.
///
/// Bytes, not text: another host of the company may set cookies with any bytes in them, and they must not hide ours.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    pairs(headers)
        .filter(move |(found, _)| *found == name.as_bytes())
        .map(|(_, value)| std::str::from_utf8(value).unwrap_or_default())
}

/// The name of the cookie of one handoff.
pub fn transaction(state: &State) -> String {
    format!("{TRANSACTION}{}", state.cookie_suffix())
}

/// The names of all handoffs' cookies that this browser holds.
pub fn transactions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    suffixed(headers, TRANSACTION)
}

/// The name of the cookie of one sign-in at an upstream.
pub fn upstream_transaction(suffix: &str) -> String {
    format!("{UPSTREAM}{suffix}")
}

/// The names of the cookies of all sign-ins at an upstream that this browser holds.
pub fn upstream_transactions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    suffixed(headers, UPSTREAM)
}

/// The name of the cookie that holds one client's refresh token: eight characters of its key's hash. Those of the key itself would be the same for
/// `warehouse-north` and `warehouse-south`, and each sign-in would push the other app's token out.
pub fn refresh(client: &AppKey) -> String {
    let digest = sha256(client.as_str().as_bytes());
    format!("{REFRESH}{}", URL_SAFE_NO_PAD.encode(&digest[..6]))
}

/// Names that are `prefix` and eight characters more.
fn suffixed<'h>(headers: &'h HeaderMap, prefix: &'static str) -> impl Iterator<Item = &'h str> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let ours = move |name: &[u8]| {
        name.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.len() == 8 && rest.iter().all(word))
    };
    pairs(headers)
        .map(|(name, _)| name)
        .filter(move |name| ours(name))
        .filter_map(|name| std::str::from_utf8(name).ok())
}

/// Names and values, in order.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .take(MAXIMUM_COOKIES)
        .filter_map(|pair| {
            let pair = trimmed(pair);
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((&pair[..equals], &pair[equals + 1..]))
        })
}

/// Without the blanks around it (RFC 6265 §5.4 puts one before each pair).
fn trimmed(pair: &[u8]) -> &[u8] {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let start = pair.iter().take_while(blank).count();
    let end = pair.len() - pair[start..].iter().rev().take_while(blank).count();
    &pair[start..end]
}

/// One of our own host-only cookies.
pub fn presented<'a>(headers: &'a HeaderMap, name: &'a str) -> Presented<'a> {
    let mut found = values(headers, name);
    match (found.next(), found.next()) {
        (None, _) => Presented::None,
        (Some(value), None) => Presented::One(value),
        (Some(_), Some(_)) => Presented::Several,
    }
}

/// A host-only cookie of ours; `maximum_age` in seconds, or until the browser closes.
pub fn host_only(name: &str, value: &str, maximum_age: Option<u64>) -> HeaderValue {
    let age = maximum_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    line(&format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}"))
}

/// A host-only cookie for pages of another site, where browsers neither keep nor send one that is `Lax`. `Partitioned` (CHIPS): it exists under that
/// site only, so that it is no third-party cookie that browsers block, and follows nobody around.
pub fn host_only_elsewhere(name: &str, value: &str, maximum_age: Option<u64>) -> HeaderValue {
    let age = maximum_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    line(&format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned{age}"))
}

/// Makes the browser forget a host-only cookie.
pub fn expire(name: &str) -> HeaderValue {
    host_only(name, "", Some(0))
}

/// The zone's pass, for all hosts of the zone, or for the one host of a bound zone. Protocol §2: the exact line that apps relay.
pub fn pass(zone: &Zone, value: &str, maximum_age: u64) -> String {
    let domain = if zone.bound { String::new() } else { format!("; Domain={}", zone.cookie_domain) };
    format!(
        "{}={value}{domain}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={maximum_age}; Priority=High",
        zone.pass_cookie()
    )
}

/// Makes the browser forget every pass that a request for this path could have carried: of the zone and of the host alone, and of each part of the
/// path, where a sibling may have put one so that it comes first (RFC 6265 §5.4). Up to a number that nobody honest needs.
pub fn expire_pass(zone: &Zone, path: &str) -> Vec<HeaderValue> {
    const MOST: usize = 32;
    let path = path.split(['?', '#', ';']).next().unwrap_or_default();
    let parts = path.match_indices('/').flat_map(|(index, _)| [&path[..index], &path[..=index]]);
    let paths = parts.chain([path]).filter(|path| path.starts_with('/'));
    let mut paths: Vec<&str> = paths.collect();
    paths.dedup();
    let domains = [String::new(), format!("; Domain={}", zone.cookie_domain)];
    let domains = if zone.bound { &domains[..1] } else { &domains[..] };
    let lines = paths.iter().flat_map(|path| domains.iter().map(move |domain| (path, domain)));
    let text = |(path, domain)| {
        format!("{}=; Path={path}{domain}; Secure; HttpOnly; SameSite=Lax; Max-Age=0", zone.pass_cookie())
    };
    lines.filter_map(|pair| HeaderValue::from_str(&text(pair)).ok()).take(MOST).collect()
}

/// A `Set-Cookie` value of our own making.
pub fn line(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("names, domains and encoded values are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).expect("valid"))).collect()
    }

    /// T42: two cookies of a host-only name cannot both be ours.
    #[test]
    fn a_doubled_cookie_counts_as_none() {
        assert_eq!(presented(&headers(&["a=1; __Host-Http-hallpass=x"]), SESSION), Presented::One("x"));
        assert_eq!(
            presented(&headers(&["__Host-Http-hallpass=x; __Host-Http-hallpass=y"]), SESSION),
            Presented::Several
        );
        assert_eq!(
            presented(&headers(&["__Host-Http-hallpass=x", "__Host-Http-hallpass=x"]), SESSION),
            Presented::Several
        );
        assert_eq!(
            presented(&headers(&["__host-http-hallpass=x", "=__Host-Http-hallpass=y"]), SESSION),
            Presented::None
        );
    }

    #[test]
    fn cookies_of_others_do_not_hide_ours() {
        let line = |bytes: &[u8]| {
            [(header::COOKIE, HeaderValue::from_bytes(bytes).expect("valid"))].into_iter().collect::<HeaderMap>()
        };
        assert_eq!(presented(&line(b"name=\xff; \t__Host-Http-hallpass=x "), SESSION), Presented::One("x"));
        assert_eq!(presented(&line(b"__Host-Http-hallpass=\xff; __Host-Http-hallpass=x"), SESSION), Presented::Several);
        assert_eq!(presented(&line(b"__Host-Http-hallpass=\xff"), SESSION), Presented::One(""));
    }

    #[test]
    fn clients_whose_keys_begin_alike_have_cookies_of_their_own() {
        let name = |key: &str| refresh(&key.parse().expect("a key"));
        assert_eq!(name("warehouse-north").len(), REFRESH.len() + 8);
        assert_ne!(name("warehouse-north"), name("warehouse-south"));
        assert_eq!(name("warehouse-north"), name("warehouse-north"));
    }

    #[test]
    fn looks_at_no_more_than_sixty_four() {
        let flood = (0..64).map(|number| format!("c{number}=1")).collect::<Vec<_>>().join("; ");
        assert_eq!(presented(&headers(&[&format!("{flood}; {SESSION}=x")]), SESSION), Presented::None);
    }
}
