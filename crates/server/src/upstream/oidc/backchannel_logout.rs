//! `POST /upstream/oidc/backchannel-logout/{name}`: a provider says that somebody has signed out there, and what came of it here ends (OIDC
//! Back-Channel Logout 1.0 §2.5, §2.7, §2.8). Protocol §10.
//!
//! Anybody may call it; what counts is the token, which only the provider can sign. Whatever goes on here ends within the request: 200 means that nobody is
//! signed in by it any more.

use axum::body::Body;
use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::session::EndReason;
use hallpass_core::throttle;
use hallpass_core::upstream::oidc::{LogoutTokenRefused, SignOut};
use hallpass_store::{StoreError, audit, provider_sessions};
use serde::Deserialize;

use super::named;
use super::provider::Provider;
use crate::web::call::{Call, content_type};
use crate::web::error::Error;
use crate::web::guard::Anybody;
use crate::web::parameters::parameters;

/// Others are ignored (§2.5).
#[derive(Deserialize)]
struct Request {
    logout_token: String,
}

/// The handler.
pub async fn logout(mut call: Call<Anybody>) -> Result<Response, Error> {
    let provider = named(&call)?;
    if content_type(call.headers()) != Some("application/x-www-form-urlencoded") {
        return Err(Error::unsupported_media_type());
    }
    let body = call.bytes().await?;
    let Request { logout_token } = parameters(&body)?;
    let said = provider.sign_out(&logout_token, call.now).await;
    let said =
        said.map_err(|away| Error::unavailable().because(format!("its keys cannot be asked for: {}", away.0)))?;
    let taken = match said {
        Ok(said) => take(&call, &provider, &said).await?,
        Err(refused) => Err(refused),
    };
    match taken {
        Ok(()) => Ok(Response::new(Body::empty())),
        Err(refused) => refuse(&call, &provider, refused).await,
    }
}

/// Ends what it says. Once: a token that somebody has kept does not end what began after it.
async fn take(
    call: &Call<Anybody>,
    provider: &Provider,
    said: &SignOut,
) -> Result<Result<(), LogoutTokenRefused>, StoreError> {
    let store = &call.context.store;
    let mut write = store.write().await?;
    if !provider_sessions::take(&mut write, said, call.now).await? {
        return Ok(Err(LogoutTokenRefused::Used));
    }
    end(&mut write, call, provider, said).await?;
    write.commit().await?;
    // Sign-ins that committed while we did: from now on they find what has been said.
    if !provider_sessions::ended_by(&mut store.read().await?, said).await?.is_empty() {
        let mut write = store.write().await?;
        end(&mut write, call, provider, said).await?;
        write.commit().await?;
    }
    Ok(Ok(()))
}

async fn end(
    write: &mut hallpass_store::Write,
    call: &Call<Anybody>,
    provider: &Provider,
    said: &SignOut,
) -> Result<(), StoreError> {
    for (session, user) in provider_sessions::end(write, said, call.now).await? {
        let entry = Entry::new(Event::SessionEnded, Actor::System, call.now, &mut call.context.random());
        let entry = entry.session(session).user(user).with("reason", &EndReason::UpstreamEnded);
        let entry = entry.with("found", &Word("upstream_signed_out")).with("upstream", provider.name());
        audit::append(write, &(&entry).into()).await?;
    }
    Ok(())
}

/// 400, and the entry that says why. Anybody can come here, as often as they like: the log must not fill the disk.
async fn refuse(call: &Call<Anybody>, provider: &Provider, refused: LogoutTokenRefused) -> Result<Response, Error> {
    let context = &call.context;
    if !context.upstream_refusals.count(throttle::address_block(call.ip), call.now) {
        let entry = Entry::new(Event::UpstreamSignOutRefused, Actor::Anonymous, call.now, &mut context.random());
        let entry = entry.refused(refused.as_str()).ip(call.ip).with("upstream", provider.name());
        let mut write = context.store.write().await?;
        audit::append(&mut write, &(&entry).into()).await?;
        write.commit().await?;
    }
    Err(Error::invalid_request("That is no logout token for us, or it has been here before.").because(refused.as_str()))
}
