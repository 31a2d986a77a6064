//! Roles, what they give, and who holds them: users directly or by group (NIST RBAC, ANSI 359).

use std::collections::BTreeMap;

use hallpass_core::app::{App, AppSecret};
use hallpass_core::id::{AppKey, GroupId, PermissionName, RoleId, RoleName, UserId};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;

use crate::error::StoreError;
use crate::sql::{Row, Statement, sql};
use crate::{BATCH, Change, Read, Write, apps, zones};

/// A role of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Never reused.
    pub id: RoleId,
    /// The app it belongs to.
    pub app: AppKey,
    /// Unique in its app.
    pub name: RoleName,
    /// What it gives, sorted.
    pub permissions: Vec<PermissionName>,
}

/// Who an assignment is made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// One user.
    User(UserId),
    /// Every member of a group.
    Group(GroupId),
}

/// What is assigned to one user, directly, and the groups through which more is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UserFacts {
    /// Roles held directly, sorted.
    pub role_ids: Vec<RoleId>,
    /// Permissions held without a role, sorted.
    pub permissions: Vec<(AppKey, PermissionName)>,
    /// Groups the user is in, sorted.
    pub group_ids: Vec<GroupId>,
}

/// Everything introspection knows besides users and sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// By name.
    pub zones: Vec<Zone>,
    /// By key, each with its slot: a small number that is the app's own and never another's.
    pub apps: Vec<(App, u32)>,
    /// Every secret of every app, expired ones too.
    pub secrets: Vec<AppSecret>,
    /// By app, then name.
    pub roles: Vec<Role>,
    /// Roles that groups hold, sorted.
    pub group_roles: Vec<(GroupId, RoleId)>,
    /// Permissions that groups hold without a role, sorted.
    pub group_permissions: Vec<(GroupId, AppKey, PermissionName)>,
}

