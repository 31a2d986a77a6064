//! The next tokens for a refresh token (RFC 6749 §6, RFC 9700 §4.14.2). One winner moves the family on; whoever lost the race or the answer gets
//! the same answer for ten seconds, as long as nobody has used what it brought; an older token ends the family. Protocol §11.
//!
//! With `offline_access` (OIDC Core 1.0 §11), and as long as the app's settings say so, it goes on when the session is over; everything else is asked
//! each time all the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::id::Audience;
use hallpass_core::oidc::{GrantRefused, Presented, Scope, presented};
use hallpass_core::secret::{RefreshToken, Secret};
use hallpass_core::session::Session;
use hallpass_store::tokens::{self, Family, Rotation};
use hallpass_store::{Write, sessions, users};
use http::StatusCode;
use serde::Deserialize;

use super::{Grant, Lasts, Tokens, bound_to, chosen, is_allowed, judge, may, profile};
use crate::oidc::client::Client;
use crate::oidc::revoke_family;
use crate::web::call::Call;
use crate::web::error::Error;

/// The purpose of the key that answers are kept under.
pub const SEALER: &str = "refresh answer";

/// The tokens. The outer error is a fault of ours: the token is then as it was.
pub async fn exchange(
    call: &Call<Client>,
    token: &str,
    scope: Option<&str>,
    resource: Option<&str>,
) -> Result<Result<Tokens, GrantRefused>, Error> {
    let Some(token) = Secret::<RefreshToken>::parse(token) else { return Ok(Err(GrantRefused::Unknown)) };
    let (context, digest) = (&call.context, token.digest());
    let mut write = context.store.write().await?;
    let found = tokens::by_token(&mut write, &digest).await?;
    let Some((generation, mut family)) = found else { return Ok(Err(GrantRefused::Unknown)) };
    if let Err(refused) = fits(call, &family) {
        return Ok(Err(refused));
    }
    let scope = narrowed(&family, scope)?;
    let audience = chosen(call, &family.resources, resource)?;
    let offline = is_offline(call, &family);
    let judged = match judge(call, &mut write, &family.session).await? {
        Err(GrantRefused::SessionOver) if offline => outlived(call, &mut write, &family).await?,
        judged => judged,
    };
    let session = match judged {
        Ok(session) => session,
        Err(refused) => return Ok(Err(refused)),
    };
    if !is_allowed(call, &mut write, &session, scope, family.claims, audience).await? {
        return Ok(Err(GrantRefused::NoConsent));
    }
    let mut answer = None;
    if presented(generation, family.generation, family.rotated_at, call.now) == Presented::Current {
        let next = Secret::<RefreshToken>::mint_at(call.now, &mut context.random());
        let profile = profile(call, &mut write, &session, scope, family.claims).await?;
        let grant = Grant { session: &session, family: family.id, scope, audience, profile, nonce: None };
        let made = grant.answer(call, &grant.signers(call)?, &next)?;
        let sealed = context.keys.refresh_answer.seal(&made, digest.as_bytes(), &mut context.random());
        let (token, key) = (next.digest(), bound_to(&call.proof));
        let rotation = Rotation { family: family.id, from: generation, token, answer: &sealed, key };
        if tokens::rotate(&mut write, &rotation, call.now).await? {
            (answer, family.rotated_at) = (Some(made), call.now);
        }
    }
    if answer.is_none() {
        // Somebody was faster, or has revoked it. Again, now that nobody else can move this family: who comes second shall see what the first has done.
        let again = tokens::by_token(&mut write, &digest).await?;
        let Some((_, found)) = again else { return Ok(Err(GrantRefused::Unknown)) };
        family = found;
        if let Err(refused) = fits(call, &family) {
            return Ok(Err(refused));
        }
        if presented(generation, family.generation, family.rotated_at, call.now) == Presented::JustReplaced {
            let sealed = family.answer.as_deref();
            let opened = sealed.and_then(|sealed| context.keys.refresh_answer.open(sealed, digest.as_bytes()));
            answer = opened.map(|answer| answer.to_vec());
            if let Some(answer) = &answer
                && audience_of(answer).as_deref()
                    != Some(audience.map_or(context.public_url.as_str(), Audience::as_str))
            {
                // It was asked for another service meanwhile. What it brought is no answer to this: a token would end up at the wrong door.
                let message = "This refresh token has just been used for another service. Use the one that it brought.";
                return Err(
                    Error::new(StatusCode::BAD_REQUEST, "invalid_target", message).because("replaced for another")
                );
            }
        }
    }
    let Some(answer) = answer else {
        revoke_family(call, &mut write, &family.id, GrantRefused::RefreshTokenReused.as_str()).await?;
        write.commit().await?;
        return Ok(Err(GrantRefused::RefreshTokenReused));
    };
    if session.check(call.now).is_ok() {
        // Here and not by way of memory: whoever works in an app that only refreshes asks for nothing that would bring the session there, and would
        // be signed out for inactivity.
        sessions::touch_held(&mut write, &session, call.now).await?;
    }
    write.commit().await?;
    if session.check(call.now).is_ok() {
        context.view.sessions.touch_stored(session.id, call.proof.app().slot as usize, call.now);
    }
    // Whoever repeats an answer says of the cookie what the answer said.
    let lasts =
        Lasts { offline, persistent: session.persistent, made_at: family.rotated_at, expires_at: family.expires_at };
    Ok(Ok(Tokens::new(call, answer, &lasts)))
}

