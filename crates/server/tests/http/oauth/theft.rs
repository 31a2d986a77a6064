//! Somebody uses a copy: everything that came of it ends, it is written down, and somebody is told; also when the engine has been started anew meanwhile.
//! Protocol §11, §19; RFC 9700 §4.14.2; T19.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Json;
use axum::routing::post;
use hallpass_server::alerts;
use hallpass_server::config::AlertConfig;
use hallpass_server::telemetry::Facts;
use hallpass_store::audit::{Filter, list};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::support::postgres;

/// A webhook, and the configuration that sends alerts to it.
async fn hook() -> (AlertConfig, UnboundedReceiver<Value>) {
    let (sender, heard) = unbounded_channel();
    let take = move |Json(body): Json<Value>| {
        sender.send(body).expect("the test listens");
        async {}
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(take))).await });
    let allow_internal = vec!["127.0.0.1".to_owned().try_into().expect("a network")];
    let webhook = Some(format!("http://{address}/hook"));
    (AlertConfig { webhook, allow_internal, ..AlertConfig::default() }, heard)
}

/// What the webhook is sent.
async fn told(heard: &mut UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.expect("in time").expect("the webhook is there")
}

/// What the jobs do in a minute.
async fn minute(site: &Site) {
    alerts::minute(site.engine.context.clone()).await.expect("written");
    alerts::deliver(site.engine.context.clone()).await.expect("sent");
}

/// The audit log's latest events, with the app and why.
async fn audited(site: &Site) -> Vec<(String, Option<String>, Value)> {
    let mut read = site.store().read().await.expect("reads");
    let entries = list(&mut read, &Filter::default(), None, 4).await.expect("reads");
    entries.into_iter().map(|entry| (entry.event, entry.app.map(|app| app.to_string()), entry.details)).collect()
}

/// Anybody can send codes in the name of a client without a secret. The log must not fill the disk with them, nor what matters be crowded out.
#[tokio::test]
async fn garbage_is_counted_and_written_down_so_often_only() {
    let site = Site::start().await;
    native_client(&site, "tool", &[CALLBACK]).await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let real = code(&mut browser, &[("client_id", Some("tool"))]).await;
    let send = async |client: &str, code: &str, address: &str| {
        let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        let fields = [&fields[..], &[("code_verifier", "x"), ("client_id", client)]].concat();
        site.send(Ask::post("/oauth/token").form(&fields).from(address)).await
    };
    let unknown = hallpass_core::secret::Secret::<hallpass_core::secret::AuthorizationCode>::mint_at(
        site.now(),
        &mut hallpass_core::crypto::SystemRandom,
    );
    for number in 0..60 {
        // From everywhere, with what is no code at all, and with what could be one.
        let address = format!("198.51.100.{number}");
        let code = if number % 2 == 0 { "garbage" } else { &*unknown.expose() };
        assert_eq!(error(&send("tool", code, &address).await), (400, "invalid_grant".to_owned()));
    }
    assert_eq!(reasons(&site, "tokens_refused").await, ["unknown"; 20]);
    // What is wrong in another way is still seen, of this app and of others.
    for _ in 0..2 {
        assert_eq!(send("tool", &real, "198.51.100.1").await.status, 400);
    }
    assert_eq!(error(&redeem(&site, &crm, "garbage", &[]).await), (400, "invalid_grant".to_owned()));
    let said = reasons(&site, "tokens_refused").await;
    let of = |reason: &str| said.iter().filter(|said| *said == reason).count();
    assert_eq!((of("unknown"), of("wrong_verifier")), (21, 2), "{said:?}");
    let metrics = site.engine.context.telemetry.render(&Facts::default());
    for line in ["hallpass_grant_refusals_total{app=\"tool\"} 62", "hallpass_grant_refusals_total{app=\"crm\"} 1"] {
        assert!(metrics.lines().any(|have| have == line), "{line}");
    }
    site.wait(120);
    assert_eq!(send("tool", "garbage", "198.51.100.1").await.status, 400);
    assert_eq!(reasons(&site, "tokens_refused").await.len(), 24, "a minute later it is written down again");
}

