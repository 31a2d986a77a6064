//! The grants of the token endpoint, and what they have in common: whom tokens may still be made for, and what they are.

pub mod authorization_code;
pub mod refresh_token;

use hallpass_core::id::{FamilyId, SessionId};
use hallpass_core::keyring::Purpose;
use hallpass_core::oidc::{AccessToken, GrantRefused, IdToken, Scope, TOKEN_LIFETIME};
use hallpass_core::secret::{RefreshToken, Secret};
use hallpass_core::session::Session;
use hallpass_store::view::Standing;
use hallpass_store::{Write, consents, sessions, users};
use serde_json::json;

use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// The session, if tokens may be made for it now: it lives, its user may sign in and enter the app. Asked at each issuance (advisory T20). Holds
/// the session, so that it cannot end before the tokens are written down, and whoever ends it afterwards sees them.
async fn judge(
    call: &Call<AppCaller>,
    write: &mut Write,
    id: &SessionId,
) -> Result<Result<Session, GrantRefused>, Error> {
    if !sessions::hold(write, id).await? {
        return Ok(Err(GrantRefused::SessionOver));
    }
    let session = sessions::find(write, id).await?.filter(|session| session.check(call.now).is_ok());
    let Some(session) = session else { return Ok(Err(GrantRefused::SessionOver)) };
    let user = users::find(write, &session.user_id).await?;
    if !user.is_some_and(|user| user.disabled_at.is_none() && !user.must_change_password) {
        return Ok(Err(GrantRefused::UserMayNot));
    }
    let AppCaller { policy, index } = &call.proof;
    Ok(match call.context.view.standing(policy, session.user_id, *index).await? {
        Standing::Admitted(_) => Ok(session),
        _ => Err(GrantRefused::NoAccess),
    })
}

/// Whether the person allows this client so much. An app of the company's own needs no leave. Held, so that whoever takes it back next sees the
/// tokens that are made meanwhile (advisories T20, T25).
async fn is_allowed(call: &Call<AppCaller>, write: &mut Write, session: &Session, scope: Scope) -> Result<bool, Error> {
    let app = &call.proof.app().app;
    if !app.third_party {
        return Ok(true);
    }
    let given = consents::hold(write, &session.user_id, &app.key).await?;
    Ok(given.is_some_and(|given| scope.is_within(given.scope)))
}

/// What tokens are made of.
struct Grant<'a> {
    session: &'a Session,
    family: FamilyId,
    scope: Scope,
    /// Of the authorization request; none after a refresh.
    nonce: Option<&'a str>,
}

impl Grant<'_> {
    /// The token response (RFC 6749 §5.1, OIDC Core 1.0 §3.1.3.3).
    fn answer(&self, call: &Call<AppCaller>, refresh_token: &Secret<RefreshToken>) -> Result<Vec<u8>, Error> {
        let Call { context, proof, now, .. } = call;
        let signer = proof.policy.keyring.signer(Purpose::Token, *now);
        let signer = signer.ok_or_else(|| Error::unavailable().because("no key to sign tokens with"))?;
        let (issuer, app) = (context.public_url.as_str(), &proof.app().app.key);
        let access_token = AccessToken {
            issuer,
            app,
            user_id: self.session.user_id,
            session_id: self.session.id,
            family: self.family,
            scope: self.scope,
            issued_at: *now,
        };
        let id_token = IdToken { issuer, app, session: self.session, nonce: self.nonce, issued_at: *now };
        let answer = json!({
            "access_token": access_token.mint(signer, &mut context.random()),
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "refresh_token": refresh_token.expose().as_str(),
            "id_token": id_token.mint(signer),
            "scope": self.scope.to_string(),
        });
        serde_json::to_vec(&answer).map_err(|error| Error::internal().because(error.to_string()))
    }
}
