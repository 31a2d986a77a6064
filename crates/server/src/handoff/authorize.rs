//! `GET /handoff/authorize`: hands a code for this browser's session to the zone that asks, or says that nobody is signed in. Protocol §8
//! number 2; RFC 6749 §4.1, RFC 7636, RFC 9207.

use axum::response::Response;
use hallpass_core::handoff::CodeChallenge;
use hallpass_core::secret::{HandoffCode, Secret};
use hallpass_store::handoffs::{self, NewHandoff, NoHandoff};
use http::StatusCode;
use serde::Deserialize;

use super::{redirect_uri, require_navigation};
use crate::pass::see_other;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Visitor;
use crate::web::page::{ErrorPage, Stop};
use crate::web::respond::html_with;

/// The longest `state` (protocol §14).
const MAXIMUM_STATE: usize = 512;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The zone.
    client_id: String,
    redirect_uri: String,
    state: String,
    code_challenge: String,
    code_challenge_method: String,
    prompt: String,
}

/// The handler.
pub async fn authorize(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let request: Request = call.query()?;
    let policy = call.context.view.policy().await?;
    // Until zone and address are known to belong together nobody is redirected anywhere.
    let wrong = |why: &'static str| {
        let message = "The link that led here is not one of ours, or is out of date. Open the application again from its own address.";
        Error::invalid_request(message).because(why)
    };
    let zone = policy.zones.iter().find(|zone| zone.name.as_str() == request.client_id && zone.alias.is_some());
    let zone = zone.ok_or_else(|| wrong("client_id is no zone with an alias"))?;
    let redirect_uri = redirect_uri(zone).filter(|derived| *derived == request.redirect_uri);
    let redirect_uri = redirect_uri.ok_or_else(|| wrong("redirect_uri is not the zone's"))?;
    if request.state.is_empty()
        || request.state.len() > MAXIMUM_STATE
        || !request.state.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(wrong("state is empty, too long or not visible ASCII"));
    }
    let challenge: Option<CodeChallenge> = request.code_challenge.parse().ok();
    let challenge = challenge.filter(|_| request.code_challenge_method == "S256");
    let challenge = challenge.ok_or_else(|| wrong("no code challenge by S256"))?;
    // Whoever is not signed in is asked by the sign-in page, to which the zone sends them; here nobody is ever asked anything.
    if request.prompt != "none" {
        return Err(wrong("prompt other than none"));
    }

    let answer = |result: (&str, &str)| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(result.0, result.1).append_pair("state", &request.state);
        query.append_pair("iss", call.context.public_url.as_str());
        see_other(&format!("{redirect_uri}?{}", query.finish()))
    };
    let Some(live) = call.proof.session.as_ref().filter(|live| !live.user.must_change_password) else {
        return Ok(answer(("error", "login_required")));
    };
    if call.context.handoffs.count((live.session.id, zone.name.clone()), call.now) {
        tracing::warn!(request_id = %call.request_id, zone = %zone.name, "a browser comes for a handoff again and again");
        let (brand, home) = (&call.context.config.brand, format!("{}/", call.context.public_url));
        let page = ErrorPage::stopped(Stop::CookiesBlocked, &home, brand, &call.request_id.to_string());
        return Ok(html_with(StatusCode::BAD_REQUEST, &page));
    }
    let code = Secret::<HandoffCode>::mint(&mut call.context.random());
    let mut write = call.context.store.write().await?;
    let new = NewHandoff { code: code.digest(), zone: &zone.name, session: live.session.id, challenge };
    let issued = handoffs::issue(&mut write, &new, call.now).await?;
    write.commit().await?;
    Ok(match issued {
        Ok(()) => answer(("code", &code.expose())),
        Err(NoHandoff::SessionOver) => answer(("error", "login_required")),
        Err(NoHandoff::TooMany) => answer(("error", "temporarily_unavailable")),
    })
}