#[tokio::test]
async fn a_stolen_old_refresh_token_ends_the_family_and_somebody_is_told() {
    let (config, mut heard) = hook().await;
    let site = Site::start_with(|site| site.alerts = config).await;
    let crm = client(&site, "crm").await;
    let (_, stolen) = tokens(&site, &crm).await;
    minute(&site).await;
    let next = Tokens::of(&refresh(&site, &crm, &stolen.refresh).await);
    let again = Tokens::of(&refresh(&site, &crm, &stolen.refresh).await);
    assert_eq!(again.refresh, next.refresh);
    minute(&site).await;
    assert!(heard.is_empty(), "a lost answer is no theft");
    site.wait(60);
    assert_eq!(error(&refresh(&site, &crm, &stolen.refresh).await), (400, "invalid_grant".to_owned()));
    assert_dead(&site, &crm, &next).await;
    minute(&site).await;
    let told = told(&mut heard).await;
    assert_eq!(
        (&told["alert"], &told["state"], &told["app"], &told["count"]),
        (&"refresh_reused".into(), &"raised".into(), &"crm".into(), &1.into())
    );
    let metrics = site.engine.context.telemetry.render(&Facts::default());
    for line in [
        "hallpass_token_reuse_total{app=\"crm\",kind=\"refresh_token\"} 1",
        "hallpass_token_reuse_total{app=\"crm\",kind=\"code\"} 0",
        "hallpass_alert_active{alert=\"refresh_reused\",app=\"crm\"} 1",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line}");
    }
    let mut audited = audited(&site).await;
    audited.sort_by(|one, other| one.0.cmp(&other.0));
    let events: Vec<_> = audited.iter().map(|(event, app, _)| (event.as_str(), app.as_deref())).collect();
    let crm = Some("crm");
    assert_eq!(
        events,
        [("alert_raised", crm), ("tokens_refused", crm), ("tokens_refused", crm), ("tokens_revoked", crm)],
        "one refusal is of the rightful one, who came last"
    );
    assert_eq!(audited[3].2["because"], "refresh_token_reused");
    assert!(!format!("{told}{audited:?}{metrics}").contains("hp_rt_"));
}

#[tokio::test]
async fn a_code_that_is_redeemed_twice_is_told_too() {
    let (config, mut heard) = hook().await;
    let site = Site::start_with(|site| site.alerts = config).await;
    let crm = client(&site, "crm").await;
    let code = code(&mut at_home(&site).await, &[]).await;
    // Whoever lacks the verifier has used nothing up, and is no reason to wake anybody.
    let without = redeem(&site, &crm, &code, &[("code_verifier", Some(CHALLENGE))]).await;
    assert_eq!(error(&without), (400, "invalid_grant".to_owned()));
    let tokens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    minute(&site).await;
    assert!(heard.is_empty());
    assert_eq!(error(&redeem(&site, &crm, &code, &[]).await), (400, "invalid_grant".to_owned()));
    minute(&site).await;
    let told = told(&mut heard).await;
    assert_eq!((&told["alert"], &told["app"]), (&"code_reused".into(), &"crm".into()));
    assert!(heard.is_empty(), "once");
    assert_dead(&site, &crm, &tokens).await;
}

/// An old token comes to an engine that knows nothing but its database, at once and when the ten seconds are over.
async fn is_detected(site: &Site, crm: &Caller, all: &[String], newest: &Tokens) {
    assert_eq!(userinfo(site, &newest.access).await.status, 200, "what was answered has survived");
    assert_eq!(error(&refresh(site, crm, &all[0]).await), (400, "invalid_grant".to_owned()));
    assert_dead(site, crm, newest).await;
    assert_eq!(reasons(site, "tokens_refused").await, ["refresh_token_reused", "revoked"]);
}

/// Three tokens, the last one still good.
async fn rotated(site: &Site, crm: &Caller) -> (Vec<String>, Tokens) {
    let (_, first) = tokens(site, crm).await;
    let second = Tokens::of(&refresh(site, crm, &first.refresh).await);
    let third = Tokens::of(&refresh(site, crm, &second.refresh).await);
    (vec![first.refresh, second.refresh], third)
}

/// T19: the memory of what was used is the database's.
#[tokio::test]
async fn a_kill_between_rotation_and_replay_forgets_nothing() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (all, newest) = rotated(&site, &crm).await;
    is_detected(&site.after_a_kill().await, &crm, &all, &newest).await;
    // Whose answer was lost in the crash asks again within ten seconds and hears the same.
    let reborn = site.after_a_kill().await;
    assert_eq!(Tokens::of(&refresh(&reborn, &crm, &all[1]).await).refresh, newest.refresh);
    let reborn = site.after_a_kill().await;
    reborn.wait(10);
    is_detected(&reborn, &crm, &all[1..], &newest).await;
}

/// The same on PostgreSQL, where another node goes on.
#[tokio::test]
async fn another_node_remembers_what_was_used() {
    let (url, name) = postgres::create().await;
    let test = tokio::spawn(async move {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        let one = Site::node(&url, &directory, None).await;
        let crm = client(&one, "crm").await;
        let (all, newest) = rotated(&one, &crm).await;
        let other = Site::node(&url, &directory, Some(&one)).await;
        drop(one);
        is_detected(&other, &crm, &all, &newest).await;
    });
    let outcome = test.await;
    postgres::drop(&name).await;
    outcome.expect("passes");
}
