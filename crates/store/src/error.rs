//! What can go wrong between us and the database, as far as callers must tell it apart.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a statement or a transaction did not do what was asked. Nothing of it has been kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full, too slow, or refused a statement: our fault, 503, never "not signed in".
    #[error("the database is unavailable: {0}")]
    Unavailable(Cause),
    /// Another row has this value already. Names the table and columns: `users(canonical)`, `roles(app_key, name)`.
    #[error("there is already one: {0}")]
    Conflict(Box<str>),
    /// A row names another one that is not there (an app's zone, a role's app, a member's group), or is still needed by one.
    #[error("refers to something that is not there, or is still in use")]
    Dangling,
    /// A stored value is not what was written: the database was edited by hand, or belongs to another version. 503.
    #[error("a stored value is invalid: {0}")]
    Broken(Box<str>),
}

impl StoreError {
    /// Whether it is a conflict on this table and these columns: `error.conflicts_on("users(canonical)")`.
    pub fn conflicts_on(&self, columns: &str) -> bool {
        matches!(self, Self::Conflict(on) if &**on == columns)
    }

    pub(crate) fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Cause(Arc::from(cause.into())))
    }

    pub(crate) fn broken(what: impl fmt::Display) -> Self {
        Self::Broken(what.to_string().into())
    }
}

/// What the database or its driver said; for the log only. Never contains a bound value.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}
