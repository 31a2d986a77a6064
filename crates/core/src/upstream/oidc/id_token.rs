//! ID tokens of another provider (OIDC Core 1.0 §2, §3.1.3.7; RFC 7515, RFC 8725): one function, which looks at everything.
//!
//! Other than our own tokens (`jose.rs`) these come with whatever members their makers add. What a header brings along (`jwk`, `jku`, `x5u`) is never
//! looked at; keys are the provider's published ones, and the token's word on the algorithm only chooses among those that we take.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::issuer::Issuer;
use super::key_set::KeySet;
use super::{Identity, SecondFactor};
use crate::crypto::{self, Algorithm};
use crate::session::{Acr, Amr};
use crate::time::Timestamp;
use crate::upstream::CLOCK_DIFFERENCE;

/// The longest that is looked at, in bytes. Entra ID puts up to 200 groups into one.
const MAXIMUM_LENGTH: usize = 32 * 1024;

/// How much earlier than the sign-in a token may be dated. Entra ID dates its own five minutes back; what binds a token to this sign-in is its nonce.
const DATED_BACK: Duration = Duration::from_mins(10);

/// What a token must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whose.
    pub issuer: &'a Issuer,
    /// For us, by this name.
    pub client_id: &'a str,
    /// For this one sign-in.
    pub nonce: &'a str,
    /// Signed with one of these.
    pub algorithms: &'a [Algorithm],
    /// When the sign-in began.
    pub begun_at: Timestamp,
    /// The person was to prove anew who they are.
    pub anew: bool,
    /// What counts for two factors.
    pub second_factor: &'a SecondFactor,
}

/// Why an ID token is not taken. For the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdTokenRefused {
    /// Not three parts of base64url, not JSON, or a claim of the wrong type.
    Malformed,
    /// It is a token of another kind.
    WrongType,
    /// It has extensions that must be understood (`crit`).
    Critical,
    /// `alg` is none that we take and the provider announces: `none` and `HS256` among them.
    WrongAlgorithm,
    /// The provider publishes no such key.
    UnknownKey,
    /// It names no key, and there are several.
    AmbiguousKey,
    /// The key is published, and is not sound.
    UnsoundKey,
    /// The key is for another issuer.
    KeyOfAnother,
    /// Somebody else wrote it.
    BadSignature,
    /// Of somebody else.
    WrongIssuer,
    /// Of a tenant that is not listed.
    WrongTenant,
    /// For somebody else.
    WrongAudience,
    /// For us and others, or asked for by another (`azp`).
    WrongParty,
    /// Of another sign-in.
    WrongNonce,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    IssuedInFuture,
    /// It is older than the sign-in that it is to answer.
    IssuedBefore,
    /// It does not say who.
    NoSubject,
    /// They were to prove anew who they are, and did not, or nothing is said about it.
    NotAuthenticatedAnew,
}

impl IdTokenRefused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "id_token_malformed",
            Self::WrongType => "id_token_wrong_type",
            Self::Critical => "id_token_critical",
            Self::WrongAlgorithm => "id_token_wrong_algorithm",
            Self::UnknownKey => "id_token_unknown_key",
            Self::AmbiguousKey => "id_token_ambiguous_key",
            Self::UnsoundKey => "id_token_unsound_key",
            Self::KeyOfAnother => "id_token_key_of_another",
            Self::BadSignature => "id_token_bad_signature",
            Self::WrongIssuer => "id_token_wrong_issuer",
            Self::WrongTenant => "id_token_wrong_tenant",
            Self::WrongAudience => "id_token_wrong_audience",
            Self::WrongParty => "id_token_wrong_party",
            Self::WrongNonce => "id_token_wrong_nonce",
            Self::Expired => "id_token_expired",
            Self::IssuedInFuture => "id_token_issued_in_future",
            Self::IssuedBefore => "id_token_issued_before",
            Self::NoSubject => "id_token_no_subject",
            Self::NotAuthenticatedAnew => "id_token_not_authenticated_anew",
        }
    }
}

