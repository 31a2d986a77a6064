//! Public keys as JSON (JWK, RFC 7517, RFC 7518 §6, RFC 8037 §2), and what names a key by what it is (RFC 7638). Only public keys: a symmetric or private key is refused on
//! the way in and cannot be written on the way out.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::crypto::{self, Algorithm, PublicKey, PublicParts};

/// Why a JWK is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwk {
    /// A required member is missing, has the wrong type or is not canonical base64url.
    #[error("a required member is missing or malformed")]
    Malformed,
    /// `kty` is `oct`: whoever could read the set could sign.
    #[error("symmetric keys are not taken from a JWK")]
    Symmetric,
    /// It carries the private part; whoever sent it should throw it away.
    #[error("it carries a private key")]
    Private,
    /// `kty` or `crv` belong to another algorithm.
    #[error("its type or curve is not the algorithm's")]
    WrongType,
    /// `alg` names another algorithm.
    #[error("it is meant for another algorithm")]
    WrongAlgorithm,
    /// `use` or `key_ops` exclude checking signatures.
    #[error("it is not meant for checking signatures")]
    WrongUse,
    /// Not on the curve, too short, an exponent other than 65537, or a modulus that can be factored.
    #[error("it is not a sound key")]
    Unsound,
}

/// The JWK of `key`, for a key set.
pub fn write(key: &PublicKey, kid: &str) -> Value {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = match key.parts() {
        PublicParts::Okp { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(x)}),
        PublicParts::Ec { x, y } => json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)}),
        PublicParts::Rsa { n, e } => json!({"kty": "RSA", "n": encode(n), "e": encode(e)}),
    };
    jwk["use"] = "sig".into();
    jwk["alg"] = key.algorithm().as_str().into();
    jwk["kid"] = kid.into();
    jwk
}

/// The key in `jwk`, to be used with `algorithm`, which the reader has chosen; the JWK may agree or say nothing.
pub fn read(jwk: &Value, algorithm: Algorithm) -> Result<PublicKey, InvalidJwk> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str).ok_or(InvalidJwk::Malformed);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).map_err(|_| InvalidJwk::Malformed);
    let point = |name: &str| bytes(name)?.try_into().map_err(|_| InvalidJwk::Malformed);
    let kty = text("kty")?;
    if kty == "oct" || jwk.get("k").is_some() {
        return Err(InvalidJwk::Symmetric);
    }
    if ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|member| jwk.get(member).is_some()) {
        return Err(InvalidJwk::Private);
    }
    if jwk.get("alg").is_some_and(|alg| alg != algorithm.as_str()) {
        return Err(InvalidJwk::WrongAlgorithm);
    }
    let may_verify =
        |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"));
    if jwk.get("use").is_some_and(|usage| usage != "sig") || !jwk.get("key_ops").is_none_or(may_verify) {
        return Err(InvalidJwk::WrongUse);
    }
    let parts = match (algorithm, kty) {
        (Algorithm::EdDsa, "OKP") if text("crv")? == "Ed25519" => PublicParts::Okp { x: point("x")? },
        (Algorithm::Es256, "EC") if text("crv")? == "P-256" => PublicParts::Ec { x: point("x")?, y: point("y")? },
        (Algorithm::Ps256 | Algorithm::Rs256, "RSA") => PublicParts::Rsa { n: bytes("n")?, e: bytes("e")? },
        _ => return Err(InvalidJwk::WrongType),
    };
    if matches!(&parts, PublicParts::Rsa { n, .. } if has_roca_fingerprint(n)) {
        return Err(InvalidJwk::Unsound);
    }
    PublicKey::from_parts(algorithm, parts).map_err(|_| InvalidJwk::Unsound)
}

/// SHA-256 of what a public key is made of (RFC 7638): the same for whoever computes it, whatever else a JWK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

/// Not 32 bytes in canonical base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 43 characters of base64url")]
pub struct InvalidThumbprint;

impl Thumbprint {
    /// Of this key. Its required members, sorted, without a space (§3.2, §3.3).
    pub fn of(key: &PublicKey) -> Self {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match key.parts() {
            PublicParts::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
            PublicParts::Ec { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
            }
            PublicParts::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(e), encode(n)),
        };
        Self(crypto::sha256(members.as_bytes()))
    }

    /// As stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As read from the database.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for Thumbprint {
    type Err = InvalidThumbprint;

    fn from_str(text: &str) -> Result<Self, InvalidThumbprint> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(InvalidThumbprint)
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = InvalidThumbprint;

    fn try_from(text: String) -> Result<Self, InvalidThumbprint> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.to_string()
    }
}

