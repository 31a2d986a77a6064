//! The agent of a zone, where the engine itself answers at an alias of that zone: it begins handoffs, redeems their codes, sets the zone's
//! pass, and takes it away after a sign-out. Protocol §8 numbers 1, 3 to 5, §9 number 5.

use axum::body::Body;
use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::handoff::{HandoffRefused, State, TRANSACTION_LIFETIME, Transaction};
use hallpass_core::id::UserId;
use hallpass_core::pass::PassPolicy;
use hallpass_core::secret::{HandoffCode, Secret};
use hallpass_core::session::Session;
use hallpass_store::view::Standing;
use hallpass_store::{audit, handoffs, sessions, users};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{alias_redirect_uri, chain, entry};
use crate::pass::{self, Checked, Journey, see_other};
use crate::web::call::Call;
use crate::web::cookies::{self, Presented};
use crate::web::error::Error;
use crate::web::guard::{Alias, Anybody};
use crate::web::headers::require_navigation;
use crate::web::page::ErrorPage;
use crate::web::respond::html_with;

/// Handoffs that one browser may have under way: the tabs of a restored window begin nearly at once, and each needs its own.
const MAXIMUM_TRANSACTIONS: usize = 12;

/// `GET /` at an alias: there is nothing here; the apps are listed at home.
pub async fn home(call: Call<Anybody>) -> Result<Response, Error> {
    Ok(see_other(&format!("{}/", call.context.public_url)))
}

/// `GET /.well-known/sso-agent`: says who answers here, for which zone. `hallpass doctor` asks from outside.
pub async fn about(call: Call<Alias>) -> Result<Response, Error> {
    let issuer = call.context.public_url.as_str();
    let about = serde_json::json!({ "issuer": issuer, "zone": call.proof.zone.name });
    let mut response = Response::new(Body::from(about.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The chain page asks from there whether anybody is at home here, before it sends the browser.
    let issuer = HeaderValue::from_str(issuer).expect("origins are visible ASCII");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, issuer);
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    Ok(response)
}

/// What leads here: an app and an address in it, or a place in a chain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    app: Option<String>,
    return_to: Option<String>,
    chain: Option<String>,
}

