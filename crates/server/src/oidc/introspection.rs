//! What `/introspect` says about tokens that OAuth gave out (RFC 7662 §2.2): of one for our own endpoints to the client that it was issued to, of one
//! for a service to that service, and to everybody else nothing at all (advisory T33).
//!
//! A service that only checks the signature is content until the token is over; one that asks hears at once that a session has ended, that somebody
//! may enter no longer, or that the declaration has been taken back.

use hallpass_core::app::App;
use hallpass_core::id::{Audience, TokenId};
use hallpass_core::jose::Refused;
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::{self, verify_client_token};
use hallpass_core::time::Timestamp;
use hallpass_core::token;
use hallpass_store::view::{PolicyGuard, Standing};
use serde_json::{Value, json};

use super::access;
use super::dpop::token_type;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// The members of an active answer; `None` for whatever is not active.
pub async fn active(call: &Call<AppCaller>, text: &str) -> Result<Option<String>, Error> {
    let said = match access_token(call, text).await? {
        // Another form of the same `typ`: each has a claim that the others refuse.
        Err(reason) if reason == Refused::Malformed.as_str() => match request_token(call, text).await? {
            Err(reason) if reason == Refused::Malformed.as_str() => client_token(call, text).await?,
            said => said,
        },
        said => said,
    };
    Ok(match said {
        Ok(said) => Some(said.to_string()),
        Err(because) => {
            tracing::debug!(request_id = %call.request_id, because, "token is inactive");
            None
        }
    })
}

/// The inner error is the reason, for the log.
type Said = Result<Value, &'static str>;

/// Of an authorization code, a device's, or a refresh token.
async fn access_token(call: &Call<AppCaller>, text: &str) -> Result<Said, Error> {
    let issuer = call.context.public_url.as_str();
    let caller = &call.proof.app().app;
    let meant = |audience: &str| audience == issuer || is_the_caller(call, audience);
    let live = match access::live_for(&call.context, text, call.now, meant).await? {
        Ok(live) => live,
        Err(because) => return Ok(Err(because)),
    };
    let token = &live.token;
    if token.audience == issuer {
        if token.client_id != caller.client_id() {
            return Ok(Err("wrong_app"));
        }
    } else {
        let policy = call.context.view.policy().await?;
        let index = match may_call(call, &policy, &token.client_id, &token.audience) {
            Ok(index) => index,
            Err(because) => return Ok(Err(because)),
        };
        // An app of others gets nobody to where they may not go any more.
        let standing = call.context.view.standing(&policy, live.user_id, call.proof.index);
        if policy.apps[index].app.third_party && !matches!(standing.await?, Standing::Admitted(_)) {
            return Ok(Err("no_access"));
        }
    }
    let mut said =
        members(call, &token.client_id, &token.audience, &token.id, (token.issued_at, token.expires_at), token.key);
    said["sub"] = token.subject.to_string().into();
    said["sid"] = token.session_id.to_string().into();
    said["scope"] = token.scope.to_string().into();
    Ok(Ok(said))
}

/// Of introspection or token exchange.
async fn request_token(call: &Call<AppCaller>, text: &str) -> Result<Said, Error> {
    let Call { context, now, .. } = call;
    let policy = context.view.policy().await?;
    let token = token::verify(text, &policy.keyring, context.public_url.as_str(), &names(call), *now);
    let token = match token {
        Ok(token) => token,
        Err(refused) => return Ok(Err(refused.as_str())),
    };
    let index = match may_call(call, &policy, token.app_key.as_str(), token.audience.as_str()) {
        Ok(index) => index,
        Err(because) => return Ok(Err(because)),
    };
    let session = context.view.session(token.session_id, *now).await?;
    let session = session.filter(|session| session.user_id == token.user_id && session.check(*now).is_ok());
    if session.is_none() {
        return Ok(Err("session_over"));
    }
    if !matches!(context.view.standing(&policy, token.user_id, index).await?, Standing::Admitted(_)) {
        return Ok(Err("no_access"));
    }
    let mut said = members(
        call,
        token.app_key.as_str(),
        token.audience.as_str(),
        &token.id,
        (token.issued_at, token.expires_at),
        token.key,
    );
    said["sub"] = token.user_id.to_string().into();
    said["sid"] = token.session_id.to_string().into();
    said["scope"] = token.scope.into();
    Ok(Ok(said))
}

/// Of client credentials.
async fn client_token(call: &Call<AppCaller>, text: &str) -> Result<Said, Error> {
    let policy = call.context.view.policy().await?;
    let issuer = call.context.public_url.as_str();
    let token = verify_client_token(text, &policy.keyring, issuer, call.now, |name| is_the_caller(call, name));
    let token = match token {
        Ok(token) => token,
        Err(refused) => return Ok(Err(refused.as_str())),
    };
    let index = match may_call(call, &policy, token.app.as_str(), &token.audience) {
        Ok(index) => index,
        Err(because) => return Ok(Err(because)),
    };
    if !policy.apps[index].app.client_credentials {
        return Ok(Err("not_given_this_grant"));
    }
    let mut said =
        members(call, token.app.as_str(), &token.audience, &token.id, (token.issued_at, token.expires_at), token.key);
    said["sub"] = token.app.to_string().into();
    Ok(Ok(said))
}

fn members(
    call: &Call<AppCaller>,
    client_id: &str,
    audience: &str,
    id: &TokenId,
    (issued_at, expires_at): (Timestamp, Timestamp),
    key: Option<Thumbprint>,
) -> Value {
    let mut said = json!({
        "active": true,
        "token_type": token_type(key),
        "iss": call.context.public_url.as_str(),
        "aud": audience,
        "client_id": client_id,
        "jti": id,
        "iat": issued_at.as_seconds(),
        "exp": expires_at.as_seconds(),
    });
    if let Some(key) = key {
        // Whoever is shown it has to ask for a proof, too (RFC 9449 §6.2).
        said["cnf"] = json!({ "jkt": key });
    }
    said
}

/// Whether the app that asks is the service of this name. We are no service, whatever an app is called.
fn is_the_caller(call: &Call<AppCaller>, name: &str) -> bool {
    name != call.context.public_url.as_str() && oidc::is_named(&call.proof.app().app, name)
}

/// Each name of the app that asks.
fn names(call: &Call<AppCaller>) -> Vec<Audience> {
    let names = oidc::names_of(&call.proof.app().app);
    names.filter(|name| is_the_caller(call, name)).filter_map(|name| name.parse().ok()).collect()
}

/// Whether the client may still call the service: where it is in the registry.
fn may_call(
    call: &Call<AppCaller>,
    policy: &PolicyGuard,
    client_id: &str,
    audience: &str,
) -> Result<usize, &'static str> {
    let index = policy.by_client_id(client_id).ok_or("app_unknown")?;
    let client: &App = &policy.apps[index].app;
    if client.disabled_at.is_some() {
        return Err("app_disabled");
    }
    let registry = policy.apps.iter().map(|entry| &entry.app);
    let found = oidc::target(client, Some(audience), registry, call.context.public_url.as_str());
    found.map(|_| index).map_err(oidc::TargetRefused::as_str)
}
