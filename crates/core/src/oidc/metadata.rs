//! What the provider says about itself: only what works (OIDC Discovery 1.0 §3, RFC 8414 §2).

use serde_json::{Value, json};

use super::{GrantType, IdTokenAlgorithm, SubjectType};
use crate::crypto::Algorithm;

/// `/.well-known/openid-configuration`, and the same under RFC 8414's name.
pub fn metadata(issuer: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    // `none` is said by clients that have no secret; of the others each has one way, a secret in one of two places or assertions, never several.
    let of_clients = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
    let of_strangers = Algorithm::OF_STRANGERS.map(Algorithm::as_str);
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "pushed_authorization_request_endpoint": at("/oauth/par"),
        "token_endpoint": at("/oauth/token"),
        "device_authorization_endpoint": at("/oauth/device_authorization"),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "end_session_endpoint": at("/oauth/logout"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/introspect"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": GrantType::ALL.map(|(_, text)| text),
        "subject_types_supported": SubjectType::ALL,
        // All that a client may ask for: programs read this once, often before anybody has registered them. `RS256` must be among them.
        "id_token_signing_alg_values_supported": IdTokenAlgorithm::ALL,
        "token_endpoint_auth_methods_supported": of_clients,
        "revocation_endpoint_auth_methods_supported": of_clients,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": of_strangers,
        "revocation_endpoint_auth_signing_alg_values_supported": of_strangers,
        "introspection_endpoint_auth_signing_alg_values_supported": of_strangers,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": of_strangers,
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "acr", "amr", "name", "preferred_username", "email",
        ],
        // Not `create`: there is nothing to sign up for.
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        // Of everybody: an app's own setting is nobody else's business.
        "require_pushed_authorization_requests": false,
        "claims_parameter_supported": true,
        // These two are taken to be supported, or not, unless it is said.
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })
}
