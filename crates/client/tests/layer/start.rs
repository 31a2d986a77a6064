//! Beginning a handoff at `/.sso/start`, and the agent's addresses as such (protocol §8 number 1).

use http::header;
use http::{Method, Request};
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::browser::Browser;
use crate::fixture::{Answer, App, Engine, ISSUER, ORIGIN, PASS, SEEN, Trouble, fetch, visit};
use crate::home::{asked, query};

const TX: &str = "__Host-Http-hallpass-tx-";
const BOUNCE: &str = "__Host-Http-hallpass-bounce";

async fn agent() -> (Engine, App) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().agent());
    (engine, app)
}

fn start(query: &[(&str, &str)]) -> String {
    format!("/.sso/start?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish())
}

/// Where somebody arrives who begins at `path` and is signed in at home.
async fn arrival(engine: &Engine, app: &App, path: &str) -> Answer {
    let mut browser = Browser::default();
    let location = browser.open(app, path).await.location().to_owned();
    let back = engine.hand_off(&location, "p", json!({}));
    browser.open(app, &back).await
}

#[tokio::test]
async fn it_leads_back_to_a_path_of_our_own() {
    let (engine, app) = agent().await;
    for (path, expected) in [
        (start(&[("r", "/orders/5?open=1")]), "/orders/5?open=1"),
        (start(&[]), "/"),
        ("/.sso/start".into(), "/"),
        (start(&[("r", "/orders/5"), ("r", "/orders/6")]), "/"),
        (start(&[("r", "/orders/5"), ("chain", "c")]), "/"),
        (start(&[("app", "pos")]), "/"),
        (start(&[("return_to", "https://pos.company2.com/")]), "/"),
        (start(&[("r", "/.sso/start?r=/")]), "/"),
        (start(&[("r", "/.hallpass/sign-out")]), "/"),
    ] {
        assert_eq!(arrival(&engine, &app, &path).await.location(), expected, "{path}");
    }
}

/// Strings that have fooled redirect checks, from the shared test data where that is present.
fn known_tricks() -> Vec<String> {
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("HALLPASS_TEST_DATA").map_or_else(beside, std::path::PathBuf::from);
    let Ok(list) = std::fs::read(folder.join("open-redirects.txt")) else {
        #[expect(clippy::print_stderr, reason = "a test that skips something says so")]
        {
            eprintln!("skipped: open-redirects.txt is not present");
        }
        return Vec::new();
    };
    let tricks: Vec<String> = String::from_utf8_lossy(&list).lines().map(str::to_owned).collect();
    assert!(tricks.len() > 100, "the list was read");
    tricks
}

#[tokio::test]
async fn no_r_leads_away() {
    let (engine, app) = agent().await;
    let mut tricks: Vec<String> = [
        "//evil.com",
        "///evil.com",
        "/\\evil.com",
        "\\/evil.com",
        "https://evil.com",
        "https:evil.com",
        "javascript:alert(1)",
        "/\t/evil.com",
        "/\n/evil.com",
        "/\r\nLocation: https://evil.com",
        "/%0d%0aSet-Cookie:a=b",
        "/..//evil.com",
        "/.//evil.com",
        "evil.com",
        "@evil.com",
        ".evil.com",
        "",
        "/\u{ff0f}evil.com",
        "/\0/evil.com",
    ]
    .map(str::to_owned)
    .into();
    tricks.extend(known_tricks());
    let base = Url::parse(ORIGIN).expect("valid");
    for trick in tricks {
        let answer = arrival(&engine, &app, &start(&[("r", &trick)])).await;
        let url = base.join(answer.location()).expect("a URL");
        assert_eq!(url.origin(), base.origin(), "{trick}");
        assert!(answer.location().starts_with('/') && !answer.location().starts_with("//"), "{trick}");
        // The same for somebody who is here already.
        let straight = app.send(visit(&start(&[("r", &trick)]), &[(PASS, "p")])).await;
        assert_eq!(straight.location(), answer.location(), "{trick}");
    }
}

#[tokio::test]
async fn what_cannot_name_a_chain_is_none() {
    let (engine, app) = agent().await;
    let long = "c".repeat(2000);
    for chain in ["c", "A-z_0.9", &long] {
        let expected = format!("{ISSUER}/handoff/next?chain={chain}");
        assert_eq!(arrival(&engine, &app, &start(&[("chain", chain)])).await.location(), expected);
    }
    let longer = "c".repeat(2001);
    for hostile in [
        "",
        " ",
        "a/b",
        "a&next=https://evil.com",
        "a#b",
        "https://evil.com",
        "a%00",
        "a\r\nb",
        "\u{e9}",
        "a+b",
        &longer,
    ] {
        assert_eq!(arrival(&engine, &app, &start(&[("chain", hostile)])).await.location(), "/", "{hostile}");
    }
}

#[tokio::test]
async fn an_app_and_an_address_are_the_engine_s_to_judge() {
    let (_, app) = agent().await;
    let open = async |path: String| asked(Browser::default().open(&app, &path).await.location());
    let hostile = "https://evil.com/\"><script>";
    let begun = open(start(&[("app", "x y"), ("return_to", hostile)])).await;
    assert_eq!((begun["app"].as_str(), begun["return_to"].as_str()), ("x y", hostile));
    let longest = format!("https://pos.company2.com/{}", "x".repeat(1975));
    assert_eq!(open(start(&[("app", "pos"), ("return_to", &longest)])).await["return_to"], longest);
    // Too long, or more than a cookie can hold: to the front page, as what the browser would drop could never end well.
    let too_much = "\"".repeat(2000);
    for return_to in [format!("{longest}x"), too_much] {
        let begun = open(start(&[("app", "pos"), ("return_to", &return_to)])).await;
        assert!(!begun.contains_key("app") && !begun.contains_key("return_to"));
    }
}

#[tokio::test]
async fn somebody_who_is_here_already_goes_straight_on() {
    let (engine, app) = agent().await;
    let cookies = [(PASS, "p")];
    assert_eq!(app.send(visit(&start(&[("r", "/orders/5")]), &cookies)).await.location(), "/orders/5");
    let next = format!("{ISSUER}/handoff/next?chain=c");
    assert_eq!(app.send(visit(&start(&[("chain", "c")]), &cookies)).await.location(), next);
    let journey = start(&[("app", "pos"), ("return_to", "https://pos.company2.com/")]);
    asked(app.send(visit(&journey, &cookies)).await.location());
    for cookies in [vec![(PASS, "ended")], vec![(PASS, "p"); 4]] {
        asked(app.send(visit(&start(&[("r", "/orders/5")]), &cookies)).await.location());
    }
    // Another person's pass: the home session has to say who is here.
    engine.sign_in("mallory", "s_2", "mallory", json!({}));
    let seen = app.send(visit("/", &cookies)).await.cookie(SEEN);
    asked(app.send(visit(&start(&[("r", "/public")]), &[(PASS, "mallory"), (SEEN, &seen)])).await.location());
}

#[tokio::test]
async fn an_engine_that_is_away_stops_a_visitor_but_no_chain() {
    let (engine, app) = agent().await;
    engine.trouble(Trouble::Status(http::StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(app.send(visit(&start(&[("r", "/")]), &[(PASS, "p")])).await.status, 503);
    let next = format!("{ISSUER}/handoff/next?chain=c");
    assert_eq!(app.send(visit(&start(&[("chain", "c")]), &[(PASS, "p")])).await.location(), next);
}

#[tokio::test]
async fn frames_scripts_and_prefetches_begin_and_end_nothing() {
    let (engine, app) = agent().await;
    let mut browser = Browser::default();
    let location = browser.open(&app, "/").await.location().to_owned();
    let back = engine.hand_off(&location, "p", json!({}));
    for path in ["/.sso/start", &back, "/.sso/sync?chain=c"] {
        for headers in [
            [("sec-fetch-dest", "iframe")],
            [("sec-fetch-dest", "image")],
            [("sec-fetch-mode", "cors")],
            [("sec-purpose", "prefetch")],
            [("sec-purpose", "prefetch;prerender")],
        ] {
            let answer = browser.clone().open_with(&app, path, &headers).await;
            assert_eq!(answer.status, 403, "{path} {headers:?}");
            assert!(!answer.headers.contains_key(header::SET_COOKIE));
        }
    }
    assert!(engine.redeemed().is_empty());
    assert_eq!(browser.open(&app, &back).await.location(), "/", "none of them used it up");
    // Nor does a page that would have begun one.
    for headers in [[("sec-fetch-dest", "iframe")], [("sec-purpose", "prefetch")]] {
        let answer = Browser::default().open_with(&app, "/orders/5", &headers).await;
        assert_eq!((answer.status.as_u16(), answer.headers.contains_key(header::SET_COOKIE)), (401, false));
        assert_eq!(answer.json()["sign_in_url"], format!("{ORIGIN}/.sso/start?r=%2Forders%2F5"));
    }
}

#[tokio::test]
async fn handoffs_given_up_half_way_do_not_fill_the_browser() {
    let (engine, app) = agent().await;
    let mut browser = Browser::default();
    for tab in 1..=12 {
        browser.open(&app, &format!("/orders/{tab}")).await;
        assert_eq!(browser.names(TX).len(), tab);
    }
    browser.set(&format!("{TX}not-ours-at-all"), "x");
    let location = browser.open(&app, "/orders/5").await.location().to_owned();
    browser.lose(&format!("{TX}not-ours"));
    assert_eq!(browser.names(TX).len(), 1);
    let back = engine.hand_off(&location, "p", json!({}));
    assert_eq!(browser.open(&app, &back).await.location(), "/orders/5", "the new one is the one that is left");
}

#[tokio::test]
async fn a_browser_that_keeps_coming_back_is_told_why() {
    let (engine, app) = agent().await;
    for path in ["/orders/5", "/.sso/start?r=%2Forders%2F5", "/.sso/start?app=pos&return_to=https%3A%2F%2Fx.com"] {
        let mut browser = Browser::default();
        for _ in 0..3 {
            let location = browser.open(&app, path).await.location().to_owned();
            let back = engine.hand_off(&location, "p", json!({}));
            browser.open(&app, &back).await;
            browser.lose(PASS);
        }
        let answer = browser.open(&app, path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains("did not bring the sign-in cookie"), "{answer:?}");
    }
    // A chain is not counted: the engine ends it itself.
    let mut browser = Browser::default();
    for _ in 0..30 {
        asked(browser.open(&app, "/.sso/start?chain=c").await.location());
    }
    assert!(browser.cookie(BOUNCE).is_none());
}

#[tokio::test]
async fn the_engine_s_pages_can_see_whose_agent_answers_here() {
    let (_, app) = agent().await;
    let mut request = fetch("/.well-known/sso-agent", &[]);
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().expect("a value"));
    let answer = app.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"issuer":ISSUER,"app":"pos"}));
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), ISSUER);
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
}

#[tokio::test]
async fn each_address_takes_its_own_method() {
    let (_, app) = agent().await;
    for (method, path, allowed) in [
        (Method::POST, "/.sso/start", "GET"),
        (Method::HEAD, "/.sso/start", "GET"),
        (Method::POST, "/.sso/callback", "GET"),
        (Method::POST, "/.sso/sync", "GET"),
        (Method::POST, "/.well-known/sso-agent", "GET"),
        (Method::GET, "/.sso/sign-out", "POST"),
        (Method::GET, "/.sso/backchannel", "POST"),
    ] {
        let request = Request::builder().method(&method).uri(path).body(axum::body::Body::empty()).expect("a request");
        let answer = app.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.header(header::ALLOW)), (405, allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn without_the_agent_these_addresses_are_the_app_s_own() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder());
    for path in ["/.sso/start", "/.sso/callback", "/.sso/sync", "/.sso/backchannel", "/.well-known/sso-agent"] {
        let answer = app.send(visit(path, &[])).await;
        assert!(answer.location().starts_with(&format!("{ISSUER}/sign-in?")), "{path}");
        assert_eq!(query(answer.location())["app"], "pos");
    }
}
