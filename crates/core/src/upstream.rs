//! Signing in by way of somebody else who knows the person, such as Ory Kratos (protocol §10): what their answer is worth.
//!
//! [`Accepted`] is a session of theirs that a session of ours may stand on, and only [`accept`] makes one.

pub mod oidc;
pub mod traits;
pub mod transaction;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::id::InvalidId;
use crate::session::{Acr, Amr};
use crate::time::Timestamp;
use oidc::IdTokenRefused;

/// Their clock and ours may differ by so much.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);
/// The purpose of the key that their credentials are sealed with while a session stands on them: `master_key.sealer(CREDENTIAL_SEALER)`.
pub const CREDENTIAL_SEALER: &str = "upstream credential";

/// What an upstream calls an identity or a session of its own: 1 to 128 letters, digits, `-` and `_`, so that it may stand in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(Box<str>);

impl UpstreamId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UpstreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for UpstreamId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(plain) {
            return Err(InvalidId("identifier of an upstream"));
        }
        Ok(Self(text.into()))
    }
}

/// What an upstream says of a session.
#[derive(Debug, Clone)]
pub struct UpstreamSession {
    /// Which.
    pub id: UpstreamId,
    /// Whether it says that the session is live.
    pub active: bool,
    /// When the session ends.
    pub expires_at: Timestamp,
    /// When the person last proved there who they are.
    pub authenticated_at: Timestamp,
    /// How strongly; `None` if that is less than one factor.
    pub acr: Option<Acr>,
    /// By what, in order of use.
    pub amr: Vec<Amr>,
    /// Who.
    pub identity: UpstreamId,
    /// Whether that identity may sign in there.
    pub identity_active: bool,
    /// What is known of the person there.
    pub traits: serde_json::Value,
}

/// What we ask of it.
#[derive(Debug, Clone, Copy)]
pub struct Required {
    /// At least so strong.
    pub acr: Acr,
    /// The person was asked to prove anew who they are, at this instant.
    pub since: Option<Timestamp>,
}

/// A session there that has been found good enough.
#[derive(Debug, Clone)]
pub struct Accepted {
    session: UpstreamSession,
    acr: Acr,
}

impl Accepted {
    /// What was said of it.
    pub fn session(&self) -> &UpstreamSession {
        &self.session
    }

    /// How strong.
    pub fn acr(&self) -> Acr {
        self.acr
    }
}

/// Judges what an upstream says of a session.
pub fn accept(session: UpstreamSession, required: Required, now: Timestamp) -> Result<Accepted, UpstreamRefused> {
    if !session.active {
        return Err(UpstreamRefused::SessionInactive);
    }
    if now >= session.expires_at {
        return Err(UpstreamRefused::SessionExpired);
    }
    if !session.identity_active {
        return Err(UpstreamRefused::IdentityInactive);
    }
    if session.authenticated_at > now + CLOCK_DIFFERENCE {
        return Err(UpstreamRefused::AuthenticatedInFuture);
    }
    if required.since.is_some_and(|since| session.authenticated_at + CLOCK_DIFFERENCE < since) {
        return Err(UpstreamRefused::NotAuthenticatedAnew);
    }
    match session.acr {
        Some(acr) if acr >= required.acr => Ok(Accepted { session, acr }),
        _ => Err(UpstreamRefused::AssuranceTooLow),
    }
}

/// Why somebody could not sign in by way of an upstream. For the audit log; the browser shows one page for several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum UpstreamRefused {
    /// This browser did not begin it: somebody else's link, or cookies are blocked.
    NoTransaction,
    /// It was begun too long ago.
    TransactionExpired,
    /// The browser came back without the upstream's cookie.
    NoCredential,
    /// With two cookies of that name: one of them was set by somebody else.
    SeveralCredentials,
    /// With something that the upstream cannot have set.
    MalformedCredential,
    /// The upstream knows nobody by it.
    NotSignedIn,
    /// The session there has ended.
    SessionInactive,
    /// The session there has run out.
    SessionExpired,
    /// The identity is switched off there.
    IdentityInactive,
    /// Fewer factors than we ask for.
    AssuranceTooLow,
    /// At a time that has not come yet.
    AuthenticatedInFuture,
    /// They were to prove anew who they are, and did not.
    NotAuthenticatedAnew,
    /// Somebody signed out here, and the session there is about to be ended.
    SessionEnding,
    /// Nobody here, and we are told to make no users.
    NoUser,
    /// Somebody else here has that name.
    UsernameTaken,
    /// The identity has no name that could be one here.
    NoUsername,
    /// The user may not sign in here.
    UserDisabled,
    /// The way back was gone before.
    AnswerUsed,
    /// The answer is another provider's (RFC 9207), or names nobody although ours does.
    AnswerOfAnother,
    /// The provider sent the person back without a code.
    Denied,
    /// The provider does not know the code, or says that it is not for us.
    CodeRefused,
    /// Its ID token is not what it must be.
    IdToken(IdTokenRefused),
    /// What it says of the person at one place and at another is about two people.
    UserinfoOfAnother,
    /// A claim is not what the configuration requires.
    ClaimNotAsRequired,
    /// The name is a mail address of which nobody has shown that it is theirs.
    UsernameNotTheirs,
    /// The identity is somebody else's here already, or the person has another one there.
    IdentityTaken,
    /// Tying an identity to oneself takes a session, and one whose person has just shown who they are.
    SessionNotFresh,
}

