//! With an agent nobody is asked who they are when another person's pass arrives: the home session says it (protocol §2,
//! subject switch and first contact).

use hallpass_client::FirstContact;
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{App, Engine, ORIGIN, PASS, SEEN, fetch, visit};
use crate::home::asked;

/// Ana has used the app in this browser; then somebody else's pass arrives.
async fn ana_then_mallory() -> (Engine, App, Browser) {
    let engine = Engine::start().await;
    engine.sign_in("ana", "s_1", "ana", json!({}));
    engine.sign_in("mallory", "s_2", "mallory", json!({}));
    let app = App::new(engine.builder().agent());
    let mut browser = Browser::default();
    browser.set(PASS, "ana");
    assert_eq!(browser.open(&app, "/").await.body, "ana canCreateOrder");
    browser.set(PASS, "mallory");
    (engine, app, browser)
}

#[tokio::test]
async fn a_tossed_pass_is_replaced_by_that_of_the_home_session() {
    let (engine, app, mut browser) = ana_then_mallory().await;
    let seen = browser.cookie(SEEN).expect("set").to_owned();
    let location = browser.open(&app, "/orders/5").await.location().to_owned();
    assert_eq!(browser.cookie(SEEN), Some(seen.as_str()), "nothing is believed yet");
    let back = engine.hand_off(&location, "ana", json!({}));
    assert_eq!(browser.open(&app, &back).await.location(), "/orders/5");
    assert_eq!(browser.open(&app, "/orders/5").await.body, "ana canCreateOrder");
}

#[tokio::test]
async fn another_person_who_signed_in_at_home_is_accepted_without_a_question() {
    let (engine, app, mut browser) = ana_then_mallory().await;
    let location = browser.open(&app, "/orders/5").await.location().to_owned();
    let back = engine.hand_off(&location, "mallory", json!({}));
    assert_eq!(browser.open(&app, &back).await.location(), "/orders/5");
    assert_eq!(browser.open(&app, "/orders/5").await.body, "mallory canCreateOrder");
}

#[tokio::test]
async fn what_is_no_window_is_refused_as_before() {
    let (_, app, mut browser) = ana_then_mallory().await;
    let answer = app.send(fetch("/", &browser.pairs())).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].clone()), (409, json!("subject_switch")));
    assert_eq!(browser.open(&app, "/public").await.body, "anonymous");
    let page = browser.submit(&app, "/").await;
    assert!(page.body.contains("Continue as mallory"), "{page:?}");
    assert!(page.body.contains(&format!("href=\"{ORIGIN}/.sso/start?r=%2F\">I am ana")), "the home session decides");
    assert_eq!(app.acted(), 0);
    // The link on it must not lead straight back on the strength of the very pass that is in doubt.
    asked(browser.open(&app, "/.sso/start?r=/").await.location());
}

#[tokio::test]
async fn a_sensitive_app_has_first_contact_confirmed_by_the_home_session() {
    let engine = Engine::start().await;
    engine.sign_in("ana", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().agent().first_contact(FirstContact::Confirm));
    let mut browser = Browser::default();
    browser.set(PASS, "ana");
    let answer = app.send(fetch("/", &browser.pairs())).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].clone()), (409, json!("confirmation_required")));
    let location = browser.open(&app, "/orders/5").await.location().to_owned();
    let back = engine.hand_off(&location, "ana", json!({}));
    browser.open(&app, &back).await;
    assert_eq!(browser.open(&app, "/orders/5").await.body, "ana canCreateOrder");
}

#[tokio::test]
async fn a_browser_that_does_not_keep_what_the_handoff_showed_is_told_so() {
    let engine = Engine::start().await;
    engine.sign_in("ana", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().agent().first_contact(FirstContact::Confirm));
    let mut browser = Browser::default();
    browser.set(PASS, "ana");
    for _ in 0..3 {
        let location = browser.open(&app, "/orders/5").await.location().to_owned();
        let back = engine.hand_off(&location, "ana", json!({}));
        assert_eq!(browser.open(&app, &back).await.location(), "/orders/5");
        browser.lose(SEEN);
    }
    let answer = browser.open(&app, "/orders/5").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("does not keep this application’s own"), "{answer:?}");
}

#[tokio::test]
async fn a_refused_pass_and_passes_in_conflict_are_decided_at_home() {
    let (engine, app, _) = ana_then_mallory().await;
    asked(app.send(visit("/orders/5", &[(PASS, "ended")])).await.location());
    let both = app.send(visit("/orders/5", &[(PASS, "mallory"), (PASS, "ana")])).await;
    asked(both.location());
    let expired = both.set_cookies(PASS);
    assert!(
        expired.iter().any(|line| line.contains("Path=/orders/5; Domain=company.localhost; Max-Age=0")),
        "{expired:?}"
    );
    assert_eq!(engine.redeemed().len(), 0);
}
