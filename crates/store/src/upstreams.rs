//! Upstreams: which identity there is which user here, and which sessions stand on a session of theirs. Protocol §10.
//!
//! A session that stands on another one is looked at again and again while it is used. A check is claimed for a while, so that several nodes do
//! not make it twice; one that is lost with its node comes up again.

use hallpass_core::id::{SessionId, UserId};
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamId;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::view::TOUCH_STEP;
use crate::{Read, Write, upstream_logouts};

/// What a session stands on.
#[derive(Clone, PartialEq, Eq)]
pub struct Footing {
    /// Which session.
    pub session: SessionId,
    /// Which upstream.
    pub upstream: String,
    /// Who the person is there.
    pub identity: UpstreamId,
    /// What the session is called there.
    pub upstream_session: UpstreamId,
    /// What is shown to the upstream to ask about it; sealed.
    pub credential: Vec<u8>,
    /// Whether it is to be ended there when somebody ends ours.
    pub ends_there: bool,
    /// When the upstream last said that it is live.
    pub checked_at: Timestamp,
    /// Since when the upstream could not be asked.
    pub failing_since: Option<Timestamp>,
    /// Not to be asked about again before.
    pub due_at: Timestamp,
}

/// Without the credential, sealed as it is.
impl std::fmt::Debug for Footing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Footing")
            .field("session", &self.session)
            .field("upstream", &self.upstream)
            .field("checked_at", &self.checked_at)
            .field("failing_since", &self.failing_since)
            .finish_non_exhaustive()
    }
}

/// The user that an identity there has been tied to. What an upstream is called is its own to say: `kratos`, or the issuer of its ID tokens.
pub async fn user_of(read: &mut Read, upstream: &str, identity: &str) -> Result<Option<UserId>, StoreError> {
    let find = sql("SELECT user_id FROM upstream_identities WHERE upstream = $1 AND identity = $2");
    read.optional(find.bind(upstream).bind(identity)).await?.map(|row| row.column("user_id")).transpose()
}

/// Who a user is there.
pub async fn identity_of(read: &mut Read, upstream: &str, user: &UserId) -> Result<Option<String>, StoreError> {
    let find = sql("SELECT identity FROM upstream_identities WHERE user_id = $1 AND upstream = $2");
    read.optional(find.bind(user).bind(upstream)).await?.map(|row| row.column("identity")).transpose()
}

/// Where a user is somebody, and who: upstream and identity.
pub async fn of_user(read: &mut Read, user: &UserId) -> Result<Vec<(String, String)>, StoreError> {
    let all = sql("SELECT upstream, identity FROM upstream_identities WHERE user_id = $1 ORDER BY upstream");
    read.all(all.bind(user)).await?.iter().map(|row| Ok((row.column("upstream")?, row.column("identity")?))).collect()
}

/// Unties a user from their identity there. `false` if there is none.
pub async fn unlink(write: &mut Write, upstream: &str, user: &UserId) -> Result<bool, StoreError> {
    let unlink = sql("DELETE FROM upstream_identities WHERE user_id = $1 AND upstream = $2");
    Ok(write.execute(unlink.bind(user).bind(upstream)).await? > 0)
}

/// Whether a user was made for their identity there.
pub async fn has_made(read: &mut Read, upstream: &str, user: &UserId) -> Result<bool, StoreError> {
    let find = sql("SELECT made_user FROM upstream_identities WHERE user_id = $1 AND upstream = $2");
    let row = read.optional(find.bind(user).bind(upstream)).await?;
    row.map_or(Ok(false), |row| row.column("made_user"))
}