/// Who somebody is, if `token` says so and is everything that it must be.
pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>, now: Timestamp) -> Result<Identity, IdTokenRefused> {
    if token.len() > MAXIMUM_LENGTH {
        return Err(IdTokenRefused::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(IdTokenRefused::Malformed);
    };
    let algorithm_and_key = read::<Header>(header)?;
    let algorithm = algorithm_and_key.algorithm(expected.algorithms)?;
    let found = keys.find(algorithm_and_key.kid.as_deref(), algorithm)?;
    let signed = &token[..header.len() + 1 + payload.len()];
    if !found.key.verify(signed.as_bytes(), &decode(signature)?) {
        return Err(IdTokenRefused::BadSignature);
    }
    let claims: Claims = read(payload)?;
    let (issuer, subject) = expected.issuer.person(&claims)?;
    let tenant = matches!(expected.issuer, Issuer::Entra { .. }).then_some(claims.tid.as_deref()).flatten();
    if found.issuer.is_some_and(|key| !Issuer::key_may_sign(&key, &issuer, tenant)) {
        return Err(IdTokenRefused::KeyOfAnother);
    }
    claims.check_audience(expected.client_id)?;
    let nonce = claims.nonce.as_deref().unwrap_or_default();
    if !crypto::equal(nonce.as_bytes(), expected.nonce.as_bytes()) {
        return Err(IdTokenRefused::WrongNonce);
    }
    let authenticated_at = claims.check_times(expected, now)?;
    let amr = claims.amr.iter().flatten();
    let mut known = Vec::new();
    known.extend(amr.clone().filter_map(|method| Amr::parse(method)));
    known.dedup();
    let strong = expected.second_factor;
    let strong = claims.acr.as_ref().is_some_and(|acr| strong.acr.contains(acr))
        || amr.clone().any(|amr| strong.amr.contains(amr));
    Ok(Identity {
        issuer,
        subject,
        acr: if strong { Acr::Aal2 } else { Acr::Aal1 },
        amr: known,
        authenticated_at,
        claims: read(payload)?,
    })
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
    fn algorithm(&self, taken: &[Algorithm]) -> Result<Algorithm, IdTokenRefused> {
        // An access token or a logout token of the same provider says what it is (RFC 8725 §3.11); an ID token says `JWT` or nothing.
        if self.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(IdTokenRefused::WrongType);
        }
        if self.crit.is_some() {
            return Err(IdTokenRefused::Critical);
        }
        let algorithm = Algorithm::parse(&self.alg).filter(|algorithm| taken.contains(algorithm));
        algorithm.ok_or(IdTokenRefused::WrongAlgorithm)
    }
}

/// The claims that anything is decided by, with their types.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    auth_time: Option<i64>,
    acr: Option<String>,
    amr: Option<Vec<String>>,
    pub(super) tid: Option<String>,
    pub(super) oid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    fn check_audience(&self, client_id: &str) -> Result<(), IdTokenRefused> {
        let (named, alone) = match &self.aud {
            Audience::One(one) => (one == client_id, true),
            Audience::Several(all) => (all.iter().any(|one| one == client_id), all.len() == 1),
        };
        if !named {
            return Err(IdTokenRefused::WrongAudience);
        }
        // For us and others: then it must have been we who asked for it, or each of the others could sign in here with theirs.
        match &self.azp {
            Some(azp) if azp != client_id => Err(IdTokenRefused::WrongParty),
            None if !alone => Err(IdTokenRefused::WrongParty),
            _ => Ok(()),
        }
    }

    /// When the person proved who they are.
    fn check_times(&self, expected: &Expected<'_>, now: Timestamp) -> Result<Timestamp, IdTokenRefused> {
        let instant = |seconds: i64| {
            // Beyond these a multiplication by a thousand would not be a time.
            Some(seconds)
                .filter(|seconds| (0..=1 << 40).contains(seconds))
                .map(Timestamp::from_seconds)
                .ok_or(IdTokenRefused::Malformed)
        };
        if instant(self.exp)? + CLOCK_DIFFERENCE <= now {
            return Err(IdTokenRefused::Expired);
        }
        let issued_at = instant(self.iat)?;
        if issued_at > now + CLOCK_DIFFERENCE {
            return Err(IdTokenRefused::IssuedInFuture);
        }
        if issued_at + DATED_BACK < expected.begun_at {
            return Err(IdTokenRefused::IssuedBefore);
        }
        let authenticated_at = self.auth_time.map(instant).transpose()?;
        if expected.anew && authenticated_at.is_none_or(|at| at + CLOCK_DIFFERENCE < expected.begun_at) {
            return Err(IdTokenRefused::NotAuthenticatedAnew);
        }
        // A clock ahead of ours does not make anybody more recent than now.
        Ok(authenticated_at.unwrap_or(now).min(now))
    }
}

fn decode(part: &str) -> Result<Vec<u8>, IdTokenRefused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| IdTokenRefused::Malformed)
}

/// One JSON object. A member that is there twice is refused where it has a type, and those are all that anything is decided by.
fn read<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, IdTokenRefused> {
    let bytes = decode(part)?;
    if bytes.first() != Some(&b'{') {
        return Err(IdTokenRefused::Malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| IdTokenRefused::Malformed)
}

#[cfg(test)]
mod tests;
