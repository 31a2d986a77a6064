//! What people prove with who they are: for now, passwords. The database holds hashes in PHC string format only.

use std::fmt;

use hallpass_core::id::UserId;
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{BATCH, Read, Write};

/// A stored password hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// PHC string: `$argon2id$v=19$…`.
    pub hash: String,
    /// When the password itself was chosen; a rehash of the same password leaves it alone.
    pub changed_at: Timestamp,
}

/// Without the hash, which a log reader could attack at leisure.
impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Password(changed {:?})", self.changed_at)
    }
}

/// A user's password, if they have one.
pub async fn find_password(read: &mut Read, user: &UserId) -> Result<Option<Password>, StoreError> {
    let find = sql("SELECT hash, changed_at FROM passwords WHERE user_id = $1");
    Ok(read.optional(find.bind(user)).await?.as_ref().map(password).transpose()?.flatten())
}

/// The password in a row that may have none.
pub(crate) fn password(row: &Row) -> Result<Option<Password>, StoreError> {
    let Some(hash) = row.optional("hash")? else { return Ok(None) };
    Ok(Some(Password { hash, changed_at: row.column("changed_at")? }))
}

/// Sets the password that a user has chosen or been given.
pub async fn set_password(write: &mut Write, user: &UserId, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    let set = sql("INSERT INTO passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)
                   ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at");
    write.execute(set.bind(user).bind(hash).bind(&now)).await?;
    Ok(())
}

/// Sets many at once: `(user, PHC string)`. For imports; conflicts on `passwords(user_id)` where there is one already.
pub async fn add_passwords(
    write: &mut Write,
    passwords: &[(UserId, String)],
    now: Timestamp,
) -> Result<(), StoreError> {
    for chunk in passwords.chunks(BATCH) {
        let head = "INSERT INTO passwords (user_id, hash, changed_at) VALUES ";
        let mut insert = crate::insert(head, chunk.len(), 3, "");
        for (user, hash) in chunk {
            insert = insert.bind(user).bind(hash).bind(&now);
        }
        write.execute(insert).await?;
    }
    Ok(())
}

/// Replaces the hash of the same password by a stronger one, unless the password has been changed meanwhile: without the
/// guard, a slow rehash of the old password would undo the change. Whether it was replaced.
pub async fn rehash_password(write: &mut Write, user: &UserId, old: &str, new: &str) -> Result<bool, StoreError> {
    let rehash = sql("UPDATE passwords SET hash = $3 WHERE user_id = $1 AND hash = $2");
    Ok(write.execute(rehash.bind(user).bind(old).bind(new)).await? > 0)
}
