//! The keys of another provider (JWK Set, RFC 7517 §5): which one checks a token.

use serde::Deserialize;
use serde_json::Value;

use super::id_token::IdTokenRefused;
use crate::crypto::{Algorithm, PublicKey};
use crate::jwk::{self, InvalidJwk};

/// Keys that are looked at: providers have a handful, and whoever serves thousands wants us to be busy.
const MAXIMUM_KEYS: usize = 64;

/// A provider's keys as it publishes them.
#[derive(Debug, Clone, Deserialize)]
pub struct KeySet {
    keys: Vec<Value>,
}

/// A key that may check a token.
pub(super) struct Found {
    pub key: PublicKey,
    /// The issuer that the key is for, where it says so.
    pub issuer: Option<String>,
}

impl KeySet {
    /// From its JSON; `None` for what is no key set.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut set: Self = serde_json::from_slice(bytes).ok()?;
        set.keys.truncate(MAXIMUM_KEYS);
        Some(set)
    }

    /// The key of this name that is good for `algorithm`. A token that names none is checked with the only one there is: trying several would make
    /// it the sender's choice which key of a set it is held to.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Found, IdTokenRefused> {
        let named = |key: &&Value| kid.is_none_or(|kid| key.get("kid").and_then(Value::as_str) == Some(kid));
        let mut fitting = Vec::new();
        let mut unsound = false;
        for key in self.keys.iter().filter(named) {
            match jwk::read(key, algorithm) {
                Ok(read) => fitting.push((key, read)),
                Err(InvalidJwk::Unsound | InvalidJwk::Private | InvalidJwk::Symmetric) => unsound = true,
                Err(_) => {}
            }
        }
        if fitting.len() > 1 {
            return Err(IdTokenRefused::AmbiguousKey);
        }
        let Some((found, key)) = fitting.pop() else {
            return Err(if unsound { IdTokenRefused::UnsoundKey } else { IdTokenRefused::UnknownKey });
        };
        Ok(Found { key, issuer: found.get("issuer").and_then(Value::as_str).map(str::to_owned) })
    }
}
