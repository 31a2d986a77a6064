//! The counters as Prometheus reads them: text exposition format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use hallpass_core::audit::InactiveReason;
use hallpass_core::id::AppKey;
use hallpass_core::keyring::Purpose;
use hallpass_core::time::Timestamp;

use super::times::{ENDS, Reading};
use super::{Delivery, Reused, Telemetry};

/// What is not counted but looked up when Prometheus asks.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// How far the view is behind.
    pub lag: Duration,
    /// The feed position up to which everything has been applied.
    pub position: i64,
    /// Sessions in memory.
    pub sessions: usize,
    /// Change streams open at this node.
    pub streams: u32,
    /// Passwords waiting for a hashing thread.
    pub passwords_waiting: usize,
    /// Sign-ins turned away because the queue was full.
    pub passwords_refused: u64,
    /// Signing keys; empty while the registry cannot be read.
    pub keys: Vec<KeyFacts>,
}

/// The key that signs now, of one purpose.
#[derive(Debug, Clone, Copy)]
pub struct KeyFacts {
    /// What it signs.
    pub purpose: Purpose,
    /// For how long it has been signing.
    pub age: Duration,
    /// When its successor has to be made.
    pub rotation_due_at: Timestamp,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels, value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

pub(super) fn render(telemetry: &Telemetry, facts: &Facts) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    apps(&mut text, telemetry);
    people(&mut text, telemetry, facts);
    alerts(&mut text, telemetry);
    routes(&mut text, telemetry);
    engine(&mut text, telemetry, facts);
    text.0
}

fn apps(text: &mut Text, telemetry: &Telemetry) {
    let totals = telemetry.apps.totals();
    let name = "hallpass_introspections_total";
    text.family(
        name,
        "counter",
        "Tokens that apps asked about, by app and result: active, or the reason for inactive.",
    );
    for (app, total) in &totals {
        text.sample(name, &[("app", app.as_str()), ("result", "active")], total.active);
        for reason in InactiveReason::ALL {
            text.sample(name, &[("app", app.as_str()), ("result", reason.as_str())], total.inactive(*reason));
        }
    }
    let name = "hallpass_app_credential_refusals_total";
    text.family(name, "counter", "Calls with a wrong app key or secret key; app is empty where the key names none.");
    text.sample(name, &[("app", "")], telemetry.unknown_credentials.read());
    for (app, total) in &totals {
        text.sample(name, &[("app", app.as_str())], total.refused);
    }
    let name = "hallpass_pass_conflicts_total";
    text.family(name, "counter", "Requests that carried passes of different sessions.");
    for (app, total) in &totals {
        text.sample(name, &[("app", app.as_str())], total.conflicts);
    }
    let name = "hallpass_csrf_refusals_total";
    text.family(name, "counter", "Requests from another site or without their token; app is empty for our own pages.");
    text.sample(name, &[("app", "")], telemetry.csrf_own_pages.read());
    for (app, total) in &totals {
        text.sample(name, &[("app", app.as_str())], total.csrf);
    }
    let name = "hallpass_grant_refusals_total";
    text.family(name, "counter", "Codes, refresh tokens and other credentials that brought no tokens, by app.");
    for (app, total) in &totals {
        text.sample(name, &[("app", app.as_str())], total.grants_refused);
    }
    let name = "hallpass_token_reuse_total";
    text.family(name, "counter", "Codes and refresh tokens that came again after they were used up, by app and kind.");
    for (app, total) in &totals {
        for what in Reused::ALL {
            text.sample(name, &[("app", app.as_str()), ("kind", what.as_str())], total.reused(what));
        }
    }
}

