//! `[kratos]`: an Ory Kratos that people may sign in at. Protocol §10.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hallpass_core::app::Origin;
use hallpass_core::session::Acr;
use hallpass_core::upstream::traits::TraitPaths;
use serde::Deserialize;
use url::Url;

use super::{Network, duration};

/// Bytes that may stand in the name of a cookie besides letters and digits (RFC 9110 §5.6.2, "token").
const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~";

/// Where Kratos is, and how far its word goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KratosConfig {
    /// Where the engine reaches Kratos' public API. Nothing else is ever asked.
    pub public_url: BaseUrl,
    /// Where browsers reach it; default: `public_url`.
    #[serde(default)]
    pub browser_url: Option<BaseUrl>,
    /// Where the engine reaches Kratos' admin API; without it, signing out here does not end the session there.
    #[serde(default)]
    pub admin_url: Option<BaseUrl>,
    /// What Kratos calls its session cookie.
    #[serde(default = "session_cookie")]
    pub session_cookie: String,
    /// What the button on the sign-in page says.
    #[serde(default = "label")]
    pub label: String,
    /// The sign-in page leads straight to Kratos; `/sign-in?local=1` still shows the form for users of our own.
    #[serde(default)]
    pub primary: bool,
    /// `aal1` or `aal2`: how strong a session there must be.
    #[serde(default = "minimum_aal")]
    pub minimum_aal: Acr,
    /// Where in the traits user name, shown name and mail address are.
    #[serde(default)]
    pub traits: TraitPaths,
    /// Make a user for whoever comes for the first time.
    #[serde(default = "yes")]
    pub create_users: bool,
    /// Take an identity for the user of the same name who is here already. Whoever chooses names there then chooses who they are here.
    #[serde(default)]
    pub link_existing_users: bool,
    /// How often a session there is looked at while ours is used.
    #[serde(default = "recheck", deserialize_with = "duration")]
    pub recheck: Duration,
    /// How long sessions live on while Kratos cannot be asked, from the last time that it could.
    #[serde(default = "grace", deserialize_with = "duration")]
    pub grace: Duration,
    /// Networks that Kratos may lie in although they are internal.
    #[serde(default)]
    pub allow_internal: Vec<Network>,
    /// Addresses that people have bookmarked; the engine sends them on to its own home page.
    #[serde(default)]
    pub entry_points: Vec<Origin>,
}

impl KratosConfig {
    /// Everything else by default.
    pub fn at(public_url: BaseUrl) -> Self {
        Self {
            public_url,
            browser_url: None,
            admin_url: None,
            session_cookie: session_cookie(),
            label: label(),
            primary: false,
            minimum_aal: minimum_aal(),
            traits: TraitPaths::default(),
            create_users: yes(),
            link_existing_users: false,
            recheck: recheck(),
            grace: grace(),
            allow_internal: Vec::new(),
            entry_points: Vec::new(),
        }
    }

    /// Where browsers reach it.
    pub fn for_browsers(&self) -> &BaseUrl {
        self.browser_url.as_ref().unwrap_or(&self.public_url)
    }

    /// Whether this host and port is an address that people have bookmarked.
    pub fn is_entry_point(&self, authority: &str) -> bool {
        self.entry_points.iter().any(|entry| entry.authority() == authority)
    }

    /// What is wrong, in words.
    pub(super) fn check(&self, home: Option<&Origin>) -> Result<(), String> {
        for (name, url) in [("public_url", Some(&self.public_url)), ("admin_url", self.admin_url.as_ref())] {
            let Some(url) = url.filter(|url| url.is_plain() && !url.is_loopback()) else { continue };
            if self.allow_internal.is_empty() {
                return Err(format!(
                    "{name} {url} is not https: sessions of people would travel in the clear. If it is inside, list its network in allow_internal"
                ));
            }
        }
        if self.for_browsers().is_plain() && !self.for_browsers().is_loopback() {
            return Err(format!("browsers are sent to {}: it must be https", self.for_browsers()));
        }
        let token = |byte: u8| byte.is_ascii_alphanumeric() || TOKEN.contains(&byte);
        if self.session_cookie.is_empty() || !self.session_cookie.bytes().all(token) {
            return Err("session_cookie is not the name of a cookie".to_owned());
        }
        if self.session_cookie.contains("hallpass") {
            return Err("session_cookie is one of our own: name the one that Kratos sets".to_owned());
        }
        if self.label.trim().is_empty() || self.label.chars().count() > 64 {
            return Err("label must have 1 to 64 characters".to_owned());
        }
        if self.recheck < Duration::from_secs(10) {
            return Err("recheck must be 10s at least, or Kratos would be asked all the time".to_owned());
        }
        if self.grace > Duration::from_hours(24) {
            return Err("grace must be 24h at most: meanwhile nobody knows who has been locked out there".to_owned());
        }
        if let Some(entry) = self.entry_points.iter().find(|entry| home == Some(entry)) {
            return Err(format!("entry_points holds {entry}, which is public_url: it would lead to itself"));
        }
        Ok(())
    }
}

