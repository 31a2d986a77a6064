//! Configuration: one TOML file, every key also an environment variable, defaults that are safe. Protocol §1, §14–§17.

mod client_documents;
mod environment;
mod kratos;
mod registration;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hallpass_core::app::Origin;
use hallpass_core::crypto::Algorithm;
use hallpass_core::keyring::{KeyPolicy, Purpose};
use hallpass_core::oidc::RefreshPolicy;
use hallpass_core::session::SessionPolicy;
use hallpass_core::zone::CookieDomain;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;

pub use self::client_documents::ClientDocumentsConfig;
pub use self::environment::unknown as unknown_variables;
pub use self::kratos::{BaseUrl, KratosConfig};
pub use self::registration::RegistrationConfig;
pub use self::upstream::{ClaimPaths, GroupMapping, OidcConfig, Required, UpstreamConfig};

/// Everything an operator may set. `Debug` leaves out what may hold credentials: the database URL, alert targets.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The home host as browsers see it, the issuer: `https://auth.company.com`. Never taken from a request.
    pub public_url: Option<Origin>,
    /// The home zone's cookie domain, used when the database has no home zone yet: `company.com`.
    pub cookie_domain: Option<String>,
    /// Where browsers and apps connect (usually a proxy that ends TLS).
    pub listen: SocketAddr,
    /// Health and metrics; keep it off the public network.
    pub internal_listen: Option<SocketAddr>,
    /// `sqlite:PATH` or `postgres://…`; default: `hallpass.db` in the data directory.
    pub database_url: Option<String>,
    /// Where the SQLite file and the generated master key live.
    pub data_dir: PathBuf,
    /// Peers whose `X-Forwarded-For` is believed, as addresses or `address/prefix`. Default: nobody.
    pub trusted_proxies: Vec<Network>,
    /// The name on the pages.
    pub brand: String,
    /// Where the master key comes from.
    pub master_key: SecretSource,
    /// Session lifetimes.
    pub session: SessionConfig,
    /// How long OIDC clients may refresh their tokens.
    pub refresh: RefreshConfig,
    /// Pass signing.
    pub pass: PassConfig,
    /// Password rules and work.
    pub password: PasswordConfig,
    /// Where alerts go besides the log.
    pub alerts: AlertConfig,
    /// Handoffs and chains to other root domains.
    pub handoff: HandoffConfig,
    /// How apps are told of sign-outs.
    pub sign_out: SignOutConfig,
    /// An Ory Kratos that people may sign in at; absent, there is none.
    pub kratos: Option<KratosConfig>,
    /// Other providers that people may sign in at.
    pub upstream: UpstreamConfig,
    /// Whether OIDC clients may register themselves; absent, they may not.
    pub registration: Option<RegistrationConfig>,
    /// Whether OIDC clients may describe themselves at the address that is their `client_id`.
    pub client_metadata_documents: ClientDocumentsConfig,
    /// How many connections may be open at once.
    pub maximum_connections: u32,
    /// How many sessions a node keeps in memory.
    pub maximum_sessions_in_memory: usize,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("public_url", &self.public_url)
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: None,
            cookie_domain: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            internal_listen: Some(SocketAddr::from(([127, 0, 0, 1], 7071))),
            database_url: None,
            data_dir: PathBuf::from("hallpass-data"),
            trusted_proxies: Vec::new(),
            brand: "Hallpass".to_owned(),
            master_key: SecretSource::default(),
            session: SessionConfig::default(),
            refresh: RefreshConfig::default(),
            pass: PassConfig::default(),
            password: PasswordConfig::default(),
            alerts: AlertConfig::default(),
            handoff: HandoffConfig::default(),
            sign_out: SignOutConfig::default(),
            kratos: None,
            upstream: UpstreamConfig::default(),
            registration: None,
            client_metadata_documents: ClientDocumentsConfig::default(),
            maximum_connections: 10_000,
            maximum_sessions_in_memory: 2_000_000,
        }
    }
}

/// Session lifetimes, each written like `24h` or `30d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Absolute lifetime.
    #[serde(deserialize_with = "duration")]
    pub absolute: Duration,
    /// Inactivity timeout.
    #[serde(deserialize_with = "duration")]
    pub inactivity: Duration,
    /// Absolute lifetime with "stay signed in".
    #[serde(deserialize_with = "duration")]
    pub persistent_absolute: Duration,
    /// Inactivity timeout with "stay signed in".
    #[serde(deserialize_with = "duration")]
    pub persistent_inactivity: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        let SessionPolicy { absolute, inactivity, persistent_absolute, persistent_inactivity } =
            SessionPolicy::default();
        Self { absolute, inactivity, persistent_absolute, persistent_inactivity }
    }
}

