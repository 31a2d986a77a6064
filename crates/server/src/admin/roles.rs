//! Roles of apps, and who holds them or single permissions: users and groups (NIST RBAC, ANSI 359).

use std::fmt;

use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{AppKey, GroupName, PermissionName, RoleId, RoleName};
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_store::groups::Group;
use hallpass_store::roles::{self, Holder, Role};
use hallpass_store::{Read, Write, groups};

use super::{AdminError, apps, entry, record};

/// Who is given something.
#[derive(Debug, Clone)]
pub enum Grantee {
    /// One user.
    User(User),
    /// Every member of a group.
    Group(Group),
}

impl Grantee {
    fn holder(&self) -> Holder {
        match self {
            Self::User(user) => Holder::User(user.id),
            Self::Group(group) => Holder::Group(group.id),
        }
    }

    fn named_in(&self, entry: Entry) -> Entry {
        match self {
            Self::User(user) => entry.user(user.id),
            Self::Group(group) => entry.with("group", &group.name),
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(formatter, "user {}", user.username),
            Self::Group(group) => write!(formatter, "group {}", group.name),
        }
    }
}

/// One role of one app.
pub async fn find(read: &mut Read, app: &AppKey, name: &RoleName) -> Result<Role, AdminError> {
    apps::find(read, app).await?;
    roles::by_name(read, app, name).await?.ok_or_else(|| {
        AdminError::NotFound(format!("app {app} has no role {name}; `hallpass role list --app {app}` shows them"))
    })
}

/// Adds a role.
pub async fn add(
    write: &mut Write,
    app: &AppKey,
    name: &RoleName,
    permissions: Vec<PermissionName>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Role, AdminError> {
    apps::find(write, app).await?;
    if roles::by_name(write, app, name).await?.is_some() {
        return Err(AdminError::Exists(format!(
            "app {app} has a role {name} already; `hallpass role change` gives it other permissions"
        )));
    }
    put(write, app, name, permissions, actor, now).await
}

/// Gives a role these permissions and no others.
pub async fn change(
    write: &mut Write,
    app: &AppKey,
    name: &RoleName,
    permissions: Vec<PermissionName>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Role, AdminError> {
    find(write, app, name).await?;
    put(write, app, name, permissions, actor, now).await
}

/// Adds a role or gives the one of this name its new permissions.
pub async fn put(
    write: &mut Write,
    app: &AppKey,
    name: &RoleName,
    mut permissions: Vec<PermissionName>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Role, AdminError> {
    permissions.sort_unstable();
    permissions.dedup();
    let known = roles::by_name(write, app, name).await?.is_some();
    let mut role = Role { id: RoleId::mint(&mut SystemRandom), app: app.clone(), name: name.clone(), permissions };
    role.id = roles::upsert(write, &role, now).await?;
    let event = if known { Event::RoleChanged } else { Event::RoleAdded };
    let count = u64::try_from(role.permissions.len()).unwrap_or(u64::MAX);
    record(write, entry(event, actor, now).app(app).with("role", name).with("permissions", &count)).await?;
    Ok(role)
}

/// Removes a role; whoever held it loses it.
pub async fn remove(
    write: &mut Write,
    app: &AppKey,
    name: &RoleName,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), AdminError> {
    let role = find(write, app, name).await?;
    roles::remove(write, &role.id, now).await?;
    record(write, entry(Event::RoleRemoved, actor, now).app(app).with("role", name)).await
}

/// Gives a role to a user or a group. Whether they did not hold it before.
pub async fn grant(
    write: &mut Write,
    role: &Role,
    to: &Grantee,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    let granted = roles::assign(write, &role.id, to.holder(), now).await?;
    if granted {
        let entry = entry(Event::RoleGranted, actor, now).app(&role.app).with("role", &role.name);
        record(write, to.named_in(entry)).await?;
    }
    Ok(granted)
}

/// Takes a role from a user or a group. Whether they held it in this way; see [`groups_that_give`].
pub async fn withdraw(
    write: &mut Write,
    role: &Role,
    from: &Grantee,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    let withdrawn = roles::unassign(write, &role.id, from.holder(), now).await?;
    if withdrawn {
        let entry = entry(Event::RoleWithdrawn, actor, now).app(&role.app).with("role", &role.name);
        record(write, from.named_in(entry)).await?;
    }
    Ok(withdrawn)
}

/// The groups through which a user holds a role, whatever they hold directly: withdrawing it from the user alone leaves these.
pub async fn groups_that_give(read: &mut Read, role: &Role, user: &User) -> Result<Vec<GroupName>, AdminError> {
    let holders = roles::holders(read, &role.id).await?;
    let gives = |group: &Group| holders.contains(&Holder::Group(group.id));
    Ok(groups::of_user(read, &user.id).await?.into_iter().filter(gives).map(|group| group.name).collect())
}

/// Gives a permission of an app without a role. Whether they did not hold it so before.
pub async fn grant_permission(
    write: &mut Write,
    app: &AppKey,
    permission: &PermissionName,
    to: &Grantee,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    apps::find(write, app).await?;
    let granted = roles::grant(write, app, permission, to.holder(), now).await?;
    if granted {
        let entry = entry(Event::PermissionGranted, actor, now).app(app).with("permission", permission);
        record(write, to.named_in(entry)).await?;
    }
    Ok(granted)
}

/// Takes a permission that was given without a role. Whether they held it so.
pub async fn withdraw_permission(
    write: &mut Write,
    app: &AppKey,
    permission: &PermissionName,
    from: &Grantee,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    apps::find(write, app).await?;
    let withdrawn = roles::revoke(write, app, permission, from.holder(), now).await?;
    if withdrawn {
        let entry = entry(Event::PermissionWithdrawn, actor, now).app(app).with("permission", permission);
        record(write, from.named_in(entry)).await?;
    }
    Ok(withdrawn)
}
