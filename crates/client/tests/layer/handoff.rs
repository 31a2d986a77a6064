//! A handoff from end to end, and everything that must not end in one (protocol §8 numbers 1 to 5).

use std::time::Duration;

use http::{StatusCode, header};
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{App, Engine, ISSUER, ORIGIN, PASS, SEEN, Trouble, fetch, visit};
use crate::home::{asked, callback, query};

const TX: &str = "__Host-Http-hallpass-tx-";

/// An app with an agent; Ana is signed in at home, and this browser has just been sent there from `/orders/5?open=1`.
async fn under_way() -> (Engine, App, Browser, String) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().agent());
    let mut browser = Browser::default();
    let location = browser.open(&app, "/orders/5?open=1").await.location().to_owned();
    (engine, app, browser, location)
}

#[tokio::test]
async fn somebody_who_is_signed_in_at_home_arrives_where_they_wanted_to_be() {
    let (engine, app, mut browser, location) = under_way().await;
    assert_eq!(browser.names(TX).len(), 1);
    let back = engine.hand_off(&location, "p", json!({}));
    let answer = browser.open(&app, &back).await;
    assert_eq!(answer.location(), "/orders/5?open=1");
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let line = format!("{PASS}=p; Domain=company.localhost; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(answer.set_cookies(PASS), [line], "relayed as it came");
    assert!(browser.names(TX).is_empty(), "the transaction is over");
    assert!(browser.cookie(SEEN).is_some());
    assert_eq!(browser.open(&app, "/orders/5?open=1").await.body, "ana canCreateOrder");
    let redeemed = engine.redeemed();
    assert_eq!(redeemed.len(), 1);
    assert_eq!(redeemed[0]["redirect_uri"], format!("{ORIGIN}/.sso/callback"));
    let mut members: Vec<&str> = redeemed[0].keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["code", "code_verifier", "redirect_uri"]);
}

#[tokio::test]
async fn the_transaction_is_host_only_short_lived_and_sealed() {
    let (_, app, _, location) = under_way().await;
    let asked = asked(&location);
    let answer = app.send(visit("/orders/5", &[])).await;
    let names = answer.headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let line = names.filter(|line| line.starts_with(TX)).collect::<Vec<_>>()[0].to_owned();
    let (pair, attributes) = line.split_once(';').expect("attributes");
    assert_eq!(attributes, " Path=/; Max-Age=120; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(pair.split_once('=').expect("a pair").0.len(), TX.len() + 8);
    assert!(!line.contains("orders") && !line.contains(&asked["state"]));
    let other = crate::home::asked(answer.location());
    assert!(other["state"] != asked["state"] && other["code_challenge"] != asked["code_challenge"], "never twice");
}

/// Somebody sends Ana a link that would sign her in as Mallory (login CSRF), or opens her link elsewhere.
#[tokio::test]
async fn a_code_is_worth_nothing_in_a_browser_that_did_not_ask_for_it() {
    let (engine, app, browser, location) = under_way().await;
    let back = engine.hand_off(&location, "p", json!({}));
    let mut bad_state = query(&format!("http://x{back}"));
    bad_state.insert("state".into(), "A".repeat(43));
    let other_state: Vec<(&str, &str)> =
        bad_state.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let nonsense = back.replace("&state=", "&state=x");
    let twice = format!("{back}&state={}", "A".repeat(43));
    let mut other = Browser::default();
    other.open(&app, "/orders/9").await;
    let arrivals = [
        (Browser::default(), back.clone()),
        (other, back),
        (browser.clone(), callback(&other_state)),
        (browser.clone(), nonsense),
        (browser, twice),
    ];
    for (mut browser, path) in arrivals {
        let before = browser.pairs().len();
        let answer = browser.open(&app, &path).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("<a class=\"button\" href=\"/\">Start again</a>"), "{answer:?}");
        assert_eq!(answer.header(header::REFERRER_POLICY), "no-referrer");
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{answer:?}");
        assert_eq!(browser.pairs().len(), before);
    }
    assert!(engine.redeemed().is_empty() && engine.asked().is_empty(), "the engine is not called");
}

