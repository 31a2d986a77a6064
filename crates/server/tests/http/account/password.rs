//! `/account/password`: the old one to change it, a good new one, and everybody else is out. Protocol §17; T46, T48.

use crate::support::{Answer, Ask, Browser, HOME, PASSWORD, SESSION, SignedIn, Site};

const NEW: &str = "eleven blue herons by the weir";

async fn change(site: &Site, cookie: &str, query: &str, fields: &[(&str, &str)]) -> Answer {
    let path = format!("/account/password{query}");
    let page = site.send(Ask::get(&*path).cookie(SESSION, cookie)).await;
    let fields = [fields, &[("csrf_token", page.csrf_token())]].concat();
    site.send(Ask::post(path).same_origin().cookie(SESSION, cookie).form(&fields)).await
}

fn fields<'a>(current: &'a str, new: &'a str) -> [(&'static str, &'a str); 3] {
    [("current_password", current), ("new_password", new), ("new_password_again", new)]
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_the_field() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let long = "x y".repeat(400);
    let cases = [
        (fields("not hers", NEW), "current-error", "not your current password"),
        (fields(PASSWORD, "short"), "new-error", "at least 15 characters"),
        (fields(PASSWORD, "fourteen chars"), "new-error", "at least 15 characters"),
        (fields(PASSWORD, ""), "new-error", "Type a password"),
        (fields(PASSWORD, &long), "new-error", "too long"),
        (fields(PASSWORD, "aaaaaaaaaaaaaaaaaaaa"), "new-error", "easy to guess"),
        (fields(PASSWORD, PASSWORD), "new-error", "the password you have now"),
        (
            [("current_password", PASSWORD), ("new_password", NEW), ("new_password_again", "another")],
            "again-error",
            "do not match",
        ),
    ];
    for (fields, place, words) in cases {
        let answer = change(&site, &ana.cookie, "", &fields).await;
        assert_eq!(answer.status, 422, "{fields:?}");
        assert!(answer.shows(place) && answer.body.contains(words), "{fields:?}: {}", answer.body);
        assert!(!answer.body.contains(PASSWORD) && !answer.body.contains(NEW), "no password comes back");
        assert_eq!(answer.set_cookie(SESSION), None);
    }
    assert!(site.is_active(&site.pos, &ana.pass).await);
    assert_eq!(Browser::new(&site).sign_in("/sign-in", "ana", PASSWORD).await.url.path(), "/", "nothing was changed");
}

#[tokio::test]
async fn the_user_name_is_no_part_of_a_password() {
    let site = Site::start().await;
    let user = site.user("augustine").await;
    let user = site.signed_in(&user).await;
    let answer = change(&site, &user.cookie, "", &fields(PASSWORD, "AUGUSTINE and some more words")).await;
    assert!(answer.body.contains("must not contain your user name"));
}

#[tokio::test]
async fn a_change_puts_everybody_else_out() {
    let site = Site::start().await;
    let (here, there) = (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await);
    let there_token = site.send(Ask::get("/account").cookie(SESSION, &there.cookie)).await.csrf_token().to_owned();
    let done = change(&site, &here.cookie, "", &fields(PASSWORD, NEW)).await;
    assert_eq!((done.status, done.location()), (303, "/account?done=password"));
    let renewed = done.cookie(SESSION);
    assert_ne!(renewed, here.cookie);
    let opens = async |cookie: &str| site.send(Ask::get("/account").cookie(SESSION, cookie)).await.status == 200;
    assert_eq!((opens(renewed).await, opens(&here.cookie).await, opens(&there.cookie).await), (true, false, false));
    assert!(!site.is_active(&site.pos, &there.pass).await, "every captured pass of another session is dead");
    assert!(site.is_active(&site.pos, &here.pass).await, "this browser goes on");
    for path in ["/sign-out", "/account/password"] {
        let form = Ask::post(path).same_origin().cookie(SESSION, &there.cookie).form(&[("csrf_token", &there_token)]);
        assert_eq!(site.send(form).await.location(), "/sign-in", "{path}");
    }
    let sign_in = async |password| Browser::new(&site).sign_in("/sign-in", "ana", password).await.answer.status;
    assert_eq!((sign_in(PASSWORD).await, sign_in(NEW).await), (422, 200));
}

