//! Signing in: which proofs are enough, and what comes next (NIST SP 800-63B §2, protocol §6).
//!
//! [`Authenticated`] is what starts a session, and only this file makes one. [`next_step`] is the rule behind `/continue`: it looks at
//! stored state alone, so that no step can be skipped by asking for a later one (advisory T69).

use crate::authenticator::password::Verdict;
use crate::id::UserId;
use crate::session::{Acr, Amr, Session, SessionPolicy};
use crate::time::Timestamp;
use crate::upstream::Accepted;
use crate::upstream::oidc::Identity;
use crate::user::User;

/// Proof that a person is who they say, strong enough for a session. Made by [`by_password`], [`by_upstream`] and [`by_identity`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    user_id: UserId,
    acr: Acr,
    amr: Vec<Amr>,
    at: Timestamp,
}

/// Why a sign-in was refused: for log and audit. The person reads the same words and waits the same time in every case (advisory T77).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInRefused {
    /// Nobody has that name.
    UnknownUser,
    /// The user has no password: added without one, or imported without one.
    NoPassword,
    /// Not the user's password.
    WrongPassword,
    /// The password was right, but the user may not sign in.
    UserDisabled,
}

impl SignInRefused {
    /// The reason code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::NoPassword => "no_password",
            Self::WrongPassword => "wrong_password",
            Self::UserDisabled => "user_disabled",
        }
    }
}

/// What verifying a password against a user's stored one came to. The caller has verified in every case, against a dummy where there was nothing.
#[derive(Debug, Clone, Copy)]
pub enum PasswordChecked<'a> {
    /// No such user.
    NoUser,
    /// A user without a password.
    NoHash,
    /// A user, and what their own hash said.
    Verified(&'a User, Verdict),
}

/// Judges a password sign-in. One factor, so `aal1`.
pub fn by_password(checked: PasswordChecked<'_>, now: Timestamp) -> Result<Authenticated, SignInRefused> {
    let user = match checked {
        PasswordChecked::NoUser => return Err(SignInRefused::UnknownUser),
        PasswordChecked::NoHash => return Err(SignInRefused::NoPassword),
        PasswordChecked::Verified(_, Verdict::Wrong) => return Err(SignInRefused::WrongPassword),
        PasswordChecked::Verified(user, Verdict::Right | Verdict::RightButRehash) => user,
    };
    // After the password: otherwise anybody could find out who is disabled.
    if user.disabled_at.is_some() {
        return Err(SignInRefused::UserDisabled);
    }
    Ok(Authenticated { user_id: user.id, acr: Acr::Aal1, amr: vec![Amr::Pwd], at: now })
}

/// Judges a sign-in by way of an upstream whose word has been accepted: as strong, and as old, as it is there.
pub fn by_upstream(user: &User, accepted: &Accepted, now: Timestamp) -> Result<Authenticated, SignInRefused> {
    if user.disabled_at.is_some() {
        return Err(SignInRefused::UserDisabled);
    }
    let session = accepted.session();
    // Their clock may be a little ahead; ours is the one that counts.
    let at = session.authenticated_at.min(now);
    Ok(Authenticated { user_id: user.id, acr: accepted.acr(), amr: session.amr.clone(), at })
}

/// Judges a sign-in by the ID token of another provider that is everything it must be: as strong, and as old, as it says.
pub fn by_identity(user: &User, identity: &Identity) -> Result<Authenticated, SignInRefused> {
    if user.disabled_at.is_some() {
        return Err(SignInRefused::UserDisabled);
    }
    let (acr, amr, at) = (identity.acr(), identity.amr().to_vec(), identity.authenticated_at());
    Ok(Authenticated { user_id: user.id, acr, amr, at })
}

impl Authenticated {
    /// Who.
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// How strongly.
    pub fn acr(&self) -> Acr {
        self.acr
    }

    /// By what, in order of use.
    pub fn amr(&self) -> &[Amr] {
        &self.amr
    }

    /// When: `auth_time`.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// The session as it goes on, once its own person has proved anew who they are: a step-up ends nothing. `None` if the proof is somebody else's, whom a
/// session is never handed to (advisory T47), or weaker than the one before (advisory T71): then another session takes its place.
pub fn renewed(
    session: &Session,
    proof: &Authenticated,
    persistent: bool,
    policy: &SessionPolicy,
    now: Timestamp,
) -> Option<Session> {
    if session.user_id != proof.user_id || proof.acr < session.acr {
        return None;
    }
    let persistent = session.persistent || persistent;
    let (absolute, inactivity) = policy.lifetimes(persistent);
    Some(Session {
        acr: proof.acr,
        amr: proof.amr.clone(),
        authenticated_at: proof.at,
        last_seen_at: now,
        expires_at: now + absolute,
        inactivity,
        persistent,
        ..session.clone()
    })
}

/// Where the person wanted to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere in particular: their own pages.
    Account,
    /// To an app.
    App {
        /// It is registered and not disabled, and this user may enter it.
        admitted: bool,
    },
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for a new password. Until there is one the session opens no app: introspection answers "inactive".
    ChangePassword,
    /// Tell them that they are signed in but may not enter the app. Sending them there would send them back here, for ever.
    NoAccess,
    /// Give the browser a pass and send it to the app.
    Return,
    /// Show their own pages.
    Account,
}

