//! One of each kind of credential, in an installation of its own; and how one thing about it is changed.

use hallpass_core::app::{Access, App};
use hallpass_core::crypto::Algorithm;
use hallpass_core::session::EndReason;
use hallpass_server::web::cookies;
use hallpass_store::{apps, sessions};

use super::{A, Attribute, C, Credential, doors};
use crate::handoff::app_agent::{self, till};
use crate::oauth::signer::{self, Signer};
use crate::oauth::{self, CALLBACK, SPA, VERIFIER, authorize_url, browser_client, client, client_with, native_client};
use crate::support::{Ask, Browser, Caller, HOME, PASS, PASSWORD, SESSION, SignedIn, Site};
use crate::upstream::fake::Fake;
use crate::upstream::{self, Trip};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const PASS_TYPE: &str = "urn:hallpass:params:oauth:token-type:pass";

/// One of each, and how it is presented.
pub struct Held {
    pub site: Site,
    crm: Caller,
    till: Caller,
    cli: Caller,
    theirs: Caller,
    spa: Caller,
    /// A service that others call.
    pub stock: Caller,
    /// Two clients that have registered themselves.
    pub registered: [Caller; 2],
    /// A provider where people sign in, another one, and two browsers that have left for the first, each with its cookie.
    pub providers: [Fake; 2],
    pub trips: [(Trip, String); 2],
    /// Where the form leads that asks for consent, and where another one of the same app does.
    pub consents: [String; 2],
    /// A client that signs assertions, and a program whose tokens are bound to a key.
    vault: Caller,
    tool: Caller,
    pub signer: Signer,
    /// Somebody with another key.
    pub stranger: Signer,
    /// Each text, by its credential.
    pub texts: Vec<(Credential, String)>,
    /// The session's cookie.
    pub cookie: String,
}

