//! `/handoff/next`, `/sign-out/next` and "Continue as": chains through several zones, and the click that keeps browsers from deleting what is
//! ours. Protocol §8 "chain page", "what browsers delete"; §9 number 5.

use hallpass_core::app::Access;
use hallpass_store::zones;
use http::StatusCode;
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{SHOP, TO_SHOP, callback_url, shop};
use crate::support::{ALIAS, Ask, Browser, Caller, HOME, Landing, PASS, PASSWORD, Site};

/// `shop` at company2.com and `depot` at company3.com, both fetched at sign-in.
async fn two_zones(site: &Site) -> (Caller, Caller) {
    let shop = shop(site).await;
    let mut write = site.store().write().await.expect("writes");
    let mut second = zones::all(&mut write).await.expect("reads").remove(0);
    assert_eq!(second.name.as_str(), "elsewhere");
    second.at_sign_in = true;
    zones::upsert(&mut write, &second, site.now()).await.expect("changes");
    let mut third = second.clone();
    third.name = "third".parse().expect("a name");
    third.cookie_domain = "company3.com".parse().expect("a domain");
    third.alias = Some("https://sso.company3.com".parse().expect("an origin"));
    zones::upsert(&mut write, &third, site.now()).await.expect("adds");
    write.commit().await.expect("commits");
    let depot = site
        .app("depot", |app| {
            app.zone = "third".parse().expect("a name");
            app.access = Access::Everyone;
            app.origins = vec!["https://depot.company3.com".parse().expect("an origin")];
        })
        .await;
    site.heard().await;
    (shop, depot)
}

/// A browser that has been to both zones in a session that is over.
async fn been_everywhere<'s>(site: &'s Site, shop: &Caller, depot: &Caller) -> Browser<'s> {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    browser.open(TO_SHOP).await;
    browser.open("/sign-in?app=depot").await;
    for (app, url) in [(shop, SHOP), (depot, "https://depot.company3.com/")] {
        assert!(site.is_active(app, &browser.cookie(url, PASS).expect("a pass")).await);
    }
    site.written_down().await;
    let page = browser.open("/sign-out").await;
    let token = page.answer.csrf_token().to_owned();
    let mut landing = browser.submit(&page.url, &[("csrf_token", &token)]).await;
    while landing.url.path() == "/sign-out/next" {
        landing = browser.open(&attribute(&landing, "data-go")).await;
    }
    assert_eq!((landing.url.path(), browser.cookie(SHOP, PASS)), ("/sign-out/receipt", None));
    browser
}

fn attribute(landing: &Landing, name: &str) -> String {
    let (_, rest) = landing.answer.body.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{landing:?}"));
    rest.split_once('"').expect("it ends").0.replace("&#38;", "&")
}

#[tokio::test]
async fn after_a_sign_in_the_chain_fetches_each_zone_and_arrives() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let mut browser = been_everywhere(&site, &shop, &depot).await;
    let first = browser.sign_in("/sign-in?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Fx", "ana", PASSWORD).await;
    assert_eq!(first.url.path(), "/handoff/next");
    assert!(first.answer.body.contains("Signing you in to company2.<wbr>com"), "{first:?}");
    let policy = first.answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("connect-src https://sso.company2.com") && policy.contains("script-src 'self'"));
    assert_eq!(attribute(&first, "data-check"), format!("{ALIAS}/.well-known/sso-agent"));
    let second = browser.open(&attribute(&first, "data-go")).await;
    assert!(second.answer.body.contains("Signing you in to company3.<wbr>com"), "{second:?}");
    assert!(second.answer.body.contains("told done"), "company2.com is");
    // The same place, asked for twice, is the same place.
    let again = browser.open(second.url.as_str()).await;
    assert_eq!(attribute(&again, "data-go"), attribute(&second, "data-go"));
    let end = browser.open(&attribute(&second, "data-go")).await;
    assert_eq!(end.url.as_str(), "https://pos.company.com/x");
    for (app, url) in [(&shop, SHOP), (&depot, "https://depot.company3.com/")] {
        assert!(site.is_active(app, &browser.cookie(url, PASS).expect("a pass")).await, "{url}");
    }
    // A later visit does not go round again.
    let later = browser.open("/sign-in?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Fy").await;
    assert_eq!(later.url.as_str(), "https://pos.company.com/y");
}