/// The rule of `/continue`, for somebody with a live session.
///
/// ```text
///  signed in ── must change the password? ─yes─▶ ChangePassword
///      │
///      ├─ no app ──────────────▶ Account
///      ├─ not admitted ────────▶ NoAccess
///      └─ admitted ────────────▶ Return
/// ```
pub fn next_step(must_change_password: bool, destination: Destination) -> Step {
    match (must_change_password, destination) {
        (true, _) => Step::ChangePassword,
        (false, Destination::Account) => Step::Account,
        (false, Destination::App { admitted: false }) => Step::NoAccess,
        (false, Destination::App { admitted: true }) => Step::Return,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::crypto::tests::Seeded;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn ana() -> User {
        User {
            id: UserId::mint(&mut Seeded(1)),
            username: "ana".parse().expect("valid"),
            display_name: "Ana".parse().expect("valid"),
            email: None,
            attributes: BTreeMap::new(),
            disabled_at: None,
            must_change_password: false,
            created_at: NOW,
        }
    }

    #[test]
    fn only_a_right_password_of_an_enabled_user_is_enough() {
        let ana = ana();
        for right in [Verdict::Right, Verdict::RightButRehash] {
            let proof = by_password(PasswordChecked::Verified(&ana, right), NOW).expect("enough");
            assert_eq!(
                (proof.user_id(), proof.acr(), proof.amr(), proof.at()),
                (ana.id, Acr::Aal1, &[Amr::Pwd][..], NOW)
            );
        }
        let refused = |checked| by_password(checked, NOW).expect_err("refused").as_str();
        assert_eq!(refused(PasswordChecked::Verified(&ana, Verdict::Wrong)), "wrong_password");
        assert_eq!(refused(PasswordChecked::NoUser), "unknown_user");
        assert_eq!(refused(PasswordChecked::NoHash), "no_password");
        let disabled = User { disabled_at: Some(NOW), ..ana.clone() };
        assert_eq!(refused(PasswordChecked::Verified(&disabled, Verdict::Right)), "user_disabled");
        assert_eq!(refused(PasswordChecked::Verified(&disabled, Verdict::Wrong)), "wrong_password");
    }

    /// T47, T71.
    #[test]
    fn only_the_same_person_with_a_proof_as_strong_goes_on_in_the_same_session() {
        let ana = ana();
        let proof = by_password(PasswordChecked::Verified(&ana, Verdict::Right), NOW).expect("enough");
        let hour = std::time::Duration::from_hours(1);
        let session = Session {
            id: crate::id::SessionId::mint(&mut Seeded(2)),
            user_id: ana.id,
            acr: Acr::Aal1,
            amr: vec![Amr::Pop],
            authenticated_at: NOW - hour,
            created_at: NOW - hour,
            last_seen_at: NOW - hour,
            expires_at: NOW + hour,
            inactivity: hour,
            persistent: true,
            ended: None,
            user_agent: "Firefox".to_owned(),
            ip: String::new(),
        };
        let policy = SessionPolicy::default();
        let next = renewed(&session, &proof, false, &policy, NOW).expect("goes on");
        assert_eq!((next.id, next.created_at, &*next.user_agent), (session.id, session.created_at, "Firefox"));
        assert_eq!((next.authenticated_at, next.amr.as_slice(), next.persistent), (NOW, &[Amr::Pwd][..], true));
        assert_eq!(next.expires_at, NOW + policy.persistent_absolute);
        let others = Session { user_id: UserId::mint(&mut Seeded(3)), ..session.clone() };
        let stronger = Session { acr: Acr::Aal2, ..session };
        for refused in [others, stronger] {
            assert_eq!(renewed(&refused, &proof, false, &policy, NOW), None);
        }
    }

    /// T69: nothing but a new password moves the person past "must change", whatever the destination.
    #[test]
    fn no_step_is_skipped() {
        let places = [Destination::Account, Destination::App { admitted: false }, Destination::App { admitted: true }];
        assert_eq!(places.map(|place| next_step(true, place)), [Step::ChangePassword; 3]);
        assert_eq!(places.map(|place| next_step(false, place)), [Step::Account, Step::NoAccess, Step::Return]);
    }
}
