//! Sessions that an upstream has to end: rows of `upstream_logouts`, written in the transaction that ended ours. Protocol §9 number 7, §10.
//!
//! At least once: a row is claimed for a while, and comes up again unless it is settled by then.

use hallpass_core::id::{SessionId, UserId};
use hallpass_core::logout::Told;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamId;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write};

/// One session there that is to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamLogout {
    /// Ours, which has ended.
    pub session: SessionId,
    /// Which upstream.
    pub upstream: String,
    /// Theirs.
    pub upstream_session: UpstreamId,
    /// Whose.
    pub user: UserId,
    /// When ours ended.
    pub created_at: Timestamp,
    /// How often it has been claimed.
    pub attempts: u32,
    /// How far it has come.
    pub told: Told,
}

/// Writes down that a session there is to be ended.
pub(crate) async fn note(
    write: &mut Write,
    session: &SessionId,
    upstream: &str,
    upstream_session: &UpstreamId,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let note = sql(
        "INSERT INTO upstream_logouts (session_id, upstream, upstream_session, user_id, created_at, due_at, attempts)
                    VALUES ($1, $2, $3, $4, $5, $5, 0) ON CONFLICT (session_id) DO NOTHING",
    );
    write.execute(note.bind(session).bind(upstream).bind(upstream_session).bind(user).bind(&now)).await?;
    Ok(())
}

/// Takes back what [`note`] wrote for this session in the same transaction, if it is about that session there.
pub(crate) async fn withdraw(
    write: &mut Write,
    session: &SessionId,
    upstream: &str,
    upstream_session: &UpstreamId,
) -> Result<(), StoreError> {
    let withdraw = sql("DELETE FROM upstream_logouts
                        WHERE session_id = $1 AND upstream = $2 AND upstream_session = $3 AND attempts = 0");
    write.execute(withdraw.bind(session).bind(upstream).bind(upstream_session)).await?;
    Ok(())
}

/// Claims up to `limit` that are due, until `until`. Nobody else gets them before that. Commit before delivering.
pub async fn claim(
    write: &mut Write,
    upstream: &str,
    until: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<UpstreamLogout>, StoreError> {
    let due = sql("SELECT session_id FROM upstream_logouts
                   WHERE due_at <= $1 AND upstream = $2 AND delivered_at IS NULL AND given_up_at IS NULL
                   ORDER BY due_at, session_id LIMIT $3");
    let mut claimed = Vec::new();
    for row in write.all(due.bind(&now).bind(upstream).bind(&limit)).await? {
        let session: SessionId = row.column("session_id")?;
        // Asks again: another node may have claimed it between the two statements.
        let claim = sql("UPDATE upstream_logouts SET due_at = $2, attempts = attempts + 1
                         WHERE session_id = $1 AND due_at <= $3 AND delivered_at IS NULL AND given_up_at IS NULL
                         RETURNING session_id, upstream, upstream_session, user_id, created_at, attempts, delivered_at,
                             given_up_at");
        let claim = claim.bind(&session).bind(&until).bind(&now);
        claimed.extend(write.optional(claim).await?.as_ref().map(logout).transpose()?);
    }
    Ok(claimed)
}

/// Whether any is due: cheap to ask.
pub async fn is_any_due(read: &mut Read, now: Timestamp) -> Result<bool, StoreError> {
    let due = sql("SELECT session_id FROM upstream_logouts
                   WHERE due_at <= $1 AND delivered_at IS NULL AND given_up_at IS NULL LIMIT 1");
    Ok(read.optional(due.bind(&now)).await?.is_some())
}

/// It has ended there.
pub async fn delivered(write: &mut Write, logout: &UpstreamLogout, now: Timestamp) -> Result<(), StoreError> {
    let delivered = sql("UPDATE upstream_logouts SET delivered_at = $2 WHERE session_id = $1 AND delivered_at IS NULL");
    write.execute(delivered.bind(&logout.session).bind(&now)).await?;
    Ok(())
}

/// Not delivered; to be tried again at `due_at`.
pub async fn retry(write: &mut Write, logout: &UpstreamLogout, due_at: Timestamp) -> Result<(), StoreError> {
    let retry = sql("UPDATE upstream_logouts SET due_at = $2
                     WHERE session_id = $1 AND delivered_at IS NULL AND given_up_at IS NULL");
    write.execute(retry.bind(&logout.session).bind(&due_at)).await?;
    Ok(())
}

/// Given up; kept for a while, to be looked at.
pub async fn give_up(write: &mut Write, logout: &UpstreamLogout, now: Timestamp) -> Result<(), StoreError> {
    let give_up = sql("UPDATE upstream_logouts SET given_up_at = $2 WHERE session_id = $1 AND delivered_at IS NULL");
    write.execute(give_up.bind(&logout.session).bind(&now)).await?;
    Ok(())
}

/// What is to be ended there because this session has ended here.
pub async fn of_session(read: &mut Read, session: &SessionId) -> Result<Option<UpstreamLogout>, StoreError> {
    let find =
        sql("SELECT session_id, upstream, upstream_session, user_id, created_at, attempts, delivered_at, given_up_at
                    FROM upstream_logouts WHERE session_id = $1");
    read.optional(find.bind(session)).await?.as_ref().map(logout).transpose()
}

/// Deletes up to `limit` that were made before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM upstream_logouts WHERE session_id IN
                        (SELECT session_id FROM upstream_logouts WHERE created_at < $1 ORDER BY session_id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

fn logout(row: &Row) -> Result<UpstreamLogout, StoreError> {
    let (delivered, given_up): (Option<Timestamp>, Option<Timestamp>) =
        (row.optional("delivered_at")?, row.optional("given_up_at")?);
    Ok(UpstreamLogout {
        session: row.column("session_id")?,
        upstream: row.column("upstream")?,
        upstream_session: row.column("upstream_session")?,
        user: row.column("user_id")?,
        created_at: row.column("created_at")?,
        attempts: row.column("attempts")?,
        told: match (delivered, given_up) {
            (Some(_), _) => Told::SignedOut,
            (None, Some(_)) => Told::Unreachable,
            (None, None) => Told::Retrying,
        },
    })
}
