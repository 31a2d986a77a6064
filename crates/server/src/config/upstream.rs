//! `[[upstream.oidc]]`: other OIDC providers that people may sign in at. Protocol §10.

use std::collections::{BTreeMap, BTreeSet};

use hallpass_core::id::{AppKey, GroupName, UpstreamName};
use hallpass_core::upstream::oidc::issuer::TENANT;
use hallpass_core::upstream::oidc::{ClientAuthentication, Identity, Issuer, SecondFactor, Tenant, email};
use hallpass_core::upstream::traits::{Paths, TraitPaths};
use serde::Deserialize;
use serde_json::Value;

use super::{BaseUrl, KratosConfig, Network, SecretSource};

/// The issuer of Entra ID, for whoever names tenants and no issuer.
const ENTRA: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

/// Where people may sign in besides here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// In the order of their buttons.
    pub oidc: Vec<OidcConfig>,
}

/// One provider, and how far its word goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// In addresses and in the audit log: `google`.
    pub name: UpstreamName,
    /// What people call it: "Google". On its button after "Continue with"; default: the name.
    #[serde(default)]
    pub label: Option<String>,
    /// Exactly as its discovery document names it.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Tenants of Entra ID. With these people are known by tenant and `oid`, and the issuer need not be named.
    #[serde(default)]
    pub entra_tenants: Vec<Tenant>,
    /// What we are called there.
    pub client_id: String,
    /// What shows there that it is us. Never written into this file, nor into the database.
    pub client_secret: SecretSource,
    /// How it is shown; default: as the provider's discovery document says.
    #[serde(default)]
    pub client_authentication: Option<ClientAuthentication>,
    /// What is asked for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Ask its userinfo endpoint for what its ID tokens do not say.
    #[serde(default = "yes")]
    pub userinfo: bool,
    /// Where in the claims user name, shown name and mail address are.
    #[serde(default)]
    pub claims: ClaimPaths,
    /// Claims that must be so, or nobody comes in: `{ hd = "company.com" }`.
    #[serde(default)]
    pub require: BTreeMap<String, Required>,
    /// Make a user for whoever comes for the first time. At a provider where anybody may have an account that is anybody, unless `require` says more.
    #[serde(default)]
    pub create_users: bool,
    /// Believe it when it says that a mail address has been verified.
    #[serde(default)]
    pub trust_email: bool,
    /// Mail domains whose people it gives their addresses. With one of these it is believed, and whoever has that verified address here is them.
    #[serde(default)]
    pub authoritative_for: Vec<String>,
    /// Mail domains whose people are led here when they type their address. Says nothing about who they are.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Apps whose people are led here at once.
    #[serde(default)]
    pub apps: Vec<AppKey>,
    /// Everybody is led here at once; `/sign-in?local=1` still shows the form for users of our own.
    #[serde(default)]
    pub primary: bool,
    /// Groups here that are what the provider says.
    #[serde(default)]
    pub groups: Option<GroupMapping>,
    /// What of its words means two factors.
    #[serde(default)]
    pub second_factor: SecondFactor,
    /// Whoever signs out here is led there to sign out, too. Where an account is for more than this company's apps that surprises people.
    #[serde(default)]
    pub sign_out: bool,
    /// Networks that it may lie in although they are internal.
    #[serde(default)]
    pub allow_internal: Vec<Network>,
}

/// Where in the claims each of ours is found; what is not said is where the standard has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimPaths {
    /// The user name, looked at once: when the person comes for the first time.
    pub username: Option<Paths>,
    /// The name to be shown.
    pub display_name: Option<Paths>,
    /// The mail address.
    pub email: Option<Paths>,
}

/// What a claim must be: a text, or one of several in a list; or true or false.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Required {
    /// This text.
    Text(String),
    /// This truth.
    Flag(bool),
}

/// Groups here that are what a claim says. They belong to the provider: at each sign-in by way of it somebody is in them or is not.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupMapping {
    /// Which claim.
    #[serde(default = "groups")]
    pub claim: String,
    /// What it says, and the group here that this means. Several may mean one.
    pub map: BTreeMap<String, GroupName>,
}

