//! What is measured, in which order, and against which target.

mod handoffs;
mod introspection;
mod never_seen;
mod oidc;
mod sign_ins;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hallpass_core::keyring::Keyring;
use serde_json::{Value, json};

use crate::Failure;
use crate::clock::ticks;
use crate::contest::{Pace, grouped};
use crate::database::{Direct, Kind, Postgres};
use crate::installation::Installation;
use crate::load::{Load, exact};
use crate::passes::{Batches, Passes};
use crate::process::{self, Server};
use crate::report::{Report, say};

/// Answers change when a pass is five minutes old: then they carry a fresh one, and cost a signature.
const PASS_GOOD_FOR: Duration = Duration::from_secs(290);
/// Longer than any answer about one pass that carries no fresh one.
const LONGEST: usize = 1100;

/// How much of everything.
pub struct Plan {
    /// Sessions: few, many, most.
    pub sizes: [usize; 3],
    /// Side by side.
    pub pace: Pace,
    /// Passes in one slice of the comparison of new ones with known ones, and how many slices.
    pub slices: (usize, usize),
    /// Sign-ins and Argon2id alone: what is not counted, what is, and how often.
    pub sign_ins: (Duration, Duration, usize),
    /// Introspection with a flood of sign-ins and without: the same.
    pub flood: (Duration, Duration, usize),
    /// Seconds of handoffs; deliveries to an app that does not answer.
    pub handoffs: (u64, usize),
    /// Codes exchanged in one run, and how long refreshes are counted; how often with `RS256`, and with `EdDSA`.
    pub oidc: (usize, Duration, [usize; 2]),
}

impl Plan {
    /// The whole thing.
    pub fn full() -> Self {
        Self {
            sizes: [1_000, 100_000, 1_000_000],
            // Short and many: on a shared machine the hypervisor was seen to take a quarter of both processors away for five seconds, three times a
            // minute, and their own speed to change by a fifth. Of four rounds, three seconds and a half each, that reached half.
            pace: Pace {
                rounds: 16,
                ramp: Duration::from_millis(250),
                measured: Duration::from_millis(750),
                connections: 32,
            },
            slices: (10_000, 10),
            // For the same reason: the median of twelve rounds, a second and a half each, lay between 81 and 93 % for the same program.
            sign_ins: (Duration::from_millis(300), Duration::from_millis(700), 40),
            flood: (Duration::from_millis(500), Duration::from_millis(1500), 12),
            handoffs: (30, 1_000),
            oidc: (4_000, Duration::from_secs(3), [5, 3]),
        }
    }

    /// A try: every step, little of each; its figures are no result.
    pub fn quick() -> Self {
        Self {
            sizes: [1_000, 5_000, 20_000],
            pace: Pace {
                rounds: 2,
                ramp: Duration::from_millis(200),
                measured: Duration::from_secs(1),
                connections: 32,
            },
            slices: (2_000, 2),
            sign_ins: (Duration::from_millis(300), Duration::from_secs(1), 2),
            flood: (Duration::from_millis(300), Duration::from_secs(1), 2),
            handoffs: (3, 100),
            oidc: (800, Duration::from_secs(1), [2, 1]),
        }
    }
}

/// One kind of database, from an empty one to the largest.
pub struct Bench<'a> {
    plan: &'a Plan,
    kind: Kind,
    folder: &'a Path,
    report: &'a mut Report,
    binary: PathBuf,
}

/// A server and the passes that it has in memory.
struct Warm {
    server: Server,
    keyring: Keyring,
    authorization: String,
    sessions: usize,
    passes: Arc<Passes>,
    url: String,
}

impl<'a> Bench<'a> {
    /// On databases of this kind, with everything temporary in `folder`.
    pub fn new(plan: &'a Plan, kind: Kind, folder: &'a Path, report: &'a mut Report) -> Result<Self, Failure> {
        Ok(Self { plan, kind, folder, report, binary: process::hallpass_binary()? })
    }

