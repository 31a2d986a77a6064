//! What does not sign anybody in, each for its own reason.

use hallpass_store::users;
use serde_json::json;

use super::*;
use crate::support::{Answer, Ask};

/// The way back that Kratos was told, for a browser that has just begun.
async fn begun(browser: &mut Browser<'_>) -> String {
    let way = browser.open(START).await.url;
    way.query_pairs().find(|(name, _)| name == "return_to").expect("the way back").1.into_owned()
}

fn give(browser: &mut Browser<'_>, cookie: &str) {
    browser.toss(LOGIN, &format!("{}={cookie}; Domain=company.com; Path=/", fake::COOKIE));
}

/// Comes back with the cookie of this session there; the page, and the reason in the log.
async fn back_with(site: &Site, kratos: &Fake, session: &fake::Session) -> (Answer, String) {
    let mut browser = Browser::new(site);
    let back = begun(&mut browser).await;
    give(&mut browser, &session.cookie);
    let mut landing = browser.open(&back).await;
    if landing.url.host_str() == Some("login.company.com") {
        // Sent back for a second factor that there is none of.
        let back =
            landing.url.query_pairs().find(|(name, _)| name == "return_to").expect("the way back").1.into_owned();
        landing = browser.open(&back).await;
    }
    assert_eq!(browser.cookie(HOME, SESSION), None, "{landing:?}");
    assert!(!browser.carried(HOME).contains("hallpass-up-"), "the transaction is over in any case");
    kratos.heard();
    (landing.answer, reasons(site, "sign_in_refused").await.first().cloned().unwrap_or_default())
}

#[tokio::test]
async fn without_a_transaction_of_this_browser_kratos_is_not_even_asked() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let there = kratos.session(&mia);
    let mut mallory = Browser::new(&site);
    let back_of_mallory = begun(&mut mallory).await;
    kratos.heard();
    let mut victim = Browser::new(&site);
    give(&mut victim, &there.cookie);
    let refused = async |victim: &mut Browser<'_>, url: &str, reason: &str| {
        let answer = victim.open(url).await.answer;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{url}: {answer:?}");
        assert!(answer.body.contains("Start again"), "{answer:?}");
        assert_eq!(reasons(&site, "sign_in_refused").await[0], reason, "{url}");
        assert_eq!(kratos.heard().len(), 0, "{url}");
    };
    for url in [
        "/upstream/kratos/callback",
        "/upstream/kratos/callback?state=",
        "/upstream/kratos/callback?state=x",
        "/upstream/kratos/callback?state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &back_of_mallory,
    ] {
        refused(&mut victim, url, "upstream_no_transaction").await;
    }
    // With somebody else's cookie under the right name it does not open either.
    let own = begun(&mut victim).await;
    kratos.heard();
    let name = |browser: &Browser<'_>| {
        let carried = browser.carried(HOME);
        let pair = carried.split("; ").find(|pair| pair.contains("hallpass-up-")).expect("a transaction").to_owned();
        pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("a pair")
    };
    let ((name, _), (_, foreign)) = (name(&victim), name(&mallory));
    let path = own.strip_prefix(HOME).expect("at home");
    for cookies in [format!("{name}={foreign}"), format!("{name}={foreign}; {name}={foreign}")] {
        let ask = Ask::get(path).header("cookie", format!("{cookies}; {}={}", fake::COOKIE, there.cookie));
        let answer = site.send(ask).await;
        assert_eq!(answer.status, 403, "{cookies}: {answer:?}");
        assert!(answer.expires(&name) && answer.set_cookie(SESSION).is_none());
        assert_eq!(kratos.heard().len(), 0, "{cookies}");
    }
    // Begun half an hour ago.
    let old = begun(&mut mallory).await;
    site.wait(30 * 60);
    let answer = mallory.open(&old).await.answer;
    assert_eq!((answer.status, &*reasons(&site, "sign_in_refused").await[0]), (403, "upstream_transaction_expired"));
}

#[tokio::test]
async fn a_way_back_works_once() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = Browser::new(&site);
    let back = begun(&mut browser).await;
    give(&mut browser, &kratos.session(&mia).cookie);
    assert_eq!(browser.open(&back).await.url.path(), "/");
    let session = session_of(&site, &browser).await.expect("a session");
    assert_eq!(browser.open(&back).await.answer.status, 403);
    assert_eq!(session_of(&site, &browser).await.expect("still there").id, session.id);
}

