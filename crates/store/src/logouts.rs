//! Who has to be told that a session has ended: rows of `logouts`, written in the transaction that ends it. Protocol §9.
//!
//! At least once: a row is claimed for a while, and comes up again unless it is settled by then.

use hallpass_core::id::{AppKey, SessionId, UserId};
use hallpass_core::logout::{LogoutUrl, Told};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write};

/// One app to be told of one session at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// Who is told.
    pub app: AppKey,
    /// Where.
    pub url: LogoutUrl,
    /// When the session ended, or the app's part in it became known.
    pub created_at: Timestamp,
    /// How often it has been claimed.
    pub attempts: u32,
    /// How far it has come.
    pub told: Told,
}

/// Writes down whom to tell of a session that has just ended.
pub(crate) async fn note(
    write: &mut Write,
    session: &SessionId,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let note = sql("INSERT INTO logouts (session_id, app_key, url, user_id, created_at, due_at, attempts)
                    SELECT $1, app_logout_urls.app_key, app_logout_urls.url, $2, $3, $3, 0
                    FROM session_apps JOIN app_logout_urls ON app_logout_urls.app_key = session_apps.app_key
                    WHERE session_apps.session_id = $1
                    ON CONFLICT (session_id, app_key, url) DO NOTHING");
    write.execute(note.bind(session).bind(user).bind(&now)).await?;
    Ok(())
}

/// The same for those of these sessions that have ended already: an app may have asked a moment before the end, at a node that wrote it down a
/// moment after.
pub(crate) async fn note_late(write: &mut Write, sessions: &[&SessionId], now: Timestamp) -> Result<(), StoreError> {
    let places = (2..sessions.len() + 2).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let late = crate::sql::composed_sql(format!(
        "INSERT INTO logouts (session_id, app_key, url, user_id, created_at, due_at, attempts)
         SELECT sessions.id, app_logout_urls.app_key, app_logout_urls.url, sessions.user_id, $1, $1, 0
         FROM sessions JOIN session_apps ON session_apps.session_id = sessions.id
              JOIN app_logout_urls ON app_logout_urls.app_key = session_apps.app_key
         WHERE sessions.ended_at IS NOT NULL AND sessions.id IN ({places})
         ORDER BY sessions.id, app_logout_urls.app_key, app_logout_urls.url
         ON CONFLICT (session_id, app_key, url) DO NOTHING"
    ));
    let late = late.keep_prepared([crate::BATCH, crate::MANY].contains(&sessions.len())).bind(&now);
    write.execute(sessions.iter().fold(late, |late, id| late.bind(*id))).await?;
    Ok(())
}

/// The apps that somebody has to be told at now.
pub async fn apps_due(read: &mut Read, now: Timestamp) -> Result<Vec<AppKey>, StoreError> {
    let due = sql("SELECT DISTINCT app_key FROM logouts
                   WHERE due_at <= $1 AND delivered_at IS NULL AND given_up_at IS NULL ORDER BY app_key");
    read.all(due.bind(&now)).await?.iter().map(|row| row.column("app_key")).collect()
}

/// Claims up to `limit` of an app's that are due, until `until`. Nobody else gets them before that. Commit before delivering.
pub async fn claim(
    write: &mut Write,
    app: &AppKey,
    until: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Logout>, StoreError> {
    let due = sql("SELECT session_id, url FROM logouts
                   WHERE app_key = $1 AND due_at <= $2 AND delivered_at IS NULL AND given_up_at IS NULL
                   ORDER BY due_at, session_id, url LIMIT $3");
    let mut claimed = Vec::new();
    for row in write.all(due.bind(app).bind(&now).bind(&limit)).await? {
        let (session, url): (SessionId, LogoutUrl) = (row.column("session_id")?, row.column("url")?);
        // Asks again: another node may have claimed it between the two statements.
        let claim = sql("UPDATE logouts SET due_at = $4, attempts = attempts + 1
                         WHERE session_id = $1 AND app_key = $2 AND url = $3 AND due_at <= $5
                             AND delivered_at IS NULL AND given_up_at IS NULL
                         RETURNING session_id, user_id, app_key, url, created_at, attempts, delivered_at, given_up_at");
        let claim = claim.bind(&session).bind(app).bind(&url).bind(&until).bind(&now);
        claimed.extend(write.optional(claim).await?.as_ref().map(logout).transpose()?);
    }
    Ok(claimed)
}

/// It has taken note.
pub async fn delivered(write: &mut Write, logout: &Logout, now: Timestamp) -> Result<(), StoreError> {
    let delivered = sql("UPDATE logouts SET delivered_at = $4
                         WHERE session_id = $1 AND app_key = $2 AND url = $3 AND delivered_at IS NULL");
    write.execute(delivered.bind(&logout.session).bind(&logout.app).bind(&logout.url).bind(&now)).await?;
    Ok(())
}

/// Not delivered; to be tried again at `due_at`.
pub async fn retry(write: &mut Write, logout: &Logout, due_at: Timestamp) -> Result<(), StoreError> {
    let retry = sql("UPDATE logouts SET due_at = $4
                     WHERE session_id = $1 AND app_key = $2 AND url = $3
                         AND delivered_at IS NULL AND given_up_at IS NULL");
    write.execute(retry.bind(&logout.session).bind(&logout.app).bind(&logout.url).bind(&due_at)).await?;
    Ok(())
}

/// Given up; kept for the receipt.
pub async fn give_up(write: &mut Write, logout: &Logout, now: Timestamp) -> Result<(), StoreError> {
    let give_up = sql("UPDATE logouts SET given_up_at = $4
                       WHERE session_id = $1 AND app_key = $2 AND url = $3 AND delivered_at IS NULL");
    write.execute(give_up.bind(&logout.session).bind(&logout.app).bind(&logout.url).bind(&now)).await?;
    Ok(())
}

/// Who was to be told of a session, and how far that has come.
pub async fn of_session(read: &mut Read, session: &SessionId) -> Result<Vec<Logout>, StoreError> {
    let all = sql("SELECT session_id, user_id, app_key, url, created_at, attempts, delivered_at, given_up_at
                   FROM logouts WHERE session_id = $1 ORDER BY app_key, url");
    read.all(all.bind(session)).await?.iter().map(logout).collect()
}

/// Deletes up to `limit` that were made before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM logouts WHERE (session_id, app_key, url) IN
                        (SELECT session_id, app_key, url FROM logouts WHERE created_at < $1
                         ORDER BY session_id, app_key, url LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

fn logout(row: &Row) -> Result<Logout, StoreError> {
    let (delivered, given_up): (Option<Timestamp>, Option<Timestamp>) =
        (row.optional("delivered_at")?, row.optional("given_up_at")?);
    Ok(Logout {
        session: row.column("session_id")?,
        user: row.column("user_id")?,
        app: row.column("app_key")?,
        url: row.column("url")?,
        created_at: row.column("created_at")?,
        attempts: row.column("attempts")?,
        told: match (delivered, given_up) {
            (Some(_), _) => Told::SignedOut,
            (None, Some(_)) => Told::Unreachable,
            (None, None) => Told::Retrying,
        },
    })
}
