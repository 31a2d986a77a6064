//! Every app that ever learned of a session hears of its end: logout tokens, retries, the receipt. Protocol §9, §20; OIDC Back-Channel
//! Logout 1.0.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::logout::Told;
use hallpass_server::sign_out::deliver::deliver;
use hallpass_server::telemetry::Facts;
use hallpass_store::audit;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, watch};

use crate::support::{Ask, Browser, Caller, HOME, PASSWORD, SESSION, Site};

/// An app's backend: what it is told, and what it answers, in turn; the last answer for ever.
pub struct Backend {
    pub url: String,
    heard: mpsc::UnboundedReceiver<String>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    /// While it is true, it does not answer.
    held: watch::Sender<bool>,
}

impl Backend {
    pub async fn start(answers: &[StatusCode]) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let held = watch::Sender::new(false);
        let (turns, gate) = (answers.clone(), held.subscribe());
        let out = post(move |body: String| {
            let (tell, turns, mut gate) = (tell.clone(), turns.clone(), gate.clone());
            async move {
                tell.send(body).expect("the test listens");
                gate.wait_for(|held| !held).await.expect("the test holds the other end");
                let mut turns = turns.lock().await;
                let answer = turns.front().copied().expect("an answer");
                if turns.len() > 1 {
                    turns.pop_front();
                }
                answer
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/out", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/out", out)).await });
        Self { url, heard, answers, held }
    }

    /// The next logout token, whatever else is in the form.
    pub async fn next_token(&mut self) -> String {
        let body =
            tokio::time::timeout(Duration::from_secs(10), self.heard.recv()).await.expect("in time").expect("told");
        body.strip_prefix("logout_token=").expect("a logout token and nothing else").to_owned()
    }

    /// Its claims.
    async fn next(&mut self) -> Value {
        let token = self.next_token().await;
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64url");
        serde_json::from_slice(&claims).expect("JSON")
    }
}

/// Where backends may be at loopback addresses.
pub async fn site() -> Site {
    Site::start_with(|config| {
        config.sign_out.allow_internal = vec!["127.0.0.1".to_owned().try_into().expect("a network")];
    })
    .await
}

async fn listening(site: &Site, key: &str, backends: &[&Backend]) -> Caller {
    site.app(key, |app| {
        app.access = hallpass_core::app::Access::Everyone;
        app.logout_urls = backends.iter().map(|backend| backend.url.parse().expect("an address")).collect();
    })
    .await
}

/// Ana signs in, these apps learn of it, and she signs out. Where her receipt is.
async fn in_and_out(site: &Site, apps: &[&Caller]) -> String {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=wiki", "ana", PASSWORD).await;
    let pass = browser.cookie("https://wiki.company.com/", crate::support::PASS).expect("a pass");
    for app in apps {
        assert!(site.is_active(app, &pass).await);
    }
    site.written_down().await;
    let page = browser.open("/sign-out").await;
    let fields = [("csrf_token", page.answer.csrf_token())];
    let landing = browser.submit(&page.action(), &fields).await;
    assert!(landing.answer.shows("signed-out"), "{landing:?}");
    assert_eq!(browser.cookie(HOME, SESSION), None);
    landing.url.to_string().strip_prefix(HOME).expect("at home").to_owned()
}

/// The receipt's words, app by app, as somebody without a session sees them.
async fn receipt(site: &Site, path: &str) -> Vec<(String, String)> {
    let page = site.send(Ask::get(path)).await;
    assert_eq!(page.status, 200, "{page:?}");
    let lines = page.body.split("<li data-testid=\"receipt\">").skip(1);
    let text = |line: &str, before: &str| {
        line.split(before).nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default().to_owned()
    };
    lines.map(|line| (text(line, "<strong>"), text(line, "data-testid=\"told\">"))).collect()
}

