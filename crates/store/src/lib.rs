//! The memory of Hallpass: SQL on two databases, the change feed and the live view.
//!
//! Open a [`Store`], take a [`Read`] or a [`Write`] from it, and pass that to the functions of the module that is named
//! after what you look for. A `Write` is one transaction, rolled back unless committed, and derefs to `Read`. Nothing slow (hashing, mail, a network call) belongs between `write` and `commit`.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use hallpass_core::time::Timestamp;
use parking_lot::RwLock;

mod columns;
mod database_url;
mod error;
mod migrate;
mod sql;

pub mod apps;
pub mod attempts;
pub mod audit;
pub mod authenticators;
pub mod backup;
pub mod changes;
pub mod client_assertions;
pub mod client_documents;
pub mod codes;
pub mod consents;
pub mod device_codes;
pub mod devices;
pub mod dpop_proofs;
pub mod groups;
pub mod handoffs;
pub mod keys;
pub mod leases;
pub mod logouts;
pub mod meta;
pub mod outbox;
pub mod provider_sessions;
pub mod pushed_requests;
pub mod registrations;
pub mod roles;
pub mod sessions;
pub mod tokens;
pub mod upstream_answers;
pub mod upstream_logouts;
pub mod upstreams;
pub mod users;
pub mod verified_emails;
pub mod view;
pub mod zones;

pub use changes::Change;
pub use database_url::{DatabaseUrl, InvalidDatabaseUrl};
pub use error::{Cause, StoreError};
pub use sql::Listener;

use sql::{Access, Database, Row, Statement, Transaction};

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Database,
    observers: Observers,
}

type Observers = Arc<RwLock<Vec<Box<dyn Fn(&[changes::Entry]) + Send + Sync>>>>;

impl Store {
    /// Opens the database, creates what is missing and brings its tables up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let database = Database::open(url).await?;
        Ok(Self { database, observers: Observers::default() })
    }

    /// For reading: each statement sees the latest state. For one look-up, or where statements need not agree.
    pub async fn read(&self) -> Result<Read, StoreError> {
        Ok(Read { transaction: self.database.begin(Access::Read).await? })
    }

    /// For reading: all statements see the state at the first of them. For what several tables say together.
    pub async fn snapshot(&self) -> Result<Read, StoreError> {
        Ok(Read { transaction: self.database.begin(Access::Snapshot).await? })
    }

    /// A transaction. On SQLite there is one at a time; on PostgreSQL they run side by side and meet at row locks.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let read = Read { transaction: self.database.begin(Access::Write).await? };
        Ok(Write { read, changes: Vec::new(), observers: self.observers.clone() })
    }

    /// For writing where each statement may stand for itself: PostgreSQL keeps each as it comes, without a word before and after. SQLite, which has
    /// one writer, keeps them together at [`commit`](Write::commit), which is needed on both.
    pub async fn write_each(&self) -> Result<Write, StoreError> {
        let read = Read { transaction: self.database.begin(Access::Each).await? };
        Ok(Write { read, changes: Vec::new(), observers: self.observers.clone() })
    }

    /// Calls `observer` with the changes of every commit through this `Store` or its clones, after the commit and before
    /// its caller hears of it. Two commits may be told in the wrong order (look at the positions); commits of other
    /// processes are not told. It must be quick: the caller waits.
    pub fn on_commit(&self, observer: impl Fn(&[changes::Entry]) + Send + Sync + 'static) {
        self.observers.write().push(Box::new(observer));
    }

    /// Hears of commits by other nodes (PostgreSQL); `None` on SQLite, where [`changes::position`] is cheap to ask.
    pub async fn listen(&self) -> Result<Option<Listener>, StoreError> {
        self.database.listen(changes::CHANNEL).await
    }

    /// Waits for what is running and closes every connection. Without it a clean exit leaves SQLite's log to the next start.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Store")
    }
}

/// Something to read from.
pub struct Read {
    transaction: Transaction,
}

impl Read {
    async fn all(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        statement.all(&mut self.transaction).await
    }

    async fn optional(&mut self, statement: Statement) -> Result<Option<Row>, StoreError> {
        Ok(self.all(statement).await?.pop())
    }

    async fn one(&mut self, statement: Statement) -> Result<Row, StoreError> {
        self.optional(statement).await?.ok_or_else(|| StoreError::broken("a row that is always there is missing"))
    }
}

