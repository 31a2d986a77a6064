//! `GET /.sso/sync`: after a sign-out, the engine's chain comes by so that this browser drops what is over (protocol §9
//! number 5). Only the engine's word removes anything, so whoever forges a visit reaches nothing.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::request::Parts;

use super::chain;
use crate::cookies::{self, MOST_PASSES};
use crate::hallpass::Inner;
use crate::pages;
use crate::pass_cookie::pass_expiry;
use crate::seen;
use crate::set_cookie::with_cookies;
use crate::wire::{Answer, Question};

pub(super) async fn answer(inner: &Arc<Inner>, parts: &Parts) -> Response {
    let expiry = over(inner, parts).await;
    let answer = match chain(parts) {
        Some(chain) => pages::redirect(&inner.chain_url("/sign-out/next", &chain)),
        None => pages::redirect("/"),
    };
    with_cookies(answer, expiry)
}

/// What to expire.
async fn over(inner: &Inner, parts: &Parts) -> Vec<HeaderValue> {
    let presented = cookies::presented(&parts.headers, &inner.pass_cookie);
    // Without a pass there is nothing that could be over: `seen` stays, or anybody's link could make this app forget whom
    // it knows here.
    if presented.count == 0 {
        return Vec::new();
    }
    if presented.count > MOST_PASSES {
        return pass_expiry(inner, "/");
    }
    // Straight from the engine: memory, or a question that is under way, may be older than the sign-out.
    let answers = if presented.passes.is_empty() {
        Vec::new()
    } else {
        let question = Question { passes: presented.passes.clone(), csrf: None, if_version: None };
        let Ok(answers) = inner.engine.introspect(&question).await else { return Vec::new() };
        answers
    };
    let mut anybody = false;
    for (pass, answer) in presented.passes.iter().zip(&answers) {
        match answer {
            Answer::Inactive => inner.memory.forget(&inner.memory.key(pass)),
            Answer::Active { .. } => anybody = true,
        }
    }
    // One that is over beside one that is not cannot be removed alone, as they share a name; it is passed over anyway.
    if anybody {
        return Vec::new();
    }
    let mut expiry = pass_expiry(inner, "/");
    expiry.extend(seen::expiry(&inner.origin.cookie_domains()));
    expiry
}
