//! `GET /oauth/logout`: a client sends its person here to sign out everywhere, and gets them back (OIDC RP-Initiated Logout 1.0 §2).
//!
//! Only an `id_token_hint` of the very session that this browser holds ends it without a question; everybody else sees our own page, which asks.
//! Back to the client leads only an address that is registered for it, byte by byte (advisory T9).

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::AppKey;
use hallpass_core::oidc::{RedirectUri, VerifiedIdToken, verify_hint};
use hallpass_core::session::EndReason;
use hallpass_store::view::Policy;
use hallpass_store::{audit, sessions};
use serde::Deserialize;

use crate::pass::see_other;
use crate::sign_out;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::headers::require_navigation;

/// Others are ignored.
#[derive(Deserialize)]
struct Request {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

/// The handler.
pub async fn logout(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let request: Request = call.query()?;
    let policy = call.context.view.policy().await?;
    let issuer = call.context.public_url.as_str();
    let hint = request.id_token_hint.as_deref().map(|hint| verify_hint(hint, &policy.keyring, issuer, call.now));
    let hint = hint.and_then(Result::ok).filter(|hint| {
        // Two names for one client: whoever mixes them up gets no redirect out of it.
        request.client_id.as_deref().is_none_or(|client| client == hint.client_id)
    });
    let Some(hint) = hint else { return Ok(see_other("/sign-out")) };
    let there = registered(&policy, &hint, &request).map(|uri| match &request.state {
        Some(state) => uri.with(&[("state", state)]),
        None => uri.as_str().to_owned(),
    });
    match &call.proof.session {
        Some(live) if live.session.id == hint.session_id => {
            let by = policy.by_client_id(&hint.client_id).map(|index| &policy.apps[index].app.key);
            end(&call, live, by, there).await
        }
        // Another session: the client's word on the old one is no word on this one.
        Some(_) => Ok(see_other("/sign-out")),
        None => Ok(see_other(there.as_deref().unwrap_or("/sign-out"))),
    }
}

fn registered<'p>(policy: &'p Policy, hint: &VerifiedIdToken, request: &Request) -> Option<&'p RedirectUri> {
    let asked = request.post_logout_redirect_uri.as_deref()?;
    let app = &policy.apps[policy.by_client_id(&hint.client_id)?].app;
    let uris = Some(&app.post_logout_redirect_uris).filter(|_| app.disabled_at.is_none())?;
    uris.iter().find(|uri| uri.as_str() == asked)
}

async fn end(
    call: &Call<Visitor>,
    live: &LiveSession,
    by: Option<&AppKey>,
    there: Option<String>,
) -> Result<Response, Error> {
    let (context, id, user) = (&call.context, live.session.id, live.user.id);
    let mut write = context.store.write().await?;
    if sessions::end(&mut write, &id, EndReason::SignedOut, call.now).await? {
        let entry = Entry::new(Event::SignedOut, Actor::User(user), call.now, &mut context.random());
        let entry = entry.user(user).session(id).ip(call.ip);
        let entry = match by {
            Some(app) => entry.app(app),
            None => entry,
        };
        audit::append(&mut write, &(&entry).into()).await?;
    }
    write.commit().await?;
    let mut response = see_other(&sign_out::way_on(context, &id, None, there, call.now).await?);
    sign_out::forget(context, &mut response).await?;
    Ok(response)
}
