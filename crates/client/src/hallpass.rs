//! [`Hallpass`]: one application's connection to its engine, shared by every layer made from it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::agent::START;
use crate::builder::Builder;
use crate::changes;
use crate::clock::Clock;
use crate::crypto::Sealer;
use crate::engine::Engine;
use crate::layer::HallpassLayer;
use crate::memory::Memory;
use crate::origin::Origin;
use crate::secret::SecretKey;
use crate::settings::{Agent, CsrfMode, FirstContact, Optional};
use crate::unfinished::Unfinished;

/// One application's connection to its engine. Cheap to clone; when the last clone and layer are gone, it stops
/// listening for changes.
#[derive(Clone)]
pub struct Hallpass {
    pub(crate) inner: Arc<Inner>,
}

/// What the layers share.
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
    pub(crate) app_key: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) pass_cookie: String,
    pub(crate) agent: Option<Agent>,
    pub(crate) grace: Duration,
    pub(crate) first_contact: FirstContact,
    pub(crate) csrf: CsrfMode,
    pub(crate) optional: Optional,
    pub(crate) after_sign_out: Option<String>,
    pub(crate) unfinished: Unfinished,
    pub(crate) listener: OnceLock<Listener>,
}

impl Hallpass {
    /// Starts setting up. `engine_url` is the engine's public address, its issuer (`https://auth.company.com`);
    /// `app_key` and `secret_key` are what it issued for this application.
    pub fn builder(
        engine_url: impl Into<String>,
        app_key: impl Into<String>,
        secret_key: impl Into<SecretKey>,
    ) -> Builder {
        Builder::new(engine_url.into(), app_key.into(), secret_key.into())
    }

    /// A tower layer that lets nobody past whom the engine does not know.
    pub fn layer(&self) -> HallpassLayer {
        HallpassLayer { inner: Arc::clone(&self.inner) }
    }

    /// Whether the engine is reporting changes right now. While it is not, answers are kept for ten seconds at most.
    pub fn hears_changes(&self) -> bool {
        self.inner.memory.is_live()
    }
}

impl fmt::Debug for Hallpass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hallpass")
            .field("app_key", &self.inner.app_key)
            .field("origin", &self.inner.origin.as_str())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Listens for changes from the first moment at which there is a runtime to do it in.
    pub(crate) fn ensure_listening(&self) {
        self.listener.get_or_init(|| {
            let task = tokio::spawn(changes::listen(Arc::clone(&self.engine), Arc::clone(&self.memory)));
            Listener(task.abort_handle())
        });
    }

    /// Whether the pass is this app's alone.
    pub(crate) fn is_bound(&self) -> bool {
        self.agent.is_some_and(|agent| agent.bound)
    }

    /// Where to sign in and come back to `destination`. With an agent, that is an address of our own, which looks first.
    pub(crate) fn sign_in_url(&self, destination: &str) -> String {
        if self.agent.is_some() { self.start_url(destination) } else { self.sign_in_at_home_url(destination) }
    }

    /// Where to fetch a new pass for the session at home, or to sign in if there is none.
    pub(crate) fn refresh_url(&self, destination: &str) -> String {
        if self.agent.is_some() {
            self.start_url(destination)
        } else {
            self.engine_url("/pass/refresh", &self.app_key, &self.absolute(destination))
        }
    }

    /// The engine's sign-in page, with the way back to `destination`.
    pub(crate) fn sign_in_at_home_url(&self, destination: &str) -> String {
        self.engine_url("/sign-in", &self.app_key, &self.absolute(destination))
    }

    /// Where to sign out by hand.
    pub(crate) fn sign_out_url(&self) -> String {
        let after = self.after_sign_out.as_deref().unwrap_or("/");
        self.engine_url("/sign-out", &self.app_key, &self.absolute(after))
    }

    /// A page of the engine's that is told an app and an address.
    pub(crate) fn engine_url(&self, path: &str, app: &str, return_to: &str) -> String {
        let mut url = self.engine.public().at(path);
        url.query_pairs_mut().append_pair("app", app).append_pair("return_to", return_to);
        url.into()
    }

    /// Where a sign-in over several zones goes on.
    pub(crate) fn next_url(&self, chain: &str) -> String {
        self.chain_url("/handoff/next", chain)
    }

    /// Where a chain of the engine's goes on.
    pub(crate) fn chain_url(&self, path: &str, chain: &str) -> String {
        let mut url = self.engine.public().at(path);
        url.query_pairs_mut().append_pair("chain", chain);
        url.into()
    }

    fn start_url(&self, destination: &str) -> String {
        let mut url = self.origin.at(START);
        url.query_pairs_mut().append_pair("r", destination);
        url.into()
    }

    fn absolute(&self, destination: &str) -> String {
        format!("{}{destination}", self.origin.as_str())
    }
}

/// Ends the listening with the last user of what is heard.
pub(crate) struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}
