//! The internal listener: health for the supervisor, metrics for Prometheus. Never on the public network.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use hallpass_core::keyring::Purpose;
use hallpass_store::view::{MAXIMUM_LAG, Policy, PolicyGuard};
use http::{StatusCode, header};

use crate::context::Context;
use crate::telemetry::{Facts, KeyFacts};

/// How long `/metrics` waits for the registry before it answers without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// `/healthz`: the process runs. `/readyz`: it can answer. `/metrics`: Prometheus text.
pub fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(context)
}

async fn ready(State(context): State<Arc<Context>>) -> (StatusCode, &'static str) {
    match context.view.fresh().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

/// Answers also while the database does not: that is when somebody looks.
async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let policy = registry(&context).await;
    if let Some(policy) = &policy {
        context.telemetry.know(&policy.apps);
    }
    let text = context.telemetry.render(&facts(&context, policy.as_ref().map(|policy| &***policy)));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// The registry, if it is at hand.
pub async fn registry(context: &Context) -> Option<PolicyGuard> {
    if context.view.lag() > MAXIMUM_LAG {
        return None;
    }
    tokio::time::timeout(PATIENCE, context.view.policy()).await.ok()?.ok()
}

fn facts(context: &Context, policy: Option<&Policy>) -> Facts {
    Facts {
        lag: context.view.lag(),
        position: context.view.position(),
        sessions: context.view.sessions.len(),
        streams: context.streams.open(),
        passwords_waiting: context.passwords.waiting(),
        passwords_refused: context.passwords.refused(),
        keys: policy.map(|policy| keys(context, policy)).unwrap_or_default(),
    }
}

fn keys(context: &Context, policy: &Policy) -> Vec<KeyFacts> {
    let now = context.now();
    let of = |purpose| {
        let rules = context.config.key_policy(purpose);
        let signer = policy.keyring.signer(purpose, now)?;
        // The newest key: a successor that is published already has moved the next rotation away.
        let newest =
            policy.keyring.keys().iter().filter(|key| key.purpose == purpose).map(|key| key.signs_from).max()?;
        let rotation_due_at = newest + rules.signs_for - rules.publish_ahead;
        Some(KeyFacts { purpose, age: now.since(signer.signs_from), rotation_due_at })
    };
    Purpose::ALL.into_iter().filter_map(of).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::body::Body;
    use hallpass_core::crypto::MasterKey;
    use hallpass_store::{DatabaseUrl, Store};
    use http::Request;
    use http_body_util::BodyExt;
    use tokio::sync::watch;
    use tower::ServiceExt;

    use super::*;
    use crate::config::{AlertConfig, Config};
    use crate::context::Clock;

    /// An engine without jobs, on an empty database in a folder of its own.
    pub async fn context(alerts: AlertConfig, clock: Clock) -> (Arc<Context>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("hallpass.db").display());
        let store = Store::open(&url.parse::<DatabaseUrl>().expect("a URL")).await.expect("a database");
        let public_url = Some("https://auth.company.com".parse().expect("an origin"));
        let config = Config { public_url, alerts, ..Config::default() };
        let (master, stop) = (Arc::new(MasterKey::new([7; 32])), watch::Sender::new(false));
        (Context::new(config, store, master, clock, stop).await.expect("a context"), folder)
    }

    async fn scrape(context: &Arc<Context>) -> String {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let response = router(context.clone()).oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            response.headers()[header::CONTENT_TYPE].to_str().expect("text").starts_with("text/plain; version=0.0.4")
        );
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn what_requests_do_is_in_the_metrics_even_when_the_database_is_away() {
        let (context, _folder) = context(AlertConfig::default(), Clock::System).await;
        let public = crate::routes::Home::new(context.clone());
        let call = async |status: StatusCode| {
            let request = Request::post("/introspect").header(header::AUTHORIZATION, "Basic cG9zOnNlY3JldA==");
            let answer = public.answer(request.body(Body::empty()).expect("a request"), [127, 0, 0, 1].into()).await;
            assert_eq!(answer.status(), status);
        };
        call(StatusCode::UNAUTHORIZED).await;
        let has = |text: &str, line: &str| assert!(text.lines().any(|have| have == line), "{line}:\n{text}");
        let text = scrape(&context).await;
        has(&text, "hallpass_app_credential_refusals_total{app=\"\"} 1");
        has(&text, "hallpass_request_duration_seconds_count{method=\"POST\",route=\"/introspect\"} 1");
        has(&text, "hallpass_server_errors_total{method=\"POST\",route=\"/introspect\"} 0");
        context.store.close().await;
        has(&scrape(&context).await, "hallpass_change_streams 0");
    }
}
