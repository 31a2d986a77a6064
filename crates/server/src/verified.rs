//! Signatures already verified: a memory of computations, keyed by the SHA-256 of the token.
//!
//! It spares the second check of a signature and nothing else. It can never say that somebody is signed in: time, zone, key and
//! session are looked at for every request.

use hallpass_core::crypto;
use hallpass_core::keyring::Keyring;
use hallpass_core::pass::{self, Refused, VerifiedPass};
use hallpass_core::time::Timestamp;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// The memory; bounded.
pub struct Verified(Cache<[u8; 32], Arc<VerifiedPass>>);

impl Verified {
    /// Remembers at most `maximum` tokens.
    pub fn new(maximum: usize) -> Self {
        Self(Cache::new(maximum))
    }

    /// What a pass says, once its signature has been checked, now or earlier. The caller checks that it is current.
    pub fn pass(
        &self,
        token: &str,
        keyring: &Keyring,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Arc<VerifiedPass>, Refused> {
        if token.len() > pass::MAXIMUM_LENGTH {
            return Err(Refused::Malformed);
        }
        let key = crypto::sha256(token.as_bytes());
        if let Some(known) = self.0.get(&key) {
            return Ok(known);
        }
        let verified = Arc::new(pass::verify_signature(token, keyring, issuer, now)?);
        self.0.insert(key, verified.clone());
        Ok(verified)
    }
}
