//! Every kind of credential against every attribute that it is bound to, one of them changed at a time; and every kind at every other kind's door.
//! Protocol §8, §11, §16; T12–T16, T20, T22, T29.
//!
//! The tables below are the claim; each cell of them is tried in an installation of its own.

use hallpass_core::app::{Access, App};
use hallpass_core::crypto::Algorithm;
use hallpass_core::session::EndReason;
use hallpass_server::web::cookies;
use hallpass_store::{apps, sessions};
use tokio::task::JoinSet;

use crate::handoff::app_agent::{self, till};
use crate::oauth::signer::{self, Signer};
use crate::oauth::{
    self, CALLBACK, SPA, VERIFIER, authorize_url, browser_client, by_page, client, client_with, native_client,
};
use crate::support::{Ask, Browser, Caller, HOME, PASS, PASSWORD, SESSION, SignedIn, Site};

/// What somebody may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    AppSecret,
    Session,
    PageToken,
    Pass,
    HandoffCode,
    AuthorizationCode,
    RefreshToken,
    AccessToken,
    IdTokenHint,
    PendingRequest,
    PushedRequest,
    DeviceCode,
    /// The token of the form that allows an app of somebody else.
    ConsentForm,
    RefreshCookie,
    ClientAssertion,
    BoundRefreshToken,
    BoundAccessToken,
    PossessionProof,
}

/// What it may be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    /// Nothing is changed: it must be good, or the rest of its row says nothing.
    Nothing,
    /// One character of it.
    Text,
    /// Another client, with its own good secret.
    Client,
    /// The secret that the client presents.
    Secret,
    /// The redirect URI: another one of the same client. Of a form: another request. Of a cookie: the page that sends it along.
    Address,
    /// What only the beginner has: a verifier, the browser's cookie, a script of the right page.
    Proof,
    /// The key that its holder signs with, or must prove to hold: another one.
    Key,
    /// The first moment at which it is over.
    Time,
    /// The session that it came of.
    Session,
    /// The person: disabled.
    Person,
    /// The person's access to the app.
    Access,
    /// The app: disabled.
    App,
    /// A second use.
    Once,
}

use Attribute as A;
use Credential as C;

const BINDINGS: [(Credential, &[Attribute]); 18] = [
    (C::AppSecret, &[A::Text, A::Client, A::App]),
    (C::Session, &[A::Text, A::Time, A::Session, A::Person]),
    (C::PageToken, &[A::Text, A::Proof, A::Session, A::Person]),
    (C::Pass, &[A::Text, A::Client, A::Secret, A::Time, A::Session, A::Person, A::Access, A::App]),
    (
        C::HandoffCode,
        &[
            A::Text,
            A::Client,
            A::Secret,
            A::Address,
            A::Proof,
            A::Time,
            A::Session,
            A::Person,
            A::Access,
            A::App,
            A::Once,
        ],
    ),
    (
        C::AuthorizationCode,
        &[
            A::Text,
            A::Client,
            A::Secret,
            A::Address,
            A::Proof,
            A::Time,
            A::Session,
            A::Person,
            A::Access,
            A::App,
            A::Once,
        ],
    ),
    (C::RefreshToken, &[A::Text, A::Client, A::Secret, A::Time, A::Session, A::Person, A::Access, A::App, A::Once]),
    (C::AccessToken, &[A::Text, A::Time, A::Session, A::Person, A::Access, A::App]),
    (C::IdTokenHint, &[A::Text, A::Client, A::Session]),
    (C::PendingRequest, &[A::Text, A::Client, A::Time]),
    (C::PushedRequest, &[A::Text, A::Client, A::Time, A::Access, A::App, A::Once]),
    (C::DeviceCode, &[A::Text, A::Client, A::Secret, A::Time, A::Session, A::Person, A::Access, A::App, A::Once]),
    (C::ConsentForm, &[A::Text, A::Client, A::Address, A::Proof, A::Time, A::Session, A::Person, A::App]),
    (
        C::RefreshCookie,
        &[A::Text, A::Client, A::Address, A::Proof, A::Time, A::Session, A::Person, A::Access, A::App, A::Once],
    ),
    (C::ClientAssertion, &[A::Text, A::Client, A::Key, A::Time, A::App, A::Once]),
    (
        C::BoundRefreshToken,
        &[A::Text, A::Client, A::Key, A::Proof, A::Time, A::Session, A::Person, A::Access, A::App, A::Once],
    ),
    (C::BoundAccessToken, &[A::Text, A::Key, A::Proof, A::Time, A::Session, A::Person, A::Access, A::App]),
    (C::PossessionProof, &[A::Text, A::Address, A::Key, A::Time, A::Once]),
];

