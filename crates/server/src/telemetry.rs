//! Counters of what happens, per app and reason, for Prometheus and for the alert rules. Protocol §19.
//!
//! Plain atomics rather than a metrics facade: the alert rules read the same counters as Prometheus does, an addition is one relaxed instruction
//! without hashing a name, and a histogram takes the same memory whether or not anybody ever asks for it.

mod apps;
mod text;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hallpass_core::audit::InactiveReason;
use hallpass_core::id::AppKey;
use hallpass_core::time::Timestamp;
use hallpass_store::view::AppEntry;
use http::Method;
use parking_lot::Mutex;

pub use self::apps::{AppTotals, Reused};
pub use self::text::{Facts, KeyFacts};
pub use self::times::{Stopwatch, Times};
use crate::alerts::Cause;

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// So many more.
    pub fn add_many(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How an attempt to deliver an alert, or to tell an app of a sign-out, went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Delivered,
    /// It was not, and will be tried again.
    Failed,
    /// It has been given up.
    Dead,
}

/// What is counted, since the process began.
#[derive(Debug)]
pub struct Telemetry {
    started_at: Timestamp,
    apps: apps::Apps,
    /// Credentials that name no app that we know.
    unknown_credentials: Count,
    /// At forms of our own pages.
    csrf_own_pages: Count,
    signed_in: Count,
    sign_ins_refused: Count,
    sign_ins_throttled: Count,
    handed_off: Count,
    handoffs_refused: Count,
    logouts: [Count; 3],
    panics: Count,
    outgoing_refused: Count,
    deliveries: [Count; 3],
    /// Each route's own, and those of further routers of the same engine.
    routes: Mutex<Vec<(Method, &'static str, Arc<Times>)>>,
    /// What is going on now.
    active: Mutex<BTreeSet<(Cause, Option<AppKey>)>>,
}

/// A reading of what the alert rules look at.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Per app.
    pub apps: BTreeMap<AppKey, AppTotals>,
    /// CSRF refusals at forms of our own pages.
    pub csrf_own_pages: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Requests that we would not send.
    pub outgoing_refused: u64,
    /// Handoffs that came back to a browser that did not begin them.
    pub handoffs_refused: u64,
    /// Apps that could not be told of a sign-out for a day.
    pub sign_outs_undelivered: u64,
}

impl Telemetry {
    /// Everything at zero; `now` is when the process began.
    pub fn new(now: Timestamp) -> Self {
        Self {
            started_at: now,
            apps: apps::Apps::default(),
            unknown_credentials: Count::default(),
            csrf_own_pages: Count::default(),
            signed_in: Count::default(),
            sign_ins_refused: Count::default(),
            sign_ins_throttled: Count::default(),
            handed_off: Count::default(),
            handoffs_refused: Count::default(),
            logouts: Default::default(),
            panics: Count::default(),
            outgoing_refused: Count::default(),
            deliveries: Default::default(),
            routes: Mutex::default(),
            active: Mutex::default(),
        }
    }

    /// One answer of introspection: active, or inactive for a reason. One addition; see [`apps::Apps`].
    pub fn introspected(&self, app: &AppEntry, inactive: Option<InactiveReason>) {
        self.apps.of(app).answered(inactive);
    }

    /// A wrong app key or secret key; the app is known if its key is.
    pub fn app_credentials_refused(&self, app: Option<&AppEntry>) {
        match app {
            Some(app) => self.apps.of(app).refused.add(),
            None => self.unknown_credentials.add(),
        }
    }

    /// Two passes of different sessions in one request.
    pub fn pass_conflict(&self, app: &AppEntry) {
        self.apps.of(app).conflicts.add();
    }

    /// A request from elsewhere, or without its token: at an app, or at a form of our own.
    pub fn csrf_refused(&self, app: Option<&AppEntry>) {
        match app {
            Some(app) => self.apps.of(app).csrf.add(),
            None => self.csrf_own_pages.add(),
        }
    }

    /// A code or a refresh token came again.
    pub fn reused(&self, app: &AppEntry, what: Reused) {
        self.apps.of(app).reused[what as usize].add();
    }

    /// A code, a refresh token or another credential brought no tokens.
    pub fn grant_refused(&self, app: &AppEntry) {
        self.apps.of(app).grants_refused.add();
    }

    /// Somebody signed in.
    pub fn signed_in(&self) {
        self.signed_in.add();
    }

    /// Somebody did not prove who they are, or may not sign in.
    pub fn sign_in_refused(&self) {
        self.sign_ins_refused.add();
    }

    /// A sign-in was turned away before anything was verified.
    pub fn sign_in_throttled(&self) {
        self.sign_ins_throttled.add();
    }

