//! Handoff codes: rows of `handoffs`. Protocol §8.

use hallpass_core::handoff::{CODE_LIFETIME, CodeChallenge, HandoffRefused, MAXIMUM_CODES};
use hallpass_core::id::{AppKey, SessionId, ZoneName};
use hallpass_core::secret::{Digest, HandoffCode};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write, sessions};

/// A code to be.
#[derive(Debug)]
pub struct NewHandoff<'a> {
    /// What the code will be looked up by.
    pub code: Digest<HandoffCode>,
    /// The zone that may redeem it.
    pub zone: &'a ZoneName,
    /// The app that may, where the zone's own alias may not.
    pub app: Option<NewForApp<'a>>,
    /// Who it stands for.
    pub session: SessionId,
    /// What it must be redeemed with.
    pub challenge: CodeChallenge,
}

/// A code that an app redeems with its key pair.
#[derive(Debug, Clone, Copy)]
pub struct NewForApp<'a> {
    /// The app.
    pub app: &'a AppKey,
    /// Where the code is sent.
    pub redirect_uri: &'a str,
    /// The hash of the handoff's `state`.
    pub nonce: &'a str,
    /// Where the person goes on to, if the engine has checked such an address.
    pub return_to: Option<&'a str>,
}

/// What was written down of a code for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForApp {
    /// The app.
    pub app: AppKey,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// The hash of the handoff's `state`.
    pub nonce: String,
    /// Where the person goes on to.
    pub return_to: Option<String>,
}

/// A code that has been redeemed, by this caller and nobody else: only [`redeem`] makes one.
#[derive(Debug)]
pub struct RedeemedHandoff {
    zone: ZoneName,
    app: Option<ForApp>,
    session: SessionId,
    challenge: CodeChallenge,
}

impl RedeemedHandoff {
    /// The zone that it was made for.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// The app that it was made for; `None` for the zone's alias.
    pub fn app(&self) -> Option<&ForApp> {
        self.app.as_ref()
    }

    /// Who it stands for.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What it must have been redeemed with.
    pub fn challenge(&self) -> &CodeChallenge {
        &self.challenge
    }
}

/// Why there is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHandoff {
    /// The session has ended.
    SessionOver,
    /// [`MAXIMUM_CODES`] of them are open already.
    TooMany,
}