impl fmt::Debug for Read {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Read")
    }
}

/// A transaction that writes. Dropping it undoes everything.
pub struct Write {
    read: Read,
    changes: Vec<(Timestamp, Change)>,
    observers: Observers,
}

impl Write {
    /// Notes a change for the feed, to be appended by [`commit`](Self::commit). The functions of this crate do it themselves.
    pub fn change(&mut self, at: Timestamp, change: Change) {
        self.changes.push((at, change));
    }

    /// Makes it last. Returns the feed's position after it, if it changed anything the feed tells of.
    ///
    /// Once begun, what the feed tells of runs to its end even if the caller goes away: otherwise a browser that hangs up at the wrong
    /// moment could commit a sign-out that this process's own view has not heard of. After an error nothing has been kept, unless
    /// the connection broke on the very answer: then nobody can know, and the caller must be told 503, not success.
    pub async fn commit(self) -> Result<Option<i64>, StoreError> {
        if self.changes.is_empty() {
            // There is nothing to hear of.
            return self.read.transaction.commit().await.map(|()| None);
        }
        tokio::spawn(self.commit_and_tell()).await.map_err(StoreError::unavailable)?
    }

    /// [`commit`](Self::commit), together with `steps`, where there is more than one writer: one way there and back for all of it. Each step may read by
    /// its name what those before it return. If the last returns no row, nothing of what was put off happens, nothing is kept, and the answer is `false`.
    async fn commit_if<const STEPS: usize>(
        mut self,
        steps: [(&'static str, Statement); STEPS],
    ) -> Result<bool, StoreError> {
        let lasts = self.changes.is_empty();
        let holds = self.read.transaction.decide(steps, lasts).await?;
        if holds {
            self.commit().await?;
        }
        Ok(holds)
    }

    async fn commit_and_tell(mut self) -> Result<Option<i64>, StoreError> {
        let changes = std::mem::take(&mut self.changes);
        let entries = changes::append(&mut self, changes).await?;
        let position = entries.last().map(|entry| entry.position);
        self.read.transaction.commit_and_notify(changes::CHANNEL, position.unwrap_or_default()).await?;
        self.observers.read().iter().for_each(|observer| observer(&entries));
        Ok(position)
    }

    /// What makes a `SELECT` lock its rows in the order in which it finds them; `None` where there is only one writer.
    fn locking(&self) -> Option<&'static str> {
        self.read.transaction.locking()
    }

    /// The row that a `SELECT` finds, if it does; nobody else changes it before this transaction is over. Where there is only one writer that needs no
    /// word, and no page of the database is written for it.
    async fn held(&mut self, select: Statement) -> Result<Option<Row>, StoreError> {
        let hold = match self.locking() {
            Some(locking) => select.followed_by(" ").followed_by(locking),
            None => select,
        };
        self.optional(hold).await
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        statement.execute(&mut self.read.transaction).await
    }

    /// Runs it before the next one, or before `COMMIT`, together with others that were put off. An error of it comes up there.
    async fn defer(&mut self, statement: Statement) -> Result<(), StoreError> {
        self.read.transaction.defer(statement).await
    }
}

impl Deref for Write {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.read
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Read {
        &mut self.read
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Write")
    }
}

/// Rows inserted by one statement: a fraction of the round trips of single ones, and a statement that is still worth keeping prepared.
const BATCH: usize = 16;
/// The same of what is written down for many sessions at once: one such statement costs PostgreSQL three fifths of what a dozen of the others do.
const MANY: usize = 200;
/// Up to so many rows are what a single sign-in or change inserts, over and over.
const FEW: usize = 4;

/// `head ($1, $2), ($3, $4) tail` for so many rows of so many columns.
fn insert(head: &str, rows: usize, columns: usize, tail: &str) -> Statement {
    let row = |row: usize| {
        let places = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    let values = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    sql::composed_sql(format!("{head}{values}{tail}")).keep_prepared(rows <= FEW || rows == BATCH || rows == MANY)
}

/// Pieces of the sizes whose statements are kept prepared, the largest first, and what is left over.
fn batches<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [MANY, BATCH].into_iter().find(|size| rows.len() >= *size).unwrap_or(rows.len());
        let (batch, rest) = rows.split_at(size);
        rows = rest;
        (!batch.is_empty()).then_some(batch)
    })
}
