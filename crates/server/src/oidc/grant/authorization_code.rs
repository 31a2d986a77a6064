//! Tokens for an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6). Everything that can be wrong with a code is looked at before one guarded
//! statement uses it up: whoever has seen a code, but not the verifier, cannot use it up in the client's place.

use hallpass_core::audit::Event;
use hallpass_core::id::FamilyId;
use hallpass_core::oidc::{GrantRefused, pkce};
use hallpass_core::secret::{AuthorizationCode, RefreshToken, Secret};
use hallpass_store::codes::Code;
use hallpass_store::tokens::{self, NewFamily};
use hallpass_store::{audit, codes, sessions};

use super::{Grant, Lasts, Tokens, judge};
use crate::oidc::client::Client;
use crate::oidc::{entry, revoke_family};
use crate::web::call::Call;
use crate::web::error::Error;

/// The tokens. The outer error is a fault of ours: the code is then as it was.
pub async fn exchange(
    call: &Call<Client>,
    code: &str,
    redirect_uri: &str,
    verifier: &str,
) -> Result<Result<Tokens, GrantRefused>, Error> {
    // Garbage is refused without a look into the database.
    let Some(code) = Secret::<AuthorizationCode>::parse(code) else { return Ok(Err(GrantRefused::Unknown)) };
    let (context, app, digest) = (&call.context, &call.proof.app().app.key, code.digest());
    let mut write = context.store.write().await?;
    let Some(found) = codes::find(&mut write, &digest).await? else { return Ok(Err(GrantRefused::Unknown)) };
    if let Err(refused) = fits(call, &found, redirect_uri, verifier) {
        return Ok(Err(refused));
    }
    let session = match judge(call, &mut write, &found.session).await? {
        Ok(session) => session,
        Err(refused) => return Ok(Err(refused)),
    };
    if !codes::redeem(&mut write, &digest, call.now).await? {
        // Twice by whoever knows the verifier: one of the two is not the client (RFC 6749 §4.1.2).
        if let Some(family) = tokens::of_code(&mut write, &digest).await? {
            revoke_family(call, &mut write, &family, GrantRefused::CodeReused.as_str()).await?;
        }
        write.commit().await?;
        return Ok(Err(GrantRefused::CodeReused));
    }
    let offline = found.scope.offline_access;
    let (_, lifetime) = context.config.refresh.policy().lifetimes(offline);
    let refresh_token = Secret::<RefreshToken>::mint(&mut context.random());
    let family = FamilyId::mint(&mut context.random());
    let new = NewFamily {
        id: family,
        code: digest,
        app,
        session: session.id,
        scope: found.scope,
        lifetime,
        token: refresh_token.digest(),
    };
    tokens::begin(&mut write, &new, call.now).await?;
    // From now on the client keeps a session of its own: it has to hear when this one ends.
    sessions::record_told(&mut write, &[(session.id, app.clone())], call.now).await?;
    let answer = Grant { session: &session, family, scope: found.scope, nonce: found.nonce.as_deref() }
        .answer(call, &refresh_token)?;
    let entry = entry(call, Event::TokensIssued).session(session.id).user(session.user_id);
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    context.view.sessions.touch(session.id, call.proof.app().slot as usize, call.now);
    let lasts = Lasts { offline, persistent: session.persistent, made_at: call.now, expires_at: call.now + lifetime };
    Ok(Ok(Tokens::new(call, answer, &lasts)))
}

/// Whether the code is for this client, this address and this verifier, and in time.
fn fits(call: &Call<Client>, code: &Code, redirect_uri: &str, verifier: &str) -> Result<(), GrantRefused> {
    if code.app != call.proof.app().app.key {
        Err(GrantRefused::WrongApp)
    } else if code.redirect_uri != redirect_uri {
        Err(GrantRefused::WrongRedirectUri)
    } else if !pkce::is_answered_by(&code.challenge, verifier) {
        Err(GrantRefused::WrongVerifier)
    } else if code.redeemed_at.is_none() && code.expires_at <= call.now {
        Err(GrantRefused::Expired)
    } else {
        Ok(())
    }
}
