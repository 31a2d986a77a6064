//! `GET /forward-auth`: a gateway asks who a request is from, before it lets it through to an app that speaks neither our protocol nor OIDC.
//! Protocol §11; for nginx `auth_request`, Caddy and Traefik `forward_auth`, and the like. Advisories T37–T39.
//!
//! 200 lets it through, with every header that says who it is, empty where there is nothing: a gateway that copies headers must not be left with one that
//! the browser sent. Everything else turns it away. What is judged, and how, is introspection's; the gateway stands for the app without having its secret,
//! so it is believed by its address, and only for apps that say so.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hallpass_core::audit::InactiveReason;
use hallpass_core::forward_auth::{Original, Said};
use hallpass_core::id::{PermissionName, RoleName};
use hallpass_core::time::Timestamp;
use hallpass_store::users;
use hallpass_store::view::{EnvelopeView, Policy, SessionView};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::config::{Config, Network};
use crate::context::Context;
use crate::introspect::{judge, renewed};
use crate::pass::Journey;
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::{AppCaller, Proof};

/// Where to send a person, for gateways that follow no redirect of ours (nginx).
const LOCATION: HeaderName = HeaderName::from_static("hallpass-location");

/// A gateway in front of an app, and the request that it asks about.
pub struct Gateway {
    /// The app, which the gateway stands for.
    caller: AppCaller,
    original: Original,
}

impl Proof for Gateway {
    const NAME: &'static str = "gateway";

    /// Nobody else may say which app they are, and which request they have got (T38, T39): nobody at all, unless the configuration names them.
    fn admits(peer: IpAddr, config: &Config) -> Result<(), Error> {
        let trusted = |network: &Network| network.contains(peer);
        if config.trusted_proxies.iter().any(trusted) {
            return Ok(());
        }
        Err(Error::forbidden("This address is for gateways that the configuration names as trusted_proxies.")
            .because("not a trusted proxy"))
    }

    async fn establish(context: &Arc<Context>, parts: &Parts, _: IpAddr, _: Timestamp) -> Result<Self, Error> {
        let headers = &parts.headers;
        let said = Said {
            scheme: one(headers, "x-forwarded-proto")?,
            host: one(headers, "x-forwarded-host")?,
            method: one(headers, "x-forwarded-method")?,
            target: one(headers, "x-forwarded-uri")?,
        };
        let handshake = headers.contains_key(header::UPGRADE) || headers.contains_key(header::SEC_WEBSOCKET_KEY);
        let original = Original::read(said, handshake).map_err(|problem| unreadable(&problem.to_string()))?;
        let policy = context.view.policy().await?;
        let index = app_at(&policy, &original)?;
        Ok(Self { caller: AppCaller { policy, index }, original })
    }
}

/// The one value of a header that the gateway has to set. Two are none: one of them the browser may have sent.
fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Error> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (Some(Ok(value)), None) => Ok(value),
        (None, _) => Err(unreadable(&format!("{name} is missing"))),
        _ => Err(unreadable(&format!("{name} is there twice, or is no text"))),
    }
}

/// Whoever runs the gateway has to hear of it, and looks into the log: a gateway shows nothing of our answer.
fn unreadable(why: &str) -> Error {
    tracing::warn!(why, "a gateway asks about a request and does not say which");
    Error::invalid_request(
        "The gateway must set X-Forwarded-Proto, -Host, -Method and -Uri, each to one value of its own.",
    )
    .because(why.to_owned())
}