#[tokio::test]
async fn the_form_needs_its_token() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let again = site.signed_in(&site.ana).await;
    let others = site.send(Ask::get("/account/password").cookie(SESSION, &again.cookie)).await;
    for token in ["", "x", others.csrf_token()] {
        let fields = [&fields(PASSWORD, NEW)[..], &[("csrf_token", token)]].concat();
        let answer =
            site.send(Ask::post("/account/password").same_origin().cookie(SESSION, &ana.cookie).form(&fields)).await;
        assert_eq!(answer.status, 403, "{token}");
    }
}

/// The current password is asked for and throttled here as anywhere: a borrowed browser is no place to guess it.
#[tokio::test]
async fn guessing_the_current_password_is_throttled() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for _ in 0..10 {
        assert_eq!(change(&site, &ana.cookie, "", &fields("guess", NEW)).await.status, 422);
    }
    let answer = change(&site, &ana.cookie, "", &fields(PASSWORD, NEW)).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    let without = [("new_password", NEW), ("new_password_again", NEW)];
    site.wait(3600);
    let ana = site.signed_in(&site.ana).await;
    assert_eq!(change(&site, &ana.cookie, "", &without).await.status, 422, "leaving it out is no way around it");
}

#[tokio::test]
async fn a_password_that_must_be_replaced_is_replaced_on_the_way_to_the_app() {
    let site = Site::start().await;
    site.must_change_password(&site.ana).await;
    let mut browser = Browser::new(&site);
    let landing = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    assert_eq!(landing.url.path(), "/account/password");
    assert!(!landing.answer.body.contains("name=\"current_password\""), "it was typed a moment ago");
    let token = landing.answer.csrf_token().to_owned();
    let same = [("csrf_token", &*token), ("new_password", PASSWORD), ("new_password_again", PASSWORD)];
    let refused = browser.submit(&landing.action(), &same).await;
    assert!(refused.answer.shows("new-error"), "the old one again is no change");
    let before = browser.cookie(HOME, SESSION).expect("a session");
    let fields = [("csrf_token", &*token), ("new_password", NEW), ("new_password_again", NEW)];
    let arrived = browser.submit(&refused.action(), &fields).await;
    assert_eq!(arrived.url.as_str(), "https://pos.company.com/");
    assert_ne!(browser.cookie(HOME, SESSION), Some(before), "the secret is renewed");
    let pass = browser.cookie("https://pos.company.com/", crate::support::PASS).expect("a pass");
    assert!(site.is_active(&site.pos, &pass).await);
}

/// Whoever finds an open browser must not be able to take over the account because an administrator has asked for a new password.
#[tokio::test]
async fn a_forced_change_in_an_old_session_asks_for_the_current_password() {
    let site = Site::start().await;
    let ana: SignedIn = site.signed_in(&site.ana).await;
    site.wait(3000);
    site.must_change_password(&site.ana).await;
    let page = site.send(Ask::get("/account/password?app=pos").cookie(SESSION, &ana.cookie)).await;
    assert!(page.body.contains("name=\"current_password\""));
    let without = [("new_password", NEW), ("new_password_again", NEW)];
    let refused = change(&site, &ana.cookie, "?app=pos", &without).await;
    assert_eq!((refused.status, refused.shows("current-error")), (422, true));
    let done = change(&site, &ana.cookie, "?app=pos", &fields(PASSWORD, NEW)).await;
    assert_eq!((done.status, done.location()), (303, "/continue?app=pos"));
}
