//! Handoff codes: rows of `handoffs`. Protocol §8.

use hallpass_core::handoff::{CODE_LIFETIME, CodeChallenge, HandoffRefused, MAXIMUM_CODES};
use hallpass_core::id::{SessionId, ZoneName};
use hallpass_core::secret::{Digest, HandoffCode};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write};

/// A code to be.
#[derive(Debug)]
pub struct NewHandoff<'a> {
    /// What the code will be looked up by.
    pub code: Digest<HandoffCode>,
    /// The zone that may redeem it.
    pub zone: &'a ZoneName,
    /// Who it stands for.
    pub session: SessionId,
    /// What it must be redeemed with.
    pub challenge: CodeChallenge,
}

/// A code that has been redeemed, by this caller and nobody else: only [`redeem`] makes one.
#[derive(Debug)]
pub struct RedeemedHandoff {
    zone: ZoneName,
    session: SessionId,
    challenge: CodeChallenge,
}

impl RedeemedHandoff {
    /// The zone that it was made for.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
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
    let lock = sql("UPDATE sessions SET last_seen_at = last_seen_at WHERE id = $1 AND ended_at IS NULL");
    if write.execute(lock.bind(&new.session)).await? == 0 {
        return Ok(Err(NoHandoff::SessionOver));
    }
    let open = sql("SELECT COUNT(*) AS open FROM handoffs
                    WHERE session_id = $1 AND zone = $2 AND redeemed_at IS NULL AND expires_at > $3");
    let open = write.all(open.bind(&new.session).bind(new.zone).bind(&now)).await?;
    let open: i64 = open.first().map_or(Ok(0), |row| row.column("open"))?;
    if open >= i64::from(MAXIMUM_CODES) {
        return Ok(Err(NoHandoff::TooMany));
    }
    let insert = sql("INSERT INTO handoffs (code, zone, session_id, challenge, created_at, expires_at)
                      VALUES ($1, $2, $3, $4, $5, $6)");
    let insert = insert.bind(&new.code).bind(new.zone).bind(&new.session).bind(&new.challenge);
    write.execute(insert.bind(&now).bind(&(now + CODE_LIFETIME))).await?;
    Ok(Ok(()))
}

/// Redeems a code, once. Whatever the caller finds wrong with it afterwards, it is used up.
pub async fn redeem(
    write: &mut Write,
    code: &Digest<HandoffCode>,
    now: Timestamp,
) -> Result<Result<RedeemedHandoff, HandoffRefused>, StoreError> {
    let redeem = sql("UPDATE handoffs SET redeemed_at = $2 WHERE code = $1 AND redeemed_at IS NULL AND expires_at > $2
                      RETURNING zone, session_id, challenge");
    if let Some(row) = write.optional(redeem.bind(code).bind(&now)).await? {
        return Ok(Ok(RedeemedHandoff {
            zone: row.column("zone")?,
            session: row.column("session_id")?,
            challenge: row.column("challenge")?,
        }));
    }
    let known = sql("SELECT redeemed_at FROM handoffs WHERE code = $1");
    Ok(Err(match write.optional(known.bind(code)).await? {
        None => HandoffRefused::UnknownCode,
        Some(row) if row.optional::<Timestamp>("redeemed_at")?.is_some() => HandoffRefused::CodeReused,
        Some(_) => HandoffRefused::CodeExpired,
    }))
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
    write.execute(prune.bind(&before).bind(&limit)).await
}
