//! SQLite's one writing connection. Transactions take turns at it; those that wait for each other are made durable by one `COMMIT`.
//!
//! A commit is a wait for the disk, and with one writer everybody else waits along. So whoever has finished lets those go first who are waiting
//! already, and only then commits, for all of them: SQLite's transaction stays open, and each of ours is a savepoint in it. Nobody is told of
//! success before the `COMMIT` that covers them; if it fails, all of them are told so. A transaction may thus read what another one is about to commit;
//! what it writes is then kept together with that, or not at all.

use std::sync::{Arc, OnceLock};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{WRITER_TIMEOUT, within};
use crate::error::StoreError;

/// The connection, and the line in front of it.
#[derive(Clone)]
pub(crate) struct Writer {
    options: Arc<SqliteConnectOptions>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connection: Option<SqliteConnection>,
    /// The finished transactions whose `COMMIT` is still to come; SQLite's own is open.
    finished: Option<Arc<Group>>,
    closed: bool,
}

/// Transactions that are kept together.
#[derive(Default)]
struct Group(OnceLock<bool>);

/// The right to use the connection, until it is dropped.
pub(super) struct Turn {
    state: OwnedMutexGuard<State>,
    /// Within the open transaction of others.
    nested: bool,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options: Arc::new(options), state: Arc::default() }
    }

    /// Waits in line, first come, first served.
    pub(super) async fn turn(&self) -> Result<Turn, StoreError> {
        let turn = tokio::time::timeout(WRITER_TIMEOUT, self.state.clone().lock_owned()).await;
        let mut state = turn.map_err(|_| StoreError::unavailable("too many writes are waiting"))?;
        if state.closed {
            return Err(StoreError::unavailable("the database is closed"));
        }
        if state.connection.is_none() {
            state.connection = Some(within(self.options.connect()).await?);
        }
        let nested = state.finished.is_some();
        Ok(Turn { state, nested })
    }

    /// Waits for whoever has a turn, and closes the connection.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        state.closed = true;
        if let Some(connection) = state.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed in good order");
        }
    }
}

impl Turn {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        self.state.connection.as_mut().expect("a turn begins with a connection, and loses it at its end")
    }

    /// Takes the write lock at once: a transaction that reads first and upgrades later fails instead of waiting.
    pub(super) const fn begin(&self) -> &'static str {
        if self.nested { "SAVEPOINT turn" } else { "BEGIN IMMEDIATE" }
    }

    /// What ends a transaction that is to be kept, before [`commit`](Self::commit).
    pub(super) const fn finish(&self) -> Option<&'static str> {
        if self.nested { Some("RELEASE turn") } else { None }
    }

    /// Makes it last, with those of everybody who is waiting. In a task of its own: those who share the `COMMIT` rely on whoever has promised it.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        tokio::spawn(self.commit_together()).await.map_err(StoreError::unavailable)?
    }

    async fn commit_together(mut self) -> Result<(), StoreError> {
        let group = self.state.finished.get_or_insert_default().clone();
        let line = OwnedMutexGuard::mutex(&self.state).clone();
        drop(self.state);
        let mut state = line.lock_owned().await;
        if let Some(kept) = group.0.get() {
            return if *kept { Ok(()) } else { Err(StoreError::unavailable("a commit of several failed")) };
        }
        let committed = match &mut state.connection {
            Some(connection) => within(connection.execute("COMMIT")).await.map(drop),
            None => Err(StoreError::unavailable("the writing connection was lost")),
        };
        if committed.is_ok() {
            state.end(true);
        } else {
            state.lose();
        }
        committed
    }

    /// Undoes what this turn has done, and nothing else. If that fails nobody knows what became of the others.
    pub(super) async fn undo(mut self) {
        let nested = self.nested;
        let connection = self.connection();
        let undone = async {
            if nested {
                within(connection.execute("ROLLBACK TO turn")).await?;
                within(connection.execute("RELEASE turn")).await?;
            } else {
                within(connection.execute("ROLLBACK")).await?;
            }
            Ok::<_, StoreError>(())
        };
        if undone.await.is_err() {
            self.lose();
        }
    }

    /// Gives the connection up; SQLite undoes what was not committed.
    pub(super) fn lose(&mut self) {
        self.state.lose();
    }
}

impl State {
    fn end(&mut self, kept: bool) {
        if let Some(group) = self.finished.take() {
            let _ = group.0.set(kept);
        }
    }

    fn lose(&mut self) {
        self.connection = None;
        self.end(false);
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// A table whose rows may name a parent that is not there, until `COMMIT`.
    async fn writer(directory: &tempfile::TempDir) -> Writer {
        let options = SqliteConnectOptions::new().filename(directory.path().join("test.db")).create_if_missing(true);
        let writer = Writer::new(options.foreign_keys(true));
        let mut turn = begun(&writer).await;
        run(
            &mut turn,
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES rows DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
        turn.commit().await.expect("commits");
        writer
    }

    async fn begun(writer: &Writer) -> Turn {
        let mut turn = writer.turn().await.expect("a turn");
        let begin = turn.begin();
        run(&mut turn, begin).await;
        turn
    }

    async fn run(turn: &mut Turn, statement: &'static str) {
        turn.connection().execute(statement).await.expect("runs");
    }

    async fn finished(mut turn: Turn) -> JoinHandle<Result<(), StoreError>> {
        if let Some(finish) = turn.finish() {
            run(&mut turn, finish).await;
        }
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
        let writer = writer(&directory).await;
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
        let rows = turn.connection().fetch_all("SELECT id FROM rows ORDER BY id").await.expect("reads");
        turn.undo().await;
        rows.iter().map(|row| row.get(0)).collect()
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
        second.undo().await;
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
        second.undo().await;
        one.await.expect("runs").expect_err("not committed");
        assert!(ids(&writer).await.is_empty());
    }

    /// A browser that hangs up takes nobody's commit along.
    #[tokio::test]
    async fn a_commit_goes_on_without_its_caller() {
        let Shared { directory: _kept, writer, one, second } = shared().await;
        one.abort();
        second.undo().await;
        assert_eq!(ids(&writer).await, [1]);
    }
}
