//! What `doctor` looks for: one function per matter, over facts that were gathered before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hallpass_core::app::{App, Assertion, Origin};
use hallpass_core::keyring::Purpose;
use hallpass_core::time::Timestamp;
use hallpass_server::admin::ago;
use hallpass_server::config::Config;

use super::{Facts, Finding, Registry, is_local, problem, warning};
use crate::print::instant;

const DAY: Duration = Duration::from_hours(24);
/// Before this version was written: a machine whose clock says so has lost its battery.
const EARLIEST: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// Clocks of nodes may differ by so much.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// Every check.
pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.unknown_variables.is_empty() {
        findings.push(warning(
            "environment",
            format!("{}: looks like a setting and is none, so it changes nothing", facts.unknown_variables.join(", ")),
            "see docs/configuration.md for the names; what another program reads, or Kubernetes sets, is well as it is",
        ));
    }
    public_url(&facts.config, &mut findings);
    network(&facts.config, &mut findings);
    lifetimes(&facts.config, &mut findings);
    alerts(&facts.config, &mut findings);
    files(facts, &mut findings);
    clock(facts, &mut findings);
    if let Some(registry) = &facts.registry {
        zones(&facts.config, registry, &mut findings);
        apps(registry, facts.now, &mut findings);
        keys(&facts.config, registry, facts.now, &mut findings);
        if registry.users == 0 {
            findings.push(warning(
                "users",
                "there are no users: nobody can sign in",
                "`hallpass user add NAME` adds one, `hallpass user import FILE` many",
            ));
        }
    }
    findings
}

fn public_url(config: &Config, findings: &mut Vec<Finding>) {
    match &config.public_url {
        None => findings.push(problem(
            "public_url",
            "public_url is not set: the engine will not start",
            "say where browsers reach it, for example HALLPASS_PUBLIC_URL=https://auth.company.com",
        )),
        Some(url) if !url.as_str().starts_with("https://") => findings.push(warning(
            "public_url",
            format!("public_url {url} is for trying things on this machine only"),
            "in production use https with TLS in front",
        )),
        Some(_) => {}
    }
}

fn network(config: &Config, findings: &mut Vec<Finding>) {
    let https = config.public_url.as_ref().is_some_and(|url| url.as_str().starts_with("https://"));
    let trusted = &config.trusted_proxies;
    let anybody = [
        [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::new(254, 1, 1, 1))],
        [
            IpAddr::V6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 1)),
            IpAddr::V6(Ipv6Addr::new(0xfe00, 0, 0, 0, 0, 0, 0, 1)),
        ],
    ];
    if anybody.iter().any(|pair| trusted.iter().any(|network| pair.iter().all(|address| network.contains(*address)))) {
        findings.push(problem(
            "trusted_proxies",
            "trusted_proxies names every address: anybody can pretend to be anywhere, and throttling by address is void",
            "name the addresses of your proxies only",
        ));
    }
    let listen = config.listen;
    if https && trusted.is_empty() {
        findings.push(if is_local(listen.ip()) {
            warning(
                "trusted_proxies",
                "trusted_proxies is empty: every sign-in seems to come from the proxy, and one guesser slows everybody",
                "if the proxy that ends TLS runs on this machine: trusted_proxies = [\"127.0.0.1\", \"::1\"]; let it set X-Forwarded-For itself",
            )
        } else {
            problem(
                "tls",
                format!("browsers are told https, but {listen} speaks plain http to the whole network and no proxy is named"),
                "listen on 127.0.0.1 behind a proxy that ends TLS, or name that proxy's address in trusted_proxies",
            )
        });
    }
    if let Some(internal) = config.internal_listen.filter(|internal| !is_local(internal.ip())) {
        findings.push(warning(
            "internal_listen",
            format!("health and metrics are open to the network on {internal}"),
            "keep internal_listen on 127.0.0.1, or let a firewall admit your monitoring only",
        ));
    }
}

fn lifetimes(config: &Config, findings: &mut Vec<Finding>) {
    let session = &config.session;
    for (name, value, most) in [
        ("session.absolute", session.absolute, DAY),
        ("session.inactivity", session.inactivity, DAY),
        ("session.persistent_absolute", session.persistent_absolute, 30 * DAY),
        ("session.persistent_inactivity", session.persistent_inactivity, 30 * DAY),
    ] {
        if value > most {
            let days = most.as_secs() / DAY.as_secs();
            findings.push(warning(
                "session",
                format!("{name} is longer than {days}d: a browser left behind stays signed in for so long, and after 30 days browsers delete what keeps people signed in"),
                format!("{name} = \"{days}d\" or less"),
            ));
        }
    }
}

