//! What a client asks for is asked of the provider, too, and its answer is held against it: `max_age`, `prompt=select_account`, an essential `acr`. OIDC Core
//! 1.0 §3.1.2.1, §3.1.3.7, §5.5.1.1.

use hallpass_core::session::Acr;
use serde_json::json;

use super::*;
use crate::oauth::{self, CALLBACK, authorize_url, opened, redeem};
use crate::support::{Answer, NOW, PASSWORD};

/// That somebody must have shown two factors.
const ESSENTIAL: (&str, Option<&str>) = ("claims", Some(r#"{"id_token":{"acr":{"essential":true,"value":"aal2"}}}"#));

/// A company whose provider's words for two factors are known.
async fn telling() -> (Site, Fake) {
    let (site, fake) = with_fake(|config| {
        config.second_factor.acr = ["urn:gold", "urn:silver"].map(str::to_owned).into();
    })
    .await;
    oauth::client(&site, "crm").await;
    (site, fake)
}

/// From a client's request to the sign-in page, and on to the provider.
async fn ask(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> Trip {
    let page = browser.open(&authorize_url(changes)).await;
    leave(browser, "fake", &query_of(&page.answer)).await
}

/// What the button of a sign-in page leads there with.
fn query_of(page: &Answer) -> String {
    let (_, link) = page.body.split_once("href=\"/upstream/oidc/start/fake").unwrap_or_else(|| panic!("{page:?}"));
    link.split_once('"').expect("it ends").0.replace("&#38;", "&")
}

/// Back from there, as whoever `change` makes of the good claims.
async fn come_back(browser: &mut Browser<'_>, fake: &Fake, trip: &Trip, change: impl FnOnce(&mut Value)) -> Landing {
    let mut claims = fake.claims(&trip.nonce);
    change(&mut claims);
    fake.gives(&claims);
    browser.open(&callback("fake", &trip.state, &trip.state)).await
}

fn asked(trip: &Trip, name: &str) -> Option<String> {
    said(&trip.there, name)
}

#[tokio::test]
async fn a_greatest_age_is_asked_for_there_and_its_answer_held_against_it() {
    let (site, fake) = telling().await;
    for (auth_time, comes_in) in
        [(Some(NOW - 300), true), (Some(NOW - 360), true), (Some(NOW - 361), false), (None, false)]
    {
        let mut browser = Browser::new(&site);
        let trip = ask(&mut browser, &[("max_age", Some("300"))]).await;
        assert_eq!((asked(&trip, "max_age").as_deref(), asked(&trip, "prompt")), (Some("300"), None));
        let said_so = |claims: &mut Value| {
            if let Some(at) = auth_time {
                claims["auth_time"] = at.into();
            }
        };
        let landing = come_back(&mut browser, &fake, &trip, said_so).await;
        if comes_in {
            assert!(session_of(&site, &browser).await.is_some(), "{auth_time:?}: {landing:?}");
        } else {
            assert_refused(&site, &browser, &landing, "id_token_not_authenticated_anew").await;
        }
    }
    let mut browser = Browser::new(&site);
    let trip = ask(&mut browser, &[]).await;
    for name in ["max_age", "prompt", "acr_values"] {
        assert_eq!(asked(&trip, name), None, "nothing that nobody has asked for");
    }
}

#[tokio::test]
async fn two_factors_are_asked_for_in_the_providers_words_and_its_answer_held_against_it() {
    let (site, fake) = telling().await;
    let crm = oauth::client(&site, "crm2").await;
    for (acr, comes_in) in
        [(json!("urn:gold"), true), (json!("urn:silver"), true), (json!("urn:bronze"), false), (json!(null), false)]
    {
        let mut browser = Browser::new(&site);
        let trip = ask(&mut browser, &[ESSENTIAL, ("client_id", Some("crm2"))]).await;
        assert_eq!(asked(&trip, "acr_values").as_deref(), Some("urn:gold urn:silver"));
        assert_eq!((asked(&trip, "max_age"), asked(&trip, "prompt")), (None, None));
        let landing = come_back(&mut browser, &fake, &trip, claim("acr", acr.clone())).await;
        if !comes_in {
            assert_refused(&site, &browser, &landing, "upstream_assurance_too_low").await;
            assert!(landing.answer.body.contains("A second step is needed"), "{landing:?}");
            continue;
        }
        let code = said(landing.url.as_str(), "code").unwrap_or_else(|| panic!("{acr}: {landing:?}"));
        let tokens = redeem(&site, &crm, &code, &[("redirect_uri", Some(CALLBACK))]).await.json();
        assert_eq!(opened(tokens["id_token"].as_str().expect("one")).1["acr"], "aal2");
    }
}

/// Where nobody has said what its words mean the provider is asked for nothing, and the client learns that it cannot be had.
#[tokio::test]
async fn a_provider_that_cannot_tell_is_not_asked() {
    let (site, fake) = with_fake(|_| ()).await;
    oauth::client(&site, "crm").await;
    let mut browser = Browser::new(&site);
    let trip = ask(&mut browser, &[ESSENTIAL]).await;
    assert_eq!(asked(&trip, "acr_values"), None);
    let landing = come_back(&mut browser, &fake, &trip, claim("acr", json!("urn:gold"))).await;
    assert_eq!(
        said(landing.url.as_str(), "error").as_deref(),
        Some("unmet_authentication_requirements"),
        "{landing:?}"
    );
}

/// Somebody is here, by one factor: they can show the second, unless nobody may be asked.
#[tokio::test]
async fn who_is_here_by_one_factor_may_show_the_second() {
    let (site, fake) = telling().await;
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, |_| ()).await;
    let before = session_of(&site, &browser).await.expect("a session");
    assert_eq!(before.acr, Acr::Aal1);
    site.wait(60);
    let silent = browser.step(&authorize_url(&[ESSENTIAL, ("prompt", Some("none"))])).await;
    assert_eq!(said(silent.location(), "error").as_deref(), Some("unmet_authentication_requirements"));
    let trip = ask(&mut browser, &[ESSENTIAL]).await;
    assert_eq!(asked(&trip, "acr_values").as_deref(), Some("urn:gold urn:silver"));
    assert_eq!((asked(&trip, "prompt").as_deref(), asked(&trip, "max_age").as_deref()), (Some("login"), Some("0")));
    let landing = come_back(&mut browser, &fake, &trip, |claims| {
        (claims["iat"], claims["exp"]) = (json!(NOW + 60), json!(NOW + 360));
        (claims["auth_time"], claims["acr"]) = (json!(NOW + 60), json!("urn:gold"));
    });
    let landing = landing.await;
    assert!(said(landing.url.as_str(), "code").is_some(), "{landing:?}");
    let after = session_of(&site, &browser).await.expect("a session");
    assert_eq!((after.user_id, after.acr), (before.user_id, Acr::Aal2));
}

/// And who has only a password here is asked once, and then the client is told.
#[tokio::test]
async fn who_shows_no_more_is_not_asked_again_and_again() {
    let (site, _) = telling().await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?local=1", "ana", PASSWORD).await;
    site.wait(60);
    let page = browser.open(&authorize_url(&[ESSENTIAL])).await;
    assert_eq!(page.url.path(), "/sign-in", "{page:?}");
    let fields = [("csrf_token", page.answer.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
    let landing = browser.submit(&page.action(), &fields).await;
    assert_eq!(
        said(landing.url.as_str(), "error").as_deref(),
        Some("unmet_authentication_requirements"),
        "{landing:?}"
    );
}

#[tokio::test]
async fn a_choice_among_accounts_is_offered_there() {
    let (site, fake) = telling().await;
    let mut browser = Browser::new(&site);
    let trip = ask(&mut browser, &[("prompt", Some("select_account"))]).await;
    assert_eq!(asked(&trip, "prompt").as_deref(), Some("select_account"));
    assert_eq!(asked(&trip, "max_age"), None, "whoever is signed in there need not prove it");
    let both = ask(&mut browser, &[("prompt", Some("select_account login"))]).await;
    assert_eq!(asked(&both, "prompt").as_deref(), Some("select_account login"));
    assert_eq!(asked(&both, "max_age").as_deref(), Some("0"));
    let landing = come_back(&mut browser, &fake, &trip, |_| ()).await;
    assert!(said(landing.url.as_str(), "code").is_some(), "{landing:?}");
}

/// "Use another account": the provider would otherwise let in again whom it knows in this browser.
#[tokio::test]
async fn another_account_is_another_one_there_too() {
    let (site, fake) = telling().await;
    let mut browser = Browser::new(&site);
    assert!(!query_of(&browser.open("/sign-in").await.answer).contains("another"), "nobody is here");
    trip(&mut browser, &fake, |_| ()).await;
    let first = person_of(&site, &browser).await.expect("signed in").id;
    let page = browser.open("/sign-in?another=1").await;
    let left = leave(&mut browser, "fake", &query_of(&page.answer)).await;
    assert_eq!((asked(&left, "prompt").as_deref(), asked(&left, "max_age")), (Some("select_account"), None));
    come_back(&mut browser, &fake, &left, |claims| {
        (claims["sub"], claims["preferred_username"]) = (json!("ben-there"), json!("benedikt"));
    })
    .await;
    assert_ne!(person_of(&site, &browser).await.expect("signed in").id, first);
    // Keycloak offers no choice, and says so.
    fake.metadata(|metadata| metadata["prompt_values_supported"] = json!(["none", "login", "consent"]));
    site.wait(901);
    let page = browser.open("/sign-in").await;
    let left = leave(&mut browser, "fake", &query_of(&page.answer)).await;
    assert_eq!((asked(&left, "prompt").as_deref(), asked(&left, "max_age")), (Some("login"), None));
}
