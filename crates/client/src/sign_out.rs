//! `POST /.hallpass/sign-out`, and the agent's `/.sso/sign-out` (protocol §9): ends the session everywhere and removes its
//! traces here.

use std::sync::Arc;

use axum::response::Response;
use http::header::HeaderMap;

use crate::cookies::{self, Pass};
use crate::engine::Away;
use crate::hallpass::Inner;
use crate::identify::{Who, identify};
use crate::pages;
use crate::pass_cookie::pass_expiry;
use crate::seen;
use crate::set_cookie::with_cookies;
use crate::unfinished::Whose;
use crate::visit::Visit;

/// Answers a sign-out that came from a page of our own. Without a session to end, the engine's page asks, since a session
/// may be alive at home.
pub(crate) async fn answer(inner: &Arc<Inner>, visit: &Visit, headers: &HeaderMap) -> Response {
    let mut expiry = pass_expiry(inner, "/");
    expiry.extend(seen::expiry(&inner.origin.cookie_domains()));
    let presented = cookies::presented(headers, &inner.pass_cookie);
    let known = match identify(inner, &presented.passes, None, true).await {
        Ok(Who::Somebody(known)) => known,
        Ok(Who::Nobody | Who::Conflict) => {
            let url = inner.sign_out_url();
            let answer = if visit.page {
                pages::redirect(&url)
            } else {
                pages::json_answer(&serde_json::json!({"sign_out_url": url}))
            };
            return with_cookies(answer, expiry);
        }
        Err(away) => {
            tracing::warn!("signed out here only: the engine cannot be asked whose session this is");
            keep_trying(inner, presented.passes);
            return with_cookies(here_only(inner, visit, away), expiry);
        }
    };
    let facts = &known.facts;
    let answer = match inner.engine.sign_out(&facts.session_id, &facts.user_id).await {
        Ok(continue_at) => {
            tracing::info!(session_id = facts.session_id, "signed out");
            inner.memory.forget_where(|remembered| remembered.session_id == facts.session_id);
            done(inner, visit, continue_at)
        }
        Err(away) => {
            tracing::warn!(session_id = facts.session_id, "signed out here only: the engine does not know yet");
            inner.unfinished.keep_trying(&inner.engine, Whose::of(facts));
            here_only(inner, visit, away)
        }
    };
    with_cookies(answer, expiry)
}

/// Signed out. An app that names no place of its own lets the engine show the receipt.
fn done(inner: &Inner, visit: &Visit, continue_at: Option<String>) -> Response {
    match (visit.page, &inner.after_sign_out, continue_at) {
        (true, Some(path), _) => pages::redirect(path),
        (true, None, Some(url)) => pages::redirect(&url),
        (true, None, None) => pages::redirect("/"),
        (false, _, Some(url)) => pages::json_answer(&serde_json::json!({"signed_out": true, "continue_at": url})),
        (false, _, None) => pages::done(),
    }
}

/// The engine is to hear of it once it is back: by the session where this app remembers whose pass it was, else by the pass,
/// as long as that lives.
fn keep_trying(inner: &Inner, passes: Vec<Pass>) {
    let mut unknown = Vec::new();
    for pass in passes {
        match inner.memory.last_known(&inner.memory.key(&pass)) {
            Some(facts) => inner.unfinished.keep_trying(&inner.engine, Whose::of(&facts)),
            None => unknown.push(pass),
        }
    }
    if !unknown.is_empty() {
        inner.unfinished.keep_trying(&inner.engine, Whose::Bearer(unknown));
    }
}

fn here_only(inner: &Inner, visit: &Visit, away: Away) -> Response {
    if visit.page {
        pages::signed_out_here_only(&inner.sign_out_url())
    } else {
        pages::unavailable(false, away.retry_after())
    }
}
