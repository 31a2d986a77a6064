//! What another provider has signed (JWS Compact Serialization, RFC 7515; RFC 8725): one reading for its ID tokens and for its logout tokens.
//!
//! Other than our own tokens (`jose.rs`) these come with whatever members their makers add. What a header brings along (`jwk`, `jku`, `x5u`) is never
//! looked at; keys are the provider's published ones, and the token's word on the algorithm only chooses among those that we take.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::id_token::IdTokenRefused;
use super::issuer::Issuer;
use super::key_set::KeySet;
use crate::crypto::Algorithm;
use crate::time::Timestamp;

/// The longest that is looked at, in bytes. Entra ID puts up to 200 groups into one.
const MAXIMUM_LENGTH: usize = 32 * 1024;

/// Claims that the provider has signed. What they are worth is for others to say.
pub(super) struct Signed {
    payload: Vec<u8>,
    key_issuer: Option<String>,
}

/// Opens a token that says of itself that it is one of these `types`, or says nothing about it.
pub(super) fn open(
    token: &str,
    keys: &KeySet,
    algorithms: &[Algorithm],
    types: &[&str],
) -> Result<Signed, IdTokenRefused> {
    if token.len() > MAXIMUM_LENGTH {
        return Err(IdTokenRefused::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(IdTokenRefused::Malformed);
    };
    let algorithm_and_key = read::<Header>(&decode(header)?)?;
    let algorithm = algorithm_and_key.algorithm(algorithms, types)?;
    let found = keys.find(algorithm_and_key.kid.as_deref(), algorithm)?;
    let signed = &token[..header.len() + 1 + payload.len()];
    if !found.key.verify(signed.as_bytes(), &decode(signature)?) {
        return Err(IdTokenRefused::BadSignature);
    }
    Ok(Signed { payload: decode(payload)?, key_issuer: found.issuer })
}

impl Signed {
    /// The claims, as one JSON object. A member that is there twice is refused where it has a type, and those are all that anything is decided by.
    pub(super) fn claims<T: DeserializeOwned>(&self) -> Result<T, IdTokenRefused> {
        read(&self.payload)
    }

    /// Whether the key may sign for this issuer. Most keys say nothing about it; Entra ID's are each for some of its tenants.
    pub(super) fn is_by_key_of(&self, issuer: &str, tenant: Option<&str>) -> bool {
        self.key_issuer.as_deref().is_none_or(|key| Issuer::key_may_sign(key, issuer, tenant))
    }
}

/// For whom a token is: one, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// Whether `client` is among them, and whether it is alone.
    pub(super) fn names(&self, client: &str) -> (bool, bool) {
        match self {
            Self::One(one) => (one == client, true),
            Self::Several(all) => (all.iter().any(|one| one == client), all.len() == 1),
        }
    }
}

/// A time in a token.
pub(super) fn instant(seconds: i64) -> Result<Timestamp, IdTokenRefused> {
    // Beyond these a multiplication by a thousand would not be a time.
    let sane = (0..=1 << 40).contains(&seconds);
    if sane { Ok(Timestamp::from_seconds(seconds)) } else { Err(IdTokenRefused::Malformed) }
}

/// The members of a header that we look at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Header {
    fn algorithm(&self, taken: &[Algorithm], types: &[&str]) -> Result<Algorithm, IdTokenRefused> {
        // A token of another kind by the same provider says what it is (RFC 8725 §3.11).
        if self.typ.as_deref().is_some_and(|typ| !types.iter().any(|taken| typ.eq_ignore_ascii_case(taken))) {
            return Err(IdTokenRefused::WrongType);
        }
        if self.crit.is_some() {
            return Err(IdTokenRefused::Critical);
        }
        let algorithm = Algorithm::parse(&self.alg).filter(|algorithm| taken.contains(algorithm));
        algorithm.ok_or(IdTokenRefused::WrongAlgorithm)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, IdTokenRefused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| IdTokenRefused::Malformed)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, IdTokenRefused> {
    if bytes.first() != Some(&b'{') {
        return Err(IdTokenRefused::Malformed);
    }
    serde_json::from_slice(bytes).map_err(|_| IdTokenRefused::Malformed)
}
