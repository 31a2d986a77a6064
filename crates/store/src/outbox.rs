//! The outbox: what has to be delivered (alerts, webhooks, mail), stored in the transaction that caused it.
//!
//! At least once: a message is claimed for a while, and comes up again unless it is marked done or dead by then.

use hallpass_core::time::Timestamp;

use crate::columns::json;
use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write};

/// Something to deliver.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Chosen by whoever adds it; adding the same one again does nothing.
    pub id: String,
    /// By which way: `mail`, `webhook`, …
    pub kind: String,
    /// What, and to whom.
    pub payload: serde_json::Value,
    /// When it was added.
    pub created_at: Timestamp,
    /// Not to be tried before.
    pub due_at: Timestamp,
    /// How often it has been claimed.
    pub attempts: u32,
}

/// Adds a message. Whether it was not there yet.
pub async fn add(write: &mut Write, message: &Message) -> Result<bool, StoreError> {
    let add =
        sql("INSERT INTO outbox (id, kind, payload, created_at, due_at, attempts) VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (id) DO NOTHING");
    let add = add
        .bind(&message.id)
        .bind(&message.kind)
        .bind(&json(&message.payload)?)
        .bind(&message.created_at)
        .bind(&message.due_at)
        .bind(&message.attempts);
    Ok(write.execute(add).await? > 0)
}

/// Claims up to `limit` messages that are due, until `until`. Nobody else gets them before that. Commit before delivering.
pub async fn claim(
    write: &mut Write,
    until: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Message>, StoreError> {
    let due = sql("SELECT id FROM outbox WHERE due_at <= $1 AND done_at IS NULL AND dead_at IS NULL
                   ORDER BY due_at, id LIMIT $2");
    let mut claimed = Vec::new();
    for row in write.all(due.bind(&now).bind(&limit)).await? {
        let id: String = row.column("id")?;
        // Asks again: another node may have claimed it between the two statements.
        let claim = sql("UPDATE outbox SET due_at = $2, attempts = attempts + 1
                         WHERE id = $1 AND due_at <= $3 AND done_at IS NULL AND dead_at IS NULL
                         RETURNING id, kind, payload, created_at, due_at, attempts");
        let row = write.optional(claim.bind(&id).bind(&until).bind(&now)).await?;
        claimed.extend(row.as_ref().map(message).transpose()?);
    }
    Ok(claimed)
}

/// Delivered. Whether it was still open.
pub async fn done(write: &mut Write, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let done = sql("UPDATE outbox SET done_at = $2 WHERE id = $1 AND done_at IS NULL AND dead_at IS NULL");
    Ok(write.execute(done.bind(id).bind(&now)).await? > 0)
}

/// Not delivered; to be tried again at `due_at`. Whether it was still open.
pub async fn retry(write: &mut Write, id: &str, due_at: Timestamp) -> Result<bool, StoreError> {
    let retry = sql("UPDATE outbox SET due_at = $2 WHERE id = $1 AND done_at IS NULL AND dead_at IS NULL");
    Ok(write.execute(retry.bind(id).bind(&due_at)).await? > 0)
}

/// Given up; kept, to be looked at. Whether it was still open.
pub async fn dead(write: &mut Write, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let dead = sql("UPDATE outbox SET dead_at = $2 WHERE id = $1 AND done_at IS NULL AND dead_at IS NULL");
    Ok(write.execute(dead.bind(id).bind(&now)).await? > 0)
}

/// Up to `limit` messages that were given up, the latest first.
pub async fn all_dead(read: &mut Read, limit: u32) -> Result<Vec<Message>, StoreError> {
    let all = sql("SELECT id, kind, payload, created_at, due_at, attempts FROM outbox WHERE dead_at IS NOT NULL
                   ORDER BY dead_at DESC, id LIMIT $1");
    read.all(all.long().bind(&limit)).await?.iter().map(message).collect()
}

/// Deletes up to `limit` messages that were delivered before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at < $1 ORDER BY id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

fn message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: row.column("id")?,
        kind: row.column("kind")?,
        payload: row.json("payload")?,
        created_at: row.column("created_at")?,
        due_at: row.column("due_at")?,
        attempts: row.column("attempts")?,
    })
}
