//! Apps that are their own agent: `/handoff/authorize` for them and `POST /handoff/token`. Protocol §8 number 4; T42–T52, B-3.

use hallpass_core::app::{Access, App};
use hallpass_core::handoff::{CodeVerifier, Expected, nonce_of, verify};
use hallpass_core::zone::{CookieName, Zone};
use hallpass_store::zones;
use serde_json::Value;

use super::reasons;
use crate::support::{Answer, Ask, Browser, Caller, HOME, PASS, PASSWORD, Site};

pub const STATE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const CALLBACK: &str = "https://till.company3.com/.sso/callback";

/// A zone without an alias, and an app in it that is its own agent.
pub async fn till(site: &Site, change: impl FnOnce(&mut App)) -> Caller {
    zone(site, "third", "company3.com", false).await;
    site.app("till", |app| {
        app.zone = "third".parse().expect("a name");
        app.access = Access::Everyone;
        app.origins = vec!["https://till.company3.com".parse().expect("an origin")];
        app.agent = true;
        change(app);
    })
    .await
}

async fn zone(site: &Site, name: &str, domain: &str, bound: bool) {
    let zone = Zone {
        name: name.parse().expect("a name"),
        cookie_domain: domain.parse().expect("a domain"),
        cookie_name: CookieName::default(),
        home: false,
        alias: None,
        bound,
        at_sign_in: false,
    };
    let mut write = site.store().write().await.expect("writes");
    zones::upsert(&mut write, &zone, site.now()).await.expect("adds");
    write.commit().await.expect("commits");
}

pub fn authorize_url(client: &str, redirect_uri: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", client).append_pair("redirect_uri", redirect_uri).append_pair("state", STATE);
    query.append_pair("code_challenge", CHALLENGE).append_pair("code_challenge_method", "S256");
    format!("{HOME}/handoff/authorize?{}", query.append_pair("prompt", "none").finish())
}