fn alerts(config: &Config, findings: &mut Vec<Finding>) {
    let alerts = &config.alerts;
    if alerts.webhook.is_none() && alerts.mail_to.is_empty() {
        findings.push(warning(
            "alerts",
            "alerts go to the log only: nobody is woken when passes are stolen",
            "set alerts.webhook, or alerts.mail_to with alerts.smtp_url",
        ));
    }
    if alerts.webhook.as_ref().is_some_and(|webhook| !webhook.starts_with("https://")) {
        findings.push(problem(
            "alerts",
            "alerts.webhook is not an https URL: nothing will be sent there",
            "use an https URL",
        ));
    }
    if !alerts.mail_to.is_empty() && (alerts.smtp_url.is_none() || alerts.mail_from.is_none()) {
        findings.push(problem(
            "alerts",
            "alerts.mail_to is set, but alerts.smtp_url or alerts.mail_from is not: no mail can be sent",
            "set both",
        ));
    }
}

fn files(facts: &Facts, findings: &mut Vec<Finding>) {
    for file in facts.files.iter().filter(|file| file.mode & 0o077 != 0) {
        let path = file.path.display();
        let message =
            format!("{} ({path}) can be read by other users of this machine: mode {:o}", file.what, file.mode & 0o777);
        findings.push(problem("file_mode", message, format!("chmod 600 {path}")));
    }
}

fn clock(facts: &Facts, findings: &mut Vec<Finding>) {
    const FIX: &str = "let chrony, ntpd or systemd-timesyncd set the clock on every node";
    if facts.now < EARLIEST {
        findings.push(problem("clock", format!("this machine believes that it is {}", instant(facts.now)), FIX));
    }
    let newest = facts.registry.as_ref().and_then(|registry| registry.newest_entry);
    if let Some(newest) = newest.filter(|newest| *newest > facts.now + CLOCK_DIFFERENCE) {
        let message = format!(
            "the newest entry of the audit log is from {}, this machine's clock says {}: clocks differ, or this one was set back",
            instant(newest),
            instant(facts.now)
        );
        findings.push(problem("clock", message, FIX));
    }
}

fn zones(config: &Config, registry: &Registry, findings: &mut Vec<Finding>) {
    // What does not parse has stopped us already.
    let configured = config.home_domain().ok().flatten();
    let Some(home) = registry.zones.iter().find(|zone| zone.home) else {
        if configured.is_none() {
            findings.push(problem(
                "home_zone",
                "there is no home zone: the engine will not start",
                "set cookie_domain, or `hallpass zone add home --cookie-domain company.com --home`",
            ));
        }
        return;
    };
    if let Some(url) = config.public_url.as_ref().filter(|url| !home.cookie_domain.covers(url.host())) {
        findings.push(problem(
            "cookie_domain",
            format!("the host of public_url {url} is not under {}, the cookie domain of the home zone: browsers refuse the pass", home.cookie_domain),
            "change public_url, or the zone's cookie_domain with `hallpass apply`",
        ));
    }
    if configured.as_ref().is_some_and(|configured| *configured != home.cookie_domain) {
        findings.push(warning(
            "cookie_domain",
            format!(
                "cookie_domain in the configuration has no effect: the home zone is {} since the first start",
                home.cookie_domain
            ),
            "remove it from the configuration, or change the zone with `hallpass apply`",
        ));
    }
    for zone in registry.zones.iter().filter(|zone| !zone.home && zone.alias.is_none()) {
        let mut apps = registry.apps.iter().filter(|app| app.zone == zone.name && app.disabled_at.is_none()).peekable();
        if apps.peek().is_some() && !apps.any(|app| app.agent) {
            findings.push(problem(
                "zone_alias",
                format!("zone {} has apps, but neither an alias nor an app that is its agent: nobody can get a pass for {}", zone.name, zone.cookie_domain),
                format!(
                    "point a host such as sso.{0} here and declare it: alias = \"https://sso.{0}\"; or set agent = true for an app whose SDK serves /.sso/*",
                    zone.cookie_domain
                ),
            ));
        }
    }
    if let Some(url) = &config.public_url
        && let Some(zone) = registry.zones.iter().find(|zone| zone.alias.as_ref().is_some_and(|alias| alias == url))
    {
        findings.push(problem(
            "zone_alias",
            format!("the alias of zone {} is public_url itself, so it never answers as an alias", zone.name),
            "give the zone a host of its own with `hallpass apply`",
        ));
    }
    for zone in registry.zones.iter().filter(|zone| zone.cookie_domain.is_registrable()) {
        findings.push(warning(
            "cookie_domain",
            format!("zone {} is the whole of {}: every host under it receives everybody's pass, also a blog or a shop run by others", zone.name, zone.cookie_domain),
            format!("if you can, put the apps under one name such as apps.{0} and use that as the cookie domain", zone.cookie_domain),
        ));
    }
}

