//! Users in memory, each with the envelopes already worked out for the apps that asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hallpass_core::crypto;
use hallpass_core::id::UserId;
use hallpass_core::user::User;
use hashbrown::HashSet;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use triomphe::ThinArc;

use super::policy::{Policy, Rendered};
use super::{DenseMap, Shards};
use crate::roles::UserFacts;

/// Where a user stands towards one app.
#[derive(Debug, Clone)]
pub enum Standing {
    /// May enter.
    Admitted(EnvelopeView),
    /// There is no such user (any more).
    Unknown,
    /// May not sign in at all.
    Disabled,
    /// Must choose a new password first.
    MustChangePassword,
    /// Has no business in this app.
    NoAccess,
}

/// What an answer about a user says to one app, apart from the session.
#[derive(Debug, Clone)]
pub struct EnvelopeView {
    /// Roles and permissions, already written as JSON; shared by everybody who has the same.
    pub rights: Arc<Rendered>,
    /// The user's names and attributes, already written as JSON.
    pub user: UserView,
    /// Changes whenever anything in the envelope does.
    pub version: [u8; 12],
}

/// A user in memory, shared. There is one for every user with a live session, so it is kept small: some 180 bytes in one piece, with the text that answers
/// repeat at its end.
#[derive(Debug, Clone)]
pub struct UserView(ThinArc<Facts, u8>);

#[derive(Debug)]
struct Facts {
    /// Whether this is what is kept of the user. Sessions point at their users, and must not follow that to one who has changed since.
    current: AtomicBool,
    disabled: bool,
    must_change_password: bool,
    held: Arc<UserFacts>,
    /// By app: what was worked out, and from which generation of the policy. Most people use few apps.
    envelopes: Mutex<SmallVec<[Worked; 1]>>,
}

#[derive(Debug)]
struct Worked {
    rights: Arc<Rendered>,
    generation: u32,
    app: u32,
    version: [u8; 12],
    admitted: bool,
}

impl UserView {
    pub(super) fn new(user: &User, held: Arc<UserFacts>) -> Self {
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let attributes = serde_json::to_string(&user.attributes).expect("a map with text keys is JSON");
        let (username, name) = (json(user.username.as_str()), json(user.display_name.as_str()));
        let members = ["\"username\":", &username, ",\"name\":", &name, ",\"attributes\":", &attributes].concat();
        let facts = Facts {
            current: AtomicBool::new(false),
            disabled: user.disabled_at.is_some(),
            must_change_password: user.must_change_password,
            held,
            envelopes: Mutex::default(),
        };
        Self(ThinArc::from_header_and_slice(facts, members.as_bytes()))
    }

    /// `"username":"ana","name":"Ana María","attributes":{…}`: the members of an answer, without braces, in UTF-8.
    pub fn members_json(&self) -> &[u8] {
        &self.0.slice
    }

    /// Whether nothing has changed since it was read, as far as this process has heard.
    pub(super) fn is_current(&self) -> bool {
        self.facts().current.load(Ordering::Acquire)
    }

    fn facts(&self) -> &Facts {
        &self.0.header.header
    }

    pub(super) fn standing(&self, policy: &Arc<Policy>, app: usize) -> Standing {
        let facts = self.facts();
        if facts.disabled {
            return Standing::Disabled;
        }
        if facts.must_change_password {
            return Standing::MustChangePassword;
        }
        let slot = policy.apps[app].slot;
        let mut envelopes = facts.envelopes.lock();
        let current = |worked: &Worked| worked.app == slot && worked.generation == policy.generation;
        let index = envelopes.iter().position(current).unwrap_or_else(|| {
            envelopes.retain(|worked| worked.app != slot);
            // To the entry: a vector that doubles would take more than all the rest.
            envelopes.reserve_exact(1);
            envelopes.push(self.work_out(policy, app, slot));
            envelopes.len() - 1
        });
        let worked = &envelopes[index];
        if worked.admitted {
            Standing::Admitted(EnvelopeView {
                rights: worked.rights.clone(),
                user: self.clone(),
                version: worked.version,
            })
        } else {
            Standing::NoAccess
        }
    }

    fn work_out(&self, policy: &Policy, app: usize, slot: u32) -> Worked {
        let rights = policy.rights(&self.facts().held, app);
        let admitted = rights.admit(policy.apps[app].app.access);
        let rendered = policy.render(rights);
        let mut framed = Vec::with_capacity(256);
        for part in [rendered.members_json.as_bytes(), self.members_json()] {
            framed.extend_from_slice(&part.len().to_be_bytes());
            framed.extend_from_slice(part);
        }
        let mut version = [0u8; 12];
        version.copy_from_slice(&crypto::sha256(&framed)[..12]);
        Worked { rights: rendered, generation: policy.generation, app: slot, version, admitted }
    }
}

