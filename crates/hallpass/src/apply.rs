//! `hallpass apply FILE`: zones, apps, roles, groups and who holds what, from one TOML file. Shows what it would change, asks, does it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _, stdin};
use std::path::PathBuf;

use clap::Args;
use hallpass_server::admin::apply::{self, File, Step};
use hallpass_store::apps;
use serde_json::json;

use crate::print::{counted, done, plain};
use crate::shell::{ACTOR, Failure, Shell};

/// What `apply` takes.
#[derive(Args)]
pub struct Arguments {
    /// The TOML file
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also remove what the sections of the file do not name
    #[arg(long)]
    prune: bool,
}

/// Runs it.
pub async fn run(arguments: Arguments, shell: &Shell) -> Result<(), Failure> {
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).map_err(|error| format!("cannot read {path}: {error}"))?;
    let file: File = text.parse().map_err(|error| format!("{path}: {error}"))?;
    shell.with_new_store(async |store| {
        // Compared in a snapshot and shown; the engine must not wait for a transaction while somebody reads.
        let shown = apply::plan(&mut store.snapshot().await?, &file, arguments.prune).await?;
        if shown.is_empty() {
            return Ok(done(shell.json, "Nothing to change.", &object(&shown, false))?);
        }
        if arguments.dry_run {
            return Ok(done(shell.json, format!("{}\nNothing was changed.", diff(&shown)), &object(&shown, false))?);
        }
        if !shell.json {
            done(false, diff(&shown), &json!(null))?;
        }
        if !arguments.yes && !confirmed(shown.len())? {
            return Err("nothing was changed".into());
        }
        let mut write = store.write().await?;
        let steps = apply::plan(&mut write, &file, arguments.prune).await?;
        if steps != shown {
            return Err("somebody changed something meanwhile, so nothing was done; run it again to see what is left to change".into());
        }
        apply::execute(&mut write, &steps, &ACTOR, shell.now).await?;
        write.commit().await?;
        let mut sentence = format!("Done: {}.", counted(steps.len(), "change"));
        let mut read = store.snapshot().await?;
        // Those that have to do without, or sign instead, need not be told to get one.
        let with_secret = file.apps.iter().flatten().filter(|(_, entry)| !entry.client.is_public() && entry.jwks.is_none());
        for key in with_secret.map(|(key, _)| key) {
            if apps::secrets_of(&mut read, key).await?.is_empty() {
                _ = write!(sentence, "\nApp {key} has no secret key yet; `hallpass app rotate-secret {key}` makes one.");
            }
        }
        Ok(done(shell.json, sentence, &object(&steps, true))?)
    }).await
}

fn diff(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{} {}", step.sign.as_str(), plain(&step.text))).collect::<Vec<_>>().join("\n")
}

fn object(steps: &[Step], applied: bool) -> serde_json::Value {
    let changes: Vec<_> = steps.iter().map(|step| json!({ "sign": step.sign.as_str(), "text": step.text })).collect();
    json!({ "changes": changes, "applied": applied })
}

fn confirmed(count: usize) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err("this is no terminal to ask at: say --yes to make these changes, or --dry-run to see them".into());
    }
    let mut err = io::stderr();
    write!(err, "Make {}? [y/N] ", counted(count, "change"))?;
    err.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