/// `GET /.sso/start?app&return_to` or `?chain`: remembers in this browser what it is about to ask for, and asks.
pub async fn start(call: Call<Alias>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let Start { app, return_to, chain } = call.query()?;
    let (context, zone) = (&call.context, &call.proof.zone);
    let random = &mut context.random();
    let transaction = if let Some(chain) = chain.filter(|_| app.is_none()) {
        if chain::next_url(context, &chain, call.now).is_none() {
            return Ok(see_other(&format!("{}/", context.public_url)));
        }
        Transaction::begin_step(chain, call.now, random)
    } else {
        let Some(Checked { app, destination, .. }) = check(&call, &Journey { app, return_to, pending: None }).await?
        else {
            let message =
                "The link that led here is not for this site. Open the application again from its own address.";
            return Err(Error::invalid_request(message).because("no app of this zone"));
        };
        if is_here(&call, &app).await? {
            return Ok(see_other(destination.as_str()));
        }
        Transaction::begin(app, Some(destination.as_str().to_owned()), call.now, random)
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("client_id", zone.name.as_str())
        .append_pair("redirect_uri", &alias_redirect_uri(zone).unwrap_or_default())
        .append_pair("state", &transaction.state.to_string())
        .append_pair("code_challenge", &transaction.verifier.challenge().to_string())
        .append_pair("code_challenge_method", "S256")
        .append_pair("prompt", "none");
    let mut response = see_other(&format!("{}/handoff/authorize?{}", context.public_url, query.finish()));
    let headers = response.headers_mut();
    // Some were given up half way, each of them with a cookie: before they fill the browser's request line, away with them.
    let left: Vec<&str> = cookies::transactions(call.headers()).collect();
    if left.len() >= MAXIMUM_TRANSACTIONS {
        for name in left {
            headers.append(header::SET_COOKIE, cookies::expire(name));
        }
    }
    let value = transaction.seal(&zone.name, &context.keys.handoff, random);
    let name = cookies::transaction(&transaction.state);
    headers.append(header::SET_COOKIE, cookies::host_only(&name, &value, Some(TRANSACTION_LIFETIME.as_secs())));
    Ok(response)
}

/// Whether this browser holds the zone's pass already, and the app will accept it: another tab was here a moment before. A restored window may send
/// a dozen at once.
async fn is_here(call: &Call<Alias>, app: &str) -> Result<bool, Error> {
    let context = &call.context;
    let policy = context.view.policy().await?;
    let fresh = live_session(call).await?.filter(|(_, due)| !due);
    let (Some((user, _)), Some(app)) = (fresh, policy.by_key(app)) else { return Ok(false) };
    let standing = context.view.standing(&policy, user, app).await?;
    Ok(matches!(standing, Standing::Admitted(_)))
}

/// Whose pass this browser holds: one, of a live session. And whether it is due to be renewed.
async fn live_session(call: &Call<Alias>) -> Result<Option<(UserId, bool)>, Error> {
    let (context, zone, now) = (&call.context, &call.proof.zone, call.now);
    let mut passes = cookies::values(call.headers(), zone.pass_cookie());
    let (Some(text), None) = (passes.next(), passes.next()) else { return Ok(None) };
    let policy = context.view.policy().await?;
    let verified = hallpass_core::pass::verify(text, &policy.keyring, context.public_url.as_str(), &zone.name, now);
    let Ok(verified) = verified else { return Ok(None) };
    let due = verified.renewal_due(&PassPolicy::default(), now);
    let session = context.view.session(verified.session_id, now).await?;
    let live = session.filter(|session| session.check(now).is_ok() && verified.user_id == Some(session.user_id));
    Ok(live.map(|session| (session.user_id, due)))
}

/// `GET /.sso/sync?chain`: the next stop of a sign-out's way through the browser. Takes the pass away if its session is over. Whoever sends a browser
/// here by a link of their own reaches nothing else.
pub async fn sync(call: Call<Alias>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let Sync { chain } = call.query()?;
    let (context, zone) = (&call.context, &call.proof.zone);
    let way_on = chain.and_then(|chain| chain::next_url(context, &chain, call.now));
    let mut response = see_other(&way_on.unwrap_or_else(|| format!("{}/", context.public_url)));
    if cookies::values(call.headers(), zone.pass_cookie()).next().is_some() && live_session(&call).await?.is_none() {
        response.headers_mut().append(header::SET_COOKIE, cookies::line(&cookies::pass(zone, "", 0)));
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sync {
    chain: Option<String>,
}

/// What the engine sends back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Returned {
    state: Option<String>,
    iss: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// `GET /.sso/callback`: redeems the code, if this browser began the handoff, and sets the zone's pass. The transaction is over in any case.
pub async fn callback(call: Call<Alias>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let returned: Returned = call.query()?;
    let state: Option<State> = returned.state.as_deref().and_then(|text| text.parse().ok());
    let name = state.map(|state| cookies::transaction(&state));
    let presented = name.as_deref().map_or(Presented::None, |name| cookies::presented(call.headers(), name));
    let transaction = match (&presented, state) {
        (Presented::One(value), Some(state)) => {
            Transaction::open(value, state, &call.proof.zone.name, &call.context.keys.handoff, call.now)
        }
        _ => Err(HandoffRefused::NoTransaction),
    };
    let mut response = match transaction {
        Ok(transaction) => match finish(&call, &transaction, &returned).await? {
            Ok(response) => response,
            Err(refused) => refuse(&call, refused, returned.code.as_deref()).await?,
        },
        Err(refused) => refuse(&call, refused, None).await?,
    };
    if presented != Presented::None
        && let Some(name) = &name
    {
        response.headers_mut().append(header::SET_COOKIE, cookies::expire(name));
    }
    Ok(response)
}

/// From a transaction of this browser's to its end. The outer error is a fault of ours.
async fn finish(
    call: &Call<Alias>,
    transaction: &Transaction,
    returned: &Returned,
) -> Result<Result<Response, HandoffRefused>, Error> {
    let context = &call.context;
    if returned.iss.as_deref() != Some(context.public_url.as_str()) {
        return Ok(Err(HandoffRefused::WrongIssuer));
    }
    let journey =
        Journey { app: Some(transaction.app.clone()), return_to: transaction.return_to.clone(), pending: None };
    let way_on = match &transaction.chain {
        Some(chain) => chain::next_url(context, chain, call.now),
        // Checked when it began; the registry may have changed since.
        None => check(call, &journey).await.ok().flatten().map(|checked| checked.destination.to_string()),
    };
    let Some(way_on) = way_on else { return Ok(Err(HandoffRefused::NoDestination)) };
    match returned.error.as_deref() {
        None => {}
        // A chain goes on without this zone; the zone is fetched for on demand.
        Some(_) if transaction.chain.is_some() => return Ok(Ok(see_other(&way_on))),
        Some("login_required") => {
            return Ok(Ok(see_other(&format!("{}/sign-in{}", context.public_url, journey.query()))));
        }
        Some(_) => return Err(Error::unavailable().because("the engine could not give a code")),
    }
    let Some(code) = returned.code.as_deref().and_then(Secret::<HandoffCode>::parse) else {
        return Ok(Err(HandoffRefused::NoCode));
    };
    let session = match redeem(call, transaction, &code).await? {
        Ok(session) => session,
        Err(refused) => return Ok(Err(refused)),
    };
    let policy = context.view.policy().await?;
    let line = pass::line(context, &policy, &call.proof.zone, &session, call.now)?;
    let mut response = see_other(&way_on);
    response.headers_mut().append(header::SET_COOKIE, cookies::line(&line));
    Ok(Ok(response))
}

/// The session that the code stands for. Used up even if it turns out to be somebody else's.
async fn redeem(
    call: &Call<Alias>,
    transaction: &Transaction,
    code: &Secret<HandoffCode>,
) -> Result<Result<Session, HandoffRefused>, Error> {
    let (now, zone) = (call.now, &call.proof.zone.name);
    let mut write = call.context.store.write().await?;
    let redeemed = match handoffs::redeem(&mut write, &code.digest(), now).await? {
        Ok(redeemed) => redeemed,
        Err(refused) => return Ok(Err(refused)),
    };
    let session = sessions::find(&mut write, &redeemed.session()).await?.filter(|session| session.check(now).is_ok());
    let judged = match session {
        _ if redeemed.zone() != zone => Err(HandoffRefused::WrongZone),
        _ if redeemed.app().is_some() => Err(HandoffRefused::WrongApp),
        _ if !redeemed.challenge().is_answered_by(&transaction.verifier) => Err(HandoffRefused::WrongVerifier),
        None => Err(HandoffRefused::SessionOver),
        Some(session) => match users::find(&mut write, &session.user_id).await? {
            Some(user) if user.disabled_at.is_none() && !user.must_change_password => Ok(session),
            _ => Err(HandoffRefused::SessionOver),
        },
    };
    if let Ok(session) = &judged {
        let whose = Some((session.id, session.user_id));
        let entry = entry(call, Event::HandedOff, &call.proof.zone, whose);
        audit::append(&mut write, &(&entry).into()).await?;
    }
    write.commit().await?;
    if judged.is_ok() {
        call.context.telemetry.handed_off();
    }
    Ok(judged)
}

/// The page for everything that is not what this browser began, and the entry that says which of them it was.
async fn refuse(call: &Call<Alias>, refused: HandoffRefused, code: Option<&str>) -> Result<Response, Error> {
    let context = &call.context;
    tracing::info!(request_id = %call.request_id, zone = %call.proof.zone.name, reason = refused.as_str(), "handoff refused");
    context.telemetry.handoff_refused();
    // Anybody can come here without a code, as often as they like: the log must not fill the disk.
    if !context.handoff_refusals.count(call.ip, call.now) {
        let mut write = context.store.write().await?;
        let whose = match code.and_then(Secret::<HandoffCode>::parse) {
            Some(code) => handoffs::session_of(&mut write, &code.digest()).await?,
            None => None,
        };
        let whose = match whose {
            Some(id) => sessions::find(&mut write, &id).await?.map(|session| (session.id, session.user_id)),
            None => None,
        };
        let entry = entry(call, Event::HandoffRefused, &call.proof.zone, whose).refused(refused.as_str());
        audit::append(&mut write, &(&entry).into()).await?;
        write.commit().await?;
    }
    let (brand, home) = (&context.config.brand, format!("{}/", context.public_url));
    let page = ErrorPage::handoff_refused(&home, brand, &call.request_id.to_string());
    Ok(html_with(StatusCode::FORBIDDEN, &page))
}

/// The journey's app and address, if they are in this zone.
async fn check(call: &Call<Alias>, journey: &Journey) -> Result<Option<Checked>, Error> {
    let checked = journey.check(&*call.context.view.policy().await?)?;
    Ok(checked.filter(|checked| checked.zone.name == call.proof.zone.name))
}
