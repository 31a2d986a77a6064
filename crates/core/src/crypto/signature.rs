//! Signatures: the five JWS algorithms of protocol §3 (RFC 7518 §3, RFC 8037), keys parsed once and reused.
//!
//! A key has exactly one algorithm, fixed when it is made; nothing a token says can make it act as another (RFC 8725 §3.1).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as lib, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, RsaKeyPair};
use aws_lc_rs::{hmac, rand};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A signature algorithm, under its JOSE name (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519.
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256; signatures are `r ‖ s`, 64 bytes.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, 32 bytes of salt.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// HMAC with SHA-256: whoever can check can also sign.
    #[serde(rename = "HS256")]
    Hs256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::EdDsa, Self::Es256, Self::Ps256, Self::Rs256, Self::Hs256];

    /// Those by which a stranger can sign what we check: with a public key, which may be known to everybody.
    pub const OF_STRANGERS: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Ps256, Self::Rs256];

    /// The JOSE name: `EdDSA`, `ES256`, `PS256`, `RS256`, `HS256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// From the JOSE name, exactly: `none`, `noNE` and `hs256` are no algorithms.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Bytes or numbers that are no key for the algorithm asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key for this algorithm")]
pub struct InvalidKey;

/// A key that signs, and checks what it signed. `Debug` shows its algorithm only.
pub struct PrivateKey {
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair, PublicKey),
    Ecdsa(EcdsaKeyPair, PublicKey),
    Rsa(RsaKeyPair, PublicKey),
    Hmac(Box<hmac::Key>, Zeroizing<Vec<u8>>),
}

impl PrivateKey {
    /// A new key from the library's own randomness. RSA keys have 2048 bits and take up to a second.
    pub fn generate(algorithm: Algorithm) -> Self {
        const WHY: &str = "making a key fails only without memory or randomness";
        let stored = match algorithm {
            Algorithm::EdDsa => pkcs8(&Ed25519KeyPair::generate().expect(WHY)),
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&lib::ECDSA_P256_SHA256_FIXED_SIGNING).expect(WHY);
                Zeroizing::new(pair.to_pkcs8v1().expect(WHY).as_ref().to_vec())
            }
            Algorithm::Ps256 | Algorithm::Rs256 => pkcs8(&RsaKeyPair::generate(KeySize::Rsa2048).expect(WHY)),
            Algorithm::Hs256 => {
                let mut secret = Zeroizing::new(vec![0; 32]);
                rand::fill(&mut secret).expect(WHY);
                secret
            }
        };
        Self::from_stored(algorithm, &stored).expect("a key that was just made")
    }

    /// From what [`to_stored`](Self::to_stored) gave: PKCS#8 (RFC 5958), or for HS256 the secret itself, at least 32 bytes
    /// (RFC 7518 §3.2).
    pub fn from_stored(algorithm: Algorithm, stored: &[u8]) -> Result<Self, InvalidKey> {
        let refused = |_| InvalidKey;
        let pair = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(stored).map_err(refused)?;
                let x = pair.public_key().as_ref().try_into().map_err(|_| InvalidKey)?;
                Pair::Ed25519(pair, PublicKey::from_parts(algorithm, PublicParts::Okp { x })?)
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&lib::ECDSA_P256_SHA256_FIXED_SIGNING, stored).map_err(refused)?;
                let parts = uncompressed_point(pair.public_key().as_ref()).ok_or(InvalidKey)?;
                Pair::Ecdsa(pair, PublicKey::from_parts(algorithm, parts)?)
            }
            Algorithm::Ps256 | Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(stored).map_err(refused)?;
                let parts = rsa_public_key(pair.public_key().as_ref()).ok_or(InvalidKey)?;
                Pair::Rsa(pair, PublicKey::from_parts(algorithm, parts)?)
            }
            Algorithm::Hs256 if stored.len() < 32 => return Err(InvalidKey),
            Algorithm::Hs256 => {
                Pair::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, stored)), Zeroizing::new(stored.to_vec()))
            }
        };
        Ok(Self { algorithm, pair })
    }

    /// The key in the clear, to be sealed before it is stored.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        match &self.pair {
            Pair::Ed25519(pair, _) => pkcs8(pair),
            Pair::Ecdsa(pair, _) => {
                Zeroizing::new(pair.to_pkcs8v1().expect("a parsed key has a PKCS#8 form").as_ref().to_vec())
            }
            Pair::Rsa(pair, _) => pkcs8(pair),
            Pair::Hmac(_, secret) => secret.clone(),
        }
    }

    /// The one algorithm it works with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What may be published; `None` for HS256, whose checking key is the secret.
    pub const fn public(&self) -> Option<&PublicKey> {
        match &self.pair {
            Pair::Ed25519(_, public) | Pair::Ecdsa(_, public) | Pair::Rsa(_, public) => Some(public),
            Pair::Hmac(..) => None,
        }
    }

    /// The signature of `message`: 64 bytes for `EdDSA` and ES256, 32 for HS256, the size of the modulus for RSA.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        const WHY: &str = "signing with a parsed key fails only without memory";
        match &self.pair {
            Pair::Ed25519(pair, _) => pair.sign(message).as_ref().to_vec(),
            Pair::Ecdsa(pair, _) => pair.sign(&rand::SystemRandom::new(), message).expect(WHY).as_ref().to_vec(),
            Pair::Rsa(pair, _) => {
                let padding: &'static dyn lib::RsaEncoding =
                    if self.algorithm == Algorithm::Ps256 { &lib::RSA_PSS_SHA256 } else { &lib::RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &rand::SystemRandom::new(), message, &mut signature).expect(WHY);
                signature
            }
            Pair::Hmac(key, _) => hmac::sign(key, message).as_ref().to_vec(),
        }
    }

    /// Whether `signature` is this key's signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.pair {
            Pair::Ed25519(_, public) | Pair::Ecdsa(_, public) | Pair::Rsa(_, public) => {
                public.verify(message, signature)
            }
            Pair::Hmac(key, _) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey({}, redacted)", self.algorithm.as_str())
    }
}

