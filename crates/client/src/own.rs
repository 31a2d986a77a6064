//! The layer's own endpoints, both POST and same-origin: `/.hallpass/switch` (the click that names a person, protocol
//! §2) and `/.hallpass/sign-out` (protocol §9).

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, header};

use crate::cookies;
use crate::csrf::{LARGEST_FORM, field};
use crate::destination::local;
use crate::hallpass::Inner;
use crate::identify::{Who, identify};
use crate::pages;
use crate::pass_cookie::relayed;
use crate::recognise::{self, Recognition, recognise};
use crate::seen;
use crate::set_cookie::with_cookies;
use crate::sign_out;
use crate::visit::{OWN_PATHS, Visit};

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
    if name == "switch" {
        switch(inner, visit, parts, body).await
    } else {
        sign_out::answer(inner, visit, &parts.headers).await
    }
}

/// Accepts the person whom the page named, if it is still the one signed in; else asks again.
async fn switch(inner: &Arc<Inner>, visit: &Visit, parts: &Parts, body: Body) -> Response {
    let Ok(form) = to_bytes(body, LARGEST_FORM).await else { return pages::TOO_LARGE.answer(visit.page) };
    let (Ok(Some(answer)), Ok(destination)) = (field(&form, "person"), field(&form, "return_to")) else {
        return pages::INVALID_FORM.answer(visit.page);
    };
    let visit = Visit { destination: local(&destination.unwrap_or_default()), ..visit.clone() };
    let presented = cookies::presented(&parts.headers, &inner.pass_cookie);
    let known = match identify(inner, &presented.passes, None, true).await {
        Ok(Who::Somebody(known)) => known,
        // Nothing to confirm any more: the destination decides what comes next.
        Ok(Who::Nobody | Who::Conflict) => return pages::redirect(&visit.destination),
        Err(away) => return pages::unavailable(visit.page, away.retry_after()),
    };
    if !seen::confirms(&answer, &known.facts, inner.clock.unix_seconds(), &inner.sealer) {
        return match recognise(inner, &parts.headers, &known.facts) {
            Recognition::Accepted(_) => pages::redirect(&visit.destination),
            Recognition::Ask(before) => recognise::ask(inner, &visit, &known.facts, before.as_ref()),
        };
    }
    tracing::info!(user_id = known.facts.user_id, "confirmed by a click");
    let mut cookies = recognise::remember(inner, &known.facts, false);
    cookies.extend(relayed(inner, &known));
    with_cookies(pages::redirect(&visit.destination), cookies)
}
