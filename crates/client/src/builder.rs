//! Setting the layer up: everything that could be wrong is found at start, not at the first request.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::build_error::BuildError;
use crate::clock::Clock;
use crate::crypto::Sealer;
use crate::destination::local;
use crate::engine::Engine;
use crate::hallpass::{Hallpass, Inner};
use crate::memory::Memory;
use crate::origin::Origin;
use crate::pass_cookie;
use crate::secret::SecretKey;
use crate::settings::{Agent, CsrfMode, FirstContact, Optional};
use crate::unfinished::Unfinished;

/// A pass lives for 15 minutes; nobody is let in on an older word.
const LONGEST_GRACE: Duration = Duration::from_mins(15);

/// Collects the settings; [`Hallpass::builder`] makes one.
#[must_use = "nothing happens until `build`"]
pub struct Builder {
    engine_url: String,
    app_key: String,
    secret: SecretKey,
    previous_secrets: Vec<SecretKey>,
    origin: String,
    pass_cookie: Option<String>,
    connect_to: Option<SocketAddr>,
    timeout: Duration,
    grace: Duration,
    first_contact: FirstContact,
    csrf: CsrfMode,
    optional: Optional,
    agent: bool,
    bound: bool,
    discover: Option<bool>,
    after_sign_out: Option<String>,
    remember: usize,
    clock: Clock,
}

impl Builder {
    pub(crate) fn new(engine_url: String, app_key: String, secret: SecretKey) -> Self {
        Self {
            engine_url,
            app_key,
            secret,
            previous_secrets: Vec::new(),
            origin: String::new(),
            pass_cookie: None,
            connect_to: None,
            timeout: Duration::from_secs(2),
            grace: Duration::ZERO,
            first_contact: FirstContact::default(),
            csrf: CsrfMode::default(),
            optional: Arc::new(|_| false),
            agent: false,
            bound: false,
            discover: None,
            after_sign_out: None,
            remember: 10_000,
            clock: Clock::system(),
        }
    }

    /// The application's own public origin, `https://pos.company.com`. Required: where people are is never read from
    /// `Host` or `X-Forwarded-*`.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// A secret key that was replaced: it still opens this app's own cookies, so that nobody is asked again. It is
    /// not shown to the engine.
    pub fn previous_secret(mut self, secret: impl Into<SecretKey>) -> Self {
        self.previous_secrets.push(secret.into());
        self
    }

    /// The name of the pass's cookie, as configured at the engine. Default: `__Secure-hallpass-pass`.
    pub fn pass_cookie(mut self, name: impl Into<String>) -> Self {
        self.pass_cookie = Some(name.into());
        self
    }

    /// Reaches the engine at this address, under its public name: the same scheme, host and certificate.
    pub fn connect_to(mut self, address: SocketAddr) -> Self {
        self.connect_to = Some(address);
        self
    }

    /// How long to wait for an answer of the engine. Default: 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For how long, while the engine does not answer, requests that change nothing may be answered from its last
    /// word about a session. Default: none. At most 15 minutes. A session ended in that time goes unnoticed.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What to do with the first pass seen in a browser. Default: [`FirstContact::Trust`].
    pub fn first_contact(mut self, first_contact: FirstContact) -> Self {
        self.first_contact = first_contact;
        self
    }

    /// What guards requests that may change something. Default: [`CsrfMode::OriginOnly`].
    pub fn csrf(mut self, mode: CsrfMode) -> Self {
        self.csrf = mode;
        self
    }

    /// Declares paths open to anonymous visitors; who is signed in is still known there. Paths that could be read in
    /// two ways (`/public/../admin`) are never open, whatever this says.
    pub fn optional(mut self, is_optional: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.optional = Arc::new(is_optional);
        self
    }

    /// Makes this app its own agent: it serves `/.sso/…` and `/.well-known/sso-agent` on its own origin and learns by a
    /// handoff who is signed in at home. For apps of other root domains, for bound apps, and for apps that want the home
    /// session's word instead of a question when another person's pass arrives.
    pub fn agent(mut self) -> Self {
        self.agent = true;
        self
    }

    /// Gives this app a pass of its own (`__Host-Http-hallpass-pass`), which no other host can read or overwrite. Implies
    /// [`Builder::agent`]. For apps with money, health or power; the app must be registered as bound at the engine.
    pub fn bound(mut self) -> Self {
        self.agent = true;
        self.bound = true;
        self
    }

    /// Whether an anonymous visitor of an optional path is sent to look once, without a sign-in page, whether they are
    /// signed in at home. Default with an agent: yes.
    pub fn discover(mut self, discover: bool) -> Self {
        self.discover = Some(discover);
        self
    }

    /// The path to which people come after signing out. Default: the engine's page that says what was signed out.
    pub fn after_sign_out(mut self, path: impl Into<String>) -> Self {
        self.after_sign_out = Some(path.into());
        self
    }

