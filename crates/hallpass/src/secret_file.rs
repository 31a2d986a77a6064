//! `--secret-file`: a new secret goes into a file that only its owner may read, instead of onto the screen.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::shell::Failure;

/// Where to put it.
#[derive(Args)]
pub struct SecretFile {
    /// Write the secret key to this new file (mode 0600) instead of printing it
    #[arg(long, value_name = "PATH")]
    secret_file: Option<PathBuf>,
}

/// A file that was written, and is deleted again unless what its secret belongs to is kept.
pub struct Written(Option<PathBuf>);

impl SecretFile {
    /// The file, if one is asked for.
    pub fn path(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    /// Writes it before the secret is committed: a secret that works and that nobody has would take a place for ever. Never over
    /// an existing file.
    pub fn create(&self, secret: &str) -> Result<Written, Failure> {
        let Some(path) = self.path() else { return Ok(Written(None)) };
        let failed = |error: std::io::Error| format!("cannot write the secret to {}: {error}", path.display());
        let file = create_private(path).map_err(failed)?;
        let written = Written(Some(path.to_owned()));
        write_synced(file, secret).map_err(failed)?;
        Ok(written)
    }
}

/// A new file that only its owner may read.
pub fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Nothing but the secret: programs that are given the file as it is may take the end of a line for a part of it.
fn write_synced(mut file: File, secret: &str) -> std::io::Result<()> {
    file.write_all(secret.as_bytes())?;
    file.sync_all()
}

impl Written {
    /// The secret has been committed.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
