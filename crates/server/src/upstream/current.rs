//! Before a browser is given something new for its session, what the session stands on is looked at, unless that was done a moment ago.
//! Protocol §10 ("re-check at refresh").

use std::future::Future;
use std::time::Duration;

use axum::response::Response;
use hallpass_core::session::Session;
use hallpass_core::time::Timestamp;
use hallpass_store::upstreams;

use super::kratos::Away;
use super::recheck::{self, Verdict};
use crate::context::Context;
use crate::pass::Journey;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::{handoff, oidc, pass, sign_in};

/// An answer is believed for so long.
const BELIEVED: Duration = Duration::from_secs(30);

/// `GET /continue`, for a session that still stands.
pub async fn next(call: Call<LiveSession>) -> Result<Response, Error> {
    if stands(&call.context, &call.proof.session, call.now).await? {
        return sign_in::next::next(call).await;
    }
    let journey: Journey = call.query()?;
    Ok(sign_in::redirect(&journey, &Visitor { session: None, stale_cookie: true }))
}

/// `GET /pass/refresh`, for a session that still stands.
pub async fn refresh_by_navigation(call: Call<Visitor>) -> Result<Response, Error> {
    standing(call, pass::refresh_by_navigation).await
}

/// `POST /pass/refresh`, for a session that still stands.
pub async fn refresh_by_fetch(call: Call<Visitor>) -> Result<Response, Error> {
    standing(call, pass::refresh_by_fetch).await
}

/// `GET /handoff/authorize`, for a session that still stands: what it leads to is a new pass of another zone.
pub async fn authorize(call: Call<Visitor>) -> Result<Response, Error> {
    standing(call, handoff::authorize::authorize).await
}

/// `GET /oauth/authorize`, for a session that still stands: what it leads to is tokens.
pub async fn authorize_client(call: Call<Visitor>) -> Result<Response, Error> {
    standing(call, oidc::authorize::authorize).await
}

/// `GET /oauth/continue`, likewise.
pub async fn resume_client(call: Call<Visitor>) -> Result<Response, Error> {
    standing(call, oidc::authorize::resume).await
}

/// `POST /device/decide`, likewise.
pub async fn decide_device(call: Call<LiveSession>) -> Result<Response, Error> {
    if stands(&call.context, &call.proof.session, call.now).await? {
        return oidc::device::page::decide(call).await;
    }
    Ok(sign_in::redirect(&oidc::device::journey(None), &Visitor { session: None, stale_cookie: true }))
}

/// Somebody whose session has lost its footing is a visitor without one.
async fn standing<F>(mut call: Call<Visitor>, handler: impl Fn(Call<Visitor>) -> F) -> Result<Response, Error>
where
    F: Future<Output = Result<Response, Error>>,
{
    let lost = match &call.proof.session {
        Some(live) => !stands(&call.context, &live.session, call.now).await?,
        None => false,
    };
    if lost {
        call.proof = Visitor { session: None, stale_cookie: true };
    }
    handler(call).await
}

/// Whether a session may go on.
async fn stands(context: &Context, session: &Session, now: Timestamp) -> Result<bool, Error> {
    let Some(kratos) = &context.kratos else { return Ok(true) };
    let footing = upstreams::footing(&mut context.store.read().await?, &session.id).await?;
    let Some(footing) = footing else { return Ok(true) };
    if now.since(footing.checked_at) < BELIEVED {
        return Ok(true);
    }
    // While it does not answer, not everybody waits for it each time.
    let verdict = if footing.failing_since.is_some() && now < footing.due_at {
        Verdict::Unknown(Away("it could not be asked a moment ago".to_owned()))
    } else {
        recheck::ask(context, kratos, &footing, now).await
    };
    Ok(recheck::settle(context, kratos, &footing, verdict, now).await?)
}
