//! Who passes, who is sent to sign in, and what goes back with the answer (protocol §4, §6, §18).

use hallpass_client::Hallpass;
use http::header;
use serde_json::json;

use crate::fixture::{App, Engine, ISSUER, ORIGIN, PASS, SEEN, fetch, visit};

const RETURN_TO_ORDERS: &str = "http%3A%2F%2Fpos.company.localhost%3A7070%2Forders%2F5%3Fopen%3D1";

#[tokio::test]
async fn a_signed_in_person_is_known_without_a_redirect() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"permissions":["canRefund","canCreateOrder"]}));
    let app = App::new(engine.builder());
    let answer = app.send(visit("/orders/5", &[(PASS, "p")])).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ana canCreateOrder,canRefund"));
    assert_eq!(answer.header(header::CACHE_CONTROL), "private, no-store");
    assert_eq!(answer.header(header::VARY), "Cookie");
    assert_eq!(engine.asked(), [json!({"token":"p","host":"pos.company.localhost:7070"})]);
}

#[tokio::test]
async fn without_a_pass_people_sign_in_and_programs_are_told_where() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    let answer = app.send(visit("/orders/5?open=1", &[])).await;
    let sign_in = format!("{ISSUER}/sign-in?app=pos&return_to={RETURN_TO_ORDERS}");
    assert_eq!(answer.location(), sign_in);
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");

    let mut request = fetch("/api", &[]);
    request.headers_mut().insert(header::REFERER, format!("{ORIGIN}/orders/5?open=1").parse().expect("a value"));
    let answer = app.send(request).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json(), json!({"error":"login_required","sign_in_url":sign_in}));
    assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Hallpass realm=\"pos\"");
    assert!(engine.asked().is_empty());
}

#[tokio::test]
async fn an_ended_session_is_sent_to_pass_refresh_first() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    let answer = app.send(visit("/orders/5?open=1", &[(PASS, "ended")])).await;
    assert_eq!(answer.location(), format!("{ISSUER}/pass/refresh?app=pos&return_to={RETURN_TO_ORDERS}"));
    assert_eq!(app.send(fetch("/", &[(PASS, "ended")])).await.status, 401);
}

#[tokio::test]
async fn the_way_back_is_the_whole_path_and_never_what_the_host_header_says() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    let mut request = visit("/nested/page", &[]);
    for (name, value) in [("host", "evil.com"), ("x-forwarded-host", "evil.com"), ("forwarded", "host=evil.com")] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let answer = app.send(request).await;
    assert!(
        answer.location().ends_with("return_to=http%3A%2F%2Fpos.company.localhost%3A7070%2Fnested%2Fpage"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn open_paths_admit_anonymous_visitors_and_still_know_people() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder());
    assert_eq!(app.send(visit("/public", &[])).await.body, "anonymous");
    assert_eq!(app.send(visit("/public", &[(PASS, "ended")])).await.body, "anonymous");
    assert_eq!(app.send(visit("/public", &[(PASS, "p")])).await.body, "ana canCreateOrder");
    let link = app.send(visit("/public/sign-in-link", &[])).await.body;
    assert!(link.starts_with(&format!("{ISSUER}/sign-in?app=pos&return_to=")), "{link}");
    for path in ["/public/../orders/5", "/public/%2e%2e/orders/5", "/public/..%2forders", "/publicity"] {
        assert_eq!(app.send(visit(path, &[])).await.status, 303, "{path}");
    }
}

#[tokio::test]
async fn a_handler_that_takes_a_caller_never_runs_without_one() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    assert!(app.send(visit("/public/strict", &[])).await.location().contains("/sign-in?"));
    assert_eq!(app.send(fetch("/public/strict", &[])).await.status, 401);
}

#[tokio::test]
async fn a_permission_is_required_where_declared() {
    let engine = Engine::start().await;
    engine.sign_in("clerk", "s_1", "ana", json!({}));
    engine.sign_in("boss", "s_2", "bob", json!({"permissions":["canRefund"]}));
    let app = App::new(engine.builder());
    assert_eq!(app.send(visit("/refunds", &[(PASS, "boss")])).await.body, "refunds");
    let page = app.send(visit("/refunds", &[(PASS, "clerk")])).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("<h1>You may not do this</h1>"), "{page:?}");
    let problem = app.send(fetch("/refunds", &[(PASS, "clerk")])).await;
    assert_eq!((problem.status.as_u16(), problem.json()["error"].clone()), (403, json!("not_permitted")));
    assert!(app.send(visit("/public/refunds", &[])).await.location().contains("/sign-in?"));
    assert_eq!(app.send(fetch("/public/refunds", &[])).await.status, 401);
}

