//! The only file that names the cryptography crate: SHA-256 (FIPS 180-4), HKDF (RFC 5869), AES-256-GCM, randomness.

use aws_lc_rs::{aead, digest, hkdf, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::secret::SecretKey;

/// SHA-256 of `parts`, each preceded by its length so that no two lists of parts hash the same bytes.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// SHA-256 of `bytes` alone, as standards need it (CSP source expressions, RFC 7636 S256).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// A random number, for jitter.
pub(crate) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_be_bytes(bytes)
}

/// 32 random bytes, for what nobody may guess.
pub(crate) fn random_secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    // The library aborts rather than fail on supported systems; guessing on would repeat a nonce.
    rand::fill(bytes).expect("the operating system gives randomness");
}

/// Seals small values under the app's secret key; opens what its previous secret keys sealed.
///
/// The purpose is associated data: a value sealed for one purpose does not open for another.
pub(crate) struct Sealer {
    keys: Vec<aead::LessSafeKey>,
}

/// What [`Sealer::open`] found.
pub(crate) struct Opened {
    /// The plaintext.
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    /// Sealed under a previous secret: to be sealed again before that secret is retired.
    pub(crate) by_previous: bool,
}

impl Sealer {
    /// Seals with the first of `secrets`, opens with all.
    pub(crate) fn new<'a>(app_key: &str, secrets: impl Iterator<Item = &'a SecretKey>) -> Self {
        let keys = secrets
            .map(|secret| {
                let mut key = Zeroizing::new([0u8; 32]);
                let info = [app_key.as_bytes()];
                hkdf::Salt::new(hkdf::HKDF_SHA256, b"hallpass-client sealing key")
                    .extract(secret.expose().as_bytes())
                    .expand(&info, hkdf::HKDF_SHA256)
                    .and_then(|material| material.fill(key.as_mut()))
                    .expect("32 bytes is a legal length");
                let unbound = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).expect("32 bytes is the length");
                aead::LessSafeKey::new(unbound)
            })
            .collect();
        Self { keys }
    }

    /// base64url of `nonce ‖ ciphertext ‖ tag`.
    pub(crate) fn seal(&self, plaintext: &[u8], purpose: &str) -> String {
        let mut nonce = [0u8; 12];
        fill(&mut nonce);
        let mut sealed = plaintext.to_vec();
        self.keys[0]
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(purpose.as_bytes()),
                &mut sealed,
            )
            .expect("plaintexts are small");
        URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
    }

    /// The plaintext, or `None` if one bit of the value, the key or the purpose differs.
    pub(crate) fn open(&self, text: &[u8], purpose: &str) -> Option<Opened> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, ciphertext) = sealed.split_at_checked(12)?;
        self.keys.iter().enumerate().find_map(|(index, key)| {
            let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut plaintext = Zeroizing::new(ciphertext.to_vec());
            let associated = aead::Aad::from(purpose.as_bytes());
            let length = key.open_in_place(nonce, associated, &mut plaintext).ok()?.len();
            plaintext.truncate(length);
            Some(Opened { plaintext, by_previous: index > 0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(app_key: &str, secrets: &[&str]) -> Sealer {
        let secrets: Vec<SecretKey> = secrets.iter().map(|text| SecretKey::from(*text)).collect();
        Sealer::new(app_key, secrets.iter())
    }

    #[test]
    fn a_sealed_value_opens_for_its_purpose_its_app_and_unaltered() {
        let pos = sealer("pos", &["one"]);
        let sealed = pos.seal(b"Ana", "seen");
        assert_eq!(pos.open(sealed.as_bytes(), "seen").expect("opens").plaintext.as_slice(), b"Ana");
        assert!(pos.open(sealed.as_bytes(), "switch").is_none());
        assert!(sealer("cashier", &["one"]).open(sealed.as_bytes(), "seen").is_none());
        for index in 0..sealed.len() {
            let mut altered = sealed.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            assert!(pos.open(&altered, "seen").is_none(), "byte {index}");
            assert!(pos.open(&sealed.as_bytes()[..index], "seen").is_none(), "cut at {index}");
        }
    }

    #[test]
    fn what_a_previous_secret_sealed_still_opens_and_says_so() {
        let old = sealer("pos", &["one"]).seal(b"Ana", "seen");
        let rotated = sealer("pos", &["two", "one"]);
        assert!(rotated.open(old.as_bytes(), "seen").expect("opens").by_previous);
        let new = rotated.seal(b"Ana", "seen");
        assert!(!rotated.open(new.as_bytes(), "seen").expect("opens").by_previous);
        assert!(sealer("pos", &["three"]).open(new.as_bytes(), "seen").is_none());
    }

    #[test]
    fn fingerprints_are_framed() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_ne!(fingerprint(&[b"ab"]), fingerprint(&[b"ab", b""]));
    }
}