/// The whole policy. From a [snapshot](crate::Store::snapshot), so that its parts fit together.
pub async fn policy(read: &mut Read) -> Result<Policy, StoreError> {
    let group_roles = read.all(sql("SELECT group_id, role_id FROM group_roles ORDER BY group_id, role_id")).await?;
    let group_roles = group_roles.iter().map(|row| Ok((row.column("group_id")?, row.column("role_id")?)));
    let group_roles = group_roles.collect::<Result<_, StoreError>>()?;
    let group_permissions = sql("SELECT group_id, app_key, permission FROM group_permissions
                                 ORDER BY group_id, app_key, permission");
    let group_permissions = read.all(group_permissions).await?;
    let group_permissions = group_permissions
        .iter()
        .map(|row| Ok((row.column("group_id")?, row.column("app_key")?, row.column("permission")?)))
        .collect::<Result<_, StoreError>>()?;
    Ok(Policy {
        zones: zones::all(read).await?,
        apps: apps::all_with_slots(read).await?,
        secrets: apps::all_secrets(read).await?,
        roles: all(read).await?,
        group_roles,
        group_permissions,
    })
}

/// What is assigned to one user; empty for one who is not there.
pub async fn assignments_of(read: &mut Read, user: &UserId) -> Result<UserFacts, StoreError> {
    let roles = sql("SELECT role_id FROM user_roles WHERE user_id = $1 ORDER BY role_id");
    let role_ids = read.all(roles.bind(user)).await?;
    let permissions = sql("SELECT app_key, permission FROM user_permissions WHERE user_id = $1
                           ORDER BY app_key, permission");
    let permissions = read.all(permissions.bind(user)).await?;
    let groups = sql("SELECT group_id FROM group_members WHERE user_id = $1 ORDER BY group_id");
    let group_ids = read.all(groups.bind(user)).await?;
    Ok(UserFacts {
        role_ids: role_ids.iter().map(|row| row.column("role_id")).collect::<Result<_, _>>()?,
        permissions: permissions.iter().map(permission).collect::<Result<_, _>>()?,
        group_ids: group_ids.iter().map(|row| row.column("group_id")).collect::<Result<_, _>>()?,
    })
}

/// Adds a role or, where one of this app and name exists, gives that its new permissions. Returns the identifier that holds:
/// `role.id` or the existing one. Dangling when the app is not there.
pub async fn upsert(write: &mut Write, role: &Role, now: Timestamp) -> Result<RoleId, StoreError> {
    let upsert = sql("INSERT INTO roles (id, app_key, name) VALUES ($1, $2, $3)
                      ON CONFLICT (app_key, name) DO UPDATE SET name = excluded.name RETURNING id");
    let id: RoleId = write.one(upsert.bind(&role.id).bind(&role.app).bind(&role.name)).await?.column("id")?;
    write.execute(sql("DELETE FROM role_permissions WHERE role_id = $1").bind(&id)).await?;
    for chunk in role.permissions.chunks(BATCH) {
        let head = "INSERT INTO role_permissions (role_id, permission) VALUES ";
        let tail = " ON CONFLICT (role_id, permission) DO NOTHING";
        let mut insert = crate::insert(head, chunk.len(), 2, tail);
        for permission in chunk {
            insert = insert.bind(&id).bind(permission);
        }
        write.execute(insert).await?;
    }
    write.change(now, Change::PolicyChanged { app: Some(role.app.clone()) });
    Ok(id)
}

/// All roles of all apps, by app, then name.
pub async fn all(read: &mut Read) -> Result<Vec<Role>, StoreError> {
    let mut gives: BTreeMap<RoleId, Vec<PermissionName>> = BTreeMap::new();
    let permissions = sql("SELECT role_id, permission FROM role_permissions ORDER BY role_id, permission");
    for row in read.all(permissions).await? {
        gives.entry(row.column("role_id")?).or_default().push(row.column("permission")?);
    }
    let roles = read.all(sql("SELECT id, app_key, name FROM roles ORDER BY app_key, name")).await?;
    let role = |row: &Row| {
        let id = row.column("id")?;
        let permissions = gives.remove(&id).unwrap_or_default();
        Ok(Role { id, app: row.column("app_key")?, name: row.column("name")?, permissions })
    };
    roles.iter().map(role).collect()
}

/// One role of one app.
pub async fn by_name(read: &mut Read, app: &AppKey, name: &RoleName) -> Result<Option<Role>, StoreError> {
    let find = sql("SELECT id FROM roles WHERE app_key = $1 AND name = $2");
    let Some(row) = read.optional(find.bind(app).bind(name)).await? else { return Ok(None) };
    let id: RoleId = row.column("id")?;
    let permissions = sql("SELECT permission FROM role_permissions WHERE role_id = $1 ORDER BY permission");
    let permissions = read.all(permissions.bind(&id)).await?;
    let permissions = permissions.iter().map(|row| row.column("permission")).collect::<Result<_, _>>()?;
    Ok(Some(Role { id, app: app.clone(), name: name.clone(), permissions }))
}

/// Removes a role; whoever held it loses it. Whether there was one.
pub async fn remove(write: &mut Write, id: &RoleId, now: Timestamp) -> Result<bool, StoreError> {
    let removed = write.optional(sql("DELETE FROM roles WHERE id = $1 RETURNING app_key").bind(id)).await?;
    let Some(row) = removed else { return Ok(false) };
    write.change(now, Change::PolicyChanged { app: Some(row.column("app_key")?) });
    Ok(true)
}

/// Gives a role to a user or a group. Whether they did not hold it before. Dangling when either is not there.
pub async fn assign(write: &mut Write, role: &RoleId, holder: Holder, now: Timestamp) -> Result<bool, StoreError> {
    let assign = match holder {
        Holder::User(user) => {
            sql("INSERT INTO user_roles (role_id, user_id) VALUES ($1, $2) ON CONFLICT (user_id, role_id) DO NOTHING")
                .bind(role)
                .bind(&user)
        }
        Holder::Group(group) => sql(
            "INSERT INTO group_roles (role_id, group_id) VALUES ($1, $2) ON CONFLICT (group_id, role_id) DO NOTHING",
        )
        .bind(role)
        .bind(&group),
    };
    changed(write, assign, holder, now).await
}

/// Takes a role from a user or a group. Whether they held it, in this way.
pub async fn unassign(write: &mut Write, role: &RoleId, holder: Holder, now: Timestamp) -> Result<bool, StoreError> {
    let unassign = match holder {
        Holder::User(user) => sql("DELETE FROM user_roles WHERE role_id = $1 AND user_id = $2").bind(role).bind(&user),
        Holder::Group(group) => {
            sql("DELETE FROM group_roles WHERE role_id = $1 AND group_id = $2").bind(role).bind(&group)
        }
    };
    changed(write, unassign, holder, now).await
}

/// Gives a permission of an app without a role. Whether they did not hold it before. Dangling when either is not there.
pub async fn grant(
    write: &mut Write,
    app: &AppKey,
    permission: &PermissionName,
    holder: Holder,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let grant = match holder {
        Holder::User(user) => sql("INSERT INTO user_permissions (app_key, permission, user_id) VALUES ($1, $2, $3)
                                   ON CONFLICT (user_id, app_key, permission) DO NOTHING")
        .bind(app)
        .bind(permission)
        .bind(&user),
        Holder::Group(group) => sql("INSERT INTO group_permissions (app_key, permission, group_id) VALUES ($1, $2, $3)
                                     ON CONFLICT (group_id, app_key, permission) DO NOTHING")
        .bind(app)
        .bind(permission)
        .bind(&group),
    };
    changed(write, grant, holder, now).await
}

/// Takes a permission that was given without a role. Whether they held it, in this way.
pub async fn revoke(
    write: &mut Write,
    app: &AppKey,
    permission: &PermissionName,
    holder: Holder,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let revoke = match holder {
        Holder::User(user) => {
            sql("DELETE FROM user_permissions WHERE app_key = $1 AND permission = $2 AND user_id = $3")
                .bind(app)
                .bind(permission)
                .bind(&user)
        }
        Holder::Group(group) => {
            sql("DELETE FROM group_permissions WHERE app_key = $1 AND permission = $2 AND group_id = $3")
                .bind(app)
                .bind(permission)
                .bind(&group)
        }
    };
    changed(write, revoke, holder, now).await
}

/// Who holds a role directly: users and groups, by identifier.
pub async fn holders(read: &mut Read, role: &RoleId) -> Result<Vec<Holder>, StoreError> {
    let users = read.all(sql("SELECT user_id FROM user_roles WHERE role_id = $1 ORDER BY user_id").bind(role)).await?;
    let groups = sql("SELECT group_id FROM group_roles WHERE role_id = $1 ORDER BY group_id");
    let groups = read.all(groups.bind(role)).await?;
    let users = users.iter().map(|row| row.column("user_id").map(Holder::User));
    users.chain(groups.iter().map(|row| row.column("group_id").map(Holder::Group))).collect()
}

async fn changed(write: &mut Write, statement: Statement, holder: Holder, now: Timestamp) -> Result<bool, StoreError> {
    if write.execute(statement).await? == 0 {
        return Ok(false);
    }
    write.change(
        now,
        match holder {
            Holder::User(user) => Change::UserChanged { user },
            Holder::Group(_) => Change::PolicyChanged { app: None },
        },
    );
    Ok(true)
}

fn permission(row: &Row) -> Result<(AppKey, PermissionName), StoreError> {
    Ok((row.column("app_key")?, row.column("permission")?))
}
