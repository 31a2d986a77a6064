//! What a client wants people to be asked, and whom it expects: `prompt`, `login_hint`, `id_token_hint`. OIDC Core 1.0 §3.1.2.1; Initiating User
//! Registration 1.0.

use std::time::Duration;

use super::*;
use crate::support::{Landing, SESSION};

async fn choice(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> Landing {
    let page = browser.open(&authorize_url(changes)).await;
    assert!(page.answer.status == 200 && page.answer.shows("continue-as"), "{page:?}");
    page
}

async fn go_on(browser: &mut Browser<'_>, page: &Landing) -> String {
    onward(&browser.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await.answer)
}

/// Where "use another account" leads.
fn another(page: &Landing) -> String {
    let (before, _) = page.answer.body.split_once("\" data-testid=\"another\"").expect("a link");
    let link = before.rsplit_once("href=\"").expect("its address").1.replace("&#38;", "&");
    page.url.join(&link).expect("an address").to_string()
}

/// Whose code it is.
async fn whose(site: &Site, crm: &Caller, location: &str) -> String {
    let code = said(location, "code").unwrap_or_else(|| panic!("no code in {location}"));
    let tokens = Tokens::of(&redeem(site, crm, &code, &[]).await);
    let claims = userinfo(site, &tokens.access).await.json();
    claims["preferred_username"].as_str().expect("a name").to_owned()
}

const SELECT: [(&str, Option<&str>); 1] = [("prompt", Some("select_account"))];

#[tokio::test]
async fn select_account_asks_who_goes_on() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    site.wait(1);
    let page = choice(&mut browser, &SELECT).await;
    assert!(page.answer.body.contains("Continue as ana Costa"));
    let pending = page.action().query().expect("pending").to_owned();
    assert!(
        browser.step(&format!("{HOME}/oauth/continue?{pending}")).await.shows("continue-as"),
        "not without a click"
    );
    let there = go_on(&mut browser, &page).await;
    assert_eq!(whose(&site, &crm, browser.step(&there).await.location()).await, "ana");
    choice(&mut browser, &SELECT).await;
}

#[tokio::test]
async fn another_account_takes_over_and_goes_on() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    site.user("ben").await;
    let mut browser = at_home(&site).await;
    site.wait(1);
    let anas = browser.cookie(HOME, SESSION).expect("signed in");
    let page = choice(&mut browser, &SELECT).await;
    let landing = browser.sign_in(&another(&page), "ben", PASSWORD).await;
    assert_eq!(whose(&site, &crm, landing.url.as_str()).await, "ben", "and is not asked once more");
    assert_eq!(site.send(Ask::get("/account").cookie(SESSION, &anas)).await.location(), "/sign-in");
}

#[tokio::test]
async fn whoever_signs_in_for_it_has_chosen() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&authorize_url(&SELECT)).await;
    assert_eq!(page.url.path(), "/sign-in");
    let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    assert_eq!(whose(&site, &crm, landing.url.as_str()).await, "ana");
}

/// T43, T51: what one person has chosen says nothing of another, and nobody chooses by a page of somebody else.
#[tokio::test]
async fn a_choice_is_of_one_session_and_by_our_own_form() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let bens = site.signed_in(&site.user("ben").await).await;
    let mut browser = at_home(&site).await;
    site.wait(1);
    let page = choice(&mut browser, &SELECT).await;
    let there = go_on(&mut browser, &page).await;
    let shown = site.send(Ask::get(there.strip_prefix(HOME).expect("at home")).cookie(SESSION, &bens.cookie)).await;
    assert!(shown.shows("continue-as") && shown.body.contains("ben Costa"), "{shown:?}");
    let action = page.action()[url::Position::BeforePath..].to_owned();
    let form =
        |cookie: &str| Ask::post(&*action).cookie(SESSION, cookie).form(&[("csrf_token", page.answer.csrf_token())]);
    assert_eq!(site.send(form(&bens.cookie).same_origin()).await.status, 403);
    let cookie = browser.cookie(HOME, SESSION).expect("signed in");
    assert_eq!(site.send(form(&cookie).header("sec-fetch-site", "cross-site")).await.status, 403);
    assert_eq!(site.send(form(&cookie).same_origin()).await.status, 200);
}

#[tokio::test]
async fn several_questions_are_asked_one_after_the_other() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    site.wait(1);
    let page = choice(&mut browser, &[("prompt", Some("consent whatever select_account"))]).await;
    let there = go_on(&mut browser, &page).await;
    let consent = browser.open(&there).await;
    assert!(consent.answer.shows("allow"), "{consent:?}");
    let fields = [("csrf_token", consent.answer.csrf_token()), ("decision", "allow")];
    let there = onward(&browser.submit(&consent.action(), &fields).await.answer);
    assert_eq!(whose(&site, &crm, browser.step(&there).await.location()).await, "ana");
    let refused = browser.step(&authorize_url(&[("prompt", Some("none select_account"))])).await;
    assert_eq!(said(refused.location(), "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn there_is_nothing_to_sign_up_for_and_the_page_says_so() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let create = authorize_url(&[("prompt", Some("create"))]);
    for mut browser in [Browser::new(&site), at_home(&site).await] {
        site.wait(1);
        let page = browser.open(&create).await;
        assert!(page.url.path() == "/sign-in" && page.answer.shows("no-sign-up"), "{page:?}");
        let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
        assert_eq!(whose(&site, &crm, landing.url.as_str()).await, "ana");
        assert!(!browser.open("/sign-in").await.answer.shows("no-sign-up"));
    }
}

#[tokio::test]
async fn a_login_hint_fills_in_a_field_and_does_nothing_else() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let value = async |hint: &str| {
        let page = Browser::new(&site).open(&authorize_url(&[("login_hint", Some(hint))])).await;
        let (_, rest) = page.answer.body.split_once("type=\"text\" value=\"").expect("a field");
        rest.split_once('"').expect("it ends").0.to_owned()
    };
    assert_eq!(value("ana").await, "ana");
    assert_eq!(value("\"><script>x").await, "&#34;&#62;&#60;script&#62;x");
    for ignored in [&*"a".repeat(129), "a\nb", " "] {
        assert_eq!(value(ignored).await, "", "{ignored:?}");
    }
    let answer = at_home(&site).await.step(&authorize_url(&[("login_hint", Some("ben"))])).await;
    assert!(said(answer.location(), "code").is_some(), "whoever is signed in stays signed in");
}

