//! `/device`: somebody who is signed in types the code that their device shows, sees who asks and from where, and allows it or not (RFC 8628 §3.3).
//!
//! Opening an address decides nothing and looks nothing up, the complete one with the code in it included (§3.3.1). The form that decides carries a
//! token for this session *and* this code, which only the page before it gives out: so every look-up has been counted, and nobody decides about
//! another device than the one that they were shown.

use axum::response::Response;
use hallpass_core::app::App;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::oidc::{GrantType, Resources, UserCode};
use hallpass_store::device_codes::{self, Device};
use hallpass_store::view::Standing;
use hallpass_store::{audit, consents, sessions};
use http::StatusCode;
use serde::Deserialize;

use super::guess::{Guess, look_up};
use super::pages::{AskPage, DonePage, EnterPage};
use super::{address, journey};
use crate::oidc::consent;
use crate::pass::see_other;
use crate::sign_in;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::respond::{html, html_with, person};
use crate::web::words;

const NO_SUCH_DEVICE: &str = "No device is waiting with this code. Codes are good for ten minutes and once: look at your device, or begin there anew.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    user_code: Option<String>,
    done: Option<String>,
}

/// `GET /device?user_code`
pub async fn enter(call: Call<Visitor>) -> Result<Response, Error> {
    let query: Query = call.query()?;
    // What is no code is left out: nothing that somebody else has written is shown.
    let code: Option<UserCode> = query.user_code.as_deref().and_then(|code| code.parse().ok());
    let Some(live) = &call.proof.session else {
        return Ok(sign_in::redirect(&journey(code.as_ref()), &call.proof));
    };
    if live.user.must_change_password {
        return Ok(see_other(&format!("/continue{}", journey(code.as_ref()).query())));
    }
    // Fixed sentences by fixed codes.
    match query.done.as_deref() {
        Some("allowed") => Ok(html(&DonePage { brand: call.context.config.brand.clone(), allowed: true })),
        Some("denied") => Ok(html(&DonePage { brand: call.context.config.brand.clone(), allowed: false })),
        _ => Ok(html(&EnterPage {
            brand: call.context.config.brand.clone(),
            csrf_token: call.page_token(live.session.id.as_bytes()),
            person: person(&live.user),
            code: code.map(|code| code.to_string()).unwrap_or_default(),
            problem: None,
        })),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    user_code: String,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `POST /device`: shows what is about to be allowed. Changes nothing.
pub async fn look(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let binding = *call.proof.session.id.as_bytes();
    let typed: Typed = call.form(&binding).await?;
    may_decide(&call)?;
    let again = |problem: &str| {
        let page = EnterPage {
            brand: call.context.config.brand.clone(),
            csrf_token: call.page_token(&binding),
            person: person(&call.proof.user),
            code: String::new(),
            problem: Some(problem.to_owned()),
        };
        Ok(html_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
    };
    let Ok(code) = typed.user_code.parse::<UserCode>() else {
        return again("That is no code. It has eight letters, as on the screen of your device: BCDF-GHJK.");
    };
    let device = match look_up(&call, &code).await? {
        Guess::Waits(device) => device,
        Guess::Nothing => return again(NO_SUCH_DEVICE),
        Guess::Throttled(after) => {
            tracing::warn!(request_id = %call.request_id, user = %call.proof.user.id, "somebody tries one device code after the other");
            return Err(Error::too_many_requests(after).because("too many wrong user codes"));
        }
    };
    let Some(app) = app_of(&call, &device).await? else { return again(NO_SUCH_DEVICE) };
    let learns = if app.third_party { consent::learns(device.scope, &call.proof) } else { Vec::new() };
    Ok(html(&AskPage {
        brand: call.context.config.brand.clone(),
        csrf_token: call.page_token(&bound(&call, code)),
        action: format!("/device/decide?user_code={code}"),
        person: person(&call.proof.user),
        app: app.name,
        // Judged at each use: the app's settings may have changed since it began.
        offline: device.scope.offline_access && app.client.offline_access,
        third_party: app.third_party,
        learns,
        code: code.to_string(),
        elsewhere: device.ip != call.ip.to_string(),
        ip: device.ip,
        asked: words::ago(device.created_at, call.now),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    user_code: UserCodeText,
}

/// A code in the address of our own form.
struct UserCodeText(UserCode);

impl<'de> Deserialize<'de> for UserCodeText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    decision: Choice,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `POST /device/decide?user_code`
pub async fn decide(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let About { user_code: UserCodeText(code) } = call.query()?;
    let binding = bound(&call, code);
    let Decided { decision, .. } = call.form(&binding).await?;
    may_decide(&call)?;
    let allowed = matches!(decision, Choice::Allow);
    let session = call.proof.session.id;
    let gone = || Error::invalid_request(NO_SUCH_DEVICE).because("decided already, too late, or the session ended");
    let waiting = device_codes::waiting(&mut call.context.store.read().await?, &code, call.now).await?;
    let device = waiting.ok_or_else(gone)?;
    let app = app_of(&call, &device).await?.ok_or_else(gone)?;
    let mut write = call.context.store.write().await?;
    if !device_codes::decide(&mut write, &code, &session, allowed, call.now).await? {
        return Err(gone());
    }
    sessions::record_interaction(&mut write, &session, call.now).await?;
    let event = if allowed { Event::DeviceAllowed } else { Event::DeviceDenied };
    let user = call.proof.user.id;
    let entry = |event| {
        let entry = Entry::new(event, Actor::User(user), call.now, &mut call.context.random());
        entry.user(user).session(session).app(&device.app).ip(call.ip)
    };
    audit::append(&mut write, &(&entry(event)).into()).await?;
    // The page has said what it would know: the same answer as on the page for browsers, and taken back in the same place.
    if allowed && app.third_party {
        let none = Resources::default();
        consents::give(&mut write, &user, &device.app, device.scope, &none, call.now).await?;
        audit::append(&mut write, &(&consent::entry(entry(Event::ConsentGiven), device.scope, &none)).into()).await?;
    }
    write.commit().await?;
    Ok(see_other(&format!("{}?done={}", address(None), if allowed { "allowed" } else { "denied" })))
}

/// What the token of the deciding form is bound to.
fn bound(call: &Call<LiveSession>, code: UserCode) -> Vec<u8> {
    [&call.proof.session.id.as_bytes()[..], code.as_bytes()].concat()
}

/// Whoever has to choose a new password does nothing else before.
fn may_decide(call: &Call<LiveSession>) -> Result<(), Error> {
    if call.proof.user.must_change_password {
        return Err(Error::forbidden("Choose a new password first. Nothing was done.").because("must change password"));
    }
    Ok(())
}

/// The app whose device it is, if that may still have tokens: 403 if this person has no business in it.
async fn app_of(call: &Call<LiveSession>, device: &Device) -> Result<Option<App>, Error> {
    let policy = call.context.view.policy().await?;
    let given = |index: &usize| {
        let app = &policy.apps[*index].app;
        app.disabled_at.is_none() && GrantType::DeviceCode.is_given_to(app)
    };
    let Some(index) = policy.by_key(device.app.as_str()).filter(given) else { return Ok(None) };
    match call.context.view.standing(&policy, call.proof.user.id, index).await? {
        Standing::Admitted(_) => Ok(Some(policy.apps[index].app.clone())),
        _ => Err(Error::forbidden(
            "Your account has no access to the application that this device belongs to. If you think it should, ask whoever manages accounts in your company.",
        )
        .because("no access")),
    }
}