    /// Measures everything. Returns the database's version.
    pub async fn all(mut self) -> Result<String, Failure> {
        let mut postgres = self.database_server()?;
        let [few, many, most] = self.plan.sizes;

        self.step(&format!("{} sessions", grouped(exact(few as u64))));
        let mut small = self.install("small", &mut postgres).await?;
        small.grow(few).await?;
        small.give_passwords().await?;
        let server = small.start().await?;
        self.idle(&server).await?;
        let mut small = self.warm(server, &small).await?;
        let bare = process::bare(&self.answer_of(&small)?).await?;
        let runs = self.introspection(&bare, &[&small], self.plan.pace.rounds).await?;
        self.compare(few, &runs[0], &runs[1]);
        self.sign_ins(&mut small).await?;

        let mut others = self.install("handoffs", &mut postgres).await?;
        self.step("handoffs and sign-outs");
        self.handoffs(&mut others).await?;

        let mut others = self.install("oidc", &mut postgres).await?;
        self.step("tokens");
        self.tokens(&mut others).await?;

        self.step(&format!("{} sessions", grouped(exact(many as u64))));
        let mut large = self.install("large", &mut postgres).await?;
        large.grow(many).await?;
        let warm = self.measure_memory(&large).await?;
        let runs = self.introspection(&bare, &[&warm], self.plan.pace.rounds).await?;
        self.compare(many, &runs[0], &runs[1]);
        self.never_seen(&warm).await?;
        warm.server.stop().await?;

        self.step(&format!("{} sessions", grouped(exact(most as u64))));
        large.grow(most).await?;
        self.starts(&large).await?;
        let mut warm = self.measure_memory(&large).await?;
        // Bringing so many into memory takes longer than a pass stays young: once more, with fresh ones.
        self.refresh(&mut warm).await?;
        self.refresh(&mut small).await?;
        let runs = self.introspection_in_use(&bare, &[&warm, &small]).await?;
        self.compare(most, &runs[0], &runs[1]);
        self.compare_sizes(&runs);

        warm.server.stop().await?;
        small.server.stop().await?;
        bare.kill().await?;
        self.end(&large, postgres).await
    }

    /// Only introspection, with so many sessions, and their memory: for whoever is making it faster or smaller.
    pub async fn introspection_only(mut self, sessions: usize) -> Result<String, Failure> {
        self.step(&format!("{} sessions", grouped(exact(sessions as u64))));
        let mut postgres = self.database_server()?;
        let mut installation = self.install("only", &mut postgres).await?;
        installation.grow(sessions).await?;
        let mut warm = self.measure_memory(&installation).await?;
        self.refresh(&mut warm).await?;
        let bare = process::bare(&self.answer_of(&warm)?).await?;
        let runs = self.introspection_in_use(&bare, &[&warm]).await?;
        self.compare(sessions, &runs[0], &runs[1]);
        warm.server.stop().await?;
        bare.kill().await?;
        self.end(&installation, postgres).await
    }

    /// Only passes never seen before, with many sessions.
    pub async fn never_seen_only(mut self) -> Result<String, Failure> {
        let mut postgres = self.database_server()?;
        let mut installation = self.install("only", &mut postgres).await?;
        installation.grow(self.plan.sizes[1]).await?;
        let server = installation.start().await?;
        let warm = self.warm(server, &installation).await?;
        self.never_seen(&warm).await?;
        warm.server.stop().await?;
        self.end(&installation, postgres).await
    }

    /// Only handoffs and telling apps of sign-outs.
    pub async fn handoffs_only(mut self) -> Result<String, Failure> {
        let mut postgres = self.database_server()?;
        let mut installation = self.install("handoffs", &mut postgres).await?;
        self.handoffs(&mut installation).await?;
        self.end(&installation, postgres).await
    }

    /// Only the token endpoint beside `oidc-provider`.
    pub async fn oidc_only(mut self) -> Result<String, Failure> {
        let mut postgres = self.database_server()?;
        let mut installation = self.install("oidc", &mut postgres).await?;
        self.step("tokens");
        self.tokens(&mut installation).await?;
        self.end(&installation, postgres).await
    }

    /// Only sign-ins and introspection meanwhile, with few sessions.
    pub async fn sign_ins_only(mut self) -> Result<String, Failure> {
        let mut postgres = self.database_server()?;
        let mut installation = self.install("only", &mut postgres).await?;
        installation.grow(self.plan.sizes[0]).await?;
        installation.give_passwords().await?;
        let server = installation.start().await?;
        let mut warm = self.warm(server, &installation).await?;
        self.sign_ins(&mut warm).await?;
        warm.server.stop().await?;
        self.end(&installation, postgres).await
    }

    fn database_server(&self) -> Result<Option<Postgres>, Failure> {
        match self.kind {
            Kind::Sqlite => Ok(None),
            Kind::Postgres => Postgres::start().map(Some),
        }
    }

    /// Takes the database away. Returns its version.
    async fn end(&self, installation: &Installation, postgres: Option<Postgres>) -> Result<String, Failure> {
        let mut direct = Direct::open(&installation.url).await?;
        let version = direct.version().await?;
        direct.close().await?;
        if let Some(postgres) = postgres {
            postgres.stop().await?;
        }
        Ok(version)
    }

    async fn install(&self, name: &str, postgres: &mut Option<Postgres>) -> Result<Installation, Failure> {
        let data = self.folder.join(format!("{:?}-{name}", self.kind).to_lowercase());
        std::fs::create_dir_all(&data)?;
        let url = match postgres {
            Some(postgres) => postgres.create(name).await?,
            None => format!("sqlite:{}", data.join("hallpass.db").display()),
        };
        let mut installation = Installation::new(&self.binary, url, data).await?;
        if let Some(postgres) = postgres {
            installation.database = postgres.processes()?;
        }
        Ok(installation)
    }