impl SessionConfig {
    /// As the rule that `core` applies.
    pub fn policy(&self) -> SessionPolicy {
        SessionPolicy {
            absolute: self.absolute,
            inactivity: self.inactivity,
            persistent_absolute: self.persistent_absolute,
            persistent_inactivity: self.persistent_inactivity,
        }
    }
}

/// Lifetimes of refresh tokens, each written like `24h` or `30d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefreshConfig {
    /// One that nobody has used for so long is good no longer.
    #[serde(deserialize_with = "duration")]
    pub inactivity: Duration,
    /// What came of one sign-in ends after this, however often it was refreshed.
    #[serde(deserialize_with = "duration")]
    pub absolute: Duration,
    /// The first with `offline_access`.
    #[serde(deserialize_with = "duration")]
    pub offline_inactivity: Duration,
    /// The second with `offline_access`.
    #[serde(deserialize_with = "duration")]
    pub offline_absolute: Duration,
}

impl Default for RefreshConfig {
    fn default() -> Self {
        let RefreshPolicy { inactivity, absolute, offline_inactivity, offline_absolute } = RefreshPolicy::default();
        Self { inactivity, absolute, offline_inactivity, offline_absolute }
    }
}

impl RefreshConfig {
    /// As the rule that `core` applies.
    pub fn policy(&self) -> RefreshPolicy {
        RefreshPolicy {
            inactivity: self.inactivity,
            absolute: self.absolute,
            offline_inactivity: self.offline_inactivity,
            offline_absolute: self.offline_absolute,
        }
    }
}

/// Pass signing.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PassConfig {
    /// `EdDSA`, `ES256`, `PS256`, `RS256` or `HS256`; takes effect with the next key.
    pub algorithm: Algorithm,
}

impl Default for PassConfig {
    fn default() -> Self {
        Self { algorithm: Algorithm::EdDsa }
    }
}

/// Password work.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// Argon2id memory in KiB, at least 19,456.
    pub memory_kib: u32,
    /// Argon2id passes, at least 2.
    pub passes: u32,
    /// Sign-ins that may wait for a hashing thread before the answer is 503.
    pub queue: usize,
    /// Hashing threads; default: the number of cores.
    pub threads: Option<usize>,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, queue: 64, threads: None }
    }
}

/// Where alerts go besides the log. `Debug` hides what may hold credentials.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// An `https` URL that receives each alert as a JSON POST.
    pub webhook: Option<String>,
    /// A mail server: `smtps://user:password@mail.company.com`; better in the environment than in a file.
    pub smtp_url: Option<String>,
    /// Sender of alert mail.
    pub mail_from: Option<String>,
    /// Receivers of alert mail.
    pub mail_to: Vec<String>,
    /// Networks that the webhook may lie in although they are internal.
    pub allow_internal: Vec<Network>,
}

/// Handoffs and chains to other root domains.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandoffConfig {
    /// After so long without a click here, people are asked for one before they are sent on; a zone in which a browser was not active for so long
    /// is left out of its chains. Browsers delete what belongs to sites that nobody touches after 30 days at the earliest.
    #[serde(deserialize_with = "duration")]
    pub max_idle: Duration,
}

impl Default for HandoffConfig {
    fn default() -> Self {
        Self { max_idle: Duration::from_hours(25 * 24) }
    }
}

/// Telling apps that a session has ended.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignOutConfig {
    /// Networks that apps' logout addresses may lie in although they are internal: those that the apps' backends are in.
    pub allow_internal: Vec<Network>,
}

impl std::fmt::Debug for AlertConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AlertConfig").field("mail_to", &self.mail_to).finish_non_exhaustive()
    }
}

/// Where a secret comes from: exactly one of file, environment variable or command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretSource {
    /// A file with the secret as its only line.
    pub file: Option<PathBuf>,
    /// The name of an environment variable.
    pub env: Option<String>,
    /// A program and its arguments; what it prints is the secret: `["vault", "kv", "get", …]`.
    pub command: Option<Vec<String>>,
}

