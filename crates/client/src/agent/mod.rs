//! The app agent (protocol §1, §8, §9): what an app serves on its own host so that people who are signed in at home are
//! known there, too, where the home zone's pass does not reach.

mod backchannel;
mod begin;
mod callback;
mod discover;
mod start;
mod sync;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header;
use http::request::Parts;
use http::{HeaderValue, Method};
use url::form_urlencoded;

pub(crate) use begin::begin;
pub(crate) use discover::discover;

use crate::hallpass::Inner;
use crate::origin::is_same_origin;
use crate::pages;
use crate::sign_out;
use crate::visit::{Visit, fills_window};

/// Where most of it lives.
pub(crate) const AGENT_PATHS: &str = "/.sso/";
/// Where codes are sent.
pub(crate) const CALLBACK: &str = "/.sso/callback";
/// Where a handoff begins.
pub(crate) const START: &str = "/.sso/start";

/// One of the agent's own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Start,
    Callback,
    SignOut,
    Sync,
    Backchannel,
    About,
}

impl Endpoint {
    /// The address that `path` names, byte for byte; `None` without an agent.
    pub(crate) fn at(inner: &Inner, path: &str) -> Option<Self> {
        inner.agent?;
        match path {
            START => Some(Self::Start),
            CALLBACK => Some(Self::Callback),
            "/.sso/sign-out" => Some(Self::SignOut),
            "/.sso/sync" => Some(Self::Sync),
            "/.sso/backchannel" => Some(Self::Backchannel),
            "/.well-known/sso-agent" => Some(Self::About),
            _ => None,
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Start | Self::Callback | Self::Sync => method == Method::GET,
            Self::About => method == Method::GET || method == Method::HEAD,
            Self::SignOut | Self::Backchannel => method == Method::POST,
        }
    }
}

/// Answers a request to `endpoint`. Nobody needs to be signed in for any of them.
pub(crate) async fn answer(
    inner: &Arc<Inner>,
    endpoint: Endpoint,
    visit: &Visit,
    parts: &Parts,
    body: Body,
) -> Response {
    if !endpoint.takes(&parts.method) {
        let (refusal, allowed) = match endpoint {
            Endpoint::SignOut | Endpoint::Backchannel => (&pages::METHOD_NOT_ALLOWED, "POST"),
            _ => (&pages::FOR_READING, "GET"),
        };
        let mut response = refusal.answer(visit.page);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    match endpoint {
        Endpoint::About => about(inner),
        Endpoint::Backchannel => backchannel::answer(inner, visit, &parts.headers, body).await,
        Endpoint::SignOut if is_same_origin(&parts.headers, &inner.origin) => {
            sign_out::answer(inner, visit, &parts.headers).await
        }
        Endpoint::SignOut => pages::CROSS_ORIGIN.answer(visit.page),
        _ if !fills_window(&parts.headers) => pages::WINDOWS_ONLY.answer(visit.page),
        Endpoint::Start => start::answer(inner, visit, parts).await,
        Endpoint::Callback => callback::answer(inner, visit, parts).await,
        Endpoint::Sync => sync::answer(inner, parts).await,
    }
}

/// `GET /.well-known/sso-agent`: says whose agent answers here. A step of the engine's chain asks before it leads somebody
/// to a host that might be down, from a page of its own: hence the CORS header.
fn about(inner: &Inner) -> Response {
    let engine = inner.engine.public().as_str();
    let mut response = pages::json_answer(&serde_json::json!({"issuer": engine, "app": *inner.app_key}));
    if let Ok(engine) = HeaderValue::from_str(engine) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, engine);
    }
    response
}

/// The value of a query parameter. One that comes twice is none: two readers could disagree about which of them counts.
fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name);
    let value = values.next()?.1.into_owned();
    values.next().is_none().then_some(value)
}

/// The name of a chain of the engine's, as it travels in a query. Its meaning is the engine's affair.
fn chain(parts: &Parts) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    parameter(parts, "chain").filter(|chain| (1..=2000).contains(&chain.len()) && chain.bytes().all(allowed))
}
