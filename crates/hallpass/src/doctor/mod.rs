//! `hallpass doctor`: names misconfigurations and how to mend them. It makes nothing and repairs nothing; an older database that it
//! opens is brought up to date, as by every verb.

mod agents;
mod checks;
mod kratos;
mod providers;

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hallpass_core::app::{App, AppSecret};
use hallpass_core::id::GroupName;
use hallpass_core::keyring::SealedKey;
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_server::config::{Config, unknown_variables};
use hallpass_server::master_key;
use hallpass_store::audit::{self, Filter};
use hallpass_store::{DatabaseUrl, Store, StoreError, apps, groups, keys, meta, users, zones};
use serde_json::json;

use crate::print::{self, counted};
use crate::shell::{Failure, Shell, environment};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Does not work, or is not safe. Exit code 1.
    Problem,
    /// Works, and deserves a decision.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What was looked at; a stable word for scripts.
    pub check: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// What the checks look at, gathered beforehand so that they are plain functions.
#[derive(Debug)]
pub struct Facts {
    /// As configured.
    pub config: Config,
    /// Variables that look like settings and are none.
    pub unknown_variables: Vec<String>,
    /// Of the master key file and the database file, those that are there.
    pub files: Vec<PrivateFile>,
    /// What is in the database, if there is one.
    pub registry: Option<Registry>,
    /// The system's clock.
    pub now: Timestamp,
}

/// A file that only its owner should read.
#[derive(Debug)]
pub struct PrivateFile {
    /// What it is.
    pub what: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// What is in the database.
#[derive(Debug, Default)]
pub struct Registry {
    /// Every zone.
    pub zones: Vec<Zone>,
    /// Every app.
    pub apps: Vec<App>,
    /// Every secret.
    pub secrets: Vec<AppSecret>,
    /// Every signing key.
    pub keys: Vec<SealedKey>,
    /// The names of all groups.
    pub groups: Vec<GroupName>,
    /// How many users.
    pub users: i64,
    /// The newest entry of the audit log: the database's idea of the time.
    pub newest_entry: Option<Timestamp>,
}

/// Runs it.
pub async fn run(shell: &Shell) -> Result<ExitCode, Failure> {
    let mut findings = match shell.config() {
        Ok(config) => look(config, shell.now).await,
        Err(error) => vec![Finding {
            severity: Severity::Problem,
            check: "configuration",
            message: error.to_string(),
            fix: "correct this value; nothing else was looked at".to_owned(),
        }],
    };
    findings.sort_by_key(|finding| finding.severity);
    let problems = findings.iter().filter(|finding| finding.severity == Severity::Problem).count();
    let warnings = findings.len() - problems;
    if shell.json {
        let list: Vec<_> = findings
            .iter()
            .map(|found| {
                json!({ "severity": found.severity.as_str(), "check": found.check, "message": found.message, "fix": found.fix })
            })
            .collect();
        print::done(true, "", &list.into())?;
    } else {
        for Finding { severity, check, message, fix } in &findings {
            let text =
                format!("{}: {} ({check})\n  fix: {}\n", severity.as_str(), print::plain(message), print::plain(fix));
            print::done(false, text, &json!(null))?;
        }
        let sum = match (problems, warnings) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            _ => format!("{}, {}.", counted(problems, "problem"), counted(warnings, "warning")),
        };
        print::done(false, sum, &json!(null))?;
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(config: Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let unknown_variables = unknown_variables(&config, environment().map(|(name, _)| name));
    let mut facts = Facts { config, unknown_variables, files: Vec::new(), registry: None, now };
    let url = match facts.config.database().parse::<DatabaseUrl>() {
        Ok(url) => Some(url),
        Err(error) => {
            findings.push(problem("database", format!("database_url {error}"), "correct database_url"));
            None
        }
    };
    let master_file = master_key_file(&facts.config);
    facts.files.extend(master_file.as_deref().and_then(|path| private_file("the master key", path)));
    if let Some(DatabaseUrl::Sqlite(path)) = &url {
        facts.files.extend(private_file("the database", path));
    }
    match url {
        Some(DatabaseUrl::Sqlite(path)) if !path.exists() => {
            let message = format!("there is no database at {} yet", path.display());
            findings.push(warning("database", message, "`hallpass serve` and `hallpass apply` make it; or point data_dir or --data to where it is"));
        }
        Some(url) => match registry(&url, &facts.config).await {
            Ok((registry, mut found)) => {
                facts.registry = Some(registry);
                findings.append(&mut found);
            }
            Err(error) => findings.push(problem(
                "database",
                error.to_string(),
                "see that the database runs, that database_url is right and that this user may connect; until then every answer is 503",
            )),
        },
        None => {}
    }
    findings.extend(checks::all(&facts));
    findings.extend(agents::all(&facts).await);
    findings.extend(kratos::look(&facts.config).await);
    findings.extend(providers::look(&facts).await);
    findings
}

async fn registry(url: &DatabaseUrl, config: &Config) -> Result<(Registry, Vec<Finding>), StoreError> {
    let store = Store::open(url).await?;
    let mut read = store.snapshot().await?;
    let registry = Registry {
        zones: zones::all(&mut read).await?,
        apps: apps::all(&mut read).await?,
        secrets: apps::all_secrets(&mut read).await?,
        keys: keys::all(&mut read).await?,
        groups: groups::all(&mut read).await?.into_iter().map(|group| group.name).collect(),
        users: users::count(&mut read).await?,
        newest_entry: audit::list(&mut read, &Filter::default(), None, 1).await?.first().map(|entry| entry.at),
    };
    let expected = meta::find(&mut read, meta::MASTER_KEY).await?;
    drop(read);
    store.close().await;
    Ok((registry, master_key(config, expected).await.into_iter().collect()))
}

/// Whether the master key is the one of this database.
async fn master_key(config: &Config, expected: Option<String>) -> Option<Finding> {
    let expected = expected?;
    // Loading would make one.
    if let Some(path) = master_key_file(config)
        && !path.exists()
    {
        let message = format!("the database was made with a master key, and there is none at {}", path.display());
        return Some(problem(
            "master_key",
            message,
            "put the original master key there, or name where it is with master_key in the configuration",
        ));
    }
    match master_key::load(config).await {
        Err(error) => Some(problem("master_key", error.to_string(), "make the master key readable for this user")),
        Ok(key) if master_key::fingerprint(&key) != expected => Some(problem(
            "master_key",
            "the master key is not the one this database was made with",
            "name the original one with master_key in the configuration",
        )),
        Ok(_) => None,
    }
}

fn master_key_file(config: &Config) -> Option<PathBuf> {
    let source = &config.master_key;
    match (&source.file, &source.env, &source.command) {
        (Some(path), ..) => Some(path.clone()),
        (None, None, None) => Some(config.data_dir.join("master.key")),
        _ => None,
    }
}

fn private_file(what: &'static str, path: &Path) -> Option<PrivateFile> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    Some(PrivateFile { what, path: path.to_owned(), mode })
}

fn problem(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { severity: Severity::Problem, check, message: message.into(), fix: fix.into() }
}

fn warning(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, check, message: message.into(), fix: fix.into() }
}

/// Whether `address` is reachable from this machine only.
fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
