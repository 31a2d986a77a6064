//! The audit log (protocol §19): every event there is, who acts, how it went. Append-only, written in the transaction of the effect.
//!
//! An entry takes identifiers, checked names, numbers and words from our source, never a run-time text: a secret or a password cannot be put
//! into one by accident.
//!
//! ```compile_fail
//! # let entry: hallpass_core::audit::Entry = todo!();
//! # let secret: hallpass_core::secret::Secret<hallpass_core::secret::SecretKey> = todo!();
//! entry.with("secret", &*secret.expose());
//! ```

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::app::{Access, FirstContact, Origin};
use crate::crypto::Random;
use crate::id::{
    AppKey, Audience, AuditId, GroupId, GroupName, InvalidId, KeyId, PermissionName, RoleId, RoleName, SecretId,
    SessionId, Subject, UpstreamName, UserId, ZoneName,
};
use crate::jose::Refused;
use crate::oidc::Resources;
use crate::session::{EndReason, NotLive};
use crate::time::Timestamp;
use crate::upstream::UpstreamId;
use crate::user::Username;

/// Declares a closed list of words that are stored and sent.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text that is stored and sent.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// From the stored text.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What happened.
    Event {
        /// A user was added, by hand, by `apply` or by import.
        UserAdded = "user_added",
        /// Display name, e-mail or attributes changed.
        UserChanged = "user_changed",
        /// A user may no longer sign in; their sessions ended.
        UserDisabled = "user_disabled",
        /// A disabled user may sign in again.
        UserEnabled = "user_enabled",
        /// A user was removed with everything assigned to them.
        UserRemoved = "user_removed",
        /// A file of users was imported; each user has an entry of their own.
        UsersImported = "users_imported",
        /// The person chose a new password.
        PasswordChanged = "password_changed",
        /// An administrator set a password.
        PasswordSet = "password_set",
        /// The person proved who they are and a session began.
        SignedIn = "signed_in",
        /// Somebody did not prove who they are, or may not sign in.
        SignInRefused = "sign_in_refused",
        /// A sign-in was turned away before anything was verified.
        SignInThrottled = "sign_in_throttled",
        /// Another root domain was told who is signed in, and got its pass.
        HandedOff = "handed_off",
        /// A handoff came back that this browser did not begin, or that is not what it began.
        HandoffRefused = "handoff_refused",
        /// An OIDC client redeemed an authorization code for tokens.
        TokensIssued = "tokens_issued",
        /// An OIDC client presented a code or a refresh token that is not good for it.
        TokensRefused = "tokens_refused",
        /// The tokens that came of one authorization code are good no longer.
        TokensRevoked = "tokens_revoked",
        /// A person allowed a device to act in their name.
        DeviceAllowed = "device_allowed",
        /// A person turned a device away.
        DeviceDenied = "device_denied",
        /// The person allowed somebody else's app to learn who they are.
        ConsentGiven = "consent_given",
        /// The person took that back; the app's tokens for them ended.
        ConsentRevoked = "consent_revoked",
        /// The person signed out, here or everywhere.
        SignedOut = "signed_out",
        /// An app could not be told of the end of a session for a day.
        SignOutUndelivered = "sign_out_undelivered",
        /// An administrator said that a user's mail address is theirs.
        EmailVerified = "email_verified",
        /// Somebody was tied to their identity at an upstream: from now on who signs in there is this user here.
        UpstreamLinked = "upstream_linked",
        /// The person undid that.
        UpstreamUnlinked = "upstream_unlinked",
        /// An upstream said that a session has ended there, and its word was not taken.
        UpstreamSignOutRefused = "upstream_sign_out_refused",
        /// An upstream could not be told for a day that a session has ended here.
        UpstreamSignOutUndelivered = "upstream_sign_out_undelivered",
        /// A session ended for any other reason.
        SessionEnded = "session_ended",
        /// One browser showed the passes of several sessions: cookie tossing, or two people at one browser.
        PassesConflicted = "passes_conflicted",
        /// A browser came back for a pass again and again.
        PassRefreshLooped = "pass_refresh_looped",
        /// A group was added.
        GroupAdded = "group_added",
        /// A group was removed with its memberships.
        GroupRemoved = "group_removed",
        /// A user joined a group.
        GroupMemberAdded = "group_member_added",
        /// A user left a group.
        GroupMemberRemoved = "group_member_removed",
        /// An app was registered.
        AppAdded = "app_added",
        /// An app's origins, access rule or other settings changed.
        AppChanged = "app_changed",
        /// An app gets no more answers.
        AppDisabled = "app_disabled",
        /// A disabled app gets answers again.
        AppEnabled = "app_enabled",
        /// An app was removed with its roles and secrets.
        AppRemoved = "app_removed",
        /// An app has a new secret.
        AppSecretMinted = "app_secret_minted",
        /// One of an app's secrets is refused from now on.
        AppSecretRemoved = "app_secret_removed",
        /// A role was added.
        RoleAdded = "role_added",
        /// A role's permissions changed.
        RoleChanged = "role_changed",
        /// A role was removed from everybody.
        RoleRemoved = "role_removed",
        /// A user or group was given a role.
        RoleGranted = "role_granted",
        /// A role was taken from a user or group.
        RoleWithdrawn = "role_withdrawn",
        /// A user or group was given a permission without a role.
        PermissionGranted = "permission_granted",
        /// Such a permission was taken away.
        PermissionWithdrawn = "permission_withdrawn",
        /// A zone was added.
        ZoneAdded = "zone_added",
        /// A zone's cookie changed.
        ZoneChanged = "zone_changed",
        /// A zone was removed.
        ZoneRemoved = "zone_removed",
        /// A signing key was made and published.
        KeyAdded = "key_added",
        /// Another signing key signs from now on.
        KeyRotated = "key_rotated",
        /// A signing key is no longer accepted.
        KeyRemoved = "key_removed",
        /// Somebody called our API as an app, with a wrong secret.
        CallerRefused = "caller_refused",
        /// An app asked about a token and got "inactive" for a reason that is worth looking at ([`InactiveReason::class`]).
        IntrospectionRefused = "introspection_refused",
        /// A form or request came from another site, or without its token.
        CsrfRefused = "csrf_refused",
        /// A token for calling another service was issued.
        RequestTokenIssued = "request_token_issued",
        /// Settings were applied from a file; each change has an entry of its own.
        ConfigurationApplied = "configuration_applied",
        /// A backup was written.
        BackupTaken = "backup_taken",
        /// The database was restored; sessions younger than the backup ended.
        BackupRestored = "backup_restored",
        /// We would not send a request to a configured address.
        OutgoingRequestRefused = "outgoing_request_refused",
        /// An alert began.
        AlertRaised = "alert_raised",
        /// An alert is over.
        AlertCleared = "alert_cleared",
    }
}