/// One of each, and how it is presented.
struct Held {
    site: Site,
    crm: Caller,
    till: Caller,
    cli: Caller,
    theirs: Caller,
    spa: Caller,
    /// Where the form leads that asks for consent, and where another one of the same app does.
    consents: [String; 2],
    /// A client that signs assertions, and a program whose tokens are bound to a key.
    vault: Caller,
    tool: Caller,
    signer: Signer,
    /// Somebody with another key.
    stranger: Signer,
    /// Each text, by its credential.
    texts: Vec<(Credential, String)>,
    /// The session's cookie.
    cookie: String,
}

impl Held {
    async fn new() -> Self {
        let site = Site::start().await;
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
        let proof = signer.proof_of_token(&site, &bound.access);
        let second_code = oauth::code(&mut browser, &[]).await;
        let handoff = browser.step(&app_agent::authorize_url("till", app_agent::CALLBACK)).await;
        let handoff = app_agent::returned(&handoff, "code").expect("a code");
        let account = browser.open("/account").await.answer.csrf_token().to_owned();
        let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
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
        ];
        let stranger = Signer::new(Algorithm::EdDsa);
        Self { site, crm, till, cli, theirs, spa, consents, vault, tool, signer, stranger, texts, cookie }
    }

    fn text(&self, credential: Credential) -> &str {
        &self.texts.iter().find(|(held, _)| *held == credential).expect("one of each").1
    }

    /// The client that a credential is for.
    fn owner(&self, credential: Credential) -> &Caller {
        match credential {
            C::HandoffCode => &self.till,
            C::ClientAssertion => &self.vault,
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

    async fn change_app(&self, key: &str, change: impl FnOnce(&mut App)) {
        let mut write = self.site.store().write().await.expect("writes");
        let mut app = apps::find(&mut write, &key.parse().expect("a key")).await.expect("reads").expect("there");
        change(&mut app);
        apps::upsert(&mut write, &app, self.site.now()).await.expect("writes");
        write.commit().await.expect("commits");
        self.site.heard().await;
    }

    /// Presents a text at the door of `credential`, with everything else as it should be but `changed`. Whether it was taken.
    async fn is_taken(&self, credential: Credential, text: &str, changed: Attribute) -> bool {
        let site = &self.site;
        let mut by = self.owner(credential).clone();
        if changed == A::Client {
            by = site.secret(if credential == C::Pass { "till" } else { "other" }, None).await;
        }
        if changed == A::Secret {
            by.secret.clone_from(&self.site.wiki.secret);
        }
        let verifier = if changed == A::Proof { VERIFIER.replace('d', "e") } else { VERIFIER.to_owned() };
        match credential {
            C::AppSecret => {
                let by = Caller {
                    key: if changed == A::Client { "wiki" } else { "pos" }.to_owned(),
                    secret: text.to_owned(),
                };
                site.send(Ask::introspect(&by, "x")).await.status == 200
            }
            C::Session => site.send(Ask::get("/account").cookie(SESSION, text)).await.status == 200,
            C::PageToken => {
                let cookie = match changed {
                    A::Proof => site.signed_in(&site.ana).await.cookie,
                    _ => self.cookie.clone(),
                };
                let form = Ask::post("/account/sign-out-everywhere").same_origin().cookie(SESSION, &cookie);
                let answer = site.send(form.form(&[("csrf_token", text)])).await;
                // Somebody without a session is led to the sign-in page.
                answer.status == 303 && !answer.location().starts_with("/sign-in")
            }
            C::Pass => {
                let answer = site.send(Ask::introspect(&by, text)).await;
                answer.status == 200 && answer.json()["active"] == true
            }
            C::HandoffCode => {
                let other = "https://till-2.company3.com/.sso/callback";
                let uri = if changed == A::Address { other } else { app_agent::CALLBACK };
                let fields = [("code", text), ("redirect_uri", uri), ("code_verifier", &*verifier)];
                site.send(Ask::post("/handoff/token").by(&by).form(&fields)).await.status == 200
            }
            C::AuthorizationCode => {
                let uri = if changed == A::Address { "https://crm.company.com/other" } else { CALLBACK };
                let changes = [("code_verifier", Some(&*verifier)), ("redirect_uri", Some(uri))];
                oauth::redeem(site, &by, text, &changes).await.status == 200
            }
            C::RefreshToken => oauth::refresh(site, &by, text).await.status == 200,
            C::AccessToken => oauth::userinfo(site, text).await.status == 200,
            C::IdTokenHint => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("id_token_hint", text)
                    .append_pair("client_id", &by.key)
                    .finish();
                let ask = Ask::get(format!("/oauth/logout?{query}")).cookie(SESSION, &self.cookie);
                site.send(ask).await.location().starts_with("/sign-out/receipt")
            }
            C::PushedRequest => {
                let ask = Ask::get(oauth::par::named(&by.key, text, &[])).cookie(SESSION, &self.cookie);
                let answer = site.send(ask).await;
                answer.status == 303 && oauth::said(answer.location(), "code").is_some()
            }
            C::ClientAssertion => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let fields = [("grant_type", "client_credentials"), ("audience", "billing"), ("client_id", &*by.key)];
                let fields = [&fields[..], &[("client_assertion_type", kind), ("client_assertion", text)]].concat();
                site.send(Ask::post("/oauth/token").form(&fields)).await.status == 200
            }
            C::BoundRefreshToken => {
                let fields = [("grant_type", "refresh_token"), ("refresh_token", text)];
                let ask = Ask::post("/oauth/token");
                let ask = match changed {
                    A::Client => ask.by(&by).form(&fields),
                    _ => ask.form(&[&fields[..], &[("client_id", &by.key)]].concat()),
                };
                let proof = self.holder(changed).proof(site, "POST", "/oauth/token");
                let ask = if changed == A::Proof { ask } else { ask.header("dpop", proof) };
                site.send(ask).await.status == 200
            }
            C::BoundAccessToken => {
                let ask = Ask::get("/oauth/userinfo").header("authorization", format!("DPoP {text}"));
                let proof = self.holder(changed).proof_of_token(site, text);
                let ask = if changed == A::Proof { ask } else { ask.header("dpop", proof) };
                site.send(ask).await.status == 200
            }
            C::PossessionProof => {
                let path = "/oauth/userinfo";
                let ask = if changed == A::Address { Ask::post(path).form(&[]) } else { Ask::get(path) };
                // With another key there is another token, which this proof is not about.
                let token = if changed == A::Key { C::AccessToken } else { C::BoundAccessToken };
                let ask = ask.header("authorization", format!("DPoP {}", self.text(token)));
                site.send(ask.header("dpop", text)).await.status == 200
            }
            C::PendingRequest => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("app", &by.key)
                    .append_pair("pending", text)
                    .finish();
                let ask = Ask::get(format!("/oauth/continue?{query}")).cookie(SESSION, &self.cookie);
                let answer = site.send(ask).await;
                answer.status == 303 && answer.location().starts_with(CALLBACK)
            }
            C::DeviceCode => oauth::device::poll(site, &by, text).await.status == 200,
            C::ConsentForm => {
                let action = &self.consents[usize::from(changed == A::Address)];
                let action =
                    if changed == A::Client { action.replace("app=theirs", "app=other") } else { action.clone() };
                let cookie = match changed {
                    A::Proof => site.signed_in(&site.ana).await.cookie,
                    _ => self.cookie.clone(),
                };
                let form = Ask::post(action).same_origin().cookie(SESSION, &cookie);
                let answer = site.send(form.form(&[("csrf_token", text), ("decision", "allow")])).await;
                answer.status == 200 && answer.body.contains("/oauth/continue?app=theirs")
            }
            C::RefreshCookie => {
                let client = if changed == A::Client { "spb" } else { "spa" };
                let origin = if changed == A::Address { "https://pos.company.com" } else { SPA };
                let ask = match changed {
                    // What a form of another page could send.
                    A::Proof => Ask::post("/oauth/token")
                        .header("origin", origin)
                        .header("sec-fetch-site", "same-site")
                        .form(&[("grant_type", "refresh_token"), ("client_id", client)]),
                    _ => by_page(
                        "/oauth/token",
                        origin,
                        &serde_json::json!({ "grant_type": "refresh_token", "client_id": client }),
                    ),
                };
                let name = cookies::refresh(&client.parse().expect("a key"));
                site.send(ask.cookie(&name, text)).await.status == 200
            }
        }
    }

    /// Whoever holds the key, or somebody with another one.
    const fn holder(&self, changed: Attribute) -> &Signer {
        match changed {
            A::Key => &self.stranger,
            _ => &self.signer,
        }
    }

    /// Changes the world so that `attribute` of `credential` is no longer as it was.
    async fn change(&self, credential: Credential, attribute: Attribute) {
        let (site, key) = (&self.site, self.owner(credential).key.clone());
        match attribute {
            A::Time => site.wait(match credential {
                C::HandoffCode => 30,
                C::AuthorizationCode | C::ClientAssertion | C::PossessionProof => 60,
                C::AccessToken | C::BoundAccessToken => 5 * 60,
                C::Pass => 15 * 60,
                C::PushedRequest => 90,
                C::PendingRequest | C::ConsentForm => 30 * 60,
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
                self.change_app(&key, |app| app.jwks = Some(keys)).await;
            }
            A::Person => site.disable(&site.ana).await,
            A::Access if key == "pos" => site.cashier(&site.ana, false).await,
            A::Access => self.change_app(&key, |app| app.access = Access::Assigned).await,
            A::App => {
                let now = site.now();
                self.change_app(&key, |app| app.disabled_at = Some(now)).await;
            }
            _ => {}
        }
        site.heard().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_bound_is_refused_when_one_thing_is_changed() {
    let rows: JoinSet<_> = BINDINGS.into_iter().map(|(credential, attributes)| row(credential, attributes)).collect();
    let taken = rows.join_all().await.concat();
    assert_eq!(taken, Vec::<String>::new(), "taken although changed, or refused although nothing was");
}

/// The cells of one row that are not as they should be.
async fn row(credential: Credential, attributes: &'static [Attribute]) -> Vec<String> {
    let mut taken = Vec::new();
    for attribute in [A::Nothing].iter().chain(attributes) {
        let held = Box::pin(Held::new()).await;
        held.change(credential, *attribute).await;
        let text = held.text(credential);
        if *attribute == A::Once {
            assert!(held.is_taken(credential, text, A::Nothing).await, "{credential:?} once");
            // Identical retries within ten seconds are answered identically: a lost answer, not a second use.
            held.site.wait(11);
        }
        let altered = altered(text);
        let text = if *attribute == A::Text { &altered } else { text };
        if held.is_taken(credential, text, *attribute).await != (*attribute == A::Nothing) {
            taken.push(format!("{credential:?} with {attribute:?} changed"));
        }
    }
    taken
}

/// One character in the middle is another one.
fn altered(text: &str) -> String {
    let middle = text.len() / 2;
    let other = if text.as_bytes()[middle] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &text[..middle], &text[middle + 1..])
}

#[tokio::test]
async fn no_kind_is_taken_for_another() {
    let held = Box::pin(Held::new()).await;
    for (door, _) in BINDINGS {
        for (kind, text) in &held.texts {
            if door != *kind {
                assert!(!held.is_taken(door, text, A::Nothing).await, "{kind:?} at the door of {door:?}");
            }
        }
    }
    // Nobody has used anything up meanwhile; the ones that end others come last.
    for (door, _) in BINDINGS {
        if !matches!(door, C::PageToken | C::IdTokenHint) {
            assert!(held.is_taken(door, held.text(door), A::Nothing).await, "{door:?} at its own");
        }
    }
}

/// T22: what is cut off, has something behind it, or is written in another way, is nothing at all.
#[tokio::test]
async fn only_the_whole_text_is_one() {
    let held = Box::pin(Held::new()).await;
    for (kind, text) in &held.texts {
        let cuts = (0..text.len()).step_by(7).map(|cut| text[..cut].to_owned());
        let behind = ["A", "=", "%00", " ", "."].map(|more| format!("{text}{more}"));
        let before = ["A", " ", "Bearer "].map(|more| format!("{more}{text}"));
        for bad in cuts.chain(behind).chain(before).chain([text.to_uppercase()]) {
            // Spaces around a header's value are not part of it (RFC 9110 section 5.5).
            let is_whole = matches!(kind, C::Session | C::RefreshCookie) && bad.trim() == text;
            assert!(is_whole || !held.is_taken(*kind, &bad, A::Nothing).await, "{kind:?}: {bad:?}");
        }
    }
}
