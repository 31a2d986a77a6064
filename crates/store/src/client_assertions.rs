//! Client assertions that were used: rows of `client_assertions`. RFC 7523 §3, item 7; advisory T21.

use hallpass_core::oidc::VerifiedAssertion;
use hallpass_core::time::Timestamp;

use crate::Write;
use crate::error::StoreError;
use crate::sql::sql;

/// Uses an assertion up. `false` when somebody has before: of many at once, on any number of nodes, one is told `true`.
pub async fn redeem(write: &mut Write, assertion: &VerifiedAssertion) -> Result<bool, StoreError> {
    let insert = sql("INSERT INTO client_assertions (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING");
    Ok(write.execute(insert.bind(&assertion.id[..]).bind(&assertion.expires_at)).await? > 0)
}

/// Deletes up to `limit` that expired before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM client_assertions WHERE id IN
                        (SELECT id FROM client_assertions WHERE expires_at < $1 ORDER BY id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}
