//! The OIDC provider over HTTP: from the authorization endpoint to the sign-out. OIDC Core 1.0, RFC 6749, protocol §11; T1–T32.

mod algorithms;
mod authorize;
mod claims;
mod client_assertion;
mod client_credentials;
mod client_id;
mod clients;
mod consent;
mod cors;
pub mod device;
pub mod documents;
mod dpop;
mod form_post;
mod interoperability;
pub mod logout;
mod native;
mod offline;
mod pairwise;
pub mod par;
mod prompt;
mod qr;
mod refresh;
mod refresh_cookie;
pub mod registration;
mod resource;
mod services;
pub mod signer;
mod step_up;
mod tabs;
mod theft;
mod token;
mod token_exchange;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::app::{Access, App};
use hallpass_core::oidc::{ClientKind, ClientSettings};
use hallpass_server::jobs;
use hallpass_store::audit;
use serde_json::Value;

use crate::support::{Answer, Ask, Browser, Caller, HOME, PASSWORD, Site};

pub const CALLBACK: &str = "https://crm.company.com/oauth/callback";
pub const GOODBYE: &str = "https://crm.company.com/goodbye";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An OIDC client that everybody may enter.
pub async fn client(site: &Site, key: &str) -> Caller {
    client_with(site, key, |_| ()).await
}

pub async fn client_with(site: &Site, key: &str, change: impl FnOnce(&mut App)) -> Caller {
    let caller = site.app(key, |app| {
        app.access = Access::Everyone;
        app.origins = Vec::new();
        app.redirect_uris = [CALLBACK, "https://crm.company.com/other"].map(|uri| uri.parse().expect("a URI")).into();
        app.post_logout_redirect_uris = vec![GOODBYE.parse().expect("a URI")];
        change(app);
    });
    caller.await
}

/// The page that a browser client is.
pub const SPA: &str = "https://spa.company.com";
pub const SPA_CALLBACK: &str = "https://spa.company.com/callback";

/// A page with scripts that everybody may enter.
pub async fn browser_client(site: &Site, key: &str, change: impl FnOnce(&mut App)) -> Caller {
    client_with(site, key, |app| {
        app.client = ClientSettings { kind: ClientKind::Browser, ..ClientSettings::default() };
        app.origins = vec![SPA.parse().expect("an origin")];
        app.redirect_uris = vec![SPA_CALLBACK.parse().expect("a URI")];
        change(app);
    })
    .await
}

/// A program on somebody's own computer that everybody may use.
pub async fn native_client(site: &Site, key: &str, uris: &[&str]) -> Caller {
    native_client_with(site, key, uris, |_| ()).await
}

pub async fn native_client_with(site: &Site, key: &str, uris: &[&str], change: impl FnOnce(&mut App)) -> Caller {
    client_with(site, key, |app| {
        app.client = ClientSettings { kind: ClientKind::Native, ..ClientSettings::default() };
        app.redirect_uris = uris.iter().map(|uri| uri.parse().expect("a URI")).collect();
        change(app);
    })
    .await
}

/// What a script of a page at `origin` asks the token endpoint with, if its client has no secret.
pub fn by_page(path: &str, origin: &str, fields: &Value) -> Ask {
    Ask::post(path).header("origin", origin).header("sec-fetch-site", "same-site").json(fields)
}

/// A browser client's code, exchanged by its page.
pub async fn redeem_by_page(site: &Site, client: &str, origin: &str, code: &str) -> Answer {
    let fields = serde_json::json!({
        "grant_type": "authorization_code", "client_id": client, "code": code, "redirect_uri": format!("{origin}/callback"),
        "code_verifier": VERIFIER,
    });
    site.send(by_page("/oauth/token", origin, &fields)).await
}

/// A code for a browser client.
pub async fn code_for_page(browser: &mut Browser<'_>, client: &str, origin: &str) -> String {
    code(browser, &[("client_id", Some(client)), ("redirect_uri", Some(&format!("{origin}/callback")))]).await
}

