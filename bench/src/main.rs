//! `bench/run`: Hallpass beside a bare hyper server and Argon2id alone, in one run, with a report.

mod bare;
mod clock;
mod contest;
mod database;
mod handoff;
mod histogram;
mod http1;
mod installation;
mod load;
mod machine;
mod oidc;
mod passes;
mod plan;
mod process;
mod report;
mod sign_in;
mod sign_out;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::database::Kind;
use crate::plan::{Bench, Plan};
use crate::report::{Report, say};

/// The same allocator as the server under test, so that neither side wins by it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever stops a benchmark; its text is for the person who started it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures Hallpass side by side with a bare hyper server and writes a report.
#[derive(Parser)]
#[command(name = "bench/run", max_term_width = 100)]
struct Arguments {
    /// Every step, little of each: a minute or two, to see that it works. Its figures are no result.
    #[arg(long)]
    quick: bool,
    /// Where the report goes (and, with .json, its figures). Default: bench/reports/<date>-<cpu>.md; tries: bench/work/try.md.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only on this database; may be repeated.
    #[arg(long, value_name = "DATABASE")]
    database: Vec<Kind>,
    /// Only introspection, with so many sessions: for whoever is making it faster.
    #[arg(long, value_name = "COUNT")]
    sessions: Option<usize>,
    /// Only sign-ins, and introspection during a flood of them: for whoever is making those faster.
    #[arg(long, conflicts_with = "sessions")]
    sign_ins: bool,
    /// Only handoffs to other root domains, and telling apps of sign-outs.
    #[arg(long, conflicts_with_all = ["sessions", "sign_ins"])]
    handoffs: bool,
    /// Only the token endpoint, beside npm oidc-provider.
    #[arg(long, conflicts_with_all = ["sessions", "sign_ins", "handoffs"])]
    oidc: bool,
    /// Only what a pass costs that the server has not seen before.
    #[arg(long, conflicts_with_all = ["sessions", "sign_ins", "handoffs", "oidc"])]
    new_passes: bool,
    /// Count each run of introspection for so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The server that introspection is compared with.
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        answer: PathBuf,
    },
}

const METHOD: &str = "\
Hallpass is the release binary, `hallpass serve` with its default settings, asked over HTTP/1.1 (keep-alive, no TLS) on the loopback
interface. Bare hyper is hyper 1 on tokio's multi-threaded runtime with its default number of workers, without routing: it reads the
request and answers with the headers and the body of a real answer of Hallpass. Both use the same allocator. Both are processes of their
own, and so is the load generator: one thread, 32 connections, one request at a time on each, no pipelining; it sends prepared bytes
(`POST /introspect`, URL-encoded, a pass picked at random among those of all sessions) and does the same work for both. Server, generator and
database share all cores of the machine; nothing is pinned.

