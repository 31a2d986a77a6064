//! `/oauth/register`: clients that register themselves, and manage that. RFC 7591, RFC 7592; T4, T5, T82, T90.

use hallpass_core::app::{Access, App};
use hallpass_core::id::AppKey;
use hallpass_server::admin;
use hallpass_server::config::{Config, RegistrationConfig, SecretSource};
use hallpass_store::{apps, consents};
use http::Method;
use serde_json::json;

use super::*;

/// What the administrator gives to whoever may register.
pub const INITIAL: &str = "a-token-of-more-than-thirty-two-characters";
pub const PLANNER: &str = "https://planner.example/callback";

pub fn configure(config: &mut Config) {
    let file = config.data_dir.join("initial-access-token");
    std::fs::write(&file, format!("{INITIAL}\n")).expect("writes");
    config.registration = Some(RegistrationConfig {
        initial_access_token: SecretSource { file: Some(file), ..SecretSource::default() },
        access: Access::Everyone,
        maximum: 3,
    });
}

/// A client that has registered itself, and what it manages that with.
pub async fn registered(site: &Site) -> (Caller, String) {
    let new = Registered::new(site, &json!({})).await;
    let token = new.token().to_owned();
    (new.caller, token)
}

/// Registration is on, for at most three clients that everybody may enter.
pub async fn open() -> Site {
    Site::start_with(configure).await
}

fn bearer(ask: Ask, token: &str) -> Ask {
    ask.header("authorization", format!("Bearer {token}"))
}

fn metadata(changes: &Value) -> Value {
    let mut metadata = json!({ "redirect_uris": [PLANNER], "client_name": "Holiday planner" });
    for (name, value) in changes.as_object().expect("members") {
        metadata[name] = value.clone();
    }
    metadata
}

async fn register(site: &Site, changes: &Value) -> Answer {
    site.send(bearer(Ask::post("/oauth/register"), INITIAL).json(&metadata(changes))).await
}

/// A client as it was told of itself.
struct Registered {
    told: Value,
    caller: Caller,
}

impl Registered {
    async fn new(site: &Site, changes: &Value) -> Self {
        let answer = register(site, changes).await;
        assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")), "{answer:?}");
        let told = answer.json();
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let caller = Caller { key: text("client_id"), secret: text("client_secret") };
        Self { told, caller }
    }

    fn key(&self) -> AppKey {
        self.caller.key.parse().expect("a key")
    }

    fn token(&self) -> &str {
        self.told["registration_access_token"].as_str().expect("a token")
    }

    fn ask(&self, method: Method) -> Ask {
        let address = self.told["registration_client_uri"].as_str().expect("an address");
        let path = address.strip_prefix(HOME).expect("ours");
        bearer(Ask::new(method, path), self.token())
    }

    async fn update(&self, site: &Site, changes: &Value) -> Answer {
        let mut said = metadata(&json!({ "client_id": self.caller.key }));
        for (name, value) in changes.as_object().expect("members") {
            said[name] = value.clone();
        }
        site.send(self.ask(Method::PUT).json(&said)).await
    }

    async fn app(&self, site: &Site) -> Option<App> {
        apps::find(&mut site.store().read().await.expect("reads"), &self.key()).await.expect("reads")
    }

