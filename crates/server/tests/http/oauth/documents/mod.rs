//! Clients that describe themselves at the address that is their `client_id`: allowed, changed, gone, blocked and forgotten.
//! draft-ietf-oauth-client-id-metadata-document; T4, T5, T25, T82, T90.

mod attacks;
pub mod host;

use std::time::Duration;

use hallpass_core::audit::Actor;
use hallpass_core::id::AppKey;
use hallpass_core::oidc::ClientIdUrl;
use hallpass_server::admin;
use hallpass_server::config::{ClientDocumentsConfig, Config, Network};
use hallpass_store::{apps, consents};
use serde_json::json;

use self::host::{Host, LOOPBACK};
use super::consent::{asked, decide};
use super::*;
use crate::nodes::on_two_nodes_with;

const DAY: u64 = 24 * 3600;

/// Such clients are taken, also from this very computer.
pub async fn open() -> (Site, Host) {
    open_with(|_| ()).await
}

async fn open_with(change: impl FnOnce(&mut Config)) -> (Site, Host) {
    let site = Site::start_with(|config| {
        documents_from_here(config);
        change(config);
    })
    .await;
    (site, Host::start().await)
}

fn documents_from_here(config: &mut Config) {
    let here = Network::try_from("127.0.0.1".to_owned()).expect("a network");
    config.client_metadata_documents =
        ClientDocumentsConfig { enabled: true, allow_internal: vec![here], ..ClientDocumentsConfig::default() };
}

pub fn by(client_id: &str) -> [(&str, Option<&str>); 2] {
    [("client_id", Some(client_id)), ("redirect_uri", Some(LOOPBACK))]
}

pub fn key(client_id: &str) -> AppKey {
    client_id.parse::<ClientIdUrl>().expect("an address").key()
}

async fn app(site: &Site, client_id: &str) -> Option<App> {
    apps::find(&mut site.store().read().await.expect("reads"), &key(client_id)).await.expect("reads")
}

async fn is_allowed(site: &Site, client_id: &str) -> bool {
    let mut read = site.store().read().await.expect("reads");
    consents::find(&mut read, &site.ana.id, &key(client_id)).await.expect("reads").is_some()
}

pub async fn ask(site: &Site, path: &str, client_id: &str, fields: &[(&str, &str)]) -> Answer {
    site.send(Ask::post(path).form(&[&[("client_id", client_id)], fields].concat())).await
}

pub fn exchange(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", LOOPBACK), ("code_verifier", VERIFIER)]
}

/// A code, by way of the question.
pub async fn allowed_code(browser: &mut Browser<'_>, client_id: &str) -> String {
    let page = asked(browser, &by(client_id)).await;
    let there = decide(browser, &page, "allow").await;
    let answer = browser.step(&there).await;
    said(answer.location(), "code").unwrap_or_else(|| panic!("no code in {answer:?}"))
}

pub async fn tokens_of(site: &Site, browser: &mut Browser<'_>, client_id: &str) -> Tokens {
    let code = allowed_code(browser, client_id).await;
    Tokens::of(&ask(site, "/oauth/token", client_id, &exchange(&code)).await)
}