/// A public key in the parts that a JWK carries (RFC 7518 §6, RFC 8037 §2); numbers are big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicParts {
    /// Ed25519.
    Okp {
        /// The encoded point.
        x: [u8; 32],
    },
    /// A point on P-256.
    Ec {
        /// First coordinate.
        x: [u8; 32],
        /// Second coordinate.
        y: [u8; 32],
    },
    /// RSA.
    Rsa {
        /// The modulus, without leading zeros.
        n: Vec<u8>,
        /// The exponent, without leading zeros.
        e: Vec<u8>,
    },
}

/// A key that checks signatures and may be published. Never an HMAC secret.
pub struct PublicKey {
    algorithm: Algorithm,
    parts: PublicParts,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// From the parts that a JWK carries. The point must be on the curve; RSA needs 2048 to 8192 bits and the exponent 65537.
    pub fn from_parts(algorithm: Algorithm, parts: PublicParts) -> Result<Self, InvalidKey> {
        let parsed = match (algorithm, &parts) {
            (Algorithm::EdDsa, PublicParts::Okp { x }) => ParsedPublicKey::new(&lib::ED25519, x),
            (Algorithm::Es256, PublicParts::Ec { x, y }) => {
                ParsedPublicKey::new(&lib::ECDSA_P256_SHA256_FIXED, [&[4], x.as_slice(), y].concat())
            }
            (Algorithm::Ps256 | Algorithm::Rs256, PublicParts::Rsa { n, e }) => {
                // One exponent, because a key with a small or an even one checks what its owner never signed.
                if !(256..=1024).contains(&n.len()) || e != &[1, 0, 1] {
                    return Err(InvalidKey);
                }
                let padding = if algorithm == Algorithm::Ps256 {
                    &lib::RSA_PSS_2048_8192_SHA256
                } else {
                    &lib::RSA_PKCS1_2048_8192_SHA256
                };
                lib::RsaPublicKeyComponents { n, e }.to_parsed_public_key(padding)
            }
            _ => return Err(InvalidKey),
        }
        .map_err(|_| InvalidKey)?;
        Ok(Self { algorithm, parts, parsed })
    }

    /// The one algorithm it works with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What a JWK of it carries.
    pub const fn parts(&self) -> &PublicParts {
        &self.parts
    }

    /// Whether `signature` is its owner's signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PublicKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn pkcs8<K: AsDer<Pkcs8V1Der<'static>>>(pair: &K) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(pair.as_der().expect("a parsed key has a PKCS#8 form").as_ref().to_vec())
}

/// `04 ‖ x ‖ y` (SEC 1 §2.3.3).
fn uncompressed_point(bytes: &[u8]) -> Option<PublicParts> {
    let (x, y) = bytes.strip_prefix(&[4])?.split_at_checked(32)?;
    Some(PublicParts::Ec { x: x.try_into().ok()?, y: y.try_into().ok()? })
}

/// The two numbers of a DER `RSAPublicKey` (RFC 8017 §A.1.1), as the library writes it.
fn rsa_public_key(der: &[u8]) -> Option<PublicParts> {
    let (sequence, nothing) = der_value(der, 0x30)?;
    let (n, rest) = der_value(sequence, 0x02)?;
    let (e, end) = der_value(rest, 0x02)?;
    let unsigned = |number: &[u8]| number.strip_prefix(&[0]).unwrap_or(number).to_vec();
    (nothing.is_empty() && end.is_empty()).then(|| PublicParts::Rsa { n: unsigned(n), e: unsigned(e) })
}