#[tokio::test]
async fn the_destinations_zone_comes_first_and_a_browser_that_was_never_there_is_not_sent() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let mut new = Browser::new(&site);
    assert_eq!(new.sign_in(TO_SHOP, "ana", PASSWORD).await.url.as_str(), SHOP, "no chain for a new browser");
    let mut browser = been_everywhere(&site, &shop, &depot).await;
    let first = browser.sign_in("/sign-in?app=depot", "ana", PASSWORD).await;
    assert!(first.answer.body.contains("Signing you in to company3.<wbr>com"), "{first:?}");
    let second = browser.open(&attribute(&first, "data-skip")).await;
    assert!(second.answer.body.contains("company2.<wbr>com") && second.answer.body.contains("told later"), "skipped");
    let end = browser.open(&attribute(&second, "data-skip")).await;
    assert_eq!(end.url.as_str(), "https://depot.company3.com/");
    assert_eq!(browser.cookie(SHOP, PASS), None, "skipped: fetched on demand");
    assert_eq!(browser.open(TO_SHOP).await.url.as_str(), SHOP);
    assert!(site.is_active(&shop, &browser.cookie(SHOP, PASS).expect("a pass")).await);
    // Nor is one that was there too long ago. The job that writes down who was where must not find this only after that time.
    site.written_down().await;
    site.wait(26 * 24 * 3600);
    let late = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    assert_eq!(late.url.as_str(), "https://pos.company.com/", "{late:?}");
}

#[tokio::test]
async fn a_chain_ends_after_six_seconds_and_for_anybody_else() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let mut browser = been_everywhere(&site, &shop, &depot).await;
    let first = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let mut other = Browser::new(&site);
    let there = other.open(first.url.as_str()).await;
    assert_eq!(there.url.as_str(), "https://pos.company.com/", "nobody is signed in there: no zone has anything");
    site.wait(6);
    assert_eq!(browser.open(first.url.as_str()).await.url.as_str(), "https://pos.company.com/");
    site.wait(600);
    assert_eq!(browser.open(first.url.as_str()).await.url.as_str(), format!("{HOME}/"));
    for bad in ["x", "x.0", "", &"x".repeat(3000)] {
        assert_eq!(browser.open(&format!("/handoff/next?chain={bad}")).await.url.as_str(), format!("{HOME}/"));
        let start = browser.step(&format!("{ALIAS}/.sso/start?chain={bad}")).await;
        assert_eq!((start.status, start.location()), (303, "https://auth.company.com/"), "{bad}");
    }
}

/// Nobody is taken round the zones where they have just been, only because the chain had nothing to do at the sign-in itself.
#[tokio::test]
async fn a_visit_on_demand_within_the_minute_is_followed_by_no_chain() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let mut browser = Browser::new(&site);
    assert_eq!(browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await.url.as_str(), "https://pos.company.com/");
    assert_eq!(browser.open(TO_SHOP).await.url.as_str(), SHOP);
    assert!(site.is_active(&shop, &browser.cookie(SHOP, PASS).expect("a pass")).await);
    site.written_down().await;
    let depots = browser.open("/sign-in?app=depot").await;
    assert_eq!(depots.url.as_str(), "https://depot.company3.com/", "{:?}", depots.way);
    assert!(site.is_active(&depot, &browser.cookie(depots.url.as_str(), PASS).expect("a pass")).await);
}

