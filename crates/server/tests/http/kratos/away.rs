//! Kratos away: nobody new, whoever is signed in for the grace, everybody else as if nothing were.

use hallpass_server::upstream::recheck::recheck;
use hallpass_store::upstreams;

use super::fake::Fault;
use super::*;
use crate::support::{Ask, PASS, PASSWORD};

/// Every way of not answering. Only the first is waited for: two seconds each.
fn faults() -> [Fault; 6] {
    [
        Fault::Silent,
        Fault::Status(500),
        Fault::Status(302),
        Fault::Says("<html>It works!</html>".to_owned()),
        Fault::Says("x".repeat(70_000)),
        Fault::Cut,
    ]
}

#[tokio::test]
async fn nobody_new_signs_in_by_way_of_it_and_everybody_else_does() {
    for fault in faults() {
        let (site, kratos) = company(|_| ()).await;
        let mia = mia(&kratos);
        let mut browser = Browser::new(&site);
        let way = browser.open(&format!("{START}?app=wiki")).await.url;
        let back = at_kratos(&mut browser, &kratos, &mia, &way).await;
        kratos.break_public(fault.clone());
        let answer = browser.open(&back).await.answer;
        assert_eq!(answer.status, 503, "{fault:?}: {answer:?}");
        assert!(answer.header("retry-after").is_some() && answer.set_cookie(SESSION).is_none());
        assert!(answer.body.contains("/sign-in?app=wiki&#38;local=1"), "{fault:?}: {answer:?}");
        assert_eq!(browser.cookie(HOME, SESSION), None);
        assert!(reasons(&site, "sign_in_refused").await.is_empty(), "{fault:?}: that is nobody's refusal");
        let mut own = Browser::new(&site);
        assert_eq!(own.sign_in("/sign-in", "ana", PASSWORD).await.url.path(), "/", "{fault:?}");
        kratos.break_public(Fault::Nothing);
        site.wait(2);
        let (url, _) = open(&mut browser, &kratos, &mia, &format!("{START}?app=wiki")).await;
        assert_eq!(url.as_str(), "https://wiki.company.com/", "{fault:?}: back by itself");
    }
}

/// A browser is not sent to something that does not answer.
#[tokio::test]
async fn the_way_there_is_closed_while_it_says_that_it_is_not_ready() {
    let (site, kratos) = company(|config| config.primary = true).await;
    kratos.break_public(Fault::Status(503));
    let mut browser = Browser::new(&site);
    let landing = browser.open("/sign-in?app=wiki").await;
    assert_eq!((landing.url.path(), landing.answer.status), (START, 503), "{landing:?}");
    assert!(landing.answer.body.contains("Other ways to sign in"), "{landing:?}");
    assert_eq!(
        browser.sign_in("/sign-in?app=wiki&local=1", "ana", PASSWORD).await.url.as_str(),
        "https://wiki.company.com/"
    );
    for _ in 0..5 {
        assert_eq!(site.send(Ask::get(START)).await.status, 503);
    }
    assert_eq!(kratos.heard().len(), 1, "nobody waits for it one after the other");
    site.wait(2);
    // A gateway that keeps the question to itself says nothing about Kratos.
    kratos.break_public(Fault::Status(404));
    let landing = Browser::new(&site).open("/sign-in?app=wiki").await;
    assert_eq!(landing.url.host_str(), Some("login.company.com"), "{landing:?}");
}

