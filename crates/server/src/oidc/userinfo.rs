//! `GET` and `POST /oauth/userinfo`: who the access token stands for, as far as its scope goes (OIDC Core 1.0 §5.3).

use axum::response::Response;
use hallpass_core::oidc;
use hallpass_store::users;
use http::StatusCode;

use super::access::Live;
use super::bearer::Bearer;
use super::{cors, json};
use crate::web::call::Call;
use crate::web::error::Error;

/// The handler.
pub async fn userinfo(call: Call<Bearer>) -> Result<Response, Error> {
    let Live { token, user_id, claims } = &call.proof.live;
    let user = users::find(&mut call.context.store.read().await?, user_id).await?;
    let user = user.ok_or_else(|| {
        let message = "The access token is not good, or not any more.";
        Error::new(StatusCode::UNAUTHORIZED, "invalid_token", message).because("the user was removed a moment ago")
    })?;
    let readable = cors::of_client(&call.context, call.headers(), &token.client_id).await?;
    cors::with(readable, Ok(json(oidc::userinfo(&user, token.subject, token.scope, claims.userinfo).to_string())))
}
