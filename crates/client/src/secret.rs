//! The app's secret key: read from where secrets live, kept out of logs, wiped from memory when dropped.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

/// The secret key of an app, as the engine issued it. `Debug` does not show it.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<String>);

/// Why a secret key could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    /// The environment variable is not set or not text.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file could not be read.
    #[error("the secret key could not be read from {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SecretKey {
    /// From an environment variable; surrounding white space is not part of it.
    pub fn from_env(variable: &str) -> Result<Self, SecretKeyError> {
        let text = std::env::var(variable).map_err(|_| SecretKeyError::NotSet(variable.to_owned()))?;
        Ok(Self::from(text))
    }

    /// From a file, such as systemd's `LoadCredential=` or a container's secret mount; surrounding white space is
    /// not part of it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretKeyError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SecretKeyError::Unreadable { path: path.display().to_string(), source })?;
        Ok(Self::from(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretKey {
    fn from(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(Zeroizing::new(text.trim().to_owned()))
    }
}

impl From<&str> for SecretKey {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_end_in_a_line_break_and_debug_shows_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "hp_sk_abc\n").expect("writable");
        let secret = SecretKey::from_file(file.path()).expect("readable");
        assert_eq!(secret.expose(), "hp_sk_abc");
        assert_eq!(format!("{secret:?}"), "SecretKey(redacted)");
    }

    #[test]
    fn a_missing_source_is_named() {
        let error = SecretKey::from_env("HALLPASS_CLIENT_TEST_UNSET").expect_err("not set");
        assert_eq!(error.to_string(), "the environment variable HALLPASS_CLIENT_TEST_UNSET is not set");
        let error = SecretKey::from_file("/nonexistent/secret").expect_err("not there");
        assert_eq!(error.to_string(), "the secret key could not be read from /nonexistent/secret");
    }
}