    fn request(&self) -> [(&'static str, Option<&str>); 2] {
        [("client_id", Some(self.caller.key.as_str())), ("redirect_uri", Some(PLANNER))]
    }

    /// All the way, by way of the question.
    async fn tokens(&self, site: &Site, browser: &mut Browser<'_>) -> Tokens {
        let page = browser.open(&authorize_url(&self.request())).await;
        assert!(page.answer.shows("allow") && page.answer.body.contains("planner.<wbr>example"), "{page:?}");
        let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
        let action = page.action();
        let there = onward(&browser.submit(&action, &fields).await.answer);
        let code = said(browser.step(&there).await.location(), "code").expect("a code");
        Tokens::of(&redeem(site, &self.caller, &code, &[("redirect_uri", Some(PLANNER))]).await)
    }
}

async fn set_disabled(site: &Site, app: &AppKey, disabled: bool) {
    let mut write = site.store().write().await.expect("writes");
    let actor = hallpass_core::audit::Actor::Cli;
    assert!(admin::apps::set_disabled(&mut write, app, disabled, &actor, site.now()).await.expect("changes"));
    write.commit().await.expect("commits");
}

#[tokio::test]
async fn nobody_registers_anything_unless_it_is_configured() {
    let site = Site::start().await;
    let ask = |method| bearer(Ask::new(method, "/oauth/register/dyn-x"), INITIAL);
    assert_eq!(register(&site, &json!({})).await.status, 404);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(site.send(ask(method)).await.status, 404);
    }
    let discovery = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert!(discovery.get("registration_endpoint").is_none());
    let open = open().await;
    let discovery = open.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(discovery["registration_endpoint"], format!("{HOME}/oauth/register"));
}

#[tokio::test]
async fn it_takes_the_initial_access_token_and_nothing_else() {
    let site = open().await;
    let said = metadata(&json!({}));
    let post = || Ask::post("/oauth/register").json(&said);
    let wrong = format!("{INITIAL}x");
    for (ask, code) in [
        (post(), "token_required"),
        (post().header("authorization", format!("Basic {INITIAL}")), "token_required"),
        (post().by(&site.pos), "token_required"),
        (bearer(bearer(post(), INITIAL), INITIAL), "token_required"),
        (bearer(post(), ""), "invalid_token"),
        (bearer(post(), &wrong), "invalid_token"),
        (bearer(post(), &INITIAL[1..]), "invalid_token"),
        (bearer(post(), &site.pos.secret), "invalid_token"),
    ] {
        assert_eq!(error(&site.send(ask).await), (401, code.to_owned()));
    }
    let in_the_address = Ask::post(format!("/oauth/register?access_token={INITIAL}")).json(&said);
    assert_eq!(site.send(in_the_address).await.status, 401);
    let form = bearer(Ask::post("/oauth/register"), INITIAL).form(&[("client_name", "x")]);
    assert_eq!(site.send(form).await.status, 415);
    assert_eq!(register(&site, &json!({})).await.status, 201);
    // Whoever guesses is slowed down; whoever knows is not.
    let mut last = 0;
    for _ in 0..200 {
        last = site.send(bearer(post(), &wrong)).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(register(&site, &json!({})).await.status, 201);
}

#[tokio::test]
async fn a_client_that_has_registered_signs_people_in_who_allow_it() {
    let site = open().await;
    let planner =
        Registered::new(&site, &json!({ "scope": "openid email", "logo_uri": "http://169.254.169.254/" })).await;
    assert!(planner.caller.key.starts_with("dyn-") && planner.caller.secret.starts_with("hp_sk_"));
    assert!(planner.token().starts_with("hp_ra_"));
    let told = &planner.told;
    assert_eq!(
        (&told["client_secret_expires_at"], &told["token_endpoint_auth_method"]),
        (&json!(0), &json!("client_secret_basic"))
    );
    assert!(told.get("logo_uri").is_none(), "what is not kept is not told");
    let mut browser = at_home(&site).await;
    let tokens = planner.tokens(&site, &mut browser).await;
    assert_eq!(userinfo(&site, &tokens.access).await.json()["preferred_username"], "ana");
    assert_eq!(refresh(&site, &planner.caller, &tokens.refresh).await.status, 200);
    assert!(!browser.open("/apps").await.answer.body.contains("Holiday planner"), "its name is its own choice");
    let filter = audit::Filter { event: Some("app_added".to_owned()), ..Default::default() };
    let entries = audit::list(&mut site.store().read().await.expect("reads"), &filter, None, 10).await.expect("reads");
    assert!(
        entries.iter().any(|entry| entry.app.as_ref().is_some_and(|app| *app == planner.key()) && entry.ip.is_some())
    );
}

#[tokio::test]
async fn a_program_registers_without_a_secret() {
    let site = open().await;
    let changes = json!({ "token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb"] });
    let tool = Registered::new(&site, &changes).await;
    assert!(tool.told.get("client_secret").is_none() && tool.told["token_endpoint_auth_method"] == "none");
    let mut browser = at_home(&site).await;
    let uri = "http://127.0.0.1:51004/cb";
    let request = [("client_id", Some(tool.caller.key.as_str())), ("redirect_uri", Some(uri))];
    assert!(browser.open(&authorize_url(&request)).await.answer.shows("allow"));
}

