//! `GET /handoff/authorize`: hands a code for this browser's session to the agent that asks, or says that nobody is signed in. Protocol §8
//! number 2; RFC 6749 §4.1, RFC 7636, RFC 9207.

use axum::response::Response;
use hallpass_core::app::Assertion;
use hallpass_core::audit::Event;
use hallpass_core::handoff::{self, CodeChallenge, nonce_of};
use hallpass_core::keyring::Purpose;
use hallpass_core::secret::{HandoffCode, Secret};
use hallpass_store::handoffs::{self, NewForApp, NewHandoff, NoHandoff};
use hallpass_store::view::{Policy, Standing};
use hallpass_store::{audit, sessions};
use http::StatusCode;
use serde::Deserialize;

use super::pages::ContinuePage;
use super::{Agent, entry};
use crate::pass::{Journey, see_other};
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::headers::{Allowed, require_navigation};
use crate::web::onward::{FormPostPage, OnwardPage};
use crate::web::page::{ErrorPage, Stop};
use crate::web::respond::{html, html_with, person};

/// The longest `state` (protocol §14).
const MAXIMUM_STATE: usize = 512;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The zone whose alias asks, or the app.
    client_id: String,
    redirect_uri: String,
    state: String,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    prompt: String,
    /// Where the person goes on to, where an app fetches the pass for others of its zone.
    app: Option<String>,
    return_to: Option<String>,
}

/// A request that has been understood: from here on answers go to the agent.
struct Asked {
    agent: Agent,
    state: String,
    /// None for agents that take assertions: there is no code.
    challenge: Option<CodeChallenge>,
    return_to: Option<String>,
}

/// The handler.
pub async fn authorize(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let request: Request = call.query()?;
    let policy = call.context.view.policy().await?;
    let asked = understand(request, &policy)?;
    let Some(live) = call.proof.session.as_ref().filter(|live| !live.user.must_change_password) else {
        return Ok(answer(&call, &asked, ("error", "login_required")));
    };
    if let Some(index) = asked.agent.app.filter(|_| asked.return_to.is_none())
        && !matches!(call.context.view.standing(&policy, live.user.id, index).await?, Standing::Admitted(_))
    {
        // The app would refuse the pass and ask again; here they are told why.
        let journey = Journey { app: Some(policy.apps[index].app.key.to_string()), ..Journey::default() };
        return Ok(see_other(&format!("/continue{}", journey.query())));
    }
    let name = asked
        .agent
        .app
        .map_or_else(|| asked.agent.zone.name.to_string(), |index| policy.apps[index].app.key.to_string());
    if call.context.handoffs.count((live.session.id, asked.agent.app.is_some(), name), call.now) {
        tracing::warn!(request_id = %call.request_id, zone = %asked.agent.zone.name, "a browser comes for a handoff again and again");
        let (brand, home) = (&call.context.config.brand, format!("{}/", call.context.public_url));
        let page = ErrorPage::stopped(Stop::CookiesBlocked, &home, brand, &call.request_id.to_string());
        return Ok(html_with(StatusCode::BAD_REQUEST, &page));
    }
    if idle_for_long(&call, live).await? {
        return Ok(ask_for_a_click(&call, live));
    }
    match asked.challenge {
        Some(challenge) => give_code(&call, &policy, &asked, live, challenge).await,
        None => give_assertion(&call, &policy, &asked, live).await,
    }
}

/// Until agent and address are known to belong together nobody is redirected anywhere.
fn understand(request: Request, policy: &Policy) -> Result<Asked, Error> {
    let wrong = |why: &'static str| {
        let message = "The link that led here is not one of ours, or is out of date. Open the application again from its own address.";
        Error::invalid_request(message).because(why)
    };
    let agent = Agent::find(policy, &request.client_id, &request.redirect_uri);
    let agent = agent.ok_or_else(|| wrong("client_id and redirect_uri are no agent's"))?;
    if request.state.is_empty()
        || request.state.len() > MAXIMUM_STATE
        || !request.state.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(wrong("state is empty, too long or not visible ASCII"));
    }
    let takes_assertion = agent.app.is_some_and(|index| policy.apps[index].app.assertion != Assertion::None);
    let challenge = match (&request.code_challenge, request.code_challenge_method.as_deref()) {
        (None, None) if takes_assertion => None,
        (Some(text), Some("S256")) if !takes_assertion => {
            Some(text.parse().map_err(|_| wrong("the code challenge is not 43 characters of base64url"))?)
        }
        _ if takes_assertion => return Err(wrong("a code challenge from an app that takes assertions")),
        _ => return Err(wrong("no code challenge by S256")),
    };
    // Whoever is not signed in is asked by the sign-in page, to which the agent sends them; here nobody is ever asked for anything but a click.
    if request.prompt != "none" {
        return Err(wrong("prompt other than none"));
    }
    let journey = Journey { app: request.app, return_to: request.return_to, pending: None };
    let return_to = match journey.check(policy)? {
        None => None,
        Some(checked) if agent.app.is_some() && checked.zone.name == agent.zone.name && !agent.zone.bound => {
            Some(checked.destination.to_string())
        }
        Some(_) => return Err(wrong("the app to return to is not in the agent's zone")),
    };
    Ok(Asked { agent, state: request.state, challenge, return_to })
}