/// Splits one tag-length-value (X.690 §8.1) off the front: its value, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    match *der.strip_prefix(&[tag])? {
        [length @ 0..=0x7f, ref rest @ ..] | [0x81, length, ref rest @ ..] => rest.split_at_checked(length.into()),
        [0x82, high, low, ref rest @ ..] => rest.split_at_checked(u16::from_be_bytes([high, low]).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_signs_what_the_original_checks_and_no_other_algorithm_takes_its_bytes() {
        for algorithm in Algorithm::ALL {
            let key = PrivateKey::generate(algorithm);
            let stored = key.to_stored();
            let again = PrivateKey::from_stored(algorithm, &stored).expect("stored by us");
            let signature = again.sign(b"message");
            assert!(key.verify(b"message", &signature), "{algorithm:?}");
            assert!(!key.verify(b"massage", &signature), "{algorithm:?}");
            assert!(!PrivateKey::generate(algorithm).verify(b"message", &signature), "{algorithm:?}");
            assert!(!format!("{key:?}").contains("PRIVATE") && format!("{key:?}").len() < 40);
            let rsa = [Algorithm::Ps256, Algorithm::Rs256];
            for other in Algorithm::ALL {
                let same_family = other == algorithm || (rsa.contains(&other) && rsa.contains(&algorithm));
                let any_bytes_are_an_hmac_secret = other == Algorithm::Hs256;
                assert_eq!(
                    PrivateKey::from_stored(other, &stored).is_ok(),
                    same_family || any_bytes_are_an_hmac_secret,
                    "{algorithm:?} as {other:?}"
                );
            }
            for length in 0..stored.len().min(31) {
                assert!(PrivateKey::from_stored(algorithm, &stored[..length]).is_err(), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn signatures_have_the_lengths_of_rfc_7518_and_every_changed_bit_is_noticed() {
        for (algorithm, length) in [
            (Algorithm::EdDsa, 64),
            (Algorithm::Es256, 64),
            (Algorithm::Ps256, 256),
            (Algorithm::Rs256, 256),
            (Algorithm::Hs256, 32),
        ] {
            let key = PrivateKey::generate(algorithm);
            let signature = key.sign(b"message");
            assert_eq!(signature.len(), length);
            for bit in 0..length * 8 {
                let mut altered = signature.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(!key.verify(b"message", &altered), "{algorithm:?}, bit {bit}");
            }
            for cut in 0..length {
                assert!(!key.verify(b"message", &signature[..cut]), "{algorithm:?}, cut to {cut}");
            }
            assert!(!key.verify(b"message", &[signature.as_slice(), &[0]].concat()));
        }
    }

    /// T26: a PS256 key must not check an RS256 signature, though the key itself would do.
    #[test]
    fn one_rsa_key_under_two_algorithms_is_two_keys() {
        let pss = PrivateKey::generate(Algorithm::Ps256);
        let pkcs1 = PrivateKey::from_stored(Algorithm::Rs256, &pss.to_stored()).expect("an RSA key");
        assert!(!pss.verify(b"message", &pkcs1.sign(b"message")));
        assert!(!pkcs1.verify(b"message", &pss.sign(b"message")));
    }

    /// T26: wrong curve.
    #[test]
    fn a_p384_key_and_its_signatures_are_refused() {
        let p384 = EcdsaKeyPair::generate(&lib::ECDSA_P384_SHA384_FIXED_SIGNING).expect("generates");
        let stored = p384.to_pkcs8v1().expect("encodes");
        assert!(PrivateKey::from_stored(Algorithm::Es256, stored.as_ref()).is_err());
        let signature = p384.sign(&rand::SystemRandom::new(), b"message").expect("signs");
        assert!(!PrivateKey::generate(Algorithm::Es256).verify(b"message", signature.as_ref()));
    }

    #[test]
    fn the_public_part_checks_alone_and_an_hmac_key_has_none() {
        for algorithm in Algorithm::ALL {
            let key = PrivateKey::generate(algorithm);
            let Some(public) = key.public() else {
                assert_eq!(algorithm, Algorithm::Hs256);
                continue;
            };
            let read = PublicKey::from_parts(algorithm, public.parts().clone()).expect("the same key");
            assert!(read.verify(b"message", &key.sign(b"message")));
            for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                if let Ok(confused) = PublicKey::from_parts(other, public.parts().clone()) {
                    assert!(!confused.verify(b"message", &key.sign(b"message")), "{algorithm:?} as {other:?}");
                }
            }
        }
        let off_curve = PublicParts::Ec { x: [1; 32], y: [1; 32] };
        assert!(PublicKey::from_parts(Algorithm::Es256, off_curve).is_err());
    }

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
            assert_eq!(serde_json::to_string(&algorithm).expect("text"), format!("\"{}\"", algorithm.as_str()));
        }
        for bad in ["none", "noNE", "hs256", "HS384", "ES384", "RS256 ", "", "EDDSA"] {
            assert_eq!(Algorithm::parse(bad), None, "{bad}");
        }
    }
}