Contestants take turns, in rounds, forwards and backwards; between runs everybody waits until the server has written down what it had put
off, so that no one pays for the work of another, and once everybody has been written down as active the database is tidied (`VACUUM ANALYZE` and
`CHECKPOINT`, or SQLite's log brought home). A ratio is the median of the ratios of the rounds, with what half of the rounds lie between in
brackets. Processor time is that of the server's process, the kernel's part included, from `/proc`; \"put off\" is what it used after the
run to write down activity. \"Cores used by others\" is what neither server nor generator used; with PostgreSQL that includes the database.
\"Taken away\" is what the hypervisor gave to other machines instead.

Every session has a user of its own, with a role by a group and one held directly. Before it is measured, every session has been asked
about once by a pass that was used once: that is also the state in which memory is taken (`VmRSS`, less what the same server had before).
The signature comparison asks about the same known sessions first by new passes, then by the same passes again, each time in one request with a pass
that is refused because its signature is too short to be checked. What one check takes is what the second costs more when that signature is wrong
instead: the same answers, and the same code left to run after the check, which drives much of it out of the processor's caches.

Sign-ins are 16 people at a time, each: page, form, redirect, and a session in the database at the end. Argon2id alone is the same
comparison of a password (19 MiB, 2 passes, 1 lane) on as many threads as there are cores, with nothing else.

Handoffs begin at a steady 50 in a second, of 300 people who are signed in, every other one at an alias (start, authorize, callback), the others at an
app that is its own agent (authorize, token). A hop is one request; it counts from when it was due. Sign-outs are 20 in a second; each counts from the
answer that acknowledges it until the app has the logout token. The slow receivers take a connection and never answer.

Tokens are compared with npm `oidc-provider` in one Node process with its in-memory adapter (given room for a million entries, so that it does not
forget codes). On both sides: a confidential client with HTTP Basic, PKCE, people who have really signed in, codes made by the authorization
endpoint beforehand, not measured, and exchanged once each on 32 connections; then refresh tokens, each used once, with rotation, each giving the
next. Every answer brings an access token, a refresh token and an ID token signed with RS256 (2048 bits), or EdDSA where it says so. Hallpass writes
each of them down durably (SQLite with synchronous=FULL, PostgreSQL with fsync) before it answers, and signs its access tokens, too; `oidc-provider`
keeps everything in its memory. \"Per core\" is answers for each second of processor time that the server has used, all its threads and
the kernel's part included, together with its PostgreSQL where it has one. Requests per second are those of the whole machine, which server, generator and
database share.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::from).and_then(|runtime| {
            let outcome = runtime.block_on(async {
                tokio::select! {
                    outcome = run(arguments) => outcome,
                    _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
                }
            });
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    if let Some(Role::Bare { listen, answer }) = arguments.role {
        bare::serve(listen, &answer).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut plan = if arguments.quick { Plan::quick() } else { Plan::full() };
    if let Some(seconds) = arguments.seconds {
        plan.pace.measured = Duration::from_secs(seconds);
    }
    let kinds = if arguments.database.is_empty() { vec![Kind::Sqlite, Kind::Postgres] } else { arguments.database };
    let mut facts = machine::facts();
    facts.push(("Command", std::env::args().skip(1).fold("bench/run".to_owned(), |line, word| line + " " + &word)));
    let began = clock::ticks();
    let mut report = Report::default();
    for kind in kinds {
        let folder = tempfile::Builder::new().prefix("hallpass-bench-").tempdir()?;
        let bench = Bench::new(&plan, kind, folder.path(), &mut report)?;
        let version = match arguments.sessions {
            Some(sessions) => bench.introspection_only(sessions).await?,
            None if arguments.sign_ins => bench.sign_ins_only().await?,
            None if arguments.handoffs => bench.handoffs_only().await?,
            None if arguments.oidc => bench.oidc_only().await?,
            None if arguments.new_passes => bench.never_seen_only().await?,
            None => bench.all().await?,
        };
        facts.push((
            kind.name(),
            if kind == Kind::Postgres { format!("{version}; {}", database::SETTINGS) } else { version },
        ));
    }
    facts.push(("The run took", format!("{:.0} minutes", began.elapsed().as_secs_f64() / 60.0)));
    let date = jiff::Timestamp::from_millisecond(clock::now().as_millis())?.strftime("%Y-%m-%d").to_string();
    let kinds_of_load = [arguments.sign_ins, arguments.handoffs, arguments.oidc, arguments.new_passes];
    let whole = !arguments.quick && arguments.sessions.is_none() && !kinds_of_load.contains(&true);
    let name =
        if whole { format!("bench/reports/{date}-{}.md", machine::slug()) } else { "bench/work/try.md".to_owned() };
    let file = arguments.out.unwrap_or_else(|| name.into());
    let headline = if whole { date } else { format!("{date}, a try (its figures are no result)") };
    report.write(&file, &headline, &facts, METHOD)?;
    say(&format!("report: {}; targets missed: {}", file.display(), report.missed()));
    Ok(ExitCode::from(u8::from(report.missed() > 0 && whole)))
}
