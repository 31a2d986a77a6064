//! One connection to SQLite, which is a library and not a server: a statement runs on the thread that asks for it.
//!
//! Most statements take microseconds, and a way to another thread and back costs more than that: on an idle machine it wakes two sleeping
//! processors. What waits for the disk or touches many rows runs [`apart`](Connection::apart), so that requests do not stand behind it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::ffi::{ErrorCode, SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
use rusqlite::types::Value as Stored;
use rusqlite::{OpenFlags, Statement as Prepared};

use super::thread::Thread;
use super::{Statement, Value};
use crate::error::StoreError;
use crate::migrate;

/// A connection. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    inner: Arc<Mutex<Inner>>,
    /// Where it does what takes long; none: on any of the runtime's.
    thread: Option<Thread>,
}

struct Inner {
    connection: rusqlite::Connection,
    /// What need not be found out anew each time, of the statements that are kept prepared.
    known: HashMap<Box<str>, Arc<Known>>,
}

/// What does not change from one use of a statement to the next.
struct Known {
    /// Its text as SQLite reads it.
    text: Box<str>,
    /// What the columns of its rows are called.
    names: OnceLock<Arc<[Box<str>]>>,
}

impl Known {
    fn new(text: &str) -> Self {
        // `?1` is the first value; `$1` would be a name, numbered by where it comes first.
        Self { text: text.replace('$', "?").into(), names: OnceLock::new() }
    }
}

/// What a statement has done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) rows: Vec<Row>,
    /// How many rows it inserted, updated or deleted.
    pub(super) touched: u64,
}

impl Connection {
    /// Opens the file, which must be there, and sets what `pragmas` say.
    pub(super) fn open(path: &Path, patience: Duration, pragmas: &[(&str, &str)]) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(patience)?;
        connection.set_prepared_statement_cache_capacity(256);
        for (name, value) in pragmas {
            connection.pragma_update(None, name, value)?;
        }
        let inner = Inner { connection, known: HashMap::new() };
        Ok(Self { inner: Arc::new(Mutex::new(inner)), thread: None })
    }

    /// With a thread for what takes long.
    pub(super) fn on(self, thread: Thread) -> Self {
        Self { thread: Some(thread), ..self }
    }

    /// Brings the tables up to date.
    pub(super) fn migrate(&self) -> Result<(), StoreError> {
        migrate::run_embedded(&mut self.inner.lock().connection)
    }

    /// How long to wait for another process that writes.
    pub(super) fn wait_for(&self, patience: Duration) -> Result<(), StoreError> {
        Ok(self.inner.lock().connection.busy_timeout(patience)?)
    }

    /// Runs a statement here and now, to its end.
    pub(super) fn run(&self, statement: &Statement) -> Result<Done, StoreError> {
        Ok(self.try_run(statement)?)
    }

    /// Runs one of ours that has neither values nor rows: `COMMIT`.
    pub(super) fn control(&self, text: &str) -> Result<(), StoreError> {
        Ok(self.inner.lock().connection.prepare_cached(text)?.raw_execute().map(drop)?)
    }

    /// Begins to write; `false` if another process is writing.
    pub(super) fn begin_immediate(&self) -> Result<bool, StoreError> {
        let inner = self.inner.lock();
        match inner.connection.prepare_cached("BEGIN IMMEDIATE")?.raw_execute() {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Does what takes long on a thread where nobody else waits for it. Once begun it runs to its end, whether or not anybody still waits.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = self.clone();
        match &self.thread {
            Some(thread) => thread.run(move || work(&connection)).await,
            None => tokio::task::spawn_blocking(move || work(&connection)).await.map_err(StoreError::unavailable)?,
        }
    }

    fn try_run(&self, statement: &Statement) -> Result<Done, rusqlite::Error> {
        let mut inner = self.inner.lock();
        let Inner { connection, known: all } = &mut *inner;
        let text = statement.text.as_str();
        let (mut kept, mut once, known): (_, _, Arc<Known>);
        let prepared: &mut Prepared<'_> = if statement.keep {
            known = if let Some(known) = all.get(text) {
                known.clone()
            } else {
                let new = Arc::new(Known::new(text));
                all.insert(text.into(), new.clone());
                new
            };
            kept = connection.prepare_cached(&known.text)?;
            &mut kept
        } else {
            known = Arc::new(Known::new(text));
            once = connection.prepare(&known.text)?;
            &mut once
        };
        for (index, value) in statement.values.iter().enumerate() {
            match value {
                Value::Text(text) => prepared.raw_bind_parameter(index + 1, text.as_deref()),
                Value::Integer(integer) => prepared.raw_bind_parameter(index + 1, *integer),
                Value::Bytes(bytes) => prepared.raw_bind_parameter(index + 1, bytes.as_deref()),
            }?;
        }
        let columns = prepared.column_count();
        let mut done = Done::default();
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next()? {
            let names = known.names.get_or_init(|| row.as_ref().column_names().into_iter().map(Into::into).collect());
            let values = (0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?;
            done.rows.push(Row { names: names.clone(), values });
        }
        drop(rows);
        done.touched = connection.changes();
        Ok(done)
    }
}

/// One row of an answer.
pub(crate) struct Row {
    names: Arc<[Box<str>]>,
    values: Vec<Stored>,
}

/// Where in a row a value is.
pub(crate) trait Position: fmt::Debug + Copy {
    fn of(&self, names: &[Box<str>]) -> Option<usize>;
}

impl Position for usize {
    fn of(&self, _: &[Box<str>]) -> Option<usize> {
        Some(*self)
    }
}

impl Position for &str {
    fn of(&self, names: &[Box<str>]) -> Option<usize> {
        names.iter().position(|name| **name == **self)
    }
}

impl Row {
    pub(super) fn text(&self, column: impl Position) -> Result<Option<&str>, StoreError> {
        match self.value(column)? {
            Stored::Text(text) => Ok(Some(text)),
            Stored::Null => Ok(None),
            other => Err(unexpected(column, other)),
        }
    }

    pub(super) fn integer(&self, column: impl Position) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Stored::Integer(integer) => Ok(Some(*integer)),
            Stored::Null => Ok(None),
            other => Err(unexpected(column, other)),
        }
    }

    pub(super) fn bytes(&self, column: impl Position) -> Result<Option<&[u8]>, StoreError> {
        match self.value(column)? {
            Stored::Blob(bytes) => Ok(Some(bytes)),
            Stored::Null => Ok(None),
            other => Err(unexpected(column, other)),
        }
    }

    fn value(&self, column: impl Position) -> Result<&Stored, StoreError> {
        let value = column.of(&self.names).and_then(|index| self.values.get(index));
        value.ok_or_else(|| StoreError::broken(format_args!("{column:?}: there is no such column")))
    }
}

fn unexpected(column: impl Position, stored: &Stored) -> StoreError {
    StoreError::broken(format_args!("{column:?}: of type {}", stored.data_type()))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, message) = &error else { return Self::unavailable(error) };
        match failure.extended_code {
            SQLITE_CONSTRAINT_FOREIGNKEY => Self::Dangling,
            SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY => {
                // `UNIQUE constraint failed: t.a, t.b`
                let columns = message.as_deref().unwrap_or_default().rsplit(": ").next().unwrap_or_default();
                let table = columns.split('.').next().unwrap_or_default();
                Self::Conflict(format!("{table}({})", columns.replace(&format!("{table}."), "")).into())
            }
            _ => Self::unavailable(error),
        }
    }
}