#[tokio::test]
async fn only_a_window_gets_anywhere() {
    let (site, kratos) = company(|_| ()).await;
    let mut browser = Browser::new(&site);
    let back = begun(&mut browser).await;
    kratos.heard();
    for path in [START, back.strip_prefix(HOME).expect("at home")] {
        for (name, value) in
            [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "no-cors"), ("sec-purpose", "prefetch;prerender")]
        {
            let ask = Ask::get(path).header("cookie", browser.carried(HOME)).header(name, value);
            let answer = site.send(ask).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{path} {name}");
        }
    }
    assert_eq!(kratos.heard().len(), 0);
}

#[tokio::test]
async fn the_cookie_must_be_there_once_and_look_like_one() {
    let (site, kratos) = company(|_| ()).await;
    let there = kratos.session(&mia(&kratos));
    for (cookies, reason) in [
        (String::new(), "upstream_no_credential"),
        (format!("{0}={1}; {0}={1}", fake::COOKIE, there.cookie), "upstream_several_credentials"),
        (format!("{0}={1}; {0}=x", fake::COOKIE, there.cookie), "upstream_several_credentials"),
        (format!("{}=", fake::COOKIE), "upstream_malformed_credential"),
        (format!("{}=a b", fake::COOKIE), "upstream_malformed_credential"),
        (format!("{}=\"{}\"", fake::COOKIE, there.cookie), "upstream_malformed_credential"),
    ] {
        // The log is in order of time.
        site.wait(1);
        let mut browser = Browser::new(&site);
        let back = begun(&mut browser).await;
        kratos.heard();
        let ask = Ask::get(back.strip_prefix(HOME).expect("at home"));
        let answer = site.send(ask.header("cookie", format!("{}; {cookies}", browser.carried(HOME)))).await;
        assert_eq!(answer.status, 403, "{cookies}");
        assert!(answer.set_cookie(SESSION).is_none() && answer.body.contains("could not see"), "{answer:?}");
        assert_eq!(reasons(&site, "sign_in_refused").await[0], reason);
        assert_eq!(kratos.heard().len(), 0, "{cookies}: not passed on");
    }
}

#[tokio::test]
async fn what_kratos_says_must_be_good_enough() {
    type Change = fn(&Fake, &fake::Session);
    let table: [(&str, u64, Change); 5] = [
        ("upstream_not_signed_in", 0, |kratos, there| kratos.change_session(&there.id, |there| there.active = false)),
        ("upstream_not_signed_in", 25 * 3600, |_, _| ()),
        ("upstream_identity_inactive", 0, |kratos, there| {
            kratos.change_identity(&there.identity, |identity| identity.active = false);
        }),
        ("upstream_authenticated_in_future", 0, |kratos, there| {
            kratos.change_session(&there.id, |there| there.authenticated_at += 120_000);
        }),
        ("upstream_assurance_too_low", 0, |kratos, there| kratos.change_session(&there.id, |there| there.aal = "aal0")),
    ];
    for (reason, later, change) in table {
        let (site, kratos) = company(|_| ()).await;
        let there = kratos.session(&mia(&kratos));
        change(&kratos, &there);
        site.wait(later);
        let (answer, found) = back_with(&site, &kratos, &there).await;
        assert_eq!((answer.status, &*found), (403, reason), "{answer:?}");
    }
    // A 200 that says "inactive" or "expired" by itself.
    for (reason, member, value) in [
        ("upstream_session_inactive", "active", json!(false)),
        ("upstream_session_expired", "expires_at", json!("2026-01-01T00:00:00Z")),
    ] {
        let (site, kratos) = company(|_| ()).await;
        let there = kratos.session(&mia(&kratos));
        let mut browser = Browser::new(&site);
        let back = begun(&mut browser).await;
        let client = reqwest::Client::builder().build().expect("a client");
        let asked =
            client.get(format!("{}/sessions/whoami", kratos.public_url)).header("x-session-token", &there.token);
        let mut said: serde_json::Value = asked.send().await.expect("answers").json().await.expect("JSON");
        said[member] = value;
        kratos.break_public(fake::Fault::Says(said.to_string()));
        give(&mut browser, &there.cookie);
        assert_eq!(browser.open(&back).await.answer.status, 403);
        assert_eq!(reasons(&site, "sign_in_refused").await, [reason]);
    }
}

#[tokio::test]
async fn a_second_factor_that_there_is_none_of_is_asked_for_once() {
    let (site, kratos) = company(|config| config.minimum_aal = hallpass_core::session::Acr::Aal2).await;
    let there = kratos.session(&mia(&kratos));
    let (answer, reason) = back_with(&site, &kratos, &there).await;
    assert_eq!((answer.status, &*reason), (403, "upstream_assurance_too_low"));
    assert!(answer.body.contains("second factor"), "{answer:?}");
}