    /// Memory of a server that has just started and has nothing to do.
    async fn idle(&mut self, server: &Server) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let megabytes = server.memory_mb()?;
        self.report.check(
            &self.what("memory of an idle server"),
            "≤ 40 MB",
            &format!("{megabytes:.1} MB"),
            megabytes <= 40.0,
        );
        self.keep("idle_mb", json!(megabytes));
        Ok(())
    }

    /// Asks about every session once, by a fresh pass each, and waits until the server has dealt with that.
    async fn warm(&self, server: Server, installation: &Installation) -> Result<Warm, Failure> {
        let keyring = installation.keyring().await?;
        let passes = Arc::new(Passes::mint(&keyring, installation.sessions)?);
        let (authorization, sessions) = (installation.authorization.clone(), installation.sessions);
        let mut warm = Warm { server, keyring, authorization, sessions, passes, url: installation.url.clone() };
        self.ask_about_all(&mut warm).await?;
        Ok(warm)
    }

    /// New passes for everybody, known to the server.
    async fn refresh(&self, warm: &mut Warm) -> Result<(), Failure> {
        warm.passes = Arc::new(Passes::mint(&warm.keyring, warm.sessions)?);
        self.ask_about_all(warm).await
    }

    async fn ask_about_all(&self, warm: &mut Warm) -> Result<(), Failure> {
        self.ask(warm, "warmed up").await?;
        // All of them were written down as active, each in a row that PostgreSQL would begin to clear away in the middle of the next measurement.
        let mut direct = Direct::open(&warm.url).await?;
        direct.tidy().await?;
        direct.close().await
    }

    async fn ask(&self, warm: &Warm, done: &str) -> Result<(), Failure> {
        let load = Load {
            address: warm.server.address,
            connections: 6,
            ramp: Duration::ZERO,
            measured: Duration::from_mins(15),
            length: 0..=usize::MAX,
        };
        let began = ticks();
        let asked = crate::load::run(load, Batches::all(&warm.authorization, &warm.passes)).await?.checked()?;
        let rate = exact(warm.sessions as u64) / asked.seconds;
        let settled = warm.server.settle(Duration::from_mins(3)).await?;
        let settled = settled.map_or("not yet".to_owned(), |settled| format!("{:.1} s later", settled.as_secs_f64()));
        say(&format!(
            "   {done} in {:.1} s: {} passes/s, nothing left to do {settled}",
            began.elapsed().as_secs_f64(),
            grouped(rate)
        ));
        Ok(())
    }

    /// From starting the process to "ready", after an orderly end and after a kill.
    async fn starts(&mut self, installation: &Installation) -> Result<(), Failure> {
        let mut seconds = Vec::new();
        for _ in 0..3 {
            let server = installation.start().await?;
            seconds.push(server.ready_after.as_secs_f64());
            server.stop().await?;
        }
        installation.start().await?.kill().await?;
        let server = installation.start().await?;
        seconds.push(server.ready_after.as_secs_f64());
        server.stop().await?;
        let worst = seconds.iter().copied().fold(0.0, f64::max);
        let count = grouped(exact(installation.sessions as u64));
        let measured = format!("{worst:.2} s, the slowest of four, one of them after kill -9");
        self.report.check(
            &self.what(&format!("start with {count} sessions stored, until ready")),
            "≤ 2 s",
            &measured,
            worst <= 2.0,
        );
        self.keep("starts_s", json!(seconds));
        Ok(())
    }

    /// Brings every session into memory and looks what that took; the server goes on.
    async fn measure_memory(&mut self, installation: &Installation) -> Result<Warm, Failure> {
        let server = installation.start().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = server.memory_mb()?;
        let warm = self.warm(server, installation).await?;
        let after = warm.server.memory_mb()?;
        let hundred_thousands = exact(installation.sessions as u64) / 1e5;
        let each = (after - before) / hundred_thousands;
        let count = grouped(exact(installation.sessions as u64));
        let measured = format!("{each:.1} MB ({before:.0} → {after:.0} MB)");
        self.report.check(
            &self.what(&format!("memory per 100,000 live sessions, {count} of them")),
            "≤ 60 MB",
            &measured,
            each <= 60.0,
        );
        self.keep(&format!("memory_{}_mb", installation.sessions), json!({ "before": before, "after": after }));
        Ok(warm)
    }

    fn what(&self, what: &str) -> String {
        format!("{}: {what}", self.kind.name())
    }

    fn keep(&mut self, name: &str, value: Value) {
        self.report.keep(format!("{}_{name}", self.kind.name().to_lowercase()), value);
    }

    fn step(&self, what: &str) {
        say(&format!("== {}: {what}", self.kind.name()));
    }
}
