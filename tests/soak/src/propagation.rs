//! Two nodes on one PostgreSQL behave as one: a role taken away, a session ended at one, and how long the other goes on as if
//! nothing had happened. At most one second. Protocol §5.

use std::time::Duration;

use hallpass_store::{DatabaseUrl, Store};

use crate::Outcome;
use crate::door::{Answer, Door};
use crate::figures::{Spread, now, wait_for};
use crate::first_start::FIRST_READY;
use crate::furnish::{Held, fetch_passes_for, furnish, people};
use crate::load::PROPAGATION;
use crate::node::{READY, Setup};
use crate::rig::{Checked, Kind, Rig, progress};
use crate::scribe::{Order, carry_out};

const ROUNDS: u32 = 50;

/// The measurement.
pub async fn run(rig: &Rig) -> Checked<Outcome> {
    let mut dice = rig.dice("propagation");
    let site = rig.site(Kind::Postgres).await?;
    let first = Setup::new(&site, &mut dice)?;
    let second = first.beside(&site.database_url, &mut dice)?;
    let (first_node, _) = first.start_ready(rig, FIRST_READY).await?;
    let (second_node, _) = second.start_ready(rig, READY).await?;
    let (here, there) = (first.door()?, second.door()?);
    let store = Store::open(&site.database_url.parse::<DatabaseUrl>()?).await?;
    let furnished = furnish(&store).await?;
    let (role, role_name) = furnished.roles[0].clone();
    let mut everybody = people(&store, ROUNDS as usize).await?;
    fetch_passes_for(&here, &mut everybody).await?;

    let mut outcome = Outcome::default();
    let (mut roles, mut ends) = (Spread::default(), Spread::default());
    let bar = progress(Kind::Postgres, "two nodes", ROUNDS);
    let measured: Checked<()> = async {
        for held in &everybody {
            let secret = &furnished.secret;
            // Given and taken by an administrator's command beside both nodes; the second node has the person in memory.
            carry_out(&store, Order::Grant(held.user, role)).await?;
            let with = Answer::Active { session: held.session, roles: vec![role_name.clone()] };
            until(&there, secret, held, "the role to arrive", |answer| *answer == with).await?;
            carry_out(&store, Order::Withdraw(held.user, role)).await?;
            let without = Answer::Active { session: held.session, roles: Vec::new() };
            roles.add(until(&there, secret, held, "the role to go", |answer| *answer == without).await?);
            // Ended through the first node.
            here.sign_out(secret, held.session, held.user).await?;
            let inactive = |answer: &Answer| *answer == Answer::Inactive;
            ends.add(until(&there, secret, held, "the session to end", inactive).await?);
            bar.inc(1);
        }
        Ok(())
    }
    .await;
    bar.finish_and_clear();
    let within = |what: &str, spread: &Spread| match spread.longest() {
        longest if longest > PROPAGATION => Err(format!("{what} took {longest:?} to reach the other node").into()),
        _ => Ok(()),
    };
    outcome.check(measured);
    outcome.check(within("a role that was taken away", &roles));
    outcome.check(within("the end of a session", &ends));
    outcome.figures = format!("role removed: {roles}; session ended: {ends}; {ROUNDS} rounds");
    store.close().await;
    outcome.check(first_node.stop().await);
    outcome.check(second_node.stop().await);
    rig.remove(&site).await?;
    Ok(outcome)
}

/// Asks again and again, one request after the other; how long after now the answer was there.
async fn until(door: &Door, secret: &str, held: &Held, what: &str, is: impl Fn(&Answer) -> bool) -> Checked<Duration> {
    let began = now();
    let look = async || {
        let answer = door.introspect(secret, &held.pass).await?;
        if let Answer::Refused(status, body) = &answer {
            return Err(format!("the other node said {status} {body}").into());
        }
        Ok(is(&answer).then(|| now().duration_since(began)))
    };
    wait_for(what, Duration::from_secs(10), look).await.map(|(_, took)| took)
}
