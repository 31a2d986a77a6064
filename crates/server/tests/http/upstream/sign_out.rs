//! Signing out at the provider, too, where it is configured so: OIDC RP-Initiated Logout 1.0, asked for. Here everything is over before anybody
//! leaves, and what they were to see is reached whatever happens there.

use hallpass_core::session::EndReason;
use hallpass_store::provider_sessions;
use serde_json::json;
use url::Url;

use super::*;
use crate::oauth::logout::logout_url;
use crate::oauth::{self, CALLBACK, GOODBYE, onward};
use crate::support::Ask;

const BACK: &str = "https://auth.company.com/upstream/oidc/signed-out/fake";

/// A provider that signs people out, and that has been told to.
async fn signing_out() -> (Site, Fake) {
    let (site, fake) = with_fake(|config| config.sign_out = true).await;
    fake.metadata(|metadata| {
        metadata["end_session_endpoint"] =
            format!("{}/end?tenant=x", metadata["issuer"].as_str().expect("text")).into();
    });
    (site, fake)
}

/// Signs in, and says as which token.
async fn mia<'s>(site: &'s Site, fake: &Fake) -> (Browser<'s>, String) {
    let mut browser = Browser::new(site);
    assert_eq!(trip(&mut browser, fake, claim("sid", json!("s-1"))).await.url.path(), "/");
    (browser, fake.gave())
}

async fn sign_out(browser: &mut Browser<'_>) -> Landing {
    let page = browser.open("/sign-out").await;
    let fields = [("csrf_token", page.answer.csrf_token())];
    browser.submit(&page.action(), &fields).await
}

async fn has_ended(site: &Site, browser_before: hallpass_core::id::SessionId) -> bool {
    let mut read = site.store().read().await.expect("reads");
    let session = sessions::find(&mut read, &browser_before).await.expect("reads").expect("is there");
    session.ended.is_some_and(|ended| matches!(ended.reason, EndReason::SignedOut | EndReason::SignedOutEverywhere))
}

#[tokio::test]
async fn who_signs_out_here_is_led_there_and_comes_back_to_the_receipt() {
    let (site, fake) = signing_out().await;
    let (mut browser, id_token) = mia(&site, &fake).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    let landing = sign_out(&mut browser).await;
    assert_eq!((landing.url.path(), landing.answer.status), ("/upstream/oidc/sign-out", 200), "{landing:?}");
    assert!(has_ended(&site, session).await && browser.cookie(HOME, SESSION).is_none(), "before they leave");
    let there = onward(&landing.answer);
    assert!(there.starts_with(&format!("{}/end?tenant=x&", fake.issuer)), "{there}");
    assert_eq!(said(&there, "id_token_hint"), Some(id_token.clone()));
    assert_eq!(said(&there, "client_id").as_deref(), Some("hallpass"));
    assert_eq!(said(&there, "post_logout_redirect_uri").as_deref(), Some(BACK));
    let state = said(&there, "state").expect("a state");
    assert!(!landing.url.as_str().contains(&id_token), "in no address of ours");
    let back = browser.open(&format!("{BACK}?state={state}&more=x")).await;
    assert_eq!((back.url.path(), back.answer.status), ("/sign-out/receipt", 200), "{back:?}");
    assert!(back.answer.shows("signed-out"));
    // Once more by the same address: they have been there, and nobody is shown the token again.
    let again = browser.open(landing.url.as_str()).await;
    assert_eq!(again.url.path(), "/sign-out/receipt", "{again:?}");
}

/// A Google account is for more than this company's apps, and so is off unless somebody says so.
#[tokio::test]
async fn nobody_is_led_there_unless_it_is_configured() {
    let (site, fake) = with_fake(|_| ()).await;
    fake.metadata(|metadata| metadata["end_session_endpoint"] = "https://fake.example/end".into());
    let (mut browser, _) = mia(&site, &fake).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    assert_eq!(sign_out(&mut browser).await.url.path(), "/sign-out/receipt");
    let mut write = site.store().write().await.expect("writes");
    let kept = provider_sessions::leave(&mut write, &session).await.expect("reads");
    assert_eq!(kept, Some(None), "nor is the token kept");
}