/// What the redirect to the agent says.
pub fn returned(answer: &Answer, name: &str) -> Option<String> {
    let url = url::Url::parse(answer.location()).expect("a URL");
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

async fn code(browser: &mut Browser<'_>) -> String {
    let answer = browser.step(&authorize_url("till", CALLBACK)).await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?code=hp_hc_")), "{answer:?}");
    assert_eq!(returned(&answer, "iss").as_deref(), Some(HOME));
    assert_eq!(returned(&answer, "state").as_deref(), Some(STATE));
    returned(&answer, "code").expect("a code")
}

/// The pass that `till` fetches for a browser that is signed in at home.
pub async fn fetched(site: &Site, browser: &mut Browser<'_>, till: &Caller) -> String {
    let code = code(browser).await;
    let answer = redeem(site, till, &code, CALLBACK, VERIFIER).await.json();
    let line = answer["set_cookie"].as_str().expect("a line");
    line.split(['=', ';']).nth(1).expect("a pass").to_owned()
}

async fn redeem(site: &Site, by: &Caller, code: &str, redirect_uri: &str, verifier: &str) -> Answer {
    let fields = [("code", code), ("redirect_uri", redirect_uri), ("code_verifier", verifier)];
    site.send(Ask::post("/handoff/token").by(by).form(&fields)).await
}

async fn at_home(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    browser
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_app_gets_pass_envelope_and_assertion_for_a_code() {
    let site = Site::start().await;
    let till = till(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser).await;
    let answer = redeem(&site, &till, &code, CALLBACK, VERIFIER).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let answer = answer.json();
    assert_eq!((&answer["envelope"]["active"], &answer["envelope"]["username"]), (&true.into(), &"ana".into()));
    assert_eq!((&answer["envelope"]["client_id"], &answer["return_to"]), (&"till".into(), &Value::Null));
    let line = answer["set_cookie"].as_str().expect("a line");
    assert!(line.starts_with(&format!("{PASS}=")) && line.contains("; Domain=company3.com; Path=/; Secure; HttpOnly"));
    let pass = line.split(['=', ';']).nth(1).expect("a pass");
    assert!(site.is_active(&till, pass).await && !site.is_active(&site.pos, pass).await);
    let policy = site.engine.context.view.policy().await.expect("reads");
    let expected = Expected { issuer: HOME, app: "till", redirect_uri: CALLBACK, state: STATE };
    let assertion = answer["assertion"].as_str().expect("an assertion");
    let verified = verify(assertion, &policy.keyring, &expected, site.now()).expect("good");
    assert_eq!(verified.user_id, site.ana.id);
    assert!(!site.is_active(&till, assertion).await, "and no pass");
    assert_ne!(nonce_of(STATE), STATE);
}

#[tokio::test]
async fn an_identical_retry_gets_the_identical_answer_for_ten_seconds() {
    let site = Site::start().await;
    let till = till(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser).await;
    let first = redeem(&site, &till, &code, CALLBACK, VERIFIER).await;
    site.wait(9);
    let again = redeem(&site, &till, &code, CALLBACK, VERIFIER).await;
    assert_eq!((again.status, again.body), (200, first.body));
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(error(&redeem(&site, &till, &code, CALLBACK, other).await), (400, "invalid_grant".into()));
    site.wait(2);
    assert_eq!(error(&redeem(&site, &till, &code, CALLBACK, VERIFIER).await), (400, "invalid_grant".into()));
    assert_eq!(reasons(&site).await, ["code_reused", "code_reused"]);
}

#[tokio::test]
async fn whatever_does_not_fit_uses_the_code_up_and_has_its_own_reason() {
    let site = Site::start().await;
    let till = till(&site, |app| app.origins.push("https://till-2.company3.com".parse().expect("an origin"))).await;
    let other = site.app("other", |app| app.access = Access::Everyone).await;
    let mut browser = at_home(&site).await;
    let wrong = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
    assert!(wrong.parse::<CodeVerifier>().is_ok());
    for (by, uri, verifier, reason) in [
        (&other, CALLBACK, VERIFIER, "wrong_app"),
        (&till, "https://till-2.company3.com/.sso/callback", VERIFIER, "wrong_redirect_uri"),
        (&till, CALLBACK, wrong, "wrong_verifier"),
    ] {
        let before = reasons(&site).await.len();
        let code = code(&mut browser).await;
        assert_eq!(error(&redeem(&site, by, &code, uri, verifier).await), (400, "invalid_grant".into()));
        assert!(reasons(&site).await.contains(&reason.to_owned()), "{reason}");
        assert_eq!(error(&redeem(&site, &till, &code, CALLBACK, VERIFIER).await), (400, "invalid_grant".into()));
        assert_eq!(reasons(&site).await.len(), before + 2, "{reason}");
    }
    let code = code(&mut browser).await;
    assert_eq!(error(&redeem(&site, &till, &code[1..], CALLBACK, VERIFIER).await), (400, "invalid_grant".into()));
    let stranger = Caller { secret: site.pos.secret.clone(), ..till.clone() };
    assert_eq!(error(&redeem(&site, &stranger, &code, CALLBACK, VERIFIER).await), (401, "invalid_client".into()));
    site.wait(30);
    assert_eq!(error(&redeem(&site, &till, &code, CALLBACK, VERIFIER).await), (400, "invalid_grant".into()));
    assert!(reasons(&site).await.contains(&"code_expired".to_owned()));
}

#[tokio::test]
async fn a_session_that_has_ended_gives_nothing_for_its_code() {
    let site = Site::start().await;
    let till = till(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser).await;
    site.disable(&site.ana).await;
    assert_eq!(error(&redeem(&site, &till, &code, CALLBACK, VERIFIER).await), (400, "invalid_grant".into()));
    assert_eq!(reasons(&site).await, ["session_over"]);
}

/// Until agent and address fit byte for byte nobody is sent anywhere.
#[tokio::test]
async fn authorize_sends_to_the_derived_address_only() {
    let site = Site::start().await;
    till(&site, |_| ()).await;
    site.app("plain", |app| app.access = Access::Everyone).await;
    let mut browser = at_home(&site).await;
    for (client, uri) in [
        ("till", "https://till.company3.com/.sso/callback/"),
        ("till", "https://till.company3.com/sso"),
        ("till", "https://TILL.company3.com/.sso/callback"),
        ("till", "https://evil.com/.sso/callback"),
        ("till", "https://sso.company2.com/.sso/callback"),
        ("third", CALLBACK),
        ("plain", "https://plain.company.com/.sso/callback"),
        ("nobody", CALLBACK),
    ] {
        let answer = browser.step(&authorize_url(client, uri)).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{client} {uri}");
    }
    let mut stranger = Browser::new(&site);
    let answer = stranger.step(&authorize_url("till", CALLBACK)).await;
    assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"));
}

/// Somebody without access is told so instead of being sent round.
#[tokio::test]
async fn whoever_may_not_enter_is_told_so_at_home() {
    let site = Site::start().await;
    till(&site, |app| app.access = Access::Assigned).await;
    let mut browser = at_home(&site).await;
    let landing = browser.open(&authorize_url("till", CALLBACK)).await;
    assert_eq!((landing.url.path(), landing.answer.status), ("/continue", 403));
}

/// After signing in, a browser that wants to go to such an app is sent by way of the app's own `/.sso/start`.
#[tokio::test]
async fn signing_in_for_such_an_app_leads_to_its_own_start() {
    let site = Site::start().await;
    till(&site, |_| ()).await;
    let mut browser = Browser::new(&site);
    let page = "/sign-in?app=till&return_to=https%3A%2F%2Ftill.company3.com%2Fx%3Fy%3D1%26z";
    let landing = browser.sign_in(page, "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), "https://till.company3.com/.sso/start?r=%2Fx%3Fy%3D1%26z");
}

/// Another app of the zone, whose SDK serves no `/.sso/*`, goes by way of the one that does.
#[tokio::test]
async fn one_app_fetches_the_pass_for_another_of_its_zone() {
    let site = Site::start().await;
    let till = till(&site, |app| app.access = Access::Assigned).await;
    site.app("plain", |app| {
        app.zone = "third".parse().expect("a name");
        app.access = Access::Everyone;
        app.origins = vec!["https://plain.company3.com".parse().expect("an origin")];
    })
    .await;
    let mut browser = Browser::new(&site);
    let landing = browser.sign_in("/sign-in?app=plain", "ana", PASSWORD).await;
    let start = "https://till.company3.com/.sso/start?app=plain&return_to=https%3A%2F%2Fplain.company3.com%2F";
    assert_eq!(landing.url.as_str(), start);
    let there = "&app=plain&return_to=https%3A%2F%2Fplain.company3.com%2F";
    let answer = browser.step(&(authorize_url("till", CALLBACK) + there)).await;
    let code = returned(&answer, "code").expect("a code");
    let answer = redeem(&site, &till, &code, CALLBACK, VERIFIER).await.json();
    assert_eq!(answer["return_to"], "https://plain.company3.com/");
    assert_eq!(answer["envelope"]["active"], false, "ana has no business in the app that fetches");
    for there in [
        "&app=pos&return_to=https%3A%2F%2Fpos.company.com%2F",
        "&app=plain&return_to=https%3A%2F%2Fevil.com%2F",
        "&return_to=https%3A%2F%2Fplain.company3.com%2F",
    ] {
        let answer = browser.step(&(authorize_url("till", CALLBACK) + there)).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{there}");
    }
}

/// The pass of a bound app is no other host's to read, to write, or to use; and the zone's pass is nothing to it.
#[tokio::test]
async fn a_bound_app_has_a_pass_of_its_own_host() {
    let site = Site::start().await;
    zone(&site, "vault", "vault.company.com", true).await;
    let vault = site
        .app("vault", |app| {
            app.zone = "vault".parse().expect("a name");
            app.access = Access::Everyone;
            app.origins = vec!["https://vault.company.com".parse().expect("an origin")];
            app.agent = true;
        })
        .await;
    let mut browser = at_home(&site).await;
    let callback = "https://vault.company.com/.sso/callback";
    let answer = browser.step(&authorize_url("vault", callback)).await;
    let code = returned(&answer, "code").expect("a code");
    let answer = redeem(&site, &vault, &code, callback, VERIFIER).await.json();
    let line = answer["set_cookie"].as_str().expect("a line");
    assert!(line.starts_with("__Host-Http-hallpass-pass=") && !line.contains("Domain"), "{line}");
    let pass = line.split(['=', ';']).nth(1).expect("a pass");
    let home = browser.cookie("https://vault.company.com/", PASS).expect("the wildcard pass comes along");
    assert!(site.is_active(&vault, pass).await && !site.is_active(&vault, &home).await);
    assert!(!site.is_active(&site.pos, pass).await);
    site.wait(6 * 60);
    let renewed = site.introspect(&vault, pass).await;
    let line = renewed["set_cookie"].as_str().expect("a fresh one");
    assert!(line.starts_with("__Host-Http-hallpass-pass=") && !line.contains("Domain"), "{line}");
}
