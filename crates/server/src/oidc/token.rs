//! `POST /oauth/token`: tokens, grant by grant (RFC 6749 §3.2, OIDC Core 1.0 §3.1.3). 400 `invalid_grant` for every doubt about a code or a refresh
//! token; which one is in the audit log.

use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::oidc::GrantType;
use hallpass_store::audit;
use http::StatusCode;
use serde::Deserialize;

use super::grant::token_exchange::{self, Exchange};
use super::grant::{authorization_code, client_credentials, device_code, refresh_token};
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
    device_code: Option<String>,
    resource: Option<String>,
    audience: Option<String>,
    #[serde(flatten)]
    exchange: Exchange,
}

/// The handler.
pub async fn token(mut call: Call<AppCaller>) -> Result<Response, Error> {
    if content_type(call.headers()) != Some("application/x-www-form-urlencoded") {
        return Err(Error::unsupported_media_type());
    }
    let body = call.bytes().await?;
    let request: Request = parameters(&body)?;
    let app = &call.proof.app().app;
    // One way of saying who asks, and one answer to it (RFC 6749 §2.3).
    if request.client_secret.is_some() || request.client_id.as_deref().is_some_and(|id| id != app.key.as_str()) {
        return Err(missing("The client is named by the Authorization header, once."));
    }
    let Some(grant) = &request.grant_type else { return Err(missing("grant_type is missing.")) };
    let Some(grant) = GrantType::parse(grant) else {
        let message = "grant_type is none of those that the discovery document lists.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", message));
    };
    if !grant.is_given_to(app) {
        let message = "This app is not set up for that grant: its declaration says which it has.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", message).because("not given this grant"));
    }
    let (scope, resource, audience) =
        (request.scope.as_deref(), request.resource.as_deref(), request.audience.as_deref());
    let outcome = match grant {
        GrantType::AuthorizationCode => {
            let (Some(code), Some(redirect_uri)) = (&request.code, &request.redirect_uri) else {
                return Err(missing("This grant takes code, redirect_uri and code_verifier."));
            };
            // No verifier is a wrong one: PKCE was required, so every code has a challenge (advisories T12, T16).
            let verifier = request.code_verifier.as_deref().unwrap_or_default();
            authorization_code::exchange(&call, code, redirect_uri, verifier).await?
        }
        GrantType::RefreshToken => {
            let Some(token) = &request.refresh_token else { return Err(missing("This grant takes refresh_token.")) };
            refresh_token::exchange(&call, token, scope).await?
        }
        GrantType::DeviceCode => {
            let Some(code) = &request.device_code else { return Err(missing("This grant takes device_code.")) };
            device_code::exchange(&call, code).await?
        }
        GrantType::ClientCredentials => {
            return client_credentials::issue(&call, resource, audience, scope).await.map(json);
        }
        GrantType::TokenExchange => {
            return match token_exchange::exchange(&call, &request.exchange, resource, audience, scope).await? {
                Ok(answer) => Ok(json(answer)),
                // Not `invalid_grant`: RFC 8693 §2.2.2.
                Err(reason) => {
                    let message = "The subject_token is not good, or not for this client.";
                    refuse(&call, reason, Error::invalid_request(message)).await
                }
            };
        }
    };
    match outcome {
        Ok(answer) => Ok(json(answer)),
        Err(refused) => {
            let message =
                "The code or the refresh token is not good, or not for this client. Let the person allow it anew.";
            refuse(&call, refused.as_str(), Error::new(StatusCode::BAD_REQUEST, "invalid_grant", message)).await
        }
    }
}

const fn missing(message: &'static str) -> Error {
    Error::invalid_request(message)
}

/// Writes down what was wrong with a credential: the client is not told.
async fn refuse(call: &Call<AppCaller>, reason: &'static str, told: Error) -> Result<Response, Error> {
    tracing::info!(request_id = %call.request_id, app = %call.proof.app().app.key, reason, "grant refused");
    let mut write = call.context.store.write().await?;
    audit::append(&mut write, &(&entry(call, Event::TokensRefused).refused(reason)).into()).await?;
    write.commit().await?;
    Err(told.because(reason))
}
