//! SQLite's one writing connection. Transactions take turns at it; those that wait for each other are made durable by one `COMMIT`.
//!
//! A commit is a wait for the disk, and with one writer everybody else waits along. So whoever has finished lets those go first who are waiting
//! already, and only then commits, for all of them: SQLite's transaction stays open, and each of ours is a savepoint in it. Nobody is told of
//! success before the `COMMIT` that covers them; if it fails, all of them are told so. A transaction may thus read what another one is about to commit;
//! what it writes is then kept together with that, or not at all.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::sqlite::{Connection, Done};
use super::thread::Thread;
use super::{LOCK_TIMEOUT, PRAGMAS, Statement, WRITER_TIMEOUT, within};
use crate::error::StoreError;

/// How soon to look again whether another process still writes.
const LOCK_INTERVAL: Duration = Duration::from_millis(2);

/// What the writing connection is told besides.
const WRITING: &[(&str, &str)] = &[
    // 4 MB at most, taken only by large writes: keys are random, so each touches a page of its own.
    ("cache_size", "-4000"),
    // The log is brought into the database every 16 MB instead of every 4: what is written over and over is brought there once.
    ("wal_autocheckpoint", "4000"),
    // What a savepoint may have to undo is remembered in memory, not in a file.
    ("temp_store", "MEMORY"),
];

/// The connection, and the line in front of it.
#[derive(Clone)]
pub(crate) struct Writer {
    path: Arc<Path>,
    thread: Thread,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// There are finished transactions whose `COMMIT` is still to come; SQLite's own is open. Tells them whether they have been kept.
    finished: Option<watch::Sender<Option<bool>>>,
    closed: bool,
}

/// The right to use the connection, until it is dropped. What has been begun and not committed is then undone.
pub(super) struct Turn {
    /// `None` once it is committed or given up.
    state: Option<OwnedMutexGuard<State>>,
    connection: Connection,
    /// Within the open transaction of others.
    nested: bool,
    /// A statement has not come to its end.
    busy: bool,
}

impl Writer {
    /// Opens the file and brings its tables up to date.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let path: Arc<Path> = path.into();
        let at = path.clone();
        let open = move || {
            let log = [("journal_mode", "WAL")];
            let connection = Connection::open(&at, LOCK_TIMEOUT, &[&log, PRAGMAS, WRITING].concat())?;
            connection.migrate()?;
            connection.wait_for(Duration::ZERO)?;
            Ok(connection)
        };
        let thread = Thread::start()?;
        let connection = thread.run(open).await?.on(thread.clone());
        let state = State { connection: Some(connection), ..State::default() };
        Ok(Self { path, thread, state: Arc::new(Mutex::new(state)) })
    }

    /// Waits in line, first come, first served, and begins a transaction.
    pub(super) async fn begin(&self) -> Result<Turn, StoreError> {
        let turn = tokio::time::timeout(WRITER_TIMEOUT, self.state.clone().lock_owned()).await;
        let mut state = turn.map_err(|_| StoreError::unavailable("too many writes are waiting"))?;
        if state.closed {
            return Err(StoreError::unavailable("the database is closed"));
        }
        let connection = match &state.connection {
            Some(connection) => connection.clone(),
            // Boxed: it happens after a failure only.
            None => state.connection.insert(Box::pin(within(self.open_again())).await?).clone(),
        };
        let nested = state.finished.is_some();
        if nested {
            connection.control("SAVEPOINT turn")?;
        } else {
            begin_immediate(&connection).await?;
        }
        Ok(Turn { state: Some(state), connection, nested, busy: false })
    }

    /// Waits for whoever has a turn, and closes the connection.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        state.closed = true;
        // The last one to close brings the log into the database.
        if let Some(connection) = state.connection.take() {
            let close = move || {
                drop(connection);
                Ok(())
            };
            let _ = self.thread.run(close).await;
        }
    }

    async fn open_again(&self) -> Result<Connection, StoreError> {
        // Another process that writes is waited for by `begin_immediate`, where no thread stands still for it.
        let path = self.path.clone();
        let open = move || Connection::open(&path, Duration::ZERO, &[PRAGMAS, WRITING].concat());
        Ok(self.thread.run(open).await?.on(self.thread.clone()))
    }
}

