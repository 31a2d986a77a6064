//! `/handoff/authorize` and the agent at an alias: how `shop.company2.com` learns who is signed in at `auth.company.com`. Protocol §8;
//! T7–T11, T42–T52.

pub mod app_agent;
mod assertion;
mod chain;

use hallpass_core::app::Access;
use hallpass_store::{audit, zones};

use crate::sign_in::return_to::hostile;
use crate::support::{ALIAS, Ask, Browser, Caller, HOME, PASS, PASSWORD, Site};

pub const SHOP: &str = "https://shop.company2.com/x?y=1";
/// From an app of the other root domain to the sign-in page at home.
pub const TO_SHOP: &str = "/sign-in?app=shop&return_to=https%3A%2F%2Fshop.company2.com%2Fx%3Fy%3D1";
const START: &str =
    "https://sso.company2.com/.sso/start?app=shop&return_to=https%3A%2F%2Fshop.company2.com%2Fx%3Fy%3D1";

pub async fn shop(site: &Site) -> Caller {
    site.app("shop", |app| {
        app.zone = "elsewhere".parse().expect("a name");
        app.access = Access::Everyone;
        app.origins = vec!["https://shop.company2.com".parse().expect("an origin")];
    })
    .await
}

/// A browser that is signed in at home, and a shop that it has never been to.
async fn at_home(site: &Site) -> (Browser<'_>, Caller) {
    let shop = shop(site).await;
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    (browser, shop)
}

/// Goes as far as to where the code is in the callback's URL, which has not been opened yet.
async fn callback_url(browser: &mut Browser<'_>) -> String {
    let authorize = browser.step(START).await.location().to_owned();
    assert!(authorize.starts_with(&format!("{HOME}/handoff/authorize?client_id=elsewhere&")), "{authorize}");
    let callback = browser.step(&authorize).await.location().to_owned();
    assert!(callback.starts_with(&format!("{ALIAS}/.sso/callback?code=hp_hc_")), "{callback}");
    callback
}

/// Reason codes of refused handoffs that the audit log has, in alphabetical order.
async fn reasons(site: &Site) -> Vec<String> {
    let mut read = site.store().read().await.expect("reads");
    let filter = audit::Filter { event: Some("handoff_refused".to_owned()), ..audit::Filter::default() };
    let entries = audit::list(&mut read, &filter, None, 100).await.expect("reads");
    let mut reasons: Vec<_> = entries.into_iter().map(|entry| entry.reason.expect("a reason")).collect();
    reasons.sort();
    reasons
}

async fn assert_refused(site: &Site, browser: &mut Browser<'_>, url: &str, reason: &str) {
    let mut expected = reasons(site).await;
    let answer = browser.step(url).await;
    assert_eq!((answer.status, answer.header("location"), answer.set_cookie(PASS)), (403, None, None), "{reason}");
    assert!(answer.shows("way-on") && answer.body.contains("That link does not work here"));
    expected.push(reason.to_owned());
    expected.sort();
    assert_eq!(reasons(site).await, expected);
    assert_eq!(browser.cookie(SHOP, PASS), None);
}

#[tokio::test]
async fn somebody_who_is_signed_in_at_home_is_known_there_without_a_form() {
    let site = Site::start().await;
    let (mut browser, shop) = at_home(&site).await;
    let landing = browser.open(TO_SHOP).await;
    assert_eq!(landing.url.as_str(), SHOP);
    let way: Vec<_> = landing.way.iter().map(|url| url.split('?').next().unwrap_or_default()).collect();
    let hops = ["/sign-in", "/continue"].map(|path| format!("{HOME}{path}"));
    let [start, callback] = ["start", "callback"].map(|path| format!("{ALIAS}/.sso/{path}"));
    let authorize = format!("{HOME}/handoff/authorize");
    assert_eq!(way, [&*hops[0], &*hops[1], &*start, &*authorize, &*callback, "https://shop.company2.com/x"]);
    let pass = browser.cookie(SHOP, PASS).expect("the zone's pass");
    let envelope = site.introspect(&shop, &pass).await;
    assert_eq!((&envelope["active"], &envelope["username"]), (&true.into(), &"ana".into()));
    assert!(!site.is_active(&site.pos, &pass).await, "good in its own zone only");
    let home = browser.cookie("https://pos.company.com/", PASS).expect("the home zone's");
    assert!(!site.is_active(&shop, &home).await, "and the other way round");
    assert!(!browser.carried(ALIAS).contains("hallpass-tx"), "the transaction is over: {}", browser.carried(ALIAS));
    let mut read = site.store().read().await.expect("reads");
    let done = audit::Filter { event: Some("handed_off".to_owned()), ..audit::Filter::default() };
    let done = audit::list(&mut read, &done, None, 10).await.expect("reads");
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].actor, format!("user:{}", site.ana.id));
}

