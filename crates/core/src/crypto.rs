//! The only module that names a hash, cipher or signature crate: everything cryptographic goes through here.
//!
//! One provider (`aws-lc-rs`), but for message authentication. Hashing: SHA-256 (FIPS 180-4). Message authentication: HMAC-SHA-256 (RFC 2104).
//! Key derivation: HKDF-SHA-256 (RFC 5869). Sealing: AES-256-GCM with a random nonce and associated data.
//! Signatures are in `signature.rs`.

mod signature;

use aws_lc_rs::{aead, constant_time, digest, hkdf, rand};
use hmac::{Hmac, KeyInit as _, Mac as _};
use zeroize::Zeroizing;

pub use signature::{Algorithm, InvalidKey, PrivateKey, PublicKey, PublicParts};

/// A source of randomness, passed as an argument so that tests can seed it.
pub trait Random {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // The library aborts rather than fail on supported systems; guessing on would mint predictable secrets.
        rand::fill(bytes).expect("the operating system gives randomness");
    }
}

/// The operating system's randomness, fetched 1 KiB at a time for each thread. For values that are told to the caller at once and that
/// nothing depends on for longer, such as the nonce in a CSRF token; never for a secret: what is fetched lies in memory until it is used.
#[derive(Debug, Default, Clone, Copy)]
pub struct NonceRandom;

impl Random for NonceRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        struct Fetched {
            bytes: [u8; 1024],
            used: usize,
        }
        thread_local! {
            static FETCHED: std::cell::RefCell<Fetched> = const { std::cell::RefCell::new(Fetched { bytes: [0; 1024], used: 1024 }) };
        }
        FETCHED.with_borrow_mut(|fetched| {
            if bytes.len() > fetched.bytes.len() {
                return SystemRandom.fill(bytes);
            }
            if fetched.used + bytes.len() > fetched.bytes.len() {
                SystemRandom.fill(&mut fetched.bytes);
                fetched.used = 0;
            }
            let given = &mut fetched.bytes[fetched.used..fetched.used + bytes.len()];
            bytes.copy_from_slice(given);
            // Given once, to one caller, and gone.
            given.fill(0);
            fetched.used += bytes.len();
        });
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// SHA-256 of what is too long to hold in memory.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Nothing hashed yet.
    #[expect(clippy::new_without_default, reason = "nobody asks for one generically")]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Hashes what comes next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything.
    pub fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
    }
}

/// Compares without telling by its duration where the difference lies.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// A key for HMAC-SHA-256, prepared once. By the `hmac` crate: every answer of introspection has a tag, and `aws-lc-rs` copies four kilobytes for each.
#[derive(Clone)]
pub struct MacKey(Hmac<sha2::Sha256>);

impl MacKey {
    /// Prepares `key`.
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The 32-byte tag of the concatenation of `parts`. Callers frame variable-length parts themselves.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut state = self.0.clone();
        for part in parts {
            state.update(part);
        }
        state.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MacKey(redacted)")
    }
}

/// The installation's one master key, from file, environment or command; never in the database.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Wraps 32 bytes of key material.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key for one purpose; different purposes give unrelated keys (HKDF, RFC 5869).
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0u8; 32]);
        let pseudo_random_key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hallpass").extract(self.0.as_ref());
        let info = [purpose.as_bytes()];
        let material = pseudo_random_key.expand(&info, hkdf::HKDF_SHA256).expect("32 bytes is a legal length");
        material.fill(key.as_mut()).expect("the length was asked for");
        key
    }

    /// A key that seals and opens for one purpose.
    pub fn sealer(&self, purpose: &str) -> Sealer {
        Sealer::new(&self.derive(purpose))
    }

    /// A key that authenticates messages for one purpose.
    pub fn mac(&self, purpose: &str) -> MacKey {
        MacKey::new(self.derive(purpose).as_ref())
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MasterKey(redacted)")
    }
}

/// Authenticated encryption, bound to associated data (the identity of the row it is stored in), so that a
/// sealed value copied into another row does not open there.
pub struct Sealer(aead::LessSafeKey);

impl Sealer {
    /// From 32 bytes of key material.
    pub fn new(key: &[u8; 32]) -> Self {
        let unbound = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes is the key length");
        Self(aead::LessSafeKey::new(unbound))
    }

    /// `nonce ‖ ciphertext ‖ tag`: 28 bytes longer than `plaintext`.
    pub fn seal(&self, plaintext: &[u8], associated: &[u8], random: &mut dyn Random) -> Vec<u8> {
        let mut nonce = [0u8; 12];
        random.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(plaintext.len() + 28);
        sealed.extend_from_slice(plaintext);
        self.0
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(associated),
                &mut sealed,
            )
            .expect("plaintexts are small");
        let mut out = nonce.to_vec();
        out.append(&mut sealed);
        out
    }

    /// The plaintext, or `None` if one bit of the value, the key or the associated data differs.
    pub fn open(&self, sealed: &[u8], associated: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_at_checked(12)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let length = self.0.open_in_place(nonce, aead::Aad::from(associated), &mut plaintext).ok()?.len();
        plaintext.truncate(length);
        Some(plaintext)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sealer(redacted)")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Reproducible randomness: SHA-256 of a counter.
    pub(crate) struct Seeded(pub u64);

    impl Random for Seeded {
        fn fill(&mut self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(32) {
                self.0 += 1;
                chunk.copy_from_slice(&sha256(&self.0.to_be_bytes())[..chunk.len()]);
            }
        }
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_own_row_and_unaltered() {
        let sealer = MasterKey::new([7; 32]).sealer("test");
        let sealed = sealer.seal(b"seed", b"row 1", &mut Seeded(0));
        assert_eq!(sealer.open(&sealed, b"row 1").expect("opens").as_slice(), b"seed");
        assert!(sealer.open(&sealed, b"row 2").is_none());
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(&altered, b"row 1").is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(sealer.open(&sealed[..length], b"row 1").is_none());
        }
        assert!(MasterKey::new([7; 32]).sealer("other").open(&sealed, b"row 1").is_none());
    }

    /// RFC 4231 §4.2, §4.3, §4.7: a short key, a text in parts, a key that is longer than a block.
    #[test]
    fn tags_are_those_of_the_standard() {
        let tag = |key: &[u8], parts: &[&[u8]]| data_encoding::HEXLOWER.encode(&MacKey::new(key).tag(parts));
        assert_eq!(
            tag(&[0x0b; 20], &[b"Hi There"]),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            tag(b"Jefe", &[b"what do ya want ", b"", b"for nothing?"]),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            tag(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn keys_for_different_purposes_are_unrelated() {
        let master = MasterKey::new([1; 32]);
        assert_ne!(master.derive("a").as_ref(), master.derive("b").as_ref());
        assert_eq!(master.derive("a").as_ref(), MasterKey::new([1; 32]).derive("a").as_ref());
    }
}
