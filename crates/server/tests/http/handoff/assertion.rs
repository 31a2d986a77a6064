//! The JWT profile: agents that cannot call the engine get the assertion itself. Off until switched on for one app. Protocol §8.

use hallpass_core::app::Assertion;
use hallpass_core::handoff::{Expected, verify};
use hallpass_store::sessions;

use super::app_agent::{CALLBACK, STATE, authorize_url, returned, till};
use crate::support::{Browser, HOME, PASSWORD, Site};

fn without_challenge(redirect_uri: &str) -> String {
    let url = url::Url::parse(&authorize_url("till", redirect_uri)).expect("a URL");
    let kept: Vec<_> = url.query_pairs().filter(|(name, _)| !name.starts_with("code_challenge")).collect();
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    format!("{HOME}/handoff/authorize?{query}")
}

async fn at_home(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    browser
}

fn field(body: &str, name: &str) -> String {
    let (_, rest) = body.split_once(&format!("name=\"{name}\" value=\"")).expect("a field");
    rest.split_once('"').expect("it ends").0.to_owned()
}

#[tokio::test]
async fn a_page_posts_the_assertion_to_the_callback_of_an_app_that_asked_for_that() {
    let site = Site::start().await;
    till(&site, |app| app.assertion = Assertion::FormPost).await;
    let mut browser = at_home(&site).await;
    let page = browser.step(&without_challenge(CALLBACK)).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("form-action 'self' https://till.company3.com;") && policy.contains("script-src 'self'"));
    assert!(page.body.contains(&format!("action=\"{CALLBACK}\"")));
    assert_eq!((field(&page.body, "state").as_str(), field(&page.body, "iss").as_str()), (STATE, HOME));
    let keys = site.engine.context.view.policy().await.expect("reads");
    let expected = Expected { issuer: HOME, app: "till", redirect_uri: CALLBACK, state: STATE };
    let assertion = field(&page.body, "assertion");
    let verified = verify(&assertion, &keys.keyring, &expected, site.now()).expect("good");
    assert_eq!(verified.user_id, site.ana.id);
    let mut read = site.store().read().await.expect("reads");
    let told = sessions::told(&mut read, &verified.session_id).await.expect("reads");
    assert!(told.iter().any(|app| app.as_str() == "till"), "it will be told of the end");
    let mut stranger = Browser::new(&site);
    let answer = stranger.step(&without_challenge(CALLBACK)).await;
    assert_eq!(returned(&answer, "error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn the_migration_profile_puts_it_into_the_address() {
    let site = Site::start().await;
    till(&site, |app| app.assertion = Assertion::Query).await;
    let mut browser = at_home(&site).await;
    assert_eq!(browser.step(&without_challenge(CALLBACK)).await.status, 400, "another address than /sso");
    let uri = "https://till.company3.com/sso";
    let answer = browser.step(&without_challenge(uri)).await;
    assert!(answer.location().starts_with(&format!("{uri}?token=")), "{answer:?}");
    assert_eq!(returned(&answer, "state").as_deref(), Some(STATE));
    let keys = site.engine.context.view.policy().await.expect("reads");
    let expected = Expected { issuer: HOME, app: "till", redirect_uri: uri, state: STATE };
    let token = returned(&answer, "token").expect("an assertion");
    assert!(verify(&token, &keys.keyring, &expected, site.now()).is_ok());
}

#[tokio::test]
async fn nobody_else_gets_an_assertion_through_the_browser() {
    let site = Site::start().await;
    till(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let answer = browser.step(&without_challenge(CALLBACK)).await;
    assert_eq!((answer.status, answer.header("location")), (400, None));
}
