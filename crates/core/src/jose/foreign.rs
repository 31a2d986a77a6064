//! Compact JWS that others sign with keys of their own: a client's assertion (RFC 7523), a proof of possession (RFC 9449). RFC 7515 §7.1, RFC 8725.
//!
//! As strict as for our own tokens, but for the members: which ones header and claims may have say the two types that they are read into. The header's
//! must refuse unknown ones, so that `crit`, `jku`, `x5u` and a `jwk` where none belongs are errors and not ignored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

use super::{Parts, Refused, read_object};
use crate::crypto::{Algorithm, PublicKey};

/// A JWS that reads well. Nothing in it is true until a key has confirmed it.
#[derive(Debug)]
pub struct Unverified<'t, H, C> {
    /// What it says of itself.
    pub header: H,
    claims: C,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t, H: DeserializeOwned, C: DeserializeOwned> Unverified<'t, H, C> {
    /// Reads it. Longer than [`MAXIMUM_LENGTH`](super::MAXIMUM_LENGTH) is refused before anything is decoded.
    pub fn read(text: &'t str) -> Result<Self, Refused> {
        let parts = Parts::split(text)?;
        Ok(Self {
            header: read_object(&decode(parts.header)?)?,
            claims: read_object(&decode(parts.claims)?)?,
            signed: parts.signed,
            signature: decode(parts.signature)?,
        })
    }
}

impl<H, C> Unverified<'_, H, C> {
    /// What it claims: good for choosing the key that verifies it, and for nothing else.
    pub const fn claimed(&self) -> &C {
        &self.claims
    }

    /// The claims, if the owner of `key` has signed them.
    pub fn verify(self, key: &PublicKey) -> Result<C, Refused> {
        if key.verify(self.signed.as_bytes(), &self.signature) { Ok(self.claims) } else { Err(Refused::BadSignature) }
    }
}

/// The algorithm that a stranger's header names: one of public keys, exactly. `HS256` would make a secret of what everybody can read (advisory T26).
pub fn algorithm(name: &str) -> Result<Algorithm, Refused> {
    let known = Algorithm::OF_STRANGERS.into_iter().find(|algorithm| algorithm.as_str() == name);
    known.ok_or(Refused::WrongAlgorithm)
}

/// Canonical base64url without padding (RFC 7515 §2).
fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed)
}

#[cfg(test)]
#[expect(missing_docs, reason = "tests")]
pub mod tests {
    use serde_json::Value;

    use super::*;
    use crate::crypto::PrivateKey;

    /// A JWS with any header and claims, signed properly by `key` as what `key` is.
    pub fn signed(key: &PrivateKey, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    #[test]
    fn only_what_a_public_key_signs_is_an_algorithm_of_strangers() {
        for known in ["EdDSA", "ES256", "PS256", "RS256"] {
            assert_eq!(algorithm(known).map(Algorithm::as_str), Ok(known));
        }
        for bad in ["HS256", "none", "noNE", "", "rs256", "RS384", "ES256K", "Ed25519"] {
            assert_eq!(algorithm(bad), Err(Refused::WrongAlgorithm), "{bad}");
        }
    }
}
