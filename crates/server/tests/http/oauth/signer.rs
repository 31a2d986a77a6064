//! Somebody with a key of their own, who signs what they like with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_core::jwk;
use hallpass_core::oidc::ClientKeys;
use serde_json::{Value, json};

use crate::support::{HOME, Site};

/// A key pair.
pub struct Signer {
    pub key: PrivateKey,
}

impl Signer {
    pub fn new(algorithm: Algorithm) -> Self {
        Self { key: PrivateKey::generate(algorithm) }
    }

    /// The public key under this name.
    pub fn jwk(&self, kid: &str) -> Value {
        jwk::write(self.key.public().expect("asymmetric"), kid)
    }

    /// The header of an assertion.
    pub fn header(&self, kid: &str) -> Value {
        json!({ "alg": self.key.algorithm().as_str(), "kid": kid })
    }

    /// Any JWS.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// What a declaration says of these keys.
pub fn set(keys: &[Value]) -> ClientKeys {
    json!({ "keys": keys }).to_string().parse().expect("keys")
}

/// The claims of a good assertion, with these changed.
pub fn claims(site: &Site, client: &str, jti: &str, changes: &[(&str, Value)]) -> Value {
    let now = site.now().as_seconds();
    let mut claims = json!({ "iss": client, "sub": client, "aud": HOME, "iat": now, "exp": now + 60, "jti": jti });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}