#[tokio::test]
async fn whoever_is_signed_in_stays_so_for_the_grace_and_no_longer() {
    for fault in faults() {
        let (site, kratos) = company(|_| ()).await;
        let mut browser = signed_in(&site, &kratos, &mia(&kratos)).await;
        browser.open("/continue?app=wiki").await;
        let pass = browser.cookie("https://wiki.company.com/", PASS).expect("a pass");
        let session = session_of(&site, &browser).await.expect("a session");
        let footing = async || {
            let footing = upstreams::footing(&mut site.store().read().await.expect("reads"), &session.id).await;
            footing.expect("reads").expect("there")
        };
        let checked = footing().await.checked_at;
        kratos.break_public(fault.clone());
        site.wait(300);
        recheck(site.engine.context.clone()).await.expect("looks");
        until("the first failure", async || footing().await.failing_since.is_some()).await;
        assert_eq!(footing().await.checked_at, checked);
        site.wait(15 * 60 - 301);
        recheck(site.engine.context.clone()).await.expect("looks");
        until("another failure", async || footing().await.due_at > site.now()).await;
        assert!(site.is_active(&site.wiki, &pass).await, "{fault:?}: a second before the end of the grace");
        assert_eq!(end_of(&site, &session.id).await, None);
        site.wait(1);
        recheck(site.engine.context.clone()).await.expect("looks");
        until("the end", async || end_of(&site, &session.id).await == Some("upstream_away")).await;
        assert!(!site.is_active(&site.wiki, &pass).await, "{fault:?}");
    }
}

#[tokio::test]
async fn when_it_is_back_in_time_nothing_has_happened() {
    let (site, kratos) = company(|_| ()).await;
    let browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session");
    let footing = async || {
        let footing = upstreams::footing(&mut site.store().read().await.expect("reads"), &session.id).await;
        footing.expect("reads").expect("there")
    };
    kratos.break_public(Fault::Status(502));
    site.wait(300);
    recheck(site.engine.context.clone()).await.expect("looks");
    until("a failure", async || footing().await.failing_since.is_some()).await;
    kratos.break_public(Fault::Nothing);
    site.wait(30);
    recheck(site.engine.context.clone()).await.expect("looks");
    until("well again", async || footing().await.failing_since.is_none()).await;
    assert_eq!(footing().await.checked_at, site.now());
    site.wait(14 * 60);
    assert_eq!(end_of(&site, &session.id).await, None);
}

/// A page does not wait for it each time, and does not outlive the grace either.
#[tokio::test]
async fn a_refresh_goes_on_for_the_grace_without_asking_each_time() {
    let (site, kratos) = company(|_| ()).await;
    let mut browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session");
    kratos.break_public(Fault::Status(500));
    site.wait(60);
    kratos.heard();
    for _ in 0..5 {
        assert_eq!(browser.open("/continue?app=wiki").await.url.as_str(), "https://wiki.company.com/");
    }
    assert_eq!(kratos.heard().len(), 1, "once in half a minute");
    site.wait(14 * 60);
    let landing = browser.open("/continue?app=wiki").await;
    assert_eq!(landing.url.path(), "/sign-in", "{landing:?}");
    assert_eq!(end_of(&site, &session.id).await, Some("upstream_away"));
}

/// That it does not answer is found out once, not for each of a thousand sessions.
#[tokio::test]
async fn many_sessions_do_not_wait_for_it_one_after_the_other() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut sessions = Vec::new();
    for _ in 0..60 {
        let browser = signed_in(&site, &kratos, &mia).await;
        sessions.push(session_of(&site, &browser).await.expect("a session").id);
    }
    kratos.break_public(Fault::Status(500));
    site.wait(15 * 60);
    kratos.heard();
    recheck(site.engine.context.clone()).await.expect("looks");
    for id in &sessions {
        until("the end", async || end_of(&site, id).await == Some("upstream_away")).await;
    }
    let asked = kratos.heard().len();
    assert!((1..=24).contains(&asked), "{asked} questions for 60 sessions");
}

/// Signing in here must not depend on whether Kratos hangs.
#[tokio::test]
async fn a_token_that_cannot_be_checked_is_neither_right_nor_wrong() {
    let (site, kratos) = company(|_| ()).await;
    let desk =
        site.app("desk", |app| (app.relayed_sign_in, app.access) = (true, hallpass_core::app::Access::Everyone)).await;
    let there = kratos.session(&mia(&kratos));
    kratos.break_public(Fault::Status(500));
    let body = serde_json::json!({ "session_token": there.token, "client_ip": "198.51.100.9" });
    let answer = site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&body)).await;
    assert_eq!(answer.status, 503, "{answer:?}");
}