impl Held {
    pub async fn new() -> Self {
        let providers = [Fake::start().await, Fake::start().await];
        let site = Site::start_with(|config| {
            oauth::registration::configure(config);
            let named = ["fake", "second"].into_iter().zip(&providers);
            config.upstream.oidc = named.map(|(name, fake)| upstream::provider(name, &fake.issuer, |_| ())).collect();
        })
        .await;
        let crm = client(&site, "crm").await;
        let till = till(&site, |app| app.origins.push("https://till-2.company3.com".parse().expect("an origin"))).await;
        client_with(&site, "other", |app| app.device = true).await;
        let cli = client_with(&site, "cli", |app| app.device = true).await;
        let theirs = client_with(&site, "theirs", |app| app.third_party = true).await;
        let spa = browser_client(&site, "spa", |_| ()).await;
        browser_client(&site, "spb", |_| ()).await;
        let signer = Signer::new(Algorithm::EdDsa);
        let keys = signer::set(&[signer.jwk("k1")]);
        let vault = client_with(&site, "vault", |app| (app.jwks, app.client_credentials) = (Some(keys), true)).await;
        let stock = site.app("stock", |_| ()).await;
        for key in ["pos", "vault"] {
            change_app(&site, key, |app| app.audiences.push("stock".parse().expect("an audience"))).await;
        }
        let registered = [oauth::registration::registered(&site).await, oauth::registration::registered(&site).await];
        let trips = [away(&site).await, away(&site).await];
        let tool = native_client(&site, "tool", &[CALLBACK]).await;
        let mut browser = Browser::new(&site);
        let waiting = browser.step(&authorize_url(&[])).await.location().to_owned();
        let pending = oauth::said(&format!("{HOME}{waiting}"), "pending").expect("a request that waits");
        // For weeks, so that the session outlives each of the others.
        let page = browser.open("/sign-in?app=pos").await;
        let token = page.answer.csrf_token().to_owned();
        let fields = [("csrf_token", &*token), ("username", "ana"), ("password", PASSWORD), ("stay", "1")];
        browser.submit(&page.action(), &fields).await;
        let code = oauth::code(&mut browser, &[]).await;
        let tokens = oauth::Tokens::of(&oauth::redeem(&site, &crm, &code, &[]).await);
        let code = oauth::code(&mut browser, &[("client_id", Some("tool"))]).await;
        let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
        let fields = [&fields[..], &[("code_verifier", VERIFIER), ("client_id", "tool")]].concat();
        let proof = signer.proof(&site, "POST", "/oauth/token");
        let bound = site.send(Ask::post("/oauth/token").form(&fields).header("dpop", proof)).await;
        let bound = oauth::Tokens::of(&bound);
        let assertion = signer.sign(&signer.header("k1"), &signer::claims(&site, "vault", "one", &[]));
        let own = signer.sign(&signer.header("k1"), &signer::claims(&site, "vault", "two", &[]));
        let own = token_for_stock(&site, Ask::post("/oauth/token"), &doors::by_assertion("vault", &own)).await;
        let proof = signer.proof_of_token(&site, &bound.access);
        let second_code = oauth::code(&mut browser, &[]).await;
        let handoff = browser.step(&app_agent::authorize_url("till", app_agent::CALLBACK)).await;
        let handoff = app_agent::returned(&handoff, "code").expect("a code");
        let account = browser.open("/account").await.answer.csrf_token().to_owned();
        let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
        let fields = [("grant_type", EXCHANGE), ("subject_token_type", PASS_TYPE), ("subject_token", &*pass)];
        let downstream = token_for_stock(&site, Ask::post("/oauth/token").by(&site.pos), &fields).await;
        let cookie = browser.cookie(HOME, SESSION).expect("a session");
        let pushed = oauth::par::pushed(&site, &crm, &[]).await;
        let ana = SignedIn { cookie: cookie.clone(), ..site.signed_in(&site.ana).await };
        let device = oauth::device::begin(&site, &cli).await;
        assert_eq!(oauth::device::decide(&site, &ana, &device.user_code, "allow").await.status, 303);
        site.end(&ana.session).await;
        let code = oauth::code_for_page(&mut browser, "spa", SPA).await;
        let answer = oauth::redeem_by_page(&site, "spa", SPA, &code).await;
        let in_cookie = answer.cookie(&cookies::refresh(&"spa".parse().expect("a key"))).to_owned();
        let asks = |state: &'static str| authorize_url(&[("client_id", Some("theirs")), ("state", Some(state))]);
        let (page, another) = (browser.open(&asks("one")).await, browser.open(&asks("other")).await);
        let consents = [&page, &another].map(|page| page.action()[url::Position::BeforePath..].to_owned());
        let texts = vec![
            (C::AppSecret, site.pos.secret.clone()),
            (C::Session, cookie.clone()),
            (C::PageToken, account),
            (C::Pass, pass),
            (C::HandoffCode, handoff),
            (C::AuthorizationCode, second_code),
            (C::RefreshToken, tokens.refresh),
            (C::AccessToken, tokens.access),
            (C::IdTokenHint, tokens.id),
            (C::PendingRequest, pending),
            (C::PushedRequest, pushed),
            (C::DeviceCode, device.code),
            (C::ConsentForm, page.answer.csrf_token().to_owned()),
            (C::RefreshCookie, in_cookie),
            (C::ClientAssertion, assertion),
            (C::BoundRefreshToken, bound.refresh),
            (C::BoundAccessToken, bound.access),
            (C::PossessionProof, proof),
            (C::RegistrationToken, registered[0].1.clone()),
            (C::ServiceToken, own),
            (C::DownstreamToken, downstream),
            (C::UpstreamAnswer, trips[0].0.state.clone()),
        ];
        let registered = registered.map(|(caller, _)| caller);
        let stranger = Signer::new(Algorithm::EdDsa);
        Self {
            site,
            crm,
            till,
            cli,
            theirs,
            spa,
            stock,
            registered,
            providers,
            trips,
            consents,
            vault,
            tool,
            signer,
            stranger,
            texts,
            cookie,
        }
    }

