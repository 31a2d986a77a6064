//! Authorization requests that clients have pushed: rows of `pushed_requests`. RFC 9126, protocol §11.
//!
//! A row is there until its request has brought a code. Until `expires_at` a browser may come with it, again if it is loaded again; whoever has to
//! sign in first takes longer than that, so the row stays for as long as a request may wait.

use hallpass_core::id::AppKey;
use hallpass_core::oidc::PUSHED_REQUEST_LIFETIME;
use hallpass_core::secret::{Digest, PushedRequest};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write};

/// How many requests of one client browsers may still come with. Who pushes more is not signing people in.
pub const OPEN_REQUESTS: i64 = 1000;

/// Writes down a request. `false`, and nothing is written, when the client has [`OPEN_REQUESTS`] already.
pub async fn push(
    write: &mut Write,
    request: &Digest<PushedRequest>,
    app: &AppKey,
    sealed: &[u8],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let open = sql("SELECT COUNT(*) AS open FROM pushed_requests WHERE app_key = $1 AND expires_at > $2");
    let open: i64 = write.one(open.bind(app).bind(&now)).await?.column("open")?;
    if open >= OPEN_REQUESTS {
        return Ok(false);
    }
    let insert = sql("INSERT INTO pushed_requests (request, app_key, sealed, created_at, expires_at)
                      VALUES ($1, $2, $3, $4, $5)");
    let insert = insert.bind(request).bind(app).bind(&sealed.to_vec()).bind(&now);
    write.execute(insert.bind(&(now + PUSHED_REQUEST_LIFETIME))).await?;
    Ok(true)
}

/// What this client pushed under this name, if a browser may still come with it.
pub async fn find(
    read: &mut Read,
    request: &Digest<PushedRequest>,
    app: &AppKey,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, StoreError> {
    let find = sql("SELECT sealed FROM pushed_requests WHERE request = $1 AND app_key = $2 AND expires_at > $3");
    read.optional(find.bind(request).bind(app).bind(&now)).await?.map(|row| row.column("sealed")).transpose()
}

/// Uses a request up, however long ago its browser came with it. `false` when it has been used before: of many at once one is told `true`.
pub async fn redeem(write: &mut Write, request: &Digest<PushedRequest>) -> Result<bool, StoreError> {
    Ok(write.execute(sql("DELETE FROM pushed_requests WHERE request = $1").bind(request)).await? > 0)
}

/// Deletes up to `limit` requests that expired before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM pushed_requests WHERE request IN
                        (SELECT request FROM pushed_requests WHERE expires_at < $1 ORDER BY request LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}
