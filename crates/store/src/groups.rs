//! Groups of users. What a group is given is in `roles.rs`.

use hallpass_core::id::{GroupId, GroupName, UserId};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Change, Read, Write};

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Never reused.
    pub id: GroupId,
    /// Unique.
    pub name: GroupName,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Adds a group. Conflicts on `groups(name)`.
pub async fn add(write: &mut Write, group: &Group) -> Result<(), StoreError> {
    let add = sql("INSERT INTO groups (id, name, created_at) VALUES ($1, $2, $3)");
    write.execute(add.bind(&group.id).bind(&group.name).bind(&group.created_at)).await?;
    Ok(())
}

/// By name.
pub async fn by_name(read: &mut Read, name: &GroupName) -> Result<Option<Group>, StoreError> {
    let find = sql("SELECT id, name, created_at FROM groups WHERE name = $1");
    read.optional(find.bind(name)).await?.as_ref().map(group).transpose()
}

/// All of them, by name.
pub async fn all(read: &mut Read) -> Result<Vec<Group>, StoreError> {
    read.all(sql("SELECT id, name, created_at FROM groups ORDER BY name")).await?.iter().map(group).collect()
}

/// Removes a group; its members lose what it gave. Whether there was one.
pub async fn remove(write: &mut Write, id: &GroupId, now: Timestamp) -> Result<bool, StoreError> {
    let removed = write.execute(sql("DELETE FROM groups WHERE id = $1").bind(id)).await? > 0;
    if removed {
        write.change(now, Change::PolicyChanged { app: None });
    }
    Ok(removed)
}

/// Puts a user into a group. Whether they were not in it before. Dangling when either is not there.
pub async fn add_member(write: &mut Write, group: &GroupId, user: &UserId, now: Timestamp) -> Result<bool, StoreError> {
    let add = sql("INSERT INTO group_members (group_id, user_id) VALUES ($1, $2)
                   ON CONFLICT (group_id, user_id) DO NOTHING");
    let added = write.execute(add.bind(group).bind(user)).await? > 0;
    if added {
        write.change(now, Change::UserChanged { user: *user });
    }
    Ok(added)
}

/// Takes a user out of a group. Whether they were in it.
pub async fn remove_member(
    write: &mut Write,
    group: &GroupId,
    user: &UserId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let remove = sql("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2");
    let removed = write.execute(remove.bind(group).bind(user)).await? > 0;
    if removed {
        write.change(now, Change::UserChanged { user: *user });
    }
    Ok(removed)
}

/// Up to `limit` members after `after`, by identifier.
pub async fn members(
    read: &mut Read,
    group: &GroupId,
    after: Option<&UserId>,
    limit: u32,
) -> Result<Vec<UserId>, StoreError> {
    let members =
        sql("SELECT user_id FROM group_members WHERE group_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3");
    let after = after.map(ToString::to_string).unwrap_or_default();
    read.all(members.long().bind(group).bind(&after).bind(&limit))
        .await?
        .iter()
        .map(|row| row.column("user_id"))
        .collect()
}

/// The groups a user is in, by name.
pub async fn of_user(read: &mut Read, user: &UserId) -> Result<Vec<Group>, StoreError> {
    let groups = sql("SELECT groups.id, groups.name, groups.created_at FROM groups
                      JOIN group_members ON group_members.group_id = groups.id
                      WHERE group_members.user_id = $1 ORDER BY groups.name");
    read.all(groups.bind(user)).await?.iter().map(group).collect()
}

fn group(row: &Row) -> Result<Group, StoreError> {
    Ok(Group { id: row.column("id")?, name: row.column("name")?, created_at: row.column("created_at")? })
}
