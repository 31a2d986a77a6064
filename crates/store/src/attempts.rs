//! Counters for throttling, shared by all nodes. Protocol §17: count before verifying.

use std::time::Duration;

use hallpass_core::time::Timestamp;
use hallpass_core::user::{User, Username};

use crate::authenticators::Password;
use crate::error::StoreError;
use crate::sql::{Row, Statement, sql};
use crate::{Write, users};

const HEAD: &str = "INSERT INTO attempts (key, window_start, window_end, count) VALUES ";

/// How often something was tried in the current window, this time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// From 1.
    pub count: u32,
    /// When the window began.
    pub window_start: Timestamp,
}

/// Counts one attempt under each of several different keys, each in a window of its own length that begins with the first attempt after
/// the last window. Answers in the order given.
///
/// One statement, so attempts that arrive together are all counted. It holds the counters' rows until commit: commit at once.
pub async fn count(write: &mut Write, keys: &[(&str, Duration)], now: Timestamp) -> Result<Vec<Attempts>, StoreError> {
    let rows = write.all(counting(keys, now)).await?;
    counted(&rows, keys, now)
}

/// [`count`] and [`users::with_password`]: all that a password sign-in asks for, and as much work whether or not there is anybody. Where there is
/// more than one writer it is one statement, because each costs a way there and back.
pub async fn count_for(
    write: &mut Write,
    username: &Username,
    keys: &[(&str, Duration)],
    now: Timestamp,
) -> Result<(Vec<Attempts>, Option<(User, Option<Password>)>), StoreError> {
    if write.locking().is_none() {
        let user = users::with_password(write, username).await?;
        return Ok((count(write, keys, now).await?, user));
    }
    let parts = [("counted", counting(keys, now)), ("found", users::finding_with_password(username))];
    let both = Statement::with(
        parts.map(|(name, part)| (name.to_owned(), part)),
        sql("SELECT * FROM counted LEFT JOIN found ON TRUE"),
    );
    let rows = write.all(both).await?;
    let user = rows.first().map(users::user_with_password).transpose()?.flatten();
    Ok((counted(&rows, keys, now)?, user))
}

fn counting(keys: &[(&str, Duration)], now: Timestamp) -> Statement {
    // A window that begins after now is another node's clock running ahead, and goes on; one that begins more than a whole
    // window ahead is a clock that was wrong, and must not lock anybody out until then.
    const OVER: &str = "attempts.window_end <= excluded.window_start OR attempts.window_start >= excluded.window_end";
    let tail = format!(
        " ON CONFLICT (key) DO UPDATE SET
              count = CASE WHEN {OVER} THEN 1 ELSE attempts.count + 1 END,
              window_start = CASE WHEN {OVER} THEN excluded.window_start ELSE attempts.window_start END,
              window_end = CASE WHEN {OVER} THEN excluded.window_end ELSE attempts.window_end END
          RETURNING key, count, window_start"
    );
    let count = crate::insert(HEAD, keys.len(), 4, &tail);
    in_order(keys, |(key, _)| key)
        .into_iter()
        .fold(count, |count, (key, window)| count.bind(*key).bind(&now).bind(&(now + *window)).bind(&1_i64))
}

fn counted(rows: &[Row], keys: &[(&str, Duration)], now: Timestamp) -> Result<Vec<Attempts>, StoreError> {
    let mut counted = vec![Attempts { count: 0, window_start: now }; keys.len()];
    for row in rows {
        let key = row.text("key")?;
        let index = keys.iter().position(|(asked, _)| Some(*asked) == key);
        let index = index.ok_or_else(|| StoreError::broken("a counter that nobody asked for"))?;
        counted[index] = Attempts { count: row.column("count")?, window_start: row.column("window_start")? };
    }
    Ok(counted)
}

/// Takes back one attempt under each key, of the window that began at its `window_start`: it turned out to be the right password, or was
/// turned away at a narrower counter.
pub async fn take_back(write: &mut Write, keys: &[(&str, Timestamp)]) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    // An upsert, because that locks the rows in the order in which it names them, as `count` does: an update with several keys would
    // choose an order of its own, and two sign-ins could wait for each other.
    let tail = " ON CONFLICT (key) DO UPDATE SET count = attempts.count - 1
                 WHERE attempts.window_start = excluded.window_start AND attempts.count > 0";
    let mut take_back = crate::insert(HEAD, keys.len(), 4, tail);
    for (key, window_start) in in_order(keys, |(key, _)| key) {
        // A counter that has been deleted meanwhile comes back as nothing counted, in a window that is over.
        take_back = take_back.bind(*key).bind(window_start).bind(window_start).bind(&0_i64);
    }
    write.defer(take_back).await
}

/// Forgets a counter: the right password came from a device that had used up its own budget only.
pub async fn clear(write: &mut Write, key: &str) -> Result<(), StoreError> {
    write.defer(sql("DELETE FROM attempts WHERE key = $1").bind(key)).await
}

/// Deletes up to `limit` counters whose window was over before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM attempts WHERE key IN
                        (SELECT key FROM attempts WHERE window_end < $1 ORDER BY key LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

/// Rows are locked in the order of keys everywhere, so that two sign-ins with the same keys cannot deadlock.
fn in_order<K>(keys: &[K], key: impl Fn(&K) -> &str) -> Vec<&K> {
    let mut order: Vec<&K> = keys.iter().collect();
    order.sort_by(|one, other| key(one).cmp(key(other)));
    order
}