async fn refreshed(site: &Site, client_id: &str, token: &str) -> Answer {
    ask(site, "/oauth/token", client_id, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

fn assert_stopped(answer: &Answer) {
    assert!(matches!(answer.status, 400 | 429) && answer.header("location").is_none(), "{answer:?}");
}

async fn sweep(site: &Site) {
    jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
}

#[tokio::test]
async fn there_are_none_unless_it_is_configured() {
    let (site, host) = (Site::start().await, Host::start().await);
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    assert_stopped(&browser.step(&authorize_url(&by(&client_id))).await);
    assert_stopped(&Browser::new(&site).step(&authorize_url(&by(&client_id))).await);
    assert_eq!(host.asked_at_all(), 0);
    let path = "/.well-known/openid-configuration";
    assert!(site.send(Ask::get(path)).await.json().get("client_id_metadata_document_supported").is_none());
    let (on, _) = open().await;
    assert_eq!(on.send(Ask::get(path)).await.json()["client_id_metadata_document_supported"], true);
    // One that was there when it was turned off gets nothing any more.
    native_client_with(&site, key(&client_id).as_str(), &["http://127.0.0.1/callback"], |app| {
        app.client_id = Some(client_id.parse().expect("an address"));
    })
    .await;
    assert_stopped(&browser.step(&authorize_url(&by(&client_id))).await);
    assert_eq!(ask(&site, "/oauth/token", &client_id, &exchange("x")).await.status, 401);
}

#[tokio::test]
async fn somebody_signs_in_allows_what_they_are_shown_and_only_then_is_it_written_down() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = Browser::new(&site);
    let page = browser.open(&authorize_url(&by(&client_id))).await;
    assert!(page.url.path() == "/sign-in" && !page.answer.body.contains("Holiday planner"), "{page:?}");
    assert_eq!(host.asked_at_all(), 0, "nobody who has not signed in makes us ask anybody");
    let fields = [("csrf_token", page.answer.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
    let page = browser.submit(&page.action(), &fields).await;
    let shown = &page.answer.body;
    assert!(page.answer.shows("described-at") && page.answer.shows("any-program"), "{page:?}");
    let port = host.origin.rsplit(':').next().expect("a port");
    assert!(
        shown.contains("Holiday planner") && shown.contains(&format!("127.<wbr>0.<wbr>0.<wbr>1:{port}")),
        "{shown}"
    );
    assert!(app(&site, &client_id).await.is_none());
    let there = decide(&mut browser, &page, "allow").await;
    let code = said(browser.step(&there).await.location(), "code").expect("a code");
    let tokens = Tokens::of(&ask(&site, "/oauth/token", &client_id, &exchange(&code)).await);
    assert_eq!(opened(&tokens.id).1["aud"], *client_id);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    assert_eq!(refreshed(&site, &client_id, &tokens.refresh).await.status, 200);
    assert_eq!(host.asked("/client.json"), 1, "once in its time");
    let known = app(&site, &client_id).await.expect("there");
    assert!(known.third_party && known.registered && known.client_id() == client_id, "{known:?}");
    let page = browser.open("/account").await;
    assert!(page.answer.body.contains("Holiday planner") && page.answer.shows("allowed-app"), "{page:?}");
    // Any program could be it: each time.
    asked(&mut browser, &by(&client_id)).await;
}

/// A page with links to a thousand documents must leave nothing behind.
#[tokio::test]
async fn what_nobody_allows_is_not_written_down() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let page = asked(&mut browser, &by(&client_id)).await;
    let there = decide(&mut browser, &page, "deny").await;
    assert!(there.starts_with(&format!("{LOOPBACK}?error=access_denied")), "{there}");
    assert!(app(&site, &client_id).await.is_none() && !is_allowed(&site, &client_id).await);
    assert_eq!(ask(&site, "/oauth/par", &client_id, &[("scope", "openid")]).await.status, 401);
}

/// Codes, tokens and consents end with what they were given to: the page had shown something else.
#[tokio::test]
async fn a_document_that_has_become_another_ends_what_was_allowed() {
    for changes in [
        json!({ "redirect_uris": ["http://127.0.0.1/other"] }),
        json!({ "redirect_uris": ["http://127.0.0.1/callback", "http://127.0.0.1/other"] }),
        json!({ "client_name": "Payroll" }),
    ] {
        let (site, host) = open().await;
        let client_id = host.describes("/client.json", &json!({}));
        let mut browser = at_home(&site).await;
        let tokens = tokens_of(&site, &mut browser, &client_id).await;
        site.wait(290);
        let code = allowed_code(&mut browser, &client_id).await;
        host.describes("/client.json", &changes);
        assert_eq!(refreshed(&site, &client_id, &tokens.refresh).await.status, 200, "not read yet");
        // It is read when its time is over and somebody comes.
        assert_eq!(host.asked("/client.json"), 1);
        site.wait(11);
        let _ = browser.step(&authorize_url(&by(&client_id))).await;
        assert_eq!(host.asked("/client.json"), 2);
        assert!(!is_allowed(&site, &client_id).await, "{changes}");
        assert_eq!(error(&refreshed(&site, &client_id, &tokens.refresh).await).1, "invalid_grant");
        assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
        assert_eq!(error(&ask(&site, "/oauth/token", &client_id, &exchange(&code)).await).1, "invalid_grant");
        // It may have been swept: nobody allows it.
        assert!(app(&site, &client_id).await.is_none_or(|known| {
            let [uri] = &known.redirect_uris[..] else { return true };
            known.name != "Holiday planner" || uri.as_str().ends_with("other")
        }));
    }
    // What people were not shown may change.
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let tokens = tokens_of(&site, &mut browser, &client_id).await;
    host.describes("/client.json", &json!({ "post_logout_redirect_uris": ["http://127.0.0.1/bye"] }));
    site.wait(301);
    asked(&mut browser, &by(&client_id)).await;
    assert_eq!(app(&site, &client_id).await.expect("there").post_logout_redirect_uris.len(), 1);
    assert_eq!(refreshed(&site, &client_id, &tokens.refresh).await.status, 200);
}

/// Whoever has been shown one name has not allowed another.
#[tokio::test]
async fn what_was_shown_is_what_is_allowed() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let page = asked(&mut browser, &by(&client_id)).await;
    host.describes("/client.json", &json!({ "client_name": "Payroll" }));
    site.wait(301);
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
    let landing = browser.submit(&page.action(), &fields).await;
    assert_eq!((landing.answer.status, host.asked("/client.json")), (403, 2), "{landing:?}");
    assert!(app(&site, &client_id).await.is_none() && !is_allowed(&site, &client_id).await);
    let page = asked(&mut browser, &by(&client_id)).await;
    assert!(page.answer.body.contains("Payroll"), "{page:?}");
}

/// A node that has an older copy in memory must not bring back what was taken out.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_older_copy_does_not_undo_a_change() {
    let host = Host::start().await;
    let client_id = host.describes(
        "/client.json",
        &json!({ "redirect_uris": ["http://127.0.0.1/callback", "http://127.0.0.1/other"] }),
    );
    on_two_nodes_with(documents_from_here, |one, two| {
        let (host, client_id) = (host.clone(), client_id.clone());
        async move {
            let mut there = at_home(&two).await;
            let page = asked(&mut there, &by(&client_id)).await;
            host.describes("/client.json", &json!({ "redirect_uris": ["http://127.0.0.1/other"] }));
            let mut browser = at_home(&one).await;
            assert_stopped(&browser.step(&authorize_url(&by(&client_id))).await);
            let other = [("client_id", Some(&*client_id)), ("redirect_uri", Some("http://127.0.0.1:7000/other"))];
            consent::allow(&mut browser, &other).await;
            two.engine.context.view.catch_up_now().await.expect("reads");
            // What it holds is still in its time; the registry counts.
            let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
            let landing = there.submit(&page.action(), &fields).await;
            assert_stopped(&landing.answer);
            assert_stopped(&there.step(&authorize_url(&by(&client_id))).await);
            asked(&mut there, &other).await;
            assert_eq!(app(&one, &client_id).await.expect("there").redirect_uris.len(), 1);
        }
    })
    .await;
}

