//! The two databases. The only file that knows there are two: everybody else speaks one SQL text through [`Statement`].
//!
//! SQLite through rusqlite (WAL, `synchronous=FULL`, one writing connection, a few reading ones) and PostgreSQL through sqlx (a few connections;
//! writes READ COMMITTED, reads REPEATABLE READ). Every wait is bounded, here and at the server, so that a database that hangs shows as
//! an error and not as a queue.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgListener, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection as _, Decode, Executor as _, Row as _, SqlSafeStr as _, SqlStr, Type,
};

use self::postgres::{Connections, Lent};
use self::readers::{Reader, Readers};
use self::writer::{Turn, Writer};
use crate::database_url::DatabaseUrl;
use crate::error::StoreError;
use crate::migrate;

mod postgres;
mod readers;
mod sqlite;
mod thread;
mod writer;

/// How long a server may work on one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one statement may wait for a row another transaction holds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(4);
/// How long we wait for an answer at all: the server's own limit comes first, this one is for a network that swallows packets.
const PATIENCE: Duration = Duration::from_secs(7);
/// How long to wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for SQLite's one writing connection; many short writes may stand in line.
const WRITER_TIMEOUT: Duration = Duration::from_secs(5);
/// What each connection to SQLite is told. `journal_mode` is written in the file.
const PRAGMAS: &[(&str, &str)] = &[("synchronous", "FULL"), ("foreign_keys", "ON"), ("trusted_schema", "OFF")];

/// An open database.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite { writer: Writer, readers: Readers },
    Postgres(Connections),
}

/// What a connection is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Statements that each see the latest state.
    Read,
    /// Statements that all see the same state.
    Snapshot,
    /// Statements that are kept together or not at all.
    Write,
    /// Statements that write and stand each for itself, where the database has more than one writer.
    Each,
}

impl Database {
    /// Opens it and brings its tables up to date.
    pub(crate) async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                create_private(path).map_err(StoreError::unavailable)?;
                let writer = Writer::open(path).await?;
                Ok(Self::Sqlite { writer, readers: Readers::new(path) })
            }
            DatabaseUrl::Postgres(url) => {
                let options = PgConnectOptions::from_str(url)?.application_name("hallpass");
                // On a connection of its own, because a migration may take longer than a statement may.
                let mut connection = within(sqlx::PgConnection::connect_with(&options)).await?;
                migrate::run(&mut connection).await?;
                within(connection.close()).await?;
                let options = options.options([
                    ("statement_timeout", STATEMENT_TIMEOUT.as_millis()),
                    ("lock_timeout", LOCK_TIMEOUT.as_millis()),
                    ("idle_in_transaction_session_timeout", 30_000),
                ]);
                // For statements that are a transaction by themselves, whatever the server's own default is.
                let options = options.options([("default_transaction_isolation", "read committed")]);
                Ok(Self::Postgres(Connections::new(options)))
            }
        }
    }

    /// Takes a connection and begins what `access` asks for.
    pub(crate) async fn begin(&self, access: Access) -> Result<Transaction, StoreError> {
        let (connection, begin) = match (self, access) {
            (Self::Sqlite { writer, .. }, Access::Write | Access::Each) => {
                (Connection::Writer(writer.begin().await?), None)
            }
            (Self::Sqlite { readers, .. }, _) => {
                let mut reader = readers.acquire().await?;
                if access == Access::Snapshot {
                    reader.begin()?;
                }
                (Connection::Reader(reader), None)
            }
            // Here and below: what waits for PostgreSQL is boxed. Its futures have four kilobytes, which every handler's would have in it, on SQLite, too.
            (Self::Postgres(connections), _) => {
                let begin = match access {
                    Access::Read | Access::Each => None,
                    Access::Snapshot => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
                    Access::Write => Some("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
                };
                (Connection::Postgres(Box::pin(connections.acquire()).await?), begin)
            }
        };
        Ok(Transaction {
            connection: Some(connection),
            begin,
            deferred: Vec::new(),
            open: false,
            failed: false,
            busy: false,
        })
    }

    /// Ears for other nodes' commits; `None` where the database has no way to call.
    pub(crate) async fn listen(&self, channel: &str) -> Result<Option<Listener>, StoreError> {
        let Self::Postgres(connections) = self else { return Ok(None) };
        connections.listen(channel).await.map(Listener).map(Some)
    }

    /// Waits, but not for ever, for running statements, and closes every connection.
    pub(crate) async fn close(&self) {
        let close = async {
            match self {
                Self::Sqlite { writer, readers } => {
                    readers.close().await;
                    writer.close().await;
                }
                Self::Postgres(connections) => connections.close().await,
            }
        };
        if tokio::time::timeout(PATIENCE, close).await.is_err() {
            tracing::warn!("some database connections were still in use at the end");
        }
    }
}

