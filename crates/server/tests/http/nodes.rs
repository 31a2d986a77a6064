//! The same engine on PostgreSQL, and two of them on one database: what one does, the other knows within a second.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::audit::Actor;
use hallpass_core::keyring::Purpose;
use hallpass_server::config::Config;
use hallpass_server::jobs;
use hallpass_store::keys;
use serde_json::json;

use crate::support::{Ask, Browser, Caller, PASS, PASSWORD, Site, postgres};

/// How fast a change must be visible at another node; protocol §5.
const VISIBLE: Duration = Duration::from_secs(1);

/// What keys are for where nobody is an OIDC client.
const NEEDED: [Purpose; 2] = [Purpose::Pass, Purpose::Token];

/// Two nodes that share a database and a master key; `test` gets them and the database goes away whatever happens.
pub async fn on_two_nodes<Running: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Site, Site) -> Running) {
    on_two_nodes_with(|_| (), test).await;
}

/// The same with another configuration of both.
pub async fn on_two_nodes_with<Running: Future<Output = ()> + Send + 'static>(
    change: fn(&mut Config),
    test: impl FnOnce(Site, Site) -> Running,
) {
    let (url, name) = postgres::create().await;
    let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
    let one = Site::node_with(&url, &directory, None, change).await;
    let other = Site::node_with(&url, &directory, Some(&one), change).await;
    let outcome = tokio::spawn(test(one, other)).await;
    postgres::drop(&name).await;
    outcome.expect("passes");
}

/// Asks `site` until it says "inactive", within [`VISIBLE`]; every answer until then must be a whole, active one.
async fn is_refused_soon(site: &Site, caller: &Caller, pass: &str) {
    let refused = async {
        let mut moved = site.engine.context.view.watch();
        while site.is_active(caller, pass).await {
            moved.changed().await.expect("the view lives");
        }
    };
    tokio::time::timeout(VISIBLE, refused).await.expect("visible at the other node within a second");
    for _ in 0..20 {
        assert!(!site.is_active(caller, pass).await, "and it stays so");
    }
}

#[tokio::test]
async fn what_one_node_ends_the_other_refuses() {
    on_two_nodes(|one, other| async move {
        let bob = one.user("bob").await;
        one.cashier(&bob, true).await;
        let (ana, bobs) = (one.signed_in(&one.ana).await, one.signed_in(&bob).await);
        for site in [&one, &other] {
            assert!(site.is_active(&site.pos, &ana.pass).await && site.is_active(&site.pos, &bobs.pass).await);
        }
        one.cashier(&bob, false).await;
        is_refused_soon(&other, &other.pos, &bobs.pass).await;
        assert!(other.is_active(&other.pos, &ana.pass).await);
        other.end(&ana.session).await;
        is_refused_soon(&one, &one.pos, &ana.pass).await;
        let again = one.signed_in(&one.ana).await;
        assert!(other.is_active(&other.pos, &again.pass).await, "read through: this node has not heard of it before");
        other.disable(&one.ana).await;
        is_refused_soon(&one, &one.pos, &again.pass).await;
    })
    .await;
}

#[tokio::test]
async fn people_sign_in_at_one_node_and_walk_on_at_the_other() {
    on_two_nodes(|one, other| async move {
        let mut browser = Browser::new(&one);
        let landing = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
        assert_eq!(landing.url.as_str(), "https://pos.company.com/");
        let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
        let answer = other.introspect(&other.pos, &pass).await;
        assert_eq!(
            (&answer["active"], &answer["permissions"]),
            (&json!(true), &json!(["canCreateOrder", "canRefund"]))
        );
        let session = browser.cookie(crate::support::HOME, crate::support::SESSION).expect("a session");
        assert_eq!(other.send(Ask::get("/account").cookie(crate::support::SESSION, &session)).await.status, 200);
        // Guesses are counted together, whichever node they reach.
        for number in 0..10 {
            let site = if number % 2 == 0 { &one } else { &other };
            let landing = Browser::new(site).moved_to("203.0.113.1").sign_in("/sign-in", "ana", "wrong").await;
            assert_eq!(landing.answer.status, 422);
        }
        for site in [&one, &other] {
            let landing = Browser::new(site).moved_to("203.0.113.2").sign_in("/sign-in", "ana", PASSWORD).await;
            assert_eq!(landing.answer.status, 429);
        }
    })
    .await;
}