/// Whether the family may outlive its session: it was granted that, and the app may still have it.
fn is_offline(call: &Call<Client>, family: &Family) -> bool {
    family.scope.offline_access && call.proof.app().app.client.offline_access
}

/// The session that is over, if its user may still sign in and enter the app. Holds the family instead of the session.
async fn outlived(
    call: &Call<Client>,
    write: &mut Write,
    family: &Family,
) -> Result<Result<Session, GrantRefused>, Error> {
    if !tokens::hold(write, &family.id).await? {
        return Ok(Err(GrantRefused::Revoked));
    }
    let Some(session) = sessions::find(write, &family.session).await? else {
        return Ok(Err(GrantRefused::SessionOver));
    };
    let user_may_sign_in = users::may_sign_in(write, &session.user_id).await?;
    Ok(may(call, &session, user_may_sign_in).await?.map(|()| session))
}

/// Whether the family is this client's, and lives.
fn fits(call: &Call<Client>, family: &Family) -> Result<(), GrantRefused> {
    let (inactivity, _) = call.context.config.refresh.policy().lifetimes(is_offline(call, family));
    if family.app != call.proof.app().app.key {
        Err(GrantRefused::WrongApp)
    } else if family.key.is_some() && call.proof.key != family.key {
        // Whoever comes without the key has found the token somewhere. That must not end what the client has.
        Err(GrantRefused::WrongKey)
    } else if family.revoked_at.is_some() {
        Err(GrantRefused::Revoked)
    } else if family.expires_at <= call.now || call.now.since(family.rotated_at) >= inactivity {
        Err(GrantRefused::Expired)
    } else {
        Ok(())
    }
}

/// Whom the access token of an answer of ours is for.
fn audience_of(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
    }
    #[derive(Deserialize)]
    struct Claims {
        aud: String,
    }
    let Answer { access_token } = serde_json::from_slice(answer).ok()?;
    let claims = URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.aud)
}

/// What was granted, or less if the client asks for less; never more (RFC 6749 §6).
fn narrowed(family: &Family, asked: Option<&str>) -> Result<Scope, Error> {
    let Some(asked) = asked else { return Ok(family.scope) };
    let asked = asked.parse::<Scope>().ok().filter(|asked| asked.is_within(family.scope));
    asked.ok_or_else(|| {
        Error::new(StatusCode::BAD_REQUEST, "invalid_scope", "The scope is more than was granted, or without openid.")
    })
}
