//! Sessions. The database knows the digest of a session's secret; what is live is decided by `core::session`.

use std::cmp::Reverse;
use std::time::Duration;

use hallpass_core::id::{AppKey, SessionId, UserId, ZoneName};
use hallpass_core::secret::{DeviceMark, Digest, SessionSecret};
use hallpass_core::session::{Acr, Amr, EndReason, Ended, Session};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, Statement, sql};
use crate::view::touch_step;
use crate::{BATCH, Change, Read, Write, logouts, tokens, upstreams};

/// A session to be stored, with the digest of its secret.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// What its cookie must digest to.
    pub secret: Digest<SessionSecret>,
    /// The browser that it is in, if that carries a mark.
    pub device: Option<Digest<DeviceMark>>,
}

/// What introspection needs of a session that has not been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// `sid` on the wire.
    pub id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// How strongly.
    pub acr: Acr,
    /// By which authenticators.
    pub amr: Vec<Amr>,
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// The last activity that has been written down.
    pub last_seen_at: Timestamp,
    /// Absolute end.
    pub expires_at: Timestamp,
    /// It ends after this long without activity.
    pub inactivity: Duration,
}

/// Starts a session. `false`, and nothing is stored, when the user is disabled or not there.
///
/// It locks the user's row, as [`end_all_of`] does: a sign-in that runs beside "disable this user" or "sign out everywhere"
/// comes wholly before it, and is ended by it, or wholly after it.
pub async fn start(write: &mut Write, new: &NewSession) -> Result<bool, StoreError> {
    let entered = enter(write, &new.session).await?;
    if entered {
        start_many(write, std::slice::from_ref(new)).await?;
    }
    Ok(entered)
}

/// [`start`], for somebody who proved to know the password that was chosen at `changed_at`, and commits. `false`, and nothing of `write` is kept, also when
/// the password has been changed since: a password change is wholly before the lock on the user's row, and seen here, or ends this session.
pub async fn start_by_password(mut write: Write, new: &NewSession, changed_at: Timestamp) -> Result<bool, StoreError> {
    const INSERT: &str =
        "INSERT INTO sessions (id, user_id, secret, acr, amr, authenticated_at, created_at, last_seen_at,
                               expires_at, inactivity, persistent, ended_at, end_reason, user_agent, ip, device, interacted_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17";
    if write.locking().is_none() {
        let known = " WHERE EXISTS (SELECT 1 FROM passwords WHERE user_id = $2 AND changed_at = $18)";
        let insert = bind(sql(INSERT).followed_by(known), new).bind(&changed_at);
        let started = enter(&mut write, &new.session).await? && write.execute(insert).await? > 0;
        if started {
            write.commit().await?;
        }
        return Ok(started);
    }
    // One statement looks at tables as they were when it began, perhaps before it waited for the lock on the user's row. A row that it locks,
    // however, it takes as it is by then: so the password is locked, too, after the user.
    let known = sql(
        "SELECT user_id FROM passwords JOIN entered ON entered.id = user_id WHERE changed_at = $1 FOR SHARE OF passwords",
    );
    let insert = bind(sql(INSERT).followed_by(" FROM known RETURNING id"), new);
    let steps = [
        ("entered", entering(&new.session).followed_by(" RETURNING id")),
        ("known", known.bind(&changed_at)),
        ("started", insert),
    ];
    write.commit_if(steps).await
}

/// Stores many sessions as they are, for imports and benchmarks: asks nothing about the users.
pub async fn start_many(write: &mut Write, sessions: &[NewSession]) -> Result<(), StoreError> {
    const HEAD: &str =
        "INSERT INTO sessions (id, user_id, secret, acr, amr, authenticated_at, created_at, last_seen_at,
                            expires_at, inactivity, persistent, ended_at, end_reason, user_agent, ip, device,
                            interacted_at) VALUES ";
    for chunk in sessions.chunks(BATCH) {
        let insert = chunk.iter().fold(crate::insert(HEAD, chunk.len(), 17, ""), bind);
        write.execute(insert).await?;
    }
    Ok(())
}