/// Who has a password here did not come from there.
#[tokio::test]
async fn who_did_not_come_from_there_is_not_led_there() {
    let (site, _) = signing_out().await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?local=1", "ana", crate::support::PASSWORD).await;
    assert_eq!(sign_out(&mut browser).await.url.path(), "/sign-out/receipt");
}

#[tokio::test]
async fn the_token_is_kept_sealed_and_only_until_it_is_needed() {
    let (site, fake) = signing_out().await;
    let (mut browser, id_token) = mia(&site, &fake).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    let mut write = site.store().write().await.expect("writes");
    assert_eq!(provider_sessions::leave(&mut write, &session).await.expect("reads"), None, "while the session lives");
    drop(write);
    sign_out(&mut browser).await;
    let mut write = site.store().write().await.expect("writes");
    assert_eq!(provider_sessions::leave(&mut write, &session).await.expect("reads"), None, "gone with the first use");
    drop(write);
    // Ended otherwise: it is there for an hour, and nobody can read it.
    let (other, _) = mia(&site, &fake).await;
    let session = session_of(&site, &other).await.expect("a session");
    site.end(&session).await;
    let mut write = site.store().write().await.expect("writes");
    let kept = provider_sessions::leave(&mut write, &session.id).await.expect("reads").flatten().expect("kept");
    drop(write);
    for part in id_token.split('.') {
        assert!(!kept.windows(part.len()).any(|window| window == part.as_bytes()), "in the clear");
    }
    site.wait(3601);
    hallpass_server::jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
    let mut write = site.store().write().await.expect("writes");
    assert_eq!(provider_sessions::leave(&mut write, &session.id).await.expect("reads"), None);
}

/// Whatever is wrong there, here it is over; and the person is told that there it may not be.
#[tokio::test]
async fn a_provider_that_is_away_or_has_no_such_address_keeps_nobody_signed_in() {
    for broken in ["discovery", "endpoint", "scheme"] {
        let (site, fake) = signing_out().await;
        match broken {
            "endpoint" => fake.metadata(without("end_session_endpoint")),
            "scheme" => fake.metadata(|metadata| metadata["end_session_endpoint"] = "http://login.example/end".into()),
            _ => {}
        }
        let (mut browser, _) = mia(&site, &fake).await;
        let session = session_of(&site, &browser).await.expect("a session").id;
        site.wait(901);
        if broken == "discovery" {
            fake.fails("discovery", Some(500));
        }
        let landing = sign_out(&mut browser).await;
        assert_eq!(landing.answer.status, 503, "{broken}: {landing:?}");
        assert!(landing.answer.body.contains("You may still be signed in at"), "{broken}: {landing:?}");
        assert!(landing.answer.body.contains("href=\"/sign-out/receipt?of="), "{broken}: {landing:?}");
        assert!(has_ended(&site, session).await && browser.cookie(HOME, SESSION).is_none(), "{broken}");
    }
}

/// Advisory T9: nobody is sent anywhere by an address that we did not make, nor by one that was made for something else.
#[tokio::test]
async fn only_addresses_of_ours_lead_anywhere() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let provider = |name: &str, of: &Fake| provider(name, &of.issuer, |config| config.sign_out = true);
    let site = company(vec![provider("fake", &fake), provider("other", &other)]).await;
    fake.metadata(|metadata| metadata["end_session_endpoint"] = "https://fake.example/end".into());
    let (mut browser, _) = mia(&site, &fake).await;
    let landing = sign_out(&mut browser).await;
    let of = said(landing.url.as_str(), "of").expect("sealed");
    let state = said(&onward(&landing.answer), "state").expect("sealed");
    let mut stranger = Browser::new(&site);
    for address in [
        "/upstream/oidc/sign-out?of=x".to_owned(),
        format!("/upstream/oidc/sign-out?of={}", &of[1..]),
        format!("/upstream/oidc/sign-out?of={state}"),
        format!("{BACK}?state={of}"),
        format!("{BACK}?state=https%3A%2F%2Fevil.example%2F"),
        format!("{HOME}/upstream/oidc/signed-out/other?state={state}"),
        BACK.to_owned(),
    ] {
        assert_eq!(stranger.open(&address).await.url.path(), "/sign-out", "{address}");
    }
    site.wait(3600);
    assert_eq!(stranger.open(&format!("{BACK}?state={state}")).await.url.path(), "/sign-out", "an hour later");
    let framed = Ask::get(format!("/upstream/oidc/sign-out?of={of}"));
    let framed = framed.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "iframe");
    assert_eq!(site.send(framed).await.status, 403);
}