/// Whether the modulus was made by the flawed chip library of CVE-2017-15361, whose keys can be factored: modulo each of these
/// primes such a modulus is a power of 65537. An honest one passes with a probability of about 2⁻²⁸.
fn has_roca_fingerprint(n: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.into_iter().all(|prime| {
        let residue = n.iter().fold(0, |sum, byte| (sum * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65537 % prime;
            power == residue
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PrivateKey;

    #[test]
    fn a_written_key_reads_back_and_only_under_its_own_algorithm() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256] {
            let private = PrivateKey::generate(algorithm);
            let jwk = write(private.public().expect("asymmetric"), "kid-1");
            assert_eq!(
                (&jwk["alg"], &jwk["kid"], &jwk["use"]),
                (&algorithm.as_str().into(), &"kid-1".into(), &"sig".into())
            );
            let public = read(&jwk, algorithm).expect("reads back");
            assert!(public.verify(b"message", &private.sign(b"message")));
            for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                assert_eq!(read(&jwk, other).err(), Some(InvalidJwk::WrongAlgorithm));
            }
        }
    }

    /// RFC 7518 §6.3.1: programs compare and measure these numbers, so that a zero in front makes another key of it.
    #[test]
    fn the_numbers_of_an_rsa_key_have_no_zero_in_front() {
        let private = PrivateKey::generate(Algorithm::Rs256);
        let jwk = write(private.public().expect("asymmetric"), "kid-1");
        let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().expect("text")).expect("base64url");
        assert_eq!((&jwk["kty"], &jwk["e"], n.len()), (&"RSA".into(), &"AQAB".into(), 256));
        assert!(n[0] >= 0x80, "2048 bits, all of them");
    }

    #[test]
    fn thumbprints_are_those_of_the_standards_examples() {
        // RFC 7638 §3.1, RFC 8037 appendix A.3, RFC 9449 §6.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        for (jwk, algorithm, thumbprint) in [
            (
                json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}),
                Algorithm::Rs256,
                "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            ),
            (
                json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
                Algorithm::EdDsa,
                "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            ),
            (
                json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                       "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}),
                Algorithm::Es256,
                "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            ),
        ] {
            let key = read(&jwk, algorithm).expect("a key");
            assert_eq!(Thumbprint::of(&key).to_string(), thumbprint);
            assert_eq!(thumbprint.parse(), Ok(Thumbprint::of(&key)));
        }
        for bad in
            ["", "AAAA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k=", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4l"]
        {
            assert_eq!(bad.parse::<Thumbprint>(), Err(InvalidThumbprint), "{bad}");
        }
    }

    #[test]
    fn says_why_a_key_is_not_taken() {
        let private = PrivateKey::generate(Algorithm::Es256);
        let good = write(private.public().expect("asymmetric"), "kid-1");
        for (member, value, why) in [
            ("kty", json!("oct"), InvalidJwk::Symmetric),
            ("k", json!("AAAA"), InvalidJwk::Symmetric),
            ("d", json!("AAAA"), InvalidJwk::Private),
            ("kty", json!("RSA"), InvalidJwk::WrongType),
            ("crv", json!("P-384"), InvalidJwk::WrongType),
            ("alg", json!("ES384"), InvalidJwk::WrongAlgorithm),
            ("alg", json!(null), InvalidJwk::WrongAlgorithm),
            ("use", json!("enc"), InvalidJwk::WrongUse),
            ("key_ops", json!(["encrypt"]), InvalidJwk::WrongUse),
            ("key_ops", json!("verify"), InvalidJwk::WrongUse),
            ("x", json!("AAAA"), InvalidJwk::Malformed),
            ("x", json!(format!("{}=", good["x"].as_str().expect("text"))), InvalidJwk::Malformed),
            ("y", good["x"].clone(), InvalidJwk::Unsound),
        ] {
            let mut jwk = good.clone();
            jwk[member] = value;
            assert_eq!(read(&jwk, Algorithm::Es256).err(), Some(why), "{jwk}");
        }
        for not_an_object in [json!([]), json!("jwk"), json!(null), json!({})] {
            assert_eq!(read(&not_an_object, Algorithm::Es256).err(), Some(InvalidJwk::Malformed));
        }
        let mut silent = good;
        for optional in ["alg", "use", "kid"] {
            silent.as_object_mut().expect("an object").remove(optional);
        }
        assert!(read(&silent, Algorithm::Es256).is_ok());
    }

    #[test]
    fn wycheproof_every_unsound_key_is_refused_and_no_symmetric_one_is_read() {
        let Some(text) = crate::test_data::read("wycheproof-jwk.json") else { return };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        let (mut accepted, mut refused, mut symmetric) = (0, 0, 0);
        for group in vectors["testGroups"].as_array().expect("groups") {
            let keys = group.get("public").unwrap_or(&group["private"])["keys"].as_array().expect("keys");
            for vector in group["tests"].as_array().expect("vectors") {
                let [header, claims, signature] = vector["jws"]
                    .as_str()
                    .expect("text")
                    .split('.')
                    .collect::<Vec<_>>()
                    .try_into()
                    .expect("three parts");
                let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
                let said: Value = serde_json::from_slice(&decode(header)).expect("JSON");
                let algorithm = said["alg"].as_str().and_then(Algorithm::parse);
                let key = keys.iter().find(|key| key["kid"] == said["kid"]).expect("the key is there");
                let read = algorithm.ok_or(InvalidJwk::WrongAlgorithm).and_then(|algorithm| read(key, algorithm));
                let symmetric_key = key["kty"] == "oct";
                let verified =
                    read.is_ok_and(|key| key.verify(format!("{header}.{claims}").as_bytes(), &decode(signature)));
                match (vector["result"] == "valid", verified) {
                    (true, true) => accepted += 1,
                    // The named reason: a key set is public, and a symmetric key in it is everybody's.
                    (true, false) if symmetric_key => symmetric += 1,
                    (false, false) => refused += 1,
                    _ => panic!("{vector}"),
                }
            }
        }
        assert!(accepted >= 1 && refused >= 20 && symmetric >= 1, "{accepted} {refused} {symmetric}");
    }
}
