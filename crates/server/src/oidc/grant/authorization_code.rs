//! Tokens for an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6). Everything that can be wrong with a code is looked at before one guarded
//! statement uses it up: whoever has seen a code, but not the verifier, cannot use it up in the client's place.

use hallpass_core::id::FamilyId;
use hallpass_core::oidc::{GrantRefused, pkce, registered_redirect_uri};
use hallpass_core::secret::{AuthorizationCode, Secret};
use hallpass_store::codes::{self, Code};

use super::{Granted, Tokens, chosen, is_allowed, judge};
use crate::oidc::client::Client;
use crate::oidc::revoke_family;
use crate::web::call::Call;
use crate::web::error::Error;

/// The tokens. The outer error is a fault of ours: the code is then as it was.
pub async fn exchange(
    call: &Call<Client>,
    code: &str,
    redirect_uri: &str,
    verifier: &str,
    resource: Option<&str>,
) -> Result<Result<Tokens, GrantRefused>, Error> {
    // Garbage is refused without a look into the database.
    let Some(code) = Secret::<AuthorizationCode>::parse(code) else { return Ok(Err(GrantRefused::Unknown)) };
    let digest = code.digest();
    let mut write = call.context.store.write().await?;
    let Some(found) = codes::find(&mut write, &digest).await? else { return Ok(Err(GrantRefused::Unknown)) };
    if let Err(refused) = fits(call, &found, redirect_uri, verifier) {
        return Ok(Err(refused));
    }
    let audience = chosen(call, &found.resources, resource)?;
    let session = match judge(call, &mut write, &found.session).await? {
        Ok(session) => session,
        Err(refused) => return Ok(Err(refused)),
    };
    if !is_allowed(call, &mut write, &session, found.scope, found.claims, audience).await? {
        return Ok(Err(GrantRefused::NoConsent));
    }
    let family = FamilyId::mint(call.now, &mut call.context.random());
    if !codes::redeem(&mut write, &digest, &family, call.now).await? {
        // Twice by whoever knows the verifier: one of the two is not the client (RFC 6749 §4.1.2).
        if let Some(family) = codes::family(&mut write, &digest).await? {
            revoke_family(call, &mut write, &family, GrantRefused::CodeReused.as_str()).await?;
        }
        write.commit().await?;
        return Ok(Err(GrantRefused::CodeReused));
    }
    let granted = Granted {
        family,
        scope: found.scope,
        resources: &found.resources,
        audience,
        claims: found.claims,
        nonce: found.nonce.as_deref(),
    };
    granted.begin(call, write, &session).await.map(Ok)
}

/// Whether the code is for this client, this address and this verifier, and in time.
fn fits(call: &Call<Client>, code: &Code, redirect_uri: &str, verifier: &str) -> Result<(), GrantRefused> {
    if code.app != call.proof.app().app.key {
        Err(GrantRefused::WrongApp)
    } else if code.redirect_uri != redirect_uri
        || registered_redirect_uri(&call.proof.app().app, redirect_uri).is_none()
    {
        // Also one that was taken out since.
        Err(GrantRefused::WrongRedirectUri)
    } else if !pkce::is_answered_by(&code.challenge, verifier) {
        Err(GrantRefused::WrongVerifier)
    } else if code.key.is_some() && call.proof.key != code.key {
        Err(GrantRefused::WrongKey)
    } else if code.redeemed_at.is_none() && code.expires_at <= call.now {
        Err(GrantRefused::Expired)
    } else {
        Ok(())
    }
}