/// Takes the write lock at once: a transaction that reads first and upgrades later fails instead of waiting.
async fn begin_immediate(connection: &Connection) -> Result<(), StoreError> {
    let since = Instant::now();
    while !connection.begin_immediate()? {
        if since.elapsed() > LOCK_TIMEOUT {
            return Err(StoreError::unavailable("another process is writing"));
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
    Ok(())
}

impl Turn {
    /// Runs a statement: here and now, unless it says that it may take long.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<Done, StoreError> {
        if !statement.long {
            // A transaction of very many statements lets others run in between.
            tokio::task::coop::consume_budget().await;
            return self.connection.run(&statement);
        }
        self.busy = true;
        let done = self.connection.apart(move |connection| connection.run(&statement)).await;
        self.busy = false;
        done
    }

    /// Makes it last, with those of everybody who is waiting.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.nested {
            self.connection.control("RELEASE turn")?;
        }
        let Some(state) = self.state.take() else { return Err(StoreError::unavailable("the turn is over")) };
        let Some(finished) = &state.finished else {
            // The first of them has promised the others the `COMMIT`, so it happens whether or not anybody waits for this one.
            return tokio::spawn(commit_for_all(state)).await.map_err(StoreError::unavailable)?;
        };
        let mut outcome = finished.subscribe();
        drop(state);
        let kept = outcome.wait_for(Option::is_some).await.is_ok_and(|kept| *kept == Some(true));
        if kept { Ok(()) } else { Err(StoreError::unavailable("a commit of several failed")) }
    }
}

/// Lets everybody go first who is waiting already, and commits.
async fn commit_for_all(mut state: OwnedMutexGuard<State>) -> Result<(), StoreError> {
    let ours = watch::Sender::new(None);
    state.finished = Some(ours.clone());
    let line = OwnedMutexGuard::mutex(&state).clone();
    drop(state);
    let mut state = line.lock_owned().await;
    if ours.borrow().is_some() {
        // Lost with the connection. By now there may be another one, with a transaction of others.
        return Err(StoreError::unavailable("the writing connection was lost"));
    }
    let committed = match &state.connection {
        Some(connection) => within(connection.apart(|connection| connection.control("COMMIT"))).await,
        None => Err(StoreError::unavailable("the writing connection was lost")),
    };
    if committed.is_ok() {
        state.end(true);
    } else {
        state.lose();
    }
    committed
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        let (connection, nested) = (self.connection.clone(), self.nested);
        if !self.busy {
            return state.undo(&connection, nested);
        }
        // The statement is waited for: until it has come to its end nobody else can use the connection.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || state.undo(&connection, nested))),
            Err(_) => state.lose(),
        }
    }
}

impl State {
    /// Undoes what a turn has done, and nothing else. If that fails nobody knows what became of the others.
    fn undo(&mut self, connection: &Connection, nested: bool) {
        let undone = if nested {
            connection.control("ROLLBACK TO turn").and_then(|()| connection.control("RELEASE turn"))
        } else {
            connection.control("ROLLBACK")
        };
        if undone.is_err() {
            self.lose();
        }
    }

    fn end(&mut self, kept: bool) {
        if let Some(finished) = self.finished.take() {
            finished.send_replace(Some(kept));
        }
    }

    /// Gives the connection up; SQLite undoes what was not committed.
    fn lose(&mut self) {
        self.connection = None;
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection as Database;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;
    use crate::sql::sql;

    /// A table whose rows may name a parent that is not there, until `COMMIT`.
    fn writer(directory: &tempfile::TempDir) -> Writer {
        let path = directory.path().join("test.db");
        let table =
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES rows DEFERRABLE INITIALLY DEFERRED)";
        Database::open(&path).and_then(|database| database.execute_batch(table)).expect("a table");
        Writer { path: path.into(), thread: Thread::start().expect("starts"), state: Arc::default() }
    }

    async fn begun(writer: &Writer) -> Turn {
        writer.begin().await.expect("a turn")
    }

    async fn run(turn: &mut Turn, statement: &'static str) {
        turn.run(sql(statement)).await.expect("runs");
    }

    async fn finished(turn: Turn) -> JoinHandle<Result<(), StoreError>> {
        let commit = tokio::spawn(turn.commit());
        // As far as the line.
        for _ in 0..3 {
            yield_now().await;
        }
        commit
    }

    /// Two that share a `COMMIT`.
    struct Shared {
        directory: tempfile::TempDir,
        writer: Writer,
        /// Has written row 1, is finished, and waits for the other.
        one: JoinHandle<Result<(), StoreError>>,
        /// Came in line before that, and has its turn.
        second: Turn,
    }

