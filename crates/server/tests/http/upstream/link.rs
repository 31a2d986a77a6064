//! Tying an identity to oneself on the account page, and undoing it: T54, T55.

use hallpass_store::upstreams;

use super::*;
use crate::support::{PASSWORD, SESSION};

async fn at_home(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    browser
}

/// Presses a button of the account page.
async fn press(browser: &mut Browser<'_>, action: &str, upstream: &str) -> Landing {
    let page = browser.open("/account").await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("upstream", upstream)];
    browser.submit(&page.url.join(action).expect("an address"), &fields).await
}

/// Leaves for the provider to bring an identity back.
async fn leave_to_link(browser: &mut Browser<'_>) -> Trip {
    let page = press(browser, "/account/upstreams/link", "fake").await;
    let (_, rest) = page.answer.body.split_once("content=\"0;url=").unwrap_or_else(|| panic!("{page:?}"));
    let there = rest.split_once('"').expect("it ends").0.replace("&#38;", "&");
    let of = |name| said(&there, name).expect("there");
    Trip { state: of("state"), nonce: of("nonce"), there }
}

async fn linked(site: &Site, user: &User) -> Vec<(String, String)> {
    upstreams::of_user(&mut site.store().read().await.expect("reads"), &user.id).await.expect("reads")
}

#[tokio::test]
async fn who_is_here_and_has_just_shown_it_may_connect_an_account() {
    let (site, fake) = with_fake(|config| config.create_users = false).await;
    let mut browser = at_home(&site).await;
    let session = session_of(&site, &browser).await.expect("a session");
    let page = browser.open("/account").await;
    assert!(page.answer.shows("link") && !page.answer.shows("linked"), "{page:?}");
    let left = leave_to_link(&mut browser).await;
    fake.gives(&fake.claims(&left.nonce));
    let landing = browser.open(&callback("fake", "c1", &left.state)).await;
    assert!(landing.answer.shows("linked") && landing.answer.shows("unlink"), "{landing:?}");
    assert_eq!(session_of(&site, &browser).await.expect("a session").id, session.id, "nobody has signed in");
    assert_eq!(linked(&site, &site.ana).await, [(fake.issuer.clone(), "mia-there".to_owned())]);
    // From now on that account is ana, whatever it calls itself.
    let mut elsewhere = Browser::new(&site);
    trip(&mut elsewhere, &fake, |_| ()).await;
    let found = person_of(&site, &elsewhere).await.expect("signed in");
    assert_eq!((found.id, &found.display_name, &found.email), (site.ana.id, &site.ana.display_name, &site.ana.email));
    // And not any more.
    let landing = press(&mut browser, "/account/upstreams/unlink", "fake").await;
    assert!(landing.answer.shows("link") && !landing.answer.shows("linked"), "{landing:?}");
    assert!(linked(&site, &site.ana).await.is_empty());
    let mut elsewhere = Browser::new(&site);
    let landing = trip(&mut elsewhere, &fake, |_| ()).await;
    assert_refused(&site, &elsewhere, &landing, "upstream_no_user").await;
    assert_eq!(
        (reasons(&site, "upstream_linked").await.len(), reasons(&site, "upstream_unlinked").await.len()),
        (1, 1)
    );
}

/// T55
#[tokio::test]
async fn a_proof_of_five_minutes_ago_is_too_old() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = at_home(&site).await;
    site.wait(300);
    let page = browser.open("/account").await;
    assert!(page.answer.shows("prove") && !page.answer.shows("link"), "{page:?}");
    for action in ["/account/upstreams/link", "/account/upstreams/unlink"] {
        let landing = press(&mut browser, action, "fake").await;
        assert_eq!(landing.url.query(), Some("done=stale"), "{action}");
    }
    assert_eq!(fake.asked("discovery"), 0);
    // Without the token of the page, or for what there is not.
    let fields = [("csrf_token", "x"), ("upstream", "fake")];
    let mut fresh = at_home(&site).await;
    let there = page.url.join("/account/upstreams/link").expect("an address");
    assert_eq!(fresh.submit(&there, &fields).await.answer.status, 403);
    assert_eq!(press(&mut fresh, "/account/upstreams/link", "other").await.answer.status, 404);
    assert_eq!(press(&mut fresh, "/account/upstreams/unlink", "fake").await.answer.status, 404);
}

/// T54: what comes back is tied to the session in which it was asked for.
#[tokio::test]
async fn another_session_gets_nothing_of_it() {
    let (site, fake) = with_fake(|_| ()).await;
    let ben = site.user("ben").await;
    let mut browser = at_home(&site).await;
    let left = leave_to_link(&mut browser).await;
    fake.gives(&fake.claims(&left.nonce));
    browser.sign_in("/sign-in", "ben", PASSWORD).await;
    let landing = browser.open(&callback("fake", "c1", &left.state)).await;
    assert_eq!(landing.answer.status, 403, "{landing:?}");
    // Signed out meanwhile.
    let mut browser = at_home(&site).await;
    let left = leave_to_link(&mut browser).await;
    fake.gives(&fake.claims(&left.nonce));
    let session = session_of(&site, &browser).await.expect("a session");
    site.end(&session).await;
    let landing = browser.open(&callback("fake", "c2", &left.state)).await;
    assert_eq!(landing.answer.status, 403, "{landing:?}");
    // Somebody else is here, and the session in which it was asked for lives on elsewhere.
    let mut browser = at_home(&site).await;
    let left = leave_to_link(&mut browser).await;
    fake.gives(&fake.claims(&left.nonce));
    let other = site.signed_in(&ben).await;
    browser.toss(HOME, &format!("{SESSION}={}; Path=/; Secure", other.cookie));
    let landing = browser.open(&callback("fake", "c3", &left.state)).await;
    assert_eq!(landing.answer.status, 403, "{landing:?}");
    for user in [&site.ana, &ben] {
        assert!(linked(&site, user).await.is_empty());
    }
    assert_eq!(reasons(&site, "sign_in_refused").await, ["upstream_session_not_fresh"; 3]);
}

#[tokio::test]
async fn an_account_is_one_person_and_a_person_one_account() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut mia = Browser::new(&site);
    trip(&mut mia, &fake, |_| ()).await;
    let mut browser = at_home(&site).await;
    let left = leave_to_link(&mut browser).await;
    fake.gives(&fake.claims(&left.nonce));
    let landing = browser.open(&callback("fake", "c1", &left.state)).await;
    assert_eq!(landing.answer.status, 403, "somebody else's: {landing:?}");
    assert_eq!(reasons(&site, "sign_in_refused").await, ["upstream_identity_taken"]);
    assert!(linked(&site, &site.ana).await.is_empty());
    // Whoever has no password here keeps their only way in.
    let landing = press(&mut mia, "/account/upstreams/unlink", "fake").await;
    assert_eq!(landing.url.query(), Some("done=only"));
    assert_eq!(linked(&site, &person_of(&site, &mia).await.expect("there")).await.len(), 1);
    // A link is no sign-in: the cookie is what it was.
    assert!(browser.cookie(HOME, SESSION).is_some());
    assert_eq!(person_of(&site, &browser).await.expect("there").id, site.ana.id);
}