fn people(text: &mut Text, telemetry: &Telemetry, facts: &Facts) {
    let name = "hallpass_sign_ins_total";
    text.family(name, "counter", "Attempts to sign in, by outcome.");
    let counts = [&telemetry.signed_in, &telemetry.sign_ins_refused, &telemetry.sign_ins_throttled];
    for (outcome, count) in ["signed_in", "refused", "throttled"].into_iter().zip(counts) {
        text.sample(name, &[("outcome", outcome)], count.read());
    }
    let name = "hallpass_handoffs_total";
    text.family(name, "counter", "Handoffs to other root domains, by outcome.");
    for (outcome, count) in [("handed_off", &telemetry.handed_off), ("refused", &telemetry.handoffs_refused)] {
        text.sample(name, &[("outcome", outcome)], count.read());
    }
    let name = "hallpass_logout_deliveries_total";
    text.family(name, "counter", "Attempts to tell an app of a sign-out, by outcome.");
    for (outcome, count) in ["delivered", "failed", "given_up"].into_iter().zip(&telemetry.logouts) {
        text.sample(name, &[("outcome", outcome)], count.read());
    }
    text.one(
        "hallpass_password_queue_length",
        "gauge",
        "Passwords waiting for a hashing thread.",
        facts.passwords_waiting,
    );
    let full = "Passwords turned away because the queue was full.";
    text.one("hallpass_password_queue_refusals_total", "counter", full, facts.passwords_refused);
}

fn alerts(text: &mut Text, telemetry: &Telemetry) {
    let name = "hallpass_alert_active";
    text.family(name, "gauge", "1 for each alert that this node has raised and not cleared.");
    for (cause, app) in &*telemetry.active.lock() {
        text.sample(name, &[("alert", cause.as_str()), ("app", app.as_ref().map_or("", AppKey::as_str))], 1);
    }
    let name = "hallpass_alert_deliveries_total";
    text.family(name, "counter", "Attempts to deliver an alert by webhook or mail, by outcome.");
    for (outcome, how) in [("delivered", Delivery::Delivered), ("failed", Delivery::Failed), ("dead", Delivery::Dead)] {
        text.sample(name, &[("outcome", outcome)], telemetry.deliveries[how as usize].read());
    }
    let refused = "Requests to configured addresses that were not sent, because the address is not allowed.";
    text.one("hallpass_outgoing_refusals_total", "counter", refused, telemetry.outgoing_refused.read());
}

