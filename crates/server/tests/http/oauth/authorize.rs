//! `GET /oauth/authorize`: who gets a code, who is asked to sign in, who is told no, and where nobody is ever sent.

use super::*;
use crate::sign_in::return_to::hostile;
use crate::support::SESSION;

#[tokio::test]
async fn whoever_is_signed_in_at_home_gets_a_code_without_a_form() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let answer = browser.step(&authorize_url(&[])).await;
    let location = answer.location();
    assert!(location.starts_with(&format!("{CALLBACK}?code=hp_ac_")), "{location}");
    assert_eq!(said(location, "state").as_deref(), Some("st&te"));
    assert_eq!(said(location, "iss").as_deref(), Some(HOME));
    assert_eq!((answer.status, answer.header("cache-control")), (303, Some("no-store")));
}

#[tokio::test]
async fn whoever_is_not_signs_in_once_and_arrives_at_the_client() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&authorize_url(&[])).await;
    assert!(page.url.path() == "/sign-in" && page.answer.body.contains("The crm"), "{page:?}");
    let policy = page.answer.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("form-action 'self' https://crm.company.com;") || policy.ends_with("https://crm.company.com"),
        "{policy}"
    );
    let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    assert!(landing.url.as_str().starts_with(&format!("{CALLBACK}?code=")), "{landing:?}");
    let code = said(landing.url.as_str(), "code").expect("a code");
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);
    assert!(browser.open(&authorize_url(&[])).await.url.as_str().starts_with(CALLBACK), "and no form any more");
}

#[tokio::test]
async fn a_pending_request_is_nobody_elses_and_ends_after_half_an_hour() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let asked = browser.step(&authorize_url(&[("prompt", Some("login"))])).await.location().to_owned();
    let pending = said(&format!("{HOME}{asked}"), "pending").expect("pending");
    for (app, pending) in [("wiki", &*pending), ("crm", &pending[1..]), ("crm", "")] {
        let answer = browser.step(&format!("{HOME}/oauth/continue?app={app}&pending={pending}")).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{app} {pending}");
    }
    site.wait(1800);
    let late = browser.step(&format!("{HOME}/oauth/continue?app=crm&pending={pending}")).await;
    assert_eq!((late.status, late.header("location")), (400, None));
}

/// T10: what waited is judged again by the registry as it is now.
#[tokio::test]
async fn an_address_that_is_taken_away_meanwhile_is_not_gone_to() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let waits = async |browser: &mut Browser<'_>| {
        let asked = browser.step(&authorize_url(&[("prompt", Some("login"))])).await.location().to_owned();
        format!("{HOME}{}", asked.replace("/sign-in", "/oauth/continue"))
    };
    let waiting = waits(&mut browser).await;
    browser.sign_in("/sign-in?app=pos&another=1", "ana", PASSWORD).await;
    assert!(browser.step(&waiting).await.location().starts_with(CALLBACK), "as long as it is registered");
    let waiting = waits(&mut browser).await;
    browser.sign_in("/sign-in?app=pos&another=1", "ana", PASSWORD).await;
    client_with(&site, "crm", |app| drop(app.redirect_uris.remove(0))).await;
    site.heard().await;
    let answer = browser.step(&waiting).await;
    assert_eq!((answer.status, answer.header("location")), (400, None));
}

#[tokio::test]
async fn prompt_login_asks_again_and_is_content_with_the_answer() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    for changes in [[("prompt", Some("login"))], [("max_age", Some("0"))], [("max_age", Some("30"))]] {
        site.wait(31);
        let page = browser.open(&authorize_url(&changes)).await;
        assert_eq!(page.url.path(), "/sign-in", "{changes:?} {page:?}");
        let pending = page.url.query().expect("pending").to_owned();
        let unchanged = browser.open(&format!("/oauth/continue?{pending}")).await;
        assert_eq!(unchanged.url.path(), "/sign-in", "nobody talks their way past it: {unchanged:?}");
        let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
        assert!(landing.url.as_str().starts_with(&format!("{CALLBACK}?code=")), "{changes:?} {landing:?}");
    }
    let young = browser.step(&authorize_url(&[("max_age", Some("30"))])).await;
    assert!(said(young.location(), "code").is_some());
}

#[tokio::test]
async fn prompt_none_never_shows_a_page() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let none = ("prompt", Some("none"));
    let outcome = async |browser: &mut Browser<'_>, changes: &[_]| {
        let answer = browser.step(&authorize_url(changes)).await;
        assert!(answer.location().starts_with(CALLBACK), "{answer:?}");
        said(answer.location(), "error").unwrap_or_else(|| "code".to_owned())
    };
    assert_eq!(outcome(&mut Browser::new(&site), &[none]).await, "login_required");
    let mut browser = at_home(&site).await;
    assert_eq!(outcome(&mut browser, &[none]).await, "code");
    site.wait(60);
    assert_eq!(outcome(&mut browser, &[none, ("max_age", Some("59"))]).await, "login_required");
    site.must_change_password(&site.ana).await;
    assert_eq!(outcome(&mut browser, &[none]).await, "login_required");
}

