//! `offline_access`: tokens that go on when somebody's session is over, where an app's settings say so, and what ends them all the same. OIDC Core 1.0 §11;
//! T20, T48.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::session::EndReason;
use hallpass_store::sessions;
use tokio::task::JoinSet;

use super::*;
use crate::support::postgres;

const SCOPE: &str = "openid profile offline_access";

async fn offline_client(site: &Site, allowed: bool) -> Caller {
    client_with(site, "crm", |app| app.client.offline_access = allowed).await
}

async fn offline_tokens<'s>(site: &'s Site, crm: &Caller) -> (Browser<'s>, Tokens, String) {
    let mut browser = at_home(site).await;
    let code = code(&mut browser, &[("scope", Some(SCOPE))]).await;
    let answer = redeem(site, crm, &code, &[]).await;
    let scope = answer.json()["scope"].as_str().expect("a scope").to_owned();
    (browser, Tokens::of(&answer), scope)
}

async fn sign_out(browser: &mut Browser<'_>) {
    let page = browser.open("/sign-out").await;
    browser.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await;
}

/// The next refresh token and access token; no ID token, since nobody is signed in.
async fn refreshed(site: &Site, crm: &Caller, token: &str) -> (String, String) {
    let answer = refresh(site, crm, token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    assert!(said.get("id_token").is_none(), "it would say that somebody is signed in");
    let of = |name: &str| said[name].as_str().expect(name).to_owned();
    (of("refresh_token"), of("access_token"))
}

#[tokio::test]
async fn it_goes_on_after_a_sign_out_where_the_app_may() {
    let site = Site::start().await;
    let crm = offline_client(&site, true).await;
    let (mut browser, tokens, scope) = offline_tokens(&site, &crm).await;
    assert_eq!(scope, SCOPE);
    sign_out(&mut browser).await;
    assert_eq!(userinfo(&site, &tokens.access).await.json()["name"], "ana Costa");
    let said = site.introspect(&crm, &tokens.access).await;
    assert_eq!((&said["active"], &said["scope"]), (&true.into(), &SCOPE.into()));
    assert!(!site.is_active(&site.wiki, &tokens.access).await);
    let (next, access) = refreshed(&site, &crm, &tokens.refresh).await;
    assert_eq!(userinfo(&site, &access).await.status, 200);
    // A lost answer is repeated, and theft is noticed, as ever.
    let again = refreshed(&site, &crm, &tokens.refresh).await;
    assert_eq!(again, (next.clone(), access.clone()));
    let (_, last) = refreshed(&site, &crm, &next).await;
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    assert_eq!(userinfo(&site, &last).await.status, 401);
    assert_eq!(reasons(&site, "tokens_refused").await, ["refresh_token_reused"]);
}

#[tokio::test]
async fn without_the_setting_or_without_asking_everything_ends_with_the_session() {
    let site = Site::start().await;
    let crm = offline_client(&site, false).await;
    let (mut browser, tokens, scope) = offline_tokens(&site, &crm).await;
    assert_eq!(scope, "openid profile", "ignored, and said so");
    sign_out(&mut browser).await;
    assert_dead(&site, &crm, &tokens).await;

    let site = Site::start().await;
    let crm = offline_client(&site, true).await;
    let (mut browser, tokens) = super::tokens(&site, &crm).await;
    sign_out(&mut browser).await;
    assert_dead(&site, &crm, &tokens).await;

    // And once the setting is taken back, so does what was granted before.
    let site = Site::start().await;
    let crm = offline_client(&site, true).await;
    let (mut browser, tokens, _) = offline_tokens(&site, &crm).await;
    sign_out(&mut browser).await;
    offline_client(&site, false).await;
    assert_dead(&site, &crm, &tokens).await;
}

/// T20: nothing that would keep somebody out is forgotten because there is no session to look at.
#[tokio::test]
async fn person_app_and_access_are_asked_each_time() {
    for (number, reason) in ["user_may_not", "user_may_not", "no_access", "client"].into_iter().enumerate() {
        let site = Site::start().await;
        let crm = offline_client(&site, true).await;
        let (mut browser, tokens, _) = offline_tokens(&site, &crm).await;
        sign_out(&mut browser).await;
        match number {
            0 => {
                site.disable(&site.ana).await;
                assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
                assert_eq!(reasons(&site, "tokens_refused").await, ["revoked"], "that ends them for good");
                continue;
            }
            1 => site.must_change_password(&site.ana).await,
            2 => {
                client_with(&site, "crm", |app| {
                    app.client.offline_access = true;
                    app.access = Access::Assigned;
                })
                .await;
            }
            _ => {
                let other = client(&site, "other").await;
                assert_eq!(error(&refresh(&site, &other, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
                assert_eq!(reasons(&site, "tokens_refused").await, ["wrong_app"]);
                continue;
            }
        }
        assert_eq!(userinfo(&site, &tokens.access).await.status, 401, "{reason}");
        assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()), "{reason}");
        assert_eq!(reasons(&site, "tokens_refused").await, [reason]);
    }
}

/// The end of everything is the end of this, too; the end of one session is not.
#[tokio::test]
async fn signing_out_everywhere_a_new_password_and_an_administrator_end_it() {
    for reason in [EndReason::SignedOutEverywhere, EndReason::PasswordChanged, EndReason::EndedByAdmin] {
        let site = Site::start().await;
        let crm = offline_client(&site, true).await;
        let (mut browser, tokens, _) = offline_tokens(&site, &crm).await;
        sign_out(&mut browser).await;
        let (next, access) = refreshed(&site, &crm, &tokens.refresh).await;
        // The session that it came of is long over: what ends are those that are left, none.
        let mut write = site.store().write().await.expect("writes");
        sessions::end_all_of(&mut write, &site.ana.id, None, reason, site.now()).await.expect("ends");
        write.commit().await.expect("commits");
        assert_eq!(userinfo(&site, &access).await.status, 401);
        assert_eq!(error(&refresh(&site, &crm, &next).await), (400, "invalid_grant".to_owned()));
        assert_eq!(reasons(&site, "tokens_refused").await, ["revoked"]);
    }
}

/// The page that does it, from another browser.
#[tokio::test]
async fn the_button_ends_it() {
    let site = Site::start().await;
    let crm = offline_client(&site, true).await;
    let (mut browser, tokens, _) = offline_tokens(&site, &crm).await;
    sign_out(&mut browser).await;
    let mut other = at_home(&site).await;
    let page = other.open("/account").await;
    let url = format!("{HOME}/account/sign-out-everywhere").parse().expect("a URL");
    other.submit(&url, &[("csrf_token", page.answer.csrf_token())]).await;
    assert_dead(&site, &crm, &tokens).await;
}

#[tokio::test]
async fn lifetimes_are_its_own_and_configurable() {
    const DAY: u64 = 24 * 3600;
    for configured in [false, true] {
        let site = Site::start_with(|config| {
            if configured {
                config.refresh.offline_inactivity = Duration::from_hours(2 * 24);
                config.refresh.offline_absolute = Duration::from_hours(5 * 24);
            }
        })
        .await;
        let (inactivity, absolute) = if configured { (2 * DAY, 5 * DAY) } else { (30 * DAY, 180 * DAY) };
        let crm = offline_client(&site, true).await;
        let (_, tokens, _) = offline_tokens(&site, &crm).await;
        let (mut token, mut passed) = (tokens.refresh, 0);
        while passed + inactivity - 1 < absolute {
            site.wait(inactivity - 1);
            passed += inactivity - 1;
            jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
            jobs::rotate_keys(site.engine.context.clone()).await.expect("rotates");
            token = refreshed(&site, &crm, &token).await.0;
        }
        site.wait(absolute - passed);
        assert_eq!(error(&refresh(&site, &crm, &token).await), (400, "invalid_grant".to_owned()));
        assert_eq!(reasons(&site, "tokens_refused").await, ["expired"]);

        let (_, tokens, _) = offline_tokens(&site, &crm).await;
        site.wait(inactivity);
        assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
        assert_eq!(reasons(&site, "tokens_refused").await, ["expired", "expired"]);
    }
}

/// Of a browser client: kept beyond the end of the browser, and no longer than it is good.
#[tokio::test]
async fn its_cookie_stays_as_long_as_it_is_good() {
    let site = Site::start().await;
    browser_client(&site, "spa", |app| app.client.offline_access = true).await;
    let mut browser = at_home(&site).await;
    let changes = [("client_id", Some("spa")), ("redirect_uri", Some(SPA_CALLBACK)), ("scope", Some(SCOPE))];
    let code = code(&mut browser, &changes).await;
    let answer = redeem_by_page(&site, "spa", SPA, &code).await;
    let name = hallpass_server::web::cookies::refresh(&"spa".parse().expect("a key"));
    let line = answer.set_cookie(&name).expect("set");
    assert!(line.ends_with(&format!("; Max-Age={}", 30 * 24 * 3600)), "{line}");
    sign_out(&mut browser).await;
    let fields = serde_json::json!({ "grant_type": "refresh_token", "client_id": "spa" });
    let again = site.send(by_page("/oauth/token", SPA, &fields).cookie(&name, answer.cookie(&name))).await;
    assert!(again.status == 200 && again.set_cookie(&name).is_some(), "{again:?}");
}

/// T17, without a session whose row would put them in a queue; on PostgreSQL, too, where two may write at once.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_at_once_get_one_successor_after_a_sign_out() {
    one_successor_for_sixteen(Arc::new(Site::start().await)).await;
    let (url, name) = postgres::create().await;
    let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
    let site = Arc::new(Site::node(&url, &directory, None).await);
    let outcome = tokio::spawn(one_successor_for_sixteen(site)).await;
    postgres::drop(&name).await;
    outcome.expect("passes");
}

async fn one_successor_for_sixteen(site: Arc<Site>) {
    let crm = offline_client(&site, true).await;
    let (mut browser, tokens, _) = offline_tokens(&site, &crm).await;
    sign_out(&mut browser).await;
    let mut token = tokens.refresh;
    // The first round opens the database's connections one by one; from then on there is one for each.
    for round in 0..5 {
        let mut racers = JoinSet::new();
        for _ in 0..16 {
            let (site, crm, token) = (site.clone(), crm.clone(), token.clone());
            racers.spawn(async move { refresh(&site, &crm, &token).await });
        }
        let answers = racers.join_all().await;
        let mut bodies: Vec<_> = answers.iter().map(|answer| (answer.status, &answer.body)).collect();
        bodies.sort();
        bodies.dedup();
        assert!(bodies.len() == 1 && bodies[0].0 == 200, "{round}: {bodies:?}");
        answers[0].json()["refresh_token"].as_str().expect("a token").clone_into(&mut token);
    }
}
