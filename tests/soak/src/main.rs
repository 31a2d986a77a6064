//! The soak: the real `hallpass serve` under load, killed, rotated and cut off from its database. Protocol §16, §20.
//!
//! `hallpass-soak run` prints a line for each scenario and ends with `N passed, N failed`. What was random is repeated by
//! `HALLPASS_SOAK_SEED`, as far as processes and a scheduler can be repeated.

#![expect(clippy::print_stdout, reason = "a command line program speaks to people by printing")]

mod cut;
mod dice;
mod door;
mod figures;
mod first_start;
mod furnish;
mod kill;
mod ledger;
mod load;
mod node;
mod propagation;
mod proxy;
mod rig;
mod rotation;
mod scribe;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use hallpass_core::crypto::{Random as _, SystemRandom};

use crate::rig::{Checked, Kind, Rig};

/// Runs Hallpass under load and takes things away from it.
#[derive(Parser)]
#[command(name = "hallpass-soak", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the scenarios
    Run(Run),
    /// Be the second process that writes to the database (started, and killed, by `run`)
    #[command(hide = true)]
    Scribe {
        /// Where to write.
        #[arg(long, env = "HALLPASS_DATABASE_URL", hide_env_values = true)]
        database: String,
    },
}

#[derive(clap::Args)]
struct Run {
    /// The binary to torment.
    #[arg(long, env = "HALLPASS_BIN", value_name = "FILE")]
    binary: PathBuf,
    /// How often to kill it, per database.
    #[arg(long, env = "HALLPASS_SOAK_ROUNDS", default_value_t = 10)]
    rounds: u32,
    /// An administrator's URL of a running PostgreSQL; without it only SQLite is tested.
    #[arg(long, env = "HALLPASS_TEST_POSTGRES", hide_env_values = true, value_name = "URL")]
    postgres: Option<String>,
    /// Decides everything that is left to chance.
    #[arg(long, env = "HALLPASS_SOAK_SEED")]
    seed: Option<u64>,
    /// Run this scenario (may be repeated).
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Killed while it makes its database, keys and master key
    FirstStart,
    /// Killed under load: no acknowledged change lost, none half done, ready again in 2 s
    Kill,
    /// App secrets and signing keys rotated under load: no failed request
    Rotation,
    /// Two nodes: what one does the other knows within 1 s
    Propagation,
    /// Two nodes, one cut off from the feed or the database: from the database or 503, never stale
    Cut,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match Arguments::parse().verb {
        Verb::Run(run) => runtime.block_on(scenarios(run)),
        Verb::Scribe { database } => match runtime.block_on(scribe::be(&database)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("error {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// What a scenario did: checks that passed, what failed, and the figures worth a look.
#[derive(Default)]
pub struct Outcome {
    passed: u32,
    failures: Vec<String>,
    figures: String,
}

impl Outcome {
    /// Counts one check.
    pub fn check(&mut self, result: Checked<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => self.failures.push(error.to_string()),
        }
    }

    /// More failures than this say nothing new.
    pub fn hopeless(&self) -> bool {
        self.failures.len() >= 3
    }
}

async fn scenarios(run: Run) -> ExitCode {
    let seed = run.seed.unwrap_or_else(|| {
        let mut bytes = [0u8; 8];
        SystemRandom.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    });
    println!("HALLPASS_SOAK_SEED={seed}");
    let rig = match Rig::new(&run.binary, run.postgres.as_deref(), seed) {
        Ok(rig) => rig,
        Err(error) => {
            println!("the rig cannot be set up: {error}\n0 passed, 1 failed");
            return ExitCode::FAILURE;
        }
    };
    let kinds: &[Kind] = if run.postgres.is_some() { &[Kind::Sqlite, Kind::Postgres] } else { &[Kind::Sqlite] };
    if run.postgres.is_none() {
        println!("NOT tested on PostgreSQL, and not with two nodes: HALLPASS_TEST_POSTGRES is not set");
    }
    let (mut passed, mut failed) = (0, 0);
    for kind in kinds {
        for scenario in Scenario::value_variants() {
            let two_nodes = matches!(scenario, Scenario::Propagation | Scenario::Cut);
            let wanted = run.only.is_empty() || run.only.contains(scenario);
            if !wanted || (two_nodes && *kind == Kind::Sqlite) {
                continue;
            }
            let started = figures::now();
            let ran = match scenario {
                Scenario::FirstStart => first_start::run(&rig, *kind, (run.rounds / 2).clamp(2, 40)).await,
                Scenario::Kill => kill::run(&rig, *kind, run.rounds).await,
                Scenario::Rotation => rotation::run(&rig, *kind).await,
                Scenario::Propagation => propagation::run(&rig).await,
                Scenario::Cut => cut::run(&rig, (run.rounds / 5).clamp(1, 10)).await,
            };
            let outcome = ran.unwrap_or_else(|error| Outcome {
                failures: vec![format!("could not be run to its end: {error}")],
                ..Outcome::default()
            });
            let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            println!(
                "{:<10} {name:<11} {:<6} {:>3} passed {:>2} failed {:>5.1} s  {}",
                kind.name(),
                if outcome.failures.is_empty() { "ok" } else { "FAILED" },
                outcome.passed,
                outcome.failures.len(),
                figures::now().duration_since(started).as_secs_f64(),
                outcome.figures,
            );
            for failure in &outcome.failures {
                println!("    {}", failure.replace('\n', "\n    "));
            }
            passed += outcome.passed as usize;
            failed += outcome.failures.len();
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
