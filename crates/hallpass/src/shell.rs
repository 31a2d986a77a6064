//! What the administrative verbs have in common: where the data is, what time it is, who acts.
//!
//! They open the database directly, beside a running engine if there is one; it notices by the change feed.

use std::error::Error;
use std::path::PathBuf;

use hallpass_core::audit::Actor;
use hallpass_core::time::Timestamp;
use hallpass_server::config::{Config, ConfigError};
use hallpass_server::context::Clock;
use hallpass_server::engine;
use hallpass_store::{DatabaseUrl, Store};

/// Why a verb did not do what was asked; printed to standard error.
pub type Failure = Box<dyn Error>;

/// Whoever can run these commands can also open the database.
pub const ACTOR: Actor = Actor::Cli;

/// One call of the program.
pub struct Shell {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--json`
    pub json: bool,
    /// The instant at which everything of this call happens.
    pub now: Timestamp,
}

impl Shell {
    /// Takes the global options.
    pub fn new(file: Option<PathBuf>, data: Option<PathBuf>, json: bool) -> Self {
        Self { file, data, json, now: Clock::System.now() }
    }

    /// File, environment, then `--data`.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.file.as_deref(), environment())?;
        if let Some(folder) = &self.data {
            config.data_dir.clone_from(folder);
        }
        Ok(config)
    }

    /// Runs `verb` on the database that is there.
    pub async fn with_store<T>(&self, verb: impl AsyncFnOnce(&Store) -> Result<T, Failure>) -> Result<T, Failure> {
        let config = self.config()?;
        // Opening would make an empty one, and a mistyped folder would look like an installation without users.
        if let Ok(DatabaseUrl::Sqlite(path)) = config.database().parse::<DatabaseUrl>()
            && !path.exists()
        {
            let path = path.display();
            return Err(format!(
                "there is no database at {path}. Say where it is with --data or --config; `hallpass serve` and `hallpass apply` make a new one"
            )
            .into());
        }
        self.with_new_store(verb).await
    }

    /// Runs `verb` on the database, which is made if it is not there.
    pub async fn with_new_store<T>(&self, verb: impl AsyncFnOnce(&Store) -> Result<T, Failure>) -> Result<T, Failure> {
        let (store, _) = engine::open(&self.config()?).await?;
        let result = verb(&store).await;
        store.close().await;
        result
    }
}

/// The environment, as far as its names are text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
}
