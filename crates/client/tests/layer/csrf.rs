//! Requests sent by pages of other origins, and CSRF tokens (protocol §4, §7).

use axum::body::Body;
use hallpass_client::CsrfMode;
use http::{Request, header};
use serde_json::json;

use crate::fixture::{App, Engine, ORIGIN, PASS, SEEN, fetch, submit, submit_from, visit};

async fn signed_in(mode: CsrfMode) -> (Engine, App) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().csrf(mode));
    (engine, app)
}

#[tokio::test]
async fn a_sibling_s_form_does_nothing_even_on_open_paths() {
    let (engine, app) = signed_in(CsrfMode::OriginOnly).await;
    for site in ["same-site", "cross-site", "none"] {
        for path in ["/", "/public"] {
            let page = app.send(submit_from(site, path, &[(PASS, "p")], &[("a", "1")])).await;
            assert_eq!(page.status, 403, "{site} {path}");
            assert!(page.body.contains("nothing was done"));
        }
    }
    assert_eq!(app.acted(), 0);
    assert!(engine.asked().is_empty());
    assert_eq!(app.send(submit("/", &[(PASS, "p")], &[("a", "1")])).await.body, "a=1");
    assert_eq!(app.acted(), 1);
}

#[tokio::test]
async fn without_fetch_metadata_the_origin_header_must_be_our_own() {
    let (_, app) = signed_in(CsrfMode::OriginOnly).await;
    let post = |origin: Option<&str>| {
        let mut request = Request::post("/").header(header::COOKIE, format!("{PASS}=p"));
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        request.body(Body::from("x")).expect("a request")
    };
    for refused in
        [None, Some("null"), Some("http://evil.company.localhost:7070"), Some("http://pos.company.localhost")]
    {
        let answer = app.send(post(refused)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"].clone()),
            (403, json!("cross_origin")),
            "{refused:?}"
        );
    }
    assert_eq!(app.send(post(Some(ORIGIN))).await.body, "x");
    assert_eq!(app.acted(), 1);
}

#[tokio::test]
async fn a_websocket_of_another_origin_is_not_opened() {
    let (_, app) = signed_in(CsrfMode::OriginOnly).await;
    let mut request = fetch("/", &[(PASS, "p")]);
    request.headers_mut().insert(header::UPGRADE, "websocket".parse().expect("a value"));
    request.headers_mut().insert("sec-fetch-site", "same-site".parse().expect("a value"));
    assert_eq!(app.send(request).await.status, 403);
}

#[tokio::test]
async fn a_token_is_judged_by_the_engine_wherever_it_is_presented() {
    let (engine, app) = signed_in(CsrfMode::OriginOnly).await;
    let answer = app.send(submit("/", &[(PASS, "p")], &[("a", "1"), ("csrf_token", "good")])).await;
    assert_eq!(answer.body, "a=1&csrf_token=good", "the form arrives whole");
    let asked = engine.asked();
    assert_eq!((&asked[0]["csrf_token"], &asked[0]["method"]), (&json!("good"), &json!("POST")));
    assert_eq!(app.send(submit("/", &[(PASS, "p")], &[("csrf_token", "bad")])).await.status, 403);
    assert_eq!(
        app.send(submit("/", &[(PASS, "p")], &[("csrf_token", "good"), ("csrf_token", "good")])).await.status,
        403
    );
    let mut request = submit("/", &[(PASS, "p")], &[("csrf_token", "good")]);
    request.headers_mut().insert("x-csrf-token", "bad".parse().expect("a value"));
    assert_eq!(app.send(request).await.status, 403, "the header comes first");
    assert_eq!(app.acted(), 1);
}

#[tokio::test]
async fn where_a_token_is_demanded_nothing_happens_without_one() {
    let (_, app) = signed_in(CsrfMode::Token).await;
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.status, 200);
    let refused = app.send(submit("/", &[(PASS, "p")], &[("a", "1")])).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("too old"), "{refused:?}");
    assert_eq!(app.acted(), 0);
    assert_eq!(app.send(submit("/", &[(PASS, "p")], &[("csrf_token", "good")])).await.status, 200);
    assert_eq!(app.send(submit("/public", &[], &[("a", "1")])).await.status, 200, "nobody to forge for");
    assert_eq!(app.acted(), 2);
}

/// A judgement about one request's token says nothing about another's.
#[tokio::test]
async fn a_judgement_is_never_remembered() {
    let (engine, app) = signed_in(CsrfMode::Token).await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":10}));
    let seen = app.send(visit("/", &[(PASS, "p")])).await.cookie(SEEN);
    let cookies = [(PASS, "p"), (SEEN, seen.as_str())];
    assert_eq!(app.send(submit("/", &cookies, &[("csrf_token", "good")])).await.status, 200);
    assert_eq!(app.send(submit("/", &cookies, &[("csrf_token", "bad")])).await.status, 403);
    assert_eq!(app.send(submit("/", &cookies, &[("csrf_token", "good")])).await.status, 200);
    let asked = engine.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|question| question.get("if_version").is_none()), "`unchanged` would judge nothing");
}
