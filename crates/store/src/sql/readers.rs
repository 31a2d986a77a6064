//! Connections that read from SQLite, beside the one that writes.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::sqlite::{Connection, Done};
use super::{ACQUIRE_TIMEOUT, LOCK_TIMEOUT, PRAGMAS, Statement};
use crate::error::StoreError;

/// A few connections, opened when they are first needed.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Shelf>);

struct Shelf {
    path: Box<Path>,
    /// One for each connection that may be in use.
    permits: Arc<Semaphore>,
    count: u32,
    idle: Mutex<Vec<Connection>>,
}

/// The use of one of them, until it is dropped.
pub(super) struct Reader {
    shelf: Arc<Shelf>,
    connection: Connection,
    _permit: OwnedSemaphorePermit,
    /// In a transaction, which ends when this is dropped.
    open: bool,
    /// A statement has not come to its end.
    busy: bool,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        // Each has 2 MB of pages of its own; reads are short and mostly from memory.
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let count = u32::try_from(cores.clamp(2, 8)).unwrap_or(8);
        let permits = Arc::new(Semaphore::new(count as usize));
        Self(Arc::new(Shelf { path: path.into(), permits, count, idle: Mutex::default() }))
    }

    pub(super) async fn acquire(&self) -> Result<Reader, StoreError> {
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, self.0.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| StoreError::unavailable("too many reads are waiting"))?;
        let permit = permit.map_err(|_| StoreError::unavailable("the database is closed"))?;
        let idle = self.0.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        Ok(Reader { shelf: self.0.clone(), connection, _permit: permit, open: false, busy: false })
    }

    /// Waits for those that are in use, and closes them all.
    pub(super) async fn close(&self) {
        let all = self.0.permits.acquire_many(self.0.count).await;
        self.0.permits.close();
        drop(all);
        self.0.idle.lock().clear();
    }

    /// Here and now: it happens as often as there are cores, and at the start, when everything reads at once, another thread for each would stay.
    fn open(&self) -> Result<Connection, StoreError> {
        Connection::open(&self.0.path, LOCK_TIMEOUT, &[PRAGMAS, &[("query_only", "ON")]].concat())
    }
}

impl Reader {
    /// From here on all statements see the same state.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.connection.control("BEGIN")?;
        self.open = true;
        Ok(())
    }

    /// Runs a statement: here and now, unless it says that it may take long.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<Done, StoreError> {
        if !statement.long {
            return self.connection.run(&statement);
        }
        self.busy = true;
        let done = self.connection.apart(move |connection| connection.run(&statement)).await;
        self.busy = false;
        done
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // One whose statement still runs is given up, and closes when that has come to its end.
        if !self.busy && (!self.open || self.connection.control("ROLLBACK").is_ok()) {
            self.shelf.idle.lock().push(self.connection.clone());
        }
    }
}
