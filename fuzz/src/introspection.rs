//! The bodies of `POST /introspect`, through the route table of a real engine: whatever is sent, the answer is one of four statuses, and
//! nothing is active that nobody signed.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_core::app::{Access, App, AppSecret};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::SecretId;
use hallpass_core::secret::{Secret, SecretKey};
use hallpass_server::config::Config;
use hallpass_server::context::Clock;
use hallpass_server::engine::Engine;
use hallpass_server::routes::Home;
use hallpass_store::apps;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::{Target, kind};

pub const TARGET: Target = Target {
    name: "introspection",
    run,
    seeds,
    words: &[
        "token",
        "tokens",
        "token_type_hint",
        "host",
        "csrf_token",
        "method",
        "request_token",
        "if_version",
        "=",
        "&",
        "%",
        "+",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "1e999",
        "\\u0000",
        "\\ud800",
        "pos.company.com",
        "POST",
        "billing",
        "e30.e30.AAAA",
    ],
};

struct Running {
    runtime: tokio::runtime::Runtime,
    home: Arc<Home>,
    authorization: String,
    // Both live as long as the process: the jobs and the database.
    _engine: Engine,
    _directory: tempfile::TempDir,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config {
        public_url: Some("https://auth.company.com".parse().expect("an origin")),
        cookie_domain: Some("company.com".to_owned()),
        data_dir: directory.path().to_owned(),
        ..Config::default()
    };
    let (engine, authorization) = runtime.block_on(async {
        let engine = Engine::start(config, Clock::default()).await.expect("starts");
        let (now, secret) = (engine.context.now(), Secret::<SecretKey>::mint(&mut SystemRandom));
        let app = App {
            origins: vec!["https://pos.company.com".parse().expect("an origin")],
            access: Access::Everyone,
            audiences: vec!["billing".parse().expect("an audience")],
            ..App::new("pos".parse().expect("a key"), "The till", "home".parse().expect("a name"))
        };
        let row = AppSecret {
            id: SecretId::mint(&mut SystemRandom),
            app: app.key.clone(),
            digest: secret.digest(),
            created_at: now,
            expires_at: None,
            last_used_at: None,
        };
        let mut write = engine.context.store.write().await.expect("writes");
        apps::upsert(&mut write, &app, now).await.expect("adds");
        assert!(apps::add_secret(&mut write, &row, now).await.expect("adds"));
        write.commit().await.expect("commits");
        let credentials = STANDARD.encode(format!("pos:{}", *secret.expose()));
        (engine, format!("Basic {credentials}"))
    });
    Running { home: engine.home(), runtime, authorization, _engine: engine, _directory: directory }
});

/// The first byte chooses the form.
fn run(input: &[u8]) -> u64 {
    let Running { runtime, home, authorization, .. } = &*RUNNING;
    let Some((form, body)) = input.split_first() else { return 0 };
    let content_type = if form % 2 == 0 { "application/json" } else { "application/x-www-form-urlencoded" };
    let request = Request::builder()
        .method(Method::POST)
        .uri("/introspect")
        .header(header::AUTHORIZATION, authorization)
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let (status, answer) = runtime.block_on(async {
        let response = home.answer(request, [127, 0, 0, 1].into()).await;
        (response.status().as_u16(), response.into_body().collect().await.expect("a body of ours").to_bytes())
    });
    assert!(matches!(status, 200 | 400 | 413), "{status}");
    let said: Value = serde_json::from_slice(&answer).expect("every answer is JSON");
    let inactive = serde_json::json!({ "active": false });
    match said.get("results").and_then(Value::as_array) {
        Some(results) => assert!(results.len() <= 100 && results.iter().all(|result| *result == inactive)),
        None if status == 200 => assert_eq!(said, inactive),
        None => assert!(said["error"].is_string() && said["error_description"].is_string()),
    }
    kind(&(
        status,
        said.get("results").is_some(),
        said.get("error").cloned(),
        said.get("error_description").cloned(),
        form % 2,
    ))
}

fn seeds() -> Vec<Vec<u8>> {
    [
        r#"0{"token":"e30.e30.AAAA"}"#,
        r#"0{"tokens":["x","e30.e30.AAAA"],"host":"pos.company.com","if_version":"x"}"#,
        r#"0{"token":"x","token_type_hint":"access_token","csrf_token":"x","method":"POST","request_token":"billing"}"#,
        "0[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "1token=e30.e30.AAAA&token_type_hint=access_token",
        "1token=x&host=pos.company.com&method=POST&csrf_token=x&request_token=billing&if_version=x",
        "1token=x&token=y",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
