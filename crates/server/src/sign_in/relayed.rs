//! `POST /api/v1/sign-in`: an app that was granted it takes the password on its own page and relays it here. Protocol §6.5. Instead of a password
//! it may be a session token of Kratos, where one is configured.
//!
//! Same throttles, same audit, same words as our own page. The app gets the pass line and the envelope, never a session secret.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use hallpass_core::session::Session;
use hallpass_store::view::Standing;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::pass;
use crate::sign_in::password::{self, Attempt, Outcome};
use crate::sign_in::start::{self, Browser};
use crate::upstream::token;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    username: Option<String>,
    password: Option<String>,
    session_token: Option<String>,
    client_ip: IpAddr,
    #[serde(default)]
    user_agent: String,
}

/// The handler: 200 `{set_cookie, envelope}`, 401 `invalid_credentials`, 403 `interaction_required` with a `sign_in_url`.
pub async fn sign_in(mut call: Call<AppCaller>) -> Result<Response, Error> {
    if !call.proof.app().app.relayed_sign_in {
        return Err(
            Error::forbidden("This app was not granted relayed sign-in.").because("relayed sign-in not granted")
        );
    }
    let request: Request = call.json().await?;
    let session = match (&request.username, &request.password, &request.session_token) {
        (Some(_), Some(_), None) => by_password(&call, request).await?,
        (None, None, Some(token)) => by_token(&call, token, request.client_ip, &request.user_agent).await?,
        _ => {
            return Err(Error::invalid_request("Send username and password, or session_token.")
                .because("neither a password nor a token, or both"));
        }
    };
    let Some(session) = session else { return Ok(interaction_required(&call)) };
    let zone = call.proof.app().zone.clone();
    let line = pass::line(&call.context, &call.proof.policy, &zone, &*session, call.now)?;
    let envelope = crate::introspect::envelope_of(&call, &line).await?;
    let answer = serde_json::json!({ "set_cookie": line, "envelope": envelope });
    let mut response = Response::new(Body::from(answer.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A session of whoever the token is; `None` if they have to come to a page first.
async fn by_token(
    call: &Call<AppCaller>,
    token: &str,
    client_ip: IpAddr,
    user_agent: &str,
) -> Result<Option<Box<Session>>, Error> {
    Ok(match token::sign_in(call, token, client_ip, user_agent).await? {
        token::Outcome::Started(session) => Some(session),
        token::Outcome::Interaction => None,
    })
}

/// A session of whoever knows the password; `None` if they have to come to a page first.
async fn by_password(call: &Call<AppCaller>, request: Request) -> Result<Option<Box<Session>>, Error> {
    let app = call.proof.app().app.key.clone();
    let attempt = Attempt {
        username: &request.username.unwrap_or_default(),
        password: request.password.unwrap_or_default(),
        ip: request.client_ip,
        device: None,
        app: Some(app.as_str()),
    };
    let refused =
        || Error::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "The user name or the password is wrong.");
    let proved = match password::attempt(&call.context, attempt, call.now).await? {
        Outcome::Proved(proved) => proved,
        Outcome::Refused => return Err(refused()),
        Outcome::Throttled(after) => return Err(Error::too_many_requests(after)),
    };
    // Asked before a session exists: somebody who has no business in this app gets none by way of it.
    match call.context.view.standing(&call.proof.policy, proved.user.id, call.proof.index).await? {
        Standing::Admitted(_) => {}
        Standing::MustChangePassword => return Ok(None),
        Standing::Unknown | Standing::Disabled | Standing::NoAccess => {
            return Err(Error::forbidden("This person has no access to this app.").because("no access"));
        }
    }
    let browser = Browser {
        ip: request.client_ip,
        user_agent: request.user_agent.chars().take(256).collect(),
        persistent: false,
        device: None,
        takes_mark: false,
        previous: None,
        keeps: None,
    };
    let Some(started) = start::start(&call.context, *proved, browser, call.now).await? else { return Err(refused()) };
    Ok(Some(Box::new(started.session)))
}

fn interaction_required(call: &Call<AppCaller>) -> Response {
    let url = format!("{}/sign-in?app={}", call.context.public_url, call.proof.app().app.key);
    let answer = serde_json::json!({ "error": "interaction_required", "sign_in_url": url });
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
