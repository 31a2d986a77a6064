//! `/apps`: the person's own start page. Each link on it leads into an app, signed in, by one click, whichever mechanism the app uses.
//! OIDC Core 1.0 §4 for clients that can begin a sign-in.

use hallpass_core::app::{Access, App};
use hallpass_core::oidc::{ClientKind, ClientSettings};

use crate::handoff::shop;
use crate::oauth::{client_with, said};
use crate::support::{Browser, HOME, PASS, PASSWORD, Site};

/// Names and addresses of the links, in order.
async fn links(browser: &mut Browser<'_>) -> Vec<(String, String)> {
    let page = browser.open("/apps").await;
    assert_eq!((page.answer.status, page.url.path()), (200, "/apps"), "{page:?}");
    let links = page.answer.body.split("<li><a href=\"").skip(1);
    let link = |text: &str| {
        let (address, rest) = text.split_once("\">").expect("an address");
        let address = page.url.join(&address.replace("&#38;", "&")).expect("a URL").to_string();
        (rest.split_once('<').expect("it ends").0.to_owned(), address)
    };
    links.map(link).collect()
}

async fn link(browser: &mut Browser<'_>, name: &str) -> String {
    let all = links(browser).await;
    let found: Vec<_> = all.iter().filter(|(found, _)| found == name).collect();
    assert!(found.len() == 1, "{name} in {all:?}");
    found[0].1.clone()
}

async fn ana(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    browser
}

fn begins(app: &mut App, uri: &str) {
    app.initiate_login_uri = Some(uri.parse().expect("an address"));
}

#[tokio::test]
async fn an_app_of_the_home_zone_is_entered_with_a_new_pass() {
    let site = Site::start().await;
    let mut browser = ana(&site).await;
    let before = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
    site.wait(16 * 60);
    assert!(!site.is_active(&site.pos, &before).await, "the pass is over, the session is not");
    let there = link(&mut browser, "The pos").await;
    assert_eq!(browser.open(&there).await.url.as_str(), "https://pos.company.com/");
    let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
    assert!(pass != before && site.is_active(&site.pos, &pass).await);
}

#[tokio::test]
async fn an_app_of_another_zone_is_entered_by_a_handoff() {
    let site = Site::start().await;
    let shop = shop(&site).await;
    let mut browser = ana(&site).await;
    assert_eq!(browser.cookie("https://shop.company2.com/", PASS), None);
    let there = link(&mut browser, "The shop").await;
    assert_eq!(browser.open(&there).await.url.as_str(), "https://shop.company2.com/");
    let pass = browser.cookie("https://shop.company2.com/", PASS).expect("the other zone's pass");
    assert!(site.is_active(&shop, &pass).await);
}

/// The client learns who sends it its visitor, and where to; not who that is, before it has asked.
#[tokio::test]
async fn a_client_begins_its_own_sign_in() {
    let site = Site::start().await;
    client_with(&site, "crm", |app| begins(app, "https://crm.company.com/begin?from=start")).await;
    let mut browser = ana(&site).await;
    let there = link(&mut browser, "The crm").await;
    assert_eq!(there, "https://crm.company.com/begin?from=start&iss=https%3A%2F%2Fauth.company.com");
    client_with(&site, "crm", |app| {
        begins(app, "https://crm.company.com/begin");
        app.origins = vec!["https://crm.company.com".parse().expect("an origin")];
    })
    .await;
    let there = link(&mut browser, "The crm").await;
    assert_eq!(said(&there, "iss").as_deref(), Some(HOME));
    assert_eq!(said(&there, "target_link_uri").as_deref(), Some("https://crm.company.com/"));
    assert!(said(&there, "login_hint").is_none() && !there.contains("ana"), "{there}");
}

#[tokio::test]
async fn a_client_that_cannot_begin_is_opened_at_its_address_and_a_program_has_none() {
    let site = Site::start().await;
    client_with(&site, "crm", |_| ()).await;
    client_with(&site, "tool", |app| {
        app.client = ClientSettings { kind: ClientKind::Native, ..ClientSettings::default() };
        app.redirect_uris = vec!["http://127.0.0.1/cb".parse().expect("a URI")];
    })
    .await;
    let mut browser = ana(&site).await;
    assert_eq!(link(&mut browser, "The crm").await, "https://crm.company.com/");
    assert!(!links(&mut browser).await.iter().any(|(name, _)| name == "The tool"));
}

#[tokio::test]
async fn only_apps_that_the_person_may_enter_are_there() {
    let site = Site::start().await;
    client_with(&site, "crm", |app| {
        begins(app, "https://crm.company.com/begin");
        app.access = Access::Assigned;
    })
    .await;
    client_with(&site, "gone", |app| {
        begins(app, "https://gone.company.com/begin");
        app.disabled_at = Some(site.now());
    })
    .await;
    let mut browser = ana(&site).await;
    let names: Vec<_> = links(&mut browser).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["The pos", "The wiki"]);
}

/// A bookmark of one of these links outlives the session.
#[tokio::test]
async fn whoever_is_not_signed_in_any_more_gets_there_by_signing_in() {
    let site = Site::start().await;
    let there = link(&mut ana(&site).await, "The pos").await;
    let landing = Browser::new(&site).sign_in(&there, "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), "https://pos.company.com/");
}
