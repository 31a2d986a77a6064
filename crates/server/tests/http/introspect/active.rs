//! What an active answer says, how long it may be remembered, and how it changes at once when the facts do.

use std::time::Duration;

use hallpass_core::crypto::Algorithm;
use hallpass_core::jwk;
use hallpass_store::users;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, PASS, SignedIn, Site};

async fn ask(site: &Site, question: Value) -> Answer {
    site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await
}

/// The one JWT part at `index`, decoded.
fn part(token: &str, index: usize) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(index).expect("three parts");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn an_active_answer_has_these_members_and_no_other() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let mut answer = site.introspect(&site.pos, &ana.pass).await;
    assert_eq!(answer["sub"], json!(site.ana.id));
    assert_eq!(answer["sid"], json!(ana.session.id));
    assert!(answer["csrf_token"].as_str().is_some_and(|token| token.len() == 64));
    assert!(answer["version"].as_str().is_some_and(|version| version.len() == 16));
    for varying in ["sub", "sid", "csrf_token", "version"] {
        answer[varying] = json!(format!("[{varying}]"));
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer).expect("JSON"), @r#"
    {
      "acr": "aal1",
      "active": true,
      "amr": [
        "pwd"
      ],
      "attributes": {
        "store": 12
      },
      "auth_time": 1800000000,
      "cache_for": 10,
      "client_id": "pos",
      "csrf_token": "[csrf_token]",
      "exp": 1800000900,
      "iat": 1800000000,
      "iss": "https://auth.company.com",
      "name": "ana Costa",
      "permissions": [
        "canCreateOrder",
        "canRefund"
      ],
      "request_token": null,
      "roles": [
        "cashier"
      ],
      "scope": "canCreateOrder canRefund",
      "set_cookie": null,
      "sid": "[sid]",
      "sub": "[sub]",
      "token_type": "pass",
      "username": "ana",
      "version": "[version]"
    }
    "#);
}

#[tokio::test]
async fn an_unchanged_version_is_answered_in_three_members() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let version = site.introspect(&site.pos, &ana.pass).await["version"].clone();
    let unchanged = ask(&site, json!({ "token": ana.pass, "if_version": version })).await;
    assert_eq!(unchanged.body, r#"{"active":true,"unchanged":true,"cache_for":10}"#);
    let other = ask(&site, json!({ "token": ana.pass, "if_version": "AAAAAAAAAAAAAAAA" })).await.json();
    assert_eq!(other["version"], version);
    // The version is of the envelope: roles, permissions, names, attributes. Whatever of it changes, changes it.
    site.cashier(&site.ana, false).await;
    assert_eq!(ask(&site, json!({ "token": ana.pass, "if_version": version })).await.body, r#"{"active":false}"#);
    site.cashier(&site.ana, true).await;
    assert_eq!(ask(&site, json!({ "token": ana.pass, "if_version": version })).await.body, unchanged.body);
    let mut renamed = site.ana.clone();
    renamed.display_name = "Ana Maria Costa".parse().expect("a name");
    let mut write = site.store().write().await.expect("writes");
    users::update(&mut write, &renamed, site.now()).await.expect("writes");
    write.commit().await.expect("commits");
    let renamed = ask(&site, json!({ "token": ana.pass, "if_version": version })).await.json();
    assert_eq!(renamed["name"], "Ana Maria Costa");
    assert_ne!(renamed["version"], version);
}

#[tokio::test]
async fn a_role_taken_away_is_gone_in_the_next_answer() {
    let site = Site::start().await;
    site.role("pos", "manager", &["canCloseDay"]).await;
    let bob = site.user("bob").await;
    let signed_in = site.signed_in(&bob).await;
    assert!(!site.is_active(&site.pos, &signed_in.pass).await, "no role");
    site.cashier(&bob, true).await;
    let answer = site.introspect(&site.pos, &signed_in.pass).await;
    assert_eq!(answer["permissions"], json!(["canCreateOrder", "canRefund"]), "sorted");
    assert_eq!((&answer["roles"], &answer["scope"]), (&json!(["cashier"]), &json!("canCreateOrder canRefund")));
    // The role itself now gives less.
    site.role("pos", "cashier", &["canRefund"]).await;
    assert_eq!(site.introspect(&site.pos, &signed_in.pass).await["permissions"], json!(["canRefund"]));
    site.cashier(&bob, false).await;
    assert!(!site.is_active(&site.pos, &signed_in.pass).await);
}

/// Protocol §4: the complete line to relay when the pass is older than 5 min, never beyond the session's end.
#[tokio::test]
async fn a_pass_is_renewed_after_five_minutes_and_ends_with_its_session() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.wait(299);
    assert_eq!(site.introspect(&site.pos, &ana.pass).await["set_cookie"], Value::Null);
    site.wait(1);
    let line = site.introspect(&site.pos, &ana.pass).await["set_cookie"].as_str().expect("a line").to_owned();
    let (pair, attributes) = line.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Domain=company.com; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=900; Priority=High");
    let renewed = pair.strip_prefix(&format!("{PASS}=")).expect("the pass");
    let claims = part(renewed, 1);
    assert_eq!((&claims["sid"], &claims["aud"]), (&json!(ana.session.id), &json!("home")));
    assert_eq!(
        (claims["iat"].as_i64(), claims["exp"].as_i64()),
        (Some(site.now().as_seconds()), Some(site.now().as_seconds() + 900))
    );
    assert_eq!(claims["auth_time"], json!(ana.session.authenticated_at.as_seconds()), "renewing proves nothing new");
    assert!(site.is_active(&site.pos, renewed).await);
    assert!(line.len() < 1024, "always under 1 KB");

    // Six minutes before the end of the day the new pass lives for six minutes.
    let mut last = renewed.to_owned();
    while site.now() < ana.session.expires_at - Duration::from_mins(6) {
        site.wait(300);
        let answer = site.introspect(&site.pos, &last).await;
        let line = answer["set_cookie"].as_str().unwrap_or_else(|| panic!("not renewed: {answer}"));
        last = line.split([';', '=']).nth(1).expect("a value").to_owned();
        let left = ana.session.expires_at.since(site.now()).as_secs();
        assert!(line.contains(&format!("Max-Age={};", left.min(900))), "{line}, {left} s before the end");
        assert_eq!(
            part(&last, 1)["exp"].as_i64(),
            Some(site.now().as_seconds() + i64::try_from(left.min(900)).expect("small"))
        );
    }
}

