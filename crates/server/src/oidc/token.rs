//! `POST /oauth/token`: tokens, grant by grant (RFC 6749 §3.2, OIDC Core 1.0 §3.1.3). 400 `invalid_grant` for every doubt about a code or a refresh
//! token; which one is in the audit log.

use std::borrow::Cow;

use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::oidc::{GrantRefused, GrantType};
use hallpass_store::audit;
use http::{StatusCode, header};
use serde::Deserialize;

use super::client::{Asking, Client, ClientClaim, identify};
use super::grant::token_exchange::{self, Exchange};
use super::grant::{authorization_code, client_credentials, device_code, refresh_cookie, refresh_token};
use super::{cors, documents, dpop, entry, json};
use crate::jobs;
use crate::telemetry::Reused;
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
    device_code: Option<String>,
    resource: Option<String>,
    audience: Option<String>,
    #[serde(flatten)]
    exchange: Exchange,
}

/// The handler.
pub async fn token(call: Call<ClientClaim>) -> Result<Response, Error> {
    let (mut call, request): (Call<Client>, Request) = identify(call).await?;
    let grant = match grant(&call.proof, &request) {
        Ok(grant) => dpop::of_client(&call).await.map(|key| {
            call.proof.key = key;
            grant
        }),
        Err(error) => Err(error),
    };
    match grant {
        Ok(grant @ (GrantType::ClientCredentials | GrantType::TokenExchange)) => by_app(call, grant, &request).await,
        Ok(grant) => {
            let outcome = match wait_for_key(&mut call).await {
                Ok(()) => by_client(&call, grant, &request).await,
                Err(error) => Err(error),
            };
            cors::readable(&call.proof, outcome)
        }
        Err(error) => cors::readable(&call.proof, Err(error)),
    }
}

fn grant(client: &Client, request: &Request) -> Result<GrantType, Error> {
    let Some(grant) = &request.grant_type else { return Err(missing("grant_type is missing.")) };
    let Some(grant) = GrantType::parse(grant) else {
        let message = "grant_type is none of those that the discovery document lists.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", message));
    };
    if !grant.is_given_to(&client.app().app) {
        let message = "This app is not set up for that grant: its declaration says which it has.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", message).because("not given this grant"));
    }
    Ok(grant)
}

/// The first client whose ID tokens are signed with RSA may come before there is such a key. It has one code, which a refusal would use up.
async fn wait_for_key(call: &mut Call<Client>) -> Result<(), Error> {
    let Call { context, proof, now, .. } = call;
    let app = &proof.app().app;
    let purpose = app.token_purpose();
    if proof.policy.keyring.signer(purpose, *now).is_some() {
        return Ok(());
    }
    jobs::first_key(context, purpose).await?;
    let policy = context.view.policy().await?;
    let enabled = |index: &usize| policy.apps[*index].app.disabled_at.is_none();
    let index = policy.by_client_id(app.client_id()).filter(enabled);
    let index = index.ok_or_else(|| Error::unavailable().because("the client went while its key was made"))?;
    (proof.policy, proof.index) = (policy, index);
    // The key signs from when it was made.
    *now = context.now();
    Ok(())
}

/// What an app gets because it is that app: it has shown its secret.
async fn by_app(call: Call<Client>, grant: GrantType, request: &Request) -> Result<Response, Error> {
    let key = call.proof.key;
    let call = call.with(Client::into_caller);
    let (scope, resource, audience) =
        (request.scope.as_deref(), request.resource.as_deref(), request.audience.as_deref());
    if grant == GrantType::ClientCredentials {
        return client_credentials::issue(&call, resource, audience, scope, key).await.map(json);
    }
    match token_exchange::exchange(&call, &request.exchange, resource, audience, scope, key).await? {
        Ok(answer) => Ok(json(answer)),
        // Not `invalid_grant`: RFC 8693 §2.2.2.
        Err(reason) => {
            let message = "The subject_token is not good, or not for this client.";
            refuse(&call, reason, Error::invalid_request(message)).await
        }
    }
}

/// What a client gets for something that only it was given.
async fn by_client(call: &Call<Client>, grant: GrantType, request: &Request) -> Result<Response, Error> {
    let (resource, app) = (request.resource.as_deref(), &call.proof.app().app);
    if !documents::is_current(&call.context, app, call.now).await? {
        return refuse_grant(call, GrantRefused::Undescribed).await;
    }
    let outcome = match grant {
        GrantType::RefreshToken => {
            let token = presented(call, request.refresh_token.as_deref())?;
            match refresh_token::exchange(call, &token, request.scope.as_deref(), resource).await? {
                Err(refused) => return put_away(call, refused, refuse_grant(call, refused).await),
                given => given,
            }
        }
        GrantType::DeviceCode => {
            let Some(code) = &request.device_code else { return Err(missing("This grant takes device_code.")) };
            device_code::exchange(call, code, resource).await?
        }
        _ => {
            let (Some(code), Some(redirect_uri)) = (&request.code, &request.redirect_uri) else {
                return Err(missing("This grant takes code, redirect_uri and code_verifier."));
            };
            // No verifier is a wrong one: PKCE was required, so every code has a challenge (advisories T12, T16).
            let verifier = request.code_verifier.as_deref().unwrap_or_default();
            authorization_code::exchange(call, code, redirect_uri, verifier, resource).await?
        }
    };
    match outcome {
        Ok(tokens) => {
            documents::look_again(&call.context, app, call.now).await?;
            tokens.response(call)
        }
        Err(refused) => refuse_grant(call, refused).await,
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

async fn refuse_grant(call: &Call<Client>, refused: GrantRefused) -> Result<Response, Error> {
    if let Some(what) = Reused::of(refused) {
        call.context.telemetry.reused(call.proof.app(), what);
    }
    let message = "The code or the refresh token is not good, or not for this client. Let the person allow it anew.";
    refuse(call, refused.as_str(), Error::new(StatusCode::BAD_REQUEST, "invalid_grant", message)).await
}

/// Writes down what was wrong with a credential: the client is not told. So often only, and always counted: clients without a secret can be named by
/// anybody, as often as they like, and the log must not fill the disk.
async fn refuse<P: Asking>(call: &Call<P>, reason: &'static str, told: Error) -> Result<Response, Error> {
    let (context, app) = (&call.context, call.proof.app());
    tracing::info!(request_id = %call.request_id, app = %app.app.key, reason, "grant refused");
    context.telemetry.grant_refused(app);
    if !context.grant_refusals.count((app.slot, reason), call.now) {
        let mut write = context.store.write().await?;
        audit::append(&mut write, &(&entry(call, Event::TokensRefused).refused(reason)).into()).await?;
        write.commit().await?;
    }
    Err(told.because(reason))
}