#[tokio::test]
async fn whoever_has_no_access_is_not_let_in() {
    let site = Site::start().await;
    client_with(&site, "crm", |app| app.access = Access::Assigned).await;
    let mut browser = at_home(&site).await;
    let answer = browser.step(&authorize_url(&[])).await;
    assert_eq!(said(answer.location(), "error").as_deref(), Some("access_denied"));
    assert_eq!(said(answer.location(), "state").as_deref(), Some("st&te"));
    let landing = Browser::new(&site).sign_in(&authorize_url(&[]), "ana", PASSWORD).await;
    assert_eq!(said(landing.url.as_str(), "error").as_deref(), Some("access_denied"), "nor after a sign-in");
}

#[tokio::test]
async fn what_is_wrong_with_the_rest_is_told_to_the_client() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let long = "a".repeat(513);
    for (name, value, expected) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "invalid_request"),
        ("response_mode", Some("fragment"), "invalid_request"),
        ("scope", Some("profile"), "invalid_scope"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("nonce", Some(&*long), "invalid_request"),
        ("request", Some("x"), "request_not_supported"),
    ] {
        let answer = browser.step(&authorize_url(&[(name, value)])).await;
        assert_eq!(said(answer.location(), "error").as_deref(), Some(expected), "{name}");
        assert_eq!(said(answer.location(), "iss").as_deref(), Some(HOME), "{name}");
        assert!(answer.location().starts_with(CALLBACK) && said(answer.location(), "code").is_none(), "{name}");
    }
    for ignored in ["something", ""] {
        let ignored = ["prompt", "max_age", "response_mode", "id_token_hint", "claims", "unknown"]
            .map(|name| (name, Some(ignored).filter(|text| text.is_empty() || matches!(name, "prompt" | "unknown"))));
        assert!(said(browser.step(&authorize_url(&ignored)).await.location(), "code").is_some(), "{ignored:?}");
    }
}

/// Until client and address belong together there is our own page and no redirect. T4.
#[tokio::test]
async fn a_client_that_is_not_known_is_not_gone_to() {
    let site = Site::start().await;
    client(&site, "crm").await;
    client_with(&site, "off", |app| app.disabled_at = Some(hallpass_core::time::Timestamp::from_seconds(1))).await;
    let mut browser = at_home(&site).await;
    for changes in [
        [("client_id", None), ("scope", Some("openid"))],
        [("client_id", Some("nobody")), ("scope", Some("openid"))],
        [("client_id", Some("off")), ("scope", Some("openid"))],
        [("client_id", Some("pos")), ("redirect_uri", Some("https://pos.company.com/"))],
        [("client_id", Some("crm")), ("redirect_uri", None)],
        [("client_id", Some("crm")), ("redirect_uri", Some(GOODBYE))],
    ] {
        let answer = browser.step(&authorize_url(&changes)).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{changes:?}");
    }
    let twice = format!("{}&redirect_uri=https%3A%2F%2Fevil.com", authorize_url(&[]));
    assert_eq!(browser.step(&twice).await.status, 400);
}

/// T1, T2, T5: published tricks, and every change of a single character of the registered address.
#[tokio::test]
async fn no_other_address_is_ever_sent_anything() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let ana = site.signed_in(&site.ana).await;
    let mut texts = hostile();
    for index in 0..=CALLBACK.len() {
        for insert in ["", ".", "/", "@", "%", "\u{e9}", "A"] {
            texts.push(format!("{}{insert}{}", &CALLBACK[..index], CALLBACK.get(index + 1..).unwrap_or_default()));
            texts.push(format!("{}{insert}{}", &CALLBACK[..index], &CALLBACK[index..]));
        }
    }
    for tail in ["?", "#", "/", "%2f", "?x=1", "/../callback", ";x", "\\", "%00", " ", "\t"] {
        texts.push(format!("{CALLBACK}{tail}"));
    }
    texts.retain(|text| text != CALLBACK);
    assert!(texts.len() > 2000, "{}", texts.len());
    for text in texts {
        let url = authorize_url(&[("redirect_uri", Some(&text))]);
        let path = url.strip_prefix(HOME).expect("at home");
        let answer = site.send(Ask::get(path).cookie(SESSION, &ana.cookie)).await;
        let harmless = answer.header("location").is_none() && !answer.body.contains("evil");
        assert!(answer.status >= 400 && harmless, "{text:?} {answer:?}");
    }
}

#[tokio::test]
async fn codes_are_for_windows_and_a_browser_that_runs_in_circles_is_stopped() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let ana = site.signed_in(&site.ana).await;
    let url = authorize_url(&[]);
    let ask = || Ask::get(url.strip_prefix(HOME).expect("at home")).cookie(SESSION, &ana.cookie);
    for (name, value) in [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "cors"), ("sec-purpose", "prefetch")] {
        assert_eq!(site.send(ask().header(name, value)).await.status, 403, "{name}");
    }
    let mut stopped = 0;
    for _ in 0..34 {
        stopped += usize::from(site.send(ask()).await.status == 400);
    }
    assert_eq!(stopped, 10);
}