    /// How many passes to remember at most. Default: 10,000.
    pub fn remember(mut self, passes: usize) -> Self {
        self.remember = passes.max(1);
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Checks the settings. Asks nothing of the engine, so an application can start before it.
    pub fn build(self) -> Result<Hallpass, BuildError> {
        let issuer = Origin::parse(&self.engine_url).ok_or(BuildError::EngineUrl(self.engine_url))?;
        let origin = Origin::parse(&self.origin).ok_or(BuildError::Origin(self.origin))?;
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.app_key.is_empty() || !self.app_key.bytes().all(is_word) {
            return Err(BuildError::AppKey(self.app_key));
        }
        if std::iter::once(&self.secret).chain(&self.previous_secrets).any(|secret| secret.expose().is_empty()) {
            return Err(BuildError::EmptySecret);
        }
        let pass_cookie = match (self.bound, self.pass_cookie) {
            (true, Some(other)) if other != pass_cookie::BOUND => return Err(BuildError::BoundPassCookie(other)),
            (true, _) => pass_cookie::BOUND.to_owned(),
            (false, name) => name.unwrap_or_else(|| pass_cookie::ZONE.to_owned()),
        };
        if pass_cookie.is_empty() || !pass_cookie.bytes().all(is_word) {
            return Err(BuildError::PassCookie(pass_cookie));
        }
        if self.discover == Some(true) && !self.agent {
            return Err(BuildError::DiscoverWithoutAgent);
        }
        if let Some(elsewhere) = self.after_sign_out.as_ref().filter(|path| local(path) != **path) {
            return Err(BuildError::AfterSignOut(elsewhere.clone()));
        }
        if self.grace > LONGEST_GRACE {
            return Err(BuildError::Grace);
        }
        let sealer = Sealer::new(&self.app_key, std::iter::once(&self.secret).chain(&self.previous_secrets));
        let engine = Engine::new(issuer, self.connect_to, &self.app_key, self.secret, origin.authority(), self.timeout)
            .map_err(BuildError::Http)?;
        let inner = Inner {
            engine: Arc::new(engine),
            memory: Arc::new(Memory::new(&self.app_key, self.clock.clone(), self.remember)),
            sealer,
            clock: self.clock,
            app_key: self.app_key.into(),
            origin,
            pass_cookie,
            agent: self.agent.then_some(Agent { discover: self.discover.unwrap_or(true), bound: self.bound }),
            grace: self.grace,
            first_contact: self.first_contact,
            csrf: self.csrf,
            optional: self.optional,
            after_sign_out: self.after_sign_out,
            unfinished: Unfinished::default(),
            listener: OnceLock::new(),
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            inner.ensure_listening();
        }
        Ok(Hallpass { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("engine_url", &self.engine_url)
            .field("app_key", &self.app_key)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> Builder {
        Hallpass::builder("https://auth.company.com", "pos", "hp_sk_secret").origin("https://pos.company.com")
    }

    #[test]
    fn the_defaults_build_outside_a_runtime_and_show_no_secret() {
        let hallpass = builder().build().expect("valid");
        assert!(!format!("{:?} {hallpass:?}", builder()).contains("hp_sk_secret"));
    }

    #[test]
    fn mistakes_are_named_at_start() {
        let error = |builder: Builder| builder.build().expect_err("refused").to_string();
        assert!(error(Hallpass::builder("http://auth.company.com", "pos", "x")).contains("http://auth.company.com"));
        assert!(error(Hallpass::builder("https://auth.company.com/x", "pos", "x")).contains("engine's URL"));
        assert!(error(Hallpass::builder("https://auth.company.com", "pos", "x")).contains("origin"));
        assert!(error(builder().origin("http://pos.company.com")).contains("origin"));
        assert!(error(builder().origin("https://pos.company.com/app")).contains("origin"));
        for key in ["", "a:b", "a b", "a\"b"] {
            let bad = Hallpass::builder("https://auth.company.com", key, "x").origin("https://pos.company.com");
            assert!(error(bad).contains("app key"), "{key}");
        }
        assert!(error(builder().previous_secret(" ")).contains("empty"));
        assert!(error(builder().pass_cookie("a;b")).contains("a;b"));
        assert!(error(builder().bound().pass_cookie("__Secure-hallpass-pass")).contains("__Host-Http-hallpass-pass"));
        assert!(error(builder().discover(true)).contains("agent"));
        for path in ["https://evil.com/", "//evil.com", "bye", ""] {
            assert!(error(builder().after_sign_out(path)).contains("after signing out"), "{path}");
        }
        assert!(error(builder().grace(Duration::from_secs(901))).contains("grace"));
    }

    #[test]
    fn a_bound_app_has_an_agent_and_a_pass_of_its_own() {
        let built = |builder: Builder| {
            let inner = builder.build().expect("valid").inner;
            (inner.pass_cookie.clone(), inner.agent)
        };
        let looks = Some(Agent { discover: true, bound: false });
        assert_eq!(built(builder()), ("__Secure-hallpass-pass".into(), None));
        assert_eq!(built(builder().discover(false)), ("__Secure-hallpass-pass".into(), None));
        assert_eq!(built(builder().agent().pass_cookie("other")), ("other".into(), looks));
        let bound = Some(Agent { discover: false, bound: true });
        let same_name = builder().bound().pass_cookie("__Host-Http-hallpass-pass").discover(false);
        assert_eq!(built(same_name), ("__Host-Http-hallpass-pass".into(), bound));
    }
}
