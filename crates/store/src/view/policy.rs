//! The registry in memory: zones, apps, their secrets, roles, what groups hold, and the signing keys. Replaced as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hallpass_core::app::{App, AppSecret};
use hallpass_core::crypto::MasterKey;
use hallpass_core::id::{GroupId, PermissionName, RoleId, RoleName, SecretId};
use hallpass_core::keyring::{Keyring, SealedKey};
use hallpass_core::permission::Rights;
use hallpass_core::secret::{Digest, SecretKey};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::roles::UserFacts;
use crate::{Store, StoreError, keys, roles};

/// Different sets of rights remembered as JSON before the memory starts anew.
const MAXIMUM_RENDERED: usize = 10_000;

/// An app and what is looked up with it.
#[derive(Debug, Clone)]
pub struct AppEntry {
    /// The app.
    pub app: App,
    /// Its zone.
    pub zone: Arc<Zone>,
    /// A small number that stays the app's own while it exists.
    pub slot: u32,
}

/// A role and what it gives.
#[derive(Debug, Clone)]
pub struct RoleEntry {
    app: usize,
    name: RoleName,
    permissions: Vec<PermissionName>,
}

#[derive(Debug)]
struct SecretEntry {
    id: SecretId,
    app: usize,
    expires_at: Option<Timestamp>,
    last_used: AtomicI64,
}

#[derive(Debug, Default)]
struct GroupEntry {
    roles: Vec<RoleId>,
    permissions: Vec<(usize, PermissionName)>,
}

/// A set of rights, already written as JSON.
#[derive(Debug)]
pub struct Rendered {
    /// `"roles":["cashier"],"permissions":["canRefund"],"scope":"canRefund"`: the members of an answer, without braces.
    pub members_json: Box<str>,
    /// As data.
    pub rights: Rights,
}

/// The registry as a request sees it: it stays as it is while the request holds this.
pub type PolicyGuard = arc_swap::Guard<Arc<Policy>>;

/// The registry as of one position of the feed.
pub struct Policy {
    pub(super) generation: u32,
    /// Every app.
    pub apps: Vec<AppEntry>,
    /// The zone that the engine itself lives in; none before the first configuration.
    pub home: Option<Arc<Zone>>,
    /// Every zone.
    pub zones: Vec<Arc<Zone>>,
    /// The signing keys, opened.
    pub keyring: Keyring,
    by_key: HashMap<String, usize>,
    /// Those that describe themselves, by the addresses where.
    by_document: HashMap<String, usize>,
    by_authority: HashMap<String, usize>,
    by_secret: HashMap<[u8; 32], SecretEntry>,
    roles: HashMap<RoleId, RoleEntry>,
    groups: HashMap<GroupId, GroupEntry>,
    rendered: Mutex<HashMap<Rights, Arc<Rendered>>>,
}

impl Policy {
    pub(super) async fn load(store: &Store, master: &MasterKey, generation: u32) -> Result<Self, StoreError> {
        let mut read = store.snapshot().await?;
        let stored = roles::policy(&mut read).await?;
        let sealed = keys::all(&mut read).await?;
        drop(read);
        let sealer = master.sealer(SealedKey::SEALER);
        let opened: Result<Vec<_>, _> = sealed.iter().map(|key| key.open(&sealer)).collect();
        let keyring = Keyring::new(
            opened.map_err(|_| StoreError::broken("a signing key does not open: is this the right master key?"))?,
        );
        let zones: Vec<Arc<Zone>> = stored.zones.into_iter().map(Arc::new).collect();
        let mut apps = Vec::with_capacity(stored.apps.len());
        for (app, slot) in stored.apps {
            let zone = zones
                .iter()
                .find(|zone| zone.name == app.zone)
                .ok_or_else(|| StoreError::broken("an app names a zone that does not exist"))?;
            apps.push(AppEntry { zone: zone.clone(), slot, app });
        }
        let by_key: HashMap<String, usize> =
            apps.iter().enumerate().map(|(index, entry)| (entry.app.key.as_str().to_owned(), index)).collect();
        let documents = apps.iter().enumerate();
        let documents = documents.filter_map(|(index, entry)| Some((entry.app.client_id.as_ref()?.to_string(), index)));
        let by_document = documents.collect();
        let by_authority = apps
            .iter()
            .enumerate()
            .flat_map(|(index, entry)| {
                entry.app.origins.iter().map(move |origin| (origin.authority().to_owned(), index))
            })
            .collect();
        let secret = |secret: AppSecret| {
            let app = *by_key.get(secret.app.as_str())?;
            let last_used = secret.last_used_at.map_or(0, Timestamp::as_millis).into();
            Some((
                *secret.digest.as_bytes(),
                SecretEntry { id: secret.id, app, expires_at: secret.expires_at, last_used },
            ))
        };
        let by_secret = stored.secrets.into_iter().filter_map(secret).collect();
        let roles = stored
            .roles
            .into_iter()
            .filter_map(|role| {
                Some((
                    role.id,
                    RoleEntry { app: *by_key.get(role.app.as_str())?, name: role.name, permissions: role.permissions },
                ))
            })
            .collect();
        let mut groups: HashMap<GroupId, GroupEntry> = HashMap::new();
        for (group, role) in stored.group_roles {
            groups.entry(group).or_default().roles.push(role);
        }
        for (group, app, permission) in stored.group_permissions {
            if let Some(app) = by_key.get(app.as_str()) {
                groups.entry(group).or_default().permissions.push((*app, permission));
            }
        }
        let home = zones.iter().find(|zone| zone.home).cloned();
        Ok(Self {
            generation,
            apps,
            home,
            zones,
            keyring,
            by_key,
            by_document,
            by_authority,
            by_secret,
            roles,
            groups,
            rendered: Mutex::default(),
        })
    }

