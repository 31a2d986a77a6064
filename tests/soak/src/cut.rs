//! One of two nodes loses the change feed, or the whole database: it answers from the database or 503, and from one second
//! after an acknowledged change never as if that had not happened. Nor does it call anybody signed out who is not. Protocol §5, §20.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass_store::{DatabaseUrl, Store};
use reqwest::StatusCode;
use tokio::task::JoinSet;
use url::Url;

use crate::Outcome;
use crate::door::{Answer, Door};
use crate::figures::{Spread, now, wait_for};
use crate::first_start::FIRST_READY;
use crate::furnish::{Furnished, Held, fetch_passes_for, furnish, people};
use crate::load::PROPAGATION;
use crate::node::{READY, Setup};
use crate::proxy::{Proxy, Weather};
use crate::rig::{Checked, Kind, Rig, Site, progress};
use crate::scribe::{Order, carry_out};

/// How long the node is watched while it is cut off.
const WATCHED: Duration = Duration::from_millis(3500);
/// How long it may take to be itself again. Connections that died without a word are found out by time-outs.
const RECOVERY: Duration = Duration::from_secs(30);
const WATCHERS: usize = 4;

/// What is taken away, and what comes back.
const CUTS: [(&str, Weather, bool); 4] = [
    ("without notifications", Weather::Deaf, false),
    ("network silent", Weather::Silent, false),
    ("network silent, old connections lost", Weather::Silent, true),
    ("database away", Weather::Down, false),
];

/// Two nodes, the second behind a network that fails.
struct Pair {
    here: Door,
    there: Door,
    store: Store,
    furnished: Furnished,
    proxy: Proxy,
}

/// Answers by kind.
#[derive(Debug, Default)]
struct Tally {
    current: u32,
    stale_within_a_second: u32,
    unavailable: u32,
    wrong: Vec<String>,
}

/// Each cut so many times.
pub async fn run(rig: &Rig, rounds: u32) -> Checked<Outcome> {
    let mut dice = rig.dice("cut");
    let site = rig.site(Kind::Postgres).await?;
    let proxy = Proxy::start(address(&site)?).await?;
    let first = Setup::new(&site, &mut dice)?;
    let second = first.beside(&through(&site, &proxy)?, &mut dice)?;
    let (first_node, _) = first.start_ready(rig, FIRST_READY).await?;
    let (second_node, _) = second.start_ready(rig, READY).await?;
    let store = Store::open(&site.database_url.parse::<DatabaseUrl>()?).await?;
    let furnished = furnish(&store).await?;
    let pair = Pair { here: first.door()?, there: second.door()?, store, furnished, proxy };

    let mut outcome = Outcome::default();
    let mut lines = Vec::new();
    let bar = progress(Kind::Postgres, "cut off", rounds * u32::try_from(CUTS.len())?);
    for (name, weather, forgetful) in CUTS {
        let (mut tally, mut recovery) = (Tally::default(), Spread::default());
        for round in 1..=rounds {
            let result = pair.round(weather, forgetful, &mut tally).await;
            pair.proxy.set(Weather::Fair);
            outcome.check(
                result
                    .map(|took| recovery.add(took))
                    .map_err(|error| format!("{name}, round {round}: {error}\n{}", second.last_words()).into()),
            );
            bar.inc(1);
        }
        lines.push(format!(
            "{name}: {} current, {} old within 1 s, {} unavailable, itself again after {:.1} s",
            tally.current,
            tally.stale_within_a_second,
            tally.unavailable,
            recovery.longest().as_secs_f64()
        ));
    }
    bar.finish_and_clear();
    outcome.figures = lines.join("; ");
    pair.store.close().await;
    outcome.check(first_node.stop().await);
    outcome.check(second_node.stop().await);
    rig.remove(&site).await?;
    Ok(outcome)
}