#[tokio::test]
async fn somebody_who_is_signed_in_nowhere_signs_in_at_home_and_is_back() {
    let site = Site::start().await;
    let shop = shop(&site).await;
    let mut browser = Browser::new(&site);
    let page = browser.open(START).await;
    assert_eq!(page.url.as_str(), &format!("{HOME}{TO_SHOP}"));
    let policy = page.answer.header("content-security-policy").expect("a policy");
    let forms = policy.split("form-action ").nth(1).expect("forms may lead somewhere");
    assert_eq!(forms, format!("'self' {ALIAS} https://shop.company2.com"), "or Chromium stops on the way");
    let landing = browser.sign_in(TO_SHOP, "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), SHOP);
    let pass = browser.cookie(SHOP, PASS).expect("the zone's pass");
    assert!(site.is_active(&shop, &pass).await);
}

/// Signing out at home is signing out there: the pass is only as good as the session.
#[tokio::test]
async fn the_end_of_the_session_is_the_end_everywhere() {
    let site = Site::start().await;
    let (mut browser, shop) = at_home(&site).await;
    browser.open(TO_SHOP).await;
    let pass = browser.cookie(SHOP, PASS).expect("the zone's pass");
    let sub = site.ana.id.to_string();
    let sid = site.introspect(&shop, &pass).await["sid"].as_str().expect("a session").to_owned();
    let body = serde_json::json!({ "sid": sid, "sub": sub });
    assert_eq!(site.send(Ask::post("/api/v1/sign-out").by(&shop).json(&body)).await.status, 200);
    assert!(!site.is_active(&shop, &pass).await);
    let home = browser.cookie("https://pos.company.com/", PASS).expect("still in the browser");
    assert!(!site.is_active(&site.pos, &home).await);
    let page = browser.open(TO_SHOP).await;
    assert!(page.answer.shows("sign-in"), "asked again: {:?}", page.way);
}

/// A link with a code in it, sent to somebody else, or a form that posts one: login CSRF, session fixation (T42, T43).
#[tokio::test]
async fn a_code_that_is_opened_in_another_browser_does_nothing() {
    let site = Site::start().await;
    let (mut browser, shop) = at_home(&site).await;
    let url = callback_url(&mut browser).await;
    let mut other = Browser::new(&site).moved_to("198.51.100.9");
    assert_refused(&site, &mut other, &url, "no_transaction").await;
    // One that has a transaction of its own is no better off.
    other.step(START).await;
    assert_refused(&site, &mut other, &url, "no_transaction").await;
    let done = browser.step(&url).await;
    assert_eq!((done.status, done.location()), (303, SHOP), "and the code was not used up by that");
    assert!(site.is_active(&shop, &browser.cookie(SHOP, PASS).expect("a pass")).await);
}

#[tokio::test]
async fn a_code_works_once() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let url = callback_url(&mut browser).await;
    let carried = browser.carried(ALIAS);
    assert_eq!(browser.step(&url).await.status, 303);
    let again = browser.step(&url).await;
    assert_eq!((again.status, again.set_cookie(PASS)), (403, None), "the transaction is gone");
    // Somebody who has kept the cookie, too.
    let path = url.strip_prefix(ALIAS).expect("at the alias");
    let replayed = site.send(Ask::get(path).at("sso.company2.com").header("cookie", carried)).await;
    assert_eq!((replayed.status, replayed.set_cookie(PASS)), (403, None));
    assert_eq!(reasons(&site).await, ["code_reused", "no_transaction"]);
}

