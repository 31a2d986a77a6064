//! How browsers get a pass beyond the home zone: the engine's side ([`authorize`], [`token`], [`chain`]), and the zone's where the engine itself
//! answers at an alias ([`alias`]). Apps that are their own agent serve the zone's side themselves, by their SDK. Protocol §8.

pub mod alias;
pub mod authorize;
pub mod chain;
mod pages;
pub mod token;

use std::sync::Arc;

use hallpass_core::app::{Assertion, Origin};
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::{SessionId, UserId};
use hallpass_core::zone::Zone;
use hallpass_store::view::{AppEntry, Policy};
use http::HeaderMap;
use url::Position;

use crate::pass::Checked;
use crate::web::call::Call;
use crate::web::error::Error;

/// Who asks for somebody's pass, and where the answer goes.
struct Agent {
    zone: Arc<Zone>,
    /// The app, by its place in the registry; `None` is the engine at the zone's alias.
    app: Option<usize>,
    /// Derived, never taken from a caller.
    redirect_uri: String,
}

impl Agent {
    /// The agent of this name, if its answers go to this very address.
    fn find(policy: &Policy, client_id: &str, redirect_uri: &str) -> Option<Self> {
        let app = policy.by_key(client_id).filter(|index| is_agent(&policy.apps[*index]));
        if let Some(index) = app {
            let entry = &policy.apps[index];
            let derived = |origin: &Origin| format!("{origin}{}", entry.app.assertion.path());
            if entry.app.origins.iter().any(|origin| derived(origin) == redirect_uri) {
                return Some(Self { zone: entry.zone.clone(), app, redirect_uri: redirect_uri.to_owned() });
            }
        }
        let zone = policy.zones.iter().find(|zone| zone.name.as_str() == client_id)?;
        let derived = alias_redirect_uri(zone).filter(|derived| derived == redirect_uri)?;
        Some(Self { zone: zone.clone(), app: None, redirect_uri: derived })
    }
}

fn is_agent(entry: &AppEntry) -> bool {
    entry.app.agent && entry.app.disabled_at.is_none()
}

fn alias_redirect_uri(zone: &Zone) -> Option<String> {
    zone.alias.as_ref().map(|alias| format!("{alias}/.sso/callback"))
}

/// Who answers for `/.sso/*` in a zone: its alias, or the first of its apps whose SDK does.
fn agent_of(policy: &Policy, zone: &Zone) -> Option<Origin> {
    let by_sdk =
        |entry: &&AppEntry| entry.zone.name == zone.name && is_agent(entry) && entry.app.assertion == Assertion::None;
    let app = || policy.apps.iter().find(by_sdk).and_then(|entry| entry.app.origins.first());
    zone.alias.as_ref().or_else(app).cloned()
}

/// Where to send a browser that wants to go to `checked`: straight there in the home zone, else by way of whoever fetches the pass there.
pub fn way_to(policy: &Policy, checked: &Checked) -> Result<String, Error> {
    let (zone, destination) = (&checked.zone, checked.destination.as_str());
    let entry = &policy.apps[checked.index];
    // Whoever takes assertions begins handoffs by means of its own, when somebody comes without a session there.
    if zone.home || (is_agent(entry) && entry.app.assertion != Assertion::None) {
        return Ok(destination.to_owned());
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    if is_agent(entry) {
        let url: url::Url =
            destination.parse().map_err(|_| Error::internal().because("a destination that is no URL"))?;
        query.append_pair("r", &url[Position::BeforePath..Position::AfterQuery]);
        return Ok(format!("{}/.sso/start?{}", checked.destination.origin(), query.finish()));
    }
    let Some(agent) = agent_of(policy, zone) else {
        return Err(Error::unavailable().because(format!(
            "zone {} has neither an alias nor an app that is its agent, so it can get no pass",
            zone.name
        )));
    };
    query.append_pair("app", &checked.app).append_pair("return_to", destination);
    Ok(format!("{agent}/.sso/start?{}", query.finish()))
}

/// The origins that a browser passes on its way to `checked`: what a form that leads there must be allowed to lead to.
pub fn way_stations(policy: &Policy, checked: &Checked) -> Vec<Origin> {
    let agent = if checked.zone.home { None } else { agent_of(policy, &checked.zone) };
    agent.into_iter().chain([checked.destination.origin().clone()]).collect()
}

/// Codes are for a window that somebody looks at: not for frames, images, scripts, nor for a page that is fetched before anybody asked for
/// it. Browsers that do not say are let through.
pub(crate) fn require_navigation(headers: &HeaderMap) -> Result<(), Error> {
    let says = |name: &str, expected: &str| headers.get(name).is_none_or(|value| value == expected);
    if says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document") && !headers.contains_key("sec-purpose")
    {
        return Ok(());
    }
    let refused = "This address is for browser windows only. Open the application itself.";
    Err(Error::forbidden(refused).because("not a navigation of a window"))
}

/// What the audit log says of a handoff.
fn entry<P>(call: &Call<P>, event: Event, zone: &Zone, whose: Option<(SessionId, UserId)>) -> Entry {
    // Whoever was turned away has not shown to be the one whose code it was.
    let actor = match whose {
        Some((_, user)) if event == Event::HandedOff => Actor::User(user),
        _ => Actor::Anonymous,
    };
    let entry = Entry::new(event, actor, call.now, &mut call.context.random()).ip(call.ip);
    let entry = entry.with("zone", &zone.name);
    match whose {
        Some((session, user)) => entry.session(session).user(user),
        None => entry,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn frames_images_and_prefetches_are_refused() {
        let verdict = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter();
            let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            require_navigation(&headers.collect()).is_ok()
        };
        assert!(verdict(&[]) && verdict(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(!verdict(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        assert!(!verdict(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]));
        assert!(!verdict(&[("sec-fetch-mode", "cors")]));
        assert!(!verdict(&[("sec-purpose", "prefetch;prerender"), ("sec-fetch-mode", "navigate")]));
    }
}