/// Ties an identity to a user, who may have been `made` for it. `false`, and nothing is stored, when either has been tied already: of two that do it at once, one is told `true`.
pub async fn link(
    write: &mut Write,
    upstream: &str,
    identity: &str,
    user: &UserId,
    made: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let link = sql("INSERT INTO upstream_identities (upstream, identity, user_id, created_at, made_user)
                    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING");
    Ok(write.execute(link.bind(upstream).bind(identity).bind(user).bind(&now).bind(&made)).await? > 0)
}

/// Puts a session that has just started on its footing. `false`, and nothing is stored, when somebody here has ended another session that stood on
/// the same one: it is about to be ended there.
///
/// `replaced` is the session that this one takes the place of in its browser: what is the same footing goes on.
pub async fn stand(write: &mut Write, footing: &Footing, replaced: Option<&SessionId>) -> Result<bool, StoreError> {
    if let Some(replaced) = replaced {
        upstream_logouts::withdraw(write, replaced, &footing.upstream, &footing.upstream_session).await?;
    }
    let stand =
        sql("INSERT INTO session_upstreams (session_id, upstream, identity, upstream_session, credential, ends_there,
                         checked_at, failing_since, due_at)
                     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
                     WHERE NOT EXISTS (SELECT 1 FROM upstream_logouts WHERE upstream = $2 AND upstream_session = $4)");
    let stand = stand
        .bind(&footing.session)
        .bind(&*footing.upstream)
        .bind(&footing.identity)
        .bind(&footing.upstream_session)
        .bind(&footing.credential)
        .bind(&footing.ends_there)
        .bind(&footing.checked_at)
        .bind(&footing.failing_since)
        .bind(&footing.due_at);
    Ok(write.execute(stand).await? > 0)
}

/// What a session stands on, if it does and has not ended.
pub async fn footing(read: &mut Read, session: &SessionId) -> Result<Option<Footing>, StoreError> {
    let find = sql("SELECT session_id, upstream, identity, upstream_session, credential, ends_there, checked_at,
                        failing_since, due_at FROM session_upstreams WHERE session_id = $1");
    read.optional(find.bind(session)).await?.as_ref().map(read_footing).transpose()
}

/// Claims up to `limit` sessions whose footing has to be looked at, until `until`. Nobody else gets them before that. Commit before asking.
///
/// Due are those that have been used since they were last looked at, and those that could not be looked at. Activity is written down some minutes
/// late, so a session counts as used for so long after what is written.
pub async fn claim(
    write: &mut Write,
    upstream: &str,
    until: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Footing>, StoreError> {
    let mut claimed = Vec::new();
    for session in due(write, upstream, limit, now).await? {
        // Asks again: another node may have claimed it between the two statements.
        let claim = sql("UPDATE session_upstreams SET due_at = $2 WHERE session_id = $1 AND due_at <= $3
                         RETURNING session_id, upstream, identity, upstream_session, credential, ends_there, checked_at,
                             failing_since, due_at");
        let claim = claim.bind(&session).bind(&until).bind(&now);
        claimed.extend(write.optional(claim).await?.as_ref().map(read_footing).transpose()?);
    }
    Ok(claimed)
}

/// Whether any is due: asks without waiting for whoever writes.
pub async fn is_any_due(read: &mut Read, upstream: &str, now: Timestamp) -> Result<bool, StoreError> {
    Ok(!due(read, upstream, 1, now).await?.is_empty())
}

async fn due(read: &mut Read, upstream: &str, limit: u32, now: Timestamp) -> Result<Vec<SessionId>, StoreError> {
    let due = sql("SELECT session_upstreams.session_id
                   FROM session_upstreams JOIN sessions ON sessions.id = session_upstreams.session_id
                   WHERE session_upstreams.due_at <= $1 AND session_upstreams.upstream = $2 AND sessions.expires_at > $1
                       AND (session_upstreams.failing_since IS NOT NULL OR sessions.last_seen_at + $3 > session_upstreams.checked_at)
                   ORDER BY session_upstreams.due_at, session_upstreams.session_id LIMIT $4");
    let step = i64::from(TOUCH_STEP) * 1000;
    let due = due.bind(&now).bind(upstream).bind(&step).bind(&limit);
    read.all(due).await?.iter().map(|row| row.column("session_id")).collect()
}

/// The upstream says that it is live, and calls it so. Never moves a time back.
pub async fn found_alive(
    write: &mut Write,
    session: &SessionId,
    upstream_session: &UpstreamId,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let alive =
        sql("UPDATE session_upstreams SET checked_at = $2, due_at = $3, upstream_session = $4, failing_since = NULL
                     WHERE session_id = $1 AND checked_at <= $2");
    write.execute(alive.bind(session).bind(&now).bind(&due_at).bind(upstream_session)).await?;
    Ok(())
}

/// The upstream could not be asked; to be tried again at `due_at`.
pub async fn not_reached(
    write: &mut Write,
    session: &SessionId,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failing = sql("UPDATE session_upstreams SET failing_since = COALESCE(failing_since, $2), due_at = $3
                       WHERE session_id = $1 AND checked_at <= $2");
    write.execute(failing.bind(session).bind(&now).bind(&due_at)).await?;
    Ok(())
}

/// A session has just ended: its credential goes, and what it stood on is to be ended too if somebody here wanted that.
pub(crate) async fn fall(
    write: &mut Write,
    session: &SessionId,
    user: &UserId,
    reason: EndReason,
    now: Timestamp,
) -> Result<(), StoreError> {
    let fall = sql("DELETE FROM session_upstreams WHERE session_id = $1
                    RETURNING upstream, upstream_session, ends_there");
    let Some(row) = write.optional(fall.bind(session)).await? else { return Ok(()) };
    if row.column("ends_there")? && reason.ends_upstream() {
        let (upstream, there): (String, UpstreamId) = (row.column("upstream")?, row.column("upstream_session")?);
        upstream_logouts::note(write, session, &upstream, &there, user, now).await?;
    }
    Ok(())
}

/// Deletes up to `limit` credentials of sessions that have run out by themselves. How many went.
pub async fn prune(write: &mut Write, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM session_upstreams WHERE session_id IN
                        (SELECT session_upstreams.session_id
                         FROM session_upstreams JOIN sessions ON sessions.id = session_upstreams.session_id
                         WHERE sessions.expires_at <= $1 OR sessions.last_seen_at + sessions.inactivity + $2 <= $1
                         ORDER BY session_upstreams.session_id LIMIT $3)");
    write.execute(prune.long().bind(&now).bind(&(i64::from(TOUCH_STEP) * 1000)).bind(&limit)).await
}

fn read_footing(row: &Row) -> Result<Footing, StoreError> {
    Ok(Footing {
        session: row.column("session_id")?,
        upstream: row.column("upstream")?,
        identity: row.column("identity")?,
        upstream_session: row.column("upstream_session")?,
        credential: row.column("credential")?,
        ends_there: row.column("ends_there")?,
        checked_at: row.column("checked_at")?,
        failing_since: row.optional("failing_since")?,
        due_at: row.column("due_at")?,
    })
}
