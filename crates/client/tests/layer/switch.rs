//! Another person's pass (protocol §2, subject switch and first contact): never accepted without a click that names
//! them, never asked about when it is the same person again.

use hallpass_client::FirstContact;
use serde_json::json;

use crate::fixture::{Answer, App, Engine, ISSUER, PASS, SECRETS, SEEN, fetch, submit, submit_from, visit};

/// Ana has used the app in this browser; then somebody else's pass arrives.
async fn ana_then_mallory() -> (Engine, App, String) {
    let engine = Engine::start().await;
    engine.sign_in("ana", "s_1", "ana", json!({}));
    engine.sign_in("ana-again", "s_2", "ana", json!({}));
    engine.sign_in("mallory", "s_3", "mallory", json!({}));
    let app = App::new(engine.builder());
    let seen = app.send(visit("/", &[(PASS, "ana")])).await.cookie(SEEN);
    (engine, app, seen)
}

async fn click(app: &App, pass: &str, seen: &str, page: &Answer) -> Answer {
    let form = [("person", page.field("person")), ("return_to", page.field("return_to"))];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    app.send(submit("/.hallpass/switch", &[(PASS, pass), (SEEN, seen)], &form)).await
}

#[tokio::test]
async fn the_cookie_is_the_app_s_own_and_set_once() {
    let (_, app, seen) = ana_then_mallory().await;
    let answer = app.send(visit("/", &[(PASS, "ana"), (SEEN, &seen)])).await;
    assert_eq!((answer.status.as_u16(), answer.set_cookies(SEEN).len()), (200, 0));
    let first = app.send(visit("/", &[(PASS, "ana")])).await;
    let attributes = first.set_cookies(SEEN)[0].split_once(';').expect("attributes").1;
    assert_eq!(attributes, " Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax");
    assert!(!first.set_cookies(SEEN)[0].contains("ana"), "sealed");
}

#[tokio::test]
async fn another_person_is_named_and_asked_about() {
    let (_, app, seen) = ana_then_mallory().await;
    let cookies = [(PASS, "mallory"), (SEEN, seen.as_str())];
    let page = app.send(visit("/orders/5?open=1&x=2", &cookies)).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("as <strong>ana</strong>") && page.body.contains("Continue as mallory"), "{page:?}");
    assert!(page.body.contains(&format!("{ISSUER}/pass/refresh?app=pos")), "the way back to Ana");
    assert!(page.header(http::header::CONTENT_SECURITY_POLICY).contains("frame-ancestors 'none'"));
    assert_eq!(page.set_cookies(SEEN).len(), 0);

    let answer = app.send(fetch("/orders/5", &cookies)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].clone()), (409, json!("subject_switch")));
    app.send(submit("/", &cookies, &[])).await;
    assert_eq!(app.acted(), 0, "never an action");
    assert_eq!(app.send(visit("/public", &cookies)).await.body, "anonymous");

    let clicked = click(&app, "mallory", &seen, &page).await;
    assert_eq!(clicked.location(), "/orders/5?open=1&x=2");
    let seen = clicked.cookie(SEEN);
    assert_eq!(app.send(visit("/", &[(PASS, "mallory"), (SEEN, &seen)])).await.body, "mallory canCreateOrder");
}

#[tokio::test]
async fn the_same_person_in_a_new_session_is_not_asked() {
    let (_, app, seen) = ana_then_mallory().await;
    let answer = app.send(visit("/", &[(PASS, "ana-again"), (SEEN, &seen)])).await;
    assert_eq!(answer.body, "ana canCreateOrder");
    assert_ne!(answer.cookie(SEEN), seen);
}

#[tokio::test]
async fn a_stranger_s_pass_is_not_kept_fresh() {
    let (engine, app, seen) = ana_then_mallory().await;
    let line = format!("{PASS}=fresh; Domain=company.localhost; Path=/; Secure; HttpOnly; SameSite=Lax");
    engine.sign_in("mallory", "s_3", "mallory", json!({"set_cookie":line}));
    let page = app.send(visit("/", &[(PASS, "mallory"), (SEEN, &seen)])).await;
    assert!(page.set_cookies(PASS).is_empty());
}