/// Hears of commits by other nodes (PostgreSQL `LISTEN`).
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Waits for the next commit and returns the feed's position after it. After `None` (the connection was lost and is
    /// back) and after an error something may have been missed: read the feed. Run it in a task of its own, because a wait
    /// that is cancelled may swallow that news.
    pub async fn recv(&mut self) -> Result<Option<i64>, StoreError> {
        Ok(self.0.try_recv().await?.and_then(|heard| heard.payload().parse().ok()))
    }
}

/// SQLite's undo by themselves what is open when they are dropped.
enum Connection {
    Writer(Turn),
    Reader(Reader),
    Postgres(Lent),
}

/// A connection and what is to happen on it together, which is undone when dropped.
pub(crate) struct Transaction {
    connection: Option<Connection>,
    /// What PostgreSQL has to be told before the first statement, and has not been told yet.
    begin: Option<&'static str>,
    /// Statements that nobody waits for: they run before the next one, or before `COMMIT`.
    deferred: Vec<Statement>,
    /// PostgreSQL is within a transaction.
    open: bool,
    /// A statement failed. PostgreSQL would answer COMMIT with a silent rollback, so that is refused here, on both.
    failed: bool,
    /// PostgreSQL has not come to the end of a statement: its caller has gone away, or it took too long.
    busy: bool,
}

impl Transaction {
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::unavailable("a statement of this transaction failed, so it cannot be committed"));
        }
        if !self.deferred.is_empty() {
            // Nothing has happened yet, and one statement is a transaction by itself.
            self.begin = None;
        }
        self.flush().await?;
        if self.open {
            self.control("COMMIT".into_sql_str()).await?;
            self.open = false;
        }
        match self.connection.take_if(|connection| matches!(connection, Connection::Writer(_))) {
            Some(Connection::Writer(turn)) => turn.commit().await,
            _ => Ok(()),
        }
    }

    /// Commits and tells listeners on `channel`, in one message.
    pub(crate) async fn commit_and_notify(mut self, channel: &'static str, payload: i64) -> Result<(), StoreError> {
        if let Some(Connection::Postgres(_)) = self.connection
            && !self.failed
        {
            self.flush().await?;
            self.control(AssertSqlSafe(format!("NOTIFY {channel}, '{payload}'; COMMIT")).into_sql_str()).await?;
            self.open = false;
            return Ok(());
        }
        self.commit().await
    }

    pub(crate) fn locking(&self) -> Option<&'static str> {
        matches!(self.connection, Some(Connection::Postgres(_))).then_some("FOR NO KEY UPDATE")
    }

    /// Puts a statement off whose answer nobody needs. None of those that are put off together may depend on another one, or write the same row;
    /// the same statement is therefore not put off twice.
    pub(crate) async fn defer(&mut self, statement: Statement) -> Result<(), StoreError> {
        if self.deferred.iter().any(|other| other.text.as_str() == statement.text.as_str()) {
            self.flush().await?;
        }
        self.deferred.push(statement);
        Ok(())
    }

    /// Runs what was put off. On PostgreSQL in one statement: each costs a way there and back, which for small ones is most of what they cost.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let mut deferred = std::mem::take(&mut self.deferred);
        if deferred.len() > 1
            && matches!(self.connection, Some(Connection::Postgres(_)))
            && let Some(last) = deferred.pop()
        {
            deferred = vec![Statement::with(named(deferred), last)];
        }
        for statement in deferred {
            statement.run(self).await?;
        }
        Ok(())
    }

    /// Runs `steps` and what was put off, in one statement (PostgreSQL). Each step may read by name what those before it return; if the last one
    /// returns no row, none of what was put off happens, and the answer is `false`. With nothing before and nothing after it, it is a
    /// transaction by itself: then it `lasts` without a `COMMIT`.
    pub(crate) async fn decide<const STEPS: usize>(
        &mut self,
        steps: [(&'static str, Statement); STEPS],
        lasts: bool,
    ) -> Result<bool, StoreError> {
        let Some((decisive, _)) = steps.last() else { return Ok(true) };
        let condition = format!("EXISTS (SELECT 1 FROM {decisive})");
        let answer = composed_sql(format!("SELECT 1 FROM {decisive}")).keep_prepared(true);
        let put_off = std::mem::take(&mut self.deferred).into_iter().map(|statement| statement.only_if(&condition));
        let steps = steps.map(|(name, statement)| (name.to_owned(), statement));
        let all = Statement::with(steps.into_iter().chain(named(put_off)), answer);
        if lasts {
            self.begin = None;
        }
        Ok(!all.all(self).await?.is_empty())
    }

    /// Tells PostgreSQL where the transaction begins or ends.
    async fn control(&mut self, statement: SqlStr) -> Result<(), StoreError> {
        let control = async |connection: &mut Connection| match connection {
            Connection::Postgres(lent) => Ok(Box::pin(lent.inner().execute(statement)).await.map(drop)?),
            Connection::Writer(_) | Connection::Reader(_) => Ok(()),
        };
        self.run(control).await
    }

    async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(begin) = self.begin.take() {
            self.open = true;
            Box::pin(self.control(begin.into_sql_str())).await?;
        }
        // PostgreSQL refuses whatever comes after a failure. SQLite may have undone everything so far, and would keep the rest.
        if self.failed {
            return Err(StoreError::unavailable("an earlier statement of this transaction failed"));
        }
        let connection = self.connection.as_mut().expect("present until dropped");
        self.busy = true;
        let done = tokio::time::timeout(PATIENCE, statement(connection)).await;
        self.busy = done.is_err();
        let done = done.unwrap_or_else(|_| Err(StoreError::unavailable("no answer in time")));
        self.failed |= done.is_err();
        done
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(Connection::Postgres(lent)) = self.connection.take() else { return };
        // After a failure, too: it may be the connection that failed.
        if self.open || self.busy || self.failed {
            lent.recover(self.open);
        } else {
            lent.give_back();
        }
    }
}

