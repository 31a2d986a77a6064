//! Signing out from an application (protocol §9).

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::fixture::{App, Engine, ISSUER, PASS, SEEN, Trouble, fetch, submit, submit_from, until, visit};

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

const RECEIPT: &str = "http://auth.company.localhost:7000/sign-out/receipt?id=1";

#[tokio::test]
async fn the_engine_shows_the_receipt_unless_the_app_names_a_place() {
    let engine = Engine::start().await;
    engine.continue_at(RECEIPT);
    let plain = App::new(engine.builder());
    let named = App::new(engine.builder().after_sign_out("/public"));
    let agent = App::new(engine.builder().agent());
    for (app, path, expected) in [
        (&plain, SIGN_OUT, RECEIPT),
        (&named, SIGN_OUT, "/public"),
        (&agent, SIGN_OUT, RECEIPT),
        (&agent, "/.sso/sign-out", RECEIPT),
    ] {
        engine.sign_in("p", "s_1", "ana", json!({}));
        let answer = app.send(submit(path, &[(PASS, "p")], &[])).await;
        assert_eq!(answer.location(), expected, "{path}");
        assert!(!answer.set_cookies(PASS).is_empty() && !answer.set_cookies(SEEN).is_empty());
        engine.sign_in("p", "s_1", "ana", json!({}));
        let mut request = submit(path, &[(PASS, "p")], &[]);
        request.headers_mut().insert("sec-fetch-mode", "cors".parse().expect("a value"));
        assert_eq!(app.send(request).await.json(), json!({"signed_out":true,"continue_at":RECEIPT}));
    }
    assert_eq!(engine.signed_out().len(), 8);
}

#[tokio::test]
async fn a_receipt_that_is_not_the_engine_s_is_not_followed() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    for elsewhere in
        ["https://evil.com/", "http://auth.company.localhost:7000.evil.com/", ISSUER, "/receipt", "//evil.com"]
    {
        engine.continue_at(elsewhere);
        engine.sign_in("p", "s_1", "ana", json!({}));
        assert_eq!(app.send(submit(SIGN_OUT, &[(PASS, "p")], &[])).await.location(), "/", "{elsewhere}");
    }
    assert_eq!(engine.signed_out().len(), 5, "signed out all the same");
}

#[tokio::test]
async fn the_agent_s_address_is_for_the_app_s_own_pages_only() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().agent());
    for site in ["same-site", "cross-site", "none"] {
        assert_eq!(app.send(submit_from(site, "/.sso/sign-out", &[(PASS, "p")], &[])).await.status, 403, "{site}");
    }
    assert!(engine.signed_out().is_empty());
    let app = App::new(engine.builder());
    assert_eq!(app.send(submit("/.sso/sign-out", &[(PASS, "p")], &[])).await.status, 404, "not without the agent");
    assert!(engine.signed_out().is_empty());
}

#[tokio::test]
async fn an_engine_that_was_away_hears_of_it_later_once() {
    let engine = Engine::start().await;
    engine.refuse_streams();
    engine.sign_in("remembered", "s_1", "ana", json!({"cache_for":10}));
    engine.sign_in("not-remembered", "s_2", "bob", json!({}));
    let app = App::new(engine.builder());
    app.send(visit("/", &[(PASS, "remembered")])).await;
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    for pass in ["remembered", "not-remembered", "remembered", "not-remembered"] {
        assert_eq!(app.send(submit(SIGN_OUT, &[(PASS, pass)], &[])).await.status, 503);
    }
    engine.trouble(None);
    assert!(engine.signed_out().is_empty());
    pass_time(Duration::from_secs(2)).await;
    until("the engine hears of both", async || engine.signed_out().len() >= 2).await;
    app.send(visit("/", &[(PASS, "unknown")])).await;
    let mut heard = engine.signed_out();
    heard.sort_by_key(|sign_out| sign_out["sid"].to_string());
    assert_eq!(heard, [json!({"sid":"s_1","sub":"u_ana"}), json!({"sid":"s_2","sub":"u_bob"})], "each of them once");
}

/// Moves tokio's timers on. The connections that follow take the time they take.
async fn pass_time(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}
