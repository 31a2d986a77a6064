//! `POST /oauth/token`: tokens for a code or a refresh token (RFC 6749 §3.2, OIDC Core 1.0 §3.1.3). 400 `invalid_grant` for every doubt about
//! either; which one is in the audit log.

use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::oidc::GrantRefused;
use hallpass_store::audit;
use http::StatusCode;
use serde::Deserialize;

use super::grant::{authorization_code, refresh_token};
use super::{entry, json};
use crate::web::call::{Call, content_type};
use crate::web::error::Error;
use crate::web::guard::AppCaller;
use crate::web::parameters::parameters;

/// What any grant may bring. Others are ignored (RFC 6749 §3.2).
#[derive(Deserialize)]
struct Request {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    scope: Option<String>,
}

/// The handler.
pub async fn token(mut call: Call<AppCaller>) -> Result<Response, Error> {
    if content_type(call.headers()) != Some("application/x-www-form-urlencoded") {
        return Err(Error::unsupported_media_type());
    }
    let body = call.bytes().await?;
    let request: Request = parameters(&body)?;
    let app = &call.proof.app().app;
    if app.redirect_uris.is_empty() {
        return Err(Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", "This app is not set up for OIDC.")
            .because("the app has no redirect URI"));
    }
    // One way of saying who asks, and one answer to it (RFC 6749 §2.3).
    if request.client_secret.is_some() || request.client_id.as_deref().is_some_and(|id| id != app.key.as_str()) {
        return Err(missing("The client is named by the Authorization header, once."));
    }
    let outcome = match request.grant_type.as_deref() {
        Some("authorization_code") => {
            let (Some(code), Some(redirect_uri)) = (&request.code, &request.redirect_uri) else {
                return Err(missing("This grant takes code, redirect_uri and code_verifier."));
            };
            // No verifier is a wrong one: PKCE was required, so every code has a challenge (advisories T12, T16).
            let verifier = request.code_verifier.as_deref().unwrap_or_default();
            authorization_code::exchange(&call, code, redirect_uri, verifier).await?
        }
        Some("refresh_token") => {
            let Some(token) = &request.refresh_token else { return Err(missing("This grant takes refresh_token.")) };
            refresh_token::exchange(&call, token, request.scope.as_deref()).await?
        }
        Some(_) => {
            let message = "grant_type is authorization_code or refresh_token.";
            return Err(Error::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", message));
        }
        None => return Err(missing("grant_type is missing.")),
    };
    match outcome {
        Ok(answer) => Ok(json(answer)),
        Err(refused) => refuse(&call, refused).await,
    }
}

const fn missing(message: &'static str) -> Error {
    Error::invalid_request(message)
}

async fn refuse(call: &Call<AppCaller>, refused: GrantRefused) -> Result<Response, Error> {
    let reason = refused.as_str();
    tracing::info!(request_id = %call.request_id, app = %call.proof.app().app.key, reason, "grant refused");
    let mut write = call.context.store.write().await?;
    audit::append(&mut write, &(&entry(call, Event::TokensRefused).refused(reason)).into()).await?;
    write.commit().await?;
    let message = "The code or the refresh token is not good, or not for this client. Send the person to the authorization endpoint again.";
    Err(Error::new(StatusCode::BAD_REQUEST, "invalid_grant", message).because(reason))
}