/// A value to bind; a `NULL` has a type too (PostgreSQL asks).
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// What can be bound. The kinds of `columns.rs`.
pub(crate) trait Parameter {
    const NULL: Value;
    fn value(&self) -> Value;
}

/// One SQL statement and its values: `$1`, `$2`, … in both databases.
pub(crate) struct Statement {
    text: SqlStr,
    values: Vec<Value>,
    keep: bool,
    long: bool,
}

/// A statement. Its text is a literal: what people typed can only be bound.
pub(crate) fn sql(text: &'static str) -> Statement {
    Statement { text: text.into_sql_str(), values: Vec::new(), keep: true, long: false }
}

/// A statement put together from literals, for a number of rows that differs. Not kept prepared.
pub(crate) fn composed_sql(text: String) -> Statement {
    Statement { text: AssertSqlSafe(text).into_sql_str(), values: Vec::new(), keep: false, long: false }
}

impl Statement {
    /// Whether the connection should keep it prepared for the next time.
    pub(crate) fn keep_prepared(self, keep: bool) -> Self {
        Self { keep, ..self }
    }

    pub(crate) fn followed_by(self, end: &'static str) -> Self {
        Self { text: AssertSqlSafe(self.text.as_str().to_owned() + end).into_sql_str(), ..self }
    }

    /// It may find or touch many rows, so no request should stand behind it.
    pub(crate) fn long(self) -> Self {
        Self { long: true, ..self }
    }

    pub(crate) fn bind<P: Parameter + ?Sized>(mut self, parameter: &P) -> Self {
        self.values.push(parameter.value());
        self
    }

    /// `last`, with `parts` as common table expressions, which may write (PostgreSQL). All of them see what was there before.
    pub(crate) fn with(parts: impl IntoIterator<Item = (String, Self)>, last: Self) -> Self {
        let (mut texts, mut values, mut keep) = (Vec::new(), Vec::new(), last.keep);
        for (name, mut part) in parts {
            texts.push(format!("{name} AS ({})", renumbered(part.text.as_str(), values.len())));
            values.append(&mut part.values);
            keep &= part.keep;
        }
        let text = format!("WITH {} {}", texts.join(", "), renumbered(last.text.as_str(), values.len()));
        values.extend(last.values);
        Self { values, keep, ..composed_sql(text) }
    }

    /// It touches rows only where `condition` holds, too: an `INSERT` of `VALUES`, or what ends with its `WHERE`.
    fn only_if(self, condition: &str) -> Self {
        let text = self.text.as_str();
        let text = match text.split_once("VALUES ") {
            Some((head, rest)) => {
                let (rows, tail) = rest.split_at(rest.find("ON CONFLICT").unwrap_or(rest.len()));
                format!("{head}SELECT * FROM (VALUES {rows}) AS put_off WHERE {condition} {tail}")
            }
            None => format!("{text} AND {condition}"),
        };
        Self { text: AssertSqlSafe(text).into_sql_str(), ..self }
    }

