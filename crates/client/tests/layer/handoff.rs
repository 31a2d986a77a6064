//! A handoff from end to end, and everything that must not end in one (protocol §8 numbers 1 to 5).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use proptest::prelude::*;
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{App, Engine, ISSUER, ORIGIN, PASS, SEEN, fetch, visit};
use crate::home::{asked, callback, query};

pub const TX: &str = "__Host-Http-hallpass-tx-";

/// An app with an agent; Ana is signed in at home, and this browser has just been sent there from `/orders/5?open=1`.
pub async fn under_way() -> (Engine, App, Browser, String) {
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
    let stuffed = app.send(visit(&back, &[(PASS, "p"); 4])).await;
    assert_eq!(stuffed.status, 403, "more passes than an honest browser sends");
    engine.end("p");
    assert_eq!(browser.open(&app, &back).await.status, 403);
}

#[tokio::test]
async fn a_memory_of_this_browser_that_cannot_be_read_is_replaced() {
    let (engine, app, mut browser, location) = under_way().await;
    browser.set(SEEN, "forged");
    let back = engine.hand_off(&location, "p", json!({}));
    let answer = browser.open(&app, &back).await;
    let lines = answer.set_cookies(SEEN);
    assert!(lines.iter().any(|line| line.contains("Domain=company.localhost; Max-Age=0")), "{lines:?}");
    assert!(!lines.last().expect("lines").contains("Max-Age=0"), "the new one comes last");
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
    app.clock.advance(Duration::from_mins(2));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes back, and whatever lies where a transaction would: nobody is let in, and the engine is not called.
    #[test]
    fn no_invented_callback_lets_anybody_in(
        query in "(state=|iss=|code=|error=|&|A{43}|http%3A%2F%2Fauth\\.company\\.localhost%3A7000|hp_hc_0|%0d%0a|[a-zA-Z0-9%._~-]{0,9}){0,12}",
        value in "[a-zA-Z0-9_-]{0,300}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let engine = Engine::start().await;
            let app = App::new(engine.builder().agent());
            // The cookie's name for a state of 43 times A.
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[0; 32]);
            let name = format!("{TX}{}", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..6]));
            let answer = app.send(visit(&format!("/.sso/callback?{query}"), &[(name.as_str(), value.as_str())])).await;
            assert_eq!(answer.status, 403, "{answer:?}");
            let set: Vec<_> = answer.headers.get_all(header::SET_COOKIE).iter().collect();
            assert_eq!(set.len(), answer.set_cookies(&name).len(), "nothing but the end of the transaction");
            assert!(engine.redeemed().is_empty());
        });
    }
}
