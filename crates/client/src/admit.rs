//! Who may pass: from the cookies of a request to a caller, an anonymous visitor, or an answer that ends it here.
//! The whole policy of protocol §2 (several passes, subject switch, first contact), §4 and §6, in order.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::header::HeaderMap;

use crate::agent;
use crate::bounce::{self, Bounces};
use crate::caller::Caller;
use crate::cookies::{self, MOST_PASSES};
use crate::csrf;
use crate::demand;
use crate::hallpass::Inner;
use crate::identify::{Who, identify};
use crate::pages::{self, LoopCause};
use crate::pass_cookie::{pass_expiry, relayed};
use crate::recognise::{Recognition, ask, recognise};
use crate::set_cookie::{self, with_cookies};
use crate::settings::CsrfMode;
use crate::visit::Visit;
use crate::wire::CsrfCheck;

/// Somebody who may pass, and the cookies that go back with the answer.
pub(crate) struct Admitted {
    /// `None` for an anonymous visitor.
    pub(crate) caller: Option<Caller>,
    pub(crate) cookies: Vec<HeaderValue>,
}

/// Decides about one request whose origin has been checked already.
pub(crate) async fn admit(
    inner: &Arc<Inner>,
    visit: &Visit,
    headers: &HeaderMap,
    method: &http::Method,
    csrf: csrf::Presented,
) -> Result<Admitted, Response> {
    let optional = visit.path_is_plain() && (inner.optional)(&visit.path);
    let anonymous = |cookies| Admitted { caller: None, cookies };
    let presented = cookies::presented(headers, &inner.pass_cookie);
    if presented.count > MOST_PASSES {
        tracing::warn!(count = presented.count, "more passes than any honest browser sends");
        let answer = pages::TOO_MANY_COOKIES.answer(visit.page);
        return Err(with_cookies(answer, pass_expiry(inner, &visit.path)));
    }
    if presented.count == 0 {
        if !optional {
            return Err(demand::sign_in(inner, visit, headers, LoopCause::Missing, Vec::new()));
        }
        return match agent::discover(inner, visit, headers) {
            Some(answer) => Err(answer),
            None => Ok(anonymous(Vec::new())),
        };
    }
    let check = match csrf {
        csrf::Presented::Absent => None,
        csrf::Presented::Token(token) => Some(CsrfCheck { token, method: method.as_str().to_owned() }),
        csrf::Presented::Malformed => return Err(pages::CSRF_FAILED.answer(visit.page)),
    };
    let token_presented = check.is_some();
    let known = match identify(inner, &presented.passes, check, visit.may_change).await {
        Err(away) => return Err(pages::unavailable(visit.page, away.retry_after())),
        Ok(Who::Nobody) if optional => return Ok(anonymous(Vec::new())),
        Ok(Who::Nobody) => return Err(demand::sign_in(inner, visit, headers, LoopCause::Refused, Vec::new())),
        Ok(Who::Conflict) => {
            tracing::warn!(path = visit.path, "pass conflict: passes of different sessions in one request");
            let expiry = pass_expiry(inner, &visit.path);
            return if optional && !demand::travels(inner, visit) {
                Ok(anonymous(expiry))
            } else {
                Err(demand::sign_in(inner, visit, headers, LoopCause::Conflict, expiry))
            };
        }
        Ok(Who::Somebody(known)) => known,
    };
    let mut cookies = match recognise(inner, headers, &known.facts) {
        Recognition::Accepted(cookies) => cookies,
        Recognition::Ask(_) if optional => return Ok(anonymous(Vec::new())),
        // The home session says who is here: nobody has to be asked what can be looked up.
        Recognition::Ask(_) if inner.agent.is_some() && visit.window => {
            return Err(demand::sign_in(inner, visit, headers, LoopCause::Unrecognised, Vec::new()));
        }
        Recognition::Ask(before) => return Err(ask(inner, visit, &known.facts, before.as_ref())),
    };
    if known.csrf_failed || (visit.may_change && inner.csrf == CsrfMode::Token && !token_presented) {
        tracing::warn!(path = visit.path, user_id = known.facts.user_id, "CSRF token missing or not valid");
        return Err(pages::CSRF_FAILED.answer(visit.page));
    }
    cookies.extend(relayed(inner, &known));
    if Bounces::read(headers, inner.clock.unix_seconds()).any() {
        cookies.extend(set_cookie::expiry(bounce::COOKIE, "/", &[]));
    }
    Ok(Admitted { caller: Some(Caller(known.facts)), cookies })
}