#[tokio::test]
async fn code_and_transaction_have_their_time() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let url = callback_url(&mut browser).await;
    site.wait(29);
    assert_eq!(browser.step(&url).await.status, 303, "in the last second");
    browser.toss(ALIAS, "__Secure-hallpass-pass=; Domain=company2.com; Path=/; Secure; Max-Age=0");
    let url = callback_url(&mut browser).await;
    site.wait(30);
    assert_refused(&site, &mut browser, &url, "code_expired").await;
    let authorize = browser.step(START).await.location().to_owned();
    site.wait(120);
    let url = browser.step(&authorize).await.location().to_owned();
    assert_refused(&site, &mut browser, &url, "transaction_expired").await;
}

#[tokio::test]
async fn what_comes_back_must_be_what_was_asked_for() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let iss = format!("iss={}", form_urlencoded::byte_serialize(HOME.as_bytes()).collect::<String>());
    for (from, to, reason) in [
        (iss.as_str(), "iss=https%3A%2F%2Fevil.example", "wrong_issuer"),
        (iss.as_str(), "", "wrong_issuer"),
        ("code=hp_hc_", "code=hp_ss_", "no_code"),
        ("state=", "state=x", "no_transaction"),
        ("state=", "error=x&state=x", "no_transaction"),
    ] {
        site.wait(60);
        let url = callback_url(&mut browser).await.replace(from, to);
        assert_refused(&site, &mut browser, &url, reason).await;
    }
    site.wait(60);
    // Two handoffs in one browser, their codes exchanged: each code is worth something only with its own verifier.
    let (one, two) = (callback_url(&mut browser).await, callback_url(&mut browser).await);
    let code = |url: &str| url.split(['=', '&']).nth(1).expect("a code").to_owned();
    let crossed = one.replace(&code(&one), &code(&two));
    assert_refused(&site, &mut browser, &crossed, "wrong_verifier").await;
    assert_refused(&site, &mut browser, &two, "code_reused").await;
}

/// T44: a code is for one zone, whatever the others have been told.
#[tokio::test]
async fn a_code_of_another_zone_is_no_good() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let mut third = zones::all(&mut site.store().read().await.expect("reads")).await.expect("reads").remove(0);
    third.name = "third".parse().expect("a name");
    third.cookie_domain = "company3.com".parse().expect("a domain");
    third.alias = Some("https://sso.company3.com".parse().expect("an origin"));
    let mut write = site.store().write().await.expect("writes");
    zones::upsert(&mut write, &third, site.now()).await.expect("adds");
    write.commit().await.expect("commits");
    site.app("third", |app| {
        app.zone = "third".parse().expect("a name");
        app.origins = vec!["https://third.company3.com".parse().expect("an origin")];
    })
    .await;
    site.heard().await;
    let start = "https://sso.company3.com/.sso/start?app=third";
    let theirs = {
        let authorize = browser.step(start).await.location().to_owned();
        browser.step(&authorize).await.location().to_owned()
    };
    let ours = callback_url(&mut browser).await;
    let code = |url: &str| url.split(['=', '&']).nth(1).expect("a code").to_owned();
    let url = ours.replace(&code(&ours), &code(&theirs));
    assert_refused(&site, &mut browser, &url, "wrong_zone").await;
    assert_refused(&site, &mut browser, &theirs, "code_reused").await;
    // An app of one zone cannot be reached by way of another.
    let astray = browser.step("https://sso.company3.com/.sso/start?app=shop").await;
    assert_eq!((astray.status, astray.header("location")), (400, None));
}

#[tokio::test]
async fn a_session_that_is_over_is_handed_to_nobody() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let url = callback_url(&mut browser).await;
    site.must_change_password(&site.ana).await;
    assert_refused(&site, &mut browser, &url, "session_over").await;
    let landing = browser.open(TO_SHOP).await;
    assert!(landing.url.path().starts_with("/account/password"), "{:?}", landing.way);
    let bob = site.user("bob").await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=wiki", "bob", PASSWORD).await;
    let url = callback_url(&mut browser).await;
    site.disable(&bob).await;
    assert_refused(&site, &mut browser, &url, "session_over").await;
}