#[tokio::test]
async fn programs_are_refused_in_their_own_words() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder().agent());
    let request = http::Request::get("/.sso/callback").body(axum::body::Body::empty()).expect("a request");
    let answer = app.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].clone()), (403, json!("handoff_refused")));
}

#[tokio::test]
async fn going_back_to_an_old_address_is_no_mistake_for_somebody_who_is_here() {
    let (engine, app, mut browser, location) = under_way().await;
    let back = engine.hand_off(&location, "p", json!({}));
    browser.open(&app, &back).await;
    assert_eq!(browser.open(&app, &back).await.location(), "/");
    assert_eq!(engine.redeemed().len(), 1, "not redeemed again");
    engine.end("p");
    assert_eq!(browser.open(&app, &back).await.status, 403);
}

#[tokio::test]
async fn two_transactions_of_one_name_count_as_none() {
    let (engine, app, browser, location) = under_way().await;
    let back = engine.hand_off(&location, "p", json!({}));
    let name = browser.names(TX)[0];
    let value = browser.cookie(name).expect("just set");
    let answer = app.send(visit(&back, &[(name, value), (name, value)])).await;
    assert_eq!(answer.status, 403);
    assert!(answer.set_cookies(name)[0].contains("Max-Age=0"), "{answer:?}");
    assert!(engine.redeemed().is_empty());
}

#[tokio::test]
async fn a_transaction_lives_for_two_minutes() {
    let (engine, app, mut browser, location) = under_way().await;
    let back = engine.hand_off(&location, "p", json!({}));
    app.clock.advance(Duration::from_secs(121));
    let mut late = browser.clone();
    assert_eq!(late.open(&app, &back).await.status, 403);
    assert!(late.names(TX).is_empty(), "over in every outcome");
    assert!(engine.redeemed().is_empty());

    let location = browser.open(&app, "/orders/5").await.location().to_owned();
    let back = engine.hand_off(&location, "p", json!({}));
    app.clock.advance(Duration::from_secs(120));
    assert_eq!(browser.open(&app, &back).await.location(), "/orders/5");
}

#[tokio::test]
async fn an_answer_in_another_issuer_s_name_is_refused() {
    let (engine, app, browser, location) = under_way().await;
    let back = engine.hand_off(&location, "p", json!({}));
    let (rest, _) = back.split_once("&iss=").expect("an issuer");
    for iss in ["", "&iss=", "&iss=https%3A%2F%2Fevil.com", "&iss=http%3A%2F%2Fauth.company.localhost%3A7000%2F"] {
        let mut browser = browser.clone();
        let answer = browser.open(&app, &format!("{rest}{iss}")).await;
        assert_eq!(answer.status, 403, "{iss}");
        assert!(browser.names(TX).is_empty() && browser.cookie(PASS).is_none());
    }
    assert!(engine.redeemed().is_empty());
}

#[tokio::test]
async fn a_code_that_the_engine_refuses_lets_nobody_in() {
    let (engine, app, browser, location) = under_way().await;
    let state = asked(&location)["state"].clone();
    let unknown = callback(&[("code", "hp_hc_unknown"), ("state", &state), ("iss", ISSUER)]);
    // Mallory's code, in Ana's handoff: its challenge is not answered by Ana's verifier.
    let mallory = Browser::default().open(&app, "/").await.location().to_owned();
    let back = engine.hand_off(&mallory, "p", json!({}));
    let swapped = back.replace(&asked(&mallory)["state"], &state);
    let neither = callback(&[("state", &state), ("iss", ISSUER)]);
    let both = format!("{back}&error=login_required").replace(&asked(&mallory)["state"], &state);
    for path in [unknown, swapped, neither, both] {
        let mut browser = browser.clone();
        let answer = browser.open(&app, &path).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(browser.names(TX).is_empty() && browser.cookie(PASS).is_none() && browser.cookie(SEEN).is_none());
    }
}

