//! The `claims` parameter: single claims in the ID token and at userinfo, asked about like scopes; and whom the answer must be about.
//! OIDC Core 1.0 §5.4, §5.5; T25. And the setting by which an ID token says what the scope brings.

use serde_json::json;

use super::*;

fn asking(claims: &Value) -> String {
    authorize_url(&[("scope", Some("openid")), ("claims", Some(&claims.to_string()))])
}

async fn code_with(browser: &mut Browser<'_>, claims: &Value) -> String {
    let answer = browser.step(&asking(claims)).await;
    said(answer.location(), "code").unwrap_or_else(|| panic!("no code in {answer:?}"))
}

/// What an ID token says beside what every one says.
fn more(id_token: &str) -> Value {
    let (_, mut claims) = opened(id_token);
    for usual in ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "acr", "amr"] {
        claims.as_object_mut().expect("an object").remove(usual);
    }
    claims
}

#[tokio::test]
async fn single_claims_come_where_they_were_asked_for_and_at_each_refresh() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let email = site.user_with("eve", |user| user.email = Some("eve@company.com".to_owned())).await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=wiki", "eve", PASSWORD).await;
    let sub = email.id.to_string();
    for (claims, in_token, at_userinfo) in [
        (json!({}), json!({}), json!({ "sub": sub })),
        (
            json!({ "id_token": { "email": null, "picture": null } }),
            json!({ "email": "eve@company.com" }),
            json!({ "sub": sub }),
        ),
        (
            json!({ "userinfo": { "name": { "essential": true }, "phone_number": { "essential": true } } }),
            json!({}),
            json!({ "sub": sub, "name": email.display_name.to_string() }),
        ),
        (
            json!({ "id_token": { "preferred_username": { "essential": true } }, "userinfo": { "email": null } }),
            json!({ "preferred_username": "eve" }),
            json!({ "sub": sub, "email": "eve@company.com" }),
        ),
    ] {
        let code = code_with(&mut browser, &claims).await;
        let answer = redeem(&site, &crm, &code, &[]).await;
        assert_eq!(answer.json()["scope"], "openid", "a claim is no scope");
        let first = Tokens::of(&answer);
        let second = Tokens::of(&refresh(&site, &crm, &first.refresh).await);
        for tokens in [first, second] {
            assert_eq!(more(&tokens.id), in_token, "{claims}");
            assert_eq!(userinfo(&site, &tokens.access).await.json(), at_userinfo, "{claims}");
            // Whoever gets more in an ID token can still send it back.
            let hinted = browser.step(&authorize_url(&[("id_token_hint", Some(&tokens.id))])).await;
            assert!(said(hinted.location(), "code").is_some(), "{hinted:?}");
        }
    }
    // What is not there is left out, essential or not.
    let mut ana = at_home(&site).await;
    let code = code_with(&mut ana, &json!({ "id_token": { "email": { "essential": true } } })).await;
    let there = site.ana.email.clone().map_or(json!({}), |email| json!({ "email": email }));
    assert_eq!(more(&Tokens::of(&redeem(&site, &crm, &code, &[]).await).id), there);
}