/// Until zone and address are known to belong together, nobody is sent anywhere.
#[tokio::test]
async fn a_request_for_a_code_that_is_not_quite_right_leads_nowhere() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let right = browser.step(START).await.location().to_owned();
    let parameter = |name: &str| {
        let (_, rest) = right.split_once(&format!("{name}=")).expect("it is there");
        format!("{name}={}", rest.split('&').next().unwrap_or_default())
    };
    let callback = parameter("redirect_uri");
    for (from, to) in [
        (parameter("client_id"), "client_id=home".to_owned()),
        (parameter("client_id"), "client_id=nowhere".to_owned()),
        (parameter("client_id"), "client_id=".to_owned()),
        (callback.clone(), "redirect_uri=https%3A%2F%2Fevil.example%2F.sso%2Fcallback".to_owned()),
        (callback.clone(), format!("{callback}%2F")),
        (callback.clone(), format!("{callback}%3Fx")),
        (callback.clone(), callback.replace("sso.company2", "shop.company2")),
        (callback.clone(), callback.replace("https", "http")),
        (callback.clone(), callback.replace("sso.", "SSO.")),
        (callback.clone(), "redirect_uri=".to_owned()),
        (parameter("state"), "state=".to_owned()),
        (parameter("state"), format!("state={}", "x".repeat(513))),
        (parameter("state"), "state=a%20b".to_owned()),
        (parameter("code_challenge"), "code_challenge=x".to_owned()),
        ("code_challenge_method=S256".to_owned(), "code_challenge_method=plain".to_owned()),
        ("prompt=none".to_owned(), "prompt=login".to_owned()),
        ("prompt=none".to_owned(), "prompt=none&prompt=none".to_owned()),
        ("&prompt=none".to_owned(), String::new()),
    ] {
        let url = right.replacen(&from, &to, 1);
        assert_ne!(url, right, "{from}");
        let answer = browser.step(&url).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{url}");
    }
    assert_eq!(browser.step(&right).await.status, 303);
}

/// T7: the strings of [`hostile`], as they are and written for the shop. Nothing begins, or it ends at the shop.
#[tokio::test]
async fn no_text_leads_out_of_the_zone() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let mut begun = 0;
    for text in hostile() {
        for text in [text.replace("pos.company.com", "shop.company2.com"), text] {
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let path = format!("/.sso/start?app=shop&return_to={encoded}");
            let answer = site.send(Ask::get(&path).at("sso.company2.com")).await;
            if answer.status == 400 {
                assert!(!answer.headers.contains_key("set-cookie") && !answer.body.contains("evil"), "{text:?}");
                assert!(answer.header("location").is_none(), "{text:?}");
                continue;
            }
            begun += 1;
            assert!(answer.location().starts_with(&format!("{HOME}/handoff/authorize?")), "{text:?}");
            let landing = browser.open(&format!("{ALIAS}{path}")).await;
            assert_eq!(landing.url.origin().ascii_serialization(), "https://shop.company2.com", "{text:?}");
            site.wait(60);
        }
    }
    assert!(begun > 0 && begun < 200, "some are odd ways to write an address of the shop, {begun}");
}

/// Who answers at an alias; `hallpass doctor` asks that from outside.
#[tokio::test]
async fn an_agent_says_whose_it_is() {
    let site = Site::start().await;
    let answer = site.send(Ask::get("/.well-known/sso-agent").at("sso.company2.com")).await;
    assert_eq!(answer.json(), serde_json::json!({ "issuer": HOME, "zone": "elsewhere" }));
    assert!(!site.answers_at("sso.company3.com") && !site.answers_at("sso.company2.com:8443"));
    let front = site.send(Ask::get("/").at("sso.company2.com")).await;
    assert_eq!((front.status, front.location()), (303, &*format!("{HOME}/")));
}

/// T50: frames, images, scripts and prefetches get no code and begin nothing.
#[tokio::test]
async fn only_a_window_gets_a_code() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let authorize = browser.step(START).await.location().to_owned();
    let callback = browser.step(&authorize).await.location().to_owned();
    for (url, host, origin) in [
        (START, "sso.company2.com", ALIAS),
        (&*authorize, "auth.company.com", HOME),
        (&*callback, "sso.company2.com", ALIAS),
    ] {
        for headers in [
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")][..],
            &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            &[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-purpose", "prefetch")],
        ] {
            let path = url.strip_prefix(origin).expect("a path");
            let ask = Ask::get(path).at(host).header("cookie", browser.carried(url));
            let answer = site.send(headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value))).await;
            assert_eq!((answer.status, answer.header("location")), (403, None), "{url}");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    assert_eq!(browser.step(&callback).await.status, 303, "none of that has used it up");
}