#[tokio::test]
async fn an_id_token_hint_names_the_one_person_the_answer_may_be_about() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    site.user("ben").await;
    let (mut anas, tokens) = tokens(&site, &crm).await;
    site.wait(3000);
    let hinted = |prompt| [("id_token_hint", Some(&*tokens.id)), ("prompt", prompt)];
    let silent = authorize_url(&hinted(Some("none")));
    assert_eq!(whose(&site, &crm, anas.step(&silent).await.location()).await, "ana", "an expired one is as good");
    let mut bens = Browser::new(&site);
    assert_eq!(said(bens.step(&silent).await.location(), "error").as_deref(), Some("login_required"), "nobody here");
    bens.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
    site.wait(1);
    assert_eq!(said(bens.step(&silent).await.location(), "error").as_deref(), Some("login_required"), "somebody else");

    let page = bens.open(&authorize_url(&hinted(None))).await;
    assert!(page.url.path() == "/sign-in" && !page.answer.shows("again"), "{page:?}");
    let landing = bens.sign_in(page.url.as_str(), "ben", PASSWORD).await;
    assert_eq!(said(landing.url.as_str(), "error").as_deref(), Some("login_required"), "still somebody else");
    site.wait(1);
    let page = bens.open(&authorize_url(&hinted(None))).await;
    let landing = bens.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    assert_eq!(whose(&site, &crm, landing.url.as_str()).await, "ana");
}

/// T26, T29: what is not an ID token of ours for this client is no hint.
#[tokio::test]
async fn a_forged_hint_is_refused() {
    let site = Site::start().await;
    let (crm, other) = (client(&site, "crm").await, client(&site, "other").await);
    let (mut browser, tokens) = tokens(&site, &crm).await;
    let others = code(&mut browser, &[("client_id", Some("other"))]).await;
    let others = Tokens::of(&redeem(&site, &other, &others, &[]).await);
    let elsewhere = Site::start().await;
    let there = client(&elsewhere, "crm").await;
    let (_, foreign) = super::tokens(&elsewhere, &there).await;
    let cut = &tokens.id[..tokens.id.len() - 2];
    let (head, rest) = tokens.id.split_once('.').expect("three parts");
    let (body, _) = rest.split_once('.').expect("three parts");
    let unsigned = format!("{head}.{body}.");
    for hint in ["x", cut, &unsigned, &tokens.access, &tokens.refresh, &others.id, &foreign.id] {
        for prompt in [None, Some("none")] {
            let answer = browser.step(&authorize_url(&[("id_token_hint", Some(hint)), ("prompt", prompt)])).await;
            assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{hint}");
        }
    }
}

/// Protocol §8, "what browsers delete": a site that only ever sends people on is taken for a tracker, and loses its cookies.
#[tokio::test]
async fn whoever_has_not_clicked_here_for_long_is_asked_for_a_click_on_the_way_to_another_site() {
    let site = Site::start_with(|config| config.session.persistent_inactivity = Duration::from_hours(30 * 24)).await;
    let (near, far) = (client(&site, "crm").await, "https://crm.elsewhere.com/callback");
    let elsewhere = client_with(&site, "far", |app| app.redirect_uris = vec![far.parse().expect("a URI")]).await;
    let mut browser = Browser::new(&site);
    let shown = browser.open("/sign-in?app=pos").await;
    let fields =
        [("csrf_token", shown.answer.csrf_token()), ("username", "ana"), ("password", PASSWORD), ("stay", "1")];
    let action = shown.action();
    browser.submit(&action, &fields).await;
    let asked = [("client_id", Some("far")), ("redirect_uri", Some(far))];
    assert!(said(browser.step(&authorize_url(&asked)).await.location(), "code").is_some(), "not yet");
    site.wait(26 * 24 * 3600);
    let code = code(&mut browser, &[]).await;
    assert_eq!(redeem(&site, &near, &code, &[]).await.status, 200, "nothing to ask on the way to our own site");
    let silent = [asked[0], asked[1], ("prompt", Some("none"))];
    assert!(said(browser.step(&authorize_url(&silent)).await.location(), "code").is_some(), "nobody can click there");
    let page = choice(&mut browser, &asked).await;
    let there = go_on(&mut browser, &page).await;
    let code = said(browser.step(&there).await.location(), "code").expect("a code");
    let tokens = redeem(&site, &elsewhere, &code, &[("redirect_uri", Some(far))]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(said(browser.step(&authorize_url(&asked)).await.location(), "code").is_some(), "the click is remembered");
}
