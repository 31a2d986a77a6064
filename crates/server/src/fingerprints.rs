//! What this process knows a text again by that it has not kept: `SipHash`-1-3 of it, 128 bits, under a key that nobody is told.
//!
//! To be taken for another text, one must meet a fingerprint that is there: of a text that its author does not know, or would present, under a key that nobody
//! knows, with nothing to compare with. All that would be gained is what that other text means. It takes a third of the time of SHA-256.

use hallpass_core::crypto::{Random as _, SystemRandom};
use siphasher::sip128::SipHasher13;

/// Takes fingerprints; those of another one, or of another process, say nothing here.
pub struct Fingerprints(SipHasher13);

impl Fingerprints {
    /// With a new key.
    pub fn new() -> Self {
        let mut key = [0; 16];
        SystemRandom.fill(&mut key);
        Self(SipHasher13::new_with_key(&key))
    }

    /// That of a text.
    pub fn of(&self, text: &[u8]) -> [u8; 16] {
        self.0.hash(text).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_have_the_key_cannot_tell() {
        let (here, elsewhere) = (Fingerprints::new(), Fingerprints::new());
        assert_eq!(here.of(b"text"), here.of(b"text"));
        assert_ne!(here.of(b"text"), here.of(b"texT"));
        assert_ne!(here.of(b"text"), elsewhere.of(b"text"));
    }
}