fn apps(registry: &Registry, now: Timestamp, findings: &mut Vec<Finding>) {
    for app in registry.apps.iter().filter(|app| app.disabled_at.is_none()) {
        let key = &app.key;
        if let Some(origin) = origin_outside(app, registry) {
            findings.push(problem(
                "app_origin",
                format!("app {key} is at {origin}, which is outside the cookie domain of its zone {}: no pass ever gets there", app.zone),
                format!("correct the origins or the zone of {key} with `hallpass apply`"),
            ));
        }
        if app.origins.is_empty() && app.redirect_uris.is_empty() {
            findings.push(warning(
                "app_origin",
                format!("app {key} has no origin: sign-in cannot return to it"),
                "give it one with `hallpass apply`",
            ));
        }
        if app.client.require_pushed && app.redirect_uris.is_empty() {
            findings.push(warning(
                "app_client",
                format!("app {key} has to push its authorization requests, but can make none: it has no redirect URI"),
                "give it one with `hallpass apply`, or leave the setting out",
            ));
        }
        if app.assertion == Assertion::Query {
            findings.push(warning(
                "app_agent",
                format!("app {key} is handed who is signed in by the address of a redirect, which passes through logs and histories"),
                "let its backend redeem codes, or take the assertion by form_post, once it has moved from the old scheme",
            ));
        }
        secrets(app, registry, now, findings);
    }
}

fn origin_outside<'a>(app: &'a App, registry: &Registry) -> Option<&'a Origin> {
    let zone = registry.zones.iter().find(|zone| zone.name == app.zone)?;
    app.origins.iter().find(|origin| !zone.cookie_domain.covers(origin.host()))
}

fn secrets(app: &App, registry: &Registry, now: Timestamp, findings: &mut Vec<Finding>) {
    let key = &app.key;
    let live =
        registry.secrets.iter().filter(|secret| secret.app == *key && secret.expires_at.is_none_or(|end| end > now));
    let live: Vec<_> = live.collect();
    let lasting = live.iter().filter(|secret| secret.expires_at.is_none_or(|end| end > now + 14 * DAY)).count();
    let next = format!("`hallpass app rotate-secret {key}`");
    if live.is_empty() {
        findings.push(warning(
            "app_secret",
            format!("app {key} has no live secret: it gets no answers"),
            format!("{next} makes one"),
        ));
    } else if lasting == 0 {
        let end = live.iter().filter_map(|secret| secret.expires_at).max().unwrap_or(now);
        findings.push(problem(
            "app_secret",
            format!("the last secret of app {key} is refused from {}", instant(end)),
            format!("{next} makes the next one"),
        ));
    }
    if let [old, _] = &live[..]
        && let Some(new) = live.last()
        && now.since(new.created_at) > 14 * DAY
    {
        let used = old.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", ago(at, now)));
        findings.push(warning(
            "app_secret",
            format!(
                "the rotation of app {key}'s secret was begun {} and not finished; the old one was {used}",
                ago(new.created_at, now)
            ),
            format!("`hallpass app rotate-secret {key} --finish`"),
        ));
    }
}