/// The load balancer may send each hop of a handoff to another node.
#[tokio::test]
async fn a_handoff_may_begin_at_one_node_and_end_at_the_other() {
    on_two_nodes(|one, other| async move {
        let shop = one
            .app("shop", |app| {
                app.zone = "elsewhere".parse().expect("a name");
                app.access = hallpass_core::app::Access::Everyone;
                app.origins = vec!["https://shop.company2.com".parse().expect("an origin")];
            })
            .await;
        let mut browser = Browser::new(&one);
        browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
        let authorize = browser.step("https://sso.company2.com/.sso/start?app=shop").await.location().to_owned();
        let mut browser = browser.at(&other);
        // The other node may not have heard of the app yet; it asks before it says so.
        other.engine.context.view.catch_up_now().await.expect("reads");
        let callback = browser.step(&authorize).await.location().to_owned();
        let mut browser = browser.at(&one);
        assert_eq!(browser.step(&callback).await.location(), "https://shop.company2.com/");
        let pass = browser.cookie("https://shop.company2.com/", PASS).expect("a pass");
        assert!(one.is_active(&shop, &pass).await && other.is_active(&shop, &pass).await);
        // A second use is refused at every node.
        for site in [&one, &other] {
            assert_eq!(browser.at(site).step(&callback).await.status, 403);
        }
    })
    .await;
}

/// Protocol §16: two nodes may rotate at once, and one wins; nothing fails to verify meanwhile.
#[tokio::test]
async fn two_rotations_at_once_make_one_key() {
    on_two_nodes(|one, other| async move {
        let ana = one.signed_in(&one.ana).await;
        let before = keys::all(&mut one.store().read().await.expect("reads")).await.expect("reads").len();
        assert_eq!(before, NEEDED.len(), "both started on an empty keyring, and each purpose has one key");
        let rotate = async |site: &Site| {
            let context = &site.engine.context;
            let policy = context.config.key_policy(Purpose::Pass);
            let now = site.now();
            jobs::rotate(&context.store, &context.master, Purpose::Pass, &policy, Duration::ZERO, Actor::System, now)
                .await
                .expect("rotates")
        };
        let mut made = 0;
        for round in 1..=5 {
            let (first, second) = tokio::join!(rotate(&one), rotate(&other));
            made += usize::from(first.is_some()) + usize::from(second.is_some());
            assert!(first.is_some() || second.is_some(), "one wins");
            let now = keys::all(&mut one.store().read().await.expect("reads")).await.expect("reads").len();
            assert_eq!(now, before + made, "round {round}");
            for site in [&one, &other] {
                site.engine.context.view.catch_up_now().await.expect("reads");
                assert!(site.is_active(&site.pos, &ana.pass).await, "round {round}");
                let fresh = site.pass(&ana.session, "home").await;
                assert!(
                    one.is_active(&one.pos, &fresh).await && other.is_active(&other.pos, &fresh).await,
                    "round {round}"
                );
            }
        }
    })
    .await;
}

/// The schedule strikes at every node in the same minute.
#[tokio::test]
async fn a_rotation_that_is_due_everywhere_happens_once() {
    on_two_nodes(|one, other| async move {
        let ana = one.signed_in(&one.ana).await;
        let count = async || keys::all(&mut one.store().read().await.expect("reads")).await.expect("reads").len();
        for round in 1..=3 {
            one.wait(90 * 24 * 3600);
            let due = |site: &Site| jobs::rotate_keys(site.engine.context.clone());
            let (first, second) = tokio::join!(due(&one), due(&other));
            assert!(first.is_ok() && second.is_ok());
            assert_eq!(count().await, NEEDED.len() * (round + 1), "round {round}");
        }
        assert!(!other.is_active(&other.pos, &ana.pass).await, "long over");
    })
    .await;
}

#[tokio::test]
async fn two_nodes_that_start_at_once_agree() {
    let (url, name) = postgres::create().await;
    let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
    // The master key is made by whoever starts first; nodes are given the same one.
    std::fs::write(directory.path().join("master.key"), "A".repeat(43)).expect("writes");
    let config = || Config {
        public_url: Some(crate::support::HOME.parse().expect("an origin")),
        cookie_domain: Some("company.com".to_owned()),
        data_dir: directory.path().to_owned(),
        database_url: Some(url.clone()),
        ..Config::default()
    };
    let start = || hallpass_server::engine::Engine::start(config(), hallpass_server::context::Clock::default());
    let (one, other) = tokio::join!(start(), start());
    let (one, other) = (one.expect("starts"), other.expect("starts"));
    let kids = |engine: &hallpass_server::engine::Engine| {
        let context = engine.context.clone();
        async move {
            context.view.catch_up_now().await.expect("reads");
            let policy = context.view.policy().await.expect("reads");
            policy.keyring.keys().iter().map(|key| key.kid).collect::<Vec<_>>()
        }
    };
    let (first, second) = (kids(&one).await, kids(&other).await);
    one.stop().await;
    other.stop().await;
    postgres::drop(&name).await;
    assert_eq!(first, second);
    assert_eq!(first.len(), NEEDED.len(), "one key for each purpose");
}
