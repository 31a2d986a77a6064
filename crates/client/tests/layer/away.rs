//! The engine is away, refuses us or talks nonsense: 503, never anonymous, never allowed; a grace only where declared,
//! and only for requests that change nothing (advisories A-9; protocol §20).

use std::time::Duration;

use http::{StatusCode, header};
use serde_json::json;

use crate::fixture::{App, Engine, PASS, Trouble, fetch, submit, visit};

#[tokio::test]
async fn whatever_goes_wrong_with_the_engine_is_503() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":0}));
    let app = App::new(engine.builder().timeout(Duration::from_millis(200)));
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.status, 200);
    for trouble in [
        Trouble::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Trouble::Status(StatusCode::SERVICE_UNAVAILABLE),
        Trouble::Status(StatusCode::TOO_MANY_REQUESTS),
        Trouble::Status(StatusCode::UNAUTHORIZED),
        Trouble::Status(StatusCode::BAD_REQUEST),
        Trouble::Status(StatusCode::NOT_FOUND),
        Trouble::Status(StatusCode::FOUND),
        Trouble::Status(StatusCode::NO_CONTENT),
        Trouble::Silence,
        Trouble::Nonsense,
    ] {
        engine.trouble(trouble);
        for path in ["/", "/public"] {
            let page = app.send(visit(path, &[(PASS, "p")])).await;
            assert_eq!(page.status, 503, "{trouble:?} {path}");
            assert!(!page.header(header::RETRY_AFTER).is_empty());
            assert!(page.body.contains("You are still signed in"), "{page:?}");
        }
        let problem = app.send(fetch("/", &[(PASS, "p")])).await;
        assert_eq!((problem.status.as_u16(), problem.json()["error"].clone()), (503, json!("temporarily_unavailable")));
        assert_eq!(app.send(submit("/", &[(PASS, "p")], &[])).await.status, 503);
    }
    assert_eq!(app.acted(), 0);
    engine.trouble(None);
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.status, 200, "recovery needs nobody");
}

#[tokio::test]
async fn the_engine_says_when_to_come_back() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.header(header::RETRY_AFTER), "7");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_away() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound").port();
    let builder = hallpass_client::Hallpass::builder(format!("http://auth.company.localhost:{port}"), "pos", "x")
        .origin(crate::fixture::ORIGIN)
        .connect_to(([127, 0, 0, 1], port).into());
    let app = App::new(builder);
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.status, 503);
    assert_eq!(app.send(visit("/public", &[])).await.body, "anonymous", "nobody needs the engine for this");
}

#[tokio::test]
async fn an_answer_for_another_app_or_from_another_issuer_lets_nobody_in() {
    let engine = Engine::start().await;
    engine.sign_in("other-app", "s_1", "ana", json!({"client_id":"cashier"}));
    engine.sign_in("other-issuer", "s_1", "ana", json!({"iss":"https://evil.com"}));
    engine.sign_in("no-session", "s_1", "ana", json!({"sid":null}));
    engine.sign_in("access-token", "s_1", "ana", json!({"token_type":"access_token"}));
    let app = App::new(engine.builder());
    for pass in ["other-app", "other-issuer", "no-session"] {
        assert_eq!(app.send(fetch("/", &[(PASS, pass)])).await.status, 503, "{pass}");
    }
    assert_eq!(app.send(fetch("/", &[(PASS, "access-token")])).await.status, 401);
}

#[tokio::test]
async fn a_declared_grace_serves_reading_for_a_while() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":5}));
    let app = App::new(engine.builder().grace(Duration::from_mins(1)));
    app.send(visit("/", &[(PASS, "p")])).await;
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.body, "ana canCreateOrder");
    assert_eq!(app.send(submit("/", &[(PASS, "p")], &[])).await.status, 503, "nothing is changed on old knowledge");
    assert_eq!(app.send(visit("/", &[(PASS, "unknown")])).await.status, 503);
    assert_eq!(app.send(visit("/", &[(PASS, "p"), (PASS, "unknown")])).await.status, 503);
    engine.trouble(Trouble::Status(StatusCode::UNAUTHORIZED));
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.status, 503, "refused is not away");
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.status, 503);
    assert_eq!(app.acted(), 0);
}

#[tokio::test]
async fn a_session_known_to_be_inactive_has_no_grace() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":0}));
    let app = App::new(engine.builder().grace(Duration::from_mins(1)));
    app.send(visit("/", &[(PASS, "p")])).await;
    engine.end("p");
    assert_eq!(app.send(fetch("/", &[(PASS, "p")])).await.status, 401);
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(app.send(fetch("/", &[(PASS, "p")])).await.status, 503);
}
