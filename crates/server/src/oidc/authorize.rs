//! `/oauth/authorize`: a code for whoever is signed in at home, by way of their browser; and `GET /oauth/continue`, the same once they have
//! signed in, or answered what had to be asked. OIDC Core 1.0 §3.1.2, RFC 6749 §4.1, RFC 7636, RFC 9207.
//!
//! Until client and redirect URI are known to belong together nobody is redirected anywhere.

use axum::response::Response;
use hallpass_core::app::App;
use hallpass_core::id::AppKey;
use hallpass_core::oidc::{
    Asks, AuthorizationRefused, AuthorizationRequest, Parameters, Prompt, RedirectUri, ResponseMode, Scope, Subject,
    Waiting, must_ask_for_consent, registered_redirect_uri,
};
use hallpass_core::secret::{AuthorizationCode, Secret};
use hallpass_core::time::Timestamp;
use hallpass_store::codes::{self, NewCode};
use hallpass_store::view::{Policy, Standing};
use hallpass_store::{consents, pushed_requests};
use http::StatusCode;

use super::documents::{self, Named};
use super::pending::{self, Pending};
use super::{consent, pushed, response_mode, select_account, services};
use crate::context::Context;
use crate::handoff::authorize::idle_for_long;
use crate::pass::{Journey, see_other};
use crate::sign_in;
use crate::web::call::{Call, content_type};
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::headers::require_navigation;
use crate::web::page::{ErrorPage, Stop};
use crate::web::parameters::parameters;
use crate::web::respond::html_with;

/// The longest query that a form is turned into: with it, a request line stays within what we accept (protocol §14).
const MAXIMUM_QUERY: usize = 7 * 1024;

/// `GET /oauth/authorize`
pub async fn authorize(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let parameters: Parameters = call.query()?;
    let pending = pushed::named(&call, &parameters).await?;
    answer(&call, pending.unwrap_or_else(|| Pending::new(parameters.said(), call.now)), false).await
}

/// `POST /oauth/authorize` (OIDC Core 1.0 §3.1.2.1): the same request once more, as a GET. Another site's form comes without our cookies, which are
/// `SameSite=Lax`; the redirect that answers it brings them. Nothing has happened until then.
pub async fn authorize_by_form(mut call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    if content_type(call.headers()) != Some("application/x-www-form-urlencoded") {
        return Err(Error::unsupported_media_type());
    }
    let body = call.bytes().await?;
    let _: Parameters = parameters(&body)?;
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(form_urlencoded::parse(&body)).finish();
    if query.len() > MAXIMUM_QUERY {
        return Err(Error::too_large());
    }
    Ok(see_other(&format!("/oauth/authorize?{query}")))
}

/// `GET /oauth/continue?app&pending`, to which `/continue` leads, and the pages that ask.
pub async fn resume(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let journey: Journey = call.query()?;
    let pending = waiting(&call, &journey)?;
    answer(&call, pending, true).await
}

/// Where a browser goes on to that has done what a pending request waited for.
pub fn way_back(journey: &Journey) -> String {
    format!("/oauth/continue{}", journey.query())
}

/// The request that a journey carries.
pub fn waiting<P>(call: &Call<P>, journey: &Journey) -> Result<Pending, Error> {
    Pending::of(journey, &call.context.keys.pending, call.now).ok_or_else(|| {
        let message = "This sign-in took too long, or its address is not complete. Open the application again.";
        Error::invalid_request(message).because("the pending request does not open")
    })
}

/// A client that is ours, or that describes itself, and one of its addresses.
pub struct Client<'p> {
    /// Its entry in the registry. A client that describes itself has none until somebody has allowed it.
    index: Option<usize>,
    /// The app.
    pub app: &'p App,
    key: &'p AppKey,
    /// Where its answer goes.
    pub redirect_uri: RedirectUri,
    /// It may ask for `offline_access`.
    offline: bool,
    state: Option<String>,
    mode: ResponseMode,
}

