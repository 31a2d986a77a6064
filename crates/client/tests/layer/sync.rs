//! After a sign-out: what browser and memory drop (protocol §9 numbers 4 and 5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Answer, App, Engine, ISSUER, PASS, SEEN, Trouble, fetch, visit};

const NEXT: &str = "http://auth.company.localhost:7000/sign-out/next?chain=c.1";

/// Ana is signed in here, and this app remembers it for ten seconds.
async fn signed_in() -> (Engine, App, Browser) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":10}));
    let app = App::new(engine.builder().agent());
    let mut browser = Browser::default();
    browser.set(PASS, "p");
    assert_eq!(browser.open(&app, "/").await.body, "ana canCreateOrder");
    (engine, app, browser)
}

#[tokio::test]
async fn what_is_over_is_removed_and_the_chain_goes_on() {
    let (engine, app, mut browser) = signed_in().await;
    engine.end("p");
    let answer = browser.open(&app, "/.sso/sync?chain=c.1").await;
    assert_eq!(answer.location(), NEXT);
    let zone = format!("{PASS}=; Path=/; Domain=company.localhost; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    assert!(answer.set_cookies(PASS).contains(&zone.as_str()), "{answer:?}");
    assert!(browser.cookie(PASS).is_none() && browser.cookie(SEEN).is_none());
    assert_eq!(app.send(fetch("/", &[(PASS, "p")])).await.status, 401, "forgotten here, too");
}

#[tokio::test]
async fn forging_it_reaches_nothing() {
    let (engine, app, mut browser) = signed_in().await;
    let answer = browser.open(&app, "/.sso/sync?chain=c.1").await;
    assert_eq!((answer.location(), answer.headers.contains_key(header::SET_COOKIE)), (NEXT, false));
    assert_eq!(engine.asked().len(), 2, "asked, although it is remembered");
    // An ended pass beside a live one.
    let two = app.send(visit("/.sso/sync?chain=c.1", &[(PASS, "ended"), (PASS, "p")])).await;
    assert!(!two.headers.contains_key(header::SET_COOKIE), "{two:?}");
    // More passes than an honest browser sends: away with them, unasked.
    let asked = engine.asked().len();
    let stuffed = app.send(visit("/.sso/sync?chain=c.1", &[(PASS, "p"), (PASS, "a"), (PASS, "b"), (PASS, "c")])).await;
    assert_eq!((stuffed.location(), stuffed.set_cookies(SEEN).len(), engine.asked().len()), (NEXT, 0, asked));
    assert!(!stuffed.set_cookies(PASS).is_empty());
    // No pass: the memory of who was here stays.
    browser.lose(PASS);
    browser.open(&app, "/.sso/sync?chain=c.1").await;
    assert!(browser.cookie(SEEN).is_some());
    for path in ["/.sso/sync", "/.sso/sync?chain=", "/.sso/sync?chain=a/b", "/.sso/sync?chain=a&chain=b"] {
        assert_eq!(browser.open(&app, path).await.location(), "/", "{path}");
    }
}

#[tokio::test]
async fn an_engine_that_cannot_be_asked_removes_nothing() {
    let (engine, app, mut browser) = signed_in().await;
    for trouble in [Trouble::Status(StatusCode::SERVICE_UNAVAILABLE), Trouble::Nonsense] {
        engine.trouble(trouble);
        let answer = browser.open(&app, "/.sso/sync?chain=c.1").await;
        assert_eq!((answer.location(), answer.headers.contains_key(header::SET_COOKIE)), (NEXT, false));
    }
}

fn token(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

async fn deliver(app: &App, body: String, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post("/.sso/backchannel").header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn a_logout_token_makes_the_next_request_ask() {
    let (engine, app, mut browser) = signed_in().await;
    let claims = |sid: &str| json!({"iss":ISSUER,"aud":"pos","sid":sid,"events":{}});
    engine.end("p");
    assert_eq!(deliver(&app, format!("logout_token={}", token(&claims("s_other"))), &[]).await.status, 200);
    assert_eq!(browser.open(&app, "/").await.status, 200, "remembered still: another session is over");
    let answer = deliver(&app, format!("logout_token={}", token(&claims("s_1"))), &[]).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(app.send(fetch("/", &browser.pairs())).await.status, 401);
}

#[tokio::test]
async fn what_is_no_logout_token_for_us_changes_nothing() {
    let (engine, app, mut browser) = signed_in().await;
    engine.end("p");
    let good = json!({"iss":ISSUER,"aud":"pos","sid":"s_1"});
    let with = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        format!("logout_token={}", token(&claims))
    };
    let valid = format!("logout_token={}", token(&good));
    for body in [
        with("iss", json!("https://evil.com")),
        with("aud", json!("cashier")),
        with("sid", json!(1)),
        with("padding", json!("x".repeat(8192))),
        format!("{valid}&{valid}"),
        valid.replace("logout_token", "token"),
        "logout_token=x".into(),
        "logout_token=".into(),
        String::new(),
        "x".repeat(100_000),
    ] {
        assert_eq!(deliver(&app, body.clone(), &[]).await.status, 400, "{body}");
    }
    for (name, value) in
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"), ("origin", "https://evil.com")]
    {
        assert_eq!(deliver(&app, valid.clone(), &[(name, value)]).await.status, 403, "a browser sent it");
    }
    let json = Request::post("/.sso/backchannel").header("content-type", "application/json").body(valid.into());
    assert_eq!(app.send(json.expect("a request")).await.status, 400);
    assert_eq!(browser.open(&app, "/").await.status, 200, "nothing was forgotten");
}
