//! The app's secret key: read from where secrets live, kept out of logs, wiped from memory when dropped.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

/// How long a command may take: a vault that does not answer must not keep an app from saying so.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// Longer than any secret key.
const LONGEST_OUTPUT: u64 = 4096;

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
        source: io::Error,
    },
    /// The command gave none.
    #[error("the secret key could not be read from the command {program}: {reason}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// What went wrong. Never anything that the command printed.
        reason: String,
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

    /// From what a command prints, such as a vault's client: `from_command(["vault", "kv", "get", "-field=key", "secret/pos"])`.
    /// It is started directly, not by a shell, gets no input, and has 30 seconds; surrounding white space is not part of the key.
    ///
    /// Waits for the command: call it while the app starts.
    pub fn from_command<A: AsRef<OsStr>>(command: impl IntoIterator<Item = A>) -> Result<Self, SecretKeyError> {
        let mut words = command.into_iter();
        let program = words.next().map(|program| program.as_ref().to_owned()).unwrap_or_default();
        run(Command::new(&program).args(words), COMMAND_LIMIT)
            .map_err(|reason| SecretKeyError::Command { program: program.to_string_lossy().into_owned(), reason })
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

fn run(command: &mut Command, limit: Duration) -> Result<SecretKey, String> {
    let said = |error: io::Error| error.to_string();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(said)?;
    let output = child.stdout.take().ok_or("it has no output")?;
    let (send, received) = mpsc::channel();
    // A thread of its own, so that a command that goes on printing, or never does, can be given up.
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(String::new());
        let read = output.take(LONGEST_OUTPUT + 1).read_to_string(&mut text);
        // Nobody waits any more if it took too long.
        let _ = send.send(read.map(|_| text));
    });
    let text = match received.recv_timeout(limit) {
        Ok(Ok(text)) if text.len() as u64 <= LONGEST_OUTPUT => text,
        answer => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(match answer {
                Ok(Ok(_)) => "it printed more than a secret key".to_owned(),
                Ok(Err(error)) => said(error),
                Err(_) => format!("it took more than {} seconds", limit.as_secs()),
            });
        }
    };
    // Its output has ended; whether it went well, its status says.
    let status = child.wait().map_err(said)?;
    if !status.success() {
        return Err(status.to_string());
    }
    Ok(SecretKey::from(text.as_str()))
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
    fn a_command_is_not_a_shell_and_its_status_counts() {
        let printed = SecretKey::from_command(["printf", "  %s\n", "hp_sk_abc"]).expect("prints");
        assert_eq!(printed.expose(), "hp_sk_abc");
        let error = |command: &[&str]| SecretKey::from_command(command).expect_err("fails").to_string();
        assert!(error(&["sh", "-c", "echo hp_sk_abc; exit 3"]).ends_with("command sh: exit status: 3"));
        assert!(!error(&["sh", "-c", "echo hp_sk_abc; exit 3"]).contains("hp_sk_abc"));
        assert!(error(&["/nonexistent/vault"]).contains("command /nonexistent/vault: "));
        assert!(error(&["echo hp_sk_abc"]).contains("command echo hp_sk_abc: "), "no shell takes it apart");
        assert!(error(&["yes"]).contains("more than a secret key"));
        assert!(error(&[]).contains("could not be read"));
    }

    #[test]
    fn a_command_that_never_prints_is_given_up() {
        let refused = run(Command::new("sleep").arg("60"), Duration::from_millis(20)).expect_err("too long");
        assert!(refused.contains("it took more than"));
    }

    #[test]
    fn a_missing_source_is_named() {
        let error = SecretKey::from_env("HALLPASS_CLIENT_TEST_UNSET").expect_err("not set");
        assert_eq!(error.to_string(), "the environment variable HALLPASS_CLIENT_TEST_UNSET is not set");
        let error = SecretKey::from_file("/nonexistent/secret").expect_err("not there");
        assert_eq!(error.to_string(), "the secret key could not be read from /nonexistent/secret");
    }
}
