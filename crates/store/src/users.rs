//! Users: rows of `users`. What they may do is in `roles.rs`, how they prove who they are in `authenticators.rs`.

use hallpass_core::id::UserId;
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::user::{User, Username};

use crate::authenticators::{self, Password};
use crate::error::StoreError;
use crate::sql::{Row, Statement, sql};
use crate::{BATCH, Change, Read, Write, sessions};

/// Adds a user. Conflicts on `users(canonical)` when the name, in any case or width, is taken.
pub async fn add(write: &mut Write, user: &User) -> Result<(), StoreError> {
    add_many(write, std::slice::from_ref(user)).await
}

/// Adds many at once, all or none.
pub async fn add_many(write: &mut Write, users: &[User]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO users (id, username, canonical, display_name, email, attributes, disabled_at,
                            must_change_password, created_at) VALUES ";
    for chunk in users.chunks(BATCH) {
        let mut insert = crate::insert(HEAD, chunk.len(), 9, "");
        for user in chunk {
            insert = insert
                .bind(&user.id)
                .bind(user.username.as_str())
                .bind(user.username.canonical())
                .bind(&user.display_name)
                .bind(&user.email)
                .bind(&user.attributes)
                .bind(&user.disabled_at)
                .bind(&user.must_change_password)
                .bind(&user.created_at);
        }
        write.execute(insert).await?;
    }
    Ok(())
}

/// By identifier.
pub async fn find(read: &mut Read, id: &UserId) -> Result<Option<User>, StoreError> {
    let find =
        sql("SELECT id, username, display_name, email, attributes, disabled_at, must_change_password, created_at
                    FROM users WHERE id = $1");
    read.optional(find.bind(id)).await?.as_ref().map(user).transpose()
}

/// Whether somebody may sign in: is there, not disabled, and need not change the password first. For whoever wants to know no more of the person.
pub async fn may_sign_in(read: &mut Read, id: &UserId) -> Result<bool, StoreError> {
    let find = sql("SELECT 1 AS may FROM users WHERE id = $1 AND disabled_at IS NULL AND must_change_password = 0");
    Ok(read.optional(find.bind(id)).await?.is_some())
}

/// By name, whatever case or width it is typed in.
pub async fn by_username(read: &mut Read, username: &Username) -> Result<Option<User>, StoreError> {
    let find =
        sql("SELECT id, username, display_name, email, attributes, disabled_at, must_change_password, created_at
                    FROM users WHERE canonical = $1");
    read.optional(find.bind(username.canonical())).await?.as_ref().map(user).transpose()
}

/// By name, with their password if they have one.
pub async fn with_password(
    read: &mut Read,
    username: &Username,
) -> Result<Option<(User, Option<Password>)>, StoreError> {
    let row = read.optional(finding_with_password(username)).await?;
    row.as_ref().map(user_with_password).transpose().map(Option::flatten)
}

pub(crate) fn finding_with_password(username: &Username) -> Statement {
    let find =
        sql("SELECT id, username, display_name, email, attributes, disabled_at, must_change_password, created_at,
                        hash, changed_at
                    FROM users LEFT JOIN passwords ON passwords.user_id = users.id WHERE canonical = $1");
    find.bind(username.canonical())
}

/// Who is in a row of [`finding_with_password`], which may stand beside other columns and be empty.
pub(crate) fn user_with_password(row: &Row) -> Result<Option<(User, Option<Password>)>, StoreError> {
    let Some(_) = row.text("id")? else { return Ok(None) };
    Ok(Some((user(row)?, authenticators::password(row)?)))
}

/// Up to `limit` users whose canonical name begins with `prefix` (empty: all) and comes after `after` (empty: from the
/// first), in the order of canonical names. The next page begins after the last one's `username.canonical()`.
pub async fn list(read: &mut Read, prefix: &str, after: &str, limit: u32) -> Result<Vec<User>, StoreError> {
    let list = sql(
        "SELECT id, username, display_name, email, attributes, disabled_at, must_change_password, created_at
                    FROM users WHERE canonical > $1 AND canonical >= $2 AND canonical < $3 ORDER BY canonical LIMIT $4",
    );
    // Nothing that can be typed sorts after the last code point.
    let beyond = format!("{prefix}\u{10ffff}");
    let list = list.bind(after).bind(prefix).bind(&beyond).bind(&limit);
    read.all(list.long()).await?.iter().map(user).collect()
}

/// How many users there are.
pub async fn count(read: &mut Read) -> Result<i64, StoreError> {
    read.one(sql("SELECT COUNT(*) AS count FROM users").long()).await?.column("count")
}

/// Stores name, display name, e-mail address and attributes as they are in `user`; whether there is such a user.
/// [`set_disabled`] and [`set_must_change_password`] change the rest.
pub async fn update(write: &mut Write, user: &User, now: Timestamp) -> Result<bool, StoreError> {
    let update = sql("UPDATE users SET username = $2, canonical = $3, display_name = $4, email = $5, attributes = $6
                      WHERE id = $1");
    let update = update
        .bind(&user.id)
        .bind(user.username.as_str())
        .bind(user.username.canonical())
        .bind(&user.display_name)
        .bind(&user.email)
        .bind(&user.attributes);
    let found = write.execute(update).await? > 0;
    if found {
        write.change(now, Change::UserChanged { user: user.id });
    }
    Ok(found)
}

/// Disables a user, which ends every session at once, or enables one again. Whether that changed anything.
pub async fn set_disabled(write: &mut Write, id: &UserId, disabled: bool, now: Timestamp) -> Result<bool, StoreError> {
    let update = sql("UPDATE users SET disabled_at = $2 WHERE id = $1 AND (disabled_at IS NULL) = ($2 IS NOT NULL)");
    let disabled_at = disabled.then_some(now);
    if write.execute(update.bind(id).bind(&disabled_at)).await? == 0 {
        return Ok(false);
    }
    if disabled {
        write.change(now, Change::UserDisabled { user: *id });
        sessions::end_all_of(write, id, None, EndReason::UserDisabled, now).await?;
    } else {
        write.change(now, Change::UserChanged { user: *id });
    }
    Ok(true)
}

/// Whether the next sign-in must choose a new password first. Whether there is such a user.
pub async fn set_must_change_password(
    write: &mut Write,
    id: &UserId,
    must: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let update = sql("UPDATE users SET must_change_password = $2 WHERE id = $1");
    let found = write.execute(update.bind(id).bind(&must)).await? > 0;
    if found {
        write.change(now, Change::UserChanged { user: *id });
    }
    Ok(found)
}

/// Removes a user with everything that belongs to them except the audit log. Whether there was one.
pub async fn remove(write: &mut Write, id: &UserId, now: Timestamp) -> Result<bool, StoreError> {
    sessions::end_all_of(write, id, None, EndReason::UserRemoved, now).await?;
    let removed = write.execute(sql("DELETE FROM users WHERE id = $1").bind(id)).await? > 0;
    if removed {
        write.change(now, Change::UserDisabled { user: *id });
    }
    Ok(removed)
}

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.column("id")?,
        username: row.column("username")?,
        display_name: row.column("display_name")?,
        email: row.optional("email")?,
        attributes: row.json("attributes")?,
        disabled_at: row.optional("disabled_at")?,
        must_change_password: row.column("must_change_password")?,
        created_at: row.column("created_at")?,
    })
}
