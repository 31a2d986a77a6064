//! `POST /oauth/par`: a client says by the back channel what it is going to ask for, and gets a name for it that a browser can carry (RFC 9126). A
//! proof of possession that comes along binds its code to that key (RFC 9449 §10.1).
//!
//! What is pushed is judged by what judges every request at the authorization endpoint ([`judged`], advisory T6), and once more when a browser comes
//! with the name. Loading that address uses nothing up: people reload, and programs look ahead. The code does, so there is never a second one.

use axum::response::Response;
use hallpass_core::oidc::{
    AuthorizationRefused, PUSHED_REQUEST_LIFETIME, Parameters, is_pushed, named_request, request_uri,
};
use hallpass_core::secret::{PushedRequest, Secret};
use hallpass_core::throttle;
use hallpass_store::pushed_requests;
use http::StatusCode;
use serde_json::json;

use super::authorize::{self, judged};
use super::client::{Client, ClientClaim, identify};
use super::pending::Pending;
use super::{cors, dpop};
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Visitor;

/// The handler. Authenticated like the token endpoint (§2).
pub async fn push(call: Call<ClientClaim>) -> Result<Response, Error> {
    let (call, parameters) = identify(call).await?;
    cors::readable(&call.proof, accept(&call, parameters).await)
}

async fn accept(call: &Call<Client>, parameters: Parameters) -> Result<Response, Error> {
    let (context, app) = (&call.context, &call.proof.app().app.key);
    if parameters.request_uri.is_some() {
        return Err(Error::invalid_request("request_uri is what this address answers with; it takes none."));
    }
    // A client without a secret may be anybody, and each request is a row.
    if call.proof.is_public() && context.pushes.count(throttle::address_block(call.ip), call.now) {
        return Err(too_many("too many requests from this address"));
    }
    let proof = dpop::of_pushed(call, parameters.dpop_jkt.as_deref())?;
    let request = Secret::<PushedRequest>::mint_at(call.now, &mut context.random());
    let mut parameters =
        Parameters { client_id: Some(call.proof.app().app.client_id().to_owned()), ..parameters.said() };
    if let Some(proof) = &proof {
        parameters.dpop_jkt = Some(proof.key.to_string());
    }
    let mut pending = Pending::pushed(parameters, request.digest(), call.now);
    let client = authorize::Client::find(&call.proof.policy, None, &pending.parameters).map_err(|error| {
        Error::invalid_request("redirect_uri is missing, or not registered for this client.").because(error.because)
    })?;
    let understood = judged(context, &call.proof.policy, &client, &mut pending, None, call.now).map_err(refused)?;
    if let Some(proof) = &proof {
        dpop::use_up(context, proof).await?;
    }
    let sealed = pending.understood(&understood).sealed(app, &context.keys.pending, &mut context.random());
    let mut write = context.store.write().await?;
    if !pushed_requests::push(&mut write, &request.digest(), app, &sealed, call.now).await? {
        return Err(too_many("too many requests of this client"));
    }
    write.commit().await?;
    let answer = json!({
        "request_uri": request_uri(&request).as_str(),
        "expires_in": PUSHED_REQUEST_LIFETIME.as_secs(),
    });
    let mut response = super::json(answer.to_string());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// The request that a browser comes with the name of, if it does. Only to the client that pushed it; nothing else that the address says is taken (§4).
/// There is nobody to send a refusal to: what the address says of a redirect URI is not taken either.
pub async fn named(call: &Call<Visitor>, parameters: &Parameters) -> Result<Option<Pending>, Error> {
    let Some(name) = parameters.request_uri.as_deref().filter(|name| is_pushed(name)) else { return Ok(None) };
    let wrong = |because: &'static str| {
        let message =
            "The link that led here has been used, or is too old. Open the application again from its own address.";
        Error::invalid_request(message).because(because)
    };
    if parameters.request.is_some() {
        return Err(wrong("a request object beside a pushed request"));
    }
    let context = &call.context;
    let policy = context.view.policy().await?;
    let index = parameters.client_id.as_deref().and_then(|id| policy.by_client_id(id));
    let app = index.map(|index| &policy.apps[index].app.key);
    let app = app.ok_or_else(|| wrong("a pushed request without a client_id of ours"))?;
    let request = named_request(name).ok_or_else(|| wrong("no name of a pushed request"))?;
    let found = pushed_requests::find(&mut context.store.read().await?, &request.digest(), app, call.now).await?;
    let sealed = found.ok_or_else(|| wrong("no such pushed request of this client, or not any more"))?;
    let pending = Pending::unsealed(&sealed, app, &context.keys.pending, call.now);
    // A fault of ours, or of whoever wrote into the database.
    pending.map(Some).ok_or_else(|| Error::internal().because("a pushed request does not open"))
}

fn refused(refused: AuthorizationRefused) -> Error {
    let message = "The authorization request would be refused with this error: see the provider's documentation.";
    Error::new(StatusCode::BAD_REQUEST, refused.code, message).because(refused.because)
}

fn too_many(because: &'static str) -> Error {
    Error::too_many_requests(PUSHED_REQUEST_LIFETIME / 10).because(because)
}
