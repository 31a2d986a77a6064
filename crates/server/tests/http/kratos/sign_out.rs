//! Whoever signs out here is signed out there too: also when Kratos is away at first, and never by Kratos' own doing.

use std::sync::Arc;

use hallpass_core::logout::Told;
use hallpass_server::upstream::sign_out::deliver;
use hallpass_store::{sessions, upstream_logouts, users};

use super::fake::Fault;
use super::*;
use crate::support::postgres;

async fn sign_out(browser: &mut Browser<'_>) {
    let page = browser.open("/sign-out").await;
    let landing = browser.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await;
    assert!(landing.answer.shows("signed-out"), "{landing:?}");
}

async fn told(site: &Site, id: &SessionId) -> Option<Told> {
    let mut read = site.store().read().await.expect("reads");
    upstream_logouts::of_session(&mut read, id).await.expect("reads").map(|logout| logout.told)
}

#[tokio::test]
async fn signing_out_here_ends_the_session_there() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = signed_in(&site, &kratos, &mia).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    let there = kratos.sessions()[0].id.clone();
    assert!(kratos.is_live(&there));
    sign_out(&mut browser).await;
    deliver(site.engine.context.clone()).await.expect("delivers");
    until("told", async || told(&site, &session).await == Some(Told::SignedOut)).await;
    assert!(!kratos.is_live(&there));
    // The next one at this browser is asked who they are.
    let way = browser.open(START).await.url;
    let back = at_kratos(&mut browser, &kratos, &mia, &way).await;
    assert_eq!(browser.open(&back).await.url.path(), "/");
    assert_eq!(kratos.sessions().len(), 2);
}

/// Every way in which somebody here ends a session.
#[tokio::test]
async fn so_does_whatever_else_ends_it_here() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    for way in ["everywhere", "administrator", "disabled", "removed"] {
        let mut browser = signed_in(&site, &kratos, &mia).await;
        let session = session_of(&site, &browser).await.expect("a session");
        match way {
            "everywhere" => {
                let page = browser.open("/account").await;
                let token = page.answer.csrf_token().to_owned();
                let there = page.url.join("/account/sign-out-everywhere").expect("an address");
                browser.submit(&there, &[("csrf_token", &token)]).await;
            }
            "administrator" => site.end(&session).await,
            other => {
                let mut write = site.store().write().await.expect("writes");
                let user = &session.user_id;
                if other == "disabled" {
                    assert!(users::set_disabled(&mut write, user, true, site.now()).await.expect("writes"));
                    assert!(users::set_disabled(&mut write, user, false, site.now()).await.expect("writes"));
                } else {
                    assert!(users::remove(&mut write, user, site.now()).await.expect("writes"));
                }
                write.commit().await.expect("commits");
            }
        }
        deliver(site.engine.context.clone()).await.expect("delivers");
        until(way, async || told(&site, &session.id).await == Some(Told::SignedOut)).await;
        assert!(kratos.sessions().iter().all(|there| !there.active), "{way}");
    }
}

#[tokio::test]
async fn kratos_away_is_told_when_it_is_back() {
    for fault in [Fault::Status(500), Fault::Cut, Fault::Status(401)] {
        let (site, kratos) = company(|_| ()).await;
        let mut browser = signed_in(&site, &kratos, &mia(&kratos)).await;
        let session = session_of(&site, &browser).await.expect("a session").id;
        let there = kratos.sessions()[0].id.clone();
        let attempts = async || {
            let mut read = site.store().read().await.expect("reads");
            upstream_logouts::of_session(&mut read, &session).await.expect("reads").map_or(0, |logout| logout.attempts)
        };
        kratos.break_admin(fault.clone());
        sign_out(&mut browser).await;
        deliver(site.engine.context.clone()).await.expect("delivers");
        until("an attempt", async || attempts().await == 1).await;
        // Nobody comes in again on what is about to end, although Kratos still says that it is live.
        let way = browser.open(START).await.url;
        let back = way.query_pairs().find(|(name, _)| name == "return_to").expect("the way back").1.into_owned();
        assert_eq!(browser.open(&back).await.answer.status, 403);
        assert_eq!(reasons(&site, "sign_in_refused").await[0], "upstream_session_ending");
        kratos.break_admin(Fault::Nothing);
        // A claim that was lost comes up again as well; no wait is longer than this.
        site.wait(60);
        deliver(site.engine.context.clone()).await.expect("delivers");
        until("told", async || told(&site, &session).await == Some(Told::SignedOut)).await;
        assert!(!kratos.is_live(&there), "{fault:?}");
    }
}

#[tokio::test]
async fn after_a_day_it_is_a_matter_for_people() {
    let (site, kratos) = company(|_| ()).await;
    let mut browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    kratos.break_admin(Fault::Status(500));
    sign_out(&mut browser).await;
    until("given up", async || {
        deliver(site.engine.context.clone()).await.expect("delivers");
        site.wait(15 * 60);
        told(&site, &session).await == Some(Told::Unreachable)
    })
    .await;
    assert_eq!(reasons(&site, "upstream_sign_out_undelivered").await, ["unreachable"]);
}

/// What is gone there has ended.
#[tokio::test]
async fn a_session_that_is_not_there_any_more_has_ended() {
    let (site, kratos) = company(|_| ()).await;
    let mut browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    kratos.change_session(&kratos.sessions()[0].id, |there| there.active = false);
    sign_out(&mut browser).await;
    deliver(site.engine.context.clone()).await.expect("delivers");
    until("told", async || told(&site, &session).await == Some(Told::SignedOut)).await;
}