impl OidcConfig {
    /// What people call it.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(self.name.as_str())
    }

    /// Whose word it is.
    pub fn issuer(&self) -> Issuer {
        let issuer = self.issuer.as_deref();
        if self.entra_tenants.is_empty() {
            return Issuer::Exact(issuer.unwrap_or_default().into());
        }
        Issuer::Entra { template: issuer.unwrap_or(ENTRA).into(), tenants: self.entra_tenants.clone().into() }
    }

    /// Whether anything that it says means two factors.
    pub fn tells_two_factors(&self) -> bool {
        !self.second_factor.acr.is_empty() || !self.second_factor.amr.is_empty()
    }

    /// Where in the claims what is found.
    pub fn paths(&self) -> TraitPaths {
        let usual = TraitPaths::of_claims();
        let ClaimPaths { username, display_name, email } = self.claims.clone();
        TraitPaths {
            username: username.unwrap_or(usual.username),
            display_name: display_name.unwrap_or(usual.display_name),
            email: email.unwrap_or(usual.email),
        }
    }

    /// Whether somebody's claims are what they must be.
    pub fn admits(&self, identity: &Identity) -> bool {
        self.require.iter().all(|(claim, required)| match required {
            Required::Text(text) => identity.texts(claim).contains(&text.as_str()),
            Required::Flag(flag) => identity.claims().get(claim) == Some(&Value::Bool(*flag)),
        })
    }

    /// Whether it gives the people of this mail domain their addresses.
    pub fn is_authoritative_for(&self, domain: &str) -> bool {
        self.authoritative_for.iter().any(|own| own == domain)
    }

    fn check(&self) -> Result<(), String> {
        let issuer = self.issuer.as_deref();
        if self.entra_tenants.is_empty() == issuer.is_none_or(|issuer| issuer.contains(TENANT)) {
            return Err(format!(
                "say one of the two: issuer, as the provider's discovery document names it, or entra_tenants; {TENANT} stands in an issuer with entra_tenants only"
            ));
        }
        let base: BaseUrl = self.issuer().discovery_base().parse()?;
        if base.url().scheme() != "https" && !base.is_loopback() {
            return Err(format!("issuer {base} is not https"));
        }
        let named =
            [self.client_secret.file.is_some(), self.client_secret.env.is_some(), self.client_secret.command.is_some()];
        if named.into_iter().filter(|named| *named).count() != 1 {
            return Err("client_secret must name one of file, env and command".to_owned());
        }
        if self.client_id.is_empty() || !self.client_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("client_id must be text without spaces".to_owned());
        }
        let token = |scope: &String| scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if !self.scopes.iter().any(|scope| scope == "openid") || !self.scopes.iter().all(token) {
            return Err("scopes must hold \"openid\"; without it there is no ID token".to_owned());
        }
        if self.label().trim().is_empty() || self.label().chars().count() > 64 {
            return Err("label must have 1 to 64 characters".to_owned());
        }
        let plain = |domain: &&String| email::is_domain(domain) && **domain == domain.to_ascii_lowercase();
        if let Some(domain) = self.authoritative_for.iter().chain(&self.domains).find(|domain| !plain(domain)) {
            return Err(format!("{domain:?} is not a mail domain in lower case, such as company.com"));
        }
        if self.groups.as_ref().is_some_and(|groups| groups.claim.is_empty() || groups.map.is_empty()) {
            return Err("groups must name a claim, and in map at least one of its values".to_owned());
        }
        Ok(())
    }
}

impl UpstreamConfig {
    /// What is wrong, in words.
    pub(super) fn check(&self, kratos: Option<&KratosConfig>) -> Result<(), String> {
        for upstream in &self.oidc {
            upstream.check().map_err(|why| format!("{}: {why}", upstream.name))?;
        }
        once("name", self.oidc.iter().map(|upstream| upstream.name.to_string()))?;
        if self.oidc.iter().any(|upstream| upstream.name.as_str() == "kratos") {
            return Err("kratos is what [kratos] is called; choose another name".to_owned());
        }
        // Who somebody is there is remembered by issuer.
        once("issuer", self.oidc.iter().map(|upstream| upstream.issuer().discovery_base()))?;
        once("domain", self.oidc.iter().flat_map(|upstream| upstream.domains.clone()))?;
        once("app", self.oidc.iter().flat_map(|upstream| upstream.apps.iter().map(ToString::to_string)))?;
        // Two would take somebody out of it and put them in again, by turns.
        let groups = self.oidc.iter().filter_map(|upstream| upstream.groups.as_ref());
        once("group", groups.flat_map(|groups| groups.map.values().collect::<BTreeSet<_>>()).map(ToString::to_string))?;
        let kratos = kratos.filter(|kratos| kratos.primary).map(|_| "kratos".to_owned());
        let primary: Vec<_> = self
            .oidc
            .iter()
            .filter(|upstream| upstream.primary)
            .map(|upstream| upstream.name.to_string())
            .chain(kratos)
            .collect();
        if primary.len() > 1 {
            return Err(format!("only one can be primary, not {}", primary.join(" and ")));
        }
        Ok(())
    }
}