    /// Runs it; how many rows it touched.
    pub(crate) async fn execute(self, transaction: &mut Transaction) -> Result<u64, StoreError> {
        transaction.flush().await?;
        self.run(transaction).await
    }

    async fn run(self, transaction: &mut Transaction) -> Result<u64, StoreError> {
        let execute = async |connection: &mut Connection| match connection {
            Connection::Writer(turn) => Ok(turn.run(self).await?.touched),
            Connection::Reader(reader) => Ok(reader.run(self).await?.touched),
            Connection::Postgres(lent) => Ok(Box::pin(self.query().execute(lent.inner())).await?.rows_affected()),
        };
        transaction.run(execute).await
    }

    /// Runs it to its end; all rows.
    pub(crate) async fn all(self, transaction: &mut Transaction) -> Result<Vec<Row>, StoreError> {
        transaction.flush().await?;
        let all = async |connection: &mut Connection| match connection {
            Connection::Writer(turn) => Ok(turn.run(self).await?.rows.into_iter().map(Row::Sqlite).collect()),
            Connection::Reader(reader) => Ok(reader.run(self).await?.rows.into_iter().map(Row::Sqlite).collect()),
            Connection::Postgres(lent) => {
                Ok(Box::pin(self.query().fetch_all(lent.inner())).await?.into_iter().map(Row::Postgres).collect())
            }
        };
        transaction.run(all).await
    }

    fn query(self) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(self.text).persistent(self.keep);
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Integer(integer) => query.bind(integer),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    }
}

/// Names for parts that nobody reads from.
fn named(statements: impl IntoIterator<Item = Statement>) -> impl Iterator<Item = (String, Statement)> {
    statements.into_iter().enumerate().map(|(number, statement)| (format!("part{number}"), statement))
}

/// `$1` as `$4` if there are three values already. Statements are literals of ours, which have no other `$`.
fn renumbered(text: &str, by: usize) -> String {
    let mut parts = text.split('$');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (number, rest) =
            part.split_at(part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len()));
        let number = number.parse::<usize>().map_or_else(|_| number.to_owned(), |number| (number + by).to_string());
        text + "$" + &number + rest
    })
}

/// One row of an answer.
pub(crate) enum Row {
    Sqlite(sqlite::Row),
    Postgres(PgRow),
}

/// A column by name or, where millions of rows are read, by number.
pub(crate) trait Position: sqlite::Position + ColumnIndex<PgRow> {}
impl<T: sqlite::Position + ColumnIndex<PgRow>> Position for T {}

impl Row {
    pub(crate) fn text(&self, column: impl Position) -> Result<Option<&str>, StoreError> {
        match self {
            Self::Sqlite(row) => row.text(column),
            Self::Postgres(row) => value(row, column),
        }
    }

    pub(crate) fn integer(&self, column: impl Position) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => row.integer(column),
            Self::Postgres(row) => value(row, column),
        }
    }

    pub(crate) fn bytes(&self, column: impl Position) -> Result<Option<&[u8]>, StoreError> {
        match self {
            Self::Sqlite(row) => row.bytes(column),
            Self::Postgres(row) => value(row, column),
        }
    }
}

fn value<'r, T>(row: &'r PgRow, column: impl Position) -> Result<Option<T>, StoreError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|error| StoreError::broken(format_args!("{column:?}: {error}")))
}

/// Gives up on a database that does not answer.
async fn within<T, E: Into<StoreError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(StoreError::unavailable("no answer in time")),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else { return Self::unavailable(error) };
        if database.is_foreign_key_violation() {
            return Self::Dangling;
        }
        if !database.is_unique_violation() {
            return Self::unavailable(error);
        }
        // Beside the table it says `Key (a, b)=(…) exists`.
        let postgres = database.try_downcast_ref::<PgDatabaseError>();
        let table = postgres.and_then(PgDatabaseError::table).unwrap_or_default();
        let detail = postgres.and_then(PgDatabaseError::detail).unwrap_or_default();
        let columns = detail.split_once('(').and_then(|(_, rest)| rest.split_once(")=")).map(|(columns, _)| columns);
        let on = format!("{table}({})", columns.unwrap_or_default());
        Self::Conflict(on.into())
    }
}

/// Creates the file for its owner only, because it holds password hashes; SQLite gives its side files the same mode.
fn create_private(path: &std::path::Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
