//! `POST /api/v1/sign-in`: relayed sign-in, for apps that were granted it. Protocol §6.5.

use hallpass_core::app::Access;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Caller, DEVICE, PASSWORD, SESSION, Site};

async fn desk(site: &Site) -> Caller {
    site.app("desk", |app| {
        app.relayed_sign_in = true;
        app.access = Access::Everyone;
    })
    .await
}

fn body(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password, "client_ip": "198.51.100.9", "user_agent": "till 7" })
}

async fn relay(site: &Site, caller: &Caller, body: &Value) -> Answer {
    site.send(Ask::post("/api/v1/sign-in").by(caller).json(body)).await
}

#[tokio::test]
async fn the_right_password_gives_the_line_and_the_envelope_and_no_secret() {
    let site = Site::start().await;
    let desk = desk(&site).await;
    let answer = relay(&site, &desk, &body("ana", PASSWORD)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    assert_eq!(
        said.as_object().map(|members| members.keys().cloned().collect::<Vec<_>>()),
        Some(vec!["envelope".into(), "set_cookie".into()])
    );
    let line = said["set_cookie"].as_str().expect("a line");
    assert!(
        line.ends_with("; Domain=company.com; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=900; Priority=High"),
        "{line}"
    );
    let pass = line.split([';', '=']).nth(1).expect("a value");
    let envelope = site.introspect(&desk, pass).await;
    for member in ["active", "sub", "sid", "username", "roles", "permissions", "version"] {
        assert_eq!(said["envelope"][member], envelope[member], "{member}");
    }
    assert_eq!(
        site.introspect(&site.pos, pass).await["roles"],
        json!(["cashier"]),
        "signed in at every app of the zone"
    );
    assert_eq!((answer.set_cookie(SESSION), answer.set_cookie(DEVICE)), (None, None));
    assert!(!answer.body.contains("hp_ss_") && !answer.body.contains("hp_dm_"));
    let account = {
        let own = site.signed_in(&site.ana).await;
        site.send(Ask::get("/account").cookie(SESSION, &own.cookie)).await
    };
    assert!(account.body.contains("198.51.100.9"), "the person sees where it came from");
}

#[tokio::test]
async fn an_app_that_was_not_granted_it_learns_nothing() {
    let site = Site::start().await;
    for (username, password) in [("ana", PASSWORD), ("ana", "wrong"), ("nobody", "wrong")] {
        let answer = relay(&site, &site.pos, &body(username, password)).await;
        assert_eq!((answer.status, answer.json()["code"].clone()), (403, json!("forbidden")));
    }
    assert_eq!(
        site.send(Ask::post("/api/v1/sign-in").json(&body("ana", PASSWORD))).await.status,
        401,
        "nor does nobody"
    );
}

/// T50, T77
#[tokio::test]
async fn every_refusal_reads_the_same() {
    let site = Site::start().await;
    let desk = desk(&site).await;
    let gone = site.user("gone").await;
    site.disable(&gone).await;
    let refused = async |username: &str, password: &str| {
        let answer = relay(&site, &desk, &body(username, password)).await;
        let mut said = answer.json();
        said["request_id"] = Value::Null;
        (answer.status, said)
    };
    let wrong = refused("ana", "wrong").await;
    assert_eq!((wrong.0, &wrong.1["code"]), (401, &json!("invalid_credentials")));
    for (username, password) in [("nobody", "wrong"), ("gone", PASSWORD), ("", ""), ("ana", ""), ("a b", PASSWORD)] {
        assert_eq!(refused(username, password).await, wrong, "{username}");
    }
}

#[tokio::test]
async fn what_needs_a_page_is_sent_to_the_page() {
    let site = Site::start().await;
    let desk = desk(&site).await;
    site.must_change_password(&site.ana).await;
    let answer = relay(&site, &desk, &body("ana", PASSWORD)).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.json(),
        json!({ "error": "interaction_required", "sign_in_url": "https://auth.company.com/sign-in?app=desk" })
    );
    let live =
        hallpass_store::sessions::live_of(&mut site.store().read().await.expect("reads"), &site.ana.id, site.now())
            .await;
    assert!(live.expect("reads").is_empty(), "no session by the back door");
}

#[tokio::test]
async fn somebody_without_access_to_the_app_gets_no_session_through_it() {
    let site = Site::start().await;
    let strict = site.app("strict", |app| app.relayed_sign_in = true).await;
    let answer = relay(&site, &strict, &body("ana", PASSWORD)).await;
    assert_eq!(answer.status, 403);
    assert!(!answer.body.contains("set_cookie"));
    let live =
        hallpass_store::sessions::live_of(&mut site.store().read().await.expect("reads"), &site.ana.id, site.now())
            .await;
    assert!(live.expect("reads").is_empty());
}

/// T74: the same counters as our own page.
#[tokio::test]
async fn guesses_by_way_of_an_app_are_counted_with_all_others() {
    let site = Site::start().await;
    let desk = desk(&site).await;
    for _ in 0..5 {
        assert_eq!(relay(&site, &desk, &body("ana", "wrong")).await.status, 401);
    }
    let page = site.send(Ask::get("/sign-in")).await;
    let fields = [("csrf_token", page.csrf_token()), ("username", "ana"), ("password", "wrong")];
    for _ in 0..5 {
        let ask = Ask::post("/sign-in")
            .same_origin()
            .cookie(crate::support::FLOW, page.cookie(crate::support::FLOW))
            .form(&fields);
        assert_eq!(site.send(ask.from("198.51.100.9")).await.status, 422);
    }
    let answer = relay(&site, &desk, &body("ana", PASSWORD)).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    let elsewhere = json!({ "username": "ana", "password": PASSWORD, "client_ip": "203.0.113.9" });
    assert_eq!(relay(&site, &desk, &elsewhere).await.status, 200, "the person's address counts, not the app's");
}

#[tokio::test]
async fn the_request_is_closed() {
    let site = Site::start().await;
    let desk = desk(&site).await;
    for broken in [
        json!({}),
        json!({ "username": "ana", "password": PASSWORD }),
        json!({ "username": "ana", "password": PASSWORD, "client_ip": "nowhere" }),
        json!({ "username": "ana", "password": PASSWORD, "client_ip": "192.0.2.1", "persistent": true }),
        json!({ "username": ["ana"], "password": PASSWORD, "client_ip": "192.0.2.1" }),
    ] {
        assert_eq!(relay(&site, &desk, &broken).await.status, 400, "{broken}");
    }
    let form = Ask::post("/api/v1/sign-in").by(&desk).form(&[
        ("username", "ana"),
        ("password", PASSWORD),
        ("client_ip", "192.0.2.1"),
    ]);
    assert_eq!(site.send(form).await.status, 415);
}
