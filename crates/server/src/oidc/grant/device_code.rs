//! Tokens for a device that somebody has allowed in a browser elsewhere (RFC 8628 §3.4, §3.5): the same as for an authorization code, of the session
//! in which it was allowed, and gone with it.

use hallpass_core::id::{FamilyId, SessionId};
use hallpass_core::oidc::{GrantRefused, RequestedClaims, Resources};
use hallpass_core::secret::{DeviceCode, Secret};
use hallpass_store::device_codes::{self, Decision, Device};
use http::StatusCode;

use super::{Granted, Tokens, chosen, is_allowed, judge};
use crate::oidc::client::Client;
use crate::oidc::revoke_family;
use crate::web::call::Call;
use crate::web::error::Error;

/// The answer, as JSON. The outer error is "not yet", "no", or a fault of ours: the code is then as it was.
pub async fn exchange(
    call: &Call<Client>,
    code: &str,
    resource: Option<&str>,
) -> Result<Result<Tokens, GrantRefused>, Error> {
    let Some(code) = Secret::<DeviceCode>::parse(code) else { return Ok(Err(GrantRefused::Unknown)) };
    let (digest, none) = (code.digest(), Resources::default());
    // A device cannot ask for services: naming one here is more than was allowed.
    let audience = chosen(call, &none, resource)?;
    let mut write = call.context.store.write().await?;
    let Some(found) = device_codes::find(&mut write, &digest).await? else { return Ok(Err(GrantRefused::Unknown)) };
    if found.app != call.proof.app().app.key {
        // Before anything is counted: another client must not be able to slow this one down.
        return Ok(Err(GrantRefused::WrongApp));
    }
    let in_time = device_codes::poll(&mut write, &digest, call.now).await?;
    // At once, and before the session is held: of two that ask at the same time the second one shall see that the first has.
    write.commit().await?;
    if !in_time {
        return Err(not_yet("slow_down", "That was too soon. Wait five seconds longer than before, each time."));
    }
    let session = verdict(call, &found)?;
    let mut write = call.context.store.write().await?;
    let session = match judge(call, &mut write, &session).await? {
        Ok(session) => session,
        Err(refused) => return Ok(Err(refused)),
    };
    if !is_allowed(call, &mut write, &session, found.scope, RequestedClaims::default(), audience).await? {
        return Ok(Err(GrantRefused::NoConsent));
    }
    let family = FamilyId::mint(call.now, &mut call.context.random());
    if !device_codes::redeem(&mut write, &digest, &family, call.now).await? {
        // Twice: what came of it may be with somebody else, as with an authorization code.
        if let Some(family) = device_codes::family(&mut write, &digest).await? {
            revoke_family(call, &mut write, &family, GrantRefused::CodeReused.as_str()).await?;
        }
        write.commit().await?;
        return Ok(Err(GrantRefused::CodeReused));
    }
    let granted = Granted {
        family,
        scope: found.scope,
        resources: &none,
        audience,
        claims: RequestedClaims::default(),
        nonce: None,
    };
    granted.begin(call, write, &session).await.map(Ok)
}

/// The session in which it was allowed; otherwise what the device is told. A code that was used up is found out later, by the statement that uses it up.
fn verdict(call: &Call<Client>, device: &Device) -> Result<SessionId, Error> {
    if device.redeemed_at.is_none() && device.expires_at <= call.now {
        return Err(not_yet("expired_token", "Nobody has allowed this device in time. Begin anew."));
    }
    match device.decision {
        Some(Decision::Allowed(session)) => Ok(session),
        Some(Decision::Denied) => Err(not_yet("access_denied", "Somebody has turned this device away.")),
        None => Err(not_yet("authorization_pending", "Nobody has decided yet. Ask again.")),
    }
}

const fn not_yet(code: &'static str, message: &'static str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, code, message)
}
