//! The tables' history: one list, forward only, never edited once released.
//!
//! Expand and contract: nodes upgrade one at a time, so the previous version must keep working on the tables of this one.

use rusqlite::{OptionalExtension as _, TransactionBehavior};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr};

use crate::error::StoreError;

/// Version, name, text.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../migrations/0001_initial.sql")),
    (2, "handoffs", include_str!("../migrations/0002_handoffs.sql")),
    (3, "logouts", include_str!("../migrations/0003_logouts.sql")),
    (4, "agents", include_str!("../migrations/0004_agents.sql")),
    (5, "upstreams", include_str!("../migrations/0005_upstreams.sql")),
    (6, "lighter_sign_ins", include_str!("../migrations/0006_lighter_sign_ins.sql")),
    (7, "oidc", include_str!("../migrations/0007_oidc.sql")),
    (8, "id_token_algorithms", include_str!("../migrations/0008_id_token_algorithms.sql")),
    (9, "client_kinds", include_str!("../migrations/0009_client_kinds.sql")),
    (10, "grants", include_str!("../migrations/0010_grants.sql")),
    (11, "consents", include_str!("../migrations/0011_consents.sql")),
    (12, "upstream_providers", include_str!("../migrations/0012_upstream_providers.sql")),
    (13, "authorization_requests", include_str!("../migrations/0013_authorization_requests.sql")),
    (14, "client_keys", include_str!("../migrations/0014_client_keys.sql")),
    (16, "registration", include_str!("../migrations/0016_registration.sql")),
    (17, "client_documents", include_str!("../migrations/0017_client_documents.sql")),
    (18, "provider_sign_outs", include_str!("../migrations/0018_provider_sign_outs.sql")),
    (19, "claims_in_id_token", include_str!("../migrations/0019_claims_in_id_token.sql")),
    (20, "consents_for_services", include_str!("../migrations/0020_consents_for_services.sql")),
    (21, "lighter_tokens", include_str!("../migrations/0021_lighter_tokens.sql")),
    (22, "clustered_audit", include_str!("../migrations/0022_clustered_audit.sql")),
];

/// The version of the tables that this program makes.
pub(crate) fn version() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// What SQLite says for the placeholders: `{text}` becomes `TEXT`.
const SQLITE: &[(&str, &str)] = &[
    ("text", "TEXT"),
    ("integer", "INTEGER"),
    ("blob", "BLOB"),
    ("strict", "STRICT"),
    ("clustered", "STRICT, WITHOUT ROWID"),
    ("transient", ""),
];
/// What PostgreSQL says.
const POSTGRES: &[(&str, &str)] = &[
    ("text", "TEXT COLLATE \"C\""),
    ("integer", "BIGINT"),
    ("blob", "BYTEA"),
    ("strict", ""),
    ("clustered", ""),
    ("transient", "UNLOGGED"),
];

/// Brings the tables of PostgreSQL up to date.
pub(crate) async fn run(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut migrator = Migrator::with_migrations(migrations(POSTGRES).collect());
    // Nodes upgrade one at a time: an older one may restart on tables that a newer one has already extended.
    migrator.set_ignore_missing(true);
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        other => StoreError::unavailable(other),
    })
}

/// Brings the tables of SQLite up to date, and writes that down as sqlx does on PostgreSQL. SQLite has no advisory lock: two processes that start
/// together wait for each other's transaction instead.
pub(crate) fn run_embedded(connection: &mut rusqlite::Connection) -> Result<(), StoreError> {
    run_those(connection, migrations(SQLITE))
}

fn run_those(
    connection: &mut rusqlite::Connection,
    migrations: impl Iterator<Item = Migration>,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
             version BIGINT PRIMARY KEY,
             description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
             success BOOLEAN NOT NULL,
             checksum BLOB NOT NULL,
             execution_time BIGINT NOT NULL
         )",
    )?;
    for migration in migrations {
        let known = "SELECT checksum FROM _sqlx_migrations WHERE version = ?1 AND success";
        let known = transaction.query_row(known, [migration.version], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        match known {
            Some(checksum) if *checksum == *migration.checksum => {}
            Some(_) => return Err(StoreError::unavailable(MigrateError::VersionMismatch(migration.version))),
            None => {
                transaction.execute_batch(migration.sql.as_str())?;
                let note = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                            VALUES (?1, ?2, TRUE, ?3, 0)";
                transaction.execute(note, (migration.version, &*migration.description, &*migration.checksum))?;
            }
        }
    }
    Ok(transaction.commit()?)
}

fn migrations(words: &[(&str, &str)]) -> impl Iterator<Item = Migration> {
    MIGRATIONS.iter().map(|(version, name, text)| {
        let fill = |text: String, (placeholder, word): &(&str, &str)| text.replace(&format!("{{{placeholder}}}"), word);
        let text = AssertSqlSafe(words.iter().fold((*text).to_owned(), fill)).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table was made anew twice since: an audit log that lost its entries by an upgrade would be none.
    #[test]
    fn audit_entries_of_before_are_still_there() {
        let mut connection = rusqlite::Connection::open_in_memory().expect("opens");
        run_those(&mut connection, migrations(SQLITE).filter(|migration| migration.version <= 20))
            .expect("the tables of then");
        let insert = "INSERT INTO audit (id, at, event, actor, user_id, outcome, details)
                      VALUES (?1, ?2, 'signed_in', 'cli', 'u_1', 'done', '{}')";
        for number in 0..3 {
            connection.execute(insert, (format!("e_{number}"), 100 - number)).expect("an entry");
        }
        run_embedded(&mut connection).expect("the tables of now");
        let entries = "SELECT id || ' ' || at || ' ' || event || ' ' || user_id FROM audit ORDER BY at, id";
        let mut entries = connection.prepare(entries).expect("reads");
        let entries: Vec<String> =
            entries.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("entries");
        assert_eq!(entries, ["e_2 98 signed_in u_1", "e_1 99 signed_in u_1", "e_0 100 signed_in u_1"]);
    }
}