impl Pair {
    /// Cuts, changes, watches, mends; how long after the mending the node was itself again.
    async fn round(&self, weather: Weather, forgetful: bool, tally: &mut Tally) -> Checked<Duration> {
        let (role, name) = self.furnished.roles[0].clone();
        let secret = &self.furnished.secret;
        let mut both = people(&self.store, 2).await?;
        fetch_passes_for(&self.here, &mut both).await?;
        let [demoted, gone] = <[Held; 2]>::try_from(both).map_err(|_| "two people were asked for")?;
        carry_out(&self.store, Order::Grant(demoted.user, role)).await?;
        // The second node has both in memory.
        let with = Answer::Active { session: demoted.session, roles: vec![name] };
        let without = Answer::Active { session: demoted.session, roles: Vec::new() };
        wait_for("the node to know both people", RECOVERY, async || {
            let live = Answer::Active { session: gone.session, roles: Vec::new() };
            let knows_one = self.there.introspect(secret, &demoted.pass).await? == with;
            let knows_both = knows_one && self.there.introspect(secret, &gone.pass).await? == live;
            Ok(knows_both.then_some(()))
        })
        .await?;

        self.proxy.set(weather);
        carry_out(&self.store, Order::Withdraw(demoted.user, role)).await?;
        let role_gone = now();
        self.here.sign_out(secret, gone.session, gone.user).await?;
        let session_gone = now();
        let mut watchers = JoinSet::new();
        let questions = [
            Arc::new(Question { held: demoted.clone(), old: Some(with), new: without.clone(), since: role_gone }),
            Arc::new(Question { held: gone.clone(), old: None, new: Answer::Inactive, since: session_gone }),
        ];
        for number in 0..WATCHERS {
            let (door, secret) = (self.there.clone(), secret.clone());
            watchers.spawn(questions[number % questions.len()].clone().watch(door, secret, session_gone + WATCHED));
        }
        while let Some(seen) = watchers.join_next().await {
            let seen = seen??;
            tally.current += seen.current;
            tally.stale_within_a_second += seen.stale_within_a_second;
            tally.unavailable += seen.unavailable;
            tally.wrong.extend(seen.wrong);
        }
        if forgetful {
            self.proxy.fair_for_new_connections();
        } else {
            self.proxy.set(Weather::Fair);
        }
        let (took, ()) = wait_for("the node to be itself again", RECOVERY, async || {
            let one = self.there.introspect(secret, &demoted.pass).await? == without;
            let other = self.there.introspect(secret, &gone.pass).await? == Answer::Inactive;
            Ok((one && other && self.there.ready().await).then_some(()))
        })
        .await?;
        match std::mem::take(&mut tally.wrong) {
            wrong if wrong.is_empty() => Ok(took),
            wrong => {
                let shown = wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
                Err(format!("{} wrong answers:\n{shown}", wrong.len()).into())
            }
        }
    }
}

/// What may be said about one person, before and after a change.
struct Question {
    held: Held,
    /// The answer before the change; `None`: any that is active.
    old: Option<Answer>,
    new: Answer,
    since: Instant,
}

impl Question {
    async fn watch(self: Arc<Self>, door: Door, secret: String, until: Instant) -> Checked<Tally> {
        let mut tally = Tally::default();
        while now() < until {
            let sent = now();
            let answer = door.introspect(&secret, &self.held.pass).await?;
            let late = sent.saturating_duration_since(self.since);
            let old = match &self.old {
                Some(old) => answer == *old,
                None => matches!(answer, Answer::Active { .. }),
            };
            match &answer {
                Answer::Refused(StatusCode::SERVICE_UNAVAILABLE, _) => tally.unavailable += 1,
                _ if answer == self.new => tally.current += 1,
                _ if old && late <= PROPAGATION => tally.stale_within_a_second += 1,
                _ => tally.wrong.push(format!("asked {late:?} after the acknowledged change, it said {answer:?}")),
            }
        }
        Ok(tally)
    }
}

/// Where the site's PostgreSQL listens.
fn address(site: &Site) -> Checked<SocketAddr> {
    let url = Url::parse(&site.database_url)?;
    let addresses = url.socket_addrs(|| Some(5432));
    addresses
        .ok()
        .and_then(|found| found.into_iter().next())
        .ok_or_else(|| "HALLPASS_TEST_POSTGRES must name a host: a socket file cannot be cut off by a proxy".into())
}

/// The site's URL, by way of the proxy.
fn through(site: &Site, proxy: &Proxy) -> Checked<String> {
    let mut url = Url::parse(&site.database_url)?;
    let set = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(proxy.address.port())).is_ok();
    if !set {
        return Err("this URL of PostgreSQL cannot be pointed elsewhere".into());
    }
    if !url.query_pairs().any(|(name, _)| name == "sslmode") {
        // Readable by the proxy, which looks for LISTEN.
        url.query_pairs_mut().append_pair("sslmode", "disable");
    }
    Ok(url.into())
}
