//! Somebody with a key of their own, who signs what they like with it.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{Algorithm, PrivateKey, sha256};
use hallpass_core::jwk::{self, Thumbprint};
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

    /// The name of the key by what it is (RFC 7638).
    pub fn thumbprint(&self) -> String {
        Thumbprint::of(self.key.public().expect("asymmetric")).to_string()
    }

    /// A proof of possession for a request without an access token.
    pub fn proof(&self, site: &Site, method: &str, path: &str) -> String {
        self.proof_with(site, method, path, &[])
    }

    /// One for the userinfo endpoint.
    pub fn proof_of_token(&self, site: &Site, token: &str) -> String {
        self.proof_with(site, "GET", "/oauth/userinfo", &[("ath", hash_of(token).into())])
    }

    /// A proof that no other has the `jti` of, with these claims changed.
    pub fn proof_with(&self, site: &Site, method: &str, path: &str, changes: &[(&str, Value)]) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let jti = format!("proof {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let header = json!({ "typ": "dpop+jwt", "alg": self.key.algorithm().as_str(), "jwk": self.jwk("any") });
        let mut claims =
            json!({ "jti": jti, "htm": method, "htu": format!("{HOME}{path}"), "iat": site.now().as_seconds() });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        self.sign(&header, &claims)
    }

    /// Any JWS.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// `ath` of a token.
pub fn hash_of(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()))
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
