//! Giving a browser its pass: at sign-in, by navigation, by fetch, and as a line for apps to relay. Protocol §3, §6.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hallpass_core::app::Origin;
use hallpass_core::destination::Destination;
use hallpass_core::id::{SessionId, UserId};
use hallpass_core::keyring::Purpose;
use hallpass_core::oidc::ClientKind;
use hallpass_core::pass::{self, Pass, PassPolicy};
use hallpass_core::session::Session;
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_store::view::{Policy, SessionView, Standing};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::context::Context;
use crate::handoff;
use crate::sign_in;
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::{Anybody, LiveSession, Visitor};
use crate::web::page::{ErrorPage, Stop};
use crate::web::respond::html_with;

/// What a pass is made for: the parts that a stored session and the live view's copy have in common.
pub struct Bearer {
    /// Whose.
    pub user_id: UserId,
    /// Which session.
    pub session_id: SessionId,
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// When the session ends at the latest.
    pub session_ends: Timestamp,
}

impl From<&Session> for Bearer {
    fn from(session: &Session) -> Self {
        Self {
            user_id: session.user_id,
            session_id: session.id,
            authenticated_at: session.authenticated_at,
            session_ends: session.expires_at,
        }
    }
}

impl From<&SessionView> for Bearer {
    fn from(session: &SessionView) -> Self {
        Self {
            user_id: session.user_id,
            session_id: session.id,
            authenticated_at: session.authenticated_at,
            session_ends: session.expires_at,
        }
    }
}

/// The complete `Set-Cookie` line of a new pass, which never outlives its session.
pub fn line(
    context: &Context,
    policy: &Policy,
    zone: &Zone,
    bearer: impl Into<Bearer>,
    now: Timestamp,
) -> Result<String, Error> {
    let Bearer { user_id, session_id, authenticated_at, session_ends } = bearer.into();
    let signer = policy.keyring.signer(Purpose::Pass, now);
    let signer = signer.ok_or_else(|| Error::unavailable().because("no key to sign passes with"))?;
    let expires_at = PassPolicy::default().expiry(now, session_ends);
    let issuer = context.public_url.as_str();
    let pass = Pass { issuer, zone: &zone.name, user_id, session_id, issued_at: now, expires_at, authenticated_at };
    Ok(cookies::pass(zone, &pass::mint(signer, &pass), expires_at.since(now).as_secs()))
}

/// The home zone's pass for a live session.
pub async fn home_line(context: &Context, live: &LiveSession, now: Timestamp) -> Result<String, Error> {
    let policy = context.view.policy().await?;
    let home = policy.home.clone().ok_or_else(|| Error::unavailable().because("there is no home zone yet"))?;
    line(context, &policy, &home, &live.session, now)
}

/// Where a browser came from and wants to go back to. Also what `/sign-in` and `/continue` take.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journey {
    /// The app's key.
    pub app: Option<String>,
    /// An absolute URL at one of the app's origins.
    pub return_to: Option<String>,
    /// An authorization request that waits for a sign-in, sealed ([`crate::oidc::pending`]).
    pub pending: Option<String>,
}

/// A journey whose app and destination have been checked against the registry.
pub struct Checked {
    /// The app's place in the registry that it was checked against.
    pub index: usize,
    /// The app.
    pub app: String,
    /// What people call it.
    pub name: String,
    /// Where to go.
    pub destination: Destination,
    /// The zone that it is in.
    pub zone: Arc<Zone>,
    /// What a browser passes on its way there, as Content Security Policy names it: origins, or the schemes of programs.
    pub stations: Vec<String>,
}

