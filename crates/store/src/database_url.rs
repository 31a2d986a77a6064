//! Where the database is, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file of the embedded database.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`
    Postgres(String),
}

/// Why a text is not a database URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a path, sqlite:PATH or postgres://user:password@host/database")]
pub struct InvalidDatabaseUrl;

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return PgConnectOptions::from_str(text)
                .map(|_| Self::Postgres(text.to_owned()))
                .map_err(|_| InvalidDatabaseUrl);
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let path = path.strip_prefix("//").unwrap_or(path);
        // An in-memory database would be another one for each connection, and gone with the process.
        if path.is_empty() || path.contains("://") || path.starts_with(':') {
            return Err(InvalidDatabaseUrl);
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// Without the password that a PostgreSQL URL may carry.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres(_) => formatter.write_str("postgres://…"),
        }
    }
}
