//! The layer's own endpoints, both POST and same-origin: `/.hallpass/switch` (the click that names a person, protocol
//! §2) and `/.hallpass/sign-out` (protocol §9).

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, header};

use crate::admit::{self, Who, pass_expiry, with_cookies};
use crate::cookies;
use crate::csrf::{LARGEST_FORM, field};
use crate::hallpass::Inner;
use crate::pages;
use crate::seen;
use crate::visit::{self, OWN_PATHS, Visit};

/// Answers a request to one of the layer's own paths.
pub(crate) async fn answer(inner: &Arc<Inner>, visit: &Visit, parts: &Parts, body: Body) -> Response {
    let name = visit.path.strip_prefix(OWN_PATHS).unwrap_or_default();
    if !matches!(name, "switch" | "sign-out") {
        return pages::NOT_FOUND.answer(visit.page);
    }
    if parts.method != Method::POST {
        let mut response = pages::METHOD_NOT_ALLOWED.answer(visit.page);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if name == "switch" { switch(inner, visit, parts, body).await } else { sign_out(inner, visit, parts).await }
}

/// Accepts the person whom the page named, if it is still the one signed in; else asks again.
async fn switch(inner: &Arc<Inner>, visit: &Visit, parts: &Parts, body: Body) -> Response {
    let Ok(form) = to_bytes(body, LARGEST_FORM).await else { return pages::TOO_LARGE.answer(visit.page) };
    let (Ok(Some(answer)), Ok(destination)) = (field(&form, "person"), field(&form, "return_to")) else {
        return pages::INVALID_FORM.answer(visit.page);
    };
    let visit = Visit { destination: visit::local(&destination.unwrap_or_default()), ..visit.clone() };
    let presented = cookies::presented(&parts.headers, &inner.pass_cookie);
    let known = match admit::identify(inner, &presented.passes, None, true).await {
        Ok(Who::Somebody(known)) => known,
        // Nothing to confirm any more: the destination decides what comes next.
        Ok(Who::Nobody | Who::Conflict) => return pages::redirect(&visit.destination),
        Err(away) => return admit::unavailable(&visit, away),
    };
    if !seen::confirms(&answer, &known.facts, inner.clock.unix_seconds(), &inner.sealer) {
        return match admit::recognise(inner, &parts.headers, &known.facts) {
            admit::Recognition::Accepted(_) => pages::redirect(&visit.destination),
            admit::Recognition::Ask(before) => admit::ask(inner, &visit, &known.facts, before.as_ref()),
        };
    }
    tracing::info!(user_id = known.facts.user_id, "confirmed by a click");
    let mut cookies = admit::remember(inner, &known.facts, false);
    cookies.extend(admit::relayed(inner, &known));
    with_cookies(pages::redirect(&visit.destination), cookies)
}

/// Ends the session everywhere and removes its traces here. Without a session to end, the engine's page asks, since
/// a session may be alive at home.
async fn sign_out(inner: &Arc<Inner>, visit: &Visit, parts: &Parts) -> Response {
    let mut expiry = pass_expiry(inner, "/");
    expiry.extend(seen::expiry(&inner.origin.cookie_domains()));
    let presented = cookies::presented(&parts.headers, &inner.pass_cookie);
    let known = match admit::identify(inner, &presented.passes, None, true).await {
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
            return with_cookies(here_only(inner, visit, away), expiry);
        }
    };
    let facts = &known.facts;
    if let Err(away) = inner.engine.sign_out(&facts.session_id, &facts.user_id).await {
        tracing::warn!(session_id = facts.session_id, "signed out here only: the engine does not know yet");
        return with_cookies(here_only(inner, visit, away), expiry);
    }
    inner.memory.forget_where(|remembered| remembered.session_id == facts.session_id);
    tracing::info!(session_id = facts.session_id, "signed out");
    let answer = if visit.page { pages::redirect(&inner.after_sign_out) } else { pages::done() };
    with_cookies(answer, expiry)
}

fn here_only(inner: &Inner, visit: &Visit, away: crate::engine::Away) -> Response {
    if visit.page { pages::signed_out_here_only(&inner.sign_out_url()) } else { admit::unavailable(visit, away) }
}