    pub fn text(&self, credential: Credential) -> &str {
        &self.texts.iter().find(|(held, _)| *held == credential).expect("one of each").1
    }

    /// The client that a credential is for.
    pub fn owner(&self, credential: Credential) -> &Caller {
        match credential {
            C::HandoffCode => &self.till,
            C::ClientAssertion | C::ServiceToken => &self.vault,
            C::RegistrationToken => &self.registered[0],
            C::BoundRefreshToken | C::BoundAccessToken | C::PossessionProof => &self.tool,
            C::DeviceCode => &self.cli,
            C::ConsentForm => &self.theirs,
            C::RefreshCookie => &self.spa,
            C::AuthorizationCode
            | C::RefreshToken
            | C::AccessToken
            | C::IdTokenHint
            | C::PendingRequest
            | C::PushedRequest => &self.crm,
            _ => &self.site.pos,
        }
    }

    /// Changes the world so that `attribute` of `credential` is no longer as it was.
    pub async fn change(&self, credential: Credential, attribute: Attribute) {
        let (site, key) = (&self.site, self.owner(credential).key.clone());
        match attribute {
            A::Time => site.wait(match credential {
                C::HandoffCode => 30,
                C::AuthorizationCode | C::ClientAssertion | C::PossessionProof | C::DownstreamToken => 60,
                C::AccessToken | C::BoundAccessToken | C::ServiceToken => 5 * 60,
                C::Pass => 15 * 60,
                C::PushedRequest => 90,
                C::PendingRequest | C::ConsentForm | C::UpstreamAnswer => 30 * 60,
                C::DeviceCode => 10 * 60,
                C::RefreshToken | C::RefreshCookie | C::BoundRefreshToken => 24 * 3600,
                _ => 7 * 24 * 3600,
            }),
            A::Session => {
                let mut write = site.store().write().await.expect("writes");
                let ended =
                    sessions::end_all_of(&mut write, &site.ana.id, None, EndReason::EndedByAdmin, site.now()).await;
                assert_eq!(ended.expect("writes").len(), 1, "there is one session");
                write.commit().await.expect("commits");
            }
            A::Key if credential == C::ClientAssertion => {
                let keys = signer::set(&[self.stranger.jwk("k1")]);
                change_app(site, &key, |app| app.jwks = Some(keys)).await;
            }
            A::Grant => change_app(site, &key, |app| app.client_credentials = false).await,
            A::Services => change_app(site, &key, |app| app.audiences.clear()).await,
            A::Person => site.disable(&site.ana).await,
            A::Access if key == "pos" => site.cashier(&site.ana, false).await,
            A::Access => change_app(site, &key, |app| app.access = Access::Assigned).await,
            A::App => {
                let now = site.now();
                change_app(site, &key, |app| app.disabled_at = Some(now)).await;
            }
            _ => {}
        }
        site.heard().await;
    }
}

async fn change_app(site: &Site, key: &str, change: impl FnOnce(&mut App)) {
    let mut write = site.store().write().await.expect("writes");
    let mut app = apps::find(&mut write, &key.parse().expect("a key")).await.expect("reads").expect("there");
    change(&mut app);
    apps::upsert(&mut write, &app, site.now()).await.expect("writes");
    write.commit().await.expect("commits");
    site.heard().await;
}

/// A browser that has left for the first of the providers, and what it keeps of that.
async fn away(site: &Site) -> (Trip, String) {
    let mut browser = Browser::new(site);
    let trip = upstream::leave(&mut browser, "fake", "").await;
    (trip, browser.carried(HOME))
}

/// A token that an app of ours calls the service with.
async fn token_for_stock(site: &Site, ask: Ask, fields: &[(&str, &str)]) -> String {
    let fields = [fields, &[("audience", "stock")]].concat();
    let answer = site.send(ask.form(&fields)).await;
    answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token in {answer:?}")).to_owned()
}
