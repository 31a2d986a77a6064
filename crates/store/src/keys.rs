//! Signing keys, sealed. Protocol §16: two nodes may rotate at once, and one wins.

use hallpass_core::crypto::Algorithm;
use hallpass_core::keyring::{ClosedKey, Purpose, SealedKey};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Change, Read, Write};

/// Every key, oldest first within its purpose. Keys for what only a later version knows are left to it: nodes are upgraded one at a time.
pub async fn all(read: &mut Read) -> Result<Vec<SealedKey>, StoreError> {
    let all = sql("SELECT kid, purpose, algorithm, sealed, created_at, signs_from, signs_until, verifies_until
                   FROM signing_keys ORDER BY purpose, generation");
    read.all(all).await?.iter().filter_map(|row| key(row).transpose()).collect()
}

/// How many keys of this purpose have ever been made. Read it together with [`all`], in one snapshot, before planning a rotation.
pub async fn generation(read: &mut Read, purpose: Purpose) -> Result<i64, StoreError> {
    let generation = sql("SELECT COALESCE(MAX(generation), 0) AS generation FROM signing_keys WHERE purpose = $1");
    read.one(generation.bind(purpose.as_str())).await?.column("generation")
}

/// Stores the successor and the ends of its predecessors. `generation` is what the plan was made on: `false`, and nothing is
/// stored, when somebody else has rotated since.
pub async fn rotate(
    write: &mut Write,
    generation: i64,
    successor: &SealedKey,
    closed: &[ClosedKey],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let add = sql("INSERT INTO signing_keys (kid, purpose, generation, algorithm, sealed, created_at, signs_from,
                       signs_until, verifies_until)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (purpose, generation) DO NOTHING");
    let add = add
        .bind(&successor.kid)
        .bind(successor.purpose.as_str())
        .bind(&(generation + 1))
        .bind(successor.algorithm.as_str())
        .bind(&successor.sealed)
        .bind(&successor.created_at)
        .bind(&successor.signs_from)
        .bind(&successor.signs_until)
        .bind(&successor.verifies_until);
    if write.execute(add).await? == 0 {
        return Ok(false);
    }
    for key in closed {
        let close = sql("UPDATE signing_keys SET signs_until = $2, verifies_until = $3 WHERE kid = $1");
        write.execute(close.bind(&key.kid).bind(&key.signs_until).bind(&key.verifies_until)).await?;
    }
    write.change(now, Change::KeysChanged);
    Ok(true)
}

/// Deletes keys that have not verified anything since `before`; never the newest of a purpose. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM signing_keys WHERE verifies_until < $1 AND generation <
                        (SELECT MAX(newest.generation) FROM signing_keys AS newest
                         WHERE newest.purpose = signing_keys.purpose)");
    let gone = write.execute(prune.long().bind(&before)).await?;
    if gone > 0 {
        write.change(now, Change::KeysChanged);
    }
    Ok(gone)
}

fn key(row: &Row) -> Result<Option<SealedKey>, StoreError> {
    let Some(purpose) = row.text("purpose")?.and_then(Purpose::parse) else { return Ok(None) };
    let algorithm = row.text("algorithm")?.and_then(Algorithm::parse);
    Ok(Some(SealedKey {
        kid: row.column("kid")?,
        purpose,
        algorithm: algorithm.ok_or_else(|| StoreError::broken("unknown signature algorithm"))?,
        sealed: row.column("sealed")?,
        created_at: row.column("created_at")?,
        signs_from: row.column("signs_from")?,
        signs_until: row.optional("signs_until")?,
        verifies_until: row.optional("verifies_until")?,
    }))
}
