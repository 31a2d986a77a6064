//! The pass's cookie in answers of this app: relayed as the engine made it, expired wherever it could lie (protocol §2).

use http::HeaderValue;

use crate::hallpass::Inner;
use crate::memory::Known;
use crate::set_cookie;

/// The name of a zone's pass, unless configured otherwise at the engine.
pub(crate) const ZONE: &str = "__Secure-hallpass-pass";
/// The name of a bound app's pass: host-only, out of the siblings' reach.
pub(crate) const BOUND: &str = "__Host-Http-hallpass-pass";

/// The fresh pass that came with an introspection, to be relayed to the browser.
pub(crate) fn relayed(inner: &Inner, known: &Known) -> Option<HeaderValue> {
    relay(inner, known.set_cookie.as_deref()?)
}

/// The engine's line, if it sets this app's pass; a bound app's, only if no other host can read it.
pub(crate) fn relay(inner: &Inner, line: &str) -> Option<HeaderValue> {
    let relayed =
        set_cookie::relayable(line, &inner.pass_cookie).filter(|_| !inner.is_bound() || set_cookie::is_host_only(line));
    if relayed.is_none() {
        tracing::error!(
            bound = inner.is_bound(),
            "the engine asked to relay a cookie that is not this app's pass; are its name, and whether the app is bound, the same there?"
        );
    }
    relayed
}

/// Removes every pass that this request could have carried. A bound app's lies in one place only.
pub(crate) fn pass_expiry(inner: &Inner, path: &str) -> Vec<HeaderValue> {
    if inner.is_bound() {
        return set_cookie::expiry(&inner.pass_cookie, "/", &[]);
    }
    set_cookie::expiry(&inner.pass_cookie, path, &inner.origin.cookie_domains())
}
