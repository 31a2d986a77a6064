//! Everything a handler may use, in one concrete struct; and the only place where the clock is read.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hallpass_core::app::Origin;
use hallpass_core::crypto::{MacKey, MasterKey, Random, Sealer, SystemRandom};
use hallpass_core::handoff;
use hallpass_core::id::SessionId;
use hallpass_core::oidc;
use hallpass_core::session::SessionPolicy;
use hallpass_core::throttle::Limits;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream;
use hallpass_store::Store;
use hallpass_store::view::View;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex, watch};

use crate::alerts::Alerts;
use crate::changes::Streams;
use crate::config::{Config, ConfigError};
use crate::handoff::token;
use crate::oidc::documents::Documents;
use crate::oidc::grant::refresh_token;
use crate::oidc::pending;
use crate::oidc::registration::Registration;
use crate::outgoing::Outgoing;
use crate::passwords::Passwords;
use crate::sign_out::deliver::Deliveries;
use crate::sign_out::receipt;
use crate::telemetry::Telemetry;
use crate::upstream::kratos::Kratos;
use crate::upstream::oidc::provider::Provider;
use crate::verified::Verified;
use crate::web::call::RequestId;
use crate::web::credentials::Remembered;

/// What the whole process shares.
pub struct Context {
    /// As configured.
    pub config: Config,
    /// The home host as browsers see it: the issuer.
    pub public_url: Origin,
    /// What we remember.
    pub store: Store,
    /// What introspection reads.
    pub view: Arc<View>,
    /// Keys derived from the master key.
    pub keys: DerivedKeys,
    /// The master key itself, to seal new signing keys.
    pub master: Arc<MasterKey>,
    /// Hashing threads.
    pub passwords: Passwords,
    /// Signatures already checked.
    pub verified: Verified,
    /// Credentials of apps that were right.
    pub credentials: Remembered,
    /// How often a password may be tried.
    pub limits: Limits,
    /// Wrong app credentials, by source address.
    pub app_refusals: Counter<IpAddr>,
    /// Pass refreshes, by session.
    pub refreshes: Counter<SessionId>,
    /// Handoffs, by session and who asks: an app or not, and the name.
    pub handoffs: Counter<(SessionId, bool, String)>,
    /// Refused handoffs, by source address.
    pub handoff_refusals: Counter<IpAddr>,
    /// Devices that begin, by source address.
    pub device_authorizations: Counter<IpAddr>,
    /// Authorization requests pushed by clients without a secret, by source address.
    pub pushes: Counter<IpAddr>,
    /// Refused grants that are written down, by app (its slot) and reason.
    pub grant_refusals: Counter<(u32, &'static str)>,
    /// Which apps hold a change stream here.
    pub streams: Streams,
    /// Turns true when the engine stops.
    pub stopping: watch::Sender<bool>,
    /// Counters.
    pub telemetry: Telemetry,
    /// Who is told when something looks wrong.
    pub alerts: Alerts,
    /// Telling apps of sign-outs.
    pub deliveries: Deliveries,
    /// Held by whoever makes a signing key.
    pub rotation: Mutex<()>,
    /// Where people may sign in besides here.
    pub kratos: Option<Arc<Kratos>>,
    /// Whether and how OIDC clients may register themselves.
    pub registration: Option<Arc<Registration>>,
    /// Whether and how OIDC clients may describe themselves.
    pub documents: Option<Arc<Documents>>,
    /// Other providers where they may, in the order of their buttons.
    pub providers: Vec<Arc<Provider>>,
    /// Refused sign-ins by way of any of them, by source address.
    pub upstream_refusals: Counter<IpAddr>,
    clock: Clock,
    next_request: AtomicU64,
}

/// Keys derived from the master key, one per purpose.
#[derive(Debug, Clone)]
pub struct DerivedKeys {
    /// CSRF tokens of apps and of our own pages.
    pub csrf: MacKey,
    /// Names of throttle buckets, so that the table holds no user names.
    pub throttle: MacKey,
    /// Handoffs under way, in browsers.
    pub handoff: Arc<Sealer>,
    /// Answers to redeemed codes, for identical retries.
    pub handoff_answer: Arc<Sealer>,
    /// Chains under way, in addresses.
    pub chain: Arc<Sealer>,
    /// Addresses of sign-out receipts.
    pub receipt: Arc<Sealer>,
    /// Sign-ins at an upstream under way, in browsers.
    pub upstream_transaction: Arc<Sealer>,
    /// Where browsers go on to by way of a provider at which they sign out.
    pub upstream_sign_out: Arc<Sealer>,
    /// What sessions that stand on an upstream's are asked about with.
    pub upstream_credential: Arc<Sealer>,
    /// Authorization requests that wait for a sign-in, in addresses.
    pub pending: Arc<Sealer>,
    /// Answers to refresh tokens, for whoever did not hear them.
    pub refresh_answer: Arc<Sealer>,
    /// What clients know people as that have names of their own for them.
    pub pairwise: MacKey,
}

/// Where instants come from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved; milliseconds since the epoch.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The present instant.
    #[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Fixed(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }
}

