//! What an access token is still worth: the signature says that it was ours, the session, the family, the person and the app say the rest.

use hallpass_core::id::UserId;
use hallpass_core::jose::Refused;
use hallpass_core::oidc::{RequestedClaims, Subject, VerifiedAccessToken, verify_access_token_for};
use hallpass_core::time::Timestamp;
use hallpass_store::tokens::{self, Family};
use hallpass_store::view::Standing;

use crate::context::Context;
use crate::web::error::Error;

/// A token that opens something.
#[derive(Debug)]
pub struct Live {
    /// What it says.
    pub token: VerifiedAccessToken,
    /// Whom it stands for.
    pub user_id: UserId,
    /// What its client asked for by name.
    pub claims: RequestedClaims,
}

/// The token, if it is for us and opens anything at `now`. The inner error is the reason, for the log. The outer one is a fault of ours.
pub async fn live(context: &Context, text: &str, now: Timestamp) -> Result<Result<Live, &'static str>, Error> {
    live_for(context, text, now, |audience| audience == context.public_url.as_str()).await
}

/// The same of a token for whomever `is_meant` says.
pub async fn live_for(
    context: &Context,
    text: &str,
    now: Timestamp,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Result<Live, &'static str>, Error> {
    let token = match verify(context, text, now, is_meant).await? {
        Ok(token) => token,
        Err(refused) => return Ok(Err(refused.as_str())),
    };
    let policy = context.view.policy().await?;
    let family = tokens::find(&mut context.store.read().await?, &token.family).await?;
    let index = policy.by_client_id(&token.client_id).filter(|index| policy.apps[*index].app.disabled_at.is_none());
    let Some(index) = index else { return Ok(Err("app_disabled")) };
    // Both must be those that the token was made for: a database that was set back may have given their names away again.
    let its_own = |family: &Family| family.app == policy.apps[index].app.key && family.session == token.session_id;
    let family = family.filter(|family| its_own(family) && family.revoked_at.is_none());
    let Some(family) = family else { return Ok(Err("revoked")) };
    // Whose it is says the session; the token says what its client knows them as.
    let app = &policy.apps[index].app;
    let known_as = |user| Subject::of(app, user, &context.keys.pairwise);
    let session = context.view.session(token.session_id, now).await?;
    let Some(session) = session.filter(|session| known_as(session.user_id) == token.subject) else {
        return Ok(Err("session_over"));
    };
    // With offline access it is enough to know whose session it was (OIDC Core 1.0 §11).
    let outlives = family.scope.offline_access && app.client.offline_access;
    if session.check(now).is_err() && !outlives {
        return Ok(Err("session_over"));
    }
    Ok(match context.view.standing(&policy, session.user_id, index).await? {
        Standing::Admitted(_) => Ok(Live { token, user_id: session.user_id, claims: family.claims }),
        _ => Err("no_access"),
    })
}

/// The token, if it is of our making and its time is not over. Whether it still opens anything is another question.
pub async fn verify(
    context: &Context,
    text: &str,
    now: Timestamp,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Result<VerifiedAccessToken, Refused>, Error> {
    let issuer = context.public_url.as_str();
    let verified = verify_access_token_for(text, &context.view.policy().await?.keyring, issuer, now, &is_meant);
    if verified != Err(Refused::UnknownKey) {
        return Ok(verified);
    }
    // Another node may have made the key a moment ago and signed with it.
    context.view.current().await?;
    Ok(verify_access_token_for(text, &context.view.policy().await?.keyring, issuer, now, &is_meant))
}