words! {
    /// How it went.
    Outcome {
        /// It took effect.
        Done = "done",
        /// We would not.
        Refused = "refused",
        /// We could not.
        Failed = "failed",
    }
}

words! {
    /// Why introspection answered `{"active":false}`. The caller is never told; log, metrics and audit are.
    InactiveReason {
        /// No token of ours, at sight.
        Malformed = "malformed",
        /// Signed under a key id that is not ours, or not any more.
        UnknownKey = "unknown_key",
        /// The key is ours, the signature is not.
        BadSignature = "bad_signature",
        /// Its own lifetime is over.
        Expired = "expired",
        /// Issued in the future by more than clocks may differ.
        NotYetValid = "not_yet_valid",
        /// A pass of another zone.
        WrongZone = "wrong_zone",
        /// Signed by us under another public address.
        WrongIssuer = "wrong_issuer",
        /// Ours, but of another kind: an ID token or a handoff shown as a pass.
        WrongType = "wrong_type",
        /// A version of the format that this program does not know.
        UnknownVersion = "unknown_version",
        /// Claims are missing or have other types although the signature is right.
        BadClaims = "bad_claims",
        /// Properly signed for a session that is not there, although rows outlive passes: forged with a stolen key, or the database was
        /// restored.
        SessionUnknown = "session_unknown",
        /// The session was ended.
        SessionEnded = "session_ended",
        /// The session's absolute lifetime is over.
        SessionExpired = "session_expired",
        /// Nobody was there for too long.
        SessionInactive = "session_inactive",
        /// The user may not sign in any more.
        UserDisabled = "user_disabled",
        /// The user must choose a new password first.
        PasswordChangeRequired = "password_change_required",
        /// The user is gone.
        UserUnknown = "user_unknown",
        /// The user may not enter this app.
        NoAccess = "no_access",
        /// The app gets no answers.
        AppDisabled = "app_disabled",
    }
}

/// What an inactive answer says about the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InactiveClass {
    /// Everyday life: people go home, passes expire, scanners send garbage.
    Ordinary,
    /// Somebody shows tokens that nobody was given, or carries them where they do not belong.
    LooksLikeTheft,
    /// Two of our own programs disagree: keys, addresses, versions, clocks.
    LooksLikeMisconfiguration,
}