/// Where an API begins: scheme, host, perhaps a port and a path, nothing else.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The address of `path`, which begins with a slash.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }

    /// The address itself.
    pub fn url(&self) -> &Url {
        &self.0
    }

    fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is not an address: {error}"))?;
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() || !bare || url.password().is_some() {
            return Err(format!("{text:?} must read like https://host or https://host/path"));
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn session_cookie() -> String {
    "ory_kratos_session".to_owned()
}

fn label() -> String {
    "Company account".to_owned()
}

fn minimum_aal() -> Acr {
    Acr::Aal1
}

fn yes() -> bool {
    true
}

fn recheck() -> Duration {
    Duration::from_mins(5)
}

fn grace() -> Duration {
    Duration::from_mins(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<KratosConfig, String> {
        let config: KratosConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check(Some(&"https://auth.company.com".parse().expect("an origin"))).map(|()| config)
    }

    #[test]
    fn an_address_is_all_that_has_to_be_said() {
        let config = read("public_url = \"https://login.company.com/kratos/\"").expect("valid");
        assert_eq!(
            config.public_url.at("/sessions/whoami").as_str(),
            "https://login.company.com/kratos/sessions/whoami"
        );
        assert_eq!(config.for_browsers(), &config.public_url);
        assert_eq!((config.session_cookie.as_str(), config.minimum_aal), ("ory_kratos_session", Acr::Aal1));
        assert!(config.create_users && !config.link_existing_users && !config.primary);
        assert_eq!((config.recheck, config.grace), (Duration::from_mins(5), Duration::from_mins(15)));
    }

    #[test]
    fn everything_can_be_said() {
        let text = r#"
            public_url = "http://10.0.0.5:4433"
            browser_url = "https://login.company.com"
            admin_url = "http://kratos.internal:4434"
            session_cookie = "company_session"
            label = "Your Company account"
            primary = true
            minimum_aal = "aal2"
            create_users = false
            link_existing_users = true
            recheck = "1m"
            grace = "30m"
            allow_internal = ["10.0.0.0/8"]
            entry_points = ["https://accounts.company.com"]
            [traits]
            username = ["login", "email"]
            display_name = "person.name"
        "#;
        let config = read(text).expect("valid");
        assert_eq!((config.minimum_aal, config.recheck), (Acr::Aal2, Duration::from_mins(1)));
        assert_eq!(config.for_browsers().to_string(), "https://login.company.com");
    }

    #[test]
    fn what_would_not_be_safe_is_refused_and_named() {
        let at = |text: &str| format!("public_url = \"https://login.company.com\"\n{text}");
        for (text, said) in [
            ("public_url = \"http://login.company.com\"".to_owned(), "in the clear"),
            (at("admin_url = \"http://10.0.0.1:4434\""), "in the clear"),
            (at("browser_url = \"http://login.company.com\"\nallow_internal = [\"10.0.0.0/8\"]"), "must be https"),
            ("public_url = \"https://user@login.company.com\"".to_owned(), "must read like"),
            ("public_url = \"https://login.company.com/?a\"".to_owned(), "must read like"),
            ("public_url = \"ftp://login.company.com\"".to_owned(), "must read like"),
            ("label = \"x\"".to_owned(), "public_url"),
            (at("session_cookie = \"a b\""), "name of a cookie"),
            (at("session_cookie = \"__Host-Http-hallpass\""), "our own"),
            (at("label = \" \""), "label"),
            (at("recheck = \"1s\""), "recheck"),
            (at("grace = \"25h\""), "grace"),
            (at("entry_points = [\"https://auth.company.com\"]"), "itself"),
            (at("entry_points = [\"https://auth.company.com/\"]"), "must read https"),
            (at("minimum_aal = \"aal3\""), "aal3"),
            (at("admin = \"https://a\""), "admin"),
        ] {
            let error = read(&text).expect_err(&text);
            assert!(error.contains(said), "{error}");
        }
    }
}
