//! What the provider says about itself: only what works (OIDC Discovery 1.0 §3, RFC 8414 §2).

use serde_json::{Value, json};

/// `/.well-known/openid-configuration`, and the same under RFC 8414's name. `algorithms` are those of the keys that sign tokens.
pub fn metadata(issuer: &str, algorithms: &[&str]) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    // `none` is said by clients that have no secret; of the others each shows it in one of these ways, never in both.
    let of_clients = ["client_secret_basic", "client_secret_post", "none"];
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "token_endpoint": at("/oauth/token"),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "end_session_endpoint": at("/oauth/logout"),
        "revocation_endpoint": at("/oauth/revoke"),
        "introspection_endpoint": at("/introspect"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": of_clients,
        "revocation_endpoint_auth_methods_supported": of_clients,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "acr", "amr", "name", "preferred_username", "email",
        ],
        "prompt_values_supported": ["none", "login"],
        // These three are taken to be supported unless it is said that they are not.
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })
}
