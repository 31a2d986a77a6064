//! Several cookies of the pass's name: what a sibling host can do with them, and what comes of it (protocol §2).

use axum::body::Body;
use http::header::{COOKIE, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use crate::fixture::{App, Engine, ISSUER, PASS, fetch, submit, visit};

#[tokio::test]
async fn a_shadowed_pass_that_counts_for_nothing_is_passed_over_in_one_call() {
    let engine = Engine::start().await;
    engine.sign_in("good", "s_1", "ana", json!({}));
    let app = App::new(engine.builder());
    let answer = app.send(visit("/", &[(PASS, "evil"), (PASS, "good")])).await;
    assert_eq!(answer.body, "ana canCreateOrder");
    assert_eq!(engine.asked(), [json!({"tokens":["evil","good"],"host":"pos.company.localhost:7070"})]);
}

#[tokio::test]
async fn of_several_passes_of_one_session_the_newest_counts() {
    let engine = Engine::start().await;
    engine.sign_in("old", "s_1", "ana", json!({"iat":1_800_000_001}));
    engine.sign_in("new", "s_1", "ana", json!({"iat":1_800_000_300,"permissions":["canRefund"]}));
    let app = App::new(engine.builder());
    for order in [["old", "new"], ["new", "old"]] {
        let answer = app.send(visit("/", &[(PASS, order[0]), (PASS, order[1])])).await;
        assert_eq!(answer.body, "ana canRefund", "{order:?}");
    }
}

#[tokio::test]
async fn different_sessions_conflict_and_the_home_session_decides() {
    let engine = Engine::start().await;
    engine.sign_in("ana", "s_1", "ana", json!({}));
    engine.sign_in("mallory", "s_2", "mallory", json!({}));
    let app = App::new(engine.builder());
    let both = [(PASS, "mallory"), (PASS, "ana")];
    let answer = app.send(visit("/orders/5", &both)).await;
    assert!(answer.location().starts_with(&format!("{ISSUER}/pass/refresh?app=pos&return_to=")));
    let expired = answer.set_cookies(PASS);
    for place in [
        "Path=/; Max-Age=0",
        "Path=/; Domain=company.localhost; Max-Age=0",
        "Path=/orders; Domain=company.localhost; Max-Age=0",
        "Path=/orders/; Domain=company.localhost; Max-Age=0",
        "Path=/orders/5; Domain=pos.company.localhost; Max-Age=0",
    ] {
        assert!(expired.iter().any(|line| line.contains(place)), "{place} in {expired:?}");
    }
    let answer = app.send(fetch("/orders/5", &both)).await;
    assert_eq!((answer.status.as_u16(), answer.set_cookies(PASS).is_empty()), (401, false));
    assert_eq!(app.send(submit("/", &both, &[])).await.status, 401);
    assert_eq!(app.send(fetch("/public", &both)).await.body, "anonymous");
    assert_eq!(app.acted(), 0);
}

#[tokio::test]
async fn more_than_three_are_refused_everywhere_and_removed() {
    let engine = Engine::start().await;
    engine.sign_in("good", "s_1", "ana", json!({}));
    let app = App::new(engine.builder());
    for path in ["/", "/public"] {
        let answer = app.send(visit(path, &[(PASS, "good"), (PASS, "a"), (PASS, "b"), (PASS, "good")])).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(!answer.set_cookies(PASS).is_empty());
    }
    assert!(engine.asked().is_empty());
}

/// Measured: Chromium and Firefox store `__SECURE-…` beside the real one, without the prefix's protection.
#[tokio::test]
async fn a_name_in_another_case_is_never_a_pass() {
    let engine = Engine::start().await;
    engine.sign_in("mallory", "s_2", "mallory", json!({}));
    let app = App::new(engine.builder());
    let variants = [("__SECURE-hallpass-pass", "mallory"), ("__secure-hallpass-pass", "mallory")];
    assert!(app.send(visit("/", &variants)).await.location().contains("/sign-in?"));
    assert!(engine.asked().is_empty());
}

#[tokio::test]
async fn what_cannot_be_a_pass_is_never_sent_to_the_engine() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    let long = "a".repeat(5000);
    for value in ["", "\"quoted\"", "a b", "a,b", "a%20b", long.as_str()] {
        assert!(app.send(visit("/", &[(PASS, value)])).await.location().contains("/pass/refresh?"), "{value}");
    }
    assert!(engine.asked().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// T37: whatever the cookie header holds, nobody is let in by it.
    #[test]
    fn no_malformed_cookie_lets_anybody_in(
        lines in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..120),
                "(__Secure-hallpass-pass|__SECURE-hallpass-pass|=|;| |,|\"|[a-zA-Z0-9._-]{0,9}){0,12}".prop_map(String::into_bytes),
            ],
            0..4,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let engine = Engine::start().await;
            let app = App::new(engine.builder());
            let mut request: http::Request<Body> = fetch("/", &[]);
            for line in &lines {
                if let Ok(value) = HeaderValue::from_bytes(line) {
                    request.headers_mut().append(COOKIE, value);
                }
            }
            let answer = app.send(request).await;
            assert!(matches!(answer.status.as_u16(), 400 | 401), "{answer:?}");
        });
    }
}
