//! What was acknowledged, in the order in which it was, and what was in flight when the processes died.

use std::collections::HashMap;
use std::time::Instant;

use hallpass_core::id::{RoleId, SessionId, UserId};
use parking_lot::Mutex;

use crate::door::SignedIn;

/// Changes of one kind.
#[derive(Debug)]
pub struct Track<T> {
    /// Acknowledged: must have happened.
    pub done: Vec<T>,
    /// Asked for, never answered: may have happened, wholly or not at all.
    pub in_flight: Vec<T>,
}

impl<T> Default for Track<T> {
    fn default() -> Self {
        Self { done: Vec::new(), in_flight: Vec::new() }
    }
}

impl<T: PartialEq> Track<T> {
    /// Whether it must, may or must not have happened.
    pub fn expects(&self, what: &T) -> Expected {
        if self.done.contains(what) {
            Expected::Yes
        } else if self.in_flight.contains(what) {
            Expected::Either
        } else {
            Expected::No
        }
    }

    fn append(&mut self, other: Self) {
        self.done.extend(other.done);
        self.in_flight.extend(other.in_flight);
    }
}

/// What must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It happened.
    Yes,
    /// It did not.
    No,
    /// Nobody can know.
    Either,
}

impl Expected {
    /// Whether what was found is what must be.
    pub fn fits(self, found: bool) -> bool {
        match self {
            Self::Yes => found,
            Self::No => !found,
            Self::Either => true,
        }
    }
}

/// Everything that one worker, or all of them, did.
#[derive(Default)]
pub struct Ledger {
    /// Sessions ended one by one.
    pub signed_out: Track<SessionId>,
    /// People signed out everywhere.
    pub signed_out_everywhere: Track<UserId>,
    /// People disabled.
    pub disabled: Track<UserId>,
    /// Sign-ins that were answered.
    pub signed_in: Vec<SignedIn>,
    /// People whose sign-in was in flight.
    pub signing_in: Vec<UserId>,
    /// How often each role of each person was changed, and acknowledged.
    pub role_changes: HashMap<(UserId, RoleId), u32>,
    /// The role changes in flight.
    pub changing_roles: Vec<(UserId, RoleId)>,
    /// Answers to introspection.
    pub introspected: u32,
    /// What went wrong before anybody was killed.
    pub problems: Vec<String>,
}

impl Ledger {
    /// Takes in what another worker did.
    pub fn append(&mut self, other: Self) {
        self.signed_out.append(other.signed_out);
        self.signed_out_everywhere.append(other.signed_out_everywhere);
        self.disabled.append(other.disabled);
        self.signed_in.extend(other.signed_in);
        self.signing_in.extend(other.signing_in);
        self.role_changes.extend(other.role_changes);
        self.changing_roles.extend(other.changing_roles);
        self.introspected += other.introspected;
        self.problems.extend(other.problems);
    }

    /// How many changes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let ended = self.signed_out.done.len() + self.signed_out_everywhere.done.len() + self.disabled.done.len();
        ended + self.signed_in.len() + self.role_changes.values().sum::<u32>() as usize
    }

    /// How many were in flight.
    pub fn in_flight(&self) -> usize {
        let ending = [&self.signed_out_everywhere, &self.disabled].map(|track| track.in_flight.len());
        let ending = ending.iter().sum::<usize>() + self.signed_out.in_flight.len();
        ending + self.signing_in.len() + self.changing_roles.len()
    }
}

/// How the end of a session stands, for those who ask about it meanwhile.
#[derive(Debug, Clone, Copy)]
pub enum Ending {
    /// Somebody is about to end it.
    Begun,
    /// Acknowledged; from then on no answer may be active.
    InactiveFrom(Instant),
}

/// The endings of all sessions, shared by all workers.
#[derive(Default)]
pub struct Endings(Mutex<HashMap<SessionId, Ending>>);

impl Endings {
    /// How it stands; `None`: nobody has touched it.
    pub fn of(&self, session: SessionId) -> Option<Ending> {
        self.0.lock().get(&session).copied()
    }

    /// Notes it for each of them.
    pub fn note(&self, sessions: impl IntoIterator<Item = SessionId>, ending: Ending) {
        self.0.lock().extend(sessions.into_iter().map(|session| (session, ending)));
    }
}
