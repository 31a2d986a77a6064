//! Signing in at Ory Kratos, against something that speaks its API (`fake.rs`). Protocol §10, §20.

mod away;
mod entry;
mod fake;
mod journeys;
mod refused;
mod sign_out;
mod token;
mod wire;

use std::time::Duration;

use hallpass_core::id::SessionId;
use hallpass_core::secret::{Digest, SessionSecret};
use hallpass_core::session::Session;
use hallpass_server::config::KratosConfig;
use hallpass_store::{audit, sessions};
use http::header;
use serde_json::json;
use url::Url;

use self::fake::{Fake, Identity};
use crate::support::{Browser, HOME, SESSION, Site, digest_of};

/// Where browsers see Kratos.
const LOGIN: &str = "https://login.company.com";
/// Where signing in there begins.
const START: &str = "/upstream/kratos/start";
/// Nothing here may take longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A company whose people have their accounts at a Kratos.
async fn company(change: impl FnOnce(&mut KratosConfig)) -> (Site, Fake) {
    let kratos = Fake::start("127.0.0.1:0", "127.0.0.1:0", "company.com", HOME).await;
    let mut settings = KratosConfig::at(kratos.public_url.parse().expect("an address"));
    settings.browser_url = Some(LOGIN.parse().expect("an address"));
    settings.admin_url = Some(kratos.admin_url.parse().expect("an address"));
    change(&mut settings);
    let site = Site::start_with(|config| config.kratos = Some(settings)).await;
    let context = site.engine.context.clone();
    kratos.keep_time(move || context.now().as_millis());
    (site, kratos)
}

/// Somebody with an account there.
fn mia(kratos: &Fake) -> Identity {
    kratos.identity(json!({ "email": "mia@company.com", "name": { "first": "Mia", "last": "Berg" } }), |_| ())
}

/// Goes to a page and, where that leads to Kratos, signs in there as a browser does: its page, its form, and back.
async fn open(browser: &mut Browser<'_>, kratos: &Fake, who: &Identity, page: &str) -> (Url, u16) {
    let mut landing = browser.open(page).await;
    for _ in 0..3 {
        if landing.url.host_str() != Some("login.company.com") {
            break;
        }
        let back = at_kratos(browser, kratos, who, &landing.url).await;
        landing = browser.open(&back).await;
    }
    (landing.url, landing.answer.status)
}

/// What a browser does there. Where it is sent in the end.
async fn at_kratos(browser: &mut Browser<'_>, kratos: &Fake, who: &Identity, there: &Url) -> String {
    let path = &there[url::Position::BeforePath..];
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let request = client.get(format!("{}{path}", kratos.public_url));
    let answer = request.header(header::COOKIE, browser.carried(LOGIN)).send().await.expect("an answer");
    let way = take(browser, &answer);
    assert_eq!(answer.status(), 303, "{way}");
    let Some(flow) =
        Url::parse(&way).expect("a URL").query_pairs().find(|(name, _)| name == "flow").map(|(_, id)| id.into_owned())
    else {
        return way;
    };
    // Its page shows the form with the token of its own cookie.
    let csrf = browser.cookie(LOGIN, "csrf_token_fake").expect("set with the flow");
    let email = who.traits["email"].as_str().expect("a name");
    let fields: &[(&str, &str)] = if there.query().is_some_and(|query| query.contains("aal=aal2")) {
        &[("method", "totp"), ("totp_code", fake::CODE), ("csrf_token", &csrf)]
    } else {
        &[("method", "password"), ("identifier", email), ("password", &who.password), ("csrf_token", &csrf)]
    };
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client.post(format!("{}/self-service/login?flow={flow}", kratos.public_url)).body(body);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = request.header(header::COOKIE, browser.carried(LOGIN)).send().await.expect("an answer");
    assert_eq!(answer.status(), 303);
    take(browser, &answer)
}

/// Keeps the cookies of an answer. Where it leads.
fn take(browser: &mut Browser<'_>, answer: &reqwest::Response) -> String {
    for line in answer.headers().get_all(header::SET_COOKIE) {
        browser.toss(LOGIN, line.to_str().expect("ASCII"));
    }
    answer.headers().get(header::LOCATION).map_or(String::new(), |to| to.to_str().expect("ASCII").to_owned())
}

/// A browser whose person has signed in at Kratos and come to their home page here.
async fn signed_in<'s>(site: &'s Site, kratos: &Fake, who: &Identity) -> Browser<'s> {
    let mut browser = Browser::new(site);
    let (url, status) = open(&mut browser, kratos, who, START).await;
    assert_eq!((url.path(), status), ("/", 200));
    browser
}

/// The session of a browser, whatever its state.
async fn session_of(site: &Site, browser: &Browser<'_>) -> Option<Session> {
    let secret: Digest<SessionSecret> = digest_of(&browser.cookie(HOME, SESSION)?);
    sessions::by_secret(&mut site.store().read().await.expect("reads"), &secret).await.expect("reads")
}

/// Why a session has ended.
async fn end_of(site: &Site, id: &SessionId) -> Option<&'static str> {
    let found = sessions::find(&mut site.store().read().await.expect("reads"), id).await.expect("reads");
    found.expect("there").ended.map(|ended| ended.reason.as_str())
}

/// The reasons of all entries of this kind in the audit log, the latest first.
async fn reasons(site: &Site, event: &str) -> Vec<String> {
    let filter = audit::Filter { event: Some(event.to_owned()), ..audit::Filter::default() };
    let mut read = site.store().read().await.expect("reads");
    let entries = audit::list(&mut read, &filter, None, 50).await.expect("reads");
    entries.into_iter().map(|entry| entry.reason.unwrap_or_default()).collect()
}

/// Waits for what a job does, with a bound. The engine runs its jobs beside the test, so who does it does not matter.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "it never came to that: {what}");
}
