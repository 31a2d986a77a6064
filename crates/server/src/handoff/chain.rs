//! `GET /handoff/next` and `/sign-out/next`: the page of a chain, which takes the browser to one zone after another and always arrives. Protocol §8
//! "chain page", §9 number 5.
//!
//! A zone that does not answer must not hold the browser: the page asks it first, without cookies, and has its own timer beside. Where scripts are
//! off, the engine asks in the page's place. Whatever a chain leaves out is fetched on demand later.

use axum::response::Response;
use hallpass_core::handoff::chain::{Chain, MAXIMUM_STEPS, Passage, Purpose, Step, moved_on};
use hallpass_core::id::{SessionId, ZoneName};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_store::view::Policy;
use hallpass_store::{handoffs, sessions};
use serde::Deserialize;
use std::time::Duration;
use url::Url;

use super::agent_of;
use super::pages::{ChainPage, Stage};
use crate::context::Context;
use crate::outgoing::Outgoing;
use crate::pass::{Checked, see_other};
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::headers::{Allowed, require_navigation};
use crate::web::respond::html;

/// How fresh a sign-in must be for a chain to follow it.
const AFTER_SIGN_IN: Duration = Duration::from_mins(1);

/// How long a zone may take to say that it is there, when the engine asks.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    chain: String,
    /// The browser runs no scripts.
    #[serde(default)]
    plain: Option<String>,
}

/// The handler of both addresses.
pub async fn next(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let Query { chain: text, plain } = call.query()?;
    let context = &call.context;
    let Some((chain, over)) = Chain::open(&text, &context.keys.chain, call.now) else { return Ok(see_other("/")) };
    let session = call.proof.session.as_ref().map(|live| live.session.id);
    // Somebody else has signed in meanwhile, or nobody is: no zone would have anything for them.
    let ours = chain.purpose == Purpose::SignOut || session == Some(chain.session);
    let Some(step) = chain.next(over.len(), call.now).filter(|_| ours) else {
        return Ok(see_other(&chain.destination));
    };
    let (verb, page) = match chain.purpose {
        Purpose::SignIn => ("start", "/handoff/next"),
        Purpose::SignOut => ("sync", "/sign-out/next"),
    };
    let go = format!("{}/.sso/{verb}?chain={}", step.agent, moved_on(&text, Passage::Visited));
    let skip = format!("{page}?chain={}", moved_on(&text, Passage::Skipped));
    if plain.is_some() {
        return Ok(see_other(if answers(context, step).await { &go } else { &skip }));
    }
    let fetched = match chain.purpose {
        Purpose::SignIn => {
            let since = Timestamp::from_millis(chain.began_at);
            handoffs::zones_since(&mut context.store.read().await?, &chain.session, since).await?
        }
        Purpose::SignOut => Vec::new(),
    };
    let policy = context.view.policy().await?;
    let mut response = html(&ChainPage {
        brand: context.config.brand.clone(),
        signing_out: chain.purpose == Purpose::SignOut,
        domain: domain(&policy, &step.zone),
        stages: stages(&policy, &chain, &over, &fetched),
        check: format!("{}/.well-known/sso-agent", step.agent),
        go,
        plain: format!("{page}?chain={text}&plain=1"),
        skip,
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
    // Once for each sign-in, also when there is no zone to visit: whoever skips one that does not answer must not meet it again at the next
    // application, and whoever comes back within the minute is not taken round the zones where they have just been.
    let mut write = context.store.write().await?;
    let first = sessions::begin_chain(&mut write, &id, now).await?;
    write.commit().await?;
    if !first {
        return Ok(None);
    }
    let mut read = context.store.read().await?;
    let active = sessions::zones_of_device(&mut read, &id, now - context.config.handoff.max_idle).await?;
    let fetched = handoffs::zones_since(&mut read, &id, live.session.created_at).await?;
    drop(read);
    let marked = policy.zones.iter().filter(|zone| zone.at_sign_in && zone.name != checked.zone.name);
    let marked = marked.filter(|zone| !fetched.contains(&zone.name));
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
    let own = Some(&*checked.zone).filter(|zone| !zone.home);
    let zones = own.into_iter().chain(marked);
    let steps = steps(policy, zones);
    Ok(begin(context, Purpose::SignIn, id, steps, checked.destination.to_string(), now))
}

/// The chain that follows a sign-out: every zone whose apps had learned of the session, but not home and not `here`, where the person has signed out and
/// the app takes the cookie away itself. `None` if there is none.
pub async fn after_sign_out(
    context: &Context,
    policy: &Policy,
    session: &SessionId,
    here: Option<&ZoneName>,
    destination: String,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let told = sessions::told(&mut context.store.read().await?, session).await?;
    let apps = policy.apps.iter().filter(|entry| told.contains(&entry.app.key));
    let elsewhere = apps.map(|entry| &*entry.zone).filter(|zone| !zone.home && Some(&zone.name) != here);
    let mut zones: Vec<&Zone> = elsewhere.collect();
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
        if let Some(text) = chain.seal(&context.keys.chain, &mut context.random()) {
            return Some(format!("{page}?chain={text}"));
        }
        chain.steps.pop();
    }
    None
}

/// Whether a zone's agent is there, asked from here.
async fn answers(context: &Context, step: &Step) -> bool {
    let Ok(url) = Url::parse(&format!("{}/.well-known/sso-agent", step.agent)) else { return false };
    let Ok(client) = Outgoing::pinned(&url, &context.config.sign_out.allow_internal, ANSWERS_WITHIN) else {
        return false;
    };
    client.get(&url).await.is_ok_and(|answer| answer.status.is_success())
}

fn stages(policy: &Policy, chain: &Chain, over: &[Passage], fetched: &[ZoneName]) -> Vec<Stage> {
    let stage = |(index, step): (usize, &Step)| Stage {
        domain: domain(policy, &step.zone),
        state: match (over.get(index), chain.purpose) {
            (None, _) if index == over.len() => "now",
            (None, _) => "waiting",
            (Some(Passage::Visited), Purpose::SignOut) => "done",
            (Some(Passage::Skipped), Purpose::SignOut) => "skipped",
            (Some(_), Purpose::SignIn) if fetched.contains(&step.zone) => "done",
            (Some(_), Purpose::SignIn) => "later",
        },
    };
    chain.steps.iter().enumerate().map(stage).collect()
}

fn domain(policy: &Policy, zone: &ZoneName) -> String {
    let known = policy.zones.iter().find(|known| known.name == *zone);
    known.map_or_else(|| zone.to_string(), |zone| zone.cookie_domain.to_string())
}
