//! Users in memory, each with the envelopes already worked out for the apps that asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use hallpass_core::crypto;
use hallpass_core::id::UserId;
use hallpass_core::user::User;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::policy::{Policy, Rendered};
use crate::roles::UserFacts;

const SHARDS: usize = 256;

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
    /// The user's name and attributes, already written as JSON.
    pub user: Arc<UserView>,
    /// Changes whenever anything in the envelope does.
    pub version: [u8; 12],
}

/// A user's facts.
#[derive(Debug)]
pub struct UserView {
    /// `"ana"`, with its quotes.
    pub username_json: Box<str>,
    /// `"Ana María"`, with its quotes.
    pub display_name_json: Box<str>,
    /// `{…}`
    pub attributes_json: Box<str>,
    disabled: bool,
    must_change_password: bool,
    facts: UserFacts,
    /// By app: what was worked out, and from which generation of the policy.
    envelopes: Mutex<Vec<Worked>>,
}

#[derive(Debug)]
struct Worked {
    app: u32,
    generation: u64,
    rights: Arc<Rendered>,
    version: [u8; 12],
    admitted: bool,
}

impl UserView {
    pub(super) fn new(user: &User, facts: UserFacts) -> Self {
        let json = |text: &str| serde_json::Value::from(text).to_string().into_boxed_str();
        Self {
            username_json: json(user.username.as_str()),
            display_name_json: json(user.display_name.as_str()),
            attributes_json: attributes(&user.attributes),
            disabled: user.disabled_at.is_some(),
            must_change_password: user.must_change_password,
            facts,
            envelopes: Mutex::default(),
        }
    }

    pub(super) fn standing(self: &Arc<Self>, policy: &Arc<Policy>, app: usize) -> Standing {
        if self.disabled {
            return Standing::Disabled;
        }
        if self.must_change_password {
            return Standing::MustChangePassword;
        }
        let slot = policy.apps[app].slot;
        let mut envelopes = self.envelopes.lock();
        let current = |worked: &Worked| worked.app == slot && worked.generation == policy.generation;
        let index = envelopes.iter().position(current).unwrap_or_else(|| {
            envelopes.retain(|worked| worked.app != slot);
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
        let rights = policy.rights(&self.facts, app);
        let admitted = rights.admit(policy.apps[app].app.access);
        let rendered = policy.render(rights);
        let parts = [
            &rendered.roles_json,
            &rendered.permissions_json,
            &self.username_json,
            &self.attributes_json,
            &self.display_name_json,
        ];
        let mut framed = Vec::with_capacity(256);
        for part in parts {
            framed.extend_from_slice(&part.len().to_be_bytes());
            framed.extend_from_slice(part.as_bytes());
        }
        let mut version = [0u8; 12];
        version.copy_from_slice(&crypto::sha256(&framed)[..12]);
        Worked { app: slot, generation: policy.generation, rights: rendered, version, admitted }
    }
}

fn attributes(attributes: &BTreeMap<String, serde_json::Value>) -> Box<str> {
    if attributes.is_empty() {
        return "{}".into();
    }
    serde_json::to_string(attributes).expect("a map with text keys is JSON").into_boxed_str()
}

#[derive(Default)]
struct Shard {
    entries: HashMap<UserId, Arc<UserView>>,
    epoch: u64,
}

/// All users in memory.
pub(super) struct Users {
    shards: Box<[RwLock<Shard>]>,
    maximum_per_shard: usize,
}

impl Users {
    pub(super) fn new(maximum: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            maximum_per_shard: maximum.div_ceil(SHARDS).max(1),
        }
    }

    pub(super) fn find(&self, id: UserId) -> Option<Arc<UserView>> {
        self.shard(id).read().entries.get(&id).cloned()
    }

    pub(super) fn epoch(&self, id: UserId) -> u64 {
        self.shard(id).read().epoch
    }

    /// Keeps what was read, unless something was invalidated in the meantime.
    pub(super) fn keep(&self, id: UserId, user: Arc<UserView>, epoch: u64) {
        let mut shard = self.shard(id).write();
        if shard.epoch != epoch {
            return;
        }
        if shard.entries.len() >= self.maximum_per_shard
            && let Some(victim) = shard.entries.keys().next().copied()
        {
            shard.entries.remove(&victim);
        }
        shard.entries.insert(id, user);
    }

    pub(super) fn forget(&self, id: UserId) {
        let mut shard = self.shard(id).write();
        shard.epoch += 1;
        shard.entries.remove(&id);
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.epoch += 1;
            shard.entries.clear();
        }
    }

    fn shard(&self, id: UserId) -> &RwLock<Shard> {
        &self.shards[usize::from(id.as_bytes()[0])]
    }
}
