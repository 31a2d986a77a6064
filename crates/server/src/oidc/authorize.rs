//! `GET /oauth/authorize`: a code for whoever is signed in at home, by way of their browser; and `GET /oauth/continue`, the same once they have
//! signed in. OIDC Core 1.0 §3.1.2, RFC 6749 §4.1, RFC 7636, RFC 9207.
//!
//! The apps are the company's own, so nobody is asked for consent. Until client and redirect URI are known to belong together nobody is
//! redirected anywhere.

use axum::response::Response;
use hallpass_core::id::AppKey;
use hallpass_core::oidc::{
    AuthorizationRefused, AuthorizationRequest, Parameters, RedirectUri, Scope, registered_redirect_uri,
};
use hallpass_core::secret::{AuthorizationCode, Secret};
use hallpass_core::time::Timestamp;
use hallpass_store::codes::{self, NewCode};
use hallpass_store::view::{Policy, Standing};
use http::StatusCode;

use super::pending::Pending;
use crate::pass::{Journey, see_other};
use crate::sign_in;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::headers::require_navigation;
use crate::web::page::{ErrorPage, Stop};
use crate::web::respond::html_with;

/// `GET /oauth/authorize`
pub async fn authorize(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let parameters: Parameters = call.query()?;
    answer(&call, Pending::new(parameters, call.now), false).await
}

/// `GET /oauth/continue?app&pending`, to which `/continue` leads.
pub async fn resume(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let journey: Journey = call.query()?;
    let pending = Pending::of(&journey, &call.context.keys.pending, call.now).ok_or_else(|| {
        Error::invalid_request(
            "This sign-in took too long, or its address is not complete. Open the application again.",
        )
        .because("the pending request does not open")
    })?;
    answer(&call, pending, true).await
}

/// Where `/continue` sends a browser that has signed in for a pending request.
pub fn way_back(journey: &Journey) -> String {
    format!("/oauth/continue{}", journey.query())
}

/// A client that is ours, and one of its addresses.
struct Client<'p> {
    index: usize,
    key: &'p AppKey,
    redirect_uri: RedirectUri,
    /// It may ask for `offline_access`.
    offline: bool,
    state: Option<String>,
}

impl<'p> Client<'p> {
    /// The one validator: of bytes against bytes, but for a native client's port at its own computer. Whoever registered none has none (advisory T4).
    fn find(policy: &'p Policy, parameters: &Parameters) -> Result<Self, Error> {
        let wrong = |why: &'static str| {
            let message = "The link that led here names an application or an address that is not registered. Open the application again from its own address.";
            Error::invalid_request(message).because(why)
        };
        let index = parameters.client_id.as_deref().and_then(|key| policy.by_key(key));
        let index = index.ok_or_else(|| wrong("unknown client_id"))?;
        let app = &policy.apps[index].app;
        if app.disabled_at.is_some() {
            return Err(wrong("the client is disabled"));
        }
        let redirect_uri = parameters.redirect_uri.as_deref().and_then(|asked| registered_redirect_uri(app, asked));
        let redirect_uri = redirect_uri.ok_or_else(|| wrong("redirect_uri is not registered for this client"))?;
        let (offline, state) = (app.client.offline_access, parameters.state().map(str::to_owned));
        Ok(Self { index, key: &app.key, redirect_uri, offline, state })
    }

    /// Sends the browser back to the client.
    fn send(&self, call: &Call<Visitor>, result: (&str, &str)) -> Response {
        let mut parameters = vec![result];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", call.context.public_url.as_str()));
        see_other(&self.redirect_uri.with(&parameters))
    }

    fn refuse(&self, call: &Call<Visitor>, code: &'static str, because: &'static str) -> Response {
        tracing::debug!(request_id = %call.request_id, app = %self.key, code, because, "authorization refused");
        self.send(call, ("error", code))
    }
}

async fn answer(call: &Call<Visitor>, pending: Pending, waited: bool) -> Result<Response, Error> {
    let context = &call.context;
    let policy = context.view.policy().await?;
    let client = Client::find(&policy, &pending.parameters)?;
    let request = match AuthorizationRequest::read(&pending.parameters) {
        Ok(request) => request,
        Err(AuthorizationRefused { code, because }) => return Ok(client.refuse(call, code, because)),
    };
    let live = match whoever_is_here(call, &request, pending.asked_at(), waited) {
        Here::Somebody(live) => live,
        Here::Nobody | Here::MustChangePassword if request.silent => {
            return Ok(client.refuse(call, "login_required", "nobody is signed in, or not lately enough"));
        }
        here => {
            let journey =
                pending.understood(&request).journey(client.key.as_str(), &context.keys.pending, &mut context.random());
            return Ok(match here {
                Here::MustChangePassword => see_other(&format!("/continue{}", journey.query())),
                _ => sign_in::redirect(&journey, &call.proof),
            });
        }
    };
    if !matches!(context.view.standing(&policy, live.user.id, client.index).await?, Standing::Admitted(_)) {
        return Ok(client.refuse(call, "access_denied", "the person has no access to this app"));
    }
    // A client that does not understand its answer asks again, and again.
    if context.handoffs.count((live.session.id, true, client.key.to_string()), call.now) {
        tracing::warn!(request_id = %call.request_id, app = %client.key, "a browser comes for a code again and again");
        let home = format!("{}/", context.public_url);
        let page = ErrorPage::stopped(Stop::Loop, &home, &context.config.brand, &call.request_id.to_string());
        return Ok(html_with(StatusCode::BAD_REQUEST, &page));
    }
    give_code(call, &client, &request, live).await
}

enum Here<'c> {
    Somebody(&'c LiveSession),
    /// Or somebody who has to prove again who they are.
    Nobody,
    MustChangePassword,
}

fn whoever_is_here<'c>(
    call: &'c Call<Visitor>,
    request: &AuthorizationRequest,
    asked_at: Timestamp,
    waited: bool,
) -> Here<'c> {
    match &call.proof.session {
        Some(live) if request.wants_sign_in(live.session.authenticated_at, asked_at, waited) => Here::Nobody,
        Some(live) if live.user.must_change_password => Here::MustChangePassword,
        Some(live) => Here::Somebody(live),
        None => Here::Nobody,
    }
}

async fn give_code(
    call: &Call<Visitor>,
    client: &Client<'_>,
    request: &AuthorizationRequest,
    live: &LiveSession,
) -> Result<Response, Error> {
    let code = Secret::<AuthorizationCode>::mint(&mut call.context.random());
    let new = NewCode {
        code: code.digest(),
        app: client.key,
        session: live.session.id,
        redirect_uri: client.redirect_uri.as_str(),
        // Ignored where the app's settings do not allow for it (OIDC Core 1.0 §11); the token response says what was granted.
        scope: Scope { offline_access: request.scope.offline_access && client.offline, ..request.scope },
        nonce: request.nonce.as_deref(),
        challenge: request.challenge,
    };
    let mut write = call.context.store.write().await?;
    let issued = codes::issue(&mut write, &new, call.now).await?;
    write.commit().await?;
    Ok(if issued {
        client.send(call, ("code", &code.expose()))
    } else {
        client.refuse(call, "login_required", "the session ended a moment ago")
    })
}
