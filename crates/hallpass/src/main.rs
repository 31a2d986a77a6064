//! The handle: `hallpass`, one file per verb.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program speaks to people by printing")]

mod app;
mod apply;
mod audit;
mod backup;
mod client;
mod demo;
mod doctor;
mod group;
mod keys;
mod password;
mod print;
mod role;
mod routes;
mod secret_file;
mod serve;
mod session;
mod shell;
mod user;
mod which;
mod zone;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use shell::{Failure, Shell};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sign in once, walk through every app: SSO engine and IAM service in one binary.
#[derive(Parser)]
#[command(name = "hallpass", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    /// Configuration file (TOML). Every key can also be set in the environment: `HALLPASS_PUBLIC_URL`,
    /// `HALLPASS_SESSION_ABSOLUTE` for `absolute` in `[session]`.
    #[arg(long, short, global = true, env = "HALLPASS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    // Not bound to HALLPASS_DATA_DIR here: that names real data, which `demo` must not furnish with its people.
    /// Where the SQLite file and the generated master key are; also `HALLPASS_DATA_DIR`. The demo keeps its data there.
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Print JSON for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the engine
    Serve(serve::Arguments),
    /// Show it: the engine and two apps on this machine, one command, nothing to install
    Demo(demo::Arguments),
    /// Bring zones, apps, roles, groups and assignments to what a file says
    Apply(apply::Arguments),
    /// People and their passwords
    #[command(subcommand)]
    User(user::Verb),
    /// Groups of users
    #[command(subcommand)]
    Group(group::Verb),
    /// Registered apps and their secrets
    #[command(subcommand)]
    App(app::Verb),
    /// Roles of apps and who holds them
    #[command(subcommand)]
    Role(role::Verb),
    /// Domains whose hosts share one pass
    #[command(subcommand)]
    Zone(zone::Verb),
    /// Who is signed in where
    #[command(subcommand)]
    Session(session::Verb),
    /// Signing keys
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Who did what, the newest first
    Audit(audit::Arguments),
    /// Look for misconfigurations and say how to mend them
    Doctor,
    /// Print every URL, who may call it, and how it reports errors
    Routes,
    /// Write everything to one file while the engine works
    Backup(backup::Arguments),
    /// Read such a file into an empty database
    Restore(backup::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Threads for blocking work that many things at once have called for, at the start above all, go soon: each keeps memory of its own.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().thread_keep_alive(Duration::from_secs(1)).build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        // `hallpass user list | head`: whoever reads has read enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let shell = Shell::new(arguments.config, arguments.data, arguments.json);
    if !matches!(arguments.verb, Verb::Serve(_) | Verb::Demo(_)) {
        serve::start_log(false, "warn");
    }
    match arguments.verb {
        Verb::Serve(verb) => return Box::pin(serve::run(verb, shell.config()?)).await,
        Verb::Demo(verb) => return demo::run(verb, shell.data, shell.json).await,
        Verb::Doctor => return doctor::run(&shell).await,
        Verb::Apply(verb) => apply::run(verb, &shell).await?,
        Verb::User(verb) => user::run(verb, &shell).await?,
        Verb::Group(verb) => group::run(verb, &shell).await?,
        Verb::App(verb) => app::run(verb, &shell).await?,
        Verb::Role(verb) => role::run(verb, &shell).await?,
        Verb::Zone(verb) => zone::run(verb, &shell).await?,
        Verb::Session(verb) => session::run(verb, &shell).await?,
        Verb::Keys(verb) => keys::run(verb, &shell).await?,
        Verb::Audit(verb) => audit::run(verb, &shell).await?,
        Verb::Routes => routes::run(shell.json)?,
        Verb::Backup(verb) => backup::take(&verb, &shell).await?,
        Verb::Restore(verb) => backup::restore(&verb, &shell).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn failed(what: &str) -> ExitCode {
    eprintln!("hallpass: {what}");
    ExitCode::FAILURE
}
