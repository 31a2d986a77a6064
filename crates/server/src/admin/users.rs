//! Users: adding (one or an import), passwords, disabling, removing.

use std::collections::{BTreeMap, BTreeSet};

use hallpass_core::audit::{Actor, Event};
use hallpass_core::authenticator::password::PasswordHash;
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{AppKey, GroupId, GroupName, PermissionName, RoleName, UserId};
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::oidc::MailAddress;
use hallpass_core::user::{User, Username};
use hallpass_core::user_import::ImportedUser;
use hallpass_store::groups::Group;
use hallpass_store::{Read, StoreError, Write, authenticators, groups, roles, sessions, users, verified_emails};

use super::{AdminError, entry, record};

/// By user name, in any case or width, or by identifier.
pub async fn find(read: &mut Read, text: &str) -> Result<User, AdminError> {
    if let Ok(username) = text.parse::<Username>()
        && let Some(user) = users::by_username(read, &username).await?
    {
        return Ok(user);
    }
    if let Ok(id) = text.parse::<UserId>()
        && let Some(user) = users::find(read, &id).await?
    {
        return Ok(user);
    }
    Err(AdminError::NotFound(format!("there is no user {text}; `hallpass user list` shows them")))
}

/// Adds a user with the groups and the password hash that come along.
pub async fn add(write: &mut Write, new: &ImportedUser, actor: &Actor, now: Timestamp) -> Result<User, AdminError> {
    let mut group_ids = BTreeMap::new();
    for name in &new.groups {
        group_ids.insert(name.clone(), super::groups::find(write, name).await?.id);
    }
    let mut added = import(write, std::slice::from_ref(new), &group_ids, actor, now).await?;
    Ok(added.remove(0))
}