/// Without scripts the page cannot ask a zone first; the engine does, and leads past one that does not answer.
#[tokio::test]
async fn for_a_browser_without_scripts_the_engine_asks_the_zone() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = agent.local_addr().expect("an address").port();
    let mut browser = been_everywhere(&site, &shop, &depot).await;
    let alias = format!("http://sso.company2.localhost:{port}");
    let mut write = site.store().write().await.expect("writes");
    let mut zone = zones::all(&mut write).await.expect("reads").remove(0);
    zone.alias = Some(alias.parse().expect("an origin"));
    zones::upsert(&mut write, &zone, site.now()).await.expect("changes");
    write.commit().await.expect("commits");
    site.heard().await;
    let first = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let (go, skip) = (attribute(&first, "data-go"), attribute(&first, "data-skip"));
    assert!(go.starts_with(&alias), "{go}");
    let plain =
        first.answer.body.split("content=\"1;url=").nth(1).expect("leads on").split('"').next().expect("it ends");
    let plain = format!("{HOME}{}", plain.replace("&#38;", "&"));
    for (status, there) in [(StatusCode::OK, &go), (StatusCode::BAD_GATEWAY, &skip)] {
        let one = async {
            let accepted = tokio::time::timeout(Duration::from_secs(10), agent.accept()).await;
            let (mut stream, _) = accepted.expect("in time").expect("a visitor");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.expect("a request");
            assert!(request[..read].starts_with(b"GET /.well-known/sso-agent HTTP/1.1\r\n"));
            let answer = format!("HTTP/1.1 {} x\r\ncontent-length: 0\r\n\r\n", status.as_u16());
            stream.write_all(answer.as_bytes()).await.expect("an answer");
        };
        let (step, ()) = tokio::join!(browser.step(&plain), one);
        assert_eq!((step.status, step.location()), (303, there.as_str()));
    }
    drop(agent);
    assert_eq!(browser.step(&plain).await.location(), skip, "refused");
}

/// A zone whose agent finds nobody signed in does not hold the chain up.
#[tokio::test]
async fn a_step_that_fails_goes_on() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let mut browser = been_everywhere(&site, &shop, &depot).await;
    let first = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let authorize = browser.step(&attribute(&first, "data-go")).await.location().to_owned();
    let callback = browser.step(&authorize).await.location().to_owned();
    // The code is spoilt on the way.
    let spoilt = callback.replace("code=hp_hc_", "error=temporarily_unavailable&x=");
    let spoilt = spoilt.split("&x=").next().expect("a part").to_owned()
        + "&state="
        + url::Url::parse(&callback)
            .expect("a URL")
            .query_pairs()
            .find(|(name, _)| name == "state")
            .expect("a state")
            .1
            .as_ref()
        + "&iss=https%3A%2F%2Fauth.company.com";
    let next = browser.open(&spoilt).await;
    assert!(next.answer.body.contains("Signing you in to company3.<wbr>com"), "{next:?}");
}

#[tokio::test]
async fn signing_out_cleans_the_zones_that_knew_and_ends_at_the_receipt() {
    let site = Site::start().await;
    let (shop, depot) = two_zones(&site).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(TO_SHOP, "ana", PASSWORD).await;
    browser.open("/sign-in?app=depot").await;
    for (app, url) in [(&shop, SHOP), (&depot, "https://depot.company3.com/")] {
        assert!(site.is_active(app, &browser.cookie(url, PASS).expect("a pass")).await);
    }
    site.written_down().await;
    // A forged visit while the session lives takes nothing away.
    browser.step(&format!("{ALIAS}/.sso/sync")).await;
    assert!(browser.cookie(SHOP, PASS).is_some());
    let page = browser.open("/sign-out").await;
    let token = page.answer.csrf_token().to_owned();
    let first = browser.submit(&page.url, &[("csrf_token", &token)]).await;
    assert!(first.answer.body.contains("Signing you out of company2.<wbr>com"), "{first:?}");
    let second = browser.open(&attribute(&first, "data-go")).await;
    assert_eq!(browser.cookie(SHOP, PASS), None, "cleaned");
    let end = browser.open(&attribute(&second, "data-go")).await;
    assert_eq!(end.url.path(), "/sign-out/receipt");
    assert!(end.answer.body.contains("The shop") && end.answer.body.contains("The depot"), "{end:?}");
    assert_eq!(browser.cookie("https://depot.company3.com/", PASS), None);
}

