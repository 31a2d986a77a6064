//! `POST /oauth/token`: tokens for a code or a refresh token (RFC 6749 §3.2, OIDC Core 1.0 §3.1.3). 400 `invalid_grant` for every doubt about
//! either; which one is in the audit log.

use std::borrow::Cow;

use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::oidc::GrantRefused;
use hallpass_store::audit;
use http::{StatusCode, header};
use serde::Deserialize;

use super::client::{Client, ClientClaim, identify};
use super::grant::{authorization_code, refresh_cookie, refresh_token};
use super::{cors, entry};
use crate::web::call::Call;
use crate::web::cookies::{self, Presented};
use crate::web::error::Error;

/// What any grant may bring. Others are ignored (RFC 6749 §3.2).
#[derive(Deserialize)]
struct Request {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    scope: Option<String>,
}

/// The grants that are open to whoever names a public client: each brings something that only that client was given.
const OF_PUBLIC_CLIENTS: [&str; 2] = ["authorization_code", "refresh_token"];

/// The handler.
pub async fn token(call: Call<ClientClaim>) -> Result<Response, Error> {
    let (call, request) = identify(call).await?;
    cors::readable(&call.proof, answer(&call, &request).await)
}

async fn answer(call: &Call<Client>, request: &Request) -> Result<Response, Error> {
    let app = &call.proof.app().app;
    if app.redirect_uris.is_empty() {
        return Err(Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", "This app is not set up for OIDC.")
            .because("the app has no redirect URI"));
    }
    // Any other grant gives tokens to a client because it is that client, which one without a secret cannot show.
    if call.proof.is_public() && request.grant_type.as_deref().is_some_and(|it| !OF_PUBLIC_CLIENTS.contains(&it)) {
        let message = "This grant is for clients with a secret.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", message).because("a public client"));
    }
    let outcome = match request.grant_type.as_deref() {
        Some("authorization_code") => {
            let (Some(code), Some(redirect_uri)) = (&request.code, &request.redirect_uri) else {
                return Err(missing("This grant takes code, redirect_uri and code_verifier."));
            };
            // No verifier is a wrong one: PKCE was required, so every code has a challenge (advisories T12, T16).
            let verifier = request.code_verifier.as_deref().unwrap_or_default();
            authorization_code::exchange(call, code, redirect_uri, verifier).await?
        }
        Some("refresh_token") => {
            let token = presented(call, request.refresh_token.as_deref())?;
            match refresh_token::exchange(call, &token, request.scope.as_deref()).await? {
                Err(refused) => return put_away(call, refused, refuse(call, refused).await),
                given => given,
            }
        }
        Some(_) => {
            let message = "grant_type is authorization_code or refresh_token.";
            return Err(Error::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", message));
        }
        None => return Err(missing("grant_type is missing.")),
    };
    match outcome {
        Ok(tokens) => tokens.response(call),
        Err(refused) => refuse(call, refused).await,
    }
}

/// The refresh token: in the body, or, of a client that keeps it in its cookie, there and nowhere else, and with JSON, which no form of another site
/// can send along with somebody's cookies. The origin has been looked at before.
fn presented<'r>(call: &Call<Client>, in_body: Option<&'r str>) -> Result<Cow<'r, str>, Error> {
    let Some(name) = call.proof.refresh_cookie() else {
        return in_body.map(Cow::Borrowed).ok_or_else(|| missing("This grant takes refresh_token."));
    };
    if in_body.is_some() {
        return Err(missing("The refresh token of this client is in its cookie, and nowhere else."));
    }
    if !call.proof.sent_json() {
        return Err(Error::unsupported_media_type().because("a refresh by cookie that is not JSON"));
    }
    let none = |because| {
        let message = "There is no refresh token. Send the person to the authorization endpoint.";
        Error::new(StatusCode::BAD_REQUEST, "invalid_grant", message).because(because)
    };
    match cookies::presented(call.headers(), &name) {
        Presented::One(token) => Ok(Cow::Owned(token.to_owned())),
        Presented::None => Err(none("no refresh cookie")),
        Presented::Several => {
            tracing::warn!(cookie = %name, "two cookies of a host-only name: a sibling may be tossing cookies");
            let mut refused = none("two refresh cookies");
            refused.headers.push((header::SET_COOKIE, refresh_cookie(call, &name, "", Some(0))));
            Err(refused)
        }
    }
}

/// A family that has been ended leaves no cookie behind. Any other refusal leaves it alone: whoever merely came too late must not take away what another
/// tab has just been given.
fn put_away(call: &Call<Client>, refused: GrantRefused, answer: Result<Response, Error>) -> Result<Response, Error> {
    let ended = matches!(refused, GrantRefused::RefreshTokenReused | GrantRefused::Revoked);
    match call.proof.refresh_cookie().filter(|_| ended) {
        Some(name) => cors::with(vec![(header::SET_COOKIE, refresh_cookie(call, &name, "", Some(0)))], answer),
        None => answer,
    }
}

const fn missing(message: &'static str) -> Error {
    Error::invalid_request(message)
}

async fn refuse(call: &Call<Client>, refused: GrantRefused) -> Result<Response, Error> {
    let reason = refused.as_str();
    tracing::info!(request_id = %call.request_id, app = %call.proof.app().app.key, reason, "grant refused");
    let mut write = call.context.store.write().await?;
    audit::append(&mut write, &(&entry(call, Event::TokensRefused).refused(reason)).into()).await?;
    write.commit().await?;
    let message = "The code or the refresh token is not good, or not for this client. Send the person to the authorization endpoint again.";
    Err(Error::new(StatusCode::BAD_REQUEST, "invalid_grant", message).because(reason))
}
