//! Setting the layer up: everything that could be wrong is found at start, not at the first request.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::crypto::Sealer;
use crate::engine::Engine;
use crate::hallpass::{Hallpass, Inner};
use crate::memory::Memory;
use crate::origin::Origin;
use crate::secret::SecretKey;
use crate::visit;

/// A pass lives for 15 minutes; nobody is let in on an older word.
const LONGEST_GRACE: Duration = Duration::from_mins(15);

/// What to do with the first pass that this app sees in a browser (protocol §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstContact {
    /// Accept it: no redirect, no question. A hostile sibling host can then show somebody the wrong account on their
    /// very first visit.
    #[default]
    Trust,
    /// Show a page that names the person and asks, once per browser. For apps with money, health or power.
    Confirm,
}

/// What guards requests that may change something, besides the session (protocol §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CsrfMode {
    /// The origin rule; a CSRF token is checked where one is presented.
    #[default]
    OriginOnly,
    /// The origin rule, and signed-in people's requests must carry a valid CSRF token.
    Token,
}

/// Which paths are open to anonymous visitors.
pub(crate) type Optional = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Why [`Builder::build`] refuses.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The engine's URL is no https origin (http for `localhost` and `*.localhost` only).
    #[error("the engine's URL must read https://host, as configured there as issuer; it reads {0:?}")]
    EngineUrl(String),
    /// `origin` was not called, or not with an https origin (http for `localhost` and `*.localhost` only).
    #[error("the application's origin must read https://host, as people reach it; it reads {0:?}")]
    Origin(String),
    /// The app key holds something other than letters, digits, `-` and `_`.
    #[error("the app key must be letters, digits, - and _; it reads {0:?}")]
    AppKey(String),
    /// A secret key is empty.
    #[error("the secret key is empty")]
    EmptySecret,
    /// No cookie can have this name.
    #[error("no cookie can be named {0:?}")]
    PassCookie(String),
    /// Not a path on the application's own origin.
    #[error("after signing out, people can be sent to a path of this application only, not to {0:?}")]
    AfterSignOut(String),
    /// Longer than a pass lives.
    #[error("the grace is longer than the 15 minutes that a pass lives")]
    Grace,
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

/// Collects the settings; [`Hallpass::builder`] makes one.
#[must_use = "nothing happens until `build`"]
pub struct Builder {
    engine_url: String,
    app_key: String,
    secret: SecretKey,
    previous_secrets: Vec<SecretKey>,
    origin: String,
    pass_cookie: String,
    connect_to: Option<SocketAddr>,
    timeout: Duration,
    grace: Duration,
    first_contact: FirstContact,
    csrf: CsrfMode,
    optional: Optional,
    after_sign_out: String,
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
            pass_cookie: "__Secure-hallpass-pass".to_owned(),
            connect_to: None,
            timeout: Duration::from_secs(2),
            grace: Duration::ZERO,
            first_contact: FirstContact::default(),
            csrf: CsrfMode::default(),
            optional: Arc::new(|_| false),
            after_sign_out: "/".to_owned(),
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
        self.pass_cookie = name.into();
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

    /// The path to which people come after signing out. Default: `/`.
    pub fn after_sign_out(mut self, path: impl Into<String>) -> Self {
        self.after_sign_out = path.into();
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
        if self.pass_cookie.is_empty() || !self.pass_cookie.bytes().all(is_word) {
            return Err(BuildError::PassCookie(self.pass_cookie));
        }
        if visit::local(&self.after_sign_out) != self.after_sign_out {
            return Err(BuildError::AfterSignOut(self.after_sign_out));
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
            pass_cookie: self.pass_cookie,
            grace: self.grace,
            first_contact: self.first_contact,
            csrf: self.csrf,
            optional: self.optional,
            after_sign_out: self.after_sign_out,
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
        for path in ["https://evil.com/", "//evil.com", "bye", ""] {
            assert!(error(builder().after_sign_out(path)).contains("after signing out"), "{path}");
        }
        assert!(error(builder().grace(Duration::from_secs(901))).contains("grace"));
    }
}