    async fn shared() -> Shared {
        let directory = tempfile::tempdir().expect("a directory");
        let writer = writer(&directory);
        let mut first = begun(&writer).await;
        run(&mut first, "INSERT INTO rows VALUES (1, NULL)").await;
        let other = writer.clone();
        let waiting = tokio::spawn(async move { begun(&other).await });
        yield_now().await;
        let one = finished(first).await;
        let second = waiting.await.expect("a turn");
        assert!(second.nested && !one.is_finished(), "they share a COMMIT");
        Shared { directory, writer, one, second }
    }

    async fn ids(writer: &Writer) -> Vec<i64> {
        let mut turn = begun(writer).await;
        assert!(!turn.nested, "nothing is left over");
        let done = turn.run(sql("SELECT id FROM rows ORDER BY id")).await.expect("reads");
        done.rows.iter().filter_map(|row| row.integer("id").expect("a number")).collect()
    }

    /// Without the first a power cut takes back what somebody was told, without the second rows name what is not there.
    #[tokio::test]
    async fn it_is_durable_and_held_to_its_references() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut turn = begun(&writer(&directory)).await;
        for (ask, expected) in [
            ("PRAGMA synchronous", 2),
            ("PRAGMA foreign_keys", 1),
            ("PRAGMA trusted_schema", 0),
            ("PRAGMA cache_size", -4000),
            ("PRAGMA wal_autocheckpoint", 4000),
            ("PRAGMA temp_store", 2),
        ] {
            let done = turn.run(sql(ask)).await.expect("answers");
            assert_eq!(done.rows[0].integer(0).expect("a number"), Some(expected), "{ask}");
        }
    }

    #[tokio::test]
    async fn those_who_wait_for_each_other_are_kept_together() {
        let Shared { directory: _kept, writer, one, mut second } = shared().await;
        run(&mut second, "INSERT INTO rows VALUES (2, NULL)").await;
        let two = finished(second).await;
        one.await.expect("runs").expect("commits");
        two.await.expect("runs").expect("commits");
        assert_eq!(ids(&writer).await, [1, 2]);
    }

    #[tokio::test]
    async fn what_one_undoes_is_its_own() {
        let Shared { directory: _kept, writer, one, mut second } = shared().await;
        run(&mut second, "INSERT INTO rows VALUES (2, NULL)").await;
        drop(second);
        one.await.expect("runs").expect("commits");
        assert_eq!(ids(&writer).await, [1]);
    }

    /// Nobody may be told of success that there was not.
    #[tokio::test]
    async fn a_commit_that_fails_fails_for_all() {
        let Shared { directory: _kept, writer, one, mut second } = shared().await;
        run(&mut second, "INSERT INTO rows VALUES (2, 99)").await;
        let two = finished(second).await;
        one.await.expect("runs").expect_err("not committed");
        two.await.expect("runs").expect_err("not committed");
        assert!(ids(&writer).await.is_empty());
    }

    /// After some errors, a full disk for one, SQLite undoes everything by itself.
    #[tokio::test]
    async fn whose_work_is_lost_with_another_ones_is_told() {
        let Shared { directory: _kept, writer, one, mut second } = shared().await;
        run(&mut second, "ROLLBACK").await;
        drop(second);
        one.await.expect("runs").expect_err("not committed");
        assert!(ids(&writer).await.is_empty());
    }

    /// Those who come next have a connection and a `COMMIT` of their own, which says nothing of what was lost before.
    #[tokio::test]
    async fn whose_work_is_lost_is_told_though_others_go_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let writer = writer(&directory);
        let mut first = begun(&writer).await;
        run(&mut first, "INSERT INTO rows VALUES (1, NULL)").await;
        let [second, third] =
            [writer.clone(), writer.clone()].map(|other| tokio::spawn(async move { begun(&other).await }));
        yield_now().await;
        let one = finished(first).await;
        let mut second = second.await.expect("a turn");
        run(&mut second, "ROLLBACK").await;
        drop(second);
        let mut third = third.await.expect("a turn");
        assert!(!third.nested, "nothing is left of the first");
        run(&mut third, "INSERT INTO rows VALUES (3, NULL)").await;
        let three = finished(third).await;
        one.await.expect("runs").expect_err("not committed");
        three.await.expect("runs").expect("commits");
        assert_eq!(ids(&writer).await, [3]);
    }

    /// A browser that hangs up takes nobody's commit along.
    #[tokio::test]
    async fn a_commit_goes_on_without_its_caller() {
        let Shared { directory: _kept, writer, one, second } = shared().await;
        one.abort();
        drop(second);
        assert_eq!(ids(&writer).await, [1]);
    }
}
