//! A token for a service that the app calls, in the name of whoever is at the app (RFC 8693): the very request token that introspection gives, under
//! the very rules. What is exchanged is the visitor's pass, or an access token that this client got for them.
//!
//! Nothing is written down, as with introspection: the token lives for a minute, and whoever is asked for it answers from memory.

use hallpass_core::audit::InactiveReason;
use hallpass_core::id::{Audience, PermissionName};
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::TargetRefused;
use hallpass_core::token::REQUEST_TOKEN_LIFETIME;
use hallpass_store::consents;
use hallpass_store::view::{EnvelopeView, SessionView, Standing};
use serde::Deserialize;
use serde_json::json;

use super::{invalid_target, no_scope, target};
use crate::introspect::{self, request_token};
use crate::oidc::access;
use crate::oidc::dpop::token_type;
use crate::oidc::services;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// `subject_token_type` of a pass. Ours: RFC 8693 §3 names none for what a cookie of ours is.
const PASS: &str = "urn:hallpass:params:oauth:token-type:pass";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The parameters of RFC 8693 §2.1 that no other grant has.
#[derive(Deserialize)]
pub struct Exchange {
    subject_token: Option<String>,
    subject_token_type: Option<String>,
    requested_token_type: Option<String>,
    actor_token: Option<String>,
    actor_token_type: Option<String>,
}

/// The answer, as JSON. The inner error is the reason why the subject token is not good, for the log and the audit log.
pub async fn exchange(
    call: &Call<AppCaller>,
    asked: &Exchange,
    resource: Option<&str>,
    audience: Option<&str>,
    scope: Option<&str>,
    key: Option<Thumbprint>,
) -> Result<Result<Vec<u8>, &'static str>, Error> {
    let wrong = |message| Err(Error::invalid_request(message));
    if asked.actor_token.is_some() || asked.actor_token_type.is_some() {
        // Ignoring it would hand out a token that says less than was asked for: who acts is the client itself.
        return wrong("actor_token is not supported: the client that asks is the one that acts.");
    }
    if asked.requested_token_type.as_deref().is_some_and(|kind| kind != ACCESS_TOKEN) {
        return wrong("requested_token_type is urn:ietf:params:oauth:token-type:access_token, or left out.");
    }
    let (Some(subject_token), Some(kind)) = (&asked.subject_token, &asked.subject_token_type) else {
        return wrong("This grant takes subject_token and subject_token_type.");
    };
    no_scope(scope)?;
    let audience = target(call, resource, audience)?;
    // Who is signed in is read from the view: it must be known to be complete.
    call.context.view.fresh().await?;
    let subject = match kind.as_str() {
        PASS => introspect::judge(call, subject_token)
            .await?
            .map(|(_, session, envelope)| (session, envelope))
            .map_err(InactiveReason::as_str),
        ACCESS_TOKEN => of_access_token(call, subject_token, key).await?,
        _ => {
            return wrong(
                "subject_token_type is urn:hallpass:params:oauth:token-type:pass or urn:ietf:params:oauth:token-type:access_token.",
            );
        }
    };
    let (session, envelope) = match subject {
        Ok(subject) => subject,
        Err(reason) => return Ok(Err(reason)),
    };
    if let Err(refused) = may_call(call, kind, &session, audience).await? {
        return Err(invalid_target(refused));
    }
    let token = request_token(call, &session, audience, &envelope, key)?;
    // The app has learned of the session, and will hear of its end.
    call.context.view.sessions.touch(&session, call.proof.app().slot as usize, call.now);
    let permissions: Vec<_> = envelope.rights.rights.permissions.iter().map(PermissionName::as_str).collect();
    let answer = json!({
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": token_type(key),
        "expires_in": REQUEST_TOKEN_LIFETIME.as_secs(),
        "scope": permissions.join(" "),
    });
    serde_json::to_vec(&answer).map(Ok).map_err(|error| Error::internal().because(error.to_string()))
}

/// Whether the person has allowed an app of others to call the service: exchanging what signed them in would otherwise be the way around the question.
/// A pass is not given by consent; an app of others that is to have none has no origins.
async fn may_call(
    call: &Call<AppCaller>,
    kind: &str,
    session: &SessionView,
    service: &Audience,
) -> Result<Result<(), TargetRefused>, Error> {
    let Call { context, proof, .. } = call;
    let app = &proof.app().app;
    if kind != ACCESS_TOKEN || !app.third_party {
        return Ok(Ok(()));
    }
    let given = consents::find(&mut context.store.read().await?, &session.user_id, &app.key).await?;
    if !given.is_some_and(|given| given.resources.contains(service)) {
        return Ok(Err(TargetRefused::NotAllowed));
    }
    let enters = services::may_enter(context, &proof.policy, app, session.user_id, service).await?;
    Ok(if enters { Ok(()) } else { Err(TargetRefused::NoAccess) })
}

type Subject = Result<(SessionView, EnvelopeView), &'static str>;

/// Whom an access token stands for, if it was issued to the client that presents it: another client's is none, however good (advisory T29).
async fn of_access_token(call: &Call<AppCaller>, text: &str, key: Option<Thumbprint>) -> Result<Subject, Error> {
    let Call { context, proof, now, .. } = call;
    let live = match access::live(context, text, *now).await? {
        // Otherwise exchanging it would be the way to be rid of its key.
        Ok(live) if live.token.key.is_some() && live.token.key != key => return Ok(Err("wrong_key")),
        Ok(live) if live.token.client_id == proof.app().app.client_id() => live,
        Ok(_) => return Ok(Err("wrong_app")),
        Err(because) => return Ok(Err(because)),
    };
    let Some(session) = context.view.session(live.token.session_id, *now).await? else {
        return Ok(Err("session_over"));
    };
    Ok(match context.view.standing(&proof.policy, live.user_id, proof.index).await? {
        Standing::Admitted(envelope) => Ok((session, envelope)),
        _ => Err("no_access"),
    })
}
