//! A client that wants a fresh proof gets one, and nobody is signed out of anything for it. OIDC Core 1.0 §3.1.2.1, §5.5.1.1; RFC 9470; T46, T47, T71.

use hallpass_core::secret::SessionSecret;
use hallpass_core::session::{EndReason, Session};
use hallpass_store::sessions;

use super::*;
use crate::support::{SESSION, digest_of};

const LOGIN: [(&str, Option<&str>); 1] = [("prompt", Some("login"))];

/// The session that this browser's cookie opens, ended or not.
async fn session(site: &Site, cookie: &str) -> Option<Session> {
    let mut read = site.store().read().await.expect("reads");
    sessions::by_secret(&mut read, &digest_of::<SessionSecret>(cookie)).await.expect("reads")
}

fn cookie(browser: &Browser<'_>) -> String {
    browser.cookie(HOME, SESSION).expect("signed in")
}

#[tokio::test]
async fn the_same_person_goes_on_in_the_same_session_with_a_new_secret() {
    let site = Site::start().await;
    let (crm, other) = (client(&site, "crm").await, client(&site, "other").await);
    let mut browser = at_home(&site).await;
    let others = code(&mut browser, &[("client_id", Some("other"))]).await;
    let others = Tokens::of(&redeem(&site, &other, &others, &[]).await);
    let old = cookie(&browser);
    let before = session(&site, &old).await.expect("there");
    site.wait(100);
    for changes in [LOGIN, [("max_age", Some("100"))]] {
        let page = browser.open(&authorize_url(&changes)).await;
        assert!(page.answer.shows("again") && page.answer.body.contains("value=\"ana\""), "{page:?}");
        let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
        let code = said(landing.url.as_str(), "code").unwrap_or_else(|| panic!("no code in {landing:?}"));
        let claims = opened(&Tokens::of(&redeem(&site, &crm, &code, &[]).await).id).1;
        assert_eq!((&claims["auth_time"], &claims["acr"]), (&site.now().as_seconds().into(), &"aal1".into()));
        assert_eq!(claims["sid"], before.id.to_string());
        assert_eq!(userinfo(&site, &others.access).await.status, 200, "the other app does not notice");
        let new = cookie(&browser);
        assert_ne!(new, old);
        assert!(session(&site, &old).await.is_none(), "whoever knew the old secret is out");
        assert_eq!(site.send(Ask::get("/account").cookie(SESSION, &old)).await.location(), "/sign-in");
        let after = session(&site, &new).await.expect("there");
        assert_eq!((after.id, after.ended, after.created_at), (before.id, None, before.created_at));
        assert_eq!(
            (after.authenticated_at, after.expires_at),
            (site.now(), site.now() + (before.expires_at.since(before.created_at)))
        );
        site.wait(99);
        assert!(said(browser.step(&authorize_url(&[("max_age", Some("100"))])).await.location(), "code").is_some());
        site.wait(2);
    }
}

/// T46, T47: never merged, in neither direction.
#[tokio::test]
async fn another_person_replaces_it() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    site.user("ben").await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    let anas = session(&site, &cookie(&browser)).await.expect("there");
    site.wait(60);
    let page = browser.open(&authorize_url(&LOGIN)).await;
    let landing = browser.sign_in(page.url.as_str(), "ben", PASSWORD).await;
    let code = said(landing.url.as_str(), "code").expect("a code");
    let bens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    assert_eq!(userinfo(&site, &bens.access).await.json()["preferred_username"], "ben");
    assert_ne!(opened(&bens.id).1["sid"], anas.id.to_string());
    assert_dead(&site, &crm, &tokens).await;
    let mut read = site.store().read().await.expect("reads");
    let ended = sessions::find(&mut read, &anas.id).await.expect("reads").expect("there").ended.expect("ended");
    assert_eq!(ended.reason, EndReason::Replaced);
}

#[tokio::test]
async fn whoever_does_not_prove_it_changes_nothing() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let old = cookie(&browser);
    let before = session(&site, &old).await.expect("there");
    site.wait(60);
    let page = browser.open(&authorize_url(&LOGIN)).await;
    let wrong = browser.sign_in(page.url.as_str(), "ana", "not the password").await;
    assert!(wrong.answer.shows("error"), "{wrong:?}");
    assert_eq!(cookie(&browser), old);
    assert_eq!(session(&site, &old).await, Some(before), "the session lives on as it was");
    assert!(said(browser.step(&authorize_url(&[])).await.location(), "code").is_some());
    let silent = browser.step(&authorize_url(&[("prompt", Some("none")), ("max_age", Some("59"))])).await;
    assert_eq!(said(silent.location(), "error").as_deref(), Some("login_required"));
}

/// A stronger sign-in is not exchanged for a weaker one. T71.
#[tokio::test]
async fn a_password_alone_does_not_renew_what_two_factors_began() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let first = session(&site, &cookie(&browser)).await.expect("there");
    let strong = site.signed_in_with(&site.ana, |session| session.acr = hallpass_core::session::Acr::Aal2).await;
    browser.toss(HOME, &format!("{SESSION}={}; Path=/; Secure", strong.cookie));
    site.wait(60);
    let page = browser.open(&authorize_url(&LOGIN)).await;
    browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    let next = session(&site, &cookie(&browser)).await.expect("there");
    assert!(next.id != strong.session.id && next.id != first.id);
    let ended = session(&site, &strong.cookie).await.expect("there").ended.expect("ended");
    assert_eq!(ended.reason, EndReason::Replaced);
}

#[tokio::test]
async fn a_strength_that_nobody_can_show_is_refused_only_where_it_is_essential() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let outcome = async |browser: &mut Browser<'_>, changes: &[_]| {
        let answer = browser.step(&authorize_url(changes)).await;
        said(answer.location(), "error").unwrap_or_else(|| "code".to_owned())
    };
    for (claims, expected) in [
        (r#"{"id_token":{"acr":{"essential":true,"values":["aal1"]}}}"#, "code"),
        (r#"{"id_token":{"acr":{"essential":true,"values":["aal2","aal1"]}}}"#, "code"),
        (r#"{"id_token":{"acr":{"value":"aal2"}}}"#, "code"),
        (r#"{"id_token":{"acr":{"essential":true,"value":"aal2"}}}"#, "unmet_authentication_requirements"),
        (r#"{"id_token":{"acr":{"essential":true,"values":["gold"]}}}"#, "unmet_authentication_requirements"),
        ("{", "invalid_request"),
    ] {
        assert_eq!(outcome(&mut browser, &[("claims", Some(claims))]).await, expected, "{claims}");
    }
    let code = code(&mut browser, &[("acr_values", Some("aal2 gold"))]).await;
    let claims = opened(&Tokens::of(&redeem(&site, &crm, &code, &[]).await).id).1;
    assert_eq!(claims["acr"], "aal1", "and the token says what it was");
    let discovery = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(discovery["acr_values_supported"], serde_json::json!(["aal1"]));
    assert_eq!(discovery["response_modes_supported"], serde_json::json!(["query", "form_post"]));
    let prompts = serde_json::json!(["none", "login", "consent", "select_account"]);
    assert_eq!(discovery["prompt_values_supported"], prompts);
}