/// Somebody else has sat down meanwhile, and comes upon the address in the history: it does nothing to them.
#[tokio::test]
async fn who_has_signed_in_since_is_not_signed_out_by_it() {
    let (site, fake) = signing_out().await;
    let (mut browser, _) = mia(&site, &fake).await;
    fake.fails("discovery", Some(500));
    site.wait(901);
    let landing = sign_out(&mut browser).await;
    assert_eq!(landing.answer.status, 503);
    fake.fails("discovery", None);
    site.wait(3);
    browser.sign_in("/sign-in?local=1", "ana", crate::support::PASSWORD).await;
    let again = browser.open(landing.url.as_str()).await;
    assert_eq!(again.url.path(), "/sign-out/receipt", "{again:?}");
    assert_eq!(person_of(&site, &browser).await.expect("signed in").id, site.ana.id);
}

/// From a client, from an app's server, and everywhere at once: the same way, and each to its own end.
#[tokio::test]
async fn every_sign_out_goes_by_way_of_it() {
    let (site, fake) = signing_out().await;
    let crm = oauth::client(&site, "crm").await;
    let (mut browser, _) = mia(&site, &fake).await;
    let code = oauth::code(&mut browser, &[]).await;
    let answer = oauth::redeem(&site, &crm, &code, &[("redirect_uri", Some(CALLBACK))]).await;
    let hint = answer.json()["id_token"].as_str().expect("an ID token").to_owned();
    let landing = browser.open(&logout_url(&hint, GOODBYE, &[("state", "a b")])).await;
    let state = said(&onward(&landing.answer), "state").expect("a state");
    let back = browser.step(&format!("{BACK}?state={state}")).await;
    assert_eq!(back.location(), format!("{GOODBYE}?state=a+b"));

    let (mut browser, _) = mia(&site, &fake).await;
    let page = browser.open("/account").await;
    let everywhere = Url::parse(HOME).expect("one").join("/account/sign-out-everywhere").expect("one");
    let landing = browser.submit(&everywhere, &[("csrf_token", page.answer.csrf_token())]).await;
    let state = said(&onward(&landing.answer), "state").expect("a state");
    assert_eq!(browser.open(&format!("{BACK}?state={state}")).await.url.path(), "/sign-out/receipt");

    let (browser, _) = mia(&site, &fake).await;
    let session = session_of(&site, &browser).await.expect("a session");
    let asked = json!({ "sid": session.id, "sub": session.user_id });
    let answer = site.send(Ask::post("/api/v1/sign-out").by(&site.pos).json(&asked)).await.json();
    let there = answer["continue_at"].as_str().expect("an address").to_owned();
    let landing = Browser::new(&site).open(&there).await;
    assert!(said(&onward(&landing.answer), "id_token_hint").is_some());
}

/// What would make an address too long is left out of it; the sign-out is not.
#[tokio::test]
async fn a_long_token_is_not_carried_and_a_long_destination_is_given_up() {
    let (site, fake) = signing_out().await;
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, claim("groups", json!("x".repeat(5000)))).await;
    let landing = sign_out(&mut browser).await;
    let there = onward(&landing.answer);
    assert_eq!(said(&there, "id_token_hint"), None);
    assert_eq!(said(&there, "client_id").as_deref(), Some("hallpass"));

    let crm = oauth::client(&site, "crm").await;
    let (mut browser, _) = mia(&site, &fake).await;
    let code = oauth::code(&mut browser, &[]).await;
    let answer = oauth::redeem(&site, &crm, &code, &[("redirect_uri", Some(CALLBACK))]).await;
    let hint = answer.json()["id_token"].as_str().expect("an ID token").to_owned();
    let landing = browser.open(&logout_url(&hint, GOODBYE, &[("state", &"x".repeat(3000))])).await;
    let state = said(&onward(&landing.answer), "state").expect("a state");
    assert_eq!(browser.open(&format!("{BACK}?state={state}")).await.url.path(), "/sign-out");
}