/// Adds a batch of users, all or none; a few hundred, because others wait for the transaction. `group_ids` must know every group
/// that the batch names.
pub async fn import(
    write: &mut Write,
    batch: &[ImportedUser],
    group_ids: &BTreeMap<GroupName, GroupId>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Vec<User>, AdminError> {
    let added: Vec<User> = batch.iter().map(|new| user(new, now)).collect();
    users::add_many(write, &added).await.map_err(|error| taken(error, batch))?;
    let hash = |(new, user): (&ImportedUser, &User)| Some((user.id, new.password_hash.as_ref()?.as_str().to_owned()));
    let hashes: Vec<_> = batch.iter().zip(&added).filter_map(hash).collect();
    authenticators::add_passwords(write, &hashes, now).await?;
    for (new, user) in batch.iter().zip(&added) {
        record(write, entry(Event::UserAdded, actor, now).user(user.id).with("username", &user.username)).await?;
        for name in &new.groups {
            let id = group_ids.get(name).ok_or_else(|| super::groups::unknown(name))?;
            groups::add_member(write, id, &user.id, now).await?;
        }
    }
    Ok(added)
}

/// Writes down that an import has come to its end.
pub async fn imported(write: &mut Write, count: u64, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    record(write, entry(Event::UsersImported, actor, now).with("users", &count)).await
}

fn user(new: &ImportedUser, now: Timestamp) -> User {
    User {
        id: UserId::mint(&mut SystemRandom),
        username: new.username.clone(),
        display_name: new.display_name.clone(),
        email: new.email.clone(),
        attributes: new.attributes.clone(),
        disabled_at: new.disabled.then_some(now),
        must_change_password: new.must_change_password,
        created_at: now,
    }
}

fn taken(error: StoreError, batch: &[ImportedUser]) -> AdminError {
    if !error.conflicts_on("users(canonical)") {
        return error.into();
    }
    AdminError::Exists(match batch {
        [new] => {
            let name = &new.username;
            format!("there is a user {name} already; `hallpass user show {name}` shows them")
        }
        _ => "one of these user names is taken by now; run the import again with --skip-existing".to_owned(),
    })
}

/// Sets a password that an administrator chose or generated, and ends every session: whoever held the old one is out. Returns how
/// many sessions ended.
pub async fn set_password(
    write: &mut Write,
    user: &User,
    hash: &PasswordHash,
    must_change: bool,
    actor: &Actor,
    now: Timestamp,
) -> Result<usize, AdminError> {
    authenticators::set_password(write, &user.id, hash.as_str(), now).await?;
    users::set_must_change_password(write, &user.id, must_change, now).await?;
    let ended = sessions::end_all_of(write, &user.id, None, EndReason::PasswordChanged, now).await?;
    let entry = entry(Event::PasswordSet, actor, now).user(user.id).with("must_change_password", &must_change);
    record(write, entry).await?;
    Ok(ended.len())
}

/// Makes the next sign-in, and every session that is open, choose a new password first; or takes that back. Whether that changed
/// anything.
pub async fn require_password_change(
    write: &mut Write,
    user: &User,
    required: bool,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    if user.must_change_password == required {
        return Ok(false);
    }
    users::set_must_change_password(write, &user.id, required, now).await?;
    record(write, entry(Event::UserChanged, actor, now).user(user.id).with("must_change_password", &required)).await?;
    Ok(true)
}

/// Writes down that a user's present mail address is theirs: by it a provider that gives these addresses may say that somebody is this user.
pub async fn verify_email(write: &mut Write, user: &User, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    let Some(email) = &user.email else {
        return Err(AdminError::Refused(format!("{} has no mail address here", user.username)));
    };
    let address: MailAddress = email.parse().map_err(|error| {
        AdminError::Refused(format!("the mail address of {} is {error}, and nothing is decided by it", user.username))
    })?;
    verified_emails::record(write, &user.id, email, &address, "cli", now).await?;
    record(write, entry(Event::EmailVerified, actor, now).user(user.id)).await
}

/// Disables a user, which ends their sessions, or enables one again. Whether that changed anything.
pub async fn set_disabled(
    write: &mut Write,
    user: &User,
    disabled: bool,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    let changed = users::set_disabled(write, &user.id, disabled, now).await?;
    if changed {
        let event = if disabled { Event::UserDisabled } else { Event::UserEnabled };
        record(write, entry(event, actor, now).user(user.id)).await?;
    }
    Ok(changed)
}

/// Removes a user with everything assigned to them; the audit log stays.
pub async fn remove(write: &mut Write, user: &User, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    users::remove(write, &user.id, now).await?;
    record(write, entry(Event::UserRemoved, actor, now).user(user.id).with("username", &user.username)).await
}

/// Everything there is to say about one user. Never the password's hash.
#[derive(Debug)]
pub struct Details {
    /// The user.
    pub user: User,
    /// The groups they are in, by name.
    pub groups: Vec<Group>,
    /// Roles, by app; with the group that gives it where it is not held directly.
    pub roles: Vec<(AppKey, RoleName, Option<GroupName>)>,
    /// Permissions held without a role, likewise.
    pub permissions: Vec<(AppKey, PermissionName, Option<GroupName>)>,
    /// How the password is hashed, and when it was chosen.
    pub password: Option<(&'static str, Timestamp)>,
    /// Live sessions, at most 1,000.
    pub sessions: usize,
}

/// Looks all of it up. From a snapshot, so that its parts fit together.
pub async fn details(read: &mut Read, user: User, now: Timestamp) -> Result<Details, AdminError> {
    let policy = roles::policy(read).await?;
    let direct = roles::assignments_of(read, &user.id).await?;
    let groups = groups::of_user(read, &user.id).await?;
    let group_name = |id: &GroupId| groups.iter().find(|group| group.id == *id).map(|group| group.name.clone());
    let mut held = BTreeSet::new();
    for role in &policy.roles {
        if direct.role_ids.contains(&role.id) {
            held.insert((role.app.clone(), role.name.clone(), None));
        }
        for (group, _) in policy.group_roles.iter().filter(|(_, id)| *id == role.id) {
            held.extend(group_name(group).map(|name| (role.app.clone(), role.name.clone(), Some(name))));
        }
    }
    let mut permissions: BTreeSet<_> = direct.permissions.into_iter().map(|(app, name)| (app, name, None)).collect();
    for (group, app, permission) in policy.group_permissions {
        permissions.extend(group_name(&group).map(|name| (app, permission, Some(name))));
    }
    let password = authenticators::find_password(read, &user.id).await?.map(|password| {
        let algorithm = password.hash.parse::<PasswordHash>().map_or("unknown", |hash| hash.algorithm());
        (algorithm, password.changed_at)
    });
    let sessions = sessions::live_of(read, &user.id, now).await?.len();
    Ok(Details {
        user,
        groups,
        roles: held.into_iter().collect(),
        permissions: permissions.into_iter().collect(),
        password,
        sessions,
    })
}

/// The roles and groups by which a user has any of these permissions, whatever they hold directly: taking a permission from the
/// user alone leaves these.
pub async fn what_gives(
    read: &mut Read,
    user: &User,
    app: &AppKey,
    permissions: &[PermissionName],
    now: Timestamp,
) -> Result<Vec<String>, AdminError> {
    let Details { roles: held, permissions: single, .. } = details(read, user.clone(), now).await?;
    let mut gives = Vec::new();
    for role in roles::all(read).await?.iter().filter(|role| role.app == *app) {
        if !role.permissions.iter().any(|permission| permissions.contains(permission)) {
            continue;
        }
        for (_, name, group) in held.iter().filter(|(of, name, _)| of == app && *name == role.name) {
            let through = group.as_ref().map_or_else(String::new, |group| format!(" (through group {group})"));
            gives.push(format!("role {name}{through}"));
        }
    }
    for (of, permission, group) in &single {
        if let Some(group) = group.as_ref().filter(|_| of == app && permissions.contains(permission)) {
            gives.push(format!("group {group}"));
        }
    }
    Ok(gives)
}
