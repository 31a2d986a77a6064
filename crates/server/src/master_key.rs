//! The master key: from a file, an environment variable or a command; made on the first start if none is named. Protocol §16.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{MasterKey, Random, SystemRandom};
use zeroize::Zeroizing;

use crate::config::{Config, SecretSource};
use crate::context::StartError;

const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// Reads the master key, or makes one in `<data_dir>/master.key` if the configuration names no source and there is none yet.
pub async fn load(config: &Config) -> Result<MasterKey, StartError> {
    if let Some(text) = read(&config.master_key, "master_key").await? {
        return parse(&text);
    }
    let path = config.data_dir.join("master.key");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            warn_if_readable_by_others(&path);
            parse(&Zeroizing::new(text))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&config.data_dir, &path),
        Err(error) => Err(other(format!("cannot read {}: {error}", path.display()))),
    }
}

/// What tells one master key from another without telling anything about it.
pub fn fingerprint(master: &MasterKey) -> String {
    URL_SAFE_NO_PAD.encode(&master.derive("fingerprint")[..12])
}

/// The secret that a source names; `None` if it names none. Exactly one of file, environment variable and command may be named.
pub async fn read(source: &SecretSource, what: &str) -> Result<Option<Zeroizing<String>>, StartError> {
    let text = match (&source.file, &source.env, &source.command) {
        (None, None, None) => return Ok(None),
        (Some(path), None, None) => std::fs::read_to_string(path)
            .map_err(|error| other(format!("{what}: cannot read {}: {error}", path.display())))?,
        (None, Some(name), None) => {
            std::env::var(name).map_err(|_| other(format!("{what}: the environment variable {name} is not set")))?
        }
        (None, None, Some(command)) => run(command, what).await?,
        _ => return Err(other(format!("{what}: name one of file, env and command, not several"))),
    };
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}

async fn run(command: &[String], what: &str) -> Result<String, StartError> {
    let (program, arguments) = command.split_first().ok_or_else(|| other(format!("{what}: command is empty")))?;
    let running = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(COMMAND_LIMIT, running).await;
    let output = output.map_err(|_| other(format!("{what}: {program} did not end within 30 seconds")))?;
    let output = output.map_err(|error| other(format!("{what}: cannot run {program}: {error}")))?;
    // What the program printed may be the secret, or half of it: only its verdict is repeated.
    if !output.status.success() {
        return Err(other(format!("{what}: {program} failed ({})", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| other(format!("{what}: {program} printed something that is not text")))
}

fn parse(text: &str) -> Result<MasterKey, StartError> {
    let wrong = || {
        other(
            "the master key is not 43 base64url characters (32 bytes): was it cut off, or is it another secret?"
                .to_owned(),
        )
    };
    let mut bytes = Zeroizing::new([0u8; 32]);
    let written = URL_SAFE_NO_PAD.decode_slice(text.trim(), bytes.as_mut()).map_err(|_| wrong())?;
    if written == 32 { Ok(MasterKey::new(*bytes)) } else { Err(wrong()) }
}

fn make(folder: &Path, path: &Path) -> Result<MasterKey, StartError> {
    let failed = |error: std::io::Error| other(format!("cannot make the master key {}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut bytes = Zeroizing::new([0u8; 32]);
    SystemRandom.fill(bytes.as_mut());
    let mut suffix = [0u8; 9];
    SystemRandom.fill(&mut suffix);
    // Written whole under another name: a process that dies here must not leave half a key that stops every later start.
    let draft = folder.join(format!("master.key.{}", URL_SAFE_NO_PAD.encode(suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    file.write_all(URL_SAFE_NO_PAD.encode(bytes.as_ref()).as_bytes()).map_err(failed)?;
    file.write_all(b"\n").map_err(failed)?;
    file.sync_all().map_err(failed)?;
    // Never over an existing one: losing it means losing every signing key.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Ok(()) => {
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            tracing::info!(path = %path.display(), "made a new master key; keep a copy of it apart from the database's backups");
            Ok(MasterKey::new(*bytes))
        }
        // Another process was faster; its key counts.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            parse(&Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?))
        }
        Err(error) => Err(failed(error)),
    }
}

fn warn_if_readable_by_others(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "the master key can be read by others; chmod 600 it");
    }
}

fn other(text: String) -> StartError {
    StartError::Other(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn is_made_once_and_then_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config { data_dir: folder.path().join("data"), ..Config::default() };
        let first = fingerprint(&load(&config).await.expect("made"));
        assert_eq!(fingerprint(&load(&config).await.expect("found")), first);
        let mode = std::fs::metadata(config.data_dir.join("master.key")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn of_several_that_make_it_at_once_all_get_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("master.key");
        // Each finds nothing there and makes one; what one of them left half done is not in the way.
        std::fs::write(folder.path().join("master.key.half"), "AAAA").expect("written");
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| make(folder.path(), &path).expect("made"))).collect();
            threads.into_iter().map(|thread| fingerprint(&thread.join().expect("no panic"))).collect()
        });
        let config = Config { data_dir: folder.path().into(), ..Config::default() };
        let found = fingerprint(&load(&config).await.expect("found"));
        assert!(made.iter().all(|made| *made == found), "{made:?}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2, "no drafts are left");
    }

    #[tokio::test]
    async fn a_damaged_key_or_a_failing_command_stops_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("master.key"), "AAAA").expect("written");
        let config = Config { data_dir: folder.path().into(), ..Config::default() };
        assert!(load(&config).await.is_err());
        let source = |command: &[&str]| SecretSource {
            command: Some(command.iter().map(ToString::to_string).collect()),
            ..SecretSource::default()
        };
        assert!(read(&source(&["false"]), "x").await.is_err());
        assert_eq!(read(&source(&["echo", "abc"]), "x").await.expect("runs").expect("some").as_str(), "abc");
        let both = SecretSource { env: Some("PATH".into()), ..source(&["echo"]) };
        assert!(read(&both, "x").await.is_err());
    }
}