impl UpstreamRefused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTransaction => "upstream_no_transaction",
            Self::TransactionExpired => "upstream_transaction_expired",
            Self::NoCredential => "upstream_no_credential",
            Self::SeveralCredentials => "upstream_several_credentials",
            Self::MalformedCredential => "upstream_malformed_credential",
            Self::NotSignedIn => "upstream_not_signed_in",
            Self::SessionInactive => "upstream_session_inactive",
            Self::SessionExpired => "upstream_session_expired",
            Self::IdentityInactive => "upstream_identity_inactive",
            Self::AssuranceTooLow => "upstream_assurance_too_low",
            Self::AuthenticatedInFuture => "upstream_authenticated_in_future",
            Self::NotAuthenticatedAnew => "upstream_not_authenticated_anew",
            Self::SessionEnding => "upstream_session_ending",
            Self::NoUser => "upstream_no_user",
            Self::UsernameTaken => "upstream_username_taken",
            Self::NoUsername => "upstream_no_username",
            Self::UserDisabled => "user_disabled",
            Self::AnswerUsed => "upstream_answer_used",
            Self::AnswerOfAnother => "upstream_answer_of_another",
            Self::Denied => "upstream_denied",
            Self::CodeRefused => "upstream_code_refused",
            Self::IdToken(refused) => refused.as_str(),
            Self::UserinfoOfAnother => "upstream_userinfo_of_another",
            Self::ClaimNotAsRequired => "upstream_claim_not_as_required",
            Self::UsernameNotTheirs => "upstream_username_not_theirs",
            Self::IdentityTaken => "upstream_identity_taken",
            Self::SessionNotFresh => "upstream_session_not_fresh",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn session() -> UpstreamSession {
        UpstreamSession {
            id: "7b".parse().expect("valid"),
            active: true,
            expires_at: NOW + SECOND,
            authenticated_at: NOW - Duration::from_hours(5),
            acr: Some(Acr::Aal1),
            amr: vec![Amr::Pwd],
            identity: "9c".parse().expect("valid"),
            identity_active: true,
            traits: json!({}),
        }
    }

    #[test]
    fn each_doubt_has_a_reason_of_its_own() {
        type Change = fn(&mut UpstreamSession, &mut Required);
        let refused = |change: Change| {
            let (mut session, mut required) = (session(), Required { acr: Acr::Aal1, since: None });
            change(&mut session, &mut required);
            accept(session, required, NOW).err()
        };
        assert_eq!(refused(|_, _| ()), None);
        let table: [(UpstreamRefused, Change); 8] = [
            (UpstreamRefused::SessionInactive, |session, _| session.active = false),
            (UpstreamRefused::SessionExpired, |session, _| session.expires_at = NOW),
            (UpstreamRefused::IdentityInactive, |session, _| session.identity_active = false),
            (UpstreamRefused::AssuranceTooLow, |_, required| required.acr = Acr::Aal2),
            (UpstreamRefused::AssuranceTooLow, |session, _| session.acr = None),
            (UpstreamRefused::AuthenticatedInFuture, |session, _| {
                session.authenticated_at = NOW + CLOCK_DIFFERENCE + SECOND;
            }),
            (UpstreamRefused::NotAuthenticatedAnew, |_, required| required.since = Some(NOW)),
            (UpstreamRefused::NotAuthenticatedAnew, |session, required| {
                session.authenticated_at = NOW - CLOCK_DIFFERENCE - SECOND;
                required.since = Some(NOW);
            }),
        ];
        for (reason, change) in table {
            assert_eq!(refused(change), Some(reason));
        }
        // Clocks differ a little.
        assert_eq!(refused(|session, _| session.authenticated_at = NOW + CLOCK_DIFFERENCE), None);
        assert_eq!(
            refused(|session, required| {
                session.authenticated_at = NOW - SECOND;
                required.since = Some(NOW);
            }),
            None
        );
    }

    #[test]
    fn their_identifiers_may_stand_in_a_path() {
        assert!("0b9f5d8e-2f1a-4c55-9c43-0d3b0a7c1f11".parse::<UpstreamId>().is_ok());
        for bad in ["", ".", "..", "a/b", "a%2fb", "a?b", "a b", "é", &"a".repeat(129)] {
            assert!(bad.parse::<UpstreamId>().is_err(), "{bad}");
        }
    }
}
