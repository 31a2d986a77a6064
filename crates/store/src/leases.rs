//! Leases: of several nodes, one does a job. A holder that dies loses its lease by time.

use hallpass_core::time::Timestamp;

use crate::Write;
use crate::error::StoreError;
use crate::sql::sql;

/// Takes or prolongs the lease `name` until `until`. `false` while another holder has it.
///
/// Nodes whose clocks disagree by more than a lease lasts could both hold it: what is done under one must be safe to do twice.
pub async fn acquire(
    write: &mut Write,
    name: &str,
    holder: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let acquire = sql("INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, $3)
                       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
                       WHERE leases.holder = excluded.holder OR leases.held_until <= $4
                       RETURNING holder");
    Ok(write.optional(acquire.bind(name).bind(holder).bind(&until).bind(&now)).await?.is_some())
}

/// Gives a lease back early. Whether this holder had it.
pub async fn release(write: &mut Write, name: &str, holder: &str) -> Result<bool, StoreError> {
    let release = sql("DELETE FROM leases WHERE name = $1 AND holder = $2");
    Ok(write.execute(release.bind(name).bind(holder)).await? > 0)
}
