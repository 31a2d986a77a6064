//! The change feed: one row for every write that could alter an introspection answer, appended in the same transaction.
//!
//! Positions count up by one without gaps, in the order of commits, on both databases: a transaction takes its positions
//! as its last act, by updating one row whose lock it holds until it has committed. So whoever has seen position *n* has
//! seen everything that was committed before it, and a missing number means "not yet read", never "rolled back".

use hallpass_core::id::{AppKey, SessionId, UserId};
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{BATCH, Read, Write};

/// The PostgreSQL channel on which commits are announced.
pub(crate) const CHANNEL: &str = "hallpass_changes";

/// Something that could alter an introspection answer. A session that starts does not: it has a new name, and nobody keeps "unknown".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A session ended.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Whose it was.
        user: UserId,
        /// Why.
        reason: EndReason,
    },
    /// A session got a new secret, a later authentication or other lifetimes.
    SessionChanged {
        /// Which.
        session: SessionId,
        /// Whose it is.
        user: UserId,
    },
    /// A user's name, attributes, roles, permissions or groups are different, or the user was enabled again.
    UserChanged {
        /// Who.
        user: UserId,
    },
    /// A user was disabled or removed.
    UserDisabled {
        /// Who.
        user: UserId,
    },
    /// Apps, their secrets, zones, roles, what roles give, or what groups are given, are different.
    PolicyChanged {
        /// The app, if it concerns one only.
        app: Option<AppKey>,
    },
    /// A signing key was added or retired.
    KeysChanged,
}

/// A change that is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the feed, from 1.
    pub position: i64,
    /// When it was made, by the clock of the node that made it.
    pub at: Timestamp,
    /// What it is.
    pub change: Change,
}

/// The position of the last committed change; 0 before the first.
pub async fn position(read: &mut Read) -> Result<i64, StoreError> {
    read.one(sql("SELECT position FROM feed WHERE id = 1")).await?.column("position")
}

/// The position of the oldest change that is still kept; the next one to come when none is.
pub async fn oldest(read: &mut Read) -> Result<i64, StoreError> {
    let oldest =
        "SELECT COALESCE((SELECT MIN(position) FROM changes), feed.position + 1) AS oldest FROM feed WHERE id = 1";
    read.one(sql(oldest)).await?.column("oldest")
}

/// Up to `limit` changes after `position`, in order. Compare with [`oldest`] in the same `read` to see whether some are gone.
pub async fn since(read: &mut Read, position: i64, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let since = sql("SELECT position, at, kind, session_id, user_id, app_key, reason FROM changes
                     WHERE position > $1 ORDER BY position LIMIT $2");
    read.all(since.bind(&position).bind(&limit)).await?.iter().map(entry).collect()
}

/// Forgets changes made before `before`, at most `limit`. Always keeps the last one. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM changes WHERE position IN
                        (SELECT position FROM changes WHERE at < $1 AND position < (SELECT position FROM feed WHERE id = 1)
                         ORDER BY position LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

/// Gives `changes` their positions and appends them: the last statements of a transaction.
pub(crate) async fn append(write: &mut Write, changes: Vec<(Timestamp, Change)>) -> Result<Vec<Entry>, StoreError> {
    let count = i64::try_from(changes.len()).map_err(StoreError::unavailable)?;
    let advance = sql("UPDATE feed SET position = position + $1 WHERE id = 1 RETURNING position");
    let last: i64 = write.one(advance.bind(&count)).await?.column("position")?;
    let numbered = changes.into_iter().zip(last - count + 1..);
    let entries: Vec<Entry> = numbered.map(|((at, change), position)| Entry { position, at, change }).collect();
    for chunk in entries.chunks(BATCH) {
        let head = "INSERT INTO changes (position, at, kind, session_id, user_id, app_key, reason) VALUES ";
        let mut insert = crate::insert(head, chunk.len(), 7, "");
        for entry in chunk {
            let (kind, session, user, app, reason) = columns(&entry.change);
            insert = insert.bind(&entry.position).bind(&entry.at).bind(kind);
            insert = insert.bind(&session).bind(&user).bind(&app).bind(&reason);
        }
        write.execute(insert).await?;
    }
    Ok(entries)
}

type Columns<'a> = (&'static str, Option<SessionId>, Option<UserId>, Option<&'a AppKey>, Option<EndReason>);

fn columns(change: &Change) -> Columns<'_> {
    match change {
        Change::SessionEnded { session, user, reason } => {
            ("session_ended", Some(*session), Some(*user), None, Some(*reason))
        }
        Change::SessionChanged { session, user } => ("session_changed", Some(*session), Some(*user), None, None),
        Change::UserChanged { user } => ("user_changed", None, Some(*user), None, None),
        Change::UserDisabled { user } => ("user_disabled", None, Some(*user), None, None),
        Change::PolicyChanged { app } => ("policy_changed", None, None, app.as_ref(), None),
        Change::KeysChanged => ("keys_changed", None, None, None, None),
    }
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    let session = || row.column("session_id");
    let user = || row.column("user_id");
    let change = match row.text("kind")?.unwrap_or_default() {
        "session_ended" => Change::SessionEnded { session: session()?, user: user()?, reason: row.column("reason")? },
        "session_changed" => Change::SessionChanged { session: session()?, user: user()? },
        "user_changed" => Change::UserChanged { user: user()? },
        "user_disabled" => Change::UserDisabled { user: user()? },
        "policy_changed" => Change::PolicyChanged { app: row.optional("app_key")? },
        "keys_changed" => Change::KeysChanged,
        // Written by a newer node. What is not understood must not be passed over.
        unknown => return Err(StoreError::broken(format_args!("unknown kind of change {unknown:?}"))),
    };
    Ok(Entry { position: row.column("position")?, at: row.column("at")?, change })
}