/// An address block such as `10.0.0.0/8`; a bare address is a block of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies in it; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address or address/prefix");
        let (address, prefix) =
            text.split_once('/').map_or((&*text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse::<IpAddr>().map_err(|_| wrong())?.to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| wrong())?;
        if prefix > longest { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

/// Why the configuration cannot be used; says which key, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not the TOML we expect.
    #[error("{0}: {1}")]
    Invalid(PathBuf, Box<toml::de::Error>),
    /// A value is missing or wrong.
    #[error("{0}")]
    Value(String),
}

impl Config {
    /// Reads `file` (if any), then the environment on top of it: `HALLPASS_PUBLIC_URL`, `HALLPASS_SESSION_ABSOLUTE`, ….
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = match file {
            None => toml::Table::new(),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.into(), error))?;
                let invalid = |error| ConfigError::Invalid(path.into(), Box::new(error));
                // By itself first: its errors name lines.
                toml::from_str::<Self>(&text).map_err(invalid)?;
                toml::from_str(&text).map_err(invalid)?
            }
        };
        let config = environment::apply(&table, &environment::read(environment)?)?;
        config.check()?;
        Ok(config)
    }

    /// Everywhere that a secret comes from.
    fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let registration = self.registration.iter().map(|registration| &registration.initial_access_token);
        let upstream = self.upstream.oidc.iter().map(|oidc| &oidc.client_secret);
        std::iter::once(&self.master_key).chain(registration).chain(upstream)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError::Value(text.to_owned()));
        if self.password.memory_kib < 19 * 1024 || self.password.passes < 2 {
            return wrong(
                "password: memory_kib must be at least 19456 and passes at least 2 (OWASP minimum for Argon2id)",
            );
        }
        if self.session.inactivity > self.session.absolute
            || self.session.persistent_inactivity > self.session.persistent_absolute
        {
            return wrong("session: an inactivity timeout longer than the absolute lifetime has no effect; shorten it");
        }
        if self.session.absolute.is_zero() || self.session.inactivity.is_zero() {
            return wrong("session: lifetimes must be longer than zero");
        }
        let refresh = &self.refresh;
        if refresh.inactivity.is_zero() || refresh.offline_inactivity.is_zero() {
            return wrong("refresh: lifetimes must be longer than zero");
        }
        if refresh.inactivity > refresh.absolute || refresh.offline_inactivity > refresh.offline_absolute {
            return wrong("refresh: an inactivity timeout longer than the absolute lifetime has no effect; shorten it");
        }
        if let Some(kratos) = &self.kratos {
            kratos.check(self.public_url.as_ref()).map_err(|why| ConfigError::Value(format!("kratos: {why}")))?;
        }
        self.client_metadata_documents
            .check()
            .map_err(|why| ConfigError::Value(format!("client_metadata_documents: {why}")))?;
        self.upstream.check(self.kratos.as_ref()).map_err(|why| ConfigError::Value(format!("upstream: {why}")))?;
        if let (Some(url), Some(domain)) = (&self.public_url, self.home_domain()?)
            && !domain.covers(url.host())
        {
            return wrong(&format!(
                "cookie_domain {domain} does not cover the host of public_url {url}: browsers would refuse the pass"
            ));
        }
        Ok(())
    }

    /// The home zone's cookie domain, parsed.
    pub fn home_domain(&self) -> Result<Option<CookieDomain>, ConfigError> {
        let parsed = self.cookie_domain.as_deref().map(str::parse::<CookieDomain>).transpose();
        parsed.map_err(|error| ConfigError::Value(format!("cookie_domain: {error}")))
    }

    /// How keys of one purpose are made and replaced.
    pub fn key_policy(&self, purpose: Purpose) -> KeyPolicy {
        let algorithm = match purpose {
            Purpose::Pass => self.pass.algorithm,
            // Request tokens are checked by other people's services with the published keys: always a public-key algorithm.
            Purpose::Token => Algorithm::EdDsa,
            Purpose::IdToken => Algorithm::Rs256,
        };
        KeyPolicy { algorithm, ..KeyPolicy::default() }
    }

    /// The database, by default a file in the data directory.
    pub fn database(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", self.data_dir.join("hallpass.db").display()))
    }
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Days of 24 hours, which the parser refuses: beside a calendar not every day is as long.
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        return Ok(Duration::from_hours(u64::from(days) * 24));
    }
    jiff::fmt::serde::unsigned_duration::friendly::compact::required::deserialize(text.into_deserializer())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> [(String, String); 0] {
        []
    }

    fn set<const COUNT: usize>(variables: [(&str, &str); COUNT]) -> [(String, String); COUNT] {
        variables.map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hallpass.toml");
        std::fs::write(&file, "brand = \"A\"\nlisten = \"127.0.0.1:1\"\n[session]\nabsolute = \"12h\"\n")
            .expect("written");
        let config = Config::load(Some(&file), set([("HALLPASS_BRAND", "B")])).expect("valid");
        assert_eq!((config.brand.as_str(), config.listen.port()), ("B", 1));
        assert_eq!(config.session.absolute, Duration::from_hours(12));
    }

    #[test]
    fn a_misspelt_key_is_an_error_not_a_default() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hallpass.toml");
        std::fs::write(&file, "trusted_proxy = []\n").expect("written");
        assert!(Config::load(Some(&file), nothing()).expect_err("refused").to_string().contains("trusted_proxy"));
    }

    #[test]
    fn lifetimes_that_cannot_be_meant_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hallpass.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).expect("written");
            Config::load(Some(&file), nothing())
                .map(|config| config.refresh.policy())
                .map_err(|error| error.to_string())
        };
        let policy = load("[refresh]\noffline_inactivity = \"5d\"\n").expect("valid");
        assert_eq!(policy.offline_inactivity, Duration::from_hours(5 * 24));
        assert_eq!(policy.inactivity, RefreshPolicy::default().inactivity);
        for (wrong, said) in [
            ("inactivity = \"8d\"", "refresh: an inactivity"),
            ("offline_inactivity = \"181d\"", "refresh: an inactivity"),
            ("inactivity = \"0s\"", "longer than zero"),
            ("absolut = \"1d\"", "absolut"),
            ("absolute = \"d\"", "absolute"),
            ("absolute = \"-1d\"", "absolute"),
        ] {
            let refused = load(&format!("[refresh]\n{wrong}\n")).expect_err(wrong);
            assert!(refused.contains(said), "{wrong}: {refused}");
        }
    }

    #[test]
    fn hosts_of_documents_are_names_and_an_empty_list_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hallpass.toml");
        let load = |text: &str| {
            std::fs::write(&file, format!("[client_metadata_documents]\n{text}\n")).expect("written");
            let config = Config::load(Some(&file), nothing()).map_err(|error| error.to_string())?;
            Ok::<_, String>(config.client_metadata_documents)
        };
        assert!(!Config::default().client_metadata_documents.enabled);
        let all = load("enabled = true").expect("valid");
        assert!(all.enabled && all.hosts.is_none());
        assert_eq!(load("hosts = []").expect("valid").hosts, Some(Vec::new()));
        assert!(load("hosts = [\"client.example\", \"127.0.0.1\"]").is_ok());
        for wrong in [
            "*.client.example",
            "Client.example",
            "https://client.example",
            "client.example:443",
            "client.example/",
            "",
        ] {
            let refused = load(&format!("hosts = [\"{wrong}\"]")).expect_err(wrong);
            assert!(refused.contains("client_metadata_documents: hosts"), "{wrong}: {refused}");
        }
        assert!(load("host = []").is_err());
    }

    #[test]
    fn a_cookie_domain_must_cover_the_home_host() {
        let elsewhere = [("HALLPASS_PUBLIC_URL", "https://auth.company.com"), ("HALLPASS_COOKIE_DOMAIN", "other.com")];
        assert!(Config::load(None, set(elsewhere)).expect_err("refused").to_string().contains("does not cover"));
        let suffix = [("HALLPASS_COOKIE_DOMAIN", "co.uk")];
        assert!(Config::load(None, set(suffix)).expect_err("refused").to_string().contains("public suffix"));
    }

    #[test]
    fn networks_match_by_prefix() {
        let network = |text: &str| Network::try_from(text.to_owned());
        let ten = network("10.0.0.0/8").expect("valid");
        assert!(ten.contains("10.9.8.7".parse().expect("ip")) && ten.contains("::ffff:10.1.1.1".parse().expect("ip")));
        assert!(!ten.contains("11.0.0.1".parse().expect("ip")) && !ten.contains("::1".parse().expect("ip")));
        assert!(network("0.0.0.0/0").expect("valid").contains("1.2.3.4".parse().expect("ip")));
        assert!(network("::1").expect("valid").contains("::1".parse().expect("ip")));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "localhost"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
