//! What a client is told of its registration (RFC 7591 §3.2.1, RFC 7592 §3): all that was registered, and where to manage it.

use hallpass_core::app::App;
use hallpass_core::oidc::AuthMethod;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::guard::MANAGED;
use crate::context::Context;

/// A client, and what it manages its registration with.
pub struct Client<'a> {
    /// The app.
    pub app: &'a App,
    /// How it shows who it is.
    pub method: AuthMethod,
    /// The registration access token.
    pub token: Zeroizing<String>,
}

impl Client<'_> {
    /// The members of an answer, without its secret, which is told once.
    pub fn told(&self, context: &Context) -> Value {
        let Self { app, method, token } = self;
        let mut told = json!({
            "client_id": app.client_id(),
            "client_name": app.name,
            "redirect_uris": app.redirect_uris,
            "token_endpoint_auth_method": method,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": "openid profile email",
            "subject_type": "public",
            "id_token_signed_response_alg": app.id_token_alg,
            "registration_access_token": token.as_str(),
            "registration_client_uri": format!("{}{MANAGED}{}", context.public_url, app.key),
        });
        if !app.post_logout_redirect_uris.is_empty() {
            told["post_logout_redirect_uris"] = json!(app.post_logout_redirect_uris);
        }
        told
    }
}
