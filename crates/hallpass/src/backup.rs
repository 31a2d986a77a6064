//! `hallpass backup` while the engine works, and `hallpass restore` into an empty database.

use std::path::{Path, PathBuf};

use clap::Args;
use hallpass_core::audit::{Entry, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_server::master_key;
use hallpass_store::{DatabaseUrl, Store, audit, backup, meta};
use serde_json::json;
use tokio::io::{BufReader, BufWriter};

use crate::print::{counted, done, instant};
use crate::secret_file::create_private;
use crate::shell::{ACTOR, Failure, Shell};

/// The file.
#[derive(Args)]
pub struct Arguments {
    /// The backup file
    file: PathBuf,
}

/// Writes a backup to a new file.
pub async fn take(arguments: &Arguments, shell: &Shell) -> Result<(), Failure> {
    let path = &arguments.file;
    shell.with_store(async |store| {
        let file = create_private(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let file = tokio::fs::File::from_std(file);
        let written = async {
            let mut out = BufWriter::new(file);
            let summary = backup::dump(store, &mut out, shell.now).await?;
            out.into_inner().sync_all().await?;
            Ok::<_, Failure>(summary)
        };
        let summary = match written.await {
            Ok(summary) => summary,
            Err(error) => {
                // Half a backup would be found out at the restore: too late.
                std::fs::remove_file(path)?;
                return Err(error);
            }
        };
        note(store, Event::BackupTaken, shell).await?;
        let sentence = format!(
            "Wrote {} to {}. It does not hold the master key: keep a copy of that apart from it; without it no signing key in the backup opens.",
            counted(summary.rows, "row"),
            path.display()
        );
        Ok(done(shell.json, sentence, &json!({ "file": path, "rows": summary.rows, "taken_at": instant(summary.taken_at) }))?)
    }).await
}

/// Restores a backup into the configured database, which must be empty.
pub async fn restore(arguments: &Arguments, shell: &Shell) -> Result<(), Failure> {
    let config = shell.config()?;
    // Read to its end before anything is made.
    backup::verify(open(&arguments.file).await?).await?;
    let url: DatabaseUrl = config.database().parse().map_err(|error| format!("database_url: {error}"))?;
    if let DatabaseUrl::Sqlite(path) = &url
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder)?;
    }
    // Not by way of `engine::open`, which makes a master key and notes it: the one of the backup has to be used.
    let store = Store::open(&url).await?;
    let summary = backup::restore(&store, open(&arguments.file).await?, shell.now).await?;
    note(&store, Event::BackupRestored, shell).await?;
    let expected = meta::find(&mut store.read().await?, meta::MASTER_KEY).await?;
    store.close().await;
    let names_source =
        config.master_key.file.is_some() || config.master_key.env.is_some() || config.master_key.command.is_some();
    let there = names_source || config.data_dir.join("master.key").exists();
    let fits = there
        && master_key::load(&config)
            .await
            .is_ok_and(|key| expected.as_deref() == Some(&*master_key::fingerprint(&key)));
    let mut sentence = format!(
        "Restored {} as of {}. Every session is ended: everybody signs in again.",
        counted(summary.rows, "row"),
        instant(summary.taken_at)
    );
    if !fits {
        sentence.push_str("\nThe master key of that installation is not here yet. Put it where the configuration names it (by default master.key in the data folder) before you start the engine.");
    }
    Ok(done(
        shell.json,
        sentence,
        &json!({ "rows": summary.rows, "taken_at": instant(summary.taken_at), "master_key_fits": fits }),
    )?)
}

async fn open(path: &Path) -> Result<BufReader<tokio::fs::File>, Failure> {
    let file = tokio::fs::File::open(path).await;
    Ok(BufReader::new(file.map_err(|error| format!("cannot read {}: {error}", path.display()))?))
}

async fn note(store: &Store, event: Event, shell: &Shell) -> Result<(), Failure> {
    let mut write = store.write().await?;
    audit::append(&mut write, &(&Entry::new(event, ACTOR, shell.now, &mut SystemRandom)).into()).await?;
    write.commit().await?;
    Ok(())
}