#[tokio::test]
async fn the_click_counts_for_the_person_named_and_from_our_own_page_only() {
    let (engine, app, seen) = ana_then_mallory().await;
    engine.sign_in("trudy", "s_4", "trudy", json!({}));
    let page = app.send(visit("/", &[(PASS, "mallory"), (SEEN, &seen)])).await;

    // The pass was exchanged while the page was open: asked again, about the other person.
    let again = click(&app, "trudy", &seen, &page).await;
    assert!(again.body.contains("Continue as trudy"), "{again:?}");
    assert!(again.set_cookies(SEEN).is_empty());

    let person = page.field("person");
    let form = [("person", person.as_str()), ("return_to", "/")];
    let cookies = [(PASS, "mallory"), (SEEN, seen.as_str())];
    for site in ["same-site", "cross-site", "none"] {
        let forged = app.send(submit_from(site, "/.hallpass/switch", &cookies, &form)).await;
        assert_eq!((forged.status.as_u16(), forged.set_cookies(SEEN).len()), (403, 0), "{site}");
    }
    for form in [vec![], vec![("person", "x"), ("person", "y")]] {
        assert_eq!(app.send(submit("/.hallpass/switch", &cookies, &form)).await.status, 400);
    }
    let invented = app.send(submit("/.hallpass/switch", &cookies, &[("person", "u_mallory")])).await;
    assert!(invented.body.contains("Continue as mallory") && invented.set_cookies(SEEN).is_empty(), "{invented:?}");
    let away = [("person", person.as_str()), ("return_to", "//evil.com")];
    assert_eq!(app.send(submit("/.hallpass/switch", &cookies, &away)).await.location(), "/");
    assert_eq!(app.send(visit("/.hallpass/switch", &cookies)).await.status, 405);
    assert_eq!(app.send(visit("/.hallpass/other", &cookies)).await.status, 404);

    app.clock.advance(std::time::Duration::from_mins(10));
    let late = click(&app, "mallory", &seen, &page).await;
    assert!(late.set_cookies(SEEN).is_empty(), "{late:?}");
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_is_none_and_is_replaced() {
    let (_, app, seen) = ana_then_mallory().await;
    for spoiled in [vec![(SEEN, "forged")], vec![(SEEN, seen.as_str()), (SEEN, seen.as_str())]] {
        let mut cookies = vec![(PASS, "mallory")];
        cookies.extend(spoiled);
        let answer = app.send(visit("/", &cookies)).await;
        assert_eq!(answer.body, "mallory canCreateOrder", "as on first contact");
        let lines = answer.set_cookies(SEEN);
        assert!(lines.iter().any(|line| line.contains("Domain=company.localhost; Max-Age=0")), "{lines:?}");
        assert!(!lines.last().expect("lines").contains("Max-Age=0"), "the new one comes last");
    }
}

#[tokio::test]
async fn a_replaced_secret_still_knows_people_and_its_seal_is_renewed() {
    let (engine, _, seen) = ana_then_mallory().await;
    let [old, new] = SECRETS;
    let rotated = App::new(engine.builder_with(new).previous_secret(old));
    let page = rotated.send(visit("/", &[(PASS, "mallory"), (SEEN, &seen)])).await;
    assert!(page.body.contains("as <strong>ana</strong>"), "{page:?}");
    let renewed = rotated.send(visit("/", &[(PASS, "ana"), (SEEN, &seen)])).await.cookie(SEEN);

    let finished = App::new(engine.builder_with(new));
    assert_eq!(finished.send(visit("/", &[(PASS, "ana"), (SEEN, &renewed)])).await.set_cookies(SEEN).len(), 0);
    let forgotten = finished.send(visit("/", &[(PASS, "mallory"), (SEEN, &seen)])).await;
    assert_eq!(forgotten.body, "mallory canCreateOrder", "sealed by a secret that is gone: first contact");
}

#[tokio::test]
async fn a_sensitive_app_asks_on_first_contact() {
    let engine = Engine::start().await;
    engine.sign_in("ana", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().first_contact(FirstContact::Confirm));
    let page = app.send(visit("/orders/5", &[(PASS, "ana")])).await;
    assert!(page.body.contains("Continue as ana") && page.set_cookies(SEEN).is_empty(), "{page:?}");
    let answer = app.send(fetch("/", &[(PASS, "ana")])).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].clone()), (409, json!("confirmation_required")));
    let clicked = click(&app, "ana", "", &page).await;
    assert_eq!(clicked.location(), "/orders/5");
    let seen = clicked.cookie(SEEN);
    assert_eq!(app.send(visit("/orders/5", &[(PASS, "ana"), (SEEN, &seen)])).await.body, "ana canCreateOrder");
}