/// One minute is enough for an address to be taken out.
#[tokio::test]
async fn a_code_for_an_address_that_was_taken_out_is_worth_nothing() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    client_with(&site, "crm", |app| app.redirect_uris = vec!["https://crm.company.com/other".parse().expect("a URI")])
        .await;
    assert_eq!(error(&redeem(&site, &crm, &code, &[]).await).1, "invalid_grant");
    assert_eq!(reasons(&site, "tokens_refused").await, ["wrong_redirect_uri"]);
}

/// Nobody new is let in by a document that is not there; whoever is in stays for a week, since hosts are down at times.
#[tokio::test]
async fn a_document_that_is_gone_lets_nobody_in_and_what_was_given_lasts_for_a_week() {
    let (site, host) = open_with(|config| {
        let weeks = Duration::from_hours(24 * 60);
        (config.session.absolute, config.session.inactivity) = (weeks, weeks);
        (config.refresh.absolute, config.refresh.inactivity) = (weeks, weeks);
    })
    .await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let mut token = tokens_of(&site, &mut browser, &client_id).await.refresh;
    host.forgets("/client.json");
    site.wait(301);
    assert_stopped(&browser.step(&authorize_url(&by(&client_id))).await);
    for day in 0..7 {
        let asked_before = host.asked("/client.json");
        let answer = refreshed(&site, &client_id, &token).await;
        assert_eq!(answer.status, 200, "{day}: {answer:?}");
        token = Tokens::of(&answer).refresh;
        // It is looked for, and nobody waits for that. What was begun the day before may only now come to its end, and is then good for ten seconds.
        let looked_for = async {
            while day > 1 && host.asked("/client.json") == asked_before {
                tokio::time::sleep(Duration::from_millis(2)).await;
                site.wait(11);
                token = Tokens::of(&refreshed(&site, &client_id, &token).await).refresh;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looked_for).await.expect("looked for");
        site.wait(DAY);
    }
    assert_eq!(error(&refreshed(&site, &client_id, &token).await).1, "invalid_grant");
    assert!(reasons(&site, "tokens_refused").await.contains(&"undescribed".to_owned()));
    // It is back: somebody comes by way of it, and what was given is good again.
    host.describes("/client.json", &json!({}));
    let asked_before = host.asked("/client.json");
    let looked_for = async {
        while host.asked("/client.json") == asked_before {
            site.wait(11);
            browser.step(&authorize_url(&by(&client_id))).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looked_for).await.expect("looked for");
    asked(&mut browser, &by(&client_id)).await;
    assert_eq!(refreshed(&site, &client_id, &token).await.status, 200);
}

/// A refresh a day later has the document read again: an application that nobody comes to by a browser must hear of changes, too.
#[tokio::test]
async fn a_client_that_only_refreshes_is_read_again_each_day() {
    let (site, host) = open_with(|config| {
        let days = Duration::from_hours(24 * 10);
        (config.session.absolute, config.session.inactivity) = (days, days);
        (config.refresh.absolute, config.refresh.inactivity) = (days, days);
    })
    .await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let tokens = tokens_of(&site, &mut browser, &client_id).await;
    host.describes("/client.json", &json!({ "redirect_uris": ["http://127.0.0.1/other"] }));
    site.wait(DAY + 1);
    let next = Tokens::of(&refreshed(&site, &client_id, &tokens.refresh).await);
    until(|| host.asked("/client.json") == 2).await;
    let ended = async {
        // The same answer again, until what was read is written down.
        while refreshed(&site, &client_id, &next.refresh).await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("its tokens have ended");
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("in time");
}

/// Nobody allows it any more, and somebody is about to: what is swept between what they were shown and their answer is written down again.
#[tokio::test]
async fn a_sweep_meanwhile_takes_nothing_from_whoever_allows_it() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    for _ in 0..30 {
        // Not so many in one moment that they look like a loop.
        site.wait(60);
        let code = async {
            let code = allowed_code(&mut browser, &client_id).await;
            let mut write = site.store().write().await.expect("writes");
            assert!(consents::revoke(&mut write, &site.ana.id, &key(&client_id), site.now()).await.expect("revokes"));
            write.commit().await.expect("commits");
            code
        };
        let swept = async {
            loop {
                sweep(&site).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            code = code => assert!(!code.is_empty()),
            () = swept => {}
        }
    }
}

#[tokio::test]
async fn an_administrator_blocks_one_and_removes_one() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let tokens = tokens_of(&site, &mut browser, &client_id).await;
    let disabled = async |disabled| {
        let mut write = site.store().write().await.expect("writes");
        let changed = admin::apps::set_disabled(&mut write, &key(&client_id), disabled, &Actor::Cli, site.now()).await;
        assert!(changed.expect("changes"));
        write.commit().await.expect("commits");
    };
    disabled(true).await;
    site.wait(301);
    assert_stopped(&browser.step(&authorize_url(&by(&client_id))).await);
    assert_eq!(host.asked("/client.json"), 1, "nobody asks it");
    assert_eq!(refreshed(&site, &client_id, &tokens.refresh).await.status, 401);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
    // Nobody allows it any more; it stays blocked all the same.
    let mut write = site.store().write().await.expect("writes");
    assert!(consents::revoke(&mut write, &site.ana.id, &key(&client_id), site.now()).await.expect("revokes"));
    write.commit().await.expect("commits");
    sweep(&site).await;
    assert!(app(&site, &client_id).await.expect("there").disabled_at.is_some());
    disabled(false).await;
    let tokens = tokens_of(&site, &mut browser, &client_id).await;
    let mut write = site.store().write().await.expect("writes");
    let refused = admin::apps::mint_secret(&mut write, &key(&client_id), &Actor::Cli, site.now()).await;
    assert!(refused.is_err(), "it has no secret that could open anything");
    admin::apps::remove(&mut write, &key(&client_id), &Actor::Cli, site.now()).await.expect("removes");
    write.commit().await.expect("commits");
    assert_eq!(refreshed(&site, &client_id, &tokens.refresh).await.status, 401);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
    asked(&mut browser, &by(&client_id)).await;
}

#[tokio::test]
async fn there_are_so_many_at_once_and_those_that_nobody_allows_go() {
    let (site, host) = open_with(|config| config.client_metadata_documents.maximum = 1).await;
    let [one, two] = ["/one", "/two"].map(|path| host.describes(path, &json!({})));
    let mut browser = at_home(&site).await;
    tokens_of(&site, &mut browser, &one).await;
    let page = asked(&mut browser, &by(&two)).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
    let landing = browser.submit(&page.action(), &fields).await;
    assert_eq!(landing.answer.status, 403, "{landing:?}");
    assert!(app(&site, &two).await.is_none() && !is_allowed(&site, &two).await);
    sweep(&site).await;
    assert!(app(&site, &one).await.is_some(), "somebody allows it");
    let page = browser.open("/account").await;
    let there = page.url.join("/account/apps/revoke").expect("an address");
    let app_key = key(&one).to_string();
    browser.submit(&there, &[("csrf_token", page.answer.csrf_token()), ("app_key", &app_key)]).await;
    sweep(&site).await;
    assert!(app(&site, &one).await.is_none());
    tokens_of(&site, &mut browser, &two).await;
    site.wait(91 * DAY);
    sweep(&site).await;
    assert!(app(&site, &two).await.is_none(), "nobody has come by way of it for long");
}