fn answer(call: &Call<Visitor>, asked: &Asked, result: (&str, &str)) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(result.0, result.1).append_pair("state", &asked.state);
    query.append_pair("iss", call.context.public_url.as_str());
    see_other(&format!("{}?{}", asked.agent.redirect_uri, query.finish()))
}

async fn give_code(
    call: &Call<Visitor>,
    policy: &Policy,
    asked: &Asked,
    live: &LiveSession,
    challenge: CodeChallenge,
) -> Result<Response, Error> {
    let Asked { agent, state, return_to, .. } = asked;
    let code = Secret::<HandoffCode>::mint_at(call.now, &mut call.context.random());
    let nonce = nonce_of(state);
    let app = agent.app.map(|index| NewForApp {
        app: &policy.apps[index].app.key,
        redirect_uri: &agent.redirect_uri,
        nonce: &nonce,
        return_to: return_to.as_deref(),
    });
    let new = NewHandoff { code: code.digest(), zone: &agent.zone.name, app, session: live.session.id, challenge };
    let mut write = call.context.store.write().await?;
    let issued = handoffs::issue(&mut write, &new, call.now).await?;
    write.commit().await?;
    Ok(match issued {
        Ok(()) => answer(call, asked, ("code", &code.expose())),
        Err(NoHandoff::SessionOver) => answer(call, asked, ("error", "login_required")),
        Err(NoHandoff::TooMany) => answer(call, asked, ("error", "temporarily_unavailable")),
    })
}

/// For a site that cannot call the engine: the assertion itself, by a form that posts itself, or in the address of a redirect.
async fn give_assertion(
    call: &Call<Visitor>,
    policy: &Policy,
    asked: &Asked,
    live: &LiveSession,
) -> Result<Response, Error> {
    let Asked { agent, state, .. } = asked;
    let entry_of = agent.app.map(|index| &policy.apps[index]);
    let app = entry_of.ok_or_else(|| Error::internal().because("an assertion for an alias"))?;
    let context = &call.context;
    let signer = policy.keyring.signer(Purpose::Token, call.now);
    let signer = signer.ok_or_else(|| Error::unavailable().because("no key to sign assertions with"))?;
    let assertion = handoff::Assertion {
        issuer: context.public_url.as_str(),
        app: &app.app.key,
        redirect_uri: &agent.redirect_uri,
        nonce: &nonce_of(state),
        user_id: live.user.id,
        session_id: live.session.id,
        authenticated_at: live.session.authenticated_at,
        issued_at: call.now,
    };
    let token = assertion.mint(signer, &mut context.random());
    let mut write = context.store.write().await?;
    let whose = Some((live.session.id, live.user.id));
    let entry = entry(call, Event::HandedOff, &agent.zone, whose).app(&app.app.key).with("assertion", &true);
    audit::append(&mut write, &(&entry).into()).await?;
    // It is told of the session, and so has to be told of its end.
    sessions::record_told(&mut write, &[(live.session.id, app.app.key.clone())], call.now).await?;
    write.commit().await?;
    context.telemetry.handed_off();
    if app.app.assertion == Assertion::Query {
        return Ok(answer(call, asked, ("token", &token)));
    }
    let mut response = html(&FormPostPage {
        brand: context.config.brand.clone(),
        app: app.app.name.clone(),
        signed_in: true,
        action: agent.redirect_uri.clone(),
        fields: vec![("assertion", token), ("state", state.clone()), ("iss", context.public_url.to_string())],
    });
    let forms = app.app.origins.iter().map(ToString::to_string).collect();
    response.extensions_mut().insert(Allowed { forms, scripts: true, ..Allowed::default() });
    Ok(response)
}

/// Whether nobody has clicked or typed here for so long that browsers may soon take us for a tracker, and delete the session's cookie with all
/// else, if we send the browser on without having been touched.
pub async fn idle_for_long(call: &Call<Visitor>, live: &LiveSession) -> Result<bool, Error> {
    let long_ago = call.now - call.context.config.handoff.max_idle;
    // Whoever signed in clicked or typed then, here or at an upstream of this site: nearly nobody needs the question.
    if live.session.authenticated_at >= long_ago {
        return Ok(false);
    }
    let interacted = sessions::interacted_at(&mut call.context.store.read().await?, &live.session.id).await?;
    Ok(interacted.is_some_and(|at| at < long_ago))
}

fn ask_for_a_click(call: &Call<Visitor>, live: &LiveSession) -> Response {
    html(&ContinuePage {
        brand: call.context.config.brand.clone(),
        csrf_token: call.page_token(live.session.id.as_bytes()),
        action: format!("/handoff/continue?{}", call.parts.uri.query().unwrap_or_default()),
        person: person(&live.user),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clicked {
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `POST /handoff/continue` with the query of `/handoff/authorize`: somebody has clicked "Continue as". A page leads on, not a redirect: browsers
/// hold a form's policy against every address of a redirect, and where this one ends only the agent knows (advisory P1).
pub async fn continue_(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let _: Request = call.query()?;
    let id = call.proof.session.id;
    let _: Clicked = call.form(id.as_bytes()).await?;
    let mut write = call.context.store.write().await?;
    sessions::record_interaction(&mut write, &id, call.now).await?;
    write.commit().await?;
    let there = format!("/handoff/authorize?{}", call.parts.uri.query().unwrap_or_default());
    Ok(html(&OnwardPage { brand: call.context.config.brand.clone(), there }))
}