/// A route that somebody forgot to cover must not be open.
#[tokio::test]
async fn without_the_layer_nothing_passes() {
    use axum::routing::get;
    use tower::ServiceExt;
    let router = axum::Router::new()
        .route("/a", get(async || "open").layer(hallpass_client::require("canRefund")))
        .route("/b", get(async |_: hallpass_client::Caller| "open"))
        .route("/c", get(async |_: Option<hallpass_client::Caller>| "open"));
    for path in ["/a", "/b", "/c"] {
        let response = router.clone().oneshot(visit(path, &[])).await.expect("infallible");
        assert_eq!(response.status(), 503, "{path}");
    }
}

#[tokio::test]
async fn a_fresh_pass_is_relayed_as_it_came() {
    let engine = Engine::start().await;
    let line = format!(
        "{PASS}=fresh; Domain=company.localhost; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax; Priority=High"
    );
    engine.sign_in("p", "s_1", "ana", json!({"set_cookie":line}));
    engine.sign_in("odd", "s_1", "ana", json!({"set_cookie":"session=evil; Path=/"}));
    engine.sign_in("split", "s_1", "ana", json!({"set_cookie":format!("{PASS}=x\r\nLocation: https://evil.com")}));
    let app = App::new(engine.builder());
    assert_eq!(app.send(visit("/", &[(PASS, "p")])).await.set_cookies(PASS), [line]);
    for pass in ["odd", "split"] {
        let answer = app.send(visit("/", &[(PASS, pass)])).await;
        assert_eq!(
            (answer.status.as_u16(), answer.set_cookies(PASS).len(), answer.set_cookies("session").len()),
            (200, 0, 0)
        );
    }
}

#[tokio::test]
async fn nothing_personal_goes_into_what_others_may_keep() {
    let engine = Engine::start().await;
    let line = format!("{PASS}=fresh; Domain=company.localhost; Path=/; Secure; HttpOnly; SameSite=Lax");
    engine.sign_in("p", "s_1", "ana", json!({"set_cookie":line}));
    let app = App::new(engine.builder());
    let answer = app.send(fetch("/logo.svg", &[(PASS, "p")])).await;
    assert_eq!(answer.header(header::CACHE_CONTROL), "public, max-age=60");
    assert_eq!((answer.set_cookies(PASS).len(), answer.set_cookies(SEEN).len()), (0, 0));
}

#[tokio::test]
async fn identity_headers_from_outside_do_not_arrive() {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder());
    let mut request = fetch("/headers", &[(PASS, "p")]);
    for name in ["x-hallpass-user", "x_hallpass_roles", "X-Hallpass-Permissions"] {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().insert(name, "admin".parse().expect("a value"));
    }
    let seen = app.send(request).await.body;
    assert!(!seen.contains("admin"), "{seen}");
    assert!(seen.contains("sec-fetch-mode"), "{seen}");
}

#[tokio::test]
async fn going_round_in_circles_ends_with_a_page_that_says_why() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    let mut counter = String::new();
    for _ in 0..3 {
        let answer = app.send(visit("/", &[(PASS, "ended"), ("__Host-Http-hallpass-bounce", &counter)])).await;
        assert_eq!(answer.status, 303);
        counter = answer.cookie("__Host-Http-hallpass-bounce");
    }
    let answer = app.send(visit("/", &[(PASS, "ended"), ("__Host-Http-hallpass-bounce", &counter)])).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("is not accepted here"), "{answer:?}");
    let answer = app.send(visit("/", &[("__Host-Http-hallpass-bounce", &counter)])).await;
    assert!(answer.body.contains("did not bring the sign-in cookie"), "{answer:?}");

    // Whoever arrives in the end starts counting anew.
    engine.sign_in("p", "s_1", "ana", json!({}));
    let answer = app.send(visit("/", &[(PASS, "p"), ("__Host-Http-hallpass-bounce", &counter)])).await;
    assert_eq!(answer.status, 200);
    assert!(answer.set_cookies("__Host-Http-hallpass-bounce")[0].contains("=; Path=/; Max-Age=0"));
}

/// Any tower service over HTTP requests will do, not only axum's.
#[tokio::test]
async fn a_plain_tower_service_is_covered_too() {
    use tower::{Layer, ServiceExt, service_fn};
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let hallpass: Hallpass = engine.builder().clock(hallpass_client::ManualClock::default()).build().expect("valid");
    let service = hallpass.layer().layer(service_fn(async |request: http::Request<axum::body::Body>| {
        let name = request.extensions().get::<hallpass_client::Caller>().expect("a caller").username().to_owned();
        Ok::<_, std::io::Error>(http::Response::new(axum::body::Body::from(name)))
    }));
    let response = service.oneshot(visit("/", &[(PASS, "p")]).map(|_| String::new())).await.expect("answered");
    let body = axum::body::to_bytes(response.into_body(), 100).await.expect("a body");
    assert_eq!(body, "ana");
}