/// Waits until so many attempts have been written down, however they ended.
async fn settled(site: &Site, attempts: u64) {
    let counted = || {
        let text = site.engine.context.telemetry.render(&Facts::default());
        let counts = text.lines().filter(|line| line.starts_with("hallpass_logout_deliveries_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let written = async {
        while counted() < attempts {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("in time");
    assert_eq!(counted(), attempts);
}

#[tokio::test]
async fn each_app_is_told_at_each_of_its_addresses_and_the_receipt_says_so() {
    let site = site().await;
    let (mut one, mut two) = (Backend::start(&[StatusCode::OK]).await, Backend::start(&[StatusCode::NO_CONTENT]).await);
    let till = listening(&site, "till", &[&one, &two]).await;
    let stranger = Backend::start(&[StatusCode::OK]).await;
    listening(&site, "stranger", &[&stranger]).await;
    let path = in_and_out(&site, &[&till, &site.wiki]).await;
    let said =
        |told: &str| vec![("The till".to_owned(), told.to_owned()), ("The wiki".to_owned(), "Signed out".to_owned())];
    deliver(site.engine.context.clone()).await.expect("reads");
    let (first, second) = (one.next().await, two.next().await);
    for claims in [&first, &second] {
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(HOME), &json!("till")));
        assert_eq!((&claims["sub"], &claims["sid"]), (&json!(site.ana.id), &first["sid"]));
        assert_eq!(claims["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
        assert!(claims.get("nonce").is_none());
    }
    assert_ne!(first["jti"], second["jti"]);
    settled(&site, 2).await;
    assert_eq!(receipt(&site, &path).await, said("Signed out"));
    deliver(site.engine.context.clone()).await.expect("reads");
    assert!(one.heard.try_recv().is_err() && stranger.heard.is_empty(), "once, and nobody who had not heard of her");
    site.wait(3600);
    let old = site.send(Ask::get(&path)).await;
    assert_eq!(old.status, 400);
    assert!(old.body.contains("signed out all the same"));
}

/// One app is down: everybody else knows at once, the receipt says who does not, and it is told when it is back.
#[tokio::test]
async fn an_app_that_is_down_is_told_when_it_is_back() {
    let site = site().await;
    let mut down = Backend::start(&[StatusCode::BAD_GATEWAY, StatusCode::FOUND, StatusCode::OK]).await;
    let mut up = Backend::start(&[StatusCode::OK]).await;
    let (till, desk) = (listening(&site, "till", &[&down]).await, listening(&site, "desk", &[&up]).await);
    let path = in_and_out(&site, &[&till, &desk]).await;
    let first = {
        deliver(site.engine.context.clone()).await.expect("reads");
        let (claims, _) = (down.next().await, up.next().await);
        settled(&site, 2).await;
        claims
    };
    let said = |till: &str| {
        [("The desk", "Signed out"), ("The till", till)].map(|(app, told)| (app.to_owned(), told.to_owned()))
    };
    let page = site.send(Ask::get(&path)).await;
    assert!(page.body.contains("/assets/receipt-"), "it looks again by itself");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("connect-src https://auth.company.com") && policy.contains("script-src 'self'"),
        "{policy}"
    );
    assert_eq!(receipt(&site, &path).await, said("Being told"));
    for attempt in [3, 4] {
        deliver(site.engine.context.clone()).await.expect("reads");
        assert!(down.heard.try_recv().is_err(), "not before its time");
        site.wait(10);
        deliver(site.engine.context.clone()).await.expect("reads");
        let again = down.next().await;
        assert_ne!(again["jti"], first["jti"], "a fresh token for each attempt");
        assert_eq!(again["sid"], first["sid"]);
        settled(&site, attempt).await;
    }
    assert_eq!(receipt(&site, &path).await, said("Signed out"));
    assert!(!site.send(Ask::get(&path)).await.body.contains("/assets/receipt-"), "and need not");
}

/// Eight at a time wait for an app that does not answer; another one is told meanwhile.
#[tokio::test]
async fn a_slow_app_delays_nobody_else() {
    let site = site().await;
    let mut slow = Backend::start(&[StatusCode::OK]).await;
    slow.held.send_replace(true);
    let mut fast = Backend::start(&[StatusCode::OK]).await;
    let (till, desk) = (listening(&site, "till", &[&slow]).await, listening(&site, "desk", &[&fast]).await);
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let ana = site.signed_in(&site.ana).await;
        assert!(site.is_active(&till, &ana.pass).await);
        sessions.push(ana.session);
    }
    let last = site.signed_in(&site.ana).await;
    assert!(site.is_active(&desk, &last.pass).await);
    site.written_down().await;
    for session in sessions.iter().chain([&last.session]) {
        site.end(session).await;
    }
    deliver(site.engine.context.clone()).await.expect("reads");
    deliver(site.engine.context.clone()).await.expect("reads");
    assert_eq!(fast.next().await["sid"], json!(last.session.id));
    for _ in 0..8 {
        slow.next().await;
    }
    assert!(slow.heard.try_recv().is_err(), "eight at a time");
    slow.held.send_replace(false);
    // The job takes the others as places become free.
    for _ in 8..20 {
        slow.next().await;
    }
}

/// Tried for a day, it is a matter for people: the receipt, the audit log and a counter say so.
#[tokio::test]
async fn after_a_day_an_app_counts_as_unreachable() {
    let site = site().await;
    let mut gone = Backend::start(&[StatusCode::INTERNAL_SERVER_ERROR]).await;
    let till = listening(&site, "till", &[&gone]).await;
    let ana = site.signed_in(&site.ana).await;
    assert!(site.is_active(&till, &ana.pass).await);
    site.written_down().await;
    site.end(&ana.session).await;
    let state = async || {
        let mut read = site.store().read().await.expect("reads");
        let told = hallpass_server::sign_out::receipt::receipt(&mut read, &ana.session.id).await.expect("reads");
        told.into_values().next().expect("the till has learned of her")
    };
    let mut tried = 0;
    while state().await == Told::Retrying {
        deliver(site.engine.context.clone()).await.expect("reads");
        gone.next().await;
        tried += 1;
        settled(&site, tried).await;
        // No wait is longer, so that it is always due then.
        site.wait(15 * 60);
    }
    assert_eq!(state().await, Told::Unreachable);
    assert!((90..=110).contains(&tried), "{tried} attempts in a day");
    let mut read = site.store().read().await.expect("reads");
    let filter = audit::Filter { event: Some("sign_out_undelivered".to_owned()), ..audit::Filter::default() };
    let entries = audit::list(&mut read, &filter, None, 10).await.expect("reads");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].app.as_ref().map(hallpass_core::id::AppKey::as_str), Some("till"));
    assert_eq!(gone.answers.lock().await.len(), 1);
}

/// T-SSRF: an address inside is not called unless the operator allows it.
#[tokio::test]
async fn an_internal_address_is_called_only_if_allowed() {
    let site = Site::start().await;
    let mut inside = Backend::start(&[StatusCode::OK]).await;
    let till = listening(&site, "till", &[&inside]).await;
    let ana = site.signed_in(&site.ana).await;
    assert!(site.is_active(&till, &ana.pass).await);
    site.written_down().await;
    site.end(&ana.session).await;
    deliver(site.engine.context.clone()).await.expect("reads");
    settled(&site, 1).await;
    assert!(inside.heard.try_recv().is_err());
}