#[tokio::test]
async fn the_way_through_the_zones_leaves_out_the_one_signed_out_at_and_says_which_were_skipped() {
    let site = Site::start().await;
    let apps = many_zones(&site, 3).await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    for (app, url) in &apps {
        browser.open(&format!("/sign-in?app={}", app.key)).await;
        assert!(site.is_active(app, &browser.cookie(url, PASS).expect("a pass")).await);
    }
    site.written_down().await;
    let (here, url) = &apps[1];
    let envelope = site.introspect(here, &browser.cookie(url, PASS).expect("a pass")).await;
    let body = serde_json::json!({ "sid": envelope["sid"], "sub": envelope["sub"] });
    let answer = site.send(Ask::post("/api/v1/sign-out").by(here).json(&body)).await;
    let there = answer.json()["continue_at"].as_str().expect("a way on").to_owned();
    let first = browser.open(&there).await;
    assert!(first.answer.body.contains("Signing you out of zone0.<wbr>com"), "{first:?}");
    let second = browser.open(&attribute(&first, "data-skip")).await;
    assert!(second.answer.body.contains("Signing you out of zone2.<wbr>com"), "{second:?}");
    assert!(second.answer.body.contains("told skipped") && !second.answer.body.contains("told done"), "{second:?}");
    assert!(!second.answer.body.contains("zone1."), "{second:?}");
    assert_eq!(browser.open(&attribute(&second, "data-go")).await.url.path(), "/sign-out/receipt");
}

/// Browsers delete what belongs to a site that only ever redirects: after 25 days without a click, one is asked for.
#[tokio::test]
async fn after_weeks_without_a_click_authorize_asks_for_one() {
    let site = Site::start().await;
    let shop = shop(&site).await;
    let mut browser = Browser::new(&site);
    let page = browser.open("/sign-in?app=pos").await;
    let token = page.answer.csrf_token().to_owned();
    let fields = [("csrf_token", &*token), ("username", "ana"), ("password", PASSWORD), ("stay", "1")];
    browser.submit(&page.action(), &fields).await;
    for _ in 0..5 {
        // Used every five days, but never at home.
        site.wait(5 * 24 * 3600);
        let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
        site.introspect(&site.pos, &pass).await;
        browser.open("/pass/refresh?app=pos").await;
        let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
        assert!(site.is_active(&site.pos, &pass).await);
        site.written_down().await;
    }
    site.wait(3600);
    let asked = browser.open(TO_SHOP).await;
    assert_eq!(asked.url.path(), "/handoff/authorize");
    assert!(asked.answer.shows("continue-as"), "{asked:?}");
    let token = asked.answer.csrf_token().to_owned();
    let clicked = browser.submit(&asked.action(), &[("csrf_token", &token)]).await;
    assert_eq!(clicked.answer.status, 200);
    let onward = clicked.answer.body.split("content=\"0;url=").nth(1).expect("leads on");
    let onward = onward.split('"').next().expect("it ends").replace("&#38;", "&");
    assert_eq!(browser.open(&onward).await.url.as_str(), SHOP);
    assert!(site.is_active(&shop, &browser.cookie(SHOP, PASS).expect("a pass")).await);
    browser.toss(ALIAS, "__Secure-hallpass-pass=; Domain=company2.com; Path=/; Secure; Max-Age=0");
    callback_url(&mut browser).await;
}

