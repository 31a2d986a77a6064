//! `/continue`: what comes after signing in is decided by what is stored, not by what is asked for. Protocol §6.3.

use hallpass_core::app::Access;

use crate::support::{Ask, HOME, PASS, SESSION, Site};

#[tokio::test]
async fn nobody_is_sent_to_sign_in() {
    let site = Site::start().await;
    let answer = site.send(Ask::get("/continue?app=pos")).await;
    assert_eq!((answer.status, answer.location(), answer.set_cookie(PASS)), (303, "/sign-in", None));
}

#[tokio::test]
async fn somebody_with_access_gets_a_pass_and_goes_on() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for (query, location) in [
        ("", "/"),
        ("?app=pos", "https://pos.company.com/"),
        ("?app=wiki&return_to=https%3A%2F%2Fwiki-2.company.com%2Fp%3Fq", "https://wiki-2.company.com/p?q"),
    ] {
        let answer = site.send(Ask::get(format!("/continue{query}")).cookie(SESSION, &ana.cookie)).await;
        assert_eq!((answer.status, answer.location()), (303, location), "{query}");
        assert!(site.is_active(&site.pos, answer.cookie(PASS)).await);
    }
}

/// Sent back without access, the app would send them here again, for ever.
#[tokio::test]
async fn somebody_without_access_is_told_so() {
    let site = Site::start().await;
    let bob = site.user("bob").await;
    let bob = site.signed_in(&bob).await;
    let answer = site.send(Ask::get("/continue?app=pos").cookie(SESSION, &bob.cookie)).await;
    assert_eq!((answer.status, answer.header("location"), answer.set_cookie(PASS)), (403, None, None));
    assert!(answer.body.contains("no access to this application"));
    // A new pass would be refused like the old one: whoever comes for one is told here, too, and not sent round.
    let refresh = "/pass/refresh?app=pos&return_to=https%3A%2F%2Fpos.company.com%2F";
    let answer = site.send(Ask::get(refresh).cookie(SESSION, &bob.cookie)).await;
    assert_eq!((answer.status, answer.set_cookie(PASS)), (303, None));
    assert!(answer.location().starts_with("/continue?app=pos&"), "{answer:?}");
    site.app("pos-open", |app| app.access = Access::Everyone).await;
    assert_eq!(site.send(Ask::get("/continue?app=pos-open").cookie(SESSION, &bob.cookie)).await.status, 303);
}

/// T69: no step is skipped by asking for a later one.
#[tokio::test]
async fn a_password_that_must_be_replaced_comes_first_everywhere() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.must_change_password(&site.ana).await;
    let query = "?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Fx";
    let answer = site.send(Ask::get(format!("/continue{query}")).cookie(SESSION, &ana.cookie)).await;
    assert_eq!((answer.location(), answer.set_cookie(PASS)), (&*format!("/account/password{query}"), None));
    let answer = site.send(Ask::get(format!("/pass/refresh{query}")).cookie(SESSION, &ana.cookie)).await;
    assert_eq!((answer.location(), answer.set_cookie(PASS)), (&*format!("/continue{query}"), None));
    let fetch = Ask::post("/pass/refresh").header("origin", "https://pos.company.com").cookie(SESSION, &ana.cookie);
    let answer = site.send(fetch).await;
    assert_eq!((answer.status, answer.set_cookie(PASS)), (401, None));
    let answer = site.send(Ask::get("/").cookie(SESSION, &ana.cookie)).await;
    assert_eq!(answer.location(), "/continue");
    assert!(!answer.location().starts_with(HOME));
    assert!(!site.is_active(&site.pos, &ana.pass).await);
}
