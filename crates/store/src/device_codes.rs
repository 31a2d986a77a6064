//! Devices that wait for somebody to allow them: rows of `device_codes`. RFC 8628, protocol §11.

use std::time::Duration;

use hallpass_core::id::{AppKey, FamilyId, SessionId};
use hallpass_core::oidc::{DEVICE_CODE_LIFETIME, DEVICE_PAUSE, Scope, UserCode};
use hallpass_core::secret::{DeviceCode, Digest};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write, sessions};

/// Two requests on their way through a network may come so much closer together than they were sent.
const JITTER: Duration = Duration::from_millis(500);

/// A device to be.
#[derive(Debug, Clone)]
pub struct NewDevice<'a> {
    /// What it will ask with.
    pub code: Digest<DeviceCode>,
    /// What it shows.
    pub user_code: UserCode,
    /// The client that it is.
    pub app: &'a AppKey,
    /// What it asks for.
    pub scope: Scope,
    /// Where it asks from.
    pub ip: &'a str,
}

/// What was written down of a device, whether or not its code is still good.
#[derive(Debug, Clone)]
pub struct Device {
    /// What it asks with.
    pub code: Digest<DeviceCode>,
    /// The client that it is.
    pub app: AppKey,
    /// What it asked for.
    pub scope: Scope,
    /// Where it asked from.
    pub ip: String,
    /// When it asked.
    pub created_at: Timestamp,
    /// From when its code is refused.
    pub expires_at: Timestamp,
    /// What somebody decided; none while it waits.
    pub decision: Option<Decision>,
    /// When its code was used up.
    pub redeemed_at: Option<Timestamp>,
}

/// What somebody decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may have tokens of this session.
    Allowed(SessionId),
    /// It may not.
    Denied,
}

/// Writes down a device. `false`, and nothing is written, when another one shows the same letters.
pub async fn begin(write: &mut Write, new: &NewDevice<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let insert = sql("INSERT INTO device_codes (code, user_code, app_key, scope, ip, created_at, expires_at, pause)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (user_code) DO NOTHING");
    let insert = insert.bind(&new.code).bind(&new.user_code).bind(new.app).bind(&new.scope).bind(new.ip);
    Ok(write.execute(insert.bind(&now).bind(&(now + DEVICE_CODE_LIFETIME)).bind(&DEVICE_PAUSE)).await? > 0)
}

/// By what the device presents.
pub async fn find(read: &mut Read, code: &Digest<DeviceCode>) -> Result<Option<Device>, StoreError> {
    let find = sql("SELECT code, app_key, scope, ip, created_at, expires_at, session_id, allowed, redeemed_at
                    FROM device_codes WHERE code = $1");
    read.optional(find.bind(code)).await?.as_ref().map(device).transpose()
}

/// A device that waits, by what it shows. One that somebody has decided about, or whose time is over, is none.
pub async fn waiting(read: &mut Read, user_code: &UserCode, now: Timestamp) -> Result<Option<Device>, StoreError> {
    let find = sql("SELECT code, app_key, scope, ip, created_at, expires_at, session_id, allowed, redeemed_at
                    FROM device_codes WHERE user_code = $1 AND allowed IS NULL AND expires_at > $2");
    read.optional(find.bind(user_code).bind(&now)).await?.as_ref().map(device).transpose()
}

/// Writes down what somebody decided. `false`, and nothing is written, when somebody has before, when its time is over, or when the session
/// has ended: of many at once one is told `true`.
pub async fn decide(
    write: &mut Write,
    user_code: &UserCode,
    session: &SessionId,
    allowed: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !sessions::hold(write, session).await? {
        return Ok(false);
    }
    let decide = sql("UPDATE device_codes SET session_id = $2, allowed = $3
                      WHERE user_code = $1 AND allowed IS NULL AND expires_at > $4");
    Ok(write.execute(decide.bind(user_code).bind(session).bind(&allowed).bind(&now)).await? > 0)
}

/// Counts a question of the device. `false` when it comes too soon after the last one: from then on it has to wait longer. Commit at once: whoever
/// asks twice at the same time is told so by this.
pub async fn poll(write: &mut Write, code: &Digest<DeviceCode>, now: Timestamp) -> Result<bool, StoreError> {
    let in_time = sql("UPDATE device_codes SET polled_at = $2
                       WHERE code = $1 AND (polled_at IS NULL OR polled_at + pause <= $3)");
    if write.execute(in_time.bind(code).bind(&now).bind(&(now + JITTER))).await? > 0 {
        return Ok(true);
    }
    let too_soon = sql("UPDATE device_codes SET polled_at = $2, pause = pause + $3 WHERE code = $1");
    write.execute(too_soon.bind(code).bind(&now).bind(&DEVICE_PAUSE)).await?;
    Ok(false)
}

/// Uses up the code of a device that was allowed, for a family. `false` when somebody has before, or when its time is over: of many at once one is told `true`.
pub async fn redeem(
    write: &mut Write,
    code: &Digest<DeviceCode>,
    family: &FamilyId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let redeem = sql("UPDATE device_codes SET redeemed_at = $2, family_id = $3
                      WHERE code = $1 AND allowed = 1 AND redeemed_at IS NULL AND expires_at > $2");
    Ok(write.execute(redeem.bind(code).bind(&now).bind(family)).await? > 0)
}

/// The family that came of a code, if it was used up.
pub async fn family(read: &mut Read, code: &Digest<DeviceCode>) -> Result<Option<FamilyId>, StoreError> {
    let find = sql("SELECT family_id FROM device_codes WHERE code = $1");
    Ok(read.optional(find.bind(code)).await?.map(|row| row.optional("family_id")).transpose()?.flatten())
}

/// Deletes up to `limit` devices whose time was over before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM device_codes WHERE code IN
                        (SELECT code FROM device_codes WHERE expires_at < $1 ORDER BY code LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

fn device(row: &Row) -> Result<Device, StoreError> {
    let decision = match (row.optional("allowed")?, row.optional("session_id")?) {
        (None, _) => None,
        (Some(true), Some(session)) => Some(Decision::Allowed(session)),
        (Some(_), _) => Some(Decision::Denied),
    };
    Ok(Device {
        code: row.column("code")?,
        app: row.column("app_key")?,
        scope: row.column("scope")?,
        ip: row.column("ip")?,
        created_at: row.column("created_at")?,
        expires_at: row.column("expires_at")?,
        decision,
        redeemed_at: row.optional("redeemed_at")?,
    })
}
