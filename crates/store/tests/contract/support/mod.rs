//! A fresh database for every test, on both kinds, and values to put into it.

mod postgres;
mod samples;

use std::sync::Arc;

use hallpass_store::{DatabaseUrl, Read, Store, Write};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

pub use self::samples::*;

/// One test's own database.
pub struct Database {
    pub kind: &'static str,
    pub url: DatabaseUrl,
    pub store: Store,
    /// Where a test may leave files.
    pub directory: tempfile::TempDir,
}

impl Database {
    pub async fn read(&self) -> Read {
        self.store.read().await.expect("reads")
    }

    pub async fn snapshot(&self) -> Read {
        self.store.snapshot().await.expect("reads")
    }

    pub async fn write(&self) -> Write {
        self.store.write().await.expect("writes")
    }

    /// What another version of the program might have done: a statement of the test's own.
    pub async fn execute(&self, statement: &'static str) {
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let mut connection =
                    SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("connects");
                sqlx::query(statement).execute(&mut connection).await.expect("works");
                connection.close().await.expect("closes");
            }
            DatabaseUrl::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.expect("connects");
                sqlx::query(statement).execute(&mut connection).await.expect("works");
                connection.close().await.expect("closes");
            }
        }
    }

    /// The same database as another node, or another process, sees it.
    pub async fn other_node(&self) -> Store {
        Store::open(&self.url).await.expect("opens a second time")
    }
}

/// Runs `test` on a fresh SQLite database, then on a fresh PostgreSQL database, which go away whatever happens.
pub async fn on_both<F, Running>(test: F)
where
    F: Fn(Arc<Database>) -> Running,
    Running: Future<Output = ()> + Send + 'static,
{
    for kind in ["SQLite", "PostgreSQL"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (url, name) = if kind == "SQLite" {
            (DatabaseUrl::Sqlite(directory.path().join("test.db")), None)
        } else {
            let (url, name) = postgres::create().await;
            (DatabaseUrl::Postgres(url), Some(name))
        };
        let store = Store::open(&url).await.expect("opens");
        let running = test(Arc::new(Database { kind, url, store: store.clone(), directory }));
        let outcome = tokio::spawn(running).await;
        store.close().await;
        if let Some(name) = name {
            postgres::drop(&name).await;
        }
        if let Err(failure) = outcome {
            panic!("on {kind}: {failure}");
        }
    }
}