    /// The app with this key.
    pub fn by_key(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The app that is called this on the OAuth wire: by its key, or, if it describes itself, by the address where, and by nothing else.
    pub fn by_client_id(&self, client_id: &str) -> Option<usize> {
        let by_key = || self.by_key(client_id).filter(|index| self.apps[*index].app.client_id.is_none());
        self.by_document.get(client_id).copied().or_else(by_key)
    }

    /// The app that is reached at this host and port.
    pub fn by_authority(&self, authority: &str) -> Option<usize> {
        self.by_authority.get(authority).copied()
    }

    /// The app that one of its live secrets belongs to; notes that the secret is in use.
    pub fn caller(&self, digest: &Digest<SecretKey>, now: Timestamp) -> Option<usize> {
        let entry = self.by_secret.get(digest.as_bytes())?;
        if entry.expires_at.is_some_and(|end| now >= end) {
            return None;
        }
        // Looked at first: thousands of requests a second would otherwise write where all of them read.
        if entry.last_used.load(Ordering::Relaxed) < now.as_millis() {
            entry.last_used.fetch_max(now.as_millis(), Ordering::Relaxed);
        }
        Some(entry.app)
    }

    /// When each secret was last used, as far as this process knows.
    pub fn secrets_used(&self) -> impl Iterator<Item = (SecretId, Timestamp)> {
        let used = |entry: &SecretEntry| (entry.id, Timestamp::from_millis(entry.last_used.load(Ordering::Relaxed)));
        self.by_secret.values().map(used).filter(|(_, at)| at.as_millis() > 0)
    }

    /// What a user with these assignments may do in one app: direct, by role, by group.
    pub fn rights(&self, facts: &UserFacts, app: usize) -> Rights {
        let key = &self.apps[app].app.key;
        let groups = || facts.group_ids.iter().filter_map(|group| self.groups.get(group));
        let role_ids = facts.role_ids.iter().chain(groups().flat_map(|group| &group.roles));
        let held = role_ids.filter_map(|role| self.roles.get(role)).filter(|role| role.app == app);
        let direct = facts.permissions.iter().filter(|(of, _)| of == key).map(|(_, permission)| permission);
        let by_group = groups()
            .flat_map(|group| &group.permissions)
            .filter(|(of, _)| *of == app)
            .map(|(_, permission)| permission);
        Rights::join(held.map(|role| (&role.name, &role.permissions[..])), direct.chain(by_group))
    }

    pub(super) fn render(&self, rights: Rights) -> Arc<Rendered> {
        let mut rendered = self.rendered.lock();
        if let Some(known) = rendered.get(&rights) {
            return known.clone();
        }
        if rendered.len() >= MAXIMUM_RENDERED {
            rendered.clear();
        }
        let json = |names: &mut dyn Iterator<Item = &str>| {
            let names: Vec<&str> = names.collect();
            serde_json::to_string(&names).expect("names are text")
        };
        let scope: Vec<&str> = rights.permissions.iter().map(PermissionName::as_str).collect();
        let new = Arc::new(Rendered {
            members_json: format!(
                "\"roles\":{},\"permissions\":{},\"scope\":\"{}\"",
                json(&mut rights.roles.iter().map(RoleName::as_str)),
                json(&mut rights.permissions.iter().map(PermissionName::as_str)),
                scope.join(" ")
            )
            .into(),
            rights: rights.clone(),
        });
        rendered.insert(rights, new.clone());
        new
    }
}
