//! Who answers where browsers are sent for a pass: `/.well-known/sso-agent` of each alias, and of each app that is its own agent, asked from
//! outside, as browsers do. Protocol §1, §8.

use hallpass_core::app::{App, Assertion, Origin};
use hallpass_core::zone::Zone;
use hallpass_server::config::Network;
use hallpass_server::outgoing::Outgoing;

use super::{Facts, Finding, problem, warning};

/// Asks all of them.
pub async fn all(facts: &Facts) -> Vec<Finding> {
    let (Some(registry), Some(issuer)) = (&facts.registry, &facts.config.public_url) else { return Vec::new() };
    let everywhere = ["0.0.0.0/0", "::/0"].map(|text| Network::try_from(text.to_owned()).expect("a network"));
    // Whoever may run this may also open the database: the addresses are theirs.
    let Ok(client) = Outgoing::new(&everywhere) else { return Vec::new() };
    let aliases = registry.zones.iter().filter_map(|zone| Some((zone.alias.as_ref()?, Agent::Alias(zone))));
    let own = |app: &&App| app.agent && app.assertion == Assertion::None && app.disabled_at.is_none();
    let apps = registry.apps.iter().filter(own);
    let apps = apps.flat_map(|app| app.origins.iter().map(move |origin| (origin, Agent::App(app))));
    let mut findings = Vec::new();
    // Plain http is for demonstrations on one machine.
    for (origin, agent) in aliases.chain(apps).filter(|(origin, _)| origin.as_str().starts_with("https://")) {
        let Ok(url) = format!("{origin}/.well-known/sso-agent").parse() else { continue };
        let answer = client.get(&url).await.map_err(|error| error.to_string());
        let answer = answer.as_ref().map(|answer| (answer.status.as_u16(), answer.body.as_slice()));
        findings.extend(judge(agent, origin, issuer, answer.map_err(String::as_str)));
    }
    findings
}

/// Who should answer.
#[derive(Debug, Clone, Copy)]
enum Agent<'r> {
    /// The engine, for a zone.
    Alias(&'r Zone),
    /// An app's SDK.
    App(&'r App),
}

impl Agent<'_> {
    fn check(self) -> &'static str {
        match self {
            Self::Alias(_) => "zone_alias",
            Self::App(_) => "app_agent",
        }
    }

    fn called(self) -> String {
        match self {
            Self::Alias(zone) => format!("the alias of zone {}", zone.name),
            Self::App(app) => format!("an address of app {}, its own agent", app.key),
        }
    }

    fn is(self, about: &serde_json::Value) -> bool {
        match self {
            Self::Alias(zone) => about["zone"] == zone.name.as_str(),
            Self::App(app) => about["app"] == app.key.as_str(),
        }
    }

    /// Who should be reached by the name.
    fn whom(self) -> &'static str {
        match self {
            Self::Alias(_) => "Hallpass",
            Self::App(_) => "the app, with its SDK's agent switched on",
        }
    }
}

/// `answer`: status and body, or why there was none.
fn judge(agent: Agent<'_>, at: &Origin, issuer: &Origin, answer: Result<(u16, &[u8]), &str>) -> Option<Finding> {
    let called = agent.called();
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(why) => {
            return Some(warning(
                agent.check(),
                format!("{at}, {called}, does not answer from here: {why}"),
                format!(
                    "let the name {} lead to the proxy in front of {}, with a certificate for it; if it does and only this machine cannot reach it, nothing is wrong",
                    at.host(),
                    agent.whom()
                ),
            ));
        }
    };
    let about: Option<serde_json::Value> = serde_json::from_slice(body).ok().filter(|_| status == 200);
    let by = about.as_ref().and_then(|about| about["issuer"].as_str()).unwrap_or_default();
    let (message, fix) = match (status, by) {
        (200, by) if by == issuer.as_str() && about.as_ref().is_some_and(|about| agent.is(about)) => return None,
        (421, _) => (
            format!("{at} leads to a Hallpass that does not answer for it"),
            "let the proxy pass `Host` on unchanged; if it does, is this the database of the engine that runs there?"
                .to_owned(),
        ),
        (_, by) if !by.is_empty() && by != issuer.as_str() => (
            format!("{at} belongs to another Hallpass, {by}"),
            format!("let the name {} lead to {} of this one", at.host(), agent.whom()),
        ),
        _ => (
            format!("{at} is answered by something else (status {status})"),
            format!(
                "let the proxy hand everything for {} to {}, /.sso/ and /.well-known/ included",
                at.host(),
                agent.whom()
            ),
        ),
    };
    Some(problem(agent.check(), format!("{called}: {message}"), fix))
}

#[cfg(test)]
mod tests {
    use hallpass_core::zone::CookieName;

    use super::super::Severity;
    use super::*;

    #[test]
    fn what_is_found_there_is_named() {
        let (home, at) =
            ("https://auth.company.com".parse().expect("valid"), "https://sso.two.com".parse().expect("valid"));
        let two = Zone {
            name: "two".parse().expect("valid"),
            cookie_domain: "two.com".parse().expect("a domain"),
            cookie_name: CookieName::default(),
            home: false,
            alias: None,
            bound: false,
            at_sign_in: false,
        };
        let shop = App { agent: true, ..App::new("shop".parse().expect("valid"), "Shop", two.name.clone()) };
        let about =
            |issuer: &str, what: &str, name: &str| format!(r#"{{"issuer":"{issuer}","{what}":"{name}"}}"#).into_bytes();
        for (agent, what, name) in [(Agent::Alias(&two), "zone", "two"), (Agent::App(&shop), "app", "shop")] {
            let found = |answer: Result<(u16, &[u8]), &str>| {
                judge(agent, &at, &home, answer).map(|finding| (finding.severity, finding.message))
            };
            assert_eq!(found(Ok((200, &about("https://auth.company.com", what, name)))), None);
            for (answer, severity, said) in [
                (Err("cannot connect"), Severity::Warning, "cannot connect"),
                (Ok((421, vec![])), Severity::Problem, "does not answer for it"),
                (
                    Ok((200, about("https://auth.other.com", what, name))),
                    Severity::Problem,
                    "another Hallpass, https://auth.other.com",
                ),
                (Ok((200, about("https://auth.company.com", what, "three"))), Severity::Problem, "something else"),
                (Ok((200, about("https://auth.company.com", "other", name))), Severity::Problem, "something else"),
                (Ok((200, b"<html>".to_vec())), Severity::Problem, "something else (status 200)"),
                (Ok((404, about("https://auth.company.com", what, name))), Severity::Problem, "status 404"),
            ] {
                let answer = answer.as_ref().map(|(status, body)| (*status, body.as_slice())).map_err(|why| *why);
                let (found, message) = found(answer).expect("a finding");
                assert!(found == severity && message.contains(said), "{message}");
            }
        }
    }
}