#[tokio::test]
async fn what_kratos_ended_itself_it_is_not_told_of() {
    let (site, kratos) = company(|_| ()).await;
    let mut browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    kratos.change_session(&kratos.sessions()[0].id, |there| there.active = false);
    site.wait(31);
    browser.open("/continue").await;
    assert_eq!(end_of(&site, &session).await, Some("upstream_ended"));
    assert_eq!(told(&site, &session).await, None);
}

/// Signing in again in the same browser goes on with the same session there; somebody else's sign-in ends it.
#[tokio::test]
async fn a_session_that_is_replaced_ends_there_unless_it_is_the_same_one() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = signed_in(&site, &kratos, &mia).await;
    let first = session_of(&site, &browser).await.expect("a session").id;
    let there = kratos.sessions()[0].id.clone();
    // Signed in anew, at Kratos by its own means: the same session there.
    let now = site.now().as_millis();
    kratos.change_session(&there, |there| there.authenticated_at = now);
    let way = browser.open(&format!("{START}?again=1")).await.url;
    let back = way.query_pairs().find(|(name, _)| name == "return_to").expect("the way back").1.into_owned();
    assert_eq!(browser.open(&back).await.url.path(), "/");
    let second = session_of(&site, &browser).await.expect("a session").id;
    assert_ne!(first, second);
    assert_eq!((end_of(&site, &first).await, told(&site, &first).await), (Some("replaced"), None));
    assert!(kratos.is_live(&there));
    // Somebody else signs in here, with a password of this site.
    browser.sign_in("/sign-in", "ana", crate::support::PASSWORD).await;
    assert_eq!(end_of(&site, &second).await, Some("replaced"));
    deliver(site.engine.context.clone()).await.expect("delivers");
    until("told", async || told(&site, &second).await == Some(Told::SignedOut)).await;
    assert!(!kratos.is_live(&there), "or whoever comes next would be Mia");
}

#[tokio::test]
async fn without_an_admin_address_the_session_there_lives_on() {
    let (site, kratos) = company(|config| config.admin_url = None).await;
    let mia = mia(&kratos);
    let mut browser = signed_in(&site, &kratos, &mia).await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    sign_out(&mut browser).await;
    assert_eq!(told(&site, &session).await, None);
    let (url, _) = open(&mut browser, &kratos, &mia, START).await;
    assert_eq!(url.path(), "/", "and signs them in again without a form");
    assert_eq!(kratos.sessions().len(), 1);
}

/// A node that cannot reach Kratos, or is gone, leaves what it noted to the others.
#[tokio::test]
async fn another_node_ends_there_what_was_ended_at_this_one() {
    let kratos = Fake::start("127.0.0.1:0", "127.0.0.1:0", "company.com", HOME).await;
    let (url, name) = postgres::create().await;
    let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
    let settings = |admin: &str| {
        let mut settings = KratosConfig::at(kratos.public_url.parse().expect("an address"));
        settings.browser_url = Some(LOGIN.parse().expect("an address"));
        settings.admin_url = Some(admin.parse().expect("an address"));
        Some(settings)
    };
    let cut_off = settings("http://127.0.0.1:1");
    let one = Site::node_with(&url, &directory, None, |config| config.kratos = cut_off).await;
    let context = one.engine.context.clone();
    kratos.keep_time(move || context.now().as_millis());
    let mut browser = signed_in(&one, &kratos, &mia(&kratos)).await;
    let session = session_of(&one, &browser).await.expect("a session").id;
    let there = kratos.sessions()[0].id.clone();
    sign_out(&mut browser).await;
    deliver(one.engine.context.clone()).await.expect("delivers");
    until("an attempt", async || {
        let mut read = one.store().read().await.expect("reads");
        let noted = upstream_logouts::of_session(&mut read, &session).await.expect("reads");
        noted.is_some_and(|noted| noted.attempts > 0)
    })
    .await;
    assert!(kratos.is_live(&there));
    let reaches = settings(&kratos.admin_url);
    let two = Site::node_with(&url, &directory, Some(&one), |config| config.kratos = reaches).await;
    drop(browser);
    one.engine.stop().await;
    // Whatever the first one had in its hands has come back by then.
    two.wait(60);
    deliver(two.engine.context.clone()).await.expect("delivers");
    until("told", async || told(&two, &session).await == Some(Told::SignedOut)).await;
    assert!(!kratos.is_live(&there));
    two.engine.stop().await;
    postgres::drop(&name).await;
}

/// The end of a session and what is to be told of it are one transaction; the job finds it by itself.
#[tokio::test]
async fn what_ended_and_what_is_to_be_told_are_kept_together() {
    let (site, kratos) = company(|_| ()).await;
    let browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session");
    let mut write = site.store().write().await.expect("writes");
    let reason = hallpass_core::session::EndReason::SignedOut;
    assert!(sessions::end(&mut write, &session.id, reason, site.now()).await.expect("ends"));
    // Killed before the commit: as if nothing had been.
    drop(write);
    assert_eq!((end_of(&site, &session.id).await, told(&site, &session.id).await), (None, None));
    let mut write = site.store().write().await.expect("writes");
    assert!(sessions::end(&mut write, &session.id, reason, site.now()).await.expect("ends"));
    write.commit().await.expect("commits");
    until("told", async || told(&site, &session.id).await == Some(Told::SignedOut)).await;
}