/// Writes down a new code.
pub async fn issue(
    write: &mut Write,
    new: &NewHandoff<'_>,
    now: Timestamp,
) -> Result<Result<(), NoHandoff>, StoreError> {
    // Locks the session: whoever asks for codes of it at the same moment counts one after the other, and it cannot end meanwhile.
    if !sessions::hold(write, &new.session).await? {
        return Ok(Err(NoHandoff::SessionOver));
    }
    let app = new.app.map(|for_app| for_app.app.clone());
    let open = sql("SELECT COUNT(*) AS open FROM handoffs
                    WHERE session_id = $1 AND zone = $2 AND COALESCE(app_key, '') = $3 AND redeemed_at IS NULL AND expires_at > $4");
    let agent = app.as_ref().map_or("", AppKey::as_str);
    let open = write.all(open.bind(&new.session).bind(new.zone).bind(agent).bind(&now)).await?;
    let open: i64 = open.first().map_or(Ok(0), |row| row.column("open"))?;
    if open >= i64::from(MAXIMUM_CODES) {
        return Ok(Err(NoHandoff::TooMany));
    }
    let insert = sql("INSERT INTO handoffs (code, zone, session_id, challenge, created_at, expires_at, app_key,
                          redirect_uri, nonce, return_to)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    let insert = insert.bind(&new.code).bind(new.zone).bind(&new.session).bind(&new.challenge);
    let insert = insert.bind(&now).bind(&(now + CODE_LIFETIME)).bind(&app);
    let insert = insert.bind(&new.app.map(|for_app| for_app.redirect_uri.to_owned()));
    let insert = insert.bind(&new.app.map(|for_app| for_app.nonce.to_owned()));
    write.execute(insert.bind(&new.app.and_then(|for_app| for_app.return_to.map(str::to_owned)))).await?;
    Ok(Ok(()))
}

/// Redeems a code, once. Whatever the caller finds wrong with it afterwards, it is used up.
pub async fn redeem(
    write: &mut Write,
    code: &Digest<HandoffCode>,
    now: Timestamp,
) -> Result<Result<RedeemedHandoff, HandoffRefused>, StoreError> {
    let redeem = sql("UPDATE handoffs SET redeemed_at = $2 WHERE code = $1 AND redeemed_at IS NULL AND expires_at > $2
                      RETURNING zone, session_id, challenge, app_key, redirect_uri, nonce, return_to");
    if let Some(row) = write.optional(redeem.bind(code).bind(&now)).await? {
        return redeemed(&row).map(Ok);
    }
    let known = sql("SELECT redeemed_at FROM handoffs WHERE code = $1");
    Ok(Err(match write.optional(known.bind(code)).await? {
        None => HandoffRefused::UnknownCode,
        Some(row) if row.optional::<Timestamp>("redeemed_at")?.is_some() => HandoffRefused::CodeReused,
        Some(_) => HandoffRefused::CodeExpired,
    }))
}

/// Writes down what was answered to the app that redeemed a code, sealed: an identical retry gets the same.
pub async fn remember_answer(write: &mut Write, code: &Digest<HandoffCode>, answer: &[u8]) -> Result<(), StoreError> {
    let remember = sql("UPDATE handoffs SET answer = $2 WHERE code = $1");
    write.execute(remember.bind(code).bind(&answer.to_vec())).await.map(drop)
}

/// What was answered when this code was redeemed, not before `since`. Whether it was the same that asks again is for the caller to find out.
pub async fn answered(
    read: &mut Read,
    code: &Digest<HandoffCode>,
    since: Timestamp,
) -> Result<Option<(RedeemedHandoff, Vec<u8>)>, StoreError> {
    let answered =
        sql("SELECT zone, session_id, challenge, app_key, redirect_uri, nonce, return_to, answer FROM handoffs
                        WHERE code = $1 AND redeemed_at >= $2 AND answer IS NOT NULL");
    let Some(row) = read.optional(answered.bind(code).bind(&since)).await? else { return Ok(None) };
    Ok(Some((redeemed(&row)?, row.column("answer")?)))
}

/// The zones of which this session has fetched the pass since `since`.
pub async fn zones_since(read: &mut Read, session: &SessionId, since: Timestamp) -> Result<Vec<ZoneName>, StoreError> {
    let zones = sql("SELECT DISTINCT zone FROM handoffs WHERE session_id = $1 AND redeemed_at >= $2 ORDER BY zone");
    read.all(zones.bind(session).bind(&since)).await?.iter().map(|row| row.column("zone")).collect()
}

/// The session that a code was made for, whether or not it is still good: for the audit log.
pub async fn session_of(read: &mut Read, code: &Digest<HandoffCode>) -> Result<Option<SessionId>, StoreError> {
    let session = sql("SELECT session_id FROM handoffs WHERE code = $1");
    read.optional(session.bind(code)).await?.map(|row| row.column("session_id")).transpose()
}

/// Deletes up to `limit` codes that expired before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM handoffs WHERE code IN
                        (SELECT code FROM handoffs WHERE expires_at < $1 ORDER BY code LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

fn redeemed(row: &Row) -> Result<RedeemedHandoff, StoreError> {
    let app: Option<AppKey> = row.optional("app_key")?;
    let app = app.map(|app| {
        Ok::<_, StoreError>(ForApp {
            app,
            redirect_uri: row.column("redirect_uri")?,
            nonce: row.column("nonce")?,
            return_to: row.optional("return_to")?,
        })
    });
    Ok(RedeemedHandoff {
        zone: row.column("zone")?,
        app: app.transpose()?,
        session: row.column("session_id")?,
        challenge: row.column("challenge")?,
    })
}
