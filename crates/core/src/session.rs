//! Sessions: one sign-in by one person in one browser. When it is live, when it ends, why. NIST SP 800-63B §7, OWASP ASVS V7.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// A sign-in, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `sid` on the wire. Not its secret.
    pub id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// How strongly.
    pub acr: Acr,
    /// By which authenticators, in order of use (RFC 8176).
    pub amr: Vec<Amr>,
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// When the session began.
    pub created_at: Timestamp,
    /// The last activity that has been written down; up to five minutes behind.
    pub last_seen_at: Timestamp,
    /// Absolute end.
    pub expires_at: Timestamp,
    /// It ends after this long without activity.
    pub inactivity: Duration,
    /// "Stay signed in" was ticked: the browser keeps the cookie when it closes.
    pub persistent: bool,
    /// Set once it has ended.
    pub ended: Option<Ended>,
    /// The browser, as it named itself; at most 256 bytes, for the person's own list.
    pub user_agent: String,
    /// Where the sign-in came from.
    pub ip: String,
}

/// When and why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The person signed out here.
    SignedOut,
    /// The person signed out everywhere.
    SignedOutEverywhere,
    /// The person ended it from the list of their sessions.
    EndedByUser,
    /// Somebody else, or the same person again, signed in in this browser.
    Replaced,
    /// The password was changed elsewhere.
    PasswordChanged,
    /// The user was disabled.
    UserDisabled,
    /// The user was removed.
    UserRemoved,
    /// An administrator ended it.
    EndedByAdmin,
    /// The database was restored from a backup taken before it.
    Restored,
    /// The upstream that it stood on has ended its own session, or the identity may not sign in there any more.
    UpstreamEnded,
    /// The upstream that it stood on could not be asked for too long.
    UpstreamAway,
}

impl EndReason {
    /// All of them, with the text that is stored and sent.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::SignedOut, "signed_out"),
        (Self::SignedOutEverywhere, "signed_out_everywhere"),
        (Self::EndedByUser, "ended_by_user"),
        (Self::Replaced, "replaced"),
        (Self::PasswordChanged, "password_changed"),
        (Self::UserDisabled, "user_disabled"),
        (Self::UserRemoved, "user_removed"),
        (Self::EndedByAdmin, "ended_by_admin"),
        (Self::Restored, "restored"),
        (Self::UpstreamEnded, "upstream_ended"),
        (Self::UpstreamAway, "upstream_away"),
    ];

    /// The text that is stored and sent.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or("ended", |(_, text)| text)
    }

    /// Whether the upstream that the session stood on is to end its own: whenever somebody here wanted it over.
    pub fn ends_upstream(self) -> bool {
        !matches!(self, Self::UpstreamEnded | Self::UpstreamAway | Self::Restored)
    }

    /// From the stored text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(reason, _)| *reason)
    }
}

/// Authentication context: how strong the sign-in was (NIST AAL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acr {
    /// One factor.
    Aal1,
    /// Two factors.
    Aal2,
}

impl Acr {
    /// `aal1`, `aal2`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
        }
    }

    /// From the stored text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Aal1, Self::Aal2].into_iter().find(|acr| acr.as_str() == text)
    }
}

/// Authentication method reference (RFC 8176).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amr {
    /// Password.
    Pwd,
    /// One-time password.
    Otp,
    /// Proof of possession of a hardware-secured key.
    Hwk,
    /// Proof of possession of a key, wherever it is kept: a passkey that an upstream has checked.
    Pop,
}

impl Amr {
    /// `pwd`, `otp`, `hwk`, `pop`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pwd => "pwd",
            Self::Otp => "otp",
            Self::Hwk => "hwk",
            Self::Pop => "pop",
        }
    }

    /// From the stored text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pwd, Self::Otp, Self::Hwk, Self::Pop].into_iter().find(|amr| amr.as_str() == text)
    }
}

/// How long sessions live. Defaults: protocol §15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Absolute lifetime.
    pub absolute: Duration,
    /// Inactivity timeout.
    pub inactivity: Duration,
    /// Absolute lifetime with "stay signed in".
    pub persistent_absolute: Duration,
    /// Inactivity timeout with "stay signed in".
    pub persistent_inactivity: Duration,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        Self {
            absolute: Duration::from_secs(24 * HOUR),
            inactivity: Duration::from_secs(HOUR),
            persistent_absolute: Duration::from_secs(30 * 24 * HOUR),
            persistent_inactivity: Duration::from_secs(7 * 24 * HOUR),
        }
    }
}

impl SessionPolicy {
    /// `(absolute, inactivity)` for one sign-in.
    pub fn lifetimes(&self, persistent: bool) -> (Duration, Duration) {
        if persistent {
            (self.persistent_absolute, self.persistent_inactivity)
        } else {
            (self.absolute, self.inactivity)
        }
    }
}

/// Why a session is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLive {
    /// Somebody ended it.
    Ended(EndReason),
    /// Its absolute lifetime is over.
    Expired,
    /// Nobody was there for too long.
    Inactive,
}

impl NotLive {
    /// The reason code for log, metrics and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended(_) => "session_ended",
            Self::Expired => "session_expired",
            Self::Inactive => "session_inactive",
        }
    }
}

impl Session {
    /// Whether it is live at `now`; the limits themselves are already too late.
    pub fn check(&self, now: Timestamp) -> Result<(), NotLive> {
        check(self.ended.map(|ended| ended.reason), self.expires_at, self.last_seen_at, self.inactivity, now)
    }
}

/// The rule itself, over the parts that the live view keeps.
pub fn check(
    ended: Option<EndReason>,
    expires_at: Timestamp,
    last_seen_at: Timestamp,
    inactivity: Duration,
    now: Timestamp,
) -> Result<(), NotLive> {
    if let Some(reason) = ended {
        Err(NotLive::Ended(reason))
    } else if now >= expires_at {
        Err(NotLive::Expired)
    } else if now.since(last_seen_at) >= inactivity {
        Err(NotLive::Inactive)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T64: lifetimes to the millisecond.
    #[test]
    fn ends_exactly_at_its_limits() {
        let start = Timestamp::from_seconds(1_000_000);
        let hour = Duration::from_hours(1);
        let end = start + Duration::from_hours(2);
        let tick = Duration::from_millis(1);
        assert_eq!(check(None, end, start, hour, start + hour - tick), Ok(()));
        assert_eq!(check(None, end, start, hour, start + hour), Err(NotLive::Inactive));
        assert_eq!(check(None, end, end - tick, hour, end - tick), Ok(()));
        assert_eq!(check(None, end, end - tick, hour, end), Err(NotLive::Expired));
        let ended = Some(EndReason::SignedOut);
        assert_eq!(check(ended, end, start, hour, start), Err(NotLive::Ended(EndReason::SignedOut)));
    }

    #[test]
    fn every_reason_survives_its_text() {
        for (reason, text) in EndReason::ALL {
            assert_eq!(EndReason::parse(text), Some(reason));
            assert_eq!(reason.as_str(), text);
            assert_eq!(serde_json::to_string(&reason).expect("serializes"), format!("\"{text}\""));
        }
    }
}
