//! `POST /oauth/revoke`: the client needs a token no longer, and with it everything that came of the same code (RFC 7009).

use axum::body::Body;
use axum::response::Response;
use hallpass_core::secret::{RefreshToken, Secret};
use hallpass_store::tokens::{self, Family};
use hallpass_store::{Read, StoreError};
use http::{StatusCode, header};
use serde::Deserialize;

use super::client::{Client, ClientClaim, identify};
use super::grant::refresh_cookie;
use super::{access, cors, revoke_family};
use crate::web::call::Call;
use crate::web::cookies::{self, Presented};
use crate::web::error::Error;

#[derive(Deserialize)]
struct Request {
    /// Of a client that keeps its refresh token in a cookie it may be left out: then that one is meant.
    token: Option<String>,
}

/// The handler. 200 for whatever is good no longer, known or not (§2.2); a fault of ours is never a 200 (advisory T21).
pub async fn revoke(call: Call<ClientClaim>) -> Result<Response, Error> {
    let (call, request) = identify(call).await?;
    cors::readable(&call.proof, answer(&call, request).await)
}

async fn answer(call: &Call<Client>, request: Request) -> Result<Response, Error> {
    let context = &call.context;
    let mut write = context.store.write().await?;
    let cookie = call.proof.refresh_cookie();
    let in_cookie = match &cookie {
        Some(name) => match cookies::presented(call.headers(), name) {
            Presented::One(text) => of_refresh_token(&mut write, text).await?,
            Presented::None | Presented::Several => None,
        },
        None => None,
    };
    let family = match &request.token {
        Some(token) if Secret::<RefreshToken>::parse(token).is_some() => of_refresh_token(&mut write, token).await?,
        // Whichever service it is for: it is revoked by whom it was issued to.
        Some(token) => match access::verify(context, token, call.now, |_| true).await? {
            Ok(token) => tokens::find(&mut write, &token.family).await?,
            Err(_) => None,
        },
        None if cookie.is_some() && call.proof.sent_json() => in_cookie.clone(),
        None => return Err(Error::invalid_request("A parameter is missing or not understood.").because("no token")),
    };
    let mut response = Response::new(Body::empty());
    if let Some(family) = family {
        if family.app != call.proof.app().app.key {
            let refused = Error::new(StatusCode::BAD_REQUEST, "invalid_grant", "The token is not this client's.");
            return Err(refused.because("another client's token"));
        }
        revoke_family(call, &mut write, &family.id, "by_client").await?;
        write.commit().await?;
        // Of another sign-in the cookie stays: what another tab has just been given is not what was put away.
        if let Some(name) = cookie.filter(|_| in_cookie.is_some_and(|held| held.id == family.id)) {
            response.headers_mut().append(header::SET_COOKIE, refresh_cookie(call, &name, "", Some(0)));
        }
    }
    Ok(response)
}

async fn of_refresh_token(read: &mut Read, text: &str) -> Result<Option<Family>, StoreError> {
    let Some(secret) = Secret::<RefreshToken>::parse(text) else { return Ok(None) };
    Ok(tokens::by_token(read, &secret.digest()).await?.map(|(_, family)| family))
}
