//! `GET /handoff/next` and `/sign-out/next`: the page of a chain, which takes the browser to one zone after another and always arrives. Protocol §8
//! "chain page", §9 number 5.
//!
//! A zone that does not answer must not hold the browser: the page asks it first, without cookies, and has its own timer beside. Whatever a
//! chain leaves out is fetched on demand later.

use axum::response::Response;
use hallpass_core::handoff::chain::{Chain, MAXIMUM_LENGTH, MAXIMUM_STEPS, Purpose, Step, moved_on};
use hallpass_core::id::{SessionId, ZoneName};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_store::view::Policy;
use hallpass_store::{Read, handoffs, sessions};
use serde::Deserialize;
use std::time::Duration;

use super::agent_of;
use super::pages::{ChainPage, Stage};
use crate::context::Context;
use crate::pass::{Checked, see_other};
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::headers::{Allowed, require_navigation};
use crate::web::respond::html;

/// How fresh a sign-in must be for a chain to follow it.
const AFTER_SIGN_IN: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    chain: String,
}

/// The handler of both addresses.
pub async fn next(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let Query { chain: text } = call.query()?;
    let context = &call.context;
    let Some((chain, position)) = Chain::open(&text, &context.keys.chain, call.now) else { return Ok(see_other("/")) };
    let session = call.proof.session.as_ref().map(|live| live.session.id);
    // Somebody else has signed in meanwhile, or nobody is: no zone would have anything for them.
    let ours = chain.purpose == Purpose::SignOut || session == Some(chain.session);
    let Some(step) = chain.next(position, call.now).filter(|_| ours) else { return Ok(see_other(&chain.destination)) };
    let fetched = match chain.purpose {
        Purpose::SignIn => {
            let since = Timestamp::from_millis(chain.began_at);
            handoffs::zones_since(&mut context.store.read().await?, &chain.session, since).await?
        }
        Purpose::SignOut => Vec::new(),
    };
    let policy = context.view.policy().await?;
    let following = moved_on(&text, position + 1);
    let (verb, page) = match chain.purpose {
        Purpose::SignIn => ("start", "/handoff/next"),
        Purpose::SignOut => ("sync", "/sign-out/next"),
    };
    let mut response = html(&ChainPage {
        brand: context.config.brand.clone(),
        signing_out: chain.purpose == Purpose::SignOut,
        domain: domain(&policy, &step.zone),
        stages: stages(&policy, &chain, position, &fetched),
        check: format!("{}/.well-known/sso-agent", step.agent),
        go: format!("{}/.sso/{verb}?chain={following}", step.agent),
        skip: format!("{page}?chain={following}"),
        left: chain.left(call.now).as_millis(),
    });
    let allowed = Allowed { connects: vec![step.agent.clone()], scripts: true, ..Allowed::default() };
    response.extensions_mut().insert(allowed);
    Ok(response)
}

/// Where a browser goes on to that comes back from a zone; `None` for a text that is none of ours.
pub fn next_url(context: &Context, chain: &str, now: Timestamp) -> Option<String> {
    let (opened, _) = Chain::open(chain, &context.keys.chain, now)?;
    let page = match opened.purpose {
        Purpose::SignIn => "/handoff/next",
        Purpose::SignOut => "/sign-out/next",
    };
    Some(format!("{}{page}?chain={chain}", context.public_url))
}

/// The chain that follows a sign-in: the destination's zone, then those that are marked for it. `None` where one handoff on demand is all that is
/// needed.
pub async fn after_sign_in(
    context: &Context,
    policy: &Policy,
    live: &LiveSession,
    checked: &Checked,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    if live.session.authenticated_at + AFTER_SIGN_IN < now || !policy.zones.iter().any(|zone| zone.at_sign_in) {
        return Ok(None);
    }
    let id = live.session.id;
    let mut read = context.store.read().await?;
    let active = sessions::zones_of_device(&mut read, &id, now - context.config.handoff.max_idle).await?;
    drop(read);
    let marked = policy.zones.iter().filter(|zone| zone.at_sign_in && zone.name != checked.zone.name);
    let marked = marked.filter(|zone| {
        let visited = active.contains(&zone.name);
        if !visited {
            // Browsers delete what a site left that nobody has used; a chain there would do nothing but look like tracking.
            tracing::info!(zone = %zone.name, session = %id, "left out of the chain: this browser was not active there lately");
        }
        visited
    });
    let marked: Vec<&Zone> = marked.map(|zone| &**zone).collect();
    if marked.is_empty() {
        return Ok(None);
    }
    // Once: whoever skips a zone that does not answer must not meet it again at the next application.
    let mut write = context.store.write().await?;
    let first = sessions::begin_chain(&mut write, &id, now).await?;
    write.commit().await?;
    if !first {
        return Ok(None);
    }
    let own = Some(&*checked.zone).filter(|zone| !zone.home);
    let zones = own.into_iter().chain(marked);
    let steps = steps(policy, zones);
    Ok(begin(context, Purpose::SignIn, id, steps, checked.destination.to_string(), now))
}

/// The chain that follows a sign-out: every other zone whose apps had learned of the session. `None` if there is none.
pub async fn after_sign_out(
    context: &Context,
    policy: &Policy,
    read: &mut Read,
    session: &SessionId,
    destination: String,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let told = sessions::told(read, session).await?;
    let apps = policy.apps.iter().filter(|entry| told.contains(&entry.app.key));
    let mut zones: Vec<&Zone> = apps.map(|entry| &*entry.zone).filter(|zone| !zone.home).collect();
    zones.sort_by(|one, other| one.name.cmp(&other.name));
    zones.dedup_by(|one, other| one.name == other.name);
    Ok(begin(context, Purpose::SignOut, *session, steps(policy, zones.into_iter()), destination, now))
}

fn steps<'z>(policy: &Policy, zones: impl Iterator<Item = &'z Zone>) -> Vec<Step> {
    let step = |zone: &Zone| Some(Step { zone: zone.name.clone(), agent: agent_of(policy, zone)? });
    zones.filter_map(step).take(MAXIMUM_STEPS).collect()
}

fn begin(
    context: &Context,
    purpose: Purpose,
    session: SessionId,
    steps: Vec<Step>,
    destination: String,
    now: Timestamp,
) -> Option<String> {
    let mut chain = Chain { purpose, session, steps, destination, began_at: now.as_millis() };
    let page = match purpose {
        Purpose::SignIn => "/handoff/next",
        Purpose::SignOut => "/sign-out/next",
    };
    // A long address to go to leaves less room for zones; they are fetched on demand.
    while !chain.steps.is_empty() {
        let text = chain.seal(0, &context.keys.chain, &mut context.random());
        if text.len() <= MAXIMUM_LENGTH {
            return Some(format!("{page}?chain={text}"));
        }
        chain.steps.pop();
    }
    None
}

fn stages(policy: &Policy, chain: &Chain, position: usize, fetched: &[ZoneName]) -> Vec<Stage> {
    let stage = |(index, step): (usize, &Step)| Stage {
        domain: domain(policy, &step.zone),
        state: match index {
            index if index == position => "now",
            index if index > position => "waiting",
            _ if chain.purpose == Purpose::SignOut || fetched.contains(&step.zone) => "done",
            _ => "later",
        },
    };
    chain.steps.iter().enumerate().map(stage).collect()
}

fn domain(policy: &Policy, zone: &ZoneName) -> String {
    let known = policy.zones.iter().find(|known| known.name == *zone);
    known.map_or_else(|| zone.to_string(), |zone| zone.cookie_domain.to_string())
}
