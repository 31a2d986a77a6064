//! What `doctor` finds at Kratos: whether it answers where the configuration says, as the engine would ask it. Protocol §10.

use std::time::Duration;

use hallpass_core::app::Origin;
use hallpass_core::zone::CookieDomain;
use hallpass_server::config::{BaseUrl, Config, Network};
use hallpass_server::outgoing::Outgoing;
use url::Url;

use super::{Finding, problem, warning};

const CHECK: &str = "kratos";
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks it, by the same rules as the engine.
pub async fn look(config: &Config) -> Vec<Finding> {
    let Some(kratos) = &config.kratos else { return Vec::new() };
    let mut findings = Vec::new();
    let whoami = status(&kratos.public_url, &kratos.public_url.at("/sessions/whoami"), &kratos.allow_internal).await;
    findings.extend(public(&kratos.public_url, whoami.as_ref().map_err(String::as_str).copied()));
    match &kratos.admin_url {
        None => findings.push(warning(
            CHECK,
            "kratos.admin_url is not set: whoever signs out here stays signed in at Kratos, and comes back without a form",
            "name Kratos' admin API, for example admin_url = \"http://kratos.internal:4434\" with its network in allow_internal",
        )),
        Some(url) => {
            let mut sessions = url.at("/admin/sessions");
            sessions.set_query(Some("page_size=1"));
            let answer = status(url, &sessions, &kratos.allow_internal).await;
            findings.extend(admin(url, answer.as_ref().map_err(String::as_str).copied()));
        }
    }
    findings.extend(config.public_url.as_ref().and_then(|home| cookie(home, kratos.for_browsers())));
    if kratos.link_existing_users {
        findings.push(warning(
            CHECK,
            "kratos.link_existing_users is on: whoever may choose their own name at Kratos may choose to be somebody here",
            "leave it on only if names at Kratos are given by administrators; otherwise link_existing_users = false",
        ));
    }
    findings
}

async fn status(base: &BaseUrl, url: &Url, allow: &[Network]) -> Result<u16, String> {
    let client = Outgoing::pinned(base.url(), allow, PATIENCE).map_err(|error| error.to_string())?;
    let answer = client.get(url).await;
    answer.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string())
}

/// What `/sessions/whoami` says to somebody who shows nothing.
fn public(url: &BaseUrl, answer: Result<u16, &str>) -> Option<Finding> {
    let (said, fix) = match answer {
        Ok(401) => return None,
        Err(why) => (format!("does not answer: {why}"), "see that Kratos runs, and that this machine reaches it there"),
        Ok(200) => (
            "says that somebody is signed in without being shown anything: something in between adds credentials"
                .to_owned(),
            "name Kratos itself, not a gateway that signs requests in",
        ),
        Ok(status @ 300..=399) => (
            format!("sends requests elsewhere (status {status})"),
            "name the base of Kratos' public API, by default on port 4433: not its admin API, and not its pages for people; the host of those is browser_url",
        ),
        Ok(status) => (
            format!("is no public API of Kratos: /sessions/whoami is answered {status} instead of 401"),
            "name the base of Kratos' public API, which by default listens on port 4433",
        ),
    };
    Some(problem(CHECK, format!("kratos.public_url {url} {said}"), fix))
}

/// What the list of sessions says.
fn admin(url: &BaseUrl, answer: Result<u16, &str>) -> Option<Finding> {
    let (said, fix) = match answer {
        Ok(200) => return None,
        Err(why) => (format!("does not answer: {why}"), "see that Kratos runs, and that this machine reaches it there"),
        Ok(status @ (401 | 403)) => (
            format!("wants credentials (status {status}), and the engine has none"),
            "let the engine reach Kratos' admin API itself, on a network that nobody else is in",
        ),
        Ok(status) => (
            format!("is no admin API of Kratos: /admin/sessions is answered {status} instead of 200"),
            "name the base of Kratos' admin API, which by default listens on port 4434",
        ),
    };
    Some(problem(CHECK, format!("kratos.admin_url {url} {said}"), fix))
}

/// Kratos' cookie must reach us: both must be under one registrable domain.
fn cookie(home: &Origin, browsers: &BaseUrl) -> Option<Finding> {
    let there = browsers.url().host_str()?;
    let labels = home.host().match_indices('.').map(|(dot, _)| &home.host()[dot + 1..]);
    let domains = std::iter::once(home.host()).chain(labels).filter_map(|name| name.parse::<CookieDomain>().ok());
    let domain = domains.into_iter().find(CookieDomain::is_registrable)?;
    (!domain.covers(there)).then(|| {
        problem(
            CHECK,
            format!("browsers sign in at {there}, which is outside {domain}: Kratos' cookie never gets to {home}"),
            format!("let people reach Kratos at a host of {domain}, and set cookies.domain to {domain} in kratos.yml"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn url(text: &str) -> BaseUrl {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_wrong_is_named() {
        let at = url("https://login.company.com");
        assert_eq!(public(&at, Ok(401)), None);
        assert_eq!(admin(&at, Ok(200)), None);
        for (found, said) in [
            (public(&at, Err("cannot connect")), "cannot connect"),
            (public(&at, Ok(200)), "without being shown anything"),
            (public(&at, Ok(303)), "elsewhere"),
            (public(&at, Ok(404)), "instead of 401"),
            (admin(&at, Err("timed out")), "timed out"),
            (admin(&at, Ok(401)), "wants credentials"),
            (admin(&at, Ok(404)), "no admin API"),
        ] {
            let found = found.expect("a finding");
            assert!(found.severity == Severity::Problem && found.message.contains(said), "{found:?}");
        }
    }

    #[test]
    fn the_cookie_must_reach_us() {
        let found = |home: &str, there: &str| cookie(&home.parse().expect("an origin"), &url(there)).is_some();
        assert!(!found("https://auth.company.com", "https://login.company.com"));
        assert!(!found("https://auth.sso.company.co.uk", "https://login.company.co.uk"));
        assert!(found("https://auth.company.com", "https://login.company2.com"));
        assert!(found("https://auth.company.co.uk", "https://login.other.co.uk"));
        assert!(!found("http://auth.company.localhost:7070", "http://login.company.localhost:4433"));
    }
}
