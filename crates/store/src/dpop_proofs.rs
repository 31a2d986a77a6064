//! Proofs of possession that were used: rows of `dpop_proofs`. RFC 9449 §11.1.

use hallpass_core::oidc::VerifiedProof;
use hallpass_core::time::Timestamp;

use crate::Write;
use crate::error::StoreError;
use crate::sql::sql;

/// Uses a proof up. `false` when somebody has before: of many at once, on any number of nodes, one is told `true`.
pub async fn redeem(write: &mut Write, proof: &VerifiedProof) -> Result<bool, StoreError> {
    let insert = sql("INSERT INTO dpop_proofs (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING");
    Ok(write.execute(insert.bind(&proof.id[..]).bind(&proof.expires_at)).await? > 0)
}

/// Deletes up to `limit` that expired before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM dpop_proofs WHERE id IN
                        (SELECT id FROM dpop_proofs WHERE expires_at < $1 ORDER BY id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}
