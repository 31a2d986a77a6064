//! What `doctor` finds at other providers: whether each can be asked as the engine would ask it, and whether what the configuration says of it can be
//! meant. Protocol §10.

use hallpass_core::id::GroupName;
use hallpass_core::upstream::oidc::Metadata;
use hallpass_server::config::OidcConfig;
use hallpass_server::upstream::kratos::Away;
use hallpass_server::upstream::oidc::provider::Provider;

use super::{Facts, Finding, Registry, problem, warning};

const CHECK: &str = "upstream";
/// Where anybody may have an account: Google, and the tenant of Microsoft's private accounts.
const FOR_EVERYBODY: [&str; 2] = ["https://accounts.google.com", "9188040d-6c67-4c5b-b112-36a304b66dad"];

/// Asks each of them, by the same rules as the engine.
pub async fn look(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for config in &facts.config.upstream.oidc {
        findings.extend(meant(config, facts.registry.as_ref()));
        match Provider::new(config).await {
            Err(error) => findings.push(problem(
                CHECK,
                error.to_string(),
                "let client_secret name where the secret is, readable for this user; the server does not start without it",
            )),
            Ok(provider) => findings.extend(match provider.metadata(facts.now).await {
                Ok(metadata) => said(config, &metadata),
                Err(away) => Some(unreachable(config, &away)),
            }),
        }
    }
    findings
}

/// What the configuration says, beside what the provider says of itself.
fn said(config: &OidcConfig, metadata: &Metadata) -> Option<Finding> {
    (config.sign_out && metadata.end_session_endpoint.is_none()).then(|| {
        let message = format!("{} has no end_session_endpoint: nobody can be signed out there", config.name);
        warning(CHECK, message, "take sign_out = true out, or ask whoever runs it for RP-initiated logout")
    })
}

fn unreachable(config: &OidcConfig, Away(why): &Away) -> Finding {
    problem(
        CHECK,
        format!("{} cannot be asked at {}: {why}", config.name, config.issuer()),
        "name the issuer as its discovery document does, and see that this machine reaches it; inside, list its network in allow_internal",
    )
}

/// What the configuration says, beside what there is.
fn meant(config: &OidcConfig, registry: Option<&Registry>) -> Vec<Finding> {
    let name = &config.name;
    let mut findings = Vec::new();
    let everybody = FOR_EVERYBODY.iter().any(|place| config.issuer().discovery_base().contains(place));
    if config.create_users && config.require.is_empty() && everybody {
        findings.push(warning(
            CHECK,
            format!("{name} makes a user of anybody who has an account there, and anybody can make one"),
            "say who may come: require = { hd = \"company.com\" }, or create_users = false",
        ));
    }
    let Some(registry) = registry else { return findings };
    let mapped = config.groups.iter().flat_map(|groups| groups.map.values());
    let mut missing: Vec<&GroupName> = mapped.filter(|group| !registry.groups.contains(group)).collect();
    missing.sort();
    missing.dedup();
    findings.extend(missing.into_iter().map(|group| {
        let message = format!("{name} maps to the group {group}, which is not there: nobody is put into it");
        warning(CHECK, message, format!("`hallpass group add {group}`, or take it out of groups.map"))
    }));
    let unknown = config.apps.iter().filter(|app| registry.apps.iter().all(|known| known.key != **app));
    findings.extend(unknown.map(|app| {
        let message = format!("{name} is for the app {app}, which is not there");
        warning(CHECK, message, "correct apps, or register the app")
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_named() {
        let read = |issuer: &str, more: &str| -> OidcConfig {
            let text = format!(
                "name = \"x\"\nissuer = \"{issuer}\"\nclient_id = \"x\"\nclient_secret = {{ env = \"X\" }}\n{more}"
            );
            toml::from_str(&text).expect("valid")
        };
        let registry = Registry { groups: vec!["sales".parse().expect("a name")], ..Registry::default() };
        let found = |config: &OidcConfig| -> Vec<String> {
            meant(config, Some(&registry)).into_iter().map(|finding| finding.message).collect()
        };
        let google = "https://accounts.google.com";
        assert_eq!(found(&read(google, "create_users = true")).len(), 1);
        for fine in [
            read(google, ""),
            read(google, "create_users = true\nrequire = { hd = \"company.com\" }"),
            read("https://sso.partner.com", "create_users = true\ngroups = { map = { a = \"sales\" } }"),
        ] {
            assert!(found(&fine).is_empty(), "{fine:?}");
        }
        let wrong =
            read("https://sso.partner.com", "apps = [\"wiki\"]\ngroups = { map = { a = \"gone\", b = \"gone\" } }");
        let found = found(&wrong);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("the group gone") && found[1].contains("the app wiki"), "{found:?}");
    }
}
