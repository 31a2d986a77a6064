//! Logout tokens of another provider (OIDC Back-Channel Logout 1.0 §2.4, §2.6): one function, which looks at everything.
//!
//! They are signed with the keys of ID tokens, for the same audience. What tells them apart is that each must have what the other must not: `events`
//! here, `nonce` there.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::There;
use super::id_token::IdTokenRefused;
use super::issuer::Issuer;
use super::key_set::KeySet;
use super::signed::{self, Audience, instant};
use crate::crypto::{self, Algorithm};
use crate::time::Timestamp;
use crate::upstream::CLOCK_DIFFERENCE;

/// What a logout token says of itself: the standard's own word, or what was usual before there was one.
const TYPES: [&str; 3] = ["logout+jwt", "application/logout+jwt", "JWT"];
/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long ago it may have been issued, whatever it says itself. Until then we know which have been here.
pub const LIFETIME: Duration = Duration::from_mins(5);
/// Bytes of a `sub`, `sid` or `jti`.
const NAME_LENGTH: usize = 255;

/// What a logout token must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whose.
    pub issuer: &'a Issuer,
    /// For us, by this name.
    pub client_id: &'a str,
    /// Signed with one of these.
    pub algorithms: &'a [Algorithm],
}

/// A provider says that sessions have ended there. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOut {
    issuer: Box<str>,
    token: [u8; 32],
    ended: Ended,
}

impl SignOut {
    /// `iss`. Of a provider with many tenants, the tenant's.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A digest of its `jti`: a token counts once.
    pub fn token(&self) -> &[u8; 32] {
        &self.token
    }

    /// Which have ended.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }
}

/// What has ended at a provider: one session, or all of a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `sub`; one of this and `sid` is there.
    pub subject: Option<String>,
    /// `sid`.
    pub sid: Option<String>,
    /// `iat`.
    pub issued_at: Timestamp,
}

impl Ended {
    /// Whether a session that came of this ends with it (§2.7): the very one that is named, or, if none is named, all of the person's. Both must fit where
    /// both are there, so that a mixed-up pair ends nothing. Where we were not told which session it was, it might be the one: its person decides.
    pub fn ends(&self, subject: &str, sid: Option<&str>) -> bool {
        let of_person = self.subject.as_deref().map(|named| named == subject);
        match (self.sid.as_deref(), sid) {
            (Some(named), Some(sid)) => named == sid && of_person != Some(false),
            _ => of_person == Some(true),
        }
    }

    /// Whether it is about a session that has yet to begin here: its ID token was on its way when this was said.
    pub fn overtakes(&self, there: &There) -> bool {
        self.issued_at >= there.issued_at && self.ends(&there.subject, there.sid.as_deref())
    }
}

/// Why a logout token is not taken. For the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogoutTokenRefused {
    /// What an ID token is refused for, too.
    Token(IdTokenRefused),
    /// `events` does not say that it is a logout token.
    NoLogout,
    /// It has a `nonce`, and so is an ID token.
    Nonce,
    /// It names neither a session nor a person.
    NamesNobody,
    /// Nothing tells it from another one (`jti`).
    NoIdentifier,
    /// It was issued too long ago.
    Old,
    /// It has been here before.
    Used,
}

impl LogoutTokenRefused {
    /// The reason code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token(refused) => refused.as_str().trim_start_matches("id_token_"),
            Self::NoLogout => "no_logout_event",
            Self::Nonce => "nonce",
            Self::NamesNobody => "names_nobody",
            Self::NoIdentifier => "no_identifier",
            Self::Old => "old",
            Self::Used => "used",
        }
    }
}

impl From<IdTokenRefused> for LogoutTokenRefused {
    fn from(refused: IdTokenRefused) -> Self {
        Self::Token(refused)
    }
}

/// Whose sessions have ended, if `token` says so and is everything that it must be.
pub fn verify(
    token: &str,
    keys: &KeySet,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<SignOut, LogoutTokenRefused> {
    let signed = signed::open(token, keys, expected.algorithms, &TYPES)?;
    let claims: Claims = signed.claims()?;
    if !expected.issuer.may_be(&claims.iss) {
        return Err(IdTokenRefused::WrongIssuer.into());
    }
    if !signed.is_by_key_of(&claims.iss, expected.issuer.tenant_of(&claims.iss)) {
        return Err(IdTokenRefused::KeyOfAnother.into());
    }
    if !claims.aud.names(expected.client_id).0 {
        return Err(IdTokenRefused::WrongAudience.into());
    }
    if !claims.events.get(EVENT).is_some_and(Value::is_object) {
        return Err(LogoutTokenRefused::NoLogout);
    }
    // Present at all, whatever its value: `null`, too.
    if signed.claims::<Map<String, Value>>()?.contains_key("nonce") {
        return Err(LogoutTokenRefused::Nonce);
    }
    let issued_at = claims.check_times(now)?;
    let named = |name: &Option<String>| name.as_deref().is_none_or(is_name);
    if !named(&claims.sub) || !named(&claims.sid) || (claims.sub.is_none() && claims.sid.is_none()) {
        return Err(LogoutTokenRefused::NamesNobody);
    }
    if !is_name(&claims.jti) {
        return Err(LogoutTokenRefused::NoIdentifier);
    }
    // No issuer and no identifier has a line feed.
    let token = crypto::sha256(format!("{}\n{}", claims.iss, claims.jti).as_bytes());
    Ok(SignOut { issuer: claims.iss.into(), token, ended: Ended { subject: claims.sub, sid: claims.sid, issued_at } })
}

/// Whether a text may name a session or a person: what the databases can keep and a log can show.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The claims that anything is decided by, with their types.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: i64,
    /// It was not there in the drafts of the standard.
    exp: Option<i64>,
    #[serde(default)]
    jti: String,
    #[serde(default)]
    events: Value,
    sub: Option<String>,
    sid: Option<String>,
}

impl Claims {
    fn check_times(&self, now: Timestamp) -> Result<Timestamp, LogoutTokenRefused> {
        let issued_at = instant(self.iat)?;
        if issued_at > now + CLOCK_DIFFERENCE {
            return Err(IdTokenRefused::IssuedInFuture.into());
        }
        if issued_at + LIFETIME + CLOCK_DIFFERENCE <= now {
            return Err(LogoutTokenRefused::Old);
        }
        if let Some(expires_at) = self.exp
            && instant(expires_at)? + CLOCK_DIFFERENCE <= now
        {
            return Err(IdTokenRefused::Expired.into());
        }
        Ok(issued_at)
    }
}

#[cfg(test)]
mod tests;
