//! Access tokens for services (RFC 8707), and what `/introspect` tells those services, and nobody else (RFC 7662, T33).

use hallpass_core::session::EndReason;
use hallpass_store::{apps, sessions};

use super::*;

const STOCK: &str = "https://stock.company.com";
const INVENTORY: &str = "https://inventory-2.company.com";
const INACTIVE: &str = "{\"active\":false}";

/// A client that may call two services, and those.
async fn caller(site: &Site, change: impl FnOnce(&mut App)) -> (Caller, Caller, Caller) {
    let stock = site.app("stock", |_| ()).await;
    let inventory = site.app("inventory", |_| ()).await;
    let crm = client_with(site, "crm", |app| {
        app.audiences = ["stock", INVENTORY].map(|name| name.parse().expect("an audience")).into();
        change(app);
    })
    .await;
    (crm, stock, inventory)
}

/// The request that every client library makes, for these services.
fn url_for(resources: &[&str], changes: &[(&str, Option<&str>)]) -> String {
    let mut url = url::Url::parse(&authorize_url(changes)).expect("a URL");
    url.query_pairs_mut().extend_pairs(resources.iter().map(|name| ("resource", name)));
    url.to_string()
}

async fn code_for(browser: &mut Browser<'_>, resources: &[&str]) -> String {
    let answer = browser.step(&url_for(resources, &[])).await;
    said(answer.location(), "code").unwrap_or_else(|| panic!("no code in {answer:?}"))
}

async fn tokens_for(site: &Site, browser: &mut Browser<'_>, crm: &Caller, resources: &[&str], one: &str) -> Tokens {
    let code = code_for(browser, resources).await;
    Tokens::of(&redeem(site, crm, &code, &[("resource", Some(one))]).await)
}

async fn refresh_for(site: &Site, by: &Caller, token: &str, resource: Option<&str>) -> Answer {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    fields.extend(resource.map(|resource| ("resource", resource)));
    site.send(Ask::post("/oauth/token").by(by).form(&fields)).await
}

pub fn audience(token: &str) -> String {
    opened(token).1["aud"].as_str().expect("one audience").to_owned()
}

