//! Known devices: which people have signed in with a browser before. For throttling only; a mark never signs anybody in.

use hallpass_core::id::UserId;
use hallpass_core::secret::{DeviceMark, Digest};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write};

/// Whether this user has signed in with the browser that shows this mark.
pub async fn is_known(read: &mut Read, mark: &Digest<DeviceMark>, user: &UserId) -> Result<bool, StoreError> {
    let known = sql("SELECT last_seen_at FROM devices WHERE digest = $1 AND user_id = $2");
    Ok(read.optional(known.bind(mark).bind(user)).await?.is_some())
}

/// Remembers that this user has signed in with the browser that shows this mark.
pub async fn remember(
    write: &mut Write,
    mark: &Digest<DeviceMark>,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let remember = sql("INSERT INTO devices (digest, user_id, created_at, last_seen_at) VALUES ($1, $2, $3, $3)
                        ON CONFLICT (digest, user_id) DO UPDATE SET last_seen_at = excluded.last_seen_at
                        WHERE devices.last_seen_at < excluded.last_seen_at");
    write.defer(remember.bind(mark).bind(user).bind(&now)).await
}

/// Forgets all browsers of a user: after a stolen password, the thief's is among them. How many there were.
pub async fn forget_all_of(write: &mut Write, user: &UserId) -> Result<u64, StoreError> {
    write.execute(sql("DELETE FROM devices WHERE user_id = $1").bind(user)).await
}

/// Deletes up to `limit` marks that were last seen before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM devices WHERE (digest, user_id) IN
                        (SELECT digest, user_id FROM devices WHERE last_seen_at < $1 ORDER BY digest, user_id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}