impl<'p> Client<'p> {
    /// The one validator: of bytes against bytes, but for a native client's port at its own computer. Whoever registered none has none (advisory T4).
    pub fn find(policy: &'p Policy, described: Option<&'p App>, parameters: &Parameters) -> Result<Self, Error> {
        let wrong = |why: &'static str| {
            let message = "The link that led here names an application or an address that is not registered. Open the application again from its own address.";
            Error::invalid_request(message).because(why)
        };
        let index = parameters.client_id.as_deref().and_then(|id| policy.by_client_id(id));
        let known = index.map(|index| &policy.apps[index].app);
        let app = known.or(described).ok_or_else(|| wrong("unknown client_id"))?;
        if app.disabled_at.is_some() {
            return Err(wrong("the client is disabled"));
        }
        let redirect_uri = parameters.redirect_uri.as_deref().and_then(|asked| registered_redirect_uri(app, asked));
        let redirect_uri = redirect_uri.ok_or_else(|| wrong("redirect_uri is not registered for this client"))?;
        let (offline, state, mode) =
            (app.client.offline_access, parameters.state().map(str::to_owned), parameters.response_mode());
        Ok(Self { index, app, key: &app.key, redirect_uri, offline, state, mode })
    }

    /// The journey by the pages that ask, and back.
    pub fn journey(&self, pending: &Pending, context: &Context) -> Journey {
        let app = self.index.map(|_| self.key.as_str());
        pending.journey(app, &context.keys.pending, &mut context.random())
    }

    /// What is granted of it: access that outlives the session only to an app whose settings say so.
    pub fn grantable(&self, scope: Scope) -> Scope {
        Scope { offline_access: scope.offline_access && self.offline, ..scope }
    }

    /// Sends the browser back to the client.
    fn send(&self, call: &Call<Visitor>, result: (&'static str, &str)) -> Response {
        response_mode::send(&call.context, self, self.mode, self.answer(&call.context, result))
    }

    fn refuse(&self, call: &Call<Visitor>, code: &'static str, because: &'static str) -> Response {
        tracing::debug!(request_id = %call.request_id, app = %self.key, code, because, "authorization refused");
        if self.index.is_none() {
            return stopped(call, code, because);
        }
        self.send(call, ("error", code))
    }

    /// The same in answer to a form of ours.
    pub fn refuse_after_form(&self, call: &Call<LiveSession>, code: &'static str, because: &'static str) -> Response {
        tracing::debug!(request_id = %call.request_id, app = %self.key, code, because, "authorization refused");
        let answer = self.answer(&call.context, ("error", code));
        response_mode::send_after_form(&call.context, self, self.mode, answer)
    }

    fn answer(&self, context: &Context, result: (&'static str, &str)) -> Vec<(&'static str, String)> {
        let mut answer = vec![(result.0, result.1.to_owned())];
        answer.extend(self.state.clone().map(|state| ("state", state)));
        answer.push(("iss", context.public_url.to_string()));
        answer
    }
}

/// What is asked, and whether it may be: the one validator of everything but client and address, for addresses, forms and pushed requests alike
/// (advisory T6).
pub fn judged(
    context: &Context,
    policy: &Policy,
    client: &Client<'_>,
    pending: &mut Pending,
    here: Option<&LiveSession>,
    now: Timestamp,
) -> Result<AuthorizationRequest, AuthorizationRefused> {
    let request = AuthorizationRequest::read(&pending.parameters)?;
    if client.app.client.require_pushed && !pending.is_pushed() {
        return Err(AuthorizationRefused::invalid_request("this client has to push its requests"));
    }
    let issuer = context.public_url.as_str();
    pending.look_up(client.app.client_id(), &policy.keyring, issuer, now)?;
    let known_as = here.map(|live| Subject::of(client.app, live.user.id, &context.keys.pairwise).to_string());
    pending.compare(&request, here.map(|live| live.user.id).zip(known_as.as_deref()));
    let resources = request.resources.declared(client.app, &policy.apps.iter().map(|entry| &entry.app), issuer);
    let resources =
        resources.map_err(|refused| AuthorizationRefused { code: "invalid_target", because: refused.as_str() })?;
    Ok(AuthorizationRequest { scope: client.grantable(request.scope), resources, ..request })
}

/// What somebody sees instead of being sent on to a client that describes itself, and that nobody here has allowed: whoever writes such a document could
/// otherwise have people sent wherever they like, in our name (RFC 9700 §4.11.2).
fn stopped(call: &Call<Visitor>, code: &'static str, because: &'static str) -> Response {
    let message = format!("The application asked for something that it cannot have here ({code}).");
    let error = Error { message: message.into(), ..Error::invalid_request("") }.because(because);
    let page = ErrorPage::of(&error, &call.context.config.brand, &call.request_id.to_string());
    html_with(error.status, &page)
}

async fn answer(call: &Call<Visitor>, mut pending: Pending, waited: bool) -> Result<Response, Error> {
    let context = &call.context;
    let person = call.proof.session.as_ref().map(|live| live.user.id);
    let named = documents::named(call, &pending.parameters, person).await?;
    if matches!(named, Named::UnknownBeforeSignIn) {
        return Ok(match AuthorizationRequest::read(&pending.parameters) {
            Ok(request) if request.silent => stopped(call, "login_required", "nobody is signed in"),
            Ok(request) => {
                let pending = pending.understood(&request);
                sign_in::redirect(&pending.journey(None, &context.keys.pending, &mut context.random()), &call.proof)
            }
            Err(AuthorizationRefused { code, because }) => stopped(call, code, because),
        });
    }
    let policy = context.view.policy().await?;
    let client = Client::find(&policy, named.described(), &pending.parameters)?;
    let request = match judged(context, &policy, &client, &mut pending, call.proof.session.as_ref(), call.now) {
        Ok(request) => request,
        Err(AuthorizationRefused { code, because }) => return Ok(client.refuse(call, code, because)),
    };
    let live = match whoever_is_here(call, &pending, &request, waited) {
        Here::Somebody(live) => live,
        Here::Nobody | Here::MustChangePassword if request.silent => {
            return Ok(client.refuse(call, "login_required", "nobody is signed in, or not lately enough"));
        }
        here => {
            let journey = client.journey(&pending.understood(&request), context);
            return Ok(match here {
                Here::MustChangePassword => see_other(&format!("/continue{}", journey.query())),
                _ => sign_in::redirect(&journey, &call.proof),
            });
        }
    };
    if pending.is_about_somebody_else(live) {
        return Ok(client.refuse(call, "login_required", "another person is signed in than the hint names"));
    }
    if request.claims.essential_acr.is_some_and(|acr| live.session.acr < acr) {
        let code = "unmet_authentication_requirements";
        return Ok(client.refuse(call, code, "nobody can sign in that strongly here"));
    }
    // Before it is asked whether they may enter: somebody who has two accounts may have come with the wrong one.
    let chosen = pending.chosen == Some(live.session.id);
    let wants_choice = request.wants_choice(live.session.authenticated_at, pending.asked_at(), waited);
    if !chosen && (wants_choice || wants_click(call, &client, &request, live).await?) {
        return Ok(select_account::page(call, &client, &pending.understood(&request), live));
    }
    let may_enter = match client.index {
        Some(index) => matches!(context.view.standing(&policy, live.user.id, index).await?, Standing::Admitted(_)),
        // Whoever is here may, who may sign in: what is not in the registry is assigned to nobody.
        None => true,
    };
    if !may_enter {
        return Ok(client.refuse(call, "access_denied", "the person has no access to this app"));
    }
    for service in request.resources.iter() {
        if !services::may_enter(context, &policy, client.app, live.user.id, service).await? {
            return Ok(client.refuse(call, "access_denied", "the person has no access to a service that is asked for"));
        }
    }
    let asks = Asks::of(client.app, &client.redirect_uri);
    if asks != Asks::Never || request.asks_for(Prompt::Consent) {
        let given = consents::find(&mut context.store.read().await?, &live.user.id, client.key).await?;
        let allowed = pending.allowed == Some(live.session.id);
        if must_ask_for_consent(asks, &request, given, Waiting { asked_at: pending.asked_at(), waited, allowed }) {
            return Ok(if request.silent {
                client.refuse(call, "consent_required", "the person has not allowed so much, or is asked each time")
            } else {
                consent::page(call, &policy, &client, &pending.understood(&request), &request, live)
            });
        }
    }
    if client.index.is_none() {
        return Ok(client.refuse(call, "consent_required", "nobody has allowed it"));
    }
    // A client that does not understand its answer asks again, and again.
    if context.handoffs.count((live.session.id, true, client.key.to_string()), call.now) {
        tracing::warn!(request_id = %call.request_id, app = %client.key, "a browser comes for a code again and again");
        let home = format!("{}/", context.public_url);
        let page = ErrorPage::stopped(Stop::Loop, &home, &context.config.brand, &call.request_id.to_string());
        return Ok(html_with(StatusCode::BAD_REQUEST, &page));
    }
    give_code(call, &client, &pending, &request, live).await
}

/// Whether somebody who goes on to another site should click here first, lest their browser take us for a tracker: as with handoffs (protocol §8).
async fn wants_click(
    call: &Call<Visitor>,
    client: &Client<'_>,
    request: &AuthorizationRequest,
    live: &LiveSession,
) -> Result<bool, Error> {
    let same_site = client.redirect_uri.origin().is_some_and(|origin| origin.is_same_site(&call.context.public_url));
    Ok(!request.silent && !same_site && idle_for_long(call, live).await?)
}

enum Here<'c> {
    Somebody(&'c LiveSession),
    /// Or somebody who has to prove again who they are.
    Nobody,
    MustChangePassword,
}

fn whoever_is_here<'c>(
    call: &'c Call<Visitor>,
    pending: &Pending,
    request: &AuthorizationRequest,
    waited: bool,
) -> Here<'c> {
    match &call.proof.session {
        Some(live) if pending.wants_sign_in(request, live, waited) => Here::Nobody,
        Some(live) if !request.silent && pending::wants_more(&call.context, pending, request, live) => Here::Nobody,
        Some(live) if live.user.must_change_password => Here::MustChangePassword,
        Some(live) => Here::Somebody(live),
        None => Here::Nobody,
    }
}

