//! `POST /handoff/token`: an app that is its own agent redeems a code for the pass of its zone. Protocol §8 number 4; RFC 6749 §4.1.3.
//!
//! One guarded statement redeems; whatever is found wrong afterwards, the code is used up. Whoever did not hear the answer may ask again in the
//! same words within ten seconds and gets the same answer: it is kept, sealed.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::handoff::{self, CodeVerifier, HandoffRefused};
use hallpass_core::id::{SessionId, UserId};
use hallpass_core::keyring::Purpose;
use hallpass_core::secret::{HandoffCode, Secret};
use hallpass_core::session::Session;
use hallpass_store::handoffs::{ForApp, RedeemedHandoff};
use hallpass_store::{audit, handoffs, sessions, users};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::entry;
use crate::introspect::envelope_of;
use crate::pass;
use crate::web::call::{Call, content_type};
use crate::web::error::Error;
use crate::web::guard::AppCaller;
use crate::web::parameters::parameters;

/// The purpose of the key that answers are kept under.
pub const SEALER: &str = "handoff answer";
/// How long an identical retry gets the identical answer.
const RETRY: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    code: String,
    redirect_uri: String,
    code_verifier: String,
}

/// The handler. 400 `invalid_grant` for every doubt about the code; which one is in the audit log.
pub async fn token(mut call: Call<AppCaller>) -> Result<Response, Error> {
    if content_type(call.headers()) != Some("application/x-www-form-urlencoded") {
        return Err(Error::unsupported_media_type());
    }
    let body = call.bytes().await?;
    let request: Request = parameters(&body)?;
    // Garbage is refused without a look into the database, like a code that nobody knows.
    let code = Secret::<HandoffCode>::parse(&request.code);
    let verifier: Option<CodeVerifier> = request.code_verifier.parse().ok();
    let (Some(code), Some(verifier)) = (code, verifier) else {
        return refuse(&call, HandoffRefused::NoCode, None).await;
    };
    match redeem(&call, &code, &verifier, &request.redirect_uri).await? {
        Ok(answer) => Ok(json(answer)),
        Err(refused) => refuse(&call, refused, Some(&code)).await,
    }
}

/// The answer, as JSON. The outer error is a fault of ours: the code is then as it was.
async fn redeem(
    call: &Call<AppCaller>,
    code: &Secret<HandoffCode>,
    verifier: &CodeVerifier,
    redirect_uri: &str,
) -> Result<Result<Vec<u8>, HandoffRefused>, Error> {
    let (context, digest) = (&call.context, code.digest());
    let mut write = context.store.write().await?;
    let redeemed = match handoffs::redeem(&mut write, &digest, call.now).await? {
        Ok(redeemed) => redeemed,
        Err(HandoffRefused::CodeReused) => {
            let before = handoffs::answered(&mut write, &digest, call.now - RETRY).await?;
            let same = before.filter(|(redeemed, _)| fits(call, redeemed, verifier, redirect_uri).is_ok());
            let again = same.and_then(|(_, sealed)| context.keys.handoff_answer.open(&sealed, digest.as_bytes()));
            return Ok(again.map(|answer| answer.to_vec()).ok_or(HandoffRefused::CodeReused));
        }
        Err(refused) => return Ok(Err(refused)),
    };
    let judged = match fits(call, &redeemed, verifier, redirect_uri) {
        Ok(for_app) => live(call, &mut write, &redeemed).await?.map(|session| (session, for_app)),
        Err(refused) => Err(refused),
    };
    let (session, for_app) = match judged {
        Ok(judged) => judged,
        Err(refused) => {
            write.commit().await?;
            return Ok(Err(refused));
        }
    };
    let zone = call.proof.app().zone.clone();
    let line = pass::line(context, &call.proof.policy, &zone, &session, call.now)?;
    let envelope = envelope_of(call, &line).await?;
    if envelope["active"] != true && for_app.return_to.is_none() {
        write.commit().await?;
        return Ok(Err(HandoffRefused::NoAccess));
    }
    let answer = serde_json::json!({
        "assertion": assertion(call, &session, for_app)?,
        "set_cookie": line,
        "envelope": envelope,
        "return_to": for_app.return_to,
    });
    let answer = serde_json::to_vec(&answer).map_err(|error| Error::internal().because(error.to_string()))?;
    let sealed = context.keys.handoff_answer.seal(&answer, digest.as_bytes(), &mut context.random());
    handoffs::remember_answer(&mut write, &digest, &sealed).await?;
    let entry = entry(call, Event::HandedOff, &zone, Some((session.id, session.user_id)));
    audit::append(&mut write, &(&entry.app(&call.proof.app().app.key)).into()).await?;
    write.commit().await?;
    context.telemetry.handed_off();
    Ok(Ok(answer))
}