/// What a zone may do instead of its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing is wrong.
    None,
    /// It does not answer: the page's own check, or its timer, goes on.
    Silent,
    /// It takes the browser and leads nowhere; the person skips.
    Lost,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whichever of five zones fail, and how: the browser is redirected a bounded number of times and ends at the destination, those that did not fail
    /// have their pass, and the others fetch it on demand later.
    #[test]
    fn whichever_zones_fail_the_chain_arrives(
        faults in proptest::collection::vec(prop_oneof![Just(Fault::None), Just(Fault::Silent), Just(Fault::Lost)], 5)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(chain_with(&faults));
    }
}

/// None at all, each alone, and all: whatever chance picks beside them.
#[tokio::test]
async fn no_fault_each_alone_and_all_of_them() {
    for fault in [Fault::Silent, Fault::Lost] {
        chain_with(&[Fault::None; 5]).await;
        chain_with(&[fault; 5]).await;
        for alone in 0..5 {
            let mut faults = [Fault::None; 5];
            faults[alone] = fault;
            chain_with(&faults).await;
        }
    }
}

async fn chain_with(faults: &[Fault]) {
    let site = Site::start().await;
    let apps = many_zones(&site, faults.len()).await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    for (app, url) in &apps {
        browser.open(&format!("/sign-in?app={}", app.key)).await;
        assert!(site.is_active(app, &browser.cookie(url, PASS).expect("a pass")).await);
    }
    site.written_down().await;
    let page = browser.open("/sign-out").await;
    let token = page.answer.csrf_token().to_owned();
    let mut landing = browser.submit(&page.url, &[("csrf_token", &token)]).await;
    while landing.url.path() == "/sign-out/next" {
        landing = browser.open(&attribute(&landing, "data-go")).await;
    }

    let mut landing = browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let mut pages = 0;
    while landing.url.path() == "/handoff/next" {
        // Sign-in, continue and the page; or start, authorize, callback and the page.
        assert!(landing.way.len() <= 4, "{:?}", landing.way);
        let go = attribute(&landing, "data-go");
        landing = match faults[pages] {
            Fault::None => browser.open(&go).await,
            Fault::Silent => browser.open(&attribute(&landing, "data-skip")).await,
            Fault::Lost => {
                browser.step(&go).await;
                browser.open(&attribute(&landing, "data-skip")).await
            }
        };
        pages += 1;
    }
    assert_eq!((landing.url.as_str(), pages), ("https://pos.company.com/", faults.len()));
    for ((app, url), fault) in apps.iter().zip(faults) {
        assert_eq!(browser.cookie(url, PASS).is_some(), *fault == Fault::None, "{url}: {fault:?}");
        browser.open(&format!("/sign-in?app={}", app.key)).await;
        assert!(site.is_active(app, &browser.cookie(url, PASS).expect("a pass")).await, "{url}, on demand");
    }
}

/// So many zones that are fetched at sign-in, each with an app: its key pair and its address.
async fn many_zones(site: &Site, count: usize) -> Vec<(Caller, String)> {
    let mut write = site.store().write().await.expect("writes");
    let template = zones::all(&mut write).await.expect("reads").remove(0);
    let names: Vec<String> = (0..count).map(|number| format!("zone{number}")).collect();
    for name in &names {
        let mut zone = template.clone();
        zone.name = name.parse().expect("a name");
        zone.cookie_domain = format!("{name}.com").parse().expect("a domain");
        zone.alias = Some(format!("https://sso.{name}.com").parse().expect("an origin"));
        zone.at_sign_in = true;
        zones::upsert(&mut write, &zone, site.now()).await.expect("adds");
    }
    write.commit().await.expect("commits");
    let mut apps = Vec::new();
    for name in &names {
        let url = format!("https://shop.{name}.com");
        let key = format!("shop-{name}");
        let app = site.app(&key, |app| {
            app.zone = name.parse().expect("a name");
            app.access = Access::Everyone;
            app.origins = vec![url.parse().expect("an origin")];
        });
        apps.push((app.await, format!("{url}/")));
    }
    site.heard().await;
    apps
}