fn keys(config: &Config, registry: &Registry, now: Timestamp, findings: &mut Vec<Finding>) {
    for purpose in Purpose::ALL {
        let policy = config.key_policy(purpose);
        let mut open = registry.keys.iter().filter(|key| key.purpose == purpose && key.signs_until.is_none());
        let Some(newest) = open.next() else {
            // Before the first start there are none, and that is well.
            if !registry.keys.is_empty() && purpose.is_needed_by(&registry.apps) {
                findings.push(problem(
                    "signing_key",
                    format!("no {} key signs", purpose.as_str()),
                    "start the engine, or `hallpass keys rotate --now`",
                ));
            }
            continue;
        };
        if now > newest.signs_from + policy.signs_for + DAY {
            findings.push(warning(
                "signing_key",
                format!("the {} key signs since {} and should have been replaced: no engine is running, or its schedule fails", purpose.as_str(), ago(newest.signs_from, now)),
                "look at the engine's log; `hallpass keys rotate` replaces it by hand",
            ));
        }
        if newest.algorithm != policy.algorithm {
            findings.push(warning(
                "signing_key",
                format!(
                    "the {} key is {}, the configuration says {}",
                    purpose.as_str(),
                    newest.algorithm.as_str(),
                    policy.algorithm.as_str()
                ),
                "a running engine replaces it within a day of the change; `hallpass keys rotate` does it by hand",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hallpass_core::app::AppSecret;
    use hallpass_core::crypto::Algorithm;
    use hallpass_core::id::{KeyId, SecretId};
    use hallpass_core::keyring::SealedKey;
    use hallpass_core::secret::Digest;
    use hallpass_core::zone::{CookieName, Zone};

    use super::super::{PrivateFile, Severity};
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn zone(domain: &str) -> Zone {
        let cookie_domain = domain.parse().expect("a domain");
        Zone {
            name: "home".parse().expect("valid"),
            cookie_domain,
            cookie_name: CookieName::default(),
            home: true,
            alias: None,
            bound: false,
            at_sign_in: false,
        }
    }

    fn app() -> App {
        App {
            origins: vec!["https://pos.apps.company.com".parse().expect("valid")],
            ..App::new("pos".parse().expect("valid"), "POS", "home".parse().expect("valid"))
        }
    }

    fn secret(age: Duration, expires_at: Option<Timestamp>) -> AppSecret {
        AppSecret {
            id: SecretId::from_bytes([1; 16]),
            app: "pos".parse().expect("valid"),
            digest: Digest::from_bytes([0; 32]),
            created_at: NOW - age,
            expires_at,
            last_used_at: None,
        }
    }

    fn key(purpose: Purpose) -> SealedKey {
        SealedKey {
            kid: KeyId::from_bytes([1; 16]),
            purpose,
            algorithm: if purpose == Purpose::IdToken { Algorithm::Rs256 } else { Algorithm::EdDsa },
            sealed: Vec::new(),
            created_at: NOW,
            signs_from: NOW,
            signs_until: None,
            verifies_until: None,
        }
    }

    /// An installation with which nothing is wrong.
    fn well() -> Facts {
        let config = r#"
            public_url = "https://auth.apps.company.com"
            trusted_proxies = ["127.0.0.1"]
            [alerts]
            webhook = "https://alerts.company.com/hallpass"
        "#;
        Facts {
            config: toml::from_str(config).expect("valid"),
            unknown_variables: Vec::new(),
            files: vec![PrivateFile { what: "the master key", path: PathBuf::from("master.key"), mode: 0o100_600 }],
            registry: Some(Registry {
                groups: Vec::new(),
                zones: vec![zone("apps.company.com")],
                apps: vec![app()],
                secrets: vec![secret(DAY, None)],
                keys: Purpose::ALL.map(key).into(),
                users: 1,
                newest_entry: Some(NOW),
            }),
            now: NOW,
        }
    }

    type Break = (&'static str, Severity, &'static str, fn(&mut Facts));

    #[test]
    fn each_misconfiguration_is_named_and_nothing_else_is() {
        fn registry(facts: &mut Facts) -> &mut Registry {
            facts.registry.as_mut().expect("there is one")
        }
        fn url(text: &str) -> Origin {
            text.parse().expect("an origin")
        }
        use Severity::{Problem, Warning};
        let table: &[Break] = &[
            ("public_url", Problem, "not set", |facts| facts.config.public_url = None),
            ("environment", Warning, "HALLPASS_TRUSTED_PROXY:", |facts| {
                facts.unknown_variables = vec!["HALLPASS_TRUSTED_PROXY".to_owned()];
            }),
            ("tls", Problem, "plain http", |facts| {
                facts.config.trusted_proxies.clear();
                facts.config.listen = "0.0.0.0:7070".parse().expect("an address");
            }),
            ("trusted_proxies", Warning, "empty", |facts| facts.config.trusted_proxies.clear()),
            ("trusted_proxies", Problem, "every address", |facts| {
                facts.config.trusted_proxies = vec!["0.0.0.0/0".to_owned().try_into().expect("a network")];
            }),
            ("internal_listen", Warning, "open", |facts| facts.config.internal_listen = "0.0.0.0:1".parse().ok()),
            ("session", Warning, "session.absolute", |facts| facts.config.session.absolute = 2 * DAY),
            ("alerts", Warning, "log only", |facts| facts.config.alerts.webhook = None),
            ("alerts", Problem, "https", |facts| facts.config.alerts.webhook = Some("http://a".into())),
            ("alerts", Problem, "smtp_url", |facts| facts.config.alerts.mail_to = vec!["a@b.c".into()]),
            ("file_mode", Problem, "mode 644", |facts| facts.files[0].mode = 0o100_644),
            ("clock", Problem, "2023", |facts| {
                facts.now = Timestamp::from_seconds(1_700_000_000);
                facts.registry = None;
            }),
            ("clock", Problem, "audit log", |facts| registry(facts).newest_entry = Some(NOW + 2 * CLOCK_DIFFERENCE)),
            ("home_zone", Problem, "no home zone", |facts| {
                registry(facts).zones[0].home = false;
            }),
            ("cookie_domain", Problem, "browsers refuse", |facts| {
                facts.config.public_url = Some(url("https://auth.company.com"));
            }),
            ("cookie_domain", Warning, "whole of company.com", |facts| {
                registry(facts).zones = vec![zone("company.com")];
            }),
            ("zone_alias", Problem, "nobody can get a pass", |facts| {
                let apps = &mut registry(facts).apps;
                apps.push(App { zone: "two".parse().expect("a name"), ..apps[0].clone() });
                apps[1].origins = vec![url("https://pos.two.company.com")];
                let two = Zone { name: "two".parse().expect("a name"), home: false, ..zone("two.company.com") };
                registry(facts).zones.push(two);
            }),
            ("zone_alias", Problem, "public_url itself", |facts| {
                let alias = facts.config.public_url.clone();
                let two = Zone { name: "two".parse().expect("a name"), home: false, alias, ..zone("two.company.com") };
                registry(facts).zones.push(two);
            }),
            ("app_agent", Warning, "the address", |facts| {
                let apps = &mut registry(facts).apps;
                (apps[0].agent, apps[0].assertion) = (true, Assertion::Query);
            }),
            ("cookie_domain", Warning, "no effect", |facts| facts.config.cookie_domain = Some("x.company.com".into())),
            ("app_origin", Problem, "outside", |facts| {
                registry(facts).apps[0].origins.push(url("https://pos.company.com"));
            }),
            ("app_origin", Warning, "no origin", |facts| registry(facts).apps[0].origins.clear()),
            ("app_client", Warning, "has to push", |facts| registry(facts).apps[0].client.require_pushed = true),
            ("app_secret", Warning, "no live secret", |facts| registry(facts).secrets.clear()),
            ("app_secret", Problem, "refused from", |facts| registry(facts).secrets[0].expires_at = Some(NOW + DAY)),
            ("app_secret", Warning, "not finished", |facts| {
                registry(facts).secrets = vec![secret(30 * DAY, None), secret(20 * DAY, None)];
            }),
            ("signing_key", Problem, "no token key", |facts| registry(facts).keys.truncate(1)),
            ("signing_key", Problem, "no id_token key", |facts| {
                registry(facts).keys.truncate(2);
                registry(facts).apps[0].redirect_uris = vec!["https://pos.company.com/".parse().expect("a URI")];
            }),
            ("signing_key", Warning, "replaced", |facts| registry(facts).keys[0].signs_from = NOW - 92 * DAY),
            ("signing_key", Warning, "EdDSA", |facts| facts.config.pass.algorithm = Algorithm::Es256),
            ("users", Warning, "nobody", |facts| registry(facts).users = 0),
        ];
        assert_eq!(all(&well()), []);
        for (check, severity, said, damage) in table {
            let mut facts = well();
            damage(&mut facts);
            let found = all(&facts);
            assert_eq!(found.len(), 1, "{check}: {found:?}");
            assert_eq!((found[0].check, found[0].severity), (*check, *severity), "{found:?}");
            assert!(found[0].message.contains(said), "{check}: {found:?}");
        }
    }

    #[test]
    fn a_disabled_app_is_left_alone() {
        let mut facts = well();
        let registry = facts.registry.as_mut().expect("there is one");
        registry.secrets.clear();
        registry.apps[0].disabled_at = Some(NOW);
        assert_eq!(all(&facts), []);
    }
}