impl Journey {
    /// Checks app and destination (protocol §12). `Ok(None)` if the journey names neither; 400 on our own page, without any
    /// redirect, if it names something that is not registered.
    pub fn check(&self, policy: &Policy) -> Result<Option<Checked>, Error> {
        let wrong = |why: &'static str| {
            Error::invalid_request("The link that led here names an application or an address that is not registered. Open the application again from its own address.")
                .because(why)
        };
        let (app, return_to) = match (&self.app, &self.return_to) {
            (None, None) => return Ok(None),
            (Some(app), return_to) => (app, return_to),
            (None, Some(_)) => return Err(wrong("return_to without app")),
        };
        let index = policy.by_key(app).ok_or_else(|| wrong("unknown app"))?;
        let entry = &policy.apps[index];
        if entry.app.disabled_at.is_some() {
            return Err(wrong("disabled app"));
        }
        let destination = if let Some(text) = return_to {
            Destination::return_to(text, &entry.app.origins)
                .map_err(|_| wrong("return_to is not at one of the app's origins"))?
        } else if self.pending.is_some() {
            // Only a name and a front door: where it really leads the authorization endpoint decides, once it has opened the request.
            let uri = entry.app.redirect_uris.first().ok_or_else(|| wrong("a pending request of no OIDC client"))?;
            // A program has no front door. It is never gone to; what is on that domain is the company's own.
            let domain = || format!("https://{}", entry.zone.cookie_domain).parse::<Origin>();
            let origin = uri.origin().cloned().map_or_else(domain, Ok);
            Destination::front_door(&origin.map_err(|_| Error::internal().because("a zone's domain is no host"))?)
        } else {
            Destination::front_door(entry.app.origins.first().ok_or_else(|| wrong("the app has no address"))?)
        };
        let mut checked = Checked {
            index,
            app: app.clone(),
            name: entry.app.title().to_owned(),
            destination,
            zone: entry.zone.clone(),
            stations: Vec::new(),
        };
        checked.stations = if self.pending.is_some() {
            let any_port = entry.app.client.kind == ClientKind::Native;
            entry.app.redirect_uris.iter().map(|uri| uri.form_source(any_port)).collect()
        } else {
            handoff::way_stations(policy, &checked).iter().map(Origin::to_string).collect()
        };
        Ok(Some(checked))
    }

    /// As a query string, `?` included; empty if there is nothing in it.
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(app) = &self.app {
            query.append_pair("app", app);
        }
        if let Some(return_to) = &self.return_to {
            query.append_pair("return_to", return_to);
        }
        if let Some(pending) = &self.pending {
            query.append_pair("pending", pending);
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

/// `GET /pass/refresh?app&return_to`: a new pass from the host-only session, then back. The host-only cookie decides who it is for;
/// whatever the zone's cookie said does not matter here.
pub async fn refresh_by_navigation(call: Call<Visitor>) -> Result<Response, Error> {
    let journey: Journey = call.query()?;
    let policy = call.context.view.policy().await?;
    let Some(checked) = journey.check(&policy)? else { return Err(Error::invalid_request("Say where to return to.")) };
    let Some(live) = &call.proof.session else {
        return Ok(sign_in::redirect(&journey, &call.proof));
    };
    let standing = call.context.view.standing(&policy, live.user.id, checked.index).await?;
    if live.user.must_change_password || matches!(standing, Standing::NoAccess) {
        // A new pass would be refused like the old one; there they are told why.
        return Ok(see_other(&format!("/continue{}", journey.query())));
    }
    if call.context.refreshes.count(live.session.id, call.now) {
        return Ok(stopped(&call, policy.home.as_deref(), checked.destination.as_str()));
    }
    let line = home_line(&call.context, live, call.now).await?;
    let mut response = see_other(&handoff::way_to(&policy, &checked)?);
    response.headers_mut().append(header::SET_COOKIE, cookies::line(&line));
    Ok(response)
}

/// The page that ends a loop, and names its cause as far as the request shows it.
fn stopped(call: &Call<Visitor>, home: Option<&Zone>, destination: &str) -> Response {
    let passes = home.map_or(0, |home| cookies::values(call.headers(), home.pass_cookie()).count());
    let stop = if passes == 0 { Stop::CookiesBlocked } else { Stop::Loop };
    tracing::warn!(request_id = %call.request_id, passes, "a browser comes back for a pass again and again");
    let page = ErrorPage::stopped(stop, destination, &call.context.config.brand, &call.request_id.to_string());
    html_with(StatusCode::BAD_REQUEST, &page)
}

/// `POST /pass/refresh` from a script of one of the zone's apps: 204 with the new pass, or 401. The answer has no body to read.
pub async fn refresh_by_fetch(call: Call<Visitor>) -> Result<Response, Error> {
    let origin = allowed_origin(&call).await?;
    let Some(live) = call.proof.session.as_ref().filter(|live| !live.user.must_change_password) else {
        let mut refused = Error::login_required("no live session").render(
            crate::web::error::Voice::Problem,
            "",
            &call.request_id.to_string(),
        );
        allow(&mut refused, &origin);
        return Ok(refused);
    };
    let line = home_line(&call.context, live, call.now).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().append(header::SET_COOKIE, cookies::line(&line));
    allow(&mut response, &origin);
    Ok(response)
}

/// `OPTIONS /pass/refresh`: the preflight.
pub async fn preflight(call: Call<Anybody>) -> Result<Response, Error> {
    let origin = allowed_origin(&call).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    allow(&mut response, &origin);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Ok(response)
}

/// The `Origin` of the request, if it is exactly one of the home zone's apps.
async fn allowed_origin<P>(call: &Call<P>) -> Result<Origin, Error> {
    let policy = call.context.view.policy().await?;
    let refused = || {
        Error::forbidden("This origin is not one of the applications of this zone.")
            .because("origin is not an app of the home zone")
    };
    let origin = call.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).ok_or_else(refused)?;
    let apps = policy.apps.iter().filter(|entry| entry.zone.home && entry.app.disabled_at.is_none());
    apps.flat_map(|entry| &entry.app.origins).find(|known| known.as_str() == origin).cloned().ok_or_else(refused)
}

fn allow(response: &mut Response, origin: &Origin) {
    let headers = response.headers_mut();
    let origin = HeaderValue::from_str(origin.as_str()).expect("origins are visible ASCII");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-site"));
}

/// 303: after a POST never 307, which would send the password along (advisory P17).
pub fn see_other(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::from_str(location).expect("destinations are serialised URLs, ASCII only");
    response.headers_mut().insert(header::LOCATION, location);
    response
}