impl Context {
    /// Puts the parts together. `config.public_url` must be set.
    pub async fn new(
        config: Config,
        store: Store,
        master: Arc<MasterKey>,
        clock: Clock,
        stopping: watch::Sender<bool>,
    ) -> Result<Arc<Self>, StartError> {
        let public_url = config.public_url.clone().ok_or_else(|| {
            ConfigError::Value("public_url is not set: say where browsers reach this server, for example HALLPASS_PUBLIC_URL=https://auth.company.com".to_owned())
        })?;
        let view = View::open(store.clone(), master.clone(), config.maximum_sessions_in_memory).await?;
        let limits = Limits::default();
        let keys = DerivedKeys {
            csrf: master.mac("csrf"),
            throttle: master.mac("throttle"),
            handoff: Arc::new(master.sealer(handoff::SEALER)),
            handoff_answer: Arc::new(master.sealer(token::SEALER)),
            chain: Arc::new(master.sealer(handoff::chain::SEALER)),
            receipt: Arc::new(master.sealer(receipt::SEALER)),
            upstream_transaction: Arc::new(master.sealer(upstream::transaction::SEALER)),
            upstream_sign_out: Arc::new(master.sealer(crate::upstream::oidc::sign_out::SEALER)),
            upstream_credential: Arc::new(master.sealer(upstream::CREDENTIAL_SEALER)),
            pending: Arc::new(master.sealer(pending::SEALER)),
            refresh_answer: Arc::new(master.sealer(refresh_token::SEALER)),
            pairwise: master.mac(oidc::PAIRWISE),
        };
        let outgoing = Outgoing::new(&config.sign_out.allow_internal);
        let outgoing = outgoing.map_err(|error| StartError::Other(format!("sign_out: {error}")))?;
        let kratos = config.kratos.as_ref().map(Kratos::new).transpose();
        let kratos = kratos.map_err(|error| StartError::Other(format!("kratos: {error}")))?.map(Arc::new);
        let mut providers = Vec::with_capacity(config.upstream.oidc.len());
        for provider in &config.upstream.oidc {
            providers.push(Arc::new(Provider::new(provider).await?));
        }
        let registration = Registration::configured(&config).await?.map(Arc::new);
        let documents = Documents::configured(&config.client_metadata_documents)?.map(Arc::new);
        let mut seed = [0u8; 8];
        SystemRandom.fill(&mut seed);
        Ok(Arc::new(Self {
            public_url,
            view,
            keys,
            passwords: Passwords::new(&config.password)?,
            limits,
            credentials: Remembered::new(),
            verified: Verified::new(config.maximum_sessions_in_memory),
            app_refusals: Counter::new(limits.caller.attempts, limits.caller.window),
            refreshes: Counter::new(3, Duration::from_secs(30)),
            // A restored window with many tabs sends each of them once.
            handoffs: Counter::new(24, Duration::from_secs(30)),
            handoff_refusals: Counter::new(20, Duration::from_mins(1)),
            device_authorizations: Counter::new(30, Duration::from_mins(1)),
            // An office behind one address may come to work at the same minute.
            pushes: Counter::new(300, Duration::from_mins(1)),
            // By app and reason, not by address: whoever wants to fill the disk has many of those, and garbage must not crowd out a thief.
            grant_refusals: Counter::new(20, Duration::from_mins(1)),
            streams: Streams::default(),
            stopping,
            telemetry: Telemetry::new(clock.now()),
            alerts: Alerts::new(&config.alerts)?,
            deliveries: Deliveries::new(outgoing),
            rotation: Mutex::default(),
            kratos,
            providers,
            registration,
            documents,
            upstream_refusals: Counter::new(20, Duration::from_mins(1)),
            next_request: AtomicU64::new(u64::from_be_bytes(seed)),
            config,
            store,
            master,
            clock,
        }))
    }

