//! `kill -9` under load: the server and two writing processes at once, at any moment. Then: ready again in two seconds, no
//! acknowledged change lost, none half done. Protocol §20.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::id::SessionId;
use hallpass_core::time::Timestamp;
use hallpass_store::{DatabaseUrl, Store, changes, sessions};

use crate::Outcome;
use crate::dice::Dice;
use crate::figures::Spread;
use crate::first_start::FIRST_READY;
use crate::furnish::{Furnished, cast, fetch_passes, furnish, instant};
use crate::load::Load;
use crate::node::{Node, READY, Setup};
use crate::rig::{Checked, Kind, Rig, Site, progress};
use crate::scribe::Scribe;
use crate::verify;

/// The kill comes between these, after the load has begun.
const EARLIEST: Duration = Duration::from_millis(40);
const LATEST: Duration = Duration::from_millis(600);
/// In one round of so many, the next start is killed as well.
const KILLED_TWICE: usize = 4;

/// What lasts from round to round.
struct Ground<'a> {
    rig: &'a Rig,
    site: Site,
    setup: Setup,
    furnished: Furnished,
    node: Option<Node>,
    ready: Spread,
    acknowledged: usize,
    in_flight: usize,
    introspected: u32,
    ended: Vec<SessionId>,
}

/// Where feed and audit log stood before the load.
#[derive(Clone, Copy)]
pub struct Mark {
    /// The feed's position.
    pub position: i64,
    /// The audit log's entries from here on.
    pub at: Timestamp,
}

/// So many rounds on one installation that grows.
pub async fn run(rig: &Rig, kind: Kind, rounds: u32) -> Checked<Outcome> {
    let mut dice = rig.dice(&format!("kill {kind:?}"));
    let site = rig.site(kind).await?;
    let setup = Setup::new(&site, &mut dice)?;
    let (node, _) = setup.start_ready(rig, FIRST_READY).await?;
    let store = open(&site).await?;
    let furnished = furnish(&store).await?;
    store.close().await;
    let mut ground = Ground {
        rig,
        site,
        setup,
        furnished,
        node: Some(node),
        ready: Spread::default(),
        acknowledged: 0,
        in_flight: 0,
        introspected: 0,
        ended: Vec::new(),
    };
    let mut outcome = Outcome::default();
    let bar = progress(kind, "kill -9 under load", rounds);
    for round in 1..=rounds {
        let result = ground.round(Dice::new(dice.next(), "round")).await;
        outcome.check(result.map_err(|error| format!("round {round}: {error}").into()));
        if outcome.hopeless() {
            break;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcome.check(ground.epilogue().await);
    outcome.figures = format!(
        "ready after {}; {} changes acknowledged, {} in flight, {} introspections",
        ground.ready, ground.acknowledged, ground.in_flight, ground.introspected
    );
    drop(ground.node.take());
    rig.remove(&ground.site).await?;
    Ok(outcome)
}

async fn open(site: &Site) -> Checked<Store> {
    Ok(Store::open(&site.database_url.parse::<DatabaseUrl>()?).await?)
}

impl Ground<'_> {
    async fn round(&mut self, mut dice: Dice) -> Checked<()> {
        let mut node = match self.node.take() {
            Some(node) => node,
            // The round before ended early.
            None => self.setup.start_ready(self.rig, READY).await?.0,
        };
        let store = open(&self.site).await?;
        let mut cast = cast(&store, &self.furnished).await?;
        let door = self.setup.door()?;
        fetch_passes(&door, &mut cast).await?;
        let mark = Mark { position: changes::position(&mut store.read().await?).await?, at: instant() };
        // While we hold the database open, its log would never have to be recovered.
        store.close().await;

        let (first, mut first_process) = Scribe::start(self.rig, &self.site).await?;
        let (second, mut second_process) = Scribe::start(self.rig, &self.site).await?;
        let load = Load::new(door, self.furnished.clone(), cast);
        let working = load.start([first, second], &mut dice);
        let moment = dice.between(EARLIEST, LATEST);
        tokio::time::sleep(moment).await;
        load.over();
        node.strike()?;
        first_process.start_kill()?;
        second_process.start_kill()?;
        let ledger = working.finish().await?;
        node.kill().await?;
        first_process.wait().await?;
        second_process.wait().await?;
        self.acknowledged += ledger.acknowledged();
        self.in_flight += ledger.in_flight();
        self.introspected += ledger.introspected;

        if dice.below(KILLED_TWICE) == 0 {
            let node = self.setup.start(self.rig)?;
            tokio::time::sleep(dice.between(Duration::ZERO, Duration::from_millis(120))).await;
            node.kill().await?;
        }
        let (node, took) = self.setup.start_ready(self.rig, READY).await?;
        self.ready.add(took);
        let load = Arc::into_inner(load).ok_or("a worker is still at work")?;
        let door = self.setup.door()?;
        let store = open(&self.site).await?;
        let found = verify::found(&store, &load, mark, &ledger).await?;
        let problems = verify::problems(&door, &load, &ledger, &found).await?;
        store.close().await;
        self.ended.extend(found.ended());
        self.node = Some(node);
        if problems.is_empty() {
            return Ok(());
        }
        let more = match problems.len() {
            0..=10 => String::new(),
            many => format!("\n({} more)", many - 10),
        };
        let shown = problems.into_iter().take(10).collect::<Vec<_>>().join("\n");
        Err(format!("killed {moment:?} into the load:\n{shown}{more}").into())
    }

    /// After the last round: everything that ever ended is still ended, the feed has no gap anywhere, and the server ends
    /// when it is asked to.
    async fn epilogue(&mut self) -> Checked<()> {
        let store = open(&self.site).await?;
        let mut read = store.snapshot().await?;
        for session in &self.ended {
            if sessions::find(&mut read, session).await?.is_none_or(|found| found.ended.is_none()) {
                return Err(format!("{session} had ended in an earlier round and is not ended any more").into());
            }
        }
        verify::feed(&mut read, 0).await?;
        drop(read);
        store.close().await;
        match self.node.take() {
            Some(node) => node.stop().await,
            None => Err("there is no running server at the end".into()),
        }
    }
}