/// For programs that read the ID token alone: what the userinfo endpoint would say, no more, and for as long as the setting is there.
#[tokio::test]
async fn an_id_token_says_what_its_scope_brings_where_the_setting_says_so() {
    let site = Site::start().await;
    let crm = client_with(&site, "crm", |app| app.client.claims_in_id_token = true).await;
    let eve = site.user_with("eve", |user| user.email = Some("eve@company.com".to_owned())).await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=wiki", "eve", PASSWORD).await;
    let (name, email) = (eve.display_name.to_string(), "eve@company.com");
    let all = json!({ "name": name, "preferred_username": "eve", "email": email });
    for (scope, expected) in [
        ("openid", json!({})),
        ("openid email", json!({ "email": email })),
        ("openid profile", json!({ "name": name, "preferred_username": "eve" })),
        ("openid profile email", all.clone()),
    ] {
        let code = code(&mut browser, &[("scope", Some(scope))]).await;
        let tokens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
        assert_eq!(more(&tokens.id), expected, "{scope}");
        let mut at_userinfo = userinfo(&site, &tokens.access).await.json();
        at_userinfo.as_object_mut().expect("an object").remove("sub");
        assert_eq!(at_userinfo, expected, "{scope}");
    }
    let code = code(&mut browser, &[("scope", Some("openid profile email"))]).await;
    let first = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    // It can be sent back, and says in a narrower answer no more than that answer may.
    let hinted = browser.step(&authorize_url(&[("id_token_hint", Some(&first.id)), ("prompt", Some("none"))])).await;
    assert!(said(hinted.location(), "code").is_some(), "{hinted:?}");
    let narrower = [("grant_type", "refresh_token"), ("refresh_token", &*first.refresh), ("scope", "openid email")];
    let second = Tokens::of(&site.send(Ask::post("/oauth/token").by(&crm).form(&narrower)).await);
    assert_eq!(more(&second.id), json!({ "email": email }));
    let third = Tokens::of(&refresh(&site, &crm, &second.refresh).await);
    assert_eq!(more(&third.id), all);
    let crm = client_with(&site, "crm", |_| ()).await;
    let fourth = Tokens::of(&refresh(&site, &crm, &third.refresh).await);
    assert_eq!(more(&fourth.id), json!({}), "taken back");
}

/// T25: an app of somebody else is told in the ID token what its person has allowed, too, and nothing else.
#[tokio::test]
async fn an_id_token_for_an_app_of_others_says_what_was_allowed() {
    let site = Site::start().await;
    let settings = |app: &mut App| (app.third_party, app.client.claims_in_id_token) = (true, true);
    let crm = client_with(&site, "crm", settings).await;
    let mut browser = at_home(&site).await;
    let there = consent::allowed(&mut browser, &[("scope", Some("openid profile"))]).await;
    let code = said(&there, "code").expect("a code");
    let answer = redeem(&site, &crm, &code, &[]).await;
    let said = more(&Tokens::of(&answer).id);
    assert_eq!(said, json!({ "name": site.ana.display_name.to_string(), "preferred_username": "ana" }));
    let wider = [("scope", Some("openid profile email")), ("prompt", Some("none"))];
    assert_eq!(consent::outcome(&mut browser, &wider).await, "consent_required");
}

#[tokio::test]
async fn they_travel_through_the_sign_in_and_by_the_back_channel() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let claims = json!({ "id_token": { "preferred_username": null } });
    let mut browser = Browser::new(&site);
    let page = browser.open(&asking(&claims)).await;
    let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    let code = said(landing.url.as_str(), "code").expect("a code");
    assert_eq!(more(&Tokens::of(&redeem(&site, &crm, &code, &[]).await).id), json!({ "preferred_username": "ana" }));
    let name = par::pushed(&site, &crm, &[("claims", Some(&claims.to_string()))]).await;
    let answer = browser.step(&par::named("crm", &name, &[("claims", "{}")])).await;
    let code = said(answer.location(), "code").expect("a code");
    assert_eq!(more(&Tokens::of(&redeem(&site, &crm, &code, &[]).await).id), json!({ "preferred_username": "ana" }));
}

