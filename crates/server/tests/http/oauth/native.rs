//! Programs on somebody's own computer, whose names any other program there can use: people are asked each time, and about the request that is theirs.
//! RFC 8252 §8.6, RFC 8628 §5.6; T3, T14, T25.

use super::consent::{allow, allowed, asked, decide, outcome, take_back};
use super::device::{self, GRANT};
use super::*;

const LOOPBACK: &str = "http://127.0.0.1:51004/callback";
const SCHEME: &str = "com.company.tool:/callback";

fn asks_for(uri: &str) -> [(&str, Option<&str>); 2] {
    [("client_id", Some("tool")), ("redirect_uri", Some(uri))]
}

async fn tool(site: &Site) -> Caller {
    native_client(site, "tool", &["http://127.0.0.1/callback", SCHEME, CALLBACK]).await
}

/// What a program that has nothing but its name is answered.
async fn ask(site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
    site.send(Ask::post(path).form(fields)).await
}

#[tokio::test]
async fn what_any_program_could_receive_is_allowed_each_time() {
    let site = Site::start().await;
    tool(&site).await;
    let mut browser = at_home(&site).await;
    for uri in [LOOPBACK, SCHEME] {
        for _ in 0..2 {
            let silent = [asks_for(uri)[0], asks_for(uri)[1], ("prompt", Some("none"))];
            assert_eq!(outcome(&mut browser, &silent).await, "consent_required", "{uri}");
            let page = asked(&mut browser, &asks_for(uri)).await;
            assert!(page.answer.shows("any-program"), "{page:?}");
            let there = allowed(&mut browser, &asks_for(uri)).await;
            assert!(there.starts_with(&format!("{uri}?code=")), "{there}");
        }
    }
    // Only whoever owns the domain answers there.
    assert_eq!(outcome(&mut browser, &asks_for(CALLBACK)).await, "code");
    let page = asked(&mut browser, &asks_for(LOOPBACK)).await;
    let there = decide(&mut browser, &page, "deny").await;
    assert!(there.starts_with(&format!("{LOOPBACK}?error=access_denied")), "{there}");
}

/// A page without a secret at an address of the person's own computer: whatever listens there is what gets the code.
#[tokio::test]
async fn a_page_at_a_loopback_origin_is_allowed_each_time() {
    let site = Site::start().await;
    let origins = ["http://localhost:5173", "http://tool.localhost:5173", "http://127.0.0.1:5173", SPA];
    browser_client(&site, "tool", |app| {
        app.origins = origins.map(|origin| origin.parse().expect("an origin")).into();
        app.redirect_uris = origins.map(|origin| format!("{origin}/callback").parse().expect("a URI")).into();
    })
    .await;
    let mut browser = at_home(&site).await;
    for origin in &origins[..3] {
        let uri = format!("{origin}/callback");
        for _ in 0..2 {
            let silent = [asks_for(&uri)[0], asks_for(&uri)[1], ("prompt", Some("none"))];
            assert_eq!(outcome(&mut browser, &silent).await, "consent_required", "{uri}");
            let page = asked(&mut browser, &asks_for(&uri)).await;
            assert!(page.answer.shows("any-program"), "{page:?}");
            let there = allowed(&mut browser, &asks_for(&uri)).await;
            assert!(there.starts_with(&format!("{uri}?code=")), "{there}");
        }
    }
    assert_eq!(
        outcome(&mut browser, &asks_for(SPA_CALLBACK)).await,
        "code",
        "only whoever owns the domain answers there"
    );
}

/// A program has had a request of its own sealed, and opens it when the person has just allowed the real one.
#[tokio::test]
async fn what_was_allowed_to_one_program_lets_no_other_one_through() {
    let site = Site::start().await;
    tool(&site).await;
    let changes = asks_for("http://127.0.0.1:6666/callback");
    let prepared = Browser::new(&site).step(&authorize_url(&changes)).await.location().to_owned();
    assert!(prepared.starts_with("/sign-in?app=tool&pending="), "{prepared}");
    let prepared = format!("{HOME}{}", prepared.replace("/sign-in", "/oauth/continue"));
    let mut browser = at_home(&site).await;
    for _ in 0..2 {
        let answer = browser.step(&prepared).await;
        assert!(answer.status == 200 && answer.shows("allow"), "{answer:?}");
        allow(&mut browser, &asks_for(LOOPBACK)).await;
    }
    // Nor does what somebody else has allowed in the same browser, or the same person in a session that is over.
    let page = asked(&mut browser, &asks_for(LOOPBACK)).await;
    let onward = decide(&mut browser, &page, "allow").await;
    let mut again = at_home(&site).await;
    let answer = again.step(&onward).await;
    assert!(answer.status == 200 && answer.shows("allow"), "{answer:?}");
    assert!(said(browser.step(&onward).await.location(), "code").is_some());
}