impl InactiveReason {
    /// Which alert counts it.
    pub fn class(self) -> InactiveClass {
        match self {
            Self::Malformed
            | Self::Expired
            | Self::SessionEnded
            | Self::SessionExpired
            | Self::SessionInactive
            | Self::UserDisabled
            | Self::PasswordChangeRequired
            | Self::UserUnknown
            | Self::NoAccess
            | Self::AppDisabled => InactiveClass::Ordinary,
            Self::BadSignature | Self::WrongZone | Self::WrongType | Self::SessionUnknown => {
                InactiveClass::LooksLikeTheft
            }
            Self::UnknownKey | Self::NotYetValid | Self::WrongIssuer | Self::UnknownVersion | Self::BadClaims => {
                InactiveClass::LooksLikeMisconfiguration
            }
        }
    }
}

impl From<NotLive> for InactiveReason {
    fn from(not_live: NotLive) -> Self {
        match not_live {
            NotLive::Ended(_) => Self::SessionEnded,
            NotLive::Expired => Self::SessionExpired,
            NotLive::Inactive => Self::SessionInactive,
        }
    }
}

impl From<Refused> for InactiveReason {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLong | Refused::Malformed | Refused::WrongAlgorithm | Refused::WrongAudience => Self::Malformed,
            Refused::WrongType => Self::WrongType,
            Refused::UnknownKey => Self::UnknownKey,
            Refused::BadSignature => Self::BadSignature,
            Refused::UnknownVersion => Self::UnknownVersion,
            Refused::WrongIssuer => Self::WrongIssuer,
            Refused::WrongZone => Self::WrongZone,
            Refused::LivesTooLong => Self::BadClaims,
            Refused::Expired => Self::Expired,
            Refused::NotYetValid => Self::NotYetValid,
        }
    }
}

/// Who acts. Stored as `system`, `cli`, `anonymous`, `user:u_…`, `app:pos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The engine itself: schedules, clean-up.
    System,
    /// An administrator at the command line, who could also open the database.
    Cli,
    /// Somebody who has not proved who they are.
    Anonymous,
    /// A person.
    User(UserId),
    /// An application.
    App(AppKey),
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => formatter.write_str("system"),
            Self::Cli => formatter.write_str("cli"),
            Self::Anonymous => formatter.write_str("anonymous"),
            Self::User(id) => write!(formatter, "user:{id}"),
            Self::App(key) => write!(formatter, "app:{key}"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once(':') {
            None if text == "system" => Ok(Self::System),
            None if text == "cli" => Ok(Self::Cli),
            None if text == "anonymous" => Ok(Self::Anonymous),
            Some(("user", id)) => id.parse().map(Self::User),
            Some(("app", key)) => key.parse().map(Self::App),
            _ => Err(InvalidId("actor")),
        }
    }
}

/// One entry, as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its own.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: Event,
    /// How it went.
    pub outcome: Outcome,
    /// Why, where it was refused or failed: a code from our source, such as `wrong_password`.
    pub reason: Option<Cow<'static, str>>,
    /// On whom.
    pub user: Option<UserId>,
    /// In which session.
    pub session: Option<SessionId>,
    /// Which app.
    pub app: Option<AppKey>,
    /// From where.
    pub ip: Option<IpAddr>,
    /// What else; an object, written by [`Entry::with`] only.
    pub detail: Value,
}

impl Entry {
    /// Something was done.
    pub fn new(event: Event, actor: Actor, now: Timestamp, random: &mut dyn Random) -> Self {
        Self {
            id: AuditId::mint(now, random),
            at: now,
            actor,
            event,
            outcome: Outcome::Done,
            reason: None,
            user: None,
            session: None,
            app: None,
            ip: None,
            detail: Value::Object(Map::new()),
        }
    }

    /// We would not do it.
    #[must_use]
    pub fn refused(mut self, reason: &'static str) -> Self {
        (self.outcome, self.reason) = (Outcome::Refused, Some(Cow::Borrowed(reason)));
        self
    }

    /// We could not do it.
    #[must_use]
    pub fn failed(mut self, reason: &'static str) -> Self {
        (self.outcome, self.reason) = (Outcome::Failed, Some(Cow::Borrowed(reason)));
        self
    }

    /// Whom it concerns.
    #[must_use]
    pub fn user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// The session it happened in, or to.
    #[must_use]
    pub fn session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Which app it concerns.
    #[must_use]
    pub fn app(mut self, app: &AppKey) -> Self {
        self.app = Some(app.clone());
        self
    }

    /// Where the request came from.
    #[must_use]
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip.to_canonical());
        self
    }

    /// One more member of `detail`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &impl Loggable) -> Self {
        if let Value::Object(members) = &mut self.detail {
            members.insert(name.to_owned(), value.to_detail());
        }
        self
    }
}

mod sealed {
    pub trait Sealed {}
}

/// What may stand in `detail`: closed to types of this crate whose every value is harmless. Not `&str`, not `String`.
pub trait Loggable: sealed::Sealed {
    /// As JSON.
    fn to_detail(&self) -> Value;
}