    /// Another root domain got its pass.
    pub fn handed_off(&self) {
        self.handed_off.add();
    }

    /// A handoff came back that its browser did not begin, or that is not what it began.
    pub fn handoff_refused(&self) {
        self.handoffs_refused.add();
    }

    /// An attempt to tell an app of a sign-out ended.
    pub fn logout(&self, how: Delivery) {
        self.logouts[how as usize].add();
    }

    /// A handler panicked.
    pub fn panicked(&self) {
        self.panics.add();
    }

    /// We would not send a request to a configured address.
    pub fn outgoing_refused(&self) {
        self.outgoing_refused.add();
    }

    /// An attempt to deliver an alert ended.
    pub fn delivery(&self, how: Delivery) {
        self.deliveries[how as usize].add();
    }

    /// An alert began or ended.
    pub fn alert(&self, cause: Cause, app: Option<&AppKey>, active: bool) {
        let key = (cause, app.cloned());
        let mut all = self.active.lock();
        if active {
            all.insert(key);
        } else {
            all.remove(&key);
        }
    }

    /// These apps exist: they are shown from now on, at zero, so that Prometheus sees their first event as a step from zero.
    pub fn know(&self, apps: &[AppEntry]) {
        for app in apps {
            self.apps.of(app);
        }
    }

    /// A route of a router of this engine and where it keeps its times.
    pub fn time_route(&self, method: &Method, path: &'static str, times: Arc<Times>) {
        self.routes.lock().push((method.clone(), path, times));
    }

    /// What the alert rules look at, now.
    pub fn totals(&self) -> Totals {
        Totals {
            apps: self.apps.totals(),
            csrf_own_pages: self.csrf_own_pages.read(),
            panics: self.panics.read(),
            outgoing_refused: self.outgoing_refused.read(),
            handoffs_refused: self.handoffs_refused.read(),
            sign_outs_undelivered: self.logouts[Delivery::Dead as usize].read(),
        }
    }

    /// Everything, as Prometheus text.
    pub fn render(&self, facts: &Facts) -> String {
        text::render(self, facts)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hallpass_core::app::{Access, App};
    use hallpass_core::zone::{CookieName, Zone};

    use super::*;

    /// An app of the registry.
    pub fn app(key: &str, slot: u32) -> AppEntry {
        let zone = Zone {
            name: "home".parse().expect("a name"),
            cookie_domain: "company.com".parse().expect("a domain"),
            cookie_name: CookieName::default(),
            home: true,
            alias: None,
            bound: false,
            at_sign_in: false,
        };
        let app =
            App { access: Access::Everyone, ..App::new(key.parse().expect("an app key"), key, zone.name.clone()) };
        AppEntry { app, zone: Arc::new(zone), slot }
    }

    #[test]
    fn what_happens_is_counted_where_it_belongs() {
        let telemetry = Telemetry::new(Timestamp::default());
        let (pos, cashier) = (app("pos", 0), app("cashier", 70));
        telemetry.know(&[pos.clone(), cashier.clone()]);
        telemetry.introspected(&pos, None);
        telemetry.introspected(&pos, Some(InactiveReason::SessionUnknown));
        telemetry.app_credentials_refused(Some(&cashier));
        telemetry.app_credentials_refused(None);
        telemetry.csrf_refused(Some(&pos));
        telemetry.csrf_refused(None);
        telemetry.reused(&pos, Reused::RefreshToken);
        telemetry.grant_refused(&cashier);
        let totals = telemetry.totals();
        let of = |app: &AppEntry| totals.apps[&app.app.key];
        assert_eq!((of(&pos).answered(), of(&pos).csrf, of(&pos).refused), (2, 1, 0));
        assert_eq!((of(&cashier).answered(), of(&cashier).refused), (0, 1));
        assert_eq!(totals.csrf_own_pages, 1);
        let text = telemetry.render(&Facts::default());
        for line in [
            "hallpass_introspections_total{app=\"pos\",result=\"active\"} 1",
            "hallpass_introspections_total{app=\"pos\",result=\"session_unknown\"} 1",
            "hallpass_introspections_total{app=\"cashier\",result=\"expired\"} 0",
            "hallpass_app_credential_refusals_total{app=\"\"} 1",
            "hallpass_app_credential_refusals_total{app=\"cashier\"} 1",
            "hallpass_csrf_refusals_total{app=\"pos\"} 1",
            "hallpass_token_reuse_total{app=\"pos\",kind=\"refresh_token\"} 1",
            "hallpass_token_reuse_total{app=\"pos\",kind=\"code\"} 0",
            "hallpass_grant_refusals_total{app=\"cashier\"} 1",
            "hallpass_grant_refusals_total{app=\"pos\"} 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}:\n{text}");
        }
    }
}
