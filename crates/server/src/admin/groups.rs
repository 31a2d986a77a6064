//! Groups of users.

use hallpass_core::audit::{Actor, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{GroupId, GroupName};
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_store::groups::{self, Group};
use hallpass_store::{Read, Write};

use super::{AdminError, entry, record};

/// By name.
pub async fn find(read: &mut Read, name: &GroupName) -> Result<Group, AdminError> {
    groups::by_name(read, name).await?.ok_or_else(|| unknown(name))
}

pub(super) fn unknown(name: &GroupName) -> AdminError {
    AdminError::NotFound(format!("there is no group {name}; `hallpass group add {name}` adds it"))
}

/// Adds a group.
pub async fn add(write: &mut Write, name: &GroupName, actor: &Actor, now: Timestamp) -> Result<Group, AdminError> {
    if groups::by_name(write, name).await?.is_some() {
        return Err(AdminError::Exists(format!("there is a group {name} already")));
    }
    let group = Group { id: GroupId::mint(&mut SystemRandom), name: name.clone(), created_at: now };
    groups::add(write, &group).await?;
    record(write, entry(Event::GroupAdded, actor, now).with("group", name)).await?;
    Ok(group)
}

/// Removes a group; its members lose what it gave.
pub async fn remove(write: &mut Write, name: &GroupName, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    let group = find(write, name).await?;
    groups::remove(write, &group.id, now).await?;
    record(write, entry(Event::GroupRemoved, actor, now).with("group", name)).await
}

/// Puts a user into a group. Whether they were not in it before.
pub async fn add_member(
    write: &mut Write,
    group: &Group,
    user: &User,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    let added = groups::add_member(write, &group.id, &user.id, now).await?;
    if added {
        record(write, entry(Event::GroupMemberAdded, actor, now).user(user.id).with("group", &group.name)).await?;
    }
    Ok(added)
}

/// Takes a user out of a group. Whether they were in it.
pub async fn remove_member(
    write: &mut Write,
    group: &Group,
    user: &User,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    let removed = groups::remove_member(write, &group.id, &user.id, now).await?;
    if removed {
        record(write, entry(Event::GroupMemberRemoved, actor, now).user(user.id).with("group", &group.name)).await?;
    }
    Ok(removed)
}
