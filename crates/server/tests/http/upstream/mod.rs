//! Signing in at other OIDC providers: at another Hallpass, and at something that lies (`fake.rs`). OIDC Core 1.0 §3.1, protocol §10, §20.

mod attacks;
mod backchannel_logout;
mod choice;
mod demands;
pub mod fake;
mod hallpass;
mod link;
mod people;
mod sign_out;

use hallpass_core::secret::{Digest, SessionSecret};
use hallpass_core::session::Session;
use hallpass_core::user::User;
use hallpass_server::config::{Config, OidcConfig, SecretSource, UpstreamConfig};
use hallpass_store::{audit, sessions, users};
use serde_json::Value;

use self::fake::Fake;
use crate::oauth::said;
use crate::support::{Browser, HOME, Landing, SESSION, Site, digest_of};

/// What shows to every provider here that it is us. Its characters are those that have to be encoded.
const SECRET: &str = "s3cret/~ +é:x";

/// One provider, as the file of configuration would have it.
pub fn provider(name: &str, issuer: &str, change: impl FnOnce(&mut OidcConfig)) -> OidcConfig {
    let text = format!(
        "[[oidc]]\nname = \"{name}\"\nissuer = \"{issuer}\"\nclient_id = \"hallpass\"\nclient_secret = {{ command = [\"printf\", \"%s\", \"{SECRET}\"] }}\ncreate_users = true\n",
    );
    let mut config = toml::from_str::<UpstreamConfig>(&text).expect("valid").oidc.remove(0);
    change(&mut config);
    config
}

/// A company whose people may sign in at these.
async fn company(providers: Vec<OidcConfig>) -> Site {
    company_with(providers, |_| ()).await
}

async fn company_with(providers: Vec<OidcConfig>, change: impl FnOnce(&mut Config)) -> Site {
    Site::start_with(|config| {
        config.upstream.oidc = providers;
        change(config);
    })
    .await
}

/// A company with one provider, called `fake`.
async fn with_fake(change: impl FnOnce(&mut OidcConfig)) -> (Site, Fake) {
    let fake = Fake::start().await;
    (company(vec![provider("fake", &fake.issuer, change)]).await, fake)
}

/// What a browser left with.
pub struct Trip {
    pub state: String,
    pub nonce: String,
    there: String,
}

/// Leaves for a provider.
pub async fn leave(browser: &mut Browser<'_>, name: &str, query: &str) -> Trip {
    let there = browser.open(&format!("/upstream/oidc/start/{name}{query}")).await;
    let there = there.url.to_string();
    let of = |name| said(&there, name).unwrap_or_else(|| panic!("no {name} in {there}"));
    Trip { state: of("state"), nonce: of("nonce"), there }
}

fn callback(name: &str, code: &str, state: &str) -> String {
    format!("{HOME}/upstream/oidc/callback/{name}?code={code}&state={state}")
}

/// There and back, as whoever `claims` makes of the good ones.
async fn trip(browser: &mut Browser<'_>, fake: &Fake, change: impl FnOnce(&mut Value)) -> Landing {
    let trip = leave(browser, "fake", "").await;
    let mut claims = fake.claims(&trip.nonce);
    change(&mut claims);
    fake.gives(&claims);
    browser.open(&callback("fake", &trip.state, &trip.state)).await
}

/// The session of a browser, whatever its state.
async fn session_of(site: &Site, browser: &Browser<'_>) -> Option<Session> {
    let secret: Digest<SessionSecret> = digest_of(&browser.cookie(HOME, SESSION)?);
    sessions::by_secret(&mut site.store().read().await.expect("reads"), &secret).await.expect("reads")
}

/// Whose it is.
async fn person_of(site: &Site, browser: &Browser<'_>) -> Option<User> {
    let session = session_of(site, browser).await?;
    users::find(&mut site.store().read().await.expect("reads"), &session.user_id).await.expect("reads")
}

/// The reasons of all entries of this kind in the audit log, the latest first.
async fn reasons(site: &Site, event: &str) -> Vec<String> {
    let filter = audit::Filter { event: Some(event.to_owned()), ..audit::Filter::default() };
    let mut read = site.store().read().await.expect("reads");
    let entries = audit::list(&mut read, &filter, None, 50).await.expect("reads");
    entries.into_iter().map(|entry| entry.reason.unwrap_or_default()).collect()
}

/// It was refused for this reason, and nobody is signed in by it.
async fn assert_refused(site: &Site, browser: &Browser<'_>, landing: &Landing, why: &str) {
    assert_eq!(landing.answer.status, 403, "{why}: {landing:?}");
    let said = reasons(site, "sign_in_refused").await;
    assert!(said.iter().any(|said| said == why), "{why}: {said:?}");
    assert!(session_of(site, browser).await.is_none(), "{why}");
}

fn claim(name: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |claims| claims[name] = value
}

fn without(name: &'static str) -> impl FnOnce(&mut Value) {
    move |claims| drop(claims.as_object_mut().expect("an object").remove(name))
}
