//! Rotation of app secrets and signing keys, by the commands that people use, while introspection and pass refresh go on: not
//! one failed request. On PostgreSQL with two nodes, of which neither is told anything by anybody but the database. Protocol §4, §16.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hallpass_store::{DatabaseUrl, Store};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::dice::Dice;
use crate::door::{Answer, Door, Refreshed};
use crate::figures::{now, wait_for};
use crate::first_start::FIRST_READY;
use crate::furnish::{APP, Held, fetch_passes_for, furnish, people};
use crate::node::{READY, Setup};
use crate::rig::{Checked, Kind, Rig, progress};

/// Rotations of the app's secret.
const SECRETS: u32 = 3;
/// Rotations of the key that signs passes, for each rotation of the secret.
const KEYS: u32 = 3;
/// Answers between one step and the next.
const BETWEEN_STEPS: u64 = 300;
const ASKING: usize = 4;
const REFRESHING: usize = 2;

/// What the workers share.
struct Office {
    doors: Vec<Door>,
    /// The app's secret as the app is configured now. Read while a request is under way: whoever writes knows that no
    /// request with the old one is.
    secret: RwLock<String>,
    held: Vec<(Held, Mutex<String>)>,
    answered: AtomicU64,
    refreshed: AtomicU64,
    step: Mutex<String>,
    failures: Mutex<Vec<String>>,
    done: AtomicBool,
}

/// The rotations under load.
pub async fn run(rig: &Rig, kind: Kind) -> Checked<Outcome> {
    let mut dice = rig.dice(&format!("rotation {kind:?}"));
    let site = rig.site(kind).await?;
    let setup = Setup::new(&site, &mut dice)?;
    let mut nodes = vec![setup.start_ready(rig, FIRST_READY).await?.0];
    let mut doors = vec![setup.door()?];
    if kind == Kind::Postgres {
        let second = setup.beside(&site.database_url, &mut dice)?;
        nodes.push(second.start_ready(rig, READY).await?.0);
        doors.push(second.door()?);
    }
    let store = Store::open(&site.database_url.parse::<DatabaseUrl>()?).await?;
    let furnished = furnish(&store).await?;
    let mut held = people(&store, 40).await?;
    store.close().await;
    fetch_passes_for(&doors[0], &mut held).await?;
    let held = held.into_iter().map(|held| (held.clone(), Mutex::new(held.pass))).collect();
    let office = Arc::new(Office {
        doors,
        secret: RwLock::new(furnished.secret),
        held,
        answered: AtomicU64::new(0),
        refreshed: AtomicU64::new(0),
        step: Mutex::new("before any rotation".to_owned()),
        failures: Mutex::new(Vec::new()),
        done: AtomicBool::new(false),
    });
    let mut workers = JoinSet::new();
    for _ in 0..ASKING {
        workers.spawn(office.clone().ask(dice.split()));
    }
    for _ in 0..REFRESHING {
        workers.spawn(office.clone().refresh(dice.split()));
    }

    let began = now();
    let bar = progress(kind, "rotation under load", SECRETS * (KEYS + 3));
    let rotated: Checked<()> = async {
        for _ in 0..SECRETS {
            let minted = setup.administer(rig, &["app", "rotate-secret", APP, "--json"]).await?;
            let minted: Value = serde_json::from_str(&minted)?;
            let secret = minted["secret_key"].as_str().ok_or("the command printed no secret key")?;
            secret.clone_into(&mut *office.secret.write().await);
            office.step(&bar, "just after the app was given its second secret").await?;
            for _ in 0..KEYS {
                setup.administer(rig, &["keys", "rotate", "--now", "--purpose", "pass"]).await?;
                office.step(&bar, "just after the signing key was rotated").await?;
            }
            // The evidence that the old secret is out of use is written down twice a minute; here it is known.
            setup.administer(rig, &["app", "rotate-secret", APP, "--finish", "--force"]).await?;
            office.step(&bar, "just after the first secret was removed").await?;
            office.step(&bar, "later").await?;
        }
        Ok(())
    }
    .await;
    office.done.store(true, Ordering::SeqCst);
    while let Some(worker) = workers.join_next().await {
        worker?;
    }
    bar.finish_and_clear();

    let mut outcome = Outcome::default();
    let failures = std::mem::take(&mut *office.failures.lock());
    let (answered, refreshed) = (office.answered.load(Ordering::SeqCst), office.refreshed.load(Ordering::SeqCst));
    let requests = answered + refreshed;
    outcome.check(match (rotated, failures.len()) {
        (rotated, 0) => rotated,
        (rotated, count) => {
            let shown = failures.into_iter().take(10).collect::<Vec<_>>().join("\n");
            let stopped = rotated.err().map(|error| format!("\n{error}")).unwrap_or_default();
            Err(format!("{count} of {requests} requests failed:\n{shown}{stopped}").into())
        }
    });
    outcome.figures = format!(
        "{answered} introspections, {refreshed} refreshes on {} node(s) in {:.1} s; {SECRETS} rotations of the secret, {} of the key",
        office.doors.len(),
        now().duration_since(began).as_secs_f64(),
        SECRETS * KEYS
    );
    for node in nodes {
        outcome.check(node.stop().await);
    }
    rig.remove(&site).await?;
    Ok(outcome)
}

impl Office {
    /// Names what has just been done, and waits until enough requests have come after it.
    async fn step(&self, bar: &indicatif::ProgressBar, what: &str) -> Checked<()> {
        what.clone_into(&mut self.step.lock());
        bar.inc(1);
        let target = self.answered.load(Ordering::SeqCst) + BETWEEN_STEPS;
        wait_for("answers under load", Duration::from_mins(1), async || {
            if self.failures.lock().len() > 50 {
                return Err("too many requests failed to go on".into());
            }
            Ok((self.answered.load(Ordering::SeqCst) >= target).then_some(()))
        })
        .await
        .map(drop)
    }

    async fn ask(self: Arc<Self>, mut dice: Dice) {
        while !self.done.load(Ordering::SeqCst) {
            let (held, pass) = dice.pick(&self.held);
            let pass = pass.lock().clone();
            let node = dice.below(self.doors.len());
            let secret = self.secret.read().await;
            let answer = self.doors[node].introspect(&secret, &pass).await;
            drop(secret);
            match answer {
                Ok(Answer::Active { session, .. }) if session == held.session => {}
                Ok(other) => self.failed(node, &format!("introspection said {other:?}")),
                Err(error) => self.failed(node, &format!("introspection: {error}")),
            }
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn refresh(self: Arc<Self>, mut dice: Dice) {
        while !self.done.load(Ordering::SeqCst) {
            let (held, pass) = dice.pick(&self.held);
            let node = dice.below(self.doors.len());
            match self.doors[node].refresh(&held.secret).await {
                Ok(Refreshed::Pass(new)) => *pass.lock() = new,
                Ok(other) => self.failed(node, &format!("refresh said {other:?}")),
                Err(error) => self.failed(node, &format!("refresh: {error}")),
            }
            self.refreshed.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn failed(&self, node: usize, what: &str) {
        let step = self.step.lock().clone();
        self.failures.lock().push(format!("node {}, {step}: {what}", node + 1));
    }
}
