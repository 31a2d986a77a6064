//! Signing in somewhere else. Here: at Ory Kratos, the way there ([`start`]) and the way back ([`callback`]). Other OIDC providers are in [`oidc`].
//! Protocol §10.
//!
//! The way back is bound to this browser by a cookie that was set before it left. What it brings is shown to Kratos and to nobody else, and what
//! Kratos says of it is judged by [`hallpass_core::upstream::accept`].

mod choice;
pub mod credential;
pub mod current;
pub mod entry;
pub mod kratos;
pub mod oidc;
mod pages;
mod people;
pub mod recheck;
mod round_trip;
pub mod sign_in;
pub mod sign_out;
pub mod token;
mod twice;

use std::net::IpAddr;
use std::sync::Arc;

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event, Loggable, Word};
use hallpass_core::id::AppKey;
use hallpass_core::throttle;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::transaction::Transaction;
use hallpass_core::upstream::{Accepted, Required, UpstreamRefused, accept};
use hallpass_store::{audit, upstreams};
use http::header;
use serde::Deserialize;

pub use self::choice::{asks_name, leads_straight_to, of_address, ways};
use self::credential::Credential;
use self::kratos::{Kratos, Whoami};
use self::round_trip::Returned;
use crate::context::Context;
use crate::oidc::pending;
use crate::pass::{Journey, see_other};
use crate::sign_in::start::Browser;
use crate::web::call::Call;
use crate::web::cookies::{self, Presented};
use crate::web::error::Error;
use crate::web::guard::Visitor;
use crate::web::headers::require_navigation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Departure {
    app: Option<String>,
    return_to: Option<String>,
    pending: Option<String>,
    /// The person is to prove anew who they are.
    again: Option<String>,
}

/// `GET /upstream/kratos/start?app&return_to`: to Kratos, which leads back to [`callback`]. `again=1` asks the person to sign in anew.
pub async fn start(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let kratos = configured(&call.context)?;
    let Departure { app, return_to, pending, again } = call.query()?;
    let journey = Journey { app, return_to, pending };
    journey.check(&*call.context.view.policy().await?)?;
    if !kratos.ready(call.now).await {
        return Ok(pages::away(&call, &kratos.config.label, &journey));
    }
    let anew = again.is_some() || pending::wants_login(&call.context, &journey, call.now);
    let mut transaction = Transaction::begin(journey.app, journey.return_to, call.now, &mut call.context.random());
    (transaction.anew, transaction.pending) = (anew, journey.pending);
    Ok(depart(&call, &kratos, transaction))
}

/// Where signing in there begins.
pub fn start_address(journey: &Journey) -> String {
    format!("/upstream/kratos/start{}", journey.query())
}

/// The form for users of our own, also where the sign-in page leads straight to Kratos.
pub fn local_form(journey: &Journey) -> String {
    let query = journey.query();
    format!("/sign-in{query}{}local=1", if query.is_empty() { '?' } else { '&' })
}

fn depart(call: &Call<Visitor>, kratos: &Kratos, transaction: Transaction) -> Response {
    let (context, state) = (&call.context, transaction.state());
    let back = format!("{}/upstream/kratos/callback?state={state}", context.public_url);
    let mut there = kratos.config.for_browsers().at("/self-service/login/browser");
    {
        let mut query = there.query_pairs_mut();
        query.append_pair("return_to", &back);
        if transaction.anew {
            query.append_pair("refresh", "true");
        }
        if transaction.stepped_up {
            query.append_pair("aal", "aal2");
        }
    }
    round_trip::depart(call, kratos::NAME, transaction, see_other(there.as_str()))
}

/// What Kratos sends back: our own address, perhaps with words of its own.
#[derive(Deserialize)]
struct Return {
    state: Option<String>,
}

/// `GET /upstream/kratos/callback?state`: asks Kratos who this is, if this browser began it, and starts a session. The transaction is over then,
/// unless the fault is ours.
pub async fn callback(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let kratos = configured(&call.context)?;
    let state = call.query::<Return>()?.state.unwrap_or_default();
    let returned = Returned::with(&call, kratos::NAME, &state);
    let mut response = match returned.transaction.clone() {
        Ok(transaction) => arrive(&call, &kratos, transaction).await?,
        Err(refused) => refuse(&call, &kratos, refused, &Journey::default()).await?,
    };
    returned.put_away(&mut response);
    Ok(response)
}

