//! Signing out: the page that asks, its form, and the call by which an app ends the session of its visitor. Protocol §9.

pub mod deliver;
pub mod receipt;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::{SessionId, UserId, ZoneName};
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_store::{audit, sessions};
use http::{HeaderValue, header};
use serde::Deserialize;

use crate::context::Context;
use crate::handoff::chain;
use crate::jobs;
use crate::pass::{Journey, see_other};
use crate::upstream;
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::{AppCaller, LiveSession, Visitor};
use crate::web::page::{SignOutPage, SignedOutPage};
use crate::web::respond::{html, person};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `GET /sign-out`: asks. A link or an image that points here does nothing (advisory T51).
pub async fn page(call: Call<Visitor>) -> Result<Response, Error> {
    let _: Journey = call.query()?;
    let brand = call.context.config.brand.clone();
    let Some(live) = &call.proof.session else {
        let mut response = html(&SignedOutPage::plain(brand));
        forget(&call.context, &mut response).await?;
        return Ok(response);
    };
    Ok(html(&SignOutPage {
        brand,
        csrf_token: call.page_token(live.session.id.as_bytes()),
        person: person(&live.user),
    }))
}

/// `POST /sign-out`: ends this browser's session, for every app of the zone at once.
pub async fn submit(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let id = call.proof.session.id;
    let _: Confirmed = call.form(id.as_bytes()).await?;
    catch_up(&call.context).await;
    let mut write = call.context.store.write().await?;
    if sessions::end(&mut write, &id, EndReason::SignedOut, call.now).await? {
        let user = call.proof.user.id;
        let entry = Entry::new(Event::SignedOut, Actor::User(user), call.now, &mut call.context.random())
            .user(user)
            .session(id)
            .ip(call.ip);
        audit::append(&mut write, &(&entry).into()).await?;
    }
    write.commit().await?;
    let mut response = see_other(&way_on(&call.context, &id, None, None, call.now).await?);
    forget(&call.context, &mut response).await?;
    Ok(response)
}

/// Which apps have learned of a session is written down twice a second. Somebody who signs out sooner than that must not miss one of them on the receipt,
/// nor keep its cookie. If it fails now, the job does it, and the apps are told all the same.
async fn catch_up(context: &Arc<Context>) {
    if let Err(error) = jobs::write_down(context.clone()).await {
        tracing::warn!(%error, "the last activity could not be written down before a sign-out");
    }
}

/// Where a browser goes on to whose session has just ended in the zone `here`: through the other zones that knew it, if there are any, to `there`, which
/// the caller has checked, or to the receipt; before that, to sign out at the provider that the session came of.
pub async fn way_on(
    context: &Context,
    ended: &SessionId,
    here: Option<&ZoneName>,
    there: Option<String>,
    now: Timestamp,
) -> Result<String, Error> {
    let there = there.unwrap_or_else(|| receipt::path(&context.keys.receipt, &[*ended], now, &mut context.random()));
    let there = upstream::oidc::sign_out::by_way_of_provider(context, ended, there, now).await?;
    let policy = context.view.policy().await?;
    let chain = chain::after_sign_out(context, &policy, ended, here, there.clone(), now).await?;
    Ok(chain.unwrap_or(there))
}

/// Expires the session cookie and the home zone's pass in this browser.
pub async fn forget(context: &Context, response: &mut Response) -> Result<(), Error> {
    let policy = context.view.policy().await?;
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookies::expire(cookies::SESSION));
    if let Some(home) = &policy.home {
        headers.append(header::SET_COOKIE, cookies::line(&cookies::pass(home, "", 0)));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByApp {
    /// The session, as introspection named it.
    sid: SessionId,
    /// Whose it is: both must fit, so that a mixed-up pair ends nothing.
    sub: UserId,
}

/// `POST /api/v1/sign-out {"sid", "sub"}`: the session has ended when the answer comes, and `continue_at` is where the browser may go on to, to see
/// the receipt. A session that is not there, or not theirs, is signed out already.
pub async fn by_app(mut call: Call<AppCaller>) -> Result<Response, Error> {
    let ByApp { sid, sub } = call.json().await?;
    let (app, zone) = (call.proof.app().app.key.clone(), call.proof.app().zone.name.clone());
    catch_up(&call.context).await;
    let mut write = call.context.store.write().await?;
    let theirs = sessions::find(&mut write, &sid).await?.is_some_and(|session| session.user_id == sub);
    if theirs && sessions::end(&mut write, &sid, EndReason::SignedOut, call.now).await? {
        let entry = Entry::new(Event::SignedOut, Actor::App(app.clone()), call.now, &mut call.context.random())
            .user(sub)
            .session(sid)
            .app(&app);
        audit::append(&mut write, &(&entry).into()).await?;
    }
    write.commit().await?;
    let there =
        if theirs { way_on(&call.context, &sid, Some(&zone), None, call.now).await? } else { "/sign-out".to_owned() };
    let answer =
        serde_json::json!({ "signed_out": true, "continue_at": format!("{}{there}", call.context.public_url) });
    let mut response = Response::new(Body::from(answer.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