/// The one app at this very address that is behind a gateway. Of two it could be either, and one of them may let in more people.
fn app_at(policy: &Policy, original: &Original) -> Result<usize, Error> {
    let mut found = policy.apps.iter().enumerate().filter(|(_, entry)| {
        entry.app.forward_auth && entry.app.disabled_at.is_none() && entry.app.origins.contains(&original.origin)
    });
    let refused =
        |why| Err(Error::forbidden("No application with forward_auth is registered at this address.").because(why));
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => refused("no app with forward_auth has this origin"),
        _ => refused("several apps with forward_auth have this origin"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// How people are turned away.
    #[serde(default)]
    answer: Way,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// By status, and where to go is in a header.
    #[default]
    Status,
    /// By a redirect, which the gateway passes on as it is.
    Redirect,
}

/// The handler.
pub async fn answer(call: Call<Gateway>) -> Result<Response, Error> {
    let Query { answer: way } = call.query()?;
    let original = call.proof.original.clone();
    let call = call.with(|gateway| gateway.caller);
    call.context.view.fresh().await?;
    let entry = call.proof.app();
    let mut passes = cookies::values(call.headers(), entry.zone.pass_cookie());
    let pass = match (passes.next(), passes.next()) {
        (Some(pass), None) => pass,
        (None, _) => return Ok(sign_in(&call, &original, way)),
        // One of them somebody else has set; taking either is a choice that they could make for us.
        _ => return Ok(conflict(&call, &original, way)),
    };
    let judged = judge(&call, pass).await?;
    call.context.telemetry.introspected(entry, judged.as_ref().err().copied());
    let (pass, session, envelope) = match judged {
        Ok(active) => active,
        Err(InactiveReason::NoAccess) => return Ok(no_access(&call, &original, way)),
        Err(reason) => {
            tracing::debug!(app = %entry.app.key, reason = reason.as_str(), request_id = %call.request_id, "inactive");
            return Ok(sign_in(&call, &original, way));
        }
    };
    if !original.is_from_own_page(text(&call, "sec-fetch-site"), text(&call, "origin")) {
        call.context.telemetry.csrf_refused(Some(entry));
        let refused = Error::forbidden("This request did not come from one of the application's own pages.");
        return Err(refused.because("a request of another site to an app behind a gateway"));
    }
    call.context.view.sessions.touch(&session, entry.slot as usize, call.now);
    let Some(mut response) = let_through(&call, &session, &envelope).await? else {
        return Ok(sign_in(&call, &original, way));
    };
    if let Some(line) = renewed(&call, &pass, &session)? {
        response.headers_mut().append(header::SET_COOKIE, cookies::line(&line));
    }
    Ok(response)
}

/// Who it is. `None` if they were removed this moment.
async fn let_through(
    call: &Call<AppCaller>,
    session: &SessionView,
    envelope: &EnvelopeView,
) -> Result<Option<Response>, Error> {
    let Some(user) = users::find(&mut call.context.store.read().await?, &session.user_id).await? else {
        return Ok(None);
    };
    let rights = &envelope.rights.rights;
    let roles: Vec<_> = rights.roles.iter().map(RoleName::as_str).collect();
    let permissions: Vec<_> = rights.permissions.iter().map(PermissionName::as_str).collect();
    let identity = [
        // The form that is compared: programs that make an account of it make one, however somebody's name is written.
        ("remote-user", user.username.canonical().to_owned()),
        ("remote-name", user.display_name.to_string()),
        ("remote-email", user.email.unwrap_or_default()),
        ("remote-groups", roles.join(",")),
        ("hallpass-subject", user.id.to_string()),
        ("hallpass-session", session.id.to_string()),
        ("hallpass-permissions", permissions.join(" ")),
    ];
    let mut response = Response::new(Body::empty());
    for (name, value) in identity {
        // UTF-8 as it is. Names hold no control characters; what did would be a header that we did not mean.
        let value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| Error::internal().because("no header value"))?;
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(Some(response))
}

/// Nobody whom we know. By way of `/pass/refresh`: whoever has a session has a new pass at once, and browsers that keep none are told so there.
fn sign_in(call: &Call<AppCaller>, original: &Original, way: Way) -> Response {
    let journey = |return_to| Journey { app: Some(call.proof.app().app.key.to_string()), return_to, pending: None };
    let policy = &call.proof.policy;
    let there = journey(Some(original.return_to()));
    // An address that is too long to come back to is given up, not shown as an error.
    let there = if there.check(policy).is_ok() { there } else { journey(None) };
    turned_away(
        call,
        original,
        way,
        StatusCode::UNAUTHORIZED,
        "login_required",
        &format!("/pass/refresh{}", there.query()),
    )
}

/// Somebody who has no business in this app; at home they are told so.
fn no_access(call: &Call<AppCaller>, original: &Original, way: Way) -> Response {
    let there = format!("/continue?app={}", call.proof.app().app.key);
    turned_away(call, original, way, StatusCode::FORBIDDEN, "no_access", &there)
}

/// Several passes: as if there were none, and every place is emptied where one of them can lie. Protocol §2.
fn conflict(call: &Call<AppCaller>, original: &Original, way: Way) -> Response {
    let entry = call.proof.app();
    call.context.telemetry.pass_conflict(entry);
    let mut response = sign_in(call, original, way);
    for line in cookies::expire_pass(&entry.zone, &original.return_to()[original.origin.as_str().len()..]) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}

fn turned_away(
    call: &Call<AppCaller>,
    original: &Original,
    way: Way,
    status: StatusCode,
    code: &'static str,
    there: &str,
) -> Response {
    let url = format!("{}{there}", call.context.public_url);
    let answer = serde_json::json!({ "error": code, "sign_in_url": url });
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Cookie realm=\"hallpass\""));
    }
    if original.is_navigation(text(call, "sec-fetch-mode"), text(call, "accept")) {
        let url = HeaderValue::from_str(&url).expect("our own address and an encoded query are visible ASCII");
        headers.insert(LOCATION, url.clone());
        if way == Way::Redirect {
            headers.insert(header::LOCATION, url);
            *response.status_mut() = StatusCode::FOUND;
        }
    }
    response
}

/// What the browser said. What is there twice, or is no text, says something that nobody expects: the empty text.
fn text<'c>(call: &'c Call<AppCaller>, name: &'static str) -> Option<&'c str> {
    let mut values = call.headers().get_all(name).into_iter();
    let value = values.next()?;
    Some(if values.next().is_none() { value.to_str().unwrap_or_default() } else { "" })
}