/// From a transaction of this browser's to its end.
async fn arrive(call: &Call<Visitor>, kratos: &Kratos, transaction: Transaction) -> Result<Response, Error> {
    let Transaction { app, return_to, pending, .. } = transaction.clone();
    let journey = Journey { app, return_to, pending };
    // Checked when it began; the registry may have changed since.
    journey.check(&*call.context.view.policy().await?)?;
    let credential = match cookies::presented(call.headers(), &kratos.config.session_cookie) {
        Presented::One(value) => Credential::cookie(value).ok_or(UpstreamRefused::MalformedCredential),
        Presented::None => Err(UpstreamRefused::NoCredential),
        Presented::Several => Err(UpstreamRefused::SeveralCredentials),
    };
    let credential = match credential {
        Ok(credential) => credential,
        Err(refused) => return refuse(call, kratos, refused, &journey).await,
    };
    let Ok(said) = kratos.whoami(&credential, call.now).await else {
        return Ok(pages::away(call, &kratos.config.label, &journey));
    };
    let accepted = match judge(kratos, said, &transaction, call) {
        Ok(accepted) => accepted,
        Err(UpstreamRefused::AssuranceTooLow) if !transaction.stepped_up => {
            return Ok(step_up(call, kratos, transaction));
        }
        Err(refused) => return refuse(call, kratos, refused, &journey).await,
    };
    let onward = format!("/continue{}", journey.query());
    if !transaction.anew && is_here(call, &accepted).await? {
        return Ok(see_other(&onward));
    }
    let browser = Browser::of(call, false);
    match sign_in::sign_in(&call.context, kratos, &accepted, &credential, browser, call.now).await? {
        Ok(started) => {
            let mut response = see_other(&onward);
            started.set_cookies(response.headers_mut());
            response.headers_mut().append(header::SET_COOKIE, cookies::expire(cookies::FLOW));
            Ok(response)
        }
        Err(refused) => refuse(call, kratos, refused, &journey).await,
    }
}

fn judge(
    kratos: &Kratos,
    said: Whoami,
    transaction: &Transaction,
    call: &Call<Visitor>,
) -> Result<Accepted, UpstreamRefused> {
    let since = transaction.anew.then(|| transaction.started_at());
    match said {
        Whoami::Nobody => Err(UpstreamRefused::NotSignedIn),
        Whoami::SecondFactor => Err(UpstreamRefused::AssuranceTooLow),
        Whoami::Session(session) => accept(*session, Required { acr: kratos.config.minimum_aal, since }, call.now),
    }
}

/// Back once more, for the second factor. Kratos takes that question only from somebody who has shown the first.
fn step_up(call: &Call<Visitor>, kratos: &Kratos, before: Transaction) -> Response {
    let mut next = Transaction::begin(before.app, before.return_to, call.now, &mut call.context.random());
    next.pending = before.pending;
    (next.stepped_up, next.anew) = (true, before.anew);
    depart(call, kratos, next)
}

/// Whether this browser's session stands on the same one already: another tab was here a moment before. A restored window may send a dozen at once,
/// and each would end the one before.
async fn is_here(call: &Call<Visitor>, accepted: &Accepted) -> Result<bool, Error> {
    let Some(live) = &call.proof.session else { return Ok(false) };
    let mut read = call.context.store.read().await?;
    let footing = upstreams::footing(&mut read, &live.session.id).await?;
    let same = |footing: upstreams::Footing| {
        let there = accepted.session();
        (&footing.identity, &footing.upstream_session) == (&there.identity, &there.id)
    };
    Ok(footing.is_some_and(same) && live.session.acr >= accepted.acr())
}

/// The page for everything that cannot be a sign-in, and the entry that says which of them it was.
async fn refuse(
    call: &Call<Visitor>,
    kratos: &Kratos,
    refused: UpstreamRefused,
    journey: &Journey,
) -> Result<Response, Error> {
    let app = journey.app.as_deref().and_then(|app| app.parse().ok());
    record_refusal(&call.context, &Word(kratos::NAME), refused, call.ip, app.as_ref(), call.now).await?;
    Ok(pages::refused(call, &kratos.config.label, refused, &start_address(journey), journey))
}

/// Writes down why somebody could not sign in. Anybody can come here, as often as they like: the log must not fill the disk.
pub async fn record_refusal(
    context: &Context,
    upstream: &impl Loggable,
    refused: UpstreamRefused,
    ip: IpAddr,
    app: Option<&AppKey>,
    now: Timestamp,
) -> Result<(), Error> {
    context.telemetry.sign_in_refused();
    if context.upstream_refusals.count(throttle::address_block(ip), now) {
        return Ok(());
    }
    let entry = Entry::new(Event::SignInRefused, Actor::Anonymous, now, &mut context.random());
    let mut entry = entry.refused(refused.as_str()).ip(ip).with("upstream", upstream);
    if let Some(app) = app {
        entry = entry.app(app);
    }
    let mut write = context.store.write().await?;
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(())
}

/// The one that is configured; where there is none, there is nothing at these addresses.
fn configured(context: &Context) -> Result<Arc<Kratos>, Error> {
    context.kratos.clone().ok_or_else(Error::not_found)
}
