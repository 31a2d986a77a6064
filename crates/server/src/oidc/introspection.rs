//! What `/introspect` says about an access token: to the client that it was issued to, and to nobody else (RFC 7662 §2.2, advisory T33).

use serde_json::json;

use super::access;
use super::dpop::token_type;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// The members of an active answer; `None` for whatever is not active.
pub async fn access_token(call: &Call<AppCaller>, text: &str) -> Result<Option<String>, Error> {
    let token = match access::live(&call.context, text, call.now).await? {
        Ok(token) if token.app == call.proof.app().app.key => token,
        Ok(_) => return Ok(None),
        Err(because) => {
            tracing::debug!(request_id = %call.request_id, because, "access token is inactive");
            return Ok(None);
        }
    };
    let issuer = call.context.public_url.as_str();
    let mut said = json!({
        "active": true,
        "token_type": token_type(token.key),
        "iss": issuer,
        "aud": issuer,
        "client_id": token.app.as_str(),
        "sub": token.user_id,
        "sid": token.session_id,
        "scope": token.scope.to_string(),
        "jti": token.id,
        "iat": token.issued_at.as_seconds(),
        "exp": token.expires_at.as_seconds(),
    });
    if let Some(key) = token.key {
        said["cnf"] = json!({ "jkt": key });
    }
    Ok(Some(said.to_string()))
}