#[tokio::test]
async fn a_name_that_somebody_has_here_is_not_taken_over() {
    let (site, kratos) = company(|_| ()).await;
    let ana = kratos.identity(json!({ "username": "ANA", "email": "ana@elsewhere.example" }), |_| ());
    let (answer, reason) = back_with(&site, &kratos, &kratos.session(&ana)).await;
    assert_eq!((answer.status, &*reason), (403, "upstream_username_taken"));
    assert!(answer.body.contains("name is taken"), "{answer:?}");
    let mut read = site.store().read().await.expect("reads");
    assert_eq!(users::find(&mut read, &site.ana.id).await.expect("reads"), Some(site.ana.clone()), "untouched");
}

#[tokio::test]
async fn where_it_is_allowed_the_user_of_that_name_is_linked_once() {
    let (site, kratos) = company(|config| config.link_existing_users = true).await;
    let ana = kratos.identity(json!({ "username": "ana", "email": "ana@company.com" }), |_| ());
    let session = session_of(&site, &signed_in(&site, &kratos, &ana).await).await.expect("a session");
    assert_eq!(session.user_id, site.ana.id);
    // Another identity with her name is not her.
    let other = kratos.identity(json!({ "username": "Ana", "email": "other@company.com" }), |_| ());
    let (_, reason) = back_with(&site, &kratos, &kratos.session(&other)).await;
    assert_eq!(reason, "upstream_username_taken");
}

#[tokio::test]
async fn somebody_who_may_not_sign_in_here_does_not() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let session = session_of(&site, &signed_in(&site, &kratos, &mia).await).await.expect("a session");
    let mut write = site.store().write().await.expect("writes");
    assert!(users::set_disabled(&mut write, &session.user_id, true, site.now()).await.expect("writes"));
    write.commit().await.expect("commits");
    let (answer, reason) = back_with(&site, &kratos, &kratos.session(&mia)).await;
    assert_eq!((answer.status, &*reason), (403, "user_disabled"));
    // Nor does a disabled user who would be linked.
    let (site, kratos) = company(|config| config.link_existing_users = true).await;
    site.disable(&site.ana).await;
    let ana = kratos.identity(json!({ "username": "ana" }), |_| ());
    let (_, reason) = back_with(&site, &kratos, &kratos.session(&ana)).await;
    assert_eq!(reason, "user_disabled");
    assert!(reasons(&site, "upstream_linked").await.is_empty());
}

#[tokio::test]
async fn nobody_is_made_where_that_is_not_wanted_or_not_possible() {
    let (site, kratos) = company(|config| config.create_users = false).await;
    let (answer, reason) = back_with(&site, &kratos, &kratos.session(&mia(&kratos))).await;
    assert_eq!((answer.status, &*reason), (403, "upstream_no_user"));
    let (site, kratos) = company(|_| ()).await;
    for traits in [json!({}), json!({ "username": "two words" }), json!({ "email": "ana\u{202e}@x" })] {
        let nameless = kratos.identity(traits, |_| ());
        let (_, reason) = back_with(&site, &kratos, &kratos.session(&nameless)).await;
        assert_eq!(reason, "upstream_no_username");
    }
}

#[tokio::test]
async fn refusals_do_not_fill_the_audit_log() {
    let (site, _) = company(|_| ()).await;
    for _ in 0..50 {
        assert_eq!(site.send(Ask::get("/upstream/kratos/callback")).await.status, 403);
    }
    assert_eq!(reasons(&site, "sign_in_refused").await.len(), 20);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_not_begun() {
    let (site, kratos) = company(|_| ()).await;
    for query in ["?app=nobody", "?app=wiki&return_to=https%3A%2F%2Fevil.example%2F", "?return_to=x", "?x=1"] {
        let answer = site.send(Ask::get(format!("{START}{query}"))).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (400, None), "{query}");
    }
    assert_eq!(kratos.heard().len(), 0);
    let mut browser = Browser::new(&site);
    for _ in 0..20 {
        begun(&mut browser).await;
    }
    assert!(browser.carried(HOME).matches("hallpass-up-").count() <= 4, "those that were given up do not pile up");
    let long = format!("{START}?app=wiki&return_to=https%3A%2F%2Fwiki.company.com%2F{}", "a".repeat(1500));
    let answer = site.send(Ask::get(&long)).await;
    let line = answer.header("set-cookie").expect("a transaction");
    assert!(line.split(';').next().expect("a pair").len() <= 4096, "{}", line.len());
}
