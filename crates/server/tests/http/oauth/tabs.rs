//! Many tabs, many apps and a bad network: nobody is signed out by accident, and there is never more than one live refresh token of a sign-in. Protocol §11; T17.

use std::sync::Arc;

use hallpass_server::web::cookies;
use serde_json::json;
use tokio::task::JoinSet;

use super::*;
use crate::support::{Live, postgres};

/// Where the pages of two apps are: a domain of the customer's own, another site than ours.
const CUSTOM: &str = "https://apps.company2.com";

fn name(client: &str) -> String {
    cookies::refresh(&client.parse().expect("a key"))
}

async fn apps_at(site: &Site, origin: &str, keys: [&str; 2]) {
    for key in keys {
        browser_client(site, key, |app| {
            app.zone = if origin == CUSTOM { "elsewhere" } else { "home" }.parse().expect("a name");
            app.origins = vec![origin.parse().expect("an origin")];
            app.redirect_uris = vec![format!("{origin}/callback").parse().expect("a URI")];
        })
        .await;
    }
}

async fn begin(browser: &mut Browser<'_>, origin: &str, client: &str) {
    let code = code_for_page(browser, client, origin).await;
    let fields = json!({
        "grant_type": "authorization_code", "client_id": client, "code": code, "redirect_uri": format!("{origin}/callback"),
        "code_verifier": VERIFIER,
    });
    let answer = browser.fetch(origin, "/oauth/token", &fields).await;
    assert!(answer.status == 200 && answer.set_cookie(&name(client)).is_some(), "{answer:?}");
}

fn refresh_of(client: &str) -> Value {
    json!({ "grant_type": "refresh_token", "client_id": client })
}

/// A working day of two apps in one browser, at another site and at our own: each refreshes before its access token is over, one of them is left and
/// entered again, and neither ever loses its token.
#[tokio::test]
async fn two_apps_of_one_browser_refresh_side_by_side_for_a_day() {
    for origin in [CUSTOM, SPA] {
        let site = Site::start().await;
        // The first eight characters of their keys are the same.
        let apps = ["warehouse-north", "warehouse-south"];
        apps_at(&site, origin, apps).await;
        let mut browser = at_home(&site).await;
        for app in apps {
            begin(&mut browser, origin, app).await;
        }
        let mut seen = std::collections::HashSet::new();
        for round in 0..23 * 14 {
            site.wait(250);
            // Not in step: now one comes first, now the other, now both within a second.
            for app in if round % 3 == 0 { [apps[1], apps[0]] } else { apps } {
                let answer = browser.fetch(origin, "/oauth/token", &refresh_of(app)).await;
                assert_eq!(answer.status, 200, "{origin} {app} in round {round}: {answer:?}");
                assert!(seen.insert(answer.cookie(&name(app)).to_owned()), "a token of its own each time");
                let other = apps[usize::from(app == apps[0])];
                assert!(answer.set_cookie(&name(other)).is_none(), "{answer:?}");
            }
            if round % 100 == 50 {
                let left = browser.fetch(origin, "/oauth/revoke", &json!({ "client_id": apps[0] })).await;
                assert!(left.status == 200 && left.expires(&name(apps[0])), "{left:?}");
                let out = browser.fetch(origin, "/oauth/token", &refresh_of(apps[0])).await;
                assert_eq!(out.status, 400);
                begin(&mut browser, origin, apps[0]).await;
            }
            site.written_down().await;
        }
        assert!(reasons(&site, "tokens_refused").await.is_empty(), "the one that was left had no cookie to show");
    }
}

/// A refresh as bytes, by a page that holds this cookie.
fn request(client: &str, cookie: &str) -> String {
    let body = refresh_of(client).to_string();
    format!(
        "POST /oauth/token HTTP/1.1\r\nhost: auth.company.com\r\norigin: {SPA}\r\nsec-fetch-site: same-site\r\ncontent-type: application/json\r\n\
         cookie: {}={cookie}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        name(client),
        body.len(),
    )
}

/// The cookie that an answer sets.
fn given(answer: &str) -> String {
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mark = format!("{}=", name("spa"));
    let (_, rest) = answer.split_once(&mark).unwrap_or_else(|| panic!("no cookie in {answer}"));
    rest.split(';').next().unwrap_or_default().to_owned()
}