/// RFC 8628 §5.6: a command line cannot keep a secret. It names itself, and the person decides.
#[tokio::test]
async fn a_native_client_begins_on_a_device_by_its_name() {
    let site = Site::start().await;
    for key in ["tool", "other"] {
        native_client_with(&site, key, &[LOOPBACK], |app| app.device = true).await;
    }
    native_client(&site, "plain", &[LOOPBACK]).await;
    browser_client(&site, "spa", |app| app.device = true).await;
    let cli = site.app("cli", |app| app.device = true).await;
    let path = "/oauth/device_authorization";
    for (fields, expected) in [
        (vec![("client_id", "plain")], (400, "unauthorized_client")),
        (vec![("client_id", "cli")], (401, "invalid_client")),
        (vec![("client_id", "nobody")], (401, "invalid_client")),
        (vec![], (401, "invalid_client")),
        (vec![("client_id", "tool"), ("client_secret", &*cli.secret)], (401, "invalid_client")),
        (vec![("client_id", "tool"), ("scope", "profile")], (400, "invalid_scope")),
    ] {
        assert_eq!(error(&ask(&site, path, &fields).await), (expected.0, expected.1.to_owned()), "{fields:?}");
    }
    let page = by_page(path, SPA, &serde_json::json!({ "client_id": "spa" }));
    assert_eq!(error(&site.send(page).await), (400, "unauthorized_client".to_owned()), "it has a browser");
    for (name, value) in [("origin", "https://evil.com"), ("sec-fetch-site", "cross-site")] {
        let page = Ask::post(path).form(&[("client_id", "tool")]).header(name, value);
        assert_eq!(site.send(page).await.status, 403, "a page that has its visitors begin: {name}");
    }
    let begun = ask(&site, path, &[("client_id", "tool"), ("scope", "openid profile")]).await.json();
    let [code, user_code] = ["device_code", "user_code"].map(|name| begun[name].as_str().expect(name).to_owned());
    let ana = site.signed_in(&site.ana).await;
    assert_eq!(device::decide(&site, &ana, &user_code, "allow").await.status, 303);
    let poll = [("grant_type", GRANT), ("device_code", &*code)];
    let by = |client: &'static str| [&poll[..], &[("client_id", client)]].concat();
    assert_eq!(error(&ask(&site, "/oauth/token", &by("other")).await), (400, "invalid_grant".to_owned()));
    let tokens = Tokens::of(&ask(&site, "/oauth/token", &by("tool")).await);
    let refresh =
        |client| [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("client_id", client)];
    assert_eq!(error(&ask(&site, "/oauth/token", &refresh("other")).await), (400, "invalid_grant".to_owned()));
    assert_eq!(ask(&site, "/oauth/token", &refresh("tool")).await.status, 200);
}

/// Devices of others: the page says what they would learn, the answer is remembered like any other, and taken back in the same place.
#[tokio::test]
async fn a_device_of_somebody_else_is_allowed_what_its_page_says_and_until_that_is_taken_back() {
    let site = Site::start().await;
    let tv = site
        .app("crm", |app| {
            app.access = Access::Everyone;
            (app.device, app.third_party) = (true, true);
        })
        .await;
    let mut browser = at_home(&site).await;
    let mut begin = async |scope: &str| {
        site.wait(6);
        let begin = Ask::post("/oauth/device_authorization").by(&tv).form(&[("scope", scope)]);
        let begun = site.send(begin).await.json();
        let [code, complete] =
            ["device_code", "verification_uri_complete"].map(|name| begun[name].as_str().expect(name).to_owned());
        let typed = browser.open(&complete).await;
        let user_code = begun["user_code"].as_str().expect("a code");
        let fields = [("csrf_token", typed.answer.csrf_token()), ("user_code", user_code)];
        let page = browser.submit(&typed.action(), &fields).await;
        let decided = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
        assert!(browser.submit(&page.action(), &decided).await.answer.shows("device-allowed"));
        (code, page.answer)
    };
    let (code, page) = begin("openid email").await;
    assert!(page.shows("learns") && page.body.contains("Your e-mail address"), "{page:?}");
    assert!(!page.body.contains("Your name and user name"), "{page:?}");
    let poll = async |code: &str| {
        let fields = [("grant_type", GRANT), ("device_code", code)];
        site.send(Ask::post("/oauth/token").by(&tv).form(&fields)).await
    };
    let tokens = Tokens::of(&poll(&code).await);
    let (unfetched, _) = begin("openid").await;
    assert_eq!(reasons(&site, "consent_given").await.len(), 2);
    assert_eq!(take_back(&mut browser).await.answer.status, 200);
    assert_dead(&site, &tv, &tokens).await;
    assert_eq!(error(&poll(&unfetched).await), (400, "invalid_grant".to_owned()), "nor what had not been fetched yet");
    assert!(reasons(&site, "tokens_refused").await.contains(&"no_consent".to_owned()));
}
