//! Connections to PostgreSQL, kept for whoever needs one next.
//!
//! sqlx has a pool, too. It asks each connection that is given back whether it is still alive, which is a way there and back for every
//! request; here only one that was not used for a while is asked, and one that was left in the middle of something.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};
use sqlx::{Connection as _, Executor as _};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{ACQUIRE_TIMEOUT, within};
use crate::error::StoreError;

/// How many a node has.
const COUNT: u32 = 16;
/// A connection that was used so recently is taken to be alive.
const TRUSTED: Duration = Duration::from_secs(1);
/// One that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_mins(10);
/// One that is older is closed: the server keeps memory for everything that it was ever asked.
const LIFETIME: Duration = Duration::from_mins(30);

/// Up to [`COUNT`] connections, opened when they are first needed.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shelf>);

struct Shelf {
    options: PgConnectOptions,
    /// One for each connection that may be in use.
    permits: Arc<Semaphore>,
    /// Those that are not; the last used ones last.
    idle: Mutex<Vec<Kept>>,
}

struct Kept {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

/// The use of one of them.
pub(super) struct Lent {
    shelf: Arc<Shelf>,
    connection: PgConnection,
    opened: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let permits = Arc::new(Semaphore::new(COUNT as usize));
        Self(Arc::new(Shelf { options, permits, idle: Mutex::default() }))
    }

    pub(super) async fn acquire(&self) -> Result<Lent, StoreError> {
        let lent = tokio::time::timeout(ACQUIRE_TIMEOUT, self.lend()).await;
        lent.unwrap_or_else(|_| Err(StoreError::unavailable("no connection to the database in time")))
    }

    async fn lend(&self) -> Result<Lent, StoreError> {
        let permit = self.0.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::unavailable("the database is closed"))?;
        let lent = |connection, opened| Lent { shelf: self.0.clone(), connection, opened, _permit: permit };
        loop {
            let kept = self.0.idle.lock().pop();
            let Some(Kept { mut connection, opened, used }) = kept else { break };
            if used.elapsed() < TRUSTED || connection.ping().await.is_ok() {
                return Ok(lent(connection, opened));
            }
        }
        Ok(lent(PgConnection::connect_with(&self.0.options).await?, Instant::now()))
    }

    /// Ears, on a connection of their own, which comes back by itself.
    pub(super) async fn listen(&self, channel: &str) -> Result<PgListener, StoreError> {
        let one = PoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let one = one.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(self.0.options.clone());
        let mut listener = within(PgListener::connect_with(&one)).await?;
        within(listener.listen(channel)).await?;
        Ok(listener)
    }

    /// Waits for those that are in use, and closes them all.
    pub(super) async fn close(&self) {
        let all = self.0.permits.acquire_many(COUNT).await;
        self.0.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.0.idle.lock());
        for kept in idle {
            // Whether the server hears of it or not, it is closed.
            let _ = kept.connection.close().await;
        }
    }
}

impl Lent {
    /// The connection itself.
    pub(super) fn inner(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Keeps it for the next one, who will find it between two transactions.
    pub(super) fn give_back(self) {
        let Self { shelf, connection, opened, _permit: permit } = self;
        let now = Instant::now();
        let mut idle = shelf.idle.lock();
        let mut done = Vec::new();
        while idle.first().is_some_and(|kept| now - kept.used > IDLE) {
            done.push(idle.remove(0).connection);
        }
        if now - opened > LIFETIME {
            done.push(connection);
        } else {
            idle.push(Kept { connection, opened, used: now });
        }
        drop(idle);
        drop(permit);
        if !done.is_empty()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                for connection in done {
                    let _ = within(connection.close()).await;
                }
            });
        }
    }

    /// Brings it to the end of whatever it was left in, in the background, and only then keeps it.
    pub(super) fn recover(mut self, in_a_transaction: bool) {
        // Without a runtime nothing can be sent; losing the connection ends the transaction as well.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let clean = if in_a_transaction {
                within(self.connection.execute("ROLLBACK")).await.is_ok()
            } else {
                within(self.connection.ping()).await.is_ok()
            };
            // Otherwise nobody knows what state it is in, so nobody else gets it.
            if clean {
                self.give_back();
            }
        });
    }
}
