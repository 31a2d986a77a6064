//! Silent discovery (protocol §8): whoever comes to an open page without a pass may be signed in at home all the same. One
//! look, then not again for ten minutes.

use axum::response::Response;
use http::HeaderValue;
use http::header::{HeaderMap, USER_AGENT};

use super::begin;
use crate::cookies;
use crate::hallpass::Inner;
use crate::set_cookie;
use crate::transaction::Way;
use crate::visit::{SEC_FETCH_MODE, Visit};

/// Says that nobody was signed in at home a moment ago.
const NOBODY: &str = "__Host-Http-hallpass-nobody";
const NOBODY_SECONDS: u64 = 600;

/// Parts of what programs that read pages for others call themselves. They must see the page and not a redirect, or it
/// disappears from what people search.
const CRAWLERS: [&str; 10] =
    ["bot", "crawl", "spider", "slurp", "preview", "facebookexternalhit", "headless", "curl", "wget", "python"];

/// The answer that goes and looks, if this visitor of an open page is worth it; `None` to show the page as it is.
pub(crate) fn discover(inner: &Inner, visit: &Visit, headers: &HeaderMap) -> Option<Response> {
    let wanted = inner.agent.is_some_and(|agent| agent.discover)
        && visit.window
        && headers.contains_key(SEC_FETCH_MODE)
        && !is_nobody(headers)
        && !is_crawler(headers)
        // Open pages need no engine: one that is away must not take them along.
        && !inner.memory.is_deaf();
    if !wanted {
        return None;
    }
    begin(inner, headers, Way::Path(visit.destination.clone()), true)
}

/// To be set when nobody was there.
pub(super) fn nobody() -> Option<HeaderValue> {
    set_cookie::host_only(NOBODY, "1", NOBODY_SECONDS)
}

/// To be sent once somebody is.
pub(super) fn somebody(headers: &HeaderMap) -> Vec<HeaderValue> {
    if is_nobody(headers) { set_cookie::expiry(NOBODY, "/", &[]) } else { Vec::new() }
}

fn is_nobody(headers: &HeaderMap) -> bool {
    !cookies::values(headers, NOBODY).is_empty()
}

fn is_crawler(headers: &HeaderMap) -> bool {
    headers.get_all(USER_AGENT).iter().any(|agent| {
        let agent = String::from_utf8_lossy(agent.as_bytes()).to_ascii_lowercase();
        CRAWLERS.iter().any(|crawler| agent.contains(crawler))
    })
}