/// Locks the user's row; whether they may have a session.
async fn enter(write: &mut Write, session: &Session) -> Result<bool, StoreError> {
    Ok(write.execute(entering(session)).await? > 0)
}

fn entering(session: &Session) -> Statement {
    let enter = sql("UPDATE users SET last_sign_in_at = $2 WHERE id = $1 AND disabled_at IS NULL");
    enter.bind(&session.user_id).bind(&session.created_at)
}

/// One row, in the order of the columns above.
fn bind(insert: Statement, NewSession { session, secret, device }: &NewSession) -> Statement {
    insert
        .bind(&session.id)
        .bind(&session.user_id)
        .bind(secret)
        .bind(&session.acr)
        .bind(&session.amr)
        .bind(&session.authenticated_at)
        .bind(&session.created_at)
        .bind(&session.last_seen_at)
        .bind(&session.expires_at)
        .bind(&session.inactivity)
        .bind(&session.persistent)
        .bind(&session.ended.map(|ended| ended.at))
        .bind(&session.ended.map(|ended| ended.reason))
        .bind(&session.user_agent)
        .bind(&session.ip)
        .bind(device)
        // Whoever signed in has typed or clicked then: here, or at an upstream, which may be long before this session.
        .bind(&session.authenticated_at.min(session.created_at))
}