async fn give_code(
    call: &Call<Visitor>,
    client: &Client<'_>,
    pending: &Pending,
    request: &AuthorizationRequest,
    live: &LiveSession,
) -> Result<Response, Error> {
    let code = Secret::<AuthorizationCode>::mint_at(call.now, &mut call.context.random());
    let new = NewCode {
        code: code.digest(),
        app: client.key,
        session: live.session.id,
        redirect_uri: client.redirect_uri.as_str(),
        // Ignored where the app's settings do not allow for it (OIDC Core 1.0 §11); the token response says what was granted.
        scope: request.scope,
        resources: &request.resources,
        claims: request.claims.requested,
        nonce: request.nonce.as_deref(),
        challenge: request.challenge,
        key: request.key,
    };
    let mut write = call.context.store.write().await?;
    // In the transaction that brings the code: of two tabs with one pushed request, one gets it (RFC 9126 §7.3).
    if let Some(request) = pending.pushed_request()
        && !pushed_requests::redeem(&mut write, &request).await?
    {
        return Ok(client.refuse(call, "invalid_request_uri", "the pushed request has been used"));
    }
    if !codes::issue(&mut write, &new, call.now).await? {
        return Ok(client.refuse(call, "login_required", "the session ended a moment ago"));
    }
    write.commit().await?;
    Ok(client.send(call, ("code", &code.expose())))
}
