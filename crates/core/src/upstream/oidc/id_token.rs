//! ID tokens of another provider (OIDC Core 1.0 §2, §3.1.3.7): one function, which looks at everything.

use std::time::Duration;

use serde::Deserialize;

use super::issuer::Issuer;
use super::key_set::KeySet;
use super::logout_token::is_name;
use super::signed::{self, Audience, instant};
use super::{Identity, SecondFactor, There};
use crate::crypto::{self, Algorithm};
use crate::session::{Acr, Amr};
use crate::time::Timestamp;
use crate::upstream::CLOCK_DIFFERENCE;

/// What an ID token says of itself, if it says anything.
const TYPES: [&str; 1] = ["JWT"];

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
    /// The longest that the person's last proof of who they are may be ago, when the sign-in began; no time at all: they were to prove it anew.
    pub max_age: Option<Duration>,
    /// What counts for two factors.
    pub second_factor: &'a SecondFactor,
}

/// Why an ID token is not taken, or anything else that the provider signs with its keys. For the audit log.
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
    /// They were to prove anew who they are, or to have done so lately, and did not, or nothing is said about it.
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
    let signed = signed::open(token, keys, expected.algorithms, &TYPES)?;
    let claims: Claims = signed.claims()?;
    let (issuer, subject) = expected.issuer.person(&claims)?;
    // Where people are known by another claim it is still what a logout token names them by.
    if !is_name(&claims.sub) {
        return Err(IdTokenRefused::NoSubject);
    }
    let tenant = matches!(expected.issuer, Issuer::Entra { .. }).then_some(claims.tid.as_deref()).flatten();
    if !signed.is_by_key_of(&issuer, tenant) {
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
        there: There::of(&claims.sub, claims.sid.as_ref(), instant(claims.iat)?),
        claims: signed.claims()?,
    })
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
    /// Nobody is kept out by one that is no text: without it their session is found by its person.
    sid: Option<serde_json::Value>,
}

impl Claims {
    fn check_audience(&self, client_id: &str) -> Result<(), IdTokenRefused> {
        let (named, alone) = self.aud.names(client_id);
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
        let too_old = |age| authenticated_at.is_none_or(|at| at + age + CLOCK_DIFFERENCE < expected.begun_at);
        if expected.max_age.is_some_and(too_old) {
            return Err(IdTokenRefused::NotAuthenticatedAnew);
        }
        // A clock ahead of ours does not make anybody more recent than now.
        Ok(authenticated_at.unwrap_or(now).min(now))
    }
}

#[cfg(test)]
mod tests;
