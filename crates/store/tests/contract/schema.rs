//! The tables themselves: the same on both databases, as written down in `schema.txt`, and all of them in the backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hallpass_store::{DatabaseUrl, backup};
use sqlx::{Connection, PgConnection, Row, SqliteConnection};

use crate::support::*;

/// Left out of backups, and why that is right.
const NOT_KEPT: [&str; 15] = [
    "attempts",            // counts of minutes
    "authorization_codes", // of one minute
    "changes",             // the feed starts again after a restore
    "client_assertions",   // of ten minutes, refused after that for their age
    "device_codes",        // of ten minutes
    "dpop_proofs",         // of a minute
    "handoffs",            // codes of thirty seconds
    "leases",              // of nodes that are gone
    "provider_sessions",   // of sessions that a restore ends
    "provider_sign_outs",  // of some minutes, refused after that for their age
    "pushed_requests",     // of one and a half minutes
    "refresh_tokens",      // good for sessions that a restore ends
    "session_upstreams",   // credentials of sessions that end with a restore
    "token_families",      // the same
    "upstream_answers",    // of half an hour
];

/// To take a deliberate change over: `HALLPASS_WRITE_SCHEMA=1 cargo test -p hallpass-store schema`.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_the_same_on_both_databases_and_as_written_down() {
    on_both(|database| async move {
        let schema = schema(&database.url).await;
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/schema.txt");
        if std::env::var_os("HALLPASS_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &schema).expect("writes");
        }
        let written_down = std::fs::read_to_string(path).expect("is there");
        assert_eq!(schema, written_down);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_keeps_every_column_of_every_table_that_matters() {
    on_both(|database| async move {
        let kept: BTreeMap<_, BTreeSet<_>> =
            backup::kept().into_iter().map(|(table, columns)| (table, columns.into_iter().collect())).collect();
        let schema = schema(&database.url).await;
        let mut real: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut table = "";
        for line in schema.lines() {
            if let Some(column) = line.strip_prefix("    ") {
                let column = column.split(' ').next().expect("a name");
                real.entry(table).or_default().insert(column);
            } else {
                table = line;
            }
        }
        real.retain(|table, _| !NOT_KEPT.contains(table));
        assert_eq!(kept, real);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_again_changes_nothing() {
    on_both(|database| async move {
        let before = schema(&database.url).await;
        let stores = futures_of_opening(&database.url).await;
        assert_eq!(stores, 8, "also when many open it at once");
        assert_eq!(schema(&database.url).await, before);
    })
    .await;
}

/// Nodes that start together on an empty database all find it ready.
#[tokio::test(flavor = "multi_thread")]
async fn many_may_create_the_tables_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = DatabaseUrl::Sqlite(directory.path().join("empty.db"));
    assert_eq!(futures_of_opening(&url).await, 8);
}

async fn futures_of_opening(url: &DatabaseUrl) -> usize {
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        opening.spawn(async move { hallpass_store::Store::open(&url).await.expect("opens").close().await });
    }
    opening.join_all().await.len()
}

/// Tables and columns with their types, in words of our own so that both databases can say the same.
async fn schema(url: &DatabaseUrl) -> String {
    let columns: Vec<(String, String, String, bool)> = match url {
        DatabaseUrl::Sqlite(path) => {
            let mut connection =
                SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("connects");
            let columns = "SELECT tables.name, columns.name, columns.type, columns.\"notnull\" = 0
                           FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
                           WHERE tables.type = 'table' ORDER BY tables.name, columns.cid";
            let rows = sqlx::query(columns).fetch_all(&mut connection).await.expect("reads");
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
        }
        DatabaseUrl::Postgres(url) => {
            let mut connection = PgConnection::connect(url).await.expect("connects");
            let columns =
                "SELECT table_name::text, column_name::text, data_type || COALESCE(' ' || collation_name, ''),
                               is_nullable = 'YES'
                           FROM information_schema.columns WHERE table_schema = 'public'
                           ORDER BY table_name COLLATE \"C\", ordinal_position";
            let rows = sqlx::query(columns).fetch_all(&mut connection).await.expect("reads");
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
        }
    };
    let mut text = String::new();
    let mut current = String::new();
    for (table, column, kind, nullable) in columns {
        if table.starts_with("_sqlx") {
            continue;
        }
        if table != current {
            writeln!(text, "{table}").expect("fits");
            current = table;
        }
        let kind = match &*kind {
            "TEXT" | "text C" => "text",
            "INTEGER" | "bigint" => "integer",
            "BLOB" | "bytea" => "bytes",
            other => panic!("{current}.{column} is of type {other}"),
        };
        writeln!(text, "    {column} {kind}{}", if nullable { " or null" } else { "" }).expect("fits");
    }
    text
}