/// The request that every client library makes, with these parameters changed, or taken out.
pub fn authorize_url(changes: &[(&str, Option<&str>)]) -> String {
    let usual = [
        ("client_id", "crm"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("state", "st&te"),
        ("nonce", "n\"nce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
    query.extend_pairs(usual.iter().filter(|(name, _)| !changed(name)));
    query.extend_pairs(changes.iter().filter_map(|(name, value)| Some((name, (*value)?))));
    format!("{HOME}/oauth/authorize?{}", query.finish())
}

/// What an address says under this name.
pub fn said(location: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(location).expect("a URL");
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// Where a page leads on to by itself.
pub fn onward(answer: &Answer) -> String {
    let (_, rest) =
        answer.body.split_once("<meta http-equiv=\"refresh\" content=\"0;url=").unwrap_or_else(|| panic!("{answer:?}"));
    let there = rest.split_once('"').expect("it ends").0.replace("&#38;", "&");
    url::Url::parse(HOME).expect("a URL").join(&there).expect("an address").to_string()
}

pub async fn at_home(site: &Site) -> Browser<'_> {
    let mut browser = Browser::new(site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    browser
}

pub async fn code(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> String {
    let answer = browser.step(&authorize_url(changes)).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    said(answer.location(), "code").unwrap_or_else(|| panic!("no code in {answer:?}"))
}

pub async fn redeem(site: &Site, by: &Caller, code: &str, changes: &[(&str, Option<&str>)]) -> Answer {
    let usual =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
    let mut fields: Vec<_> = usual.into_iter().filter(|(name, _)| !changed(name)).collect();
    fields.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    site.send(Ask::post("/oauth/token").by(by).form(&fields)).await
}

pub async fn refresh(site: &Site, by: &Caller, token: &str) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    site.send(Ask::post("/oauth/token").by(by).form(&fields)).await
}

/// What a token response brings.
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub id: String,
}

impl Tokens {
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let [access, refresh, id] =
            ["access_token", "refresh_token", "id_token"].map(|name| answer[name].as_str().expect(name).to_owned());
        Self { access, refresh, id }
    }
}

/// All the way: a browser that is signed in, and the tokens of the client.
pub async fn tokens<'s>(site: &'s Site, crm: &Caller) -> (Browser<'s>, Tokens) {
    let mut browser = at_home(site).await;
    let code = code(&mut browser, &[]).await;
    let tokens = Tokens::of(&redeem(site, crm, &code, &[]).await);
    (browser, tokens)
}

pub async fn userinfo(site: &Site, access_token: &str) -> Answer {
    site.send(Ask::get("/oauth/userinfo").header("authorization", format!("Bearer {access_token}"))).await
}

/// Whether both tokens are dead.
pub async fn assert_dead(site: &Site, crm: &Caller, tokens: &Tokens) {
    assert_eq!(userinfo(site, &tokens.access).await.status, 401);
    assert!(!site.is_active(crm, &tokens.access).await);
    assert_eq!(error(&refresh(site, crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
}

pub fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

/// Header and claims, unverified.
pub fn opened(token: &str) -> (Value, Value) {
    let part = |index| {
        let part = token.split('.').nth(index).expect("a part");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    (part(0), part(1))
}

/// The reason codes of the audit log's entries of this event, the latest last.
pub async fn reasons(site: &Site, event: &str) -> Vec<String> {
    let mut read = site.store().read().await.expect("reads");
    let filter = audit::Filter { event: Some(event.to_owned()), ..audit::Filter::default() };
    let entries = audit::list(&mut read, &filter, None, 100).await.expect("reads");
    let mut reasons: Vec<_> = entries.into_iter().map(|entry| entry.reason.unwrap_or_default()).collect();
    reasons.sort();
    reasons
}