/// T4, T5, T90: what is said there is judged as an administrator's file is, and what is not meant to be said has no effect.
#[tokio::test]
async fn nothing_can_be_slipped_in() {
    let site = open().await;
    for (changes, code) in [
        (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["https://*.planner.example/cb"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://planner.example/cb"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": PLANNER }), "invalid_client_metadata"),
        (json!({ "client_name": "<b>\u{202e}x" }), "invalid_client_metadata"),
        (json!({ "jwks_uri": "http://10.0.0.1/jwks" }), "invalid_client_metadata"),
        (json!({ "grant_types": ["client_credentials"] }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "invalid_client_metadata"),
    ] {
        assert_eq!(error(&register(&site, &changes).await), (400, code.to_owned()), "{changes}");
    }
    let slipped_in = json!({
        "access": "assigned", "third_party": false, "registered": false, "origins": ["https://pos.company.com"], "audiences": ["billing"],
        "client_credentials": true, "device": true, "relayed_sign_in": true, "forward_auth": true, "agent": true, "zone": "elsewhere",
        "client_id": "pos", "client_secret": site.pos.secret, "key": "pos", "disabled_at": 1, "offline_access": true,
    });
    let planner = Registered::new(&site, &slipped_in).await;
    assert_ne!(planner.caller.secret, site.pos.secret);
    let app = planner.app(&site).await.expect("there");
    let plain = Registered::new(&site, &json!({})).await.app(&site).await.expect("there");
    assert_eq!(App { key: plain.key.clone(), ..app.clone() }, plain);
    assert!(app.third_party && app.registered && app.origins.is_empty() && app.audiences.is_empty());
    assert_eq!((app.access, app.client.offline_access, app.zone.as_str()), (Access::Everyone, false, "home"));
}

/// Its secret is for the token endpoint. Everything that is about passes, rights and sessions is closed to it.
#[tokio::test]
async fn its_secret_opens_nothing_that_is_an_apps() {
    let site = open().await;
    let planner = Registered::new(&site, &json!({})).await;
    let ana = site.signed_in(&site.ana).await;
    assert!(site.is_active(&site.wiki, &ana.pass).await, "everybody's pass is good at an app for everybody");
    let by = |ask: Ask| ask.by(&planner.caller);
    for ask in [
        Ask::introspect(&planner.caller, &ana.pass),
        by(Ask::post("/handoff/token").form(&[("grant_type", "authorization_code"), ("code", "x")])),
        by(Ask::get("/api/v1/changes")),
        by(Ask::post("/api/v1/sign-in").json(&json!({ "username": "ana", "password": PASSWORD }))),
        by(Ask::post("/api/v1/sign-out").json(&json!({ "sid": ana.sid() }))),
    ] {
        let answer = site.send(ask.clone()).await;
        assert_eq!(answer.status, 403, "{ask:?}: {answer:?}");
        assert!(!answer.body.contains("active"), "{answer:?}");
    }
    let device = site.send(by(Ask::post("/oauth/device_authorization").form(&[("scope", "openid")]))).await;
    assert_eq!(error(&device), (400, "unauthorized_client".to_owned()));
    for grant in ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"] {
        let fields = [("grant_type", grant), ("resource", "billing"), ("subject_token", ana.pass.as_str())];
        let answer = site.send(by(Ask::post("/oauth/token").form(&fields))).await;
        assert_eq!(error(&answer), (400, "unauthorized_client".to_owned()));
    }
    let page = format!("/sign-in?app={}", planner.caller.key);
    assert_eq!(site.send(Ask::get(page)).await.status, 400, "no sign-in leads to it but by its own request");
    assert!(site.is_active(&site.wiki, &ana.pass).await, "and nobody was signed out");
}

#[tokio::test]
async fn a_client_reads_changes_and_ends_its_registration() {
    let site = open().await;
    let planner = Registered::new(&site, &json!({ "token_endpoint_auth_method": "client_secret_post" })).await;
    let mut browser = at_home(&site).await;
    let tokens = planner.tokens(&site, &mut browser).await;
    let read = site.send(planner.ask(Method::GET)).await;
    assert_eq!(read.status, 200, "{read:?}");
    let mut expected = planner.told.clone();
    for once in ["client_secret", "client_secret_expires_at", "client_id_issued_at"] {
        expected.as_object_mut().expect("members").remove(once);
    }
    assert_eq!(read.json(), expected);

    // The same once more changes nothing for anybody.
    let same = planner.update(&site, &json!({ "client_secret": planner.caller.secret })).await;
    assert_eq!((same.status, &same.json()["token_endpoint_auth_method"]), (200, &json!("client_secret_basic")));
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    // Another address: whoever has allowed it was shown the one before.
    let other = "https://elsewhere.example/callback";
    assert_eq!(planner.update(&site, &json!({ "redirect_uris": [other] })).await.status, 200);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
    assert_eq!(error(&refresh(&site, &planner.caller, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    let mut store = site.store().read().await.expect("reads");
    assert_eq!(consents::find(&mut store, &site.ana.id, &planner.key()).await.expect("reads"), None);
    drop(store);
    let request = [planner.request()[0], ("redirect_uri", Some(other))];
    assert!(browser.open(&authorize_url(&request)).await.answer.shows("allow"), "and is asked again");

    assert_eq!(site.send(planner.ask(Method::DELETE)).await.status, 204);
    assert_eq!(planner.app(&site).await, None);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(error(&site.send(planner.ask(method)).await), (401, "invalid_token".to_owned()));
    }
    assert_eq!(browser.open(&authorize_url(&request)).await.answer.status, 400, "nobody knows it");
}

/// T90: every rule of the registration holds in an update, and what kind of client it is stays.
#[tokio::test]
async fn an_update_is_judged_like_a_registration() {
    let site = open().await;
    let planner = Registered::new(&site, &json!({})).await;
    let other = Registered::new(&site, &json!({})).await;
    let before = planner.app(&site).await;
    for changes in [
        json!({ "client_id": null }),
        json!({ "client_id": "pos" }),
        json!({ "client_id": other.caller.key }),
        json!({ "client_secret": "hp_sk_mine" }),
        json!({ "client_secret": other.caller.secret }),
        json!({ "client_secret": site.pos.secret }),
        json!({ "registration_access_token": planner.token() }),
        json!({ "registration_client_uri": "https://evil.example/" }),
        json!({ "client_secret_expires_at": 0 }),
        json!({ "client_id_issued_at": 0 }),
        json!({ "redirect_uris": [] }),
        json!({ "redirect_uris": null }),
        json!({ "redirect_uris": ["javascript:alert(1)"] }),
        json!({ "token_endpoint_auth_method": "none" }),
        json!({ "jwks_uri": "https://planner.example/jwks" }),
        json!({ "grant_types": ["client_credentials"] }),
    ] {
        let answer = planner.update(&site, &changes).await;
        assert_eq!(answer.status, 400, "{changes}: {answer:?}");
        assert_eq!(planner.app(&site).await, before, "{changes}");
    }
    let slipped_in = json!({ "access": "assigned", "third_party": false, "registered": false, "origins": ["https://pos.company.com"], "audiences": ["x"] });
    assert_eq!(planner.update(&site, &slipped_in).await.status, 200);
    assert_eq!(planner.app(&site).await, before);
}

#[tokio::test]
async fn a_registration_is_its_own_clients() {
    let site = open().await;
    let (planner, other) = (Registered::new(&site, &json!({})).await, Registered::new(&site, &json!({})).await);
    let path = |key: &str| format!("/oauth/register/{key}");
    for (key, token) in [
        (planner.caller.key.as_str(), other.token()),
        (planner.caller.key.as_str(), INITIAL),
        (&planner.caller.key, &planner.caller.secret),
        ("pos", planner.token()),
        ("pos", &site.pos.secret),
        ("dyn-nobody", planner.token()),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let ask = bearer(Ask::new(method, path(key)), token).json(&metadata(&json!({ "client_id": key })));
            assert_eq!(error(&site.send(ask).await), (401, "invalid_token".to_owned()), "{key}");
        }
    }
    assert_eq!(site.send(Ask::get(path(&planner.caller.key)).by(&planner.caller)).await.status, 401);
    assert_eq!(
        site.send(bearer(Ask::post("/oauth/register"), planner.token()).json(&metadata(&json!({})))).await.status,
        401
    );
    assert!(planner.app(&site).await.is_some() && other.app(&site).await.is_some());
    assert!(
        apps::find(&mut site.store().read().await.expect("reads"), &"pos".parse().expect("a key"))
            .await
            .expect("reads")
            .is_some()
    );
}

/// T90: what an administrator has disabled cannot look at itself, change itself, or end itself to come back under another name unseen.
#[tokio::test]
async fn a_disabled_clients_token_is_dead() {
    let site = open().await;
    let planner = Registered::new(&site, &json!({})).await;
    set_disabled(&site, &planner.key(), true).await;
    for ask in [planner.ask(Method::GET), planner.ask(Method::DELETE)] {
        assert_eq!(error(&site.send(ask).await), (401, "invalid_token".to_owned()));
    }
    assert_eq!(error(&planner.update(&site, &json!({})).await), (401, "invalid_token".to_owned()));
    assert!(planner.app(&site).await.expect("there").disabled_at.is_some(), "and stays disabled");
    set_disabled(&site, &planner.key(), false).await;
    assert_eq!(site.send(planner.ask(Method::GET)).await.status, 200);
}

#[tokio::test]
async fn there_are_no_more_than_the_configuration_allows() {
    let site = open().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Registered::new(&site, &json!({})).await);
    }
    let before = apps::all(&mut site.store().read().await.expect("reads")).await.expect("reads").len();
    assert_eq!(error(&register(&site, &json!({})).await), (403, "access_denied".to_owned()));
    let after = apps::all(&mut site.store().read().await.expect("reads")).await.expect("reads").len();
    assert_eq!(before, after, "and leaves nothing behind");
    assert_eq!(site.send(all[0].ask(Method::DELETE)).await.status, 204);
    assert_eq!(register(&site, &json!({})).await.status, 201);
}

#[tokio::test]
async fn a_short_initial_access_token_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    for (text, starts) in [("", false), ("short", false), (&INITIAL[..31], false), (INITIAL, true)] {
        std::fs::write(&file, text).expect("writes");
        let registration = Some(RegistrationConfig {
            initial_access_token: SecretSource { file: Some(file.clone()), ..SecretSource::default() },
            access: Access::Assigned,
            maximum: 1,
        });
        let config = Config { registration, ..Config::default() };
        let configured = hallpass_server::oidc::registration::Registration::configured(&config).await;
        assert_eq!(configured.is_ok_and(|registration| registration.is_some()), starts, "{text:?}");
    }
}
