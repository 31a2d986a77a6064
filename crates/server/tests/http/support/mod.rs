//! A running engine with a small company in it, and ways to ask it things.
//!
//! Most tests ask the router in process; what depends on the accept loop asks over a real connection (`live.rs`).

mod ask;
mod browser;
pub mod described;
mod live;
mod seed;

#[path = "../../../../store/tests/contract/support/postgres.rs"]
pub mod postgres;
pub mod proxy;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_server::config::Config;
use hallpass_server::context::Clock;
use hallpass_server::engine::Engine;
use hallpass_server::listen;
use tempfile::TempDir;

pub use self::ask::{Answer, Ask};
pub use self::browser::{Browser, Landing};
pub use self::live::Live;
pub use self::seed::{Caller, SignedIn, app, digest_of};

/// The engine's own address.
pub const HOME: &str = "https://auth.company.com";
/// Where the engine answers for the zone `elsewhere`.
pub const ALIAS: &str = "https://sso.company2.com";
/// Everybody's password, unless a test changes it.
pub const PASSWORD: &str = "seven green lanterns at dusk";
/// When the tests take place, in seconds since the epoch.
pub const NOW: i64 = 1_800_000_000;
/// The pass's cookie.
pub const PASS: &str = "__Secure-hallpass-pass";
/// The session's cookie.
pub const SESSION: &str = "__Host-Http-hallpass";
/// The flow's cookie.
pub const FLOW: &str = "__Host-Http-hallpass-flow";
/// The device's cookie.
pub const DEVICE: &str = "__Host-Http-hallpass-device";

type Sites = Box<dyn Fn(&str) -> Option<listen::Site> + Send + Sync>;

/// An engine and the company that uses it: `ana` is a cashier at `pos`, everybody may enter `wiki`.
pub struct Site {
    pub engine: Engine,
    pub pos: Caller,
    pub wiki: Caller,
    pub ana: User,
    sites: Sites,
    clock: Arc<AtomicI64>,
    directory: Arc<TempDir>,
}

impl Site {
    /// With a new SQLite database.
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// With a new SQLite database and another configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let mut config = config(directory.path());
        change(&mut config);
        let clock = Arc::new(AtomicI64::new(NOW * 1000));
        let engine = Box::pin(Engine::start(config, Clock::Fixed(clock.clone()))).await.expect("starts");
        let company = seed::company(&engine).await;
        let site = Self::of(engine, clock, directory, company);
        site.heard().await;
        site
    }

    /// A node on a database of PostgreSQL. `directory` holds the master key that the nodes share; the first node brings the company.
    pub async fn node(url: &str, directory: &Arc<TempDir>, first: Option<&Self>) -> Self {
        Self::node_with(url, directory, first, |_| ()).await
    }

    /// The same with another configuration.
    pub async fn node_with(
        url: &str,
        directory: &Arc<TempDir>,
        first: Option<&Self>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config { database_url: Some(url.to_owned()), ..config(directory.path()) };
        change(&mut config);
        let clock = first.map_or_else(|| Arc::new(AtomicI64::new(NOW * 1000)), |first| first.clock.clone());
        let engine = Box::pin(Engine::start(config, Clock::Fixed(clock.clone()))).await.expect("starts");
        let company = match first {
            None => seed::company(&engine).await,
            Some(first) => (first.pos.clone(), first.wiki.clone(), first.ana.clone()),
        };
        let site = Self::of(engine, clock, directory.clone(), company);
        site.heard().await;
        site
    }

    /// What comes up again after this engine was killed at this moment: another one on what is on the disk (of SQLite: the database and its log), without
    /// anything that was in memory.
    pub async fn after_a_kill(&self) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        // Nobody writes meanwhile: a kill is one moment, a copy takes several.
        let still = self.engine.context.store.write().await.expect("writes");
        for entry in std::fs::read_dir(self.directory()).expect("reads") {
            let entry = entry.expect("reads");
            // What several processes share of the log is memory, and gone.
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(entry.path(), directory.path().join(entry.file_name())).expect("copies");
            }
        }
        drop(still);
        let clock = Arc::new(AtomicI64::new(self.clock.load(Ordering::SeqCst)));
        let engine = Engine::start(config(directory.path()), Clock::Fixed(clock.clone())).await.expect("starts");
        let site = Self::of(engine, clock, directory, (self.pos.clone(), self.wiki.clone(), self.ana.clone()));
        site.heard().await;
        site
    }

    fn of(engine: Engine, clock: Arc<AtomicI64>, directory: Arc<TempDir>, company: (Caller, Caller, User)) -> Self {
        let (pos, wiki, ana) = company;
        Self { sites: Box::new(engine.sites()), engine, pos, wiki, ana, clock, directory }
    }

    /// The engine knows the registry as it is stored. Which hosts are its own it looks up without waiting; a job sees to that, in its time.
    pub async fn heard(&self) {
        self.engine.context.view.policy().await.expect("reads");
    }

    /// Writes down which app was told of which session, which happens twice a second otherwise.
    pub async fn written_down(&self) {
        hallpass_server::jobs::write_down(self.engine.context.clone()).await.expect("writes");
    }

    /// The present instant of the engine's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Moves the engine's clock.
    pub fn advance(&self, by: Duration) {
        self.clock.fetch_add(i64::try_from(by.as_millis()).expect("not for ever"), Ordering::SeqCst);
    }

    /// Moves the engine's clock by seconds.
    pub fn wait(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Where the database and the master key are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn config(directory: &Path) -> Config {
    Config {
        public_url: Some(HOME.parse().expect("an origin")),
        cookie_domain: Some("company.com".to_owned()),
        data_dir: directory.to_owned(),
        ..Config::default()
    }
}
