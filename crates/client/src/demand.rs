//! What happens to somebody who has to show who they are first: windows go to the engine, forms to a page that says so,
//! programs get 401 (protocol §6, §8). A browser that keeps coming back is told why instead.

use axum::response::Response;
use http::HeaderValue;
use http::header::HeaderMap;

use crate::agent;
use crate::bounce::Bounces;
use crate::hallpass::Inner;
use crate::pages::{self, LoopCause};
use crate::set_cookie::with_cookies;
use crate::transaction::Way;
use crate::visit::Visit;

/// Whether this request may be answered with a way to the engine. A handoff needs a window that somebody looks at.
pub(crate) fn travels(inner: &Inner, visit: &Visit) -> bool {
    if inner.agent.is_some() { visit.window } else { visit.navigation }
}

/// Asks for a sign-in, as it suits who asked.
pub(crate) fn sign_in(
    inner: &Inner,
    visit: &Visit,
    headers: &HeaderMap,
    cause: LoopCause,
    cookies: Vec<HeaderValue>,
) -> Response {
    let url = match cause {
        LoopCause::Missing => inner.sign_in_url(&visit.destination),
        LoopCause::Refused | LoopCause::Conflict | LoopCause::Unrecognised => inner.refresh_url(&visit.destination),
    };
    if visit.page && !visit.navigation {
        // A form: its answer fills the window, but what was typed cannot be carried along. Say so, and lead back by one click.
        return with_cookies(pages::sign_in_first(&url), cookies);
    }
    if !travels(inner, visit) {
        let answer = pages::login_required(&inner.sign_in_url(&visit.destination), &inner.app_key);
        return with_cookies(answer, cookies);
    }
    let sent = if inner.agent.is_some() {
        agent::begin(inner, headers, Way::Path(visit.destination.clone()), false)
    } else {
        let now = inner.clock.unix_seconds();
        let counted = Bounces::read(headers, now).next(&visit.destination, now);
        counted.map(|counted| with_cookies(pages::redirect(&url), [counted]))
    };
    let answer = sent.unwrap_or_else(|| {
        tracing::warn!(?cause, "this browser keeps being sent to the engine and back");
        pages::stuck(cause, &visit.destination)
    });
    with_cookies(answer, cookies)
}
