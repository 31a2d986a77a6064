//! Killed on the first start, while master key, tables, home zone and signing keys are being made: the next start gets over it.

use std::time::Duration;

use hallpass_store::{DatabaseUrl, Store};

use crate::Outcome;
use crate::figures::Spread;
use crate::furnish::{fetch_passes_for, furnish, people};
use crate::node::Setup;
use crate::rig::{Checked, Kind, Rig, progress};

/// A first start takes about so long; kills come anywhere in it.
const FIRST_START: Duration = Duration::from_millis(250);

/// Everything is made anew here, so two seconds are not asked for.
pub const FIRST_READY: Duration = Duration::from_secs(10);

/// So many first starts.
pub async fn run(rig: &Rig, kind: Kind, rounds: u32) -> Checked<Outcome> {
    let mut dice = rig.dice(&format!("first start {kind:?}"));
    let mut outcome = Outcome::default();
    let mut ready = Spread::default();
    let bar = progress(kind, "kill -9 on the first start", rounds);
    for round in 1..=rounds {
        let site = rig.site(kind).await?;
        let setup = Setup::new(&site, &mut dice)?;
        let node = setup.start(rig)?;
        let moment = dice.between(Duration::ZERO, FIRST_START);
        tokio::time::sleep(moment).await;
        node.kill().await?;
        let again = async {
            let (node, took) = setup.start_ready(rig, FIRST_READY).await?;
            ready.add(took);
            let store = Store::open(&site.database_url.parse::<DatabaseUrl>()?).await?;
            furnish(&store).await?;
            let mut somebody = people(&store, 1).await?;
            store.close().await;
            // Needs the home zone, a signing key that opens, and the app.
            fetch_passes_for(&setup.door()?, &mut somebody).await?;
            node.stop().await
        };
        let again: Checked<()> = again.await;
        rig.remove(&site).await?;
        outcome.check(again.map_err(|error| format!("round {round}, killed after {moment:?}: {error}").into()));
        if outcome.hopeless() {
            break;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcome.figures = format!("ready after {ready}");
    Ok(outcome)
}
