//! Which provider: by a button, by the app, by the mail domain.

use super::*;
use crate::support::{Ask, FLOW, PASSWORD};

async fn two(change: impl FnOnce(&mut OidcConfig, &mut OidcConfig)) -> (Site, Fake, Fake) {
    let (google, entra) = (Fake::start().await, Fake::start().await);
    let mut one = provider("google", &google.issuer, |config| config.label = Some("Google".to_owned()));
    let mut two = provider("entra", &entra.issuer, |config| config.label = Some("Work & \"School\"".to_owned()));
    change(&mut one, &mut two);
    (company(vec![one, two]).await, google, entra)
}

#[tokio::test]
async fn the_page_shows_all_of_them_in_the_order_of_the_file() {
    let (site, _, _) = two(|_, _| ()).await;
    let page = Browser::new(&site).open("/sign-in?app=pos").await.answer.body;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in {page}"));
    assert!(at("Continue with Google") < at("Continue with Work &#38; &#34;School&#34;"));
    assert!(at("/upstream/oidc/start/google?app=pos") < at("/upstream/oidc/start/entra?app=pos"));
    assert!(page.contains("name=\"password\""), "and the form is there as before");
    let (site, _) = with_fake(|_| ()).await;
    assert!(Browser::new(&site).open("/sign-in").await.answer.body.contains("Continue with fake"));
}

#[tokio::test]
async fn an_app_may_have_one_of_its_own() {
    let (site, google, entra) = two(|google, entra| {
        google.apps = vec!["wiki".parse().expect("a key")];
        entra.primary = true;
    })
    .await;
    let mut browser = Browser::new(&site);
    let there = browser.open("/sign-in?app=wiki").await.url.to_string();
    assert!(there.starts_with(&google.issuer), "{there}");
    let there = browser.open("/sign-in?app=pos").await.url.to_string();
    assert!(there.starts_with(&entra.issuer), "{there}");
    // The form for users of our own is still to be had, and a page that failed leads there.
    let page = browser.open("/sign-in?app=wiki&local=1").await;
    assert!(page.answer.body.contains("name=\"password\""));
    let landing = browser.sign_in("/sign-in?app=pos&local=1", "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), "https://pos.company.com/");
}

#[tokio::test]
async fn an_address_leads_to_its_domains_provider() {
    let (site, google, _) = two(|google, _| google.domains = vec!["company.com".to_owned()]).await;
    let mut browser = Browser::new(&site);
    let page = browser.open("/sign-in?app=wiki").await;
    assert!(page.answer.shows("continue") && !page.answer.body.contains("name=\"password\""), "{page:?}");
    assert_eq!(page.action().path(), "/sign-in/name");
    let token = page.answer.csrf_token().to_owned();
    let mut name =
        async |typed: &str| browser.submit(&page.action(), &[("csrf_token", &token), ("username", typed)]).await;
    let onward = name(" Mia+x@Company.com ").await;
    let there = crate::oauth::onward(&onward.answer);
    assert_eq!(there, format!("{HOME}/upstream/oidc/start/google?app=wiki&hint=mia%2Bx%40company.com"));
    // Anything else is a user of our own: the second step asks for the password.
    for typed in
        ["ana", "mia@other.com", "mia@evil.com@company.com", "mia@sub.company.com", "mia@company.com.evil.com", "<b>"]
    {
        let page = name(typed).await;
        assert_eq!((page.answer.status, page.action().path()), (200, "/sign-in"), "{typed}");
        assert!(page.answer.body.contains("name=\"password\"") && !page.answer.body.contains("<b>"));
    }
    let landing = browser.open(&there).await.url.to_string();
    assert!(landing.starts_with(&google.issuer), "{landing}");
    assert_eq!(said(&landing, "login_hint").as_deref(), Some("mia+x@company.com"));
    // With the name alone comes nobody in; with both steps everybody as ever.
    let page = browser.open("/sign-in?app=pos").await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("username", "ana")];
    let page = browser.submit(&page.action(), &fields).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
    assert_eq!(browser.submit(&page.action(), &fields).await.url.as_str(), "https://pos.company.com/");
}

#[tokio::test]
async fn the_first_step_is_a_form_of_ours_too() {
    let (site, _, _) = two(|google, _| google.domains = vec!["company.com".to_owned()]).await;
    let page = site.send(Ask::get("/sign-in")).await;
    let fields = [("csrf_token", page.csrf_token()), ("username", "mia@company.com")];
    let (flow, other) = (page.cookie(FLOW).to_owned(), site.send(Ask::get("/sign-in")).await);
    for (ask, leads_on) in [
        (Ask::post("/sign-in/name").same_origin().cookie(FLOW, &flow), true),
        (Ask::post("/sign-in/name").same_origin(), false),
        (Ask::post("/sign-in/name").same_origin().cookie(FLOW, other.cookie(FLOW)), false),
    ] {
        let answer = site.send(ask.form(&fields)).await;
        assert_eq!((answer.status, answer.shows("expired")), (200, !leads_on), "{answer:?}");
        assert_eq!(answer.body.contains("http-equiv=\"refresh\""), leads_on);
    }
    let foreign = Ask::post("/sign-in/name").header("sec-fetch-site", "cross-site").cookie(FLOW, &flow).form(&fields);
    assert_eq!(site.send(foreign).await.status, 403);
}
