//! Bound apps: a pass of their own, which no sibling host can read, overwrite or shadow (protocol §2, §8).

use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{App, Engine, PASS, SEEN, visit};
use crate::home::asked;

const BOUND: &str = "__Host-Http-hallpass-pass";
const ATTRIBUTES: &str = "Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax; Priority=High";

async fn bound() -> (Engine, App) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    engine.sign_in("mallory", "s_2", "mallory", json!({}));
    let app = App::new(engine.builder().bound());
    (engine, app)
}

#[tokio::test]
async fn it_gets_a_pass_of_its_own_by_a_handoff() {
    let (engine, app) = bound().await;
    let mut browser = Browser::default();
    let location = browser.open(&app, "/orders/5").await.location().to_owned();
    let line = format!("{BOUND}=p; {ATTRIBUTES}");
    let back = engine.hand_off(&location, "p", json!({"set_cookie":line}));
    let answer = browser.open(&app, &back).await;
    assert_eq!((answer.location(), answer.set_cookies(BOUND)), ("/orders/5", vec![line.as_str()]));
    assert_eq!(browser.open(&app, "/orders/5").await.body, "ana canCreateOrder");
}

#[tokio::test]
async fn the_shared_pass_is_not_looked_at() {
    let (engine, app) = bound().await;
    asked(app.send(visit("/", &[(PASS, "mallory")])).await.location());
    assert!(engine.asked().is_empty());
    let answer = app.send(visit("/", &[(PASS, "mallory"), (BOUND, "p")])).await;
    assert_eq!(answer.body, "ana canCreateOrder");
    assert_eq!(engine.asked().len(), 1);
}

#[tokio::test]
async fn a_line_that_names_a_domain_is_not_relayed() {
    let (engine, app) = bound().await;
    let renewal = async |pass: &str, line: &str| {
        engine.sign_in(pass, "s_1", "ana", json!({"set_cookie":line}));
        let answer = app.send(visit("/", &[(BOUND, pass)])).await;
        assert_eq!(answer.status, 200);
        [BOUND, PASS].map(|name| answer.set_cookies(name).len())
    };
    assert_eq!(renewal("good", &format!("{BOUND}=q; {ATTRIBUTES}")).await, [1, 0]);
    assert_eq!(renewal("shared", &format!("{PASS}=q; {ATTRIBUTES}")).await, [0, 0]);
    for (case, domain) in ["Domain=company.localhost", "domain=pos.company.localhost", " DOMAIN =x"].iter().enumerate()
    {
        let line = format!("{BOUND}=q; {domain}; {ATTRIBUTES}");
        assert_eq!(renewal(&format!("case-{case}"), &line).await, [0, 0], "{domain}");

        let mut browser = Browser::default();
        let location = browser.open(&app, "/").await.location().to_owned();
        let back = engine.hand_off(&location, "p", json!({"set_cookie":line}));
        assert_eq!(browser.open(&app, &back).await.status, 503, "{domain}");
        assert!(browser.cookie(BOUND).is_none() && browser.cookie(SEEN).is_none());
    }
}

#[tokio::test]
async fn its_pass_is_expired_where_it_lies_and_nowhere_else() {
    let (_, app) = bound().await;
    let expected = format!("{BOUND}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    let conflict = app.send(visit("/orders/5", &[(BOUND, "p"), (BOUND, "mallory")])).await;
    assert_eq!(conflict.set_cookies(BOUND), [expected.as_str()]);
    let mut browser = Browser::default();
    browser.set(BOUND, "p");
    let answer = browser.submit(&app, "/.hallpass/sign-out").await;
    assert_eq!(answer.set_cookies(BOUND), [expected.as_str()]);
}
