//! How a handoff of this browser's own ends where it does not simply succeed: nobody at home, an engine that cannot redeem,
//! chains, other destinations (protocol §8 numbers 4 and 5).

use std::time::Duration;

use http::{StatusCode, header};
use serde_json::json;

use crate::fixture::{App, ISSUER, PASS, SEEN, Trouble};
use crate::handoff::{TX, under_way};
use crate::home::{asked, turn_away};

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
    let (_, app, mut browser, location) = under_way().await;
    let back = turn_away(&location, "login_required");
    let answer = browser.open(&app, &back).await;
    let return_to = "http%3A%2F%2Fpos.company.localhost%3A7070%2Forders%2F5%3Fopen%3D1";
    assert_eq!(answer.location(), format!("{ISSUER}/sign-in?app=pos&return_to={return_to}"));
    assert!(browser.names(TX).is_empty());

    let other = "/.sso/start?app=cashier&return_to=https%3A%2F%2Fcashier.company2.com%2Fa";
    let location = browser.open(&app, other).await.location().to_owned();
    let back = turn_away(&location, "login_required");
    let expected = format!("{ISSUER}/sign-in?app=cashier&return_to=https%3A%2F%2Fcashier.company2.com%2Fa");
    assert_eq!(browser.open(&app, &back).await.location(), expected);

    let location = browser.open(&app, "/.sso/start?chain=c-1").await.location().to_owned();
    let back = turn_away(&location, "login_required");
    assert_eq!(browser.open(&app, &back).await.location(), format!("{ISSUER}/handoff/next?chain=c-1"));
}

#[tokio::test]
async fn another_error_of_the_engine_s_is_503() {
    let (engine, app, mut browser, location) = under_way().await;
    let back = turn_away(&location, "temporarily_unavailable");
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
    let back = turn_away(&location, "server_error");
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