/// By identifier; ended ones too, until they are deleted.
pub async fn find(read: &mut Read, id: &SessionId) -> Result<Option<Session>, StoreError> {
    let find = sql("SELECT id, user_id, acr, amr, authenticated_at, created_at, last_seen_at, expires_at, inactivity,
                        persistent, ended_at, end_reason, user_agent, ip FROM sessions WHERE id = $1");
    read.optional(find.bind(id)).await?.as_ref().map(session).transpose()
}

/// The session whose cookie a browser presented; ended ones too.
pub async fn by_secret(read: &mut Read, secret: &Digest<SessionSecret>) -> Result<Option<Session>, StoreError> {
    let find = sql("SELECT id, user_id, acr, amr, authenticated_at, created_at, last_seen_at, expires_at, inactivity,
                        persistent, ended_at, end_reason, user_agent, ip FROM sessions WHERE secret = $1");
    read.optional(find.bind(secret)).await?.as_ref().map(session).transpose()
}

/// A user's live sessions, the last used first, at most 1,000.
pub async fn live_of(read: &mut Read, user: &UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
    let live = sql("SELECT id, user_id, acr, amr, authenticated_at, created_at, last_seen_at, expires_at, inactivity,
                        persistent, ended_at, end_reason, user_agent, ip FROM sessions
                    WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND last_seen_at + inactivity > $2
                    ORDER BY last_seen_at DESC, id LIMIT 1000");
    read.all(live.bind(user).bind(&now)).await?.iter().map(session).collect()
}

/// Up to `limit` live sessions after `after`, by identifier: all of them, page by page, to warm a view.
pub async fn live_page(
    read: &mut Read,
    after: Option<&SessionId>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<LiveSession>, StoreError> {
    let page = sql("SELECT id, user_id, acr, amr, authenticated_at, last_seen_at, expires_at, inactivity FROM sessions
                    WHERE id > $1 AND ended_at IS NULL AND expires_at > $2 AND last_seen_at + inactivity > $2
                    ORDER BY id LIMIT $3");
    let after = after.map(ToString::to_string).unwrap_or_default();
    read.all(page.long().bind(&after).bind(&now).bind(&limit)).await?.iter().map(live_session).collect()
}

/// How many sessions are live.
pub async fn count_live(read: &mut Read, now: Timestamp) -> Result<i64, StoreError> {
    let count = sql("SELECT COUNT(*) AS count FROM sessions
                     WHERE ended_at IS NULL AND expires_at > $1 AND last_seen_at + inactivity > $1");
    read.one(count.long().bind(&now)).await?.column("count")
}

/// Keeps a session from ending until this transaction is over. `false` when it has ended already, or is not there.
pub async fn hold(write: &mut Write, id: &SessionId) -> Result<bool, StoreError> {
    let hold = sql("SELECT id FROM sessions WHERE id = $1 AND ended_at IS NULL");
    Ok(write.held(hold.bind(id)).await?.is_some())
}

/// A session that cannot end before the transaction that holds it is over.
#[derive(Debug, Clone)]
pub struct Held {
    /// The session.
    pub session: Session,
    /// Whether its user is neither disabled nor has to change their password first.
    pub user_may_sign_in: bool,
}

/// [`hold`], [`find`] and [`users::may_sign_in`](crate::users::may_sign_in) in one: the session, held, if it has not ended. Whoever disables a user ends
/// their sessions along with it, and so waits for us or is seen here.
pub async fn held(write: &mut Write, id: &SessionId) -> Result<Option<Held>, StoreError> {
    let hold = sql("SELECT id, user_id, acr, amr, authenticated_at, created_at, last_seen_at, expires_at, inactivity,
                        persistent, ended_at, end_reason, user_agent, ip,
                        (SELECT users.id FROM users WHERE users.id = sessions.user_id
                            AND users.disabled_at IS NULL AND users.must_change_password = 0) AS admitted
                    FROM sessions WHERE id = $1 AND ended_at IS NULL");
    let Some(row) = write.held(hold.bind(id)).await? else { return Ok(None) };
    let admitted: Option<UserId> = row.optional("admitted")?;
    Ok(Some(Held { session: session(&row)?, user_may_sign_in: admitted.is_some() }))
}

/// Ends one session, and writes down which apps have to be told, and the upstream that it stood on. `false` when it had ended already or is not there: of two that end it at once, one is told `true`.
pub async fn end(write: &mut Write, id: &SessionId, reason: EndReason, now: Timestamp) -> Result<bool, StoreError> {
    let end = sql("UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL
                   RETURNING user_id");
    let Some(row) = write.optional(end.bind(id).bind(&now).bind(&reason)).await? else { return Ok(false) };
    let user = row.column("user_id")?;
    logouts::note(write, id, &user, now).await?;
    upstreams::fall(write, id, &user, reason, now).await?;
    write.change(now, Change::SessionEnded { session: *id, user, reason });
    Ok(true)
}

/// Ends every session of a user, but `except`, and everything that would outlive one (OIDC Core 1.0 §11), of `except`, too: whoever signs out
/// everywhere or has a new password wants nobody left who came in before. Returns those that this call ended.
pub async fn end_all_of(
    write: &mut Write,
    user: &UserId,
    except: Option<&SessionId>,
    reason: EndReason,
    now: Timestamp,
) -> Result<Vec<SessionId>, StoreError> {
    // Waits for sign-ins of this user that have not committed yet (see `start`), so that the next statement sees them.
    write.held(sql("SELECT id FROM users WHERE id = $1").bind(user)).await?;
    let open = sql("SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL");
    let open = write.all(open.bind(user)).await?;
    let mut open = open.iter().map(|row| row.column("id")).collect::<Result<Vec<SessionId>, _>>()?;
    open.retain(|id| Some(id) != except);
    // In the order in which those are locked whose activity is written down.
    open.sort_by_cached_key(SessionId::text);
    let mut ended = Vec::new();
    for id in open {
        if end(write, &id, reason, now).await? {
            ended.push(id);
        }
    }
    // After the sessions were locked: a family of one of them that began meanwhile has committed and is seen.
    tokens::revoke_offline_of(write, user, now).await?;
    Ok(ended)
}

/// Writes down when sessions were last active. Never moves a time back, never touches an ended session. Returns how many
/// rows it changed. Keep batches to a few hundred: their rows stay locked until commit.
pub async fn touch(write: &mut Write, seen: &[(SessionId, Timestamp)]) -> Result<u64, StoreError> {
    let mut seen = seen.to_vec();
    // The latest of each session.
    seen.sort_unstable_by_key(|(id, at)| (*id, Reverse(*at)));
    seen.dedup_by_key(|(id, _)| *id);
    seen.sort_by_cached_key(|(id, _)| id.text());
    let mut touched = 0;
    for chunk in crate::batches(&seen) {
        let statement = touching(chunk.len(), write.locking());
        touched += write.execute(chunk.iter().fold(statement, |touch, (id, at)| touch.bind(id).bind(at))).await?;
    }
    Ok(touched)
}

/// The statement about so many. An update of several rows locks them in an order of its own, and two of them could wait for each other: where there
/// is more than one writer it locks them beforehand, in the order of their texts, as everybody does who needs several.
fn touching(sessions: usize, locking: Option<&str>) -> Statement {
    let (held, of_them) = locking.map_or_else(Default::default, |locking| {
        let ids = (0..sessions).map(|row| format!("${}", row * 2 + 1)).collect::<Vec<_>>().join(", ");
        let held = format!(", held AS (SELECT id FROM sessions WHERE id IN ({ids}) ORDER BY id {locking})");
        (held, "JOIN held ON held.id = seen.id")
    });
    let tail = format!(
        "){held} UPDATE sessions SET last_seen_at = seen.seen_at FROM seen {of_them}
         WHERE sessions.id = seen.id AND last_seen_at < seen.seen_at AND ended_at IS NULL"
    );
    crate::insert("WITH seen (id, seen_at) AS (VALUES ", sessions, 2, &tail)
}

/// Writes down the activity of one session that the caller holds, once in each step of time.
pub async fn touch_held(write: &mut Write, session: &Session, now: Timestamp) -> Result<(), StoreError> {
    let step = touch_step(u32::try_from(session.inactivity.as_secs()).unwrap_or(u32::MAX));
    if now.since(session.last_seen_at) < Duration::from_secs(step.into()) {
        return Ok(());
    }
    let touch = sql("UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2 AND ended_at IS NULL");
    write.defer(touch.bind(&session.id).bind(&now)).await
}

/// Gives a session that has not ended a new secret, in exchange for the old one. `false` when the old one is not its secret (any more).
pub async fn renew_secret(
    write: &mut Write,
    id: &SessionId,
    old: &Digest<SessionSecret>,
    new: &Digest<SessionSecret>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let renew =
        sql("UPDATE sessions SET secret = $3 WHERE id = $1 AND secret = $2 AND ended_at IS NULL RETURNING user_id");
    let Some(row) = write.optional(renew.bind(id).bind(old).bind(new)).await? else { return Ok(false) };
    write.change(now, Change::SessionChanged { session: *id, user: row.column("user_id")? });
    Ok(true)
}

/// Lets a session go on as `renewed`, with a new secret in exchange for the old one, now that its own person has proved anew to know the password that was
/// chosen at `changed_at`. `false`, and nothing is written, when it has ended, when the old secret or the password is another by now, when the user is
/// disabled, or when the session stands on an upstream, whose word a password does not replace.
pub async fn renew_by_password(
    write: &mut Write,
    renewed: &Session,
    old: &Digest<SessionSecret>,
    new: &Digest<SessionSecret>,
    changed_at: Timestamp,
) -> Result<bool, StoreError> {
    let at = renewed.authenticated_at;
    // Locks the user's row, as a sign-in does.
    let enter = sql("UPDATE users SET last_sign_in_at = $2 WHERE id = $1 AND disabled_at IS NULL");
    if write.execute(enter.bind(&renewed.user_id).bind(&at)).await? == 0 {
        return Ok(false);
    }
    let renew = sql("UPDATE sessions SET secret = $4, acr = $5, amr = $6, authenticated_at = $7, last_seen_at = $7, interacted_at = $7,
                         expires_at = $8, inactivity = $9, persistent = $10
                     WHERE id = $1 AND user_id = $2 AND secret = $3 AND ended_at IS NULL
                         AND EXISTS (SELECT 1 FROM passwords WHERE user_id = $2 AND changed_at = $11)
                         AND NOT EXISTS (SELECT 1 FROM session_upstreams WHERE session_id = $1)");
    let renew =
        renew.bind(&renewed.id).bind(&renewed.user_id).bind(old).bind(new).bind(&renewed.acr).bind(&renewed.amr);
    let renew = renew.bind(&at).bind(&renewed.expires_at).bind(&renewed.inactivity).bind(&renewed.persistent);
    if write.execute(renew.bind(&changed_at)).await? == 0 {
        return Ok(false);
    }
    write.change(at, Change::SessionChanged { session: renewed.id, user: renewed.user_id });
    Ok(true)
}

/// When somebody last clicked or typed at the home host in this session.
pub async fn interacted_at(read: &mut Read, id: &SessionId) -> Result<Option<Timestamp>, StoreError> {
    let interacted = sql("SELECT interacted_at FROM sessions WHERE id = $1");
    read.optional(interacted.bind(id)).await?.map(|row| row.column("interacted_at")).transpose()
}

/// Somebody has clicked or typed at the home host in this session. Never moves the time back.
pub async fn record_interaction(write: &mut Write, id: &SessionId, now: Timestamp) -> Result<(), StoreError> {
    let record =
        sql("UPDATE sessions SET interacted_at = $2 WHERE id = $1 AND interacted_at < $2 AND ended_at IS NULL");
    write.execute(record.bind(id).bind(&now)).await.map(drop)
}

/// A chain is about to follow this session's sign-in. `false` when one has: of two tabs that ask at once, one is told `true`.
pub async fn begin_chain(write: &mut Write, id: &SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let begin = sql("UPDATE sessions SET chained_at = $2 WHERE id = $1 AND chained_at IS NULL AND ended_at IS NULL");
    Ok(write.execute(begin.bind(id).bind(&now)).await? > 0)
}

/// The zones that this session's browser has been active in since `since`, in whichever session, by what introspection was asked.
pub async fn zones_of_device(read: &mut Read, id: &SessionId, since: Timestamp) -> Result<Vec<ZoneName>, StoreError> {
    let zones = sql("SELECT DISTINCT apps.zone FROM sessions AS this
                     JOIN sessions AS other ON other.user_id = this.user_id AND other.device = this.device
                     JOIN session_apps ON session_apps.session_id = other.id JOIN apps ON apps.key = session_apps.app_key
                     WHERE this.id = $1 AND session_apps.told_at >= $2 ORDER BY apps.zone");
    read.all(zones.bind(id).bind(&since)).await?.iter().map(|row| row.column("zone")).collect()
}

/// Writes down which apps have been told about which sessions, and when first. Sessions and apps that are gone are passed over.
pub async fn record_told(write: &mut Write, told: &[(SessionId, AppKey)], now: Timestamp) -> Result<(), StoreError> {
    let mut told: Vec<_> = told.iter().collect();
    told.sort_by_cached_key(|(id, app)| (id.text(), app.clone()));
    told.dedup();
    for chunk in crate::batches(&told) {
        let head = "WITH told (session_id, app_key, told_at) AS (VALUES ";
        // In order, so that two nodes that write down the same cannot wait for each other.
        let tail = ") INSERT INTO session_apps (session_id, app_key, told_at)
                    SELECT sessions.id, apps.key, told.told_at
                    FROM told JOIN sessions ON sessions.id = told.session_id JOIN apps ON apps.key = told.app_key
                    WHERE TRUE ORDER BY sessions.id, apps.key
                    ON CONFLICT (session_id, app_key) DO NOTHING";
        let record = crate::insert(head, chunk.len(), 3, tail);
        let record = chunk.iter().fold(record, |record, (session, app)| record.bind(session).bind(app).bind(&now));
        write.execute(record).await?;
        let sessions: Vec<&SessionId> = chunk.iter().map(|(session, _)| session).collect();
        logouts::note_late(write, &sessions, now).await?;
    }
    Ok(())
}

/// [`record_told`] of one session that the caller holds: it has not ended, so that nobody has to be told late.
pub async fn record_told_held(
    write: &mut Write,
    id: &SessionId,
    app: &AppKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let record = sql("INSERT INTO session_apps (session_id, app_key, told_at) VALUES ($1, $2, $3)
                      ON CONFLICT (session_id, app_key) DO NOTHING");
    write.defer(record.bind(id).bind(app).bind(&now)).await
}

/// The apps that have been told about a session.
pub async fn told(read: &mut Read, id: &SessionId) -> Result<Vec<AppKey>, StoreError> {
    let told = sql("SELECT app_key FROM session_apps WHERE session_id = $1 ORDER BY app_key");
    read.all(told.bind(id)).await?.iter().map(|row| row.column("app_key")).collect()
}

/// Whether this app has been told about any session of this user.
pub async fn told_of_user(read: &mut Read, user: &UserId, app: &AppKey) -> Result<bool, StoreError> {
    let told =
        sql("SELECT session_apps.app_key FROM session_apps JOIN sessions ON sessions.id = session_apps.session_id
                    WHERE sessions.user_id = $1 AND session_apps.app_key = $2 LIMIT 1");
    Ok(read.optional(told.bind(user).bind(app)).await?.is_some())
}

/// Up to `limit` sessions after `after` that this app has been told about, by identifier.
pub async fn told_to(
    read: &mut Read,
    app: &AppKey,
    after: Option<&SessionId>,
    limit: u32,
) -> Result<Vec<SessionId>, StoreError> {
    let told = sql("SELECT session_id FROM session_apps WHERE app_key = $1 AND session_id > $2
                    ORDER BY session_id LIMIT $3");
    let after = after.map(ToString::to_string).unwrap_or_default();
    read.all(told.long().bind(app).bind(&after).bind(&limit))
        .await?
        .iter()
        .map(|row| row.column("session_id"))
        .collect()
}

/// Deletes up to `limit` sessions that ended, or ran out, before `before`, and that no tokens outlive. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM sessions WHERE id IN
                        (SELECT id FROM sessions WHERE (ended_at < $1 OR expires_at < $1) AND NOT EXISTS
                            (SELECT 1 FROM token_families
                             WHERE session_id = sessions.id AND offline = 1 AND revoked_at IS NULL)
                         ORDER BY id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

fn session(row: &Row) -> Result<Session, StoreError> {
    let ended_at: Option<Timestamp> = row.optional("ended_at")?;
    let ended = ended_at.map(|at| Ok::<_, StoreError>(Ended { at, reason: row.column("end_reason")? })).transpose()?;
    Ok(Session {
        id: row.column("id")?,
        user_id: row.column("user_id")?,
        acr: row.column("acr")?,
        amr: row.column("amr")?,
        authenticated_at: row.column("authenticated_at")?,
        created_at: row.column("created_at")?,
        last_seen_at: row.column("last_seen_at")?,
        expires_at: row.column("expires_at")?,
        inactivity: row.column("inactivity")?,
        persistent: row.column("persistent")?,
        ended,
        user_agent: row.column("user_agent")?,
        ip: row.column("ip")?,
    })
}

/// By number, not by name: a view reads a million of these at start.
fn live_session(row: &Row) -> Result<LiveSession, StoreError> {
    Ok(LiveSession {
        id: row.column(0)?,
        user_id: row.column(1)?,
        acr: row.column(2)?,
        amr: row.column(3)?,
        authenticated_at: row.column(4)?,
        last_seen_at: row.column(5)?,
        expires_at: row.column(6)?,
        inactivity: row.column(7)?,
    })
}