#[tokio::test]
async fn an_engine_that_cannot_redeem_is_503_with_a_way_to_try_again() {
    let (engine, _, browser, location) = under_way().await;
    let app = App::new(engine.builder().agent().timeout(Duration::from_millis(200)));
    for trouble in [
        Trouble::Status(StatusCode::SERVICE_UNAVAILABLE),
        Trouble::Status(StatusCode::UNAUTHORIZED),
        Trouble::Status(StatusCode::BAD_REQUEST),
        Trouble::Status(StatusCode::NO_CONTENT),
        Trouble::Silence,
        Trouble::Nonsense,
    ] {
        engine.trouble(trouble);
        let back = engine.hand_off(&location, "p", json!({}));
        let mut browser = browser.clone();
        let answer = browser.open(&app, &back).await;
        assert_eq!(answer.status, 503, "{trouble:?}");
        assert!(answer.body.contains("href=\"/orders/5?open=1\">Try again"), "{answer:?}");
        assert!(!answer.header(header::RETRY_AFTER).is_empty());
        assert!(browser.names(TX).is_empty() && browser.cookie(PASS).is_none() && browser.cookie(SEEN).is_none());
    }
}

#[tokio::test]
async fn an_answer_meant_for_somebody_else_lets_nobody_in() {
    let (engine, app, browser, location) = under_way().await;
    let mut other_app = engine.envelope("p");
    other_app["client_id"] = json!("cashier");
    for more in [
        json!({"envelope":other_app}),
        json!({"envelope":{"active":false}}),
        json!({"set_cookie":null}),
        json!({"set_cookie":"session=evil; Path=/"}),
        json!({"set_cookie":format!("{PASS}=x\r\nLocation: https://evil.com")}),
    ] {
        let back = engine.hand_off(&location, "p", more.clone());
        let mut browser = browser.clone();
        assert_eq!(browser.open(&app, &back).await.status, 503, "{more}");
        assert!(browser.cookie(PASS).is_none() && browser.cookie(SEEN).is_none());
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_once_more_with_the_same_question() {
    let (engine, app, browser, location) = under_way().await;
    let back = engine.hand_off(&location, "p", json!({}));
    engine.break_off(2);
    assert_eq!(browser.clone().open(&app, &back).await.status, 503);
    assert_eq!(engine.redeemed().len(), 2, "not for ever");
    engine.break_off(1);
    assert_eq!(browser.clone().open(&app, &back).await.location(), "/orders/5?open=1");
    let redeemed = engine.redeemed();
    assert_eq!(redeemed.len(), 4);
    assert_eq!(redeemed[2], redeemed[3]);
}

#[tokio::test]
async fn nobody_signed_in_at_home_leads_to_the_sign_in_page() {
    let (engine, app, mut browser, location) = under_way().await;
    let back = engine.turn_away(&location, "login_required");
    let answer = browser.open(&app, &back).await;
    let return_to = "http%3A%2F%2Fpos.company.localhost%3A7070%2Forders%2F5%3Fopen%3D1";
    assert_eq!(answer.location(), format!("{ISSUER}/sign-in?app=pos&return_to={return_to}"));
    assert!(browser.names(TX).is_empty());

    let other = "/.sso/start?app=cashier&return_to=https%3A%2F%2Fcashier.company2.com%2Fa";
    let location = browser.open(&app, other).await.location().to_owned();
    let back = engine.turn_away(&location, "login_required");
    let expected = format!("{ISSUER}/sign-in?app=cashier&return_to=https%3A%2F%2Fcashier.company2.com%2Fa");
    assert_eq!(browser.open(&app, &back).await.location(), expected);

    let location = browser.open(&app, "/.sso/start?chain=c-1").await.location().to_owned();
    let back = engine.turn_away(&location, "login_required");
    assert_eq!(browser.open(&app, &back).await.location(), format!("{ISSUER}/handoff/next?chain=c-1"));
}

#[tokio::test]
async fn another_error_of_the_engine_s_is_503() {
    let (engine, app, mut browser, location) = under_way().await;
    let back = engine.turn_away(&location, "temporarily_unavailable");
    assert_eq!(browser.open(&app, &back).await.status, 503);
    assert!(browser.names(TX).is_empty());
    assert!(engine.redeemed().is_empty());
}

#[tokio::test]
async fn a_chain_goes_on_whatever_happens_here() {
    let (engine, app, mut browser, _) = under_way().await;
    let next = format!("{ISSUER}/handoff/next?chain=c.1_A-z");
    let mut begin = async || {
        let location = browser.open(&app, "/.sso/start?chain=c.1_A-z").await.location().to_owned();
        (browser.clone(), location)
    };
    let (mut signed_in, location) = begin().await;
    // Also where the answer names another address.
    let back = engine.hand_off(&location, "p", json!({"return_to":"https://cashier.company2.com/"}));
    assert_eq!(signed_in.open(&app, &back).await.location(), next);
    assert_eq!((signed_in.cookie(PASS), signed_in.cookie(SEEN).is_some()), (Some("p"), true));

    let (mut refused, location) = begin().await;
    let back = engine.hand_off(&location, "p", json!({})).replace("hp_hc_", "hp_hc_x");
    assert_eq!(refused.open(&app, &back).await.location(), next);
    let (mut turned_away, location) = begin().await;
    let back = engine.turn_away(&location, "server_error");
    assert_eq!(turned_away.open(&app, &back).await.location(), next);
    let (mut away, location) = begin().await;
    let back = engine.hand_off(&location, "p", json!({}));
    engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(away.open(&app, &back).await.location(), next);
    assert!(away.cookie(PASS).is_none() && refused.cookie(PASS).is_none());
}

#[tokio::test]
async fn people_go_where_the_engine_says_that_they_wanted_to_go() {
    let (engine, app, mut browser, _) = under_way().await;
    let journey = "/.sso/start?app=cashier&return_to=https%3A%2F%2Fcashier.company2.com%2Fa%3Fb";
    for (return_to, expected) in [
        (json!("https://cashier.company2.com/a?b"), "https://cashier.company2.com/a?b"),
        (json!(null), "/"),
        (json!("javascript:alert(1)"), "/"),
        (json!("//evil.com"), "/"),
    ] {
        let location = browser.open(&app, journey).await.location().to_owned();
        let asked = asked(&location);
        assert_eq!(
            (asked["app"].as_str(), asked["return_to"].as_str()),
            ("cashier", "https://cashier.company2.com/a?b")
        );
        let back = engine.hand_off(&location, "p", json!({"return_to":return_to}));
        assert_eq!(browser.open(&app, &back).await.location(), expected);
        browser.lose("__Host-Http-hallpass-bounce");
    }
}

#[tokio::test]
async fn programs_and_forms_are_told_where_a_handoff_begins() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder().agent());
    let mut request = fetch("/api", &[]);
    request.headers_mut().insert(header::REFERER, format!("{ORIGIN}/orders/5?a=b").parse().expect("a value"));
    let answer = app.send(request).await;
    let start = format!("{ORIGIN}/.sso/start?r=%2Forders%2F5%3Fa%3Db");
    assert_eq!((answer.status.as_u16(), answer.json()["sign_in_url"].clone()), (401, json!(start)));
    let answer = Browser::default().submit(&app, "/").await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains(&format!("href=\"{ORIGIN}/.sso/start?r=%2F\"")), "{answer:?}");
    assert_eq!(app.send(fetch("/public/sign-in-link", &[])).await.body, format!("{ORIGIN}/.sso/start?r=%2F"));
}
