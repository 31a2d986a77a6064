//! Facts about the installation itself: its identifier, when it was made, when it was restored from a backup.

use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write};

/// The installation's own identifier; text.
pub const INSTALLATION: &str = "installation";
/// When the installation was made; milliseconds since the epoch.
pub const CREATED_AT: &str = "created_at";
/// The fingerprint of the master key that it was made with.
pub const MASTER_KEY: &str = "master_key";
/// When it was last restored from a backup; milliseconds since the epoch.
pub const RESTORED_AT: &str = "restored_at";

/// What is written under `name`.
pub async fn find(read: &mut Read, name: &str) -> Result<Option<String>, StoreError> {
    let row = read.optional(sql("SELECT value FROM meta WHERE name = $1").bind(name)).await?;
    row.map(|row| row.column("value")).transpose()
}

/// An instant that is written under `name`.
pub async fn find_instant(read: &mut Read, name: &str) -> Result<Option<Timestamp>, StoreError> {
    let text = find(read, name).await?;
    text.map(|text| text.parse().map(Timestamp::from_millis).map_err(StoreError::broken)).transpose()
}

/// Writes `value` under `name`, whatever was there.
pub async fn set(write: &mut Write, name: &str, value: &str) -> Result<(), StoreError> {
    let set =
        sql("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    write.execute(set.bind(name).bind(value)).await?;
    Ok(())
}

/// Writes `value` under `name` unless something is there. Returns what is there then: of several nodes that start at once on
/// an empty database, all get the same answer.
pub async fn set_once(write: &mut Write, name: &str, value: &str) -> Result<String, StoreError> {
    let set = sql("INSERT INTO meta (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = meta.value RETURNING value");
    write.one(set.bind(name).bind(value)).await?.column("value")
}
