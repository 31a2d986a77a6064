//! Counters for throttling, shared by all nodes. Protocol §17: count before verifying.

use std::time::Duration;

use hallpass_core::time::Timestamp;

use crate::Write;
use crate::error::StoreError;
use crate::sql::sql;

/// How often something was tried in the current window, this time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// From 1.
    pub count: u32,
    /// When the window began.
    pub window_start: Timestamp,
}

/// Counts one attempt under `key`, in a window of length `window` that begins with the first attempt after the last window.
///
/// One statement, so attempts that arrive together are all counted. It holds the counter's row until commit: commit at once,
/// and count several keys with [`count_all`].
pub async fn count(write: &mut Write, key: &str, window: Duration, now: Timestamp) -> Result<Attempts, StoreError> {
    // A window that begins after now is another node's clock running ahead, and goes on; one that begins more than a whole
    // window ahead is a clock that was wrong, and must not lock anybody out until then.
    let count = sql("INSERT INTO attempts (key, window_start, window_end, count) VALUES ($1, $2, $3, 1)
                     ON CONFLICT (key) DO UPDATE SET
                         count = CASE WHEN attempts.window_end <= $2 OR attempts.window_start >= $3
                                 THEN 1 ELSE attempts.count + 1 END,
                         window_start = CASE WHEN attempts.window_end <= $2 OR attempts.window_start >= $3
                                        THEN $2 ELSE attempts.window_start END,
                         window_end = CASE WHEN attempts.window_end <= $2 OR attempts.window_start >= $3
                                      THEN $3 ELSE attempts.window_end END
                     RETURNING count, window_start");
    let row = write.one(count.bind(key).bind(&now).bind(&(now + window))).await?;
    Ok(Attempts { count: row.column("count")?, window_start: row.column("window_start")? })
}

/// Counts one attempt under each of several keys; answers in the order given.
pub async fn count_all(
    write: &mut Write,
    keys: &[(&str, Duration)],
    now: Timestamp,
) -> Result<Vec<Attempts>, StoreError> {
    // Rows are locked in the order of keys everywhere, so that two sign-ins with the same keys cannot deadlock.
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&index| keys[index].0);
    let mut counted = vec![Attempts { count: 0, window_start: now }; keys.len()];
    for index in order {
        let (key, window) = keys[index];
        counted[index] = count(write, key, window, now).await?;
    }
    Ok(counted)
}

/// Takes back one attempt of the window that began at `window_start`: it turned out to be the right password.
pub async fn refund(write: &mut Write, key: &str, window_start: Timestamp) -> Result<(), StoreError> {
    let refund = sql("UPDATE attempts SET count = count - 1 WHERE key = $1 AND window_start = $2 AND count > 0");
    write.execute(refund.bind(key).bind(&window_start)).await?;
    Ok(())
}

/// Forgets a counter: the right password came from a device that had used up its own budget only.
pub async fn clear(write: &mut Write, key: &str) -> Result<(), StoreError> {
    write.execute(sql("DELETE FROM attempts WHERE key = $1").bind(key)).await?;
    Ok(())
}

/// Deletes up to `limit` counters whose window was over before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM attempts WHERE key IN
                        (SELECT key FROM attempts WHERE window_end < $1 ORDER BY key LIMIT $2)");
    write.execute(prune.bind(&before).bind(&limit)).await
}