#[tokio::test]
async fn sensitive_answers_are_not_remembered() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    assert_eq!(site.introspect(&site.pos, &ana.pass).await["cache_for"], 10);
    let vault = site
        .app("vault", |app| {
            app.sensitive = true;
            app.access = hallpass_core::app::Access::Everyone;
        })
        .await;
    assert_eq!(site.introspect(&vault, &ana.pass).await["cache_for"], 0);
}

#[tokio::test]
async fn a_request_token_is_for_one_audience_and_checked_by_the_published_keys() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    assert_eq!(site.introspect(&site.pos, &ana.pass).await["request_token"], Value::Null);
    let refused = ask(&site, json!({ "token": ana.pass, "request_token": "payroll" })).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_request")), "not granted");
    let answer = ask(&site, json!({ "token": ana.pass, "request_token": "billing" })).await.json();
    let token = answer["request_token"].as_str().expect("a token");
    let (header, claims) = (part(token, 0), part(token, 1));
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(claims["aud"], "billing");
    assert_eq!((&claims["iss"], &claims["client_id"]), (&answer["iss"], &json!("pos")));
    assert_eq!((&claims["sub"], &claims["sid"], &claims["scope"]), (&answer["sub"], &answer["sid"], &answer["scope"]));
    assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(60));
    let jwks = site.send(Ask::get("/.well-known/jwks.json")).await.json();
    let keys = jwks["keys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("its key is published");
    assert_eq!(key.get("d"), None, "the public half only");
    let key = jwk::read(key, Algorithm::EdDsa).expect("a key");
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).expect("base64url")
    };
    assert!(key.verify(signed.as_bytes(), &signature));
    assert!(!key.verify(&signed.as_bytes()[1..], &signature));
    assert!(!site.is_active(&site.pos, token).await, "it is no pass");
}

async fn csrf(site: &Site, person: &SignedIn, method: &str, token: Option<&str>) -> Value {
    let mut question = json!({ "token": person.pass, "method": method });
    if let Some(token) = token {
        question["csrf_token"] = token.into();
    }
    let answer = ask(site, question).await.json();
    assert_eq!(answer["active"], true, "the answer itself is the same");
    answer["csrf"].clone()
}

#[tokio::test]
async fn unsafe_methods_need_a_csrf_token_of_this_session_and_app() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let again = site.signed_in(&site.ana).await;
    let good = site.introspect(&site.pos, &ana.pass).await["csrf_token"].as_str().expect("a token").to_owned();
    let of_other_session =
        site.introspect(&site.pos, &again.pass).await["csrf_token"].as_str().expect("a token").to_owned();
    let of_other_app = site.introspect(&site.wiki, &ana.pass).await["csrf_token"].as_str().expect("a token").to_owned();
    let mut changed = good.clone().into_bytes();
    changed[63] ^= 1;
    let changed = String::from_utf8(changed).expect("ASCII");
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert_eq!(csrf(&site, &ana, method, None).await, Value::Null, "{method}");
        assert_eq!(csrf(&site, &ana, method, Some("x")).await, Value::Null, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "Get"] {
        assert_eq!(csrf(&site, &ana, method, Some(&good)).await, Value::Null, "{method}");
        for wrong in [
            None,
            Some(""),
            Some("x"),
            Some(&*of_other_session),
            Some(&*of_other_app),
            Some(&*changed),
            Some(&good[..63]),
        ] {
            assert_eq!(csrf(&site, &ana, method, wrong).await, "failed", "{method} {wrong:?}");
        }
    }
    // Nothing hides a failure, not even an envelope that has not changed.
    let version = site.introspect(&site.pos, &ana.pass).await["version"].clone();
    let answer = ask(&site, json!({ "token": ana.pass, "method": "POST", "if_version": version })).await.json();
    assert_eq!((&answer["csrf"], &answer["version"]), (&json!("failed"), &version));
    site.wait(600);
    let ana = SignedIn { pass: site.pass(&ana.session, "home").await, ..ana };
    assert_eq!(csrf(&site, &ana, "POST", Some(&good)).await, Value::Null, "good as long as the session");
}

#[tokio::test]
async fn introspection_keeps_a_session_awake() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for _ in 0..4 {
        site.wait(3000);
        let pass = site.pass(&ana.session, "home").await;
        assert!(site.is_active(&site.pos, &pass).await);
    }
    // Written down in batches; then the pages know it as well.
    site.written_down().await;
    assert_eq!(site.send(Ask::get("/account").cookie(crate::support::SESSION, &ana.cookie)).await.status, 200);
}
