//! Answers of other providers: each is taken once, on any node. Protocol §10, §20; advisory T23.

use hallpass_core::time::Timestamp;

use crate::Write;
use crate::error::StoreError;
use crate::sql::sql;

/// Takes an answer. Of all that try, ever, one is told `true`.
pub async fn take(write: &mut Write, answer: &[u8; 32], now: Timestamp) -> Result<bool, StoreError> {
    let take = sql("INSERT INTO upstream_answers (answer, answered_at) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    Ok(write.execute(take.bind(&answer.to_vec()).bind(&now)).await? > 0)
}

/// Deletes up to `limit` of those that came before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM upstream_answers WHERE answer IN
                        (SELECT answer FROM upstream_answers WHERE answered_at < $1 ORDER BY answer LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}