/// T25: nobody gets by a claim what they would have to ask for by a scope.
#[tokio::test]
async fn an_app_of_others_is_allowed_a_claim_like_its_scope() {
    let site = Site::start().await;
    let crm = client_with(&site, "crm", |app| app.third_party = true).await;
    let mut browser = at_home(&site).await;
    let openid = authorize_url(&[("scope", Some("openid"))]);
    let email = asking(&json!({ "id_token": { "email": null } }));
    let allow = async |browser: &mut Browser<'_>, url: &str| {
        let page = browser.open(url).await;
        let token = page.answer.csrf_token().to_owned();
        let shown = page.answer.body.clone();
        let fields = [("csrf_token", &*token), ("decision", "allow")];
        let landing = browser.submit(&page.action(), &fields).await;
        (shown, landing)
    };
    let (page, landing) = allow(&mut browser, &openid).await;
    assert!(!page.contains("e-mail address"), "{page}");
    let landing = browser.open(&onward(&landing.answer)).await;
    assert!(said(landing.url.as_str(), "code").is_some(), "{landing:?}");
    let silent = browser.step(&format!("{email}&prompt=none")).await;
    assert_eq!(said(silent.location(), "error").as_deref(), Some("consent_required"), "{silent:?}");
    let (page, landing) = allow(&mut browser, &email).await;
    assert!(page.contains("e-mail address"), "{page}");
    let landing = browser.open(&onward(&landing.answer)).await;
    let code = said(landing.url.as_str(), "code").unwrap_or_else(|| panic!("no code in {landing:?}"));
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);

    // A code that was given before the consent was narrowed brings nothing.
    let code = code_with(&mut browser, &json!({ "id_token": { "email": null } })).await;
    let app = "crm".parse().expect("a key");
    let mut write = site.store().write().await.expect("writes");
    hallpass_store::consents::revoke(&mut write, &site.ana.id, &app, site.now()).await.expect("writes");
    let narrow = "openid".parse().expect("a scope");
    hallpass_store::consents::give(
        &mut write,
        &site.ana.id,
        &app,
        narrow,
        &hallpass_core::oidc::Resources::default(),
        site.now(),
    )
    .await
    .expect("writes");
    write.commit().await.expect("commits");
    assert_eq!(error(&redeem(&site, &crm, &code, &[]).await), (400, "invalid_grant".to_owned()));
    assert!(reasons(&site, "tokens_refused").await.contains(&"no_consent".to_owned()));
}

#[tokio::test]
async fn the_answer_is_about_the_one_who_was_named_or_there_is_none() {
    let site = Site::start().await;
    client(&site, "crm").await;
    site.user("ben").await;
    let about = |sub: &str| json!({ "id_token": { "sub": { "value": sub } } });
    let ana = about(&site.ana.id.to_string());
    let outcome = async |browser: &mut Browser<'_>, claims: &Value| {
        let answer = browser.step(&format!("{}&prompt=none", asking(claims))).await;
        said(answer.location(), "error").unwrap_or_else(|| "code".to_owned())
    };
    let mut at_anas = at_home(&site).await;
    assert_eq!(outcome(&mut at_anas, &ana).await, "code");
    for nobody in ["u_nobody", "ana", "x"] {
        assert_eq!(outcome(&mut at_anas, &about(nobody)).await, "login_required", "{nobody}");
    }
    let mut at_bens = Browser::new(&site);
    browser_of_ben(&mut at_bens).await;
    assert_eq!(outcome(&mut at_bens, &ana).await, "login_required");
    site.wait(1);
    // Asked to sign in; as somebody else once more, there is no answer; as the one who is meant, there is.
    for (name, answer) in [("ben", "login_required"), ("ana", "code")] {
        let page = at_bens.open(&asking(&ana)).await;
        assert_eq!(page.url.path(), "/sign-in", "{page:?}");
        let landing = at_bens.sign_in(page.url.as_str(), name, PASSWORD).await;
        let error = said(landing.url.as_str(), "error");
        assert_eq!(error.unwrap_or_else(|| "code".to_owned()), answer, "{name} {landing:?}");
        site.wait(1);
    }
    let two = json!({ "id_token": { "sub": { "values": [site.ana.id, "u_x"] } } });
    assert_eq!(outcome(&mut at_anas, &two).await, "invalid_request");
}

async fn browser_of_ben(browser: &mut Browser<'_>) {
    browser.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
}

#[tokio::test]
async fn what_is_too_long_too_deep_or_no_json_is_refused() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let deep = format!("{}{}", "[".repeat(9), "]".repeat(9));
    let long = format!("{{}}{}", " ".repeat(4095));
    for bad in ["{", "name", &deep, &long] {
        let answer = browser.step(&authorize_url(&[("claims", Some(bad))])).await;
        assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{answer:?}");
    }
    let document = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(document["claims_parameter_supported"], true);
}