/// Ten tabs wake up together on a train: all ask, no answer arrives, all ask again, half of the answers arrive.
async fn ten_tabs_on_a_bad_network(site: Site) {
    browser_client(&site, "spa", |_| ()).await;
    let code = code_for_page(&mut at_home(&site).await, "spa", SPA).await;
    let first = redeem_by_page(&site, "spa", SPA, &code).await;
    let mut cookie = first.cookie(&name("spa")).to_owned();
    let live = Arc::new(Live::of(site).await);
    let mut all = vec![cookie.clone()];
    for round in 0..6 {
        live.site.wait(240);
        let mut tabs = JoinSet::new();
        for tab in 0..10 {
            let (live, request) = (live.clone(), request("spa", &cookie));
            tabs.spawn(async move {
                let mut connection = live.connect().await;
                // Some break while the request is on its way: then it has not been made.
                let sent = if tab % 5 == 4 { &request[..request.len() / 2] } else { &request };
                connection.write(sent).await;
                connection.leave().await;
            });
        }
        tabs.join_all().await;
        let mut tabs = JoinSet::new();
        for tab in 0..10 {
            let (live, request) = (live.clone(), request("spa", &cookie));
            tabs.spawn(async move {
                if (tab + round) % 2 == 0 {
                    return Some(live.send(request).await);
                }
                let mut connection = live.connect().await;
                connection.write(request).await;
                connection.leave().await;
                None
            });
        }
        let mut given: Vec<_> = tabs.join_all().await.into_iter().flatten().map(|answer| given(&answer)).collect();
        assert_eq!(given.len(), 5);
        given.dedup();
        assert_eq!(given.len(), 1, "all hear the same");
        cookie.clone_from(&given[0]);
        assert!(!all.contains(&cookie), "and something new");
        all.push(cookie.clone());
    }
    let site = &live.site;
    assert!(reasons(site, "tokens_refused").await.is_empty() && reasons(site, "tokens_revoked").await.is_empty());
    let ask = |cookie: &str| by_page("/oauth/token", SPA, &refresh_of("spa")).cookie(&name("spa"), cookie);
    let last = site.send(ask(&cookie)).await;
    assert_eq!(last.status, 200, "{last:?}");
    // One chain: each of the tokens before ends it, and then the newest is dead as well.
    assert_eq!(site.send(ask(&all[all.len() - 2])).await.status, 400);
    assert_eq!(site.send(ask(last.cookie(&name("spa")))).await.status, 400);
    assert_eq!(reasons(site, "tokens_revoked").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_tabs_whose_answers_get_lost_stay_signed_in() {
    ten_tabs_on_a_bad_network(Site::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_tabs_whose_answers_get_lost_stay_signed_in_on_postgresql() {
    on_postgresql(ten_tabs_on_a_bad_network).await;
}

/// T17: however many come at once, what they are given is one token.
async fn a_thousand_at_once(site: Site) {
    let crm = client(&site, "crm").await;
    let (_, first) = tokens(&site, &crm).await;
    let site = Arc::new(site);
    let mut racers = JoinSet::new();
    for _ in 0..1000 {
        let (site, crm, token) = (site.clone(), crm.clone(), first.refresh.clone());
        racers.spawn(async move { refresh(&site, &crm, &token).await });
    }
    let answers = racers.join_all().await;
    // Whoever waited too long for the database is told so, and has lost nothing.
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)), "{answers:?}");
    let mut given: Vec<_> =
        answers.iter().filter(|answer| answer.status == 200).map(|answer| Tokens::of(answer).refresh).collect();
    assert!(!given.is_empty(), "somebody won");
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 1, "one distinct successor");
    assert_eq!(refresh(&site, &crm, &given[0]).await.status, 200, "and it lives");
    assert!(reasons(&site, "tokens_revoked").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_parallel_refreshes_have_one_successor() {
    a_thousand_at_once(Site::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_parallel_refreshes_have_one_successor_on_postgresql() {
    on_postgresql(a_thousand_at_once).await;
}

async fn on_postgresql<Running: Future<Output = ()> + Send + 'static>(
    test: impl FnOnce(Site) -> Running + Send + 'static,
) {
    let (url, name) = postgres::create().await;
    let running = tokio::spawn(async move {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        test(Site::node(&url, &directory, None).await).await;
    });
    let outcome = running.await;
    postgres::drop(&name).await;
    outcome.expect("passes");
}