#[derive(Default)]
struct Shard {
    entries: DenseMap<Kept>,
    epoch: u64,
}

/// A user in memory. Whoever has been given it sees by itself when it no longer is, for whatever reason.
struct Kept(UserView);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.facts().current.store(false, Ordering::Release);
    }
}

/// All users in memory.
pub(super) struct Users {
    shards: Shards<Shard>,
    /// Most people hold what many others hold.
    facts: Mutex<HashSet<Arc<UserFacts>>>,
}

impl Users {
    pub(super) fn new(maximum: usize) -> Self {
        Self { shards: Shards::new(maximum), facts: Mutex::default() }
    }

    /// These facts, shared with everybody who holds the same.
    pub(super) fn share(&self, facts: UserFacts) -> Arc<UserFacts> {
        let mut known = self.facts.lock();
        if let Some(shared) = known.get(&facts) {
            return shared.clone();
        }
        if known.len() == known.capacity() {
            // Before it grows: what nobody holds any more goes.
            known.retain(|shared| Arc::strong_count(shared) > 1);
        }
        let shared = Arc::new(facts);
        known.insert(shared.clone());
        shared
    }

    pub(super) fn find(&self, id: UserId) -> Option<UserView> {
        self.shard(id).read().entries.get(id.as_bytes()).map(|Kept(user)| user.clone())
    }

    pub(super) fn epoch(&self, id: UserId) -> u64 {
        self.shard(id).read().epoch
    }

    /// Keeps what was read, unless something was invalidated in the meantime.
    pub(super) fn keep(&self, id: UserId, user: &UserView, epoch: u64) {
        let mut shard = self.shard(id).write();
        if shard.epoch != epoch {
            return;
        }
        if shard.entries.len() >= self.shards.limit(id.as_bytes())
            && let Some(victim) = shard.entries.any(id.as_bytes())
        {
            shard.entries.remove(&victim);
        }
        user.facts().current.store(true, Ordering::Release);
        shard.entries.insert(*id.as_bytes(), Kept(user.clone()));
    }

    pub(super) fn forget(&self, id: UserId) {
        let mut shard = self.shard(id).write();
        shard.epoch += 1;
        shard.entries.remove(id.as_bytes());
    }

    pub(super) fn clear(&self) {
        for shard in self.shards.iter() {
            let mut shard = shard.write();
            shard.epoch += 1;
            shard.entries.clear();
        }
    }

    fn shard(&self, id: UserId) -> &RwLock<Shard> {
        self.shards.of(id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hallpass_core::time::Timestamp;

    use super::*;

    fn view() -> UserView {
        let id = UserId::from_bytes([1; 16]);
        let user = User {
            id,
            username: "ana".parse().expect("a name"),
            display_name: "Ana".parse().expect("a name"),
            email: None,
            attributes: BTreeMap::new(),
            disabled_at: None,
            must_change_password: false,
            created_at: Timestamp::from_seconds(1_800_000_000),
        };
        UserView::new(&user, Arc::default())
    }

    /// A session that points at its user hears of no change: the change finds only who is in the map. So whoever leaves it, on whichever way, must say so.
    #[test]
    fn who_is_no_longer_kept_is_not_current() {
        // One for each piece.
        let users = Users::new(1);
        let (ana, ben) =
            (UserId::from_bytes([1; 16]), UserId::from_bytes([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]));
        let keep = |id: UserId| {
            let user = view();
            assert!(!user.is_current(), "not kept yet");
            users.keep(id, &user, users.epoch(id));
            assert!(user.is_current());
            user
        };
        let kept = keep(ana);
        users.forget(ana);
        assert!(!kept.is_current(), "forgotten");
        let kept = keep(ana);
        users.clear();
        assert!(!kept.is_current(), "with all others");
        let kept = keep(ana);
        let other = keep(ben);
        assert!(!kept.is_current(), "to make room");
        let newer = keep(ben);
        assert!(!other.is_current() && newer.is_current(), "read again");
        let raced = view();
        let epoch = users.epoch(ana);
        users.forget(ana);
        users.keep(ana, &raced, epoch);
        assert!(!raced.is_current(), "read before a change, and never kept");
    }
}