/// What introspection says, to the letter.
pub async fn told(site: &Site, by: &Caller, token: &str) -> String {
    let answer = site.send(Ask::introspect(by, token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

pub async fn change(site: &Site, key: &str, change: impl FnOnce(&mut App)) {
    let mut write = site.store().write().await.expect("writes");
    let mut app = apps::find(&mut write, &key.parse().expect("a key")).await.expect("reads").expect("there");
    change(&mut app);
    apps::upsert(&mut write, &app, site.now()).await.expect("writes");
    write.commit().await.expect("commits");
    site.heard().await;
}

#[tokio::test]
async fn a_token_is_for_the_service_that_was_asked_for_and_opens_nothing_of_ours() {
    let site = Site::start().await;
    let (crm, stock, inventory) = caller(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let code = code_for(&mut browser, &[STOCK]).await;
    let tokens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    let (header, claims) = opened(&tokens.access);
    assert_eq!(
        (&header["typ"], &claims["aud"], &claims["client_id"]),
        (&"at+jwt".into(), &"stock".into(), &"crm".into())
    );
    assert_eq!(claims["sub"], site.ana.id.to_string());
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401, "it is not for us");
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", &*tokens.access),
        ("audience", INVENTORY),
    ];
    let exchanged = site.send(Ask::post("/oauth/token").by(&crm).form(&exchange)).await;
    assert_eq!(error(&exchanged), (400, "invalid_request".to_owned()), "nor does it become one for another service");
    for other in [&crm, &inventory, &site.wiki] {
        assert_eq!(told(&site, other, &tokens.access).await, INACTIVE, "{}", other.key);
    }
    let now = site.now().as_seconds();
    let expected = serde_json::json!({
        "active": true, "token_type": "Bearer", "iss": HOME, "aud": "stock", "client_id": "crm", "sub": claims["sub"],
        "sid": claims["sid"], "scope": "openid profile email", "jti": claims["jti"], "iat": now, "exp": now + 300,
    });
    assert_eq!(site.introspect(&stock, &tokens.access).await, expected);

    let usual = code_for(&mut browser, &[]).await;
    let usual = Tokens::of(&redeem(&site, &crm, &usual, &[]).await);
    assert_eq!(audience(&usual.access), HOME);
    assert_eq!(told(&site, &stock, &usual.access).await, INACTIVE);
}

#[tokio::test]
async fn only_declared_services_can_be_asked_for_and_the_client_hears_of_it_before_anybody_signs_in() {
    let site = Site::start().await;
    let (crm, ..) = caller(&site, |_| ()).await;
    site.app("gone", |app| app.disabled_at = Some(site.now())).await;
    let mut browser = Browser::new(&site);
    for bad in [
        &["wiki"][..],
        &["https://stock.company.com/"],
        &["https://stock.company.com.evil.com"],
        &["Stock"],
        &["stock", "wiki"],
        &["crm"],
        &[HOME],
        &["\""],
    ] {
        let answer = browser.step(&url_for(bad, &[])).await;
        assert!(answer.location().starts_with(CALLBACK), "{bad:?} {answer:?}");
        assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_target"), "{bad:?}");
        let fields: Vec<_> = url::Url::parse(&url_for(bad, &[])).expect("a URL").query_pairs().into_owned().collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = site.send(Ask::post("/oauth/par").by(&crm).form(&fields)).await;
        assert_eq!(error(&answer), (400, "invalid_target".to_owned()), "{bad:?}");
    }
    // What is declared although it must not be, is refused all the same.
    for declared in ["crm", HOME, "gone"] {
        change(&site, "crm", |app| app.audiences = vec![declared.parse().expect("an audience")]).await;
        let answer = browser.step(&url_for(&[declared], &[])).await;
        assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_target"), "{declared}");
    }
}

#[tokio::test]
async fn each_token_is_for_one_of_those_that_were_granted() {
    let site = Site::start().await;
    let (crm, ..) = caller(&site, |app| app.audiences.push("billing".parse().expect("an audience"))).await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&url_for(&[STOCK, "inventory"], &[])).await;
    let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    let code = said(landing.url.as_str(), "code").unwrap_or_else(|| panic!("no code in {landing:?}"));
    let refused = (400, "invalid_target".to_owned());
    for bad in [None, Some("billing"), Some("wiki"), Some("stock inventory"), Some("")] {
        assert_eq!(error(&redeem(&site, &crm, &code, &[("resource", bad)]).await), refused, "{bad:?}");
    }
    let tokens = Tokens::of(&redeem(&site, &crm, &code, &[("resource", Some("inventory"))]).await);
    assert_eq!(audience(&tokens.access), INVENTORY, "nothing was used up, and the name is the declared one");
    for bad in [None, Some("billing"), Some(HOME)] {
        assert_eq!(error(&refresh_for(&site, &crm, &tokens.refresh, bad).await), refused, "{bad:?}");
    }
    let next = Tokens::of(&refresh_for(&site, &crm, &tokens.refresh, Some("stock")).await);
    assert_eq!(audience(&next.access), "stock");
    let again = Tokens::of(&refresh_for(&site, &crm, &tokens.refresh, Some(STOCK)).await);
    assert_eq!(again.access, next.access, "a lost answer is repeated");
    let other = refresh_for(&site, &crm, &tokens.refresh, Some(INVENTORY)).await;
    assert_eq!(error(&other), refused, "never with a token for another service");
    let next = Tokens::of(&refresh_for(&site, &crm, &next.refresh, Some(INVENTORY)).await);
    assert_eq!(audience(&next.access), INVENTORY, "and nothing was ended");

    // One that was granted none gets none.
    let plain = code_for(&mut browser, &[]).await;
    assert_eq!(error(&redeem(&site, &crm, &plain, &[("resource", Some("stock"))]).await), refused);
    let plain = Tokens::of(&redeem(&site, &crm, &plain, &[]).await);
    assert_eq!(error(&refresh_for(&site, &crm, &plain.refresh, Some("stock")).await), refused);
}

#[tokio::test]
async fn what_ends_a_sign_in_ends_its_tokens_at_the_service() {
    let site = Site::start().await;
    let (crm, stock, _) = caller(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let tokens = tokens_for(&site, &mut browser, &crm, &["stock"], "stock").await;
    let revoked = site.send(Ask::post("/oauth/revoke").by(&site.wiki).form(&[("token", &tokens.access)])).await;
    assert_eq!(error(&revoked), (400, "invalid_grant".to_owned()));
    let by_service = site.send(Ask::post("/oauth/revoke").by(&stock).form(&[("token", &tokens.access)])).await;
    assert_eq!(error(&by_service), (400, "invalid_grant".to_owned()), "it is not the service's to end");
    assert!(site.is_active(&stock, &tokens.access).await);
    let revoked = site.send(Ask::post("/oauth/revoke").by(&crm).form(&[("token", &tokens.access)])).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(told(&site, &stock, &tokens.access).await, INACTIVE);
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));

    let tokens = tokens_for(&site, &mut browser, &crm, &["stock"], "stock").await;
    change(&site, "crm", |app| app.audiences = vec![INVENTORY.parse().expect("an audience")]).await;
    assert_eq!(told(&site, &stock, &tokens.access).await, INACTIVE, "declared no longer");
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_target".to_owned()));
    change(&site, "crm", |app| app.audiences = vec!["stock".parse().expect("an audience")]).await;
    assert!(site.is_active(&stock, &tokens.access).await);
    change(&site, "crm", |app| app.access = Access::Assigned).await;
    assert_eq!(told(&site, &stock, &tokens.access).await, INACTIVE, "the person may not enter the client");
    change(&site, "crm", |app| app.access = Access::Everyone).await;
    end_sessions(&site).await;
    assert_eq!(told(&site, &stock, &tokens.access).await, INACTIVE);
}

