//! `POST /api/v1/sign-in {"session_token"}`: people without a browser, by way of an app.

use hallpass_core::app::Access;
use serde_json::{Value, json};

use super::*;
use crate::support::{Answer, Ask, Caller, DEVICE};

async fn desk(site: &Site) -> Caller {
    site.app("desk", |app| (app.relayed_sign_in, app.access) = (true, Access::Everyone)).await
}

async fn relay(site: &Site, caller: &Caller, token: &str) -> Answer {
    let body = json!({ "session_token": token, "client_ip": "198.51.100.9", "user_agent": "handheld 7" });
    site.send(Ask::post("/api/v1/sign-in").by(caller).json(&body)).await
}

#[tokio::test]
async fn a_token_of_kratos_gives_the_same_answer_as_a_password() {
    let (site, kratos) = company(|_| ()).await;
    let desk = desk(&site).await;
    let there = kratos.session(&mia(&kratos));
    let answer = relay(&site, &desk, &there.token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    let line = said["set_cookie"].as_str().expect("a line");
    let pass = line.split([';', '=']).nth(1).expect("a value");
    assert_eq!(site.introspect(&desk, pass).await["username"], json!("mia@company.com"));
    assert_eq!(said["envelope"]["username"], json!("mia@company.com"));
    assert_eq!((answer.set_cookie(SESSION), answer.set_cookie(DEVICE)), (None, None));
    assert!(!answer.body.contains(&there.token) && !answer.body.contains("hp_ss_"));
    // It ends there, and here; the same person, the same user.
    kratos.change_session(&there.id, |there| there.active = false);
    site.wait(300);
    hallpass_server::upstream::recheck::recheck(site.engine.context.clone()).await.expect("looks");
    until("the end", async || !site.is_active(&desk, pass).await).await;
}

#[tokio::test]
async fn what_is_no_good_is_refused_in_one_voice() {
    let (site, kratos) = company(|_| ()).await;
    let desk = desk(&site).await;
    let mia = mia(&kratos);
    let (ended, switched_off) =
        (kratos.session(&mia), kratos.identity(json!({ "email": "x@company.com" }), |x| x.active = false));
    kratos.change_session(&ended.id, |session| session.active = false);
    let taken = kratos.identity(json!({ "username": "ana" }), |_| ());
    let mut said = Vec::new();
    for token in [
        "",
        "ory_st_",
        "not a token",
        "ory_st_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        &ended.token,
        &kratos.session(&switched_off).token,
        &kratos.session(&taken).token,
    ] {
        let answer = relay(&site, &desk, token).await;
        let mut problem = answer.json();
        problem["request_id"] = Value::Null;
        assert_eq!((answer.status, &problem["code"]), (401, &json!("invalid_credentials")), "{token}");
        said.push(problem);
    }
    assert!(said.windows(2).all(|pair| pair[0] == pair[1]));
    let heard = kratos.heard();
    let asked = heard.iter().filter(|recorded| recorded.path == "/sessions/whoami").count();
    assert_eq!(asked, 4, "what cannot be a token is not passed on: {heard:?}");
}

#[tokio::test]
async fn guesses_are_counted_by_the_address_of_the_person() {
    let (site, kratos) = company(|_| ()).await;
    let desk = desk(&site).await;
    let there = kratos.session(&mia(&kratos));
    for _ in 0..20 {
        assert_eq!(relay(&site, &desk, "ory_st_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await.status, 401);
    }
    let answer = relay(&site, &desk, &there.token).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    let elsewhere = json!({ "session_token": there.token, "client_ip": "203.0.113.9" });
    assert_eq!(site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&elsewhere)).await.status, 200);
    site.wait(121);
    assert_eq!(relay(&site, &desk, &there.token).await.status, 200);
}

#[tokio::test]
async fn what_takes_a_second_factor_is_sent_to_the_page() {
    let (site, kratos) = company(|_| ()).await;
    let desk = desk(&site).await;
    let ben = kratos.identity(json!({ "email": "ben@company.com" }), |ben| ben.second_factor = true);
    let answer = relay(&site, &desk, &kratos.session(&ben).token).await;
    let expected =
        json!({ "error": "interaction_required", "sign_in_url": "https://auth.company.com/sign-in?app=desk" });
    assert_eq!((answer.status, answer.json()), (403, expected));
}

#[tokio::test]
async fn somebody_without_access_gets_no_session_and_no_user_through_it() {
    let (site, kratos) = company(|_| ()).await;
    let strict = site.app("strict", |app| app.relayed_sign_in = true).await;
    let there = kratos.session(&mia(&kratos));
    let answer = relay(&site, &strict, &there.token).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("forbidden")));
    assert!(reasons(&site, "user_added").await.is_empty());
    // Somebody who is known but has no business there.
    assert_eq!(relay(&site, &desk(&site).await, &there.token).await.status, 200);
    assert_eq!(relay(&site, &strict, &there.token).await.status, 403);
    // An app without the grant learns nothing.
    assert_eq!(relay(&site, &site.pos, &there.token).await.status, 403);
}

#[tokio::test]
async fn a_password_or_a_token_but_not_both() {
    let (site, kratos) = company(|_| ()).await;
    let desk = desk(&site).await;
    let token = kratos.session(&mia(&kratos)).token;
    for broken in [
        json!({ "client_ip": "192.0.2.1" }),
        json!({ "username": "ana", "client_ip": "192.0.2.1" }),
        json!({ "username": "ana", "session_token": token, "client_ip": "192.0.2.1" }),
        json!({ "username": "ana", "password": "x", "session_token": token, "client_ip": "192.0.2.1" }),
        json!({ "session_token": [token], "client_ip": "192.0.2.1" }),
        json!({ "session_token": token }),
    ] {
        let answer = site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&broken)).await;
        assert_eq!(answer.status, 400, "{broken}");
    }
    let site = Site::start().await;
    let desk = self::desk(&site).await;
    assert_eq!(relay(&site, &desk, &token).await.status, 400, "where none is configured");
}