/// What stands in two upstreams is an error: it would be the first one's, and nobody would know.
fn once(what: &str, mut named: impl Iterator<Item = String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match named.find(|name| !seen.insert(name.clone())) {
        Some(twice) => Err(format!("the {what} {twice} is in two of them")),
        None => Ok(()),
    }
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).into()
}

fn groups() -> String {
    "groups".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOGLE: &str = "[[oidc]]\nname = \"google\"\nissuer = \"https://accounts.google.com\"\nclient_id = \"x\"\nclient_secret = { env = \"X\" }\n";

    fn read(text: &str) -> Result<UpstreamConfig, String> {
        let config: UpstreamConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check(None).map(|()| config)
    }

    #[test]
    fn what_is_not_said_is_the_careful_choice() {
        let config = read(GOOGLE).expect("valid");
        let google = &config.oidc[0];
        assert!(
            !google.create_users
                && !google.trust_email
                && !google.primary
                && !google.sign_out
                && google.authoritative_for.is_empty()
        );
        assert_eq!((google.label(), google.scopes.len()), ("google", 3));
        assert_eq!(google.issuer(), Issuer::Exact("https://accounts.google.com".into()));
        assert!(google.second_factor.acr.is_empty() && google.second_factor.amr.is_empty());
    }

    #[test]
    fn everything_can_be_said() {
        let text = r#"
            [[oidc]]
            name = "entra"
            label = "Company account"
            entra_tenants = ["9188040d-6c67-4c5b-b112-36a304b66dad"]
            client_id = "6f3c"
            client_secret = { file = "/run/secrets/entra" }
            client_authentication = "client_secret_post"
            scopes = ["openid", "profile", "email"]
            userinfo = false
            claims = { username = "upn", display_name = ["name", "upn"] }
            require = { acct = "0", xms_edov = true }
            create_users = true
            trust_email = true
            authoritative_for = ["company.com"]
            domains = ["company.com", "company.co.uk"]
            apps = ["wiki"]
            primary = true
            groups = { claim = "groups", map = { "0d3f" = "admins", "1e4a" = "admins", "2b" = "sales" } }
            second_factor = { amr = ["mfa"] }
            sign_out = true
            allow_internal = ["10.0.0.0/8"]
        "#;
        let config = read(text).expect("valid");
        let base = config.oidc[0].issuer().discovery_base();
        assert_eq!(base, "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0");
    }

    #[test]
    fn what_would_not_be_safe_is_refused_and_named() {
        let with = |line: &str| format!("{GOOGLE}{line}\n");
        let second = |line: &str| format!("{GOOGLE}{line}\n{}{line}\n", GOOGLE.replace("google", "other"));
        for (text, said) in [
            (GOOGLE.replace("https:", "http:"), "not https"),
            (
                GOOGLE.replace("issuer", "entra_tenants = []\nissuer").replace("accounts.google.com", "a/{tenantid}"),
                "one of the two",
            ),
            (with("entra_tenants = [\"9188040d-6c67-4c5b-b112-36a304b66dad\"]"), "one of the two"),
            (with("entra_tenants = [\"common\"]"), "tenant"),
            (GOOGLE.replace("{ env = \"X\" }", "{}"), "one of file, env and command"),
            (GOOGLE.replace("{ env = \"X\" }", "{ env = \"X\", file = \"Y\" }"), "one of file, env and command"),
            (GOOGLE.replace("{ env = \"X\" }", "\"secret\""), "client_secret"),
            (GOOGLE.replace("\"x\"", "\"a b\""), "client_id"),
            (GOOGLE.replace("\"google\"", "\"Google\""), "upstream name"),
            (GOOGLE.replace("\"google\"", "\"kratos\""), "kratos"),
            (with("scopes = [\"email\"]"), "openid"),
            (with("label = \" \""), "label"),
            (with("domains = [\"Company.com\"]"), "mail domain"),
            (with("authoritative_for = [\"company\"]"), "mail domain"),
            (with("groups = { map = {} }"), "groups"),
            (with("client_authentication = \"none\""), "client_authentication"),
            (with("trustemail = true"), "trustemail"),
            (format!("{GOOGLE}{GOOGLE}"), "the name google"),
            (
                format!("{GOOGLE}{}", GOOGLE.replace("\"google\"", "\"other\"")),
                "the issuer https://accounts.google.com",
            ),
            (second("domains = [\"company.com\"]"), "the domain company.com"),
            (second("apps = [\"wiki\"]"), "the app wiki"),
            (second("groups = { map = { a = \"sales\" } }"), "the group sales"),
            (second("primary = true"), "google and other"),
        ] {
            let error = read(&text).expect_err(&text);
            assert!(error.contains(said), "{error}");
        }
    }
}