macro_rules! loggable {
    ($($name:ty => |$value:ident| $json:expr;)*) => {$(
        impl sealed::Sealed for $name {}
        impl Loggable for $name {
            fn to_detail(&self) -> Value {
                let $value = self;
                Value::from($json)
            }
        }
    )*};
}

loggable! {
    UserId => |id| id.to_string();
    SessionId => |id| id.to_string();
    GroupId => |id| id.to_string();
    RoleId => |id| id.to_string();
    SecretId => |id| id.to_string();
    KeyId => |id| id.to_string();
    AppKey => |name| name.as_str();
    ZoneName => |name| name.as_str();
    PermissionName => |name| name.as_str();
    RoleName => |name| name.as_str();
    GroupName => |name| name.as_str();
    Audience => |name| name.as_str();
    Resources => |names| names.to_string();
    Username => |name| name.as_str();
    UpstreamId => |id| id.as_str();
    UpstreamName => |name| name.as_str();
    Subject => |subject| subject.as_str();
    Origin => |origin| origin.as_str();
    InactiveReason => |reason| reason.as_str();
    EndReason => |reason| reason.as_str();
    Access => |access| match access {
        Access::Assigned => "assigned",
        Access::Everyone => "everyone",
    };
    FirstContact => |first_contact| match first_contact {
        FirstContact::Trust => "trust",
        FirstContact::Confirm => "confirm",
    };
    bool => |flag| *flag;
    u32 => |count| *count;
    u64 => |count| *count;
    Timestamp => |at| at.as_millis();
}

/// A word from our source. Its own type, because a leaked or borrowed run-time text must not pass for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(pub &'static str);

impl sealed::Sealed for Word {}

impl Loggable for Word {
    fn to_detail(&self) -> Value {
        Value::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::crypto::tests::Seeded;
    use crate::session::NotLive;

    #[test]
    fn every_word_survives_its_text_and_none_stands_for_two() {
        fn check<T: Copy + PartialEq + fmt::Debug>(
            all: &[T],
            text: fn(T) -> &'static str,
            parse: fn(&str) -> Option<T>,
        ) {
            let texts: HashSet<_> = all.iter().map(|word| text(*word)).collect();
            assert_eq!(texts.len(), all.len());
            for word in all {
                assert_eq!(parse(text(*word)), Some(*word));
                assert!(text(*word).bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word:?}");
            }
            assert_eq!(parse(""), None);
        }
        check(Event::ALL, Event::as_str, Event::parse);
        check(Outcome::ALL, Outcome::as_str, Outcome::parse);
        check(InactiveReason::ALL, InactiveReason::as_str, InactiveReason::parse);
    }

    #[test]
    fn a_session_that_is_not_live_has_a_reason_here() {
        for why in [NotLive::Ended(EndReason::SignedOut), NotLive::Expired, NotLive::Inactive] {
            let reason = InactiveReason::parse(why.as_str()).expect("the same words");
            assert_eq!(reason.class(), InactiveClass::Ordinary);
        }
    }

    #[test]
    fn an_actor_survives_its_text() {
        let user = UserId::mint(&mut Seeded(1));
        let app: AppKey = "pos".parse().expect("valid");
        for actor in [Actor::System, Actor::Cli, Actor::Anonymous, Actor::User(user), Actor::App(app)] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for bad in ["", "root", "user:", "user:pos", "app:", "app:a b", "system:", "cli:x"] {
            assert!(bad.parse::<Actor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_entry_says_who_on_whom_from_where_and_why() {
        let random = &mut Seeded(1);
        let (user, session) = (UserId::mint(random), SessionId::mint(random));
        let app: AppKey = "pos".parse().expect("valid");
        let now = Timestamp::from_seconds(5);
        let entry = Entry::new(Event::SignInRefused, Actor::Anonymous, now, random)
            .user(user)
            .session(session)
            .app(&app)
            .ip("::ffff:10.0.0.1".parse().expect("an address"))
            .with("method", &Word("pwd"))
            .with("attempt", &3u32)
            .with("zone", &"home".parse::<ZoneName>().expect("valid"))
            .refused("wrong_password");
        assert_eq!((entry.outcome, entry.reason.as_deref()), (Outcome::Refused, Some("wrong_password")));
        assert_eq!((entry.user, entry.session, entry.app, entry.at), (Some(user), Some(session), Some(app), now));
        assert_eq!(entry.ip, Some("10.0.0.1".parse().expect("an address")));
        assert_eq!(entry.detail, serde_json::json!({"method": "pwd", "attempt": 3, "zone": "home"}));
        let done = Entry::new(Event::UserAdded, Actor::Cli, now, random);
        assert_eq!((done.outcome, done.reason), (Outcome::Done, None));
    }
}
