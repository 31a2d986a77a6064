//! The loop guard: a short-lived cookie that counts how often this browser was sent to the engine. Someone whose
//! cookies do not arrive must see why instead of flickering between two hosts (protocol §6).

use http::HeaderValue;
use http::header::HeaderMap;

use crate::set_cookie;
use crate::{cookies, crypto};

/// The counter's name. Host-only, so a sibling cannot write it.
pub(crate) const COOKIE: &str = "__Host-Http-hallpass-bounce";

const WINDOW_SECONDS: u64 = 30;
/// Redirects for one destination within the window.
const MOST_FOR_ONE: u32 = 3;
/// Redirects within the window in all: a restored window with many tabs sends each of them once.
const MOST_IN_ALL: u32 = 24;

/// How often this browser was sent away lately.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounces {
    since: u64,
    in_all: u32,
    for_one: u32,
    destination: String,
}

impl Bounces {
    /// Reads the counter. Malformed, doubled or too old counts as none: losing it must be harmless.
    pub(crate) fn read(headers: &HeaderMap, now: u64) -> Self {
        match cookies::values(headers, COOKIE).as_slice() {
            [value] => std::str::from_utf8(value).ok().and_then(Self::parse),
            _ => None,
        }
        .filter(|bounces| now.checked_sub(bounces.since).is_some_and(|age| age < WINDOW_SECONDS))
        .unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let bounces = Self {
            since: parts.next()?.parse().ok()?,
            in_all: parts.next()?.parse().ok()?,
            for_one: parts.next()?.parse().ok()?,
            destination: parts.next().filter(|hash| hash.len() == 8)?.to_owned(),
        };
        parts.next().is_none().then_some(bounces)
    }

    /// Whether the browser brought a counter that still counts.
    pub(crate) fn any(&self) -> bool {
        self.in_all > 0
    }

    /// Counts one more redirect for `destination` and gives the cookie to send along; `None` if it is one too many.
    pub(crate) fn next(&self, destination: &str, now: u64) -> Option<HeaderValue> {
        let hash = crypto::fingerprint(&[destination.as_bytes()]);
        let destination = format!("{:08x}", u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
        let for_one = if self.destination == destination { self.for_one.saturating_add(1) } else { 1 };
        let in_all = self.in_all.saturating_add(1);
        if for_one > MOST_FOR_ONE || in_all > MOST_IN_ALL {
            return None;
        }
        let since = if self.any() { self.since } else { now };
        set_cookie::host_only(COOKIE, &format!("{since}.{in_all}.{for_one}.{destination}"), WINDOW_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bring(line: &HeaderValue) -> HeaderMap {
        let pair = line.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
        HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_str(&pair).expect("a header value"))])
    }

    #[test]
    fn three_redirects_for_one_destination_are_enough() {
        let mut headers = HeaderMap::new();
        for _ in 0..3 {
            headers = bring(&Bounces::read(&headers, 100).next("/orders", 100).expect("sent"));
        }
        assert_eq!(Bounces::read(&headers, 129).next("/orders", 129), None);
        assert!(Bounces::read(&headers, 130).next("/orders", 130).is_some(), "the window is over");
        assert!(Bounces::read(&headers, 99).next("/orders", 99).is_some(), "a clock stepped back is no loop");
    }

    #[test]
    fn many_tabs_are_no_loop_but_a_loop_over_many_addresses_is() {
        let mut headers = HeaderMap::new();
        let mut sent = 0;
        while let Some(line) = Bounces::read(&headers, 100).next(&format!("/tab/{sent}"), 100) {
            headers = bring(&line);
            sent += 1;
        }
        assert_eq!(sent, 24);
    }

    #[test]
    fn a_malformed_counter_is_none() {
        for text in [
            "",
            "1",
            "100.1.1.zz",
            "100.1.1.00000000.x",
            "x.1.1.00000000",
            "-1.1.1.00000000",
            "100.99999999999.1.00000000",
        ] {
            let headers = HeaderMap::from_iter([(
                http::header::COOKIE,
                HeaderValue::from_str(&format!("{COOKIE}={text}")).expect("a header value"),
            )]);
            assert_eq!(Bounces::read(&headers, 100), Bounces::default(), "{text}");
        }
    }
}
