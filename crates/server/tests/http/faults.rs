//! The database goes away, hangs, comes back: 503 meanwhile, never a wrong answer, and nobody is needed. Protocol §20.

use std::sync::Arc;
use std::time::Duration;

use crate::support::proxy::{Network, Proxy};
use crate::support::{Ask, PASSWORD, SESSION, Site, postgres};

/// Until a node knows that it knows nothing, or is well again. The longest wait inside is for a connection that hangs: 7 s.
const LIMIT: Duration = Duration::from_mins(1);

/// One node with a direct line to the database, and one by way of a proxy.
async fn behind_a_proxy<Running: Future<Output = ()> + Send + 'static>(
    test: impl FnOnce(Site, Site, Arc<Proxy>) -> Running,
) {
    let (url, name) = postgres::create().await;
    let proxy = Arc::new(Proxy::start(&url).await);
    let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
    let direct = Site::node(&url, &directory, None).await;
    let proxied = Site::node(&proxy.url, &directory, Some(&direct)).await;
    let outcome = tokio::spawn(test(direct, proxied, proxy.clone())).await;
    proxy.set(Network::Cut);
    postgres::drop(&name).await;
    outcome.expect("passes");
}

/// What introspection says now: `Some(permissions)`, or `None` for 503. Anything else is a wrong answer.
async fn said(site: &Site, pass: &str) -> Option<String> {
    let answer = site.send(Ask::introspect(&site.pos, pass)).await;
    match answer.status {
        503 => {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert!(!answer.body.contains("active"), "{answer:?}");
            None
        }
        200 => {
            let said = answer.json();
            assert_eq!(said["active"], true, "a fault of ours is never an answer about the person: {answer:?}");
            Some(said["scope"].as_str().expect("text").to_owned())
        }
        _ => panic!("{answer:?}"),
    }
}

/// Asks until it says so.
async fn until(site: &Site, pass: &str, wanted: impl Fn(Option<&str>) -> bool, meanwhile: impl Fn(Option<&str>)) {
    let asking = async {
        loop {
            let said = said(site, pass).await;
            if wanted(said.as_deref()) {
                return;
            }
            meanwhile(said.as_deref());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, asking).await.expect("it comes to that by itself");
}

const BEFORE: &str = "canCreateOrder canRefund";

async fn away_and_back(how: Network) {
    behind_a_proxy(move |direct, proxied, proxy| async move {
        let ana = direct.signed_in(&direct.ana).await;
        assert_eq!(said(&proxied, &ana.pass).await.as_deref(), Some(BEFORE));
        proxy.set(how);
        until(&proxied, &ana.pass, |said| said.is_none(), |said| assert_eq!(said, Some(BEFORE))).await;
        // While it does not know, nothing it says sounds as if it did.
        for ask in [
            Ask::post("/introspect").basic("pos", "hp_sk_wrong").form(&[("token", "x")]),
            Ask::get("/account").cookie(SESSION, &ana.cookie),
            Ask::get("/continue?app=pos").cookie(SESSION, &ana.cookie),
            Ask::get("/sign-in?app=pos"),
            Ask::post("/api/v1/sign-out")
                .by(&proxied.pos)
                .json(&serde_json::json!({ "sid": ana.session.id, "sub": direct.ana.id })),
        ] {
            let text = format!("{ask:?}");
            assert_eq!(proxied.send(ask).await.status, 503, "{text}");
        }
        // Meanwhile the world goes on: what the node remembers is not true any more when it comes back.
        direct.role("pos", "cashier", &["canRefund"]).await;
        assert_eq!(said(&proxied, &ana.pass).await, None);
        proxy.set(Network::Works);
        let never_stale = |said: Option<&str>| assert_eq!(said, None, "an answer from before");
        until(&proxied, &ana.pass, |said| said == Some("canRefund"), never_stale).await;
        assert_eq!(proxied.send(Ask::get("/account").cookie(SESSION, &ana.cookie)).await.status, 200);
        let landing = crate::support::Browser::new(&proxied).sign_in("/sign-in", "ana", PASSWORD).await;
        assert_eq!(landing.url.path(), "/", "{landing:?}");
    })
    .await;
}

#[tokio::test]
async fn cut_off_it_says_503_and_recovers() {
    away_and_back(Network::Cut).await;
}

#[tokio::test]
async fn hung_it_says_503_and_recovers() {
    away_and_back(Network::Hangs).await;
}

/// Notifications are a convenience: a node that hears none finds what has changed by looking.
#[tokio::test]
async fn a_broken_line_for_a_moment_hides_no_change() {
    behind_a_proxy(|direct, proxied, proxy| async move {
        let ana = direct.signed_in(&direct.ana).await;
        assert_eq!(said(&proxied, &ana.pass).await.as_deref(), Some(BEFORE));
        for round in 0..5 {
            // Every connection breaks, the listening one too, and new ones come about at once.
            proxy.set(Network::Cut);
            let permission = format!("round{round}");
            direct.role("pos", "cashier", &[&permission]).await;
            proxy.set(Network::Works);
            until(&proxied, &ana.pass, |said| said == Some(&*permission), |_| ()).await;
            for _ in 0..20 {
                assert_eq!(said(&proxied, &ana.pass).await.as_deref(), Some(&*permission), "there is no way back");
            }
        }
    })
    .await;
}