    /// The present instant. Handlers use `call.now` instead, which is this, read once.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<Arc<Provider>> {
        self.providers.iter().find(|provider| provider.name().as_str() == name).cloned()
    }

    /// A source of randomness.
    pub fn random(&self) -> impl Random + use<> {
        SystemRandom
    }

    /// How long sessions live.
    pub fn session_policy(&self) -> SessionPolicy {
        self.config.session.policy()
    }

    /// A name for the next request.
    pub fn request_id(&self) -> RequestId {
        // An odd multiplier permutes the numbers, so neighbouring requests do not look alike.
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The database.
    #[error("{0}")]
    Store(#[from] hallpass_store::StoreError),
    /// A listener.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// Something else, said in full.
    #[error("{0}")]
    Other(String),
}

/// Counts events by key in a sliding pair of windows; in memory, bounded, of this process only. A nuisance brake, not a promise:
/// what must hold across nodes is counted in the database.
pub struct Counter<K> {
    counts: Cache<K, (i64, u32, u32)>,
    limit: u32,
    window: Duration,
}

impl<K: std::hash::Hash + Eq + Clone> Counter<K> {
    /// At most `limit` events per `window`.
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { counts: Cache::new(10_000), limit, window }
    }

    /// Counts one event and tells whether the limit is now exceeded.
    pub fn count(&self, key: K, now: Timestamp) -> bool {
        let (current, previous, slot) = self.read(&key, now);
        self.counts.insert(key, (slot, current.saturating_add(1), previous));
        current + previous >= self.limit
    }

    /// When to come back, if the limit is used up.
    pub fn blocked(&self, key: &K, now: Timestamp) -> Option<Duration> {
        let (current, previous, _) = self.read(key, now);
        (current + previous >= self.limit).then_some(self.window)
    }

    fn read(&self, key: &K, now: Timestamp) -> (u32, u32, i64) {
        let window = i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX).max(1);
        let slot = now.as_millis().div_euclid(window);
        match self.counts.get(key) {
            Some((at, current, previous)) if at == slot => (current, previous, slot),
            Some((at, current, _)) if at + 1 == slot => {
                // Of the window before, the share that a sliding window would still see.
                let left = window - now.as_millis().rem_euclid(window);
                let share = i64::from(current) * left / window;
                (0, u32::try_from(share).unwrap_or(0), slot)
            }
            _ => (0, 0, slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_slides() {
        let counter = Counter::new(3, Duration::from_secs(30));
        let start = Timestamp::from_seconds(3000);
        assert!(!counter.count(1, start) && !counter.count(1, start) && !counter.count(1, start));
        assert!(counter.count(1, start), "the fourth within the window");
        assert!(!counter.count(2, start), "another key has its own count");
        assert!(counter.blocked(&1, start + Duration::from_secs(29)).is_some());
        assert!(counter.blocked(&1, start + Duration::from_secs(61)).is_none());
    }
}