/// Cookies that do not stay at the other site: without a brake the browser would go round for ever.
#[tokio::test]
async fn going_round_in_circles_ends_with_a_page() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let forget = "__Secure-hallpass-pass=; Domain=company2.com; Path=/; Secure; Max-Age=0";
    for _ in 0..24 {
        assert_eq!(browser.open(TO_SHOP).await.url.as_str(), SHOP);
        browser.toss(ALIAS, forget);
    }
    let stopped = browser.open(TO_SHOP).await;
    assert_eq!((stopped.url.path(), stopped.answer.status), ("/handoff/authorize", 400));
    assert!(stopped.answer.body.contains("does not keep our cookie"), "{}", stopped.answer.body);
    site.wait(61);
    assert_eq!(browser.open(TO_SHOP).await.url.as_str(), SHOP);
}

/// The tabs of a restored window: the first one fetches the pass, the others find it.
#[tokio::test]
async fn a_browser_that_has_the_pass_is_sent_straight_on() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    browser.open(TO_SHOP).await;
    assert_eq!(browser.open(START).await.way, [START, SHOP]);
    // Not by a pass that would soon be refused, of another zone, of nobody, or beside a second one.
    site.wait(300);
    assert_eq!(browser.open(START).await.way.len(), 4, "renewed");
    let session = site.signed_in(&site.ana).await;
    for value in [&*session.pass, "x", ""] {
        let ask = Ask::get(START.strip_prefix(ALIAS).expect("a path")).at("sso.company2.com").cookie(PASS, value);
        assert!(site.send(ask).await.location().starts_with(HOME), "{value}");
    }
    browser.toss("https://evil.company2.com", "__Secure-hallpass-pass=x; Domain=company2.com; Path=/.sso; Secure");
    assert_eq!(browser.open(START).await.way.len(), 4);
    let ours = browser.cookie(SHOP, PASS).expect("a pass");
    site.disable(&site.ana).await;
    let ask = Ask::get(START.strip_prefix(ALIAS).expect("a path")).at("sso.company2.com").cookie(PASS, &ours);
    assert!(site.send(ask).await.location().starts_with(HOME));
}

#[tokio::test]
async fn handoffs_that_were_given_up_do_not_pile_up() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let count = |browser: &Browser<'_>| browser.carried(ALIAS).matches("hallpass-tx-").count();
    for begun in (1..=12).chain([1, 2]) {
        browser.step(START).await;
        assert_eq!(count(&browser), begun);
    }
}

/// Anybody can come to a callback as often as they like.
#[tokio::test]
async fn refusals_do_not_fill_the_audit_log() {
    let site = Site::start().await;
    let mut browser = Browser::new(&site);
    for _ in 0..50 {
        let answer = browser.step(&format!("{ALIAS}/.sso/callback?state=x")).await;
        assert_eq!((answer.status, answer.set_cookie(PASS)), (403, None));
    }
    assert_eq!(reasons(&site).await.len(), 20, "in a minute");
}

#[tokio::test]
async fn a_zone_that_has_no_alias_is_said_to_be_our_fault() {
    let site = Site::start().await;
    let (mut browser, _) = at_home(&site).await;
    let mut zones_ = zones::all(&mut site.store().read().await.expect("reads")).await.expect("reads");
    let mut elsewhere = zones_.swap_remove(0);
    assert_eq!(elsewhere.name.as_str(), "elsewhere");
    elsewhere.alias = None;
    let mut write = site.store().write().await.expect("writes");
    zones::upsert(&mut write, &elsewhere, site.now()).await.expect("changes");
    write.commit().await.expect("commits");
    let landing = browser.open(TO_SHOP).await;
    assert_eq!((landing.url.path(), landing.answer.status), ("/continue", 503));
}
