//! Signing out from an application (protocol §9).

use http::StatusCode;
use serde_json::json;

use crate::fixture::{App, Engine, ISSUER, PASS, SEEN, Trouble, fetch, submit, submit_from, visit};

const SIGN_OUT: &str = "/.hallpass/sign-out";

#[tokio::test]
async fn it_ends_the_session_at_the_engine_and_removes_its_traces() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":10}));
    let app = App::new(engine.builder().after_sign_out("/public"));
    app.send(visit("/", &[(PASS, "p")])).await;
    let answer = app.send(submit(SIGN_OUT, &[(PASS, "p")], &[])).await;
    assert_eq!(answer.location(), "/public");
    assert_eq!(engine.signed_out(), [json!({"sid":"s_1","sub":"u_ana"})]);
    let zone = "=; Path=/; Domain=company.localhost; Max-Age=0; Secure; HttpOnly; SameSite=Lax";
    assert!(answer.set_cookies(PASS).contains(&format!("{PASS}{zone}").as_str()), "{answer:?}");
    assert!(answer.set_cookies(SEEN).iter().any(|line| line.starts_with(&format!("{SEEN}=; Path=/; Max-Age=0"))));
    assert_eq!(app.send(fetch("/", &[(PASS, "p")])).await.status, 401, "forgotten here, too");
}

#[tokio::test]
async fn a_script_gets_204() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder());
    let mut request = submit(SIGN_OUT, &[(PASS, "p")], &[]);
    request.headers_mut().insert("sec-fetch-mode", "cors".parse().expect("a value"));
    assert_eq!(app.send(request).await.status, 204);
    assert_eq!(engine.signed_out().len(), 1);
}

#[tokio::test]
async fn nobody_else_can_sign_people_out() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder());
    for site in ["same-site", "cross-site", "none"] {
        assert_eq!(app.send(submit_from(site, SIGN_OUT, &[(PASS, "p")], &[])).await.status, 403, "{site}");
    }
    assert_eq!(app.send(visit(SIGN_OUT, &[(PASS, "p")])).await.status, 405);
    assert!(engine.signed_out().is_empty());
}

#[tokio::test]
async fn without_a_session_here_the_engine_asks() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    for cookies in [vec![], vec![(PASS, "ended")]] {
        let answer = app.send(submit(SIGN_OUT, &cookies, &[])).await;
        let expected = format!("{ISSUER}/sign-out?app=pos&return_to=http%3A%2F%2Fpos.company.localhost%3A7070%2F");
        assert_eq!(answer.location(), expected);
        assert!(!answer.set_cookies(PASS).is_empty());
    }
}

#[tokio::test]
async fn with_the_engine_away_it_says_that_other_apps_may_be_open() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":10}));
    let app = App::new(engine.builder());
    app.send(visit("/", &[(PASS, "p")])).await;
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    for pass in ["p", "not-remembered"] {
        let answer = app.send(submit(SIGN_OUT, &[(PASS, pass)], &[])).await;
        assert_eq!(answer.status, 503, "{pass}");
        assert!(answer.body.contains("other applications may still be open"), "{answer:?}");
        assert!(!answer.set_cookies(PASS).is_empty() && !answer.set_cookies(SEEN).is_empty());
    }
}