/// Whether the code is for this caller, this address and this verifier.
fn fits<'r>(
    call: &Call<AppCaller>,
    redeemed: &'r RedeemedHandoff,
    verifier: &CodeVerifier,
    redirect_uri: &str,
) -> Result<&'r ForApp, HandoffRefused> {
    let caller = &call.proof.app().app;
    let for_app = redeemed.app().filter(|for_app| for_app.app == caller.key).ok_or(HandoffRefused::WrongApp)?;
    if for_app.redirect_uri != redirect_uri {
        return Err(HandoffRefused::WrongRedirectUri);
    }
    // Its zone may have been changed since; a pass is for the zone that the code was asked for.
    if *redeemed.zone() != call.proof.app().zone.name {
        return Err(HandoffRefused::WrongZone);
    }
    if !redeemed.challenge().is_answered_by(verifier) {
        return Err(HandoffRefused::WrongVerifier);
    }
    Ok(for_app)
}

async fn live(
    call: &Call<AppCaller>,
    write: &mut hallpass_store::Write,
    redeemed: &RedeemedHandoff,
) -> Result<Result<Session, HandoffRefused>, Error> {
    let session = sessions::find(write, &redeemed.session()).await?.filter(|session| session.check(call.now).is_ok());
    let Some(session) = session else { return Ok(Err(HandoffRefused::SessionOver)) };
    let user = users::find(write, &session.user_id).await?;
    let may = user.is_some_and(|user| user.disabled_at.is_none() && !user.must_change_password);
    Ok(if may { Ok(session) } else { Err(HandoffRefused::SessionOver) })
}

fn assertion(call: &Call<AppCaller>, session: &Session, for_app: &ForApp) -> Result<String, Error> {
    let signer = call.proof.policy.keyring.signer(Purpose::Token, call.now);
    let signer = signer.ok_or_else(|| Error::unavailable().because("no key to sign assertions with"))?;
    let assertion = handoff::Assertion {
        issuer: call.context.public_url.as_str(),
        app: &for_app.app,
        redirect_uri: &for_app.redirect_uri,
        nonce: &for_app.nonce,
        user_id: session.user_id,
        session_id: session.id,
        authenticated_at: session.authenticated_at,
        issued_at: call.now,
    };
    Ok(assertion.mint(signer, &mut call.context.random()))
}

async fn refuse(
    call: &Call<AppCaller>,
    refused: HandoffRefused,
    code: Option<&Secret<HandoffCode>>,
) -> Result<Response, Error> {
    let (context, app) = (&call.context, call.proof.app());
    tracing::info!(request_id = %call.request_id, app = %app.app.key, reason = refused.as_str(), "handoff refused");
    context.telemetry.handoff_refused();
    let mut write = context.store.write().await?;
    let session = match code {
        Some(code) => handoffs::session_of(&mut write, &code.digest()).await?,
        None => None,
    };
    let whose: Option<(SessionId, UserId)> = match session {
        Some(id) => sessions::find(&mut write, &id).await?.map(|session| (session.id, session.user_id)),
        None => None,
    };
    let entry = entry(call, Event::HandoffRefused, &app.zone, whose).app(&app.app.key).refused(refused.as_str());
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    let message = "The code is not good, or not for this app, or was redeemed before. Begin the handoff again.";
    Err(Error::new(StatusCode::BAD_REQUEST, "invalid_grant", message).because(refused.as_str()))
}

fn json(answer: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