fn routes(text: &mut Text, telemetry: &Telemetry) {
    let mut routes: BTreeMap<(&'static str, String), Reading> = BTreeMap::new();
    for (method, path, times) in &*telemetry.routes.lock() {
        routes.entry((path, method.to_string())).or_default().add(&times.read());
    }
    let name = "hallpass_server_errors_total";
    text.family(name, "counter", "Answers of 500 and above.");
    for ((path, method), reading) in &routes {
        text.sample(name, &[("method", method), ("route", path)], reading.server_errors);
    }
    text.family(
        "hallpass_request_duration_seconds",
        "histogram",
        "Time from the request's headers to the answer's headers.",
    );
    for ((path, method), reading) in &routes {
        let labels = [("method", method.as_str()), ("route", *path)];
        let mut sum = 0;
        for (index, count) in reading.buckets.iter().enumerate() {
            sum += count;
            let end = ENDS.get(index).map_or("+Inf".to_owned(), |micros| seconds(Duration::from_micros(*micros)));
            let labels = [labels[0], labels[1], ("le", end.as_str())];
            text.sample("hallpass_request_duration_seconds_bucket", &labels, sum);
        }
        let total = seconds(Duration::from_nanos(reading.nanoseconds));
        text.sample("hallpass_request_duration_seconds_sum", &labels, total);
        text.sample("hallpass_request_duration_seconds_count", &labels, sum);
    }
}

fn engine(text: &mut Text, telemetry: &Telemetry, facts: &Facts) {
    text.one("hallpass_panics_total", "counter", "Handlers that panicked.", telemetry.panics.read());
    text.one(
        "hallpass_view_lag_seconds",
        "gauge",
        "How far the view in memory may be behind the database.",
        seconds(facts.lag),
    );
    text.one(
        "hallpass_feed_position",
        "gauge",
        "The change up to which this node has applied everything.",
        facts.position,
    );
    text.one("hallpass_sessions_in_memory", "gauge", "Sessions that this node keeps in memory.", facts.sessions);
    text.one("hallpass_change_streams", "gauge", "Change streams that apps hold at this node.", facts.streams);
    let name = "hallpass_signing_key_age_seconds";
    text.family(name, "gauge", "For how long the present signing key has been signing.");
    for key in &facts.keys {
        text.sample(name, &[("purpose", key.purpose.as_str())], seconds(key.age));
    }
    let name = "hallpass_signing_key_rotation_due_timestamp_seconds";
    text.family(name, "gauge", "When the next signing key has to be made, in seconds since 1970.");
    for key in &facts.keys {
        text.sample(name, &[("purpose", key.purpose.as_str())], key.rotation_due_at.as_seconds());
    }
    let started = telemetry.started_at.as_seconds();
    text.one("process_start_time_seconds", "gauge", "When the process began, in seconds since 1970.", started);
}

/// Exact: `0.00025`, `3`, never `2.5e-4`.
fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::alerts::Cause;
    use crate::telemetry::Times;

    fn sample() -> String {
        let telemetry = Telemetry::new(Timestamp::from_seconds(1_700_000_000));
        let pos = "pos".parse().expect("an app key");
        telemetry.alert(Cause::PassConflicts, Some(&pos), true);
        telemetry.alert(Cause::Panics, None, true);
        telemetry.alert(Cause::Panics, None, false);
        telemetry.signed_in();
        telemetry.handed_off();
        telemetry.logout(Delivery::Dead);
        telemetry.delivery(Delivery::Dead);
        for _ in 0..2 {
            // Two routers of one engine.
            let times = Arc::new(Times::default());
            times.record(Duration::from_micros(300));
            telemetry.time_route(&Method::POST, "/introspect", times);
        }
        let keys = vec![KeyFacts {
            purpose: Purpose::Pass,
            age: Duration::from_secs(3),
            rotation_due_at: Timestamp::from_seconds(9),
        }];
        telemetry.render(&Facts { lag: Duration::from_millis(20), position: 7, keys, ..Facts::default() })
    }

    #[test]
    fn counters_and_histograms_are_exact() {
        let text = sample();
        for line in [
            "hallpass_view_lag_seconds 0.02",
            "hallpass_feed_position 7",
            "hallpass_sign_ins_total{outcome=\"signed_in\"} 1",
            "hallpass_handoffs_total{outcome=\"handed_off\"} 1",
            "hallpass_handoffs_total{outcome=\"refused\"} 0",
            "hallpass_logout_deliveries_total{outcome=\"delivered\"} 0",
            "hallpass_logout_deliveries_total{outcome=\"given_up\"} 1",
            "hallpass_alert_deliveries_total{outcome=\"dead\"} 1",
            "hallpass_alert_active{alert=\"pass_conflicts\",app=\"pos\"} 1",
            "hallpass_app_credential_refusals_total{app=\"\"} 0",
            "hallpass_request_duration_seconds_bucket{method=\"POST\",route=\"/introspect\",le=\"0.00025\"} 0",
            "hallpass_request_duration_seconds_bucket{method=\"POST\",route=\"/introspect\",le=\"0.001\"} 2",
            "hallpass_request_duration_seconds_bucket{method=\"POST\",route=\"/introspect\",le=\"+Inf\"} 2",
            "hallpass_request_duration_seconds_sum{method=\"POST\",route=\"/introspect\"} 0.0006",
            "hallpass_request_duration_seconds_count{method=\"POST\",route=\"/introspect\"} 2",
            "hallpass_signing_key_rotation_due_timestamp_seconds{purpose=\"pass\"} 9",
            "process_start_time_seconds 1700000000",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing from\n{text}");
        }
        assert!(!text.contains("alert=\"panics\""), "a cleared alert is gone");
    }

    #[test]
    fn no_series_is_there_twice() {
        // Prometheus would refuse the whole page.
        let text = sample();
        let series: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.rsplit_once(' ')?.0))
            .collect();
        assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len());
        assert!(text.lines().filter(|line| line.starts_with("# TYPE")).count() > 15);
    }

    #[test]
    fn the_published_rules_ask_only_for_what_is_there() {
        let rules = include_str!("../../../../docs/alerts/hallpass-rules.yml");
        let text = sample();
        let is_name = |character: char| character.is_ascii_lowercase() || character == '_';
        let names = rules.split(|character| !is_name(character)).filter(|word| word.starts_with("hallpass_"));
        let names: BTreeSet<&str> = names.collect();
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            let family = name.trim_end_matches("_bucket").trim_end_matches("_count");
            assert!(text.contains(&format!("# TYPE {family} ")), "{name} is not exported");
        }
    }

    #[test]
    fn labels_cannot_break_out() {
        let mut text = Text(String::new());
        text.sample("a", &[("b", "x\"} 1\n\\")], 2);
        assert_eq!(text.0, "a{b=\"x\\\"} 1\\n\\\\\"} 2\n");
    }
}
