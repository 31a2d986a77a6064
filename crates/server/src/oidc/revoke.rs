//! `POST /oauth/revoke`: the client needs a token no longer, and with it everything that came of the same code (RFC 7009).

use axum::body::Body;
use axum::response::Response;
use hallpass_core::secret::{RefreshToken, Secret};
use hallpass_store::tokens;
use http::StatusCode;
use serde::Deserialize;

use super::{access, revoke_family};
use crate::web::call::{Call, content_type};
use crate::web::error::Error;
use crate::web::guard::AppCaller;
use crate::web::parameters::parameters;

#[derive(Deserialize)]
struct Request {
    token: String,
}

/// The handler. 200 for whatever is good no longer, known or not (§2.2); a fault of ours is never a 200 (advisory T21).
pub async fn revoke(mut call: Call<AppCaller>) -> Result<Response, Error> {
    if content_type(call.headers()) != Some("application/x-www-form-urlencoded") {
        return Err(Error::unsupported_media_type());
    }
    let body = call.bytes().await?;
    let Request { token } = parameters(&body)?;
    let context = &call.context;
    let mut write = context.store.write().await?;
    let family = if let Some(secret) = Secret::<RefreshToken>::parse(&token) {
        tokens::by_token(&mut write, &secret.digest()).await?.map(|(_, family)| family)
    } else {
        match access::verify(context, &token, call.now).await? {
            Ok(token) => tokens::find(&mut write, &token.family).await?,
            Err(_) => None,
        }
    };
    if let Some(family) = family {
        if family.app != call.proof.app().app.key {
            let refused = Error::new(StatusCode::BAD_REQUEST, "invalid_grant", "The token is not this client's.");
            return Err(refused.because("another client's token"));
        }
        revoke_family(&call, &mut write, &family.id, "by_client").await?;
        write.commit().await?;
    }
    Ok(Response::new(Body::empty()))
}
