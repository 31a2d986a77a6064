//! A token for the app itself (RFC 6749 §4.4): for one service that its declaration names (RFC 8707), for five minutes, in nobody's name. No refresh
//! token, because the secret brings the next one (§4.4.3); no ID token, because nobody has signed in.

use hallpass_core::audit::Event;
use hallpass_core::jwk::Thumbprint;
use hallpass_core::keyring::Purpose;
use hallpass_core::oidc::{ClientToken, TOKEN_LIFETIME};
use hallpass_store::audit;
use http::StatusCode;
use serde_json::json;

use super::{no_scope, target};
use crate::oidc::dpop::token_type;
use crate::oidc::entry;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// The answer, as JSON.
pub async fn issue(
    call: &Call<AppCaller>,
    resource: Option<&str>,
    audience: Option<&str>,
    scope: Option<&str>,
    key: Option<Thumbprint>,
) -> Result<Vec<u8>, Error> {
    let Call { context, proof, now, .. } = call;
    no_scope(scope)?;
    let audience = target(call, resource, audience)?;
    let signer = proof.policy.keyring.signer(Purpose::Token, *now);
    let signer = signer.ok_or_else(|| Error::unavailable().because("no key to sign tokens with"))?;
    let app = &proof.app().app.key;
    let token = ClientToken { issuer: context.public_url.as_str(), audience, app, issued_at: *now, key };
    let token = token.mint(signer, &mut context.random()).map_err(|error| {
        Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", "This app's key reads like a user's id.")
            .because(error.to_string())
    })?;
    let mut write = context.store.write().await?;
    let entry = entry(call, Event::RequestTokenIssued).with("audience", audience);
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    let answer =
        json!({ "access_token": token, "token_type": token_type(key), "expires_in": TOKEN_LIFETIME.as_secs() });
    serde_json::to_vec(&answer).map_err(|error| Error::internal().because(error.to_string()))
}