async fn end_sessions(site: &Site) {
    let mut write = site.store().write().await.expect("writes");
    let ended = sessions::end_all_of(&mut write, &site.ana.id, None, EndReason::EndedByAdmin, site.now()).await;
    assert!(!ended.expect("writes").is_empty());
    write.commit().await.expect("commits");
    site.heard().await;
}

/// T33: X asks about Y's.
#[tokio::test]
async fn a_service_may_ask_about_request_tokens_for_it_and_nobody_else_learns_anything() {
    let site = Site::start().await;
    let stock = site.app("stock", |_| ()).await;
    let cashier = site.signed_in(&site.ana).await;
    change(&site, "pos", |app| app.audiences = ["stock", INVENTORY].map(|name| name.parse().expect("one")).into())
        .await;
    let inventory = site.app("inventory", |_| ()).await;
    let minted = async |audience: &str| {
        let question = serde_json::json!({ "token": cashier.pass, "request_token": audience });
        let answer = site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await;
        answer.json()["request_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    };
    let token = minted(STOCK).await;
    let claims = opened(&token).1;
    let now = site.now().as_seconds();
    let expected = serde_json::json!({
        "active": true, "token_type": "Bearer", "iss": HOME, "aud": "stock", "client_id": "pos",
        "sub": site.ana.id.to_string(), "sid": cashier.sid(), "scope": "canCreateOrder canRefund", "jti": claims["jti"],
        "iat": now, "exp": now + 60,
    });
    assert_eq!(site.introspect(&stock, &token).await, expected);
    for other in [&site.pos, &inventory, &site.wiki] {
        assert_eq!(told(&site, other, &token).await, INACTIVE, "{}", other.key);
    }
    let by_origin = minted("inventory").await;
    assert!(site.is_active(&inventory, &by_origin).await && !site.is_active(&stock, &by_origin).await);
    // Part of a batch, beside a pass that is this app's.
    let question = serde_json::json!({ "tokens": [token, cashier.pass, by_origin] });
    let batch = site.send(Ask::post("/introspect").by(&stock).json(&question)).await.json();
    assert_eq!(
        (&batch["results"][0]["aud"], &batch["results"][2]),
        (&"stock".into(), &serde_json::json!({ "active": false }))
    );
    site.cashier(&site.ana, false).await;
    assert_eq!(told(&site, &stock, &token).await, INACTIVE, "no access to the app that asked");
    site.cashier(&site.ana, true).await;
    assert!(site.is_active(&stock, &token).await);
    end_sessions(&site).await;
    assert_eq!(told(&site, &stock, &token).await, INACTIVE, "at once");
    site.wait(60);
    assert_eq!(told(&site, &stock, &token).await, INACTIVE);
}

#[tokio::test]
async fn a_service_may_ask_about_an_apps_own_token_for_it() {
    let site = Site::start().await;
    let stock = site.app("stock", |_| ()).await;
    let batch = site
        .app("batch", |app| {
            app.client_credentials = true;
            app.audiences = vec!["stock".parse().expect("an audience")];
        })
        .await;
    let answer = site.send(Ask::post("/oauth/token").by(&batch).form(&[("grant_type", "client_credentials")])).await;
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    let said = site.introspect(&stock, &token).await;
    assert_eq!((&said["active"], &said["sub"], &said["client_id"]), (&true.into(), &"batch".into(), &"batch".into()));
    assert!(said["sid"].is_null() && said["scope"].is_null(), "{said}");
    for other in [&batch, &site.pos] {
        assert_eq!(told(&site, other, &token).await, INACTIVE, "{}", other.key);
    }
    change(&site, "batch", |app| app.client_credentials = false).await;
    assert_eq!(told(&site, &stock, &token).await, INACTIVE, "not given this grant any more");
    change(&site, "batch", |app| (app.client_credentials, app.disabled_at) = (true, Some(site.now()))).await;
    assert_eq!(told(&site, &stock, &token).await, INACTIVE);
}

/// An app that is called like us is not us.
#[tokio::test]
async fn an_app_at_our_own_address_learns_nothing_about_other_clients() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let twin = site.app("twin", |app| app.origins = vec![HOME.parse().expect("an origin")]).await;
    let (_, tokens) = tokens(&site, &crm).await;
    assert!(site.is_active(&crm, &tokens.access).await);
    assert_eq!(told(&site, &twin, &tokens.access).await, INACTIVE);
}

#[tokio::test]
async fn introspection_gives_no_request_token_for_the_app_itself_or_for_us() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for own in ["pos", "https://pos.company.com", HOME] {
        change(&site, "pos", |app| app.audiences = vec![own.parse().expect("an audience")]).await;
        let question = serde_json::json!({ "token": ana.pass, "request_token": own });
        let answer = site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await;
        assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "{own}");
    }
}
