//! What ID tokens and logout tokens are signed with, client by client: `id_token_signed_response_alg` (OIDC Dynamic Client Registration 1.0 §2),
//! Back-Channel Logout 1.0 §2.6; the life of the RSA key (protocol §16); algorithm confusion (T26, RFC 8725 §3.1).

use std::time::Duration;

use axum::http::StatusCode;
use hallpass_core::audit::Actor;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_core::id::KeyId;
use hallpass_core::jose::{self, Kind};
use hallpass_core::jwk;
use hallpass_core::keyring::{Purpose, SealedKey};
use hallpass_core::oidc::IdTokenAlgorithm;
use hallpass_server::config::Config;
use hallpass_server::context::Clock;
use hallpass_server::engine::{self, Engine};
use hallpass_server::sign_out::deliver::deliver;
use hallpass_store::{apps, keys};
use serde_json::json;

use super::logout::logout_url;
use super::*;
use crate::nodes::on_two_nodes;
use crate::sign_out_everywhere::{self, Backend};
use crate::support;

/// The claims of a token whose signature was checked, as anybody checks it: with the published key that it names.
async fn checked(site: &Site, token: &str, algorithm: Algorithm) -> Value {
    let (header, claims) = opened(token);
    assert_eq!(header["alg"], algorithm.as_str());
    let keys = published(site).await;
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("published");
    let key = jwk::read(key, algorithm).expect("a key of this algorithm");
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    assert!(key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64url")));
    claims
}

async fn published(site: &Site) -> Vec<Value> {
    site.send(Ask::get("/.well-known/jwks.json")).await.json()["keys"].as_array().expect("keys").clone()
}

fn kid(token: &str) -> String {
    opened(token).0["kid"].as_str().expect("a key").to_owned()
}

async fn rsa_keys(site: &Site) -> Vec<SealedKey> {
    let mut all = keys::all(&mut site.store().read().await.expect("reads")).await.expect("reads");
    all.retain(|key| key.purpose == Purpose::IdToken);
    all
}

/// Makes another RSA key, which signs at once.
async fn rotate(site: &Site) -> KeyId {
    let context = &site.engine.context;
    let policy = context.config.key_policy(Purpose::IdToken);
    let (purpose, now) = (Purpose::IdToken, site.now());
    let made =
        jobs::rotate(&context.store, &context.master, purpose, &policy, Duration::ZERO, Actor::System, now).await;
    made.expect("rotates").expect("alone")
}

#[tokio::test]
async fn a_client_gets_what_it_asked_for_and_rs256_if_it_asked_for_nothing() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let small = client_with(&site, "small", |app| app.id_token_alg = IdTokenAlgorithm::EdDsa).await;
    for (caller, algorithm) in [(&crm, Algorithm::Rs256), (&small, Algorithm::EdDsa)] {
        let mut browser = at_home(&site).await;
        let code = code(&mut browser, &[("client_id", Some(&caller.key))]).await;
        let first = Tokens::of(&redeem(&site, caller, &code, &[]).await);
        let next = Tokens::of(&refresh(&site, caller, &first.refresh).await);
        for tokens in [&first, &next] {
            assert_eq!(checked(&site, &tokens.id, algorithm).await["aud"], caller.key.as_str());
            assert_eq!(checked(&site, &tokens.access, Algorithm::EdDsa).await["aud"], HOME, "nobody else reads it");
        }
    }
    let keys = published(&site).await;
    let rsa = keys.iter().filter(|key| key["kty"] == "RSA").collect::<Vec<_>>();
    let [rsa] = rsa[..] else { panic!("one RSA key: {keys:?}") };
    let n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().expect("text")).expect("base64url");
    assert!(n.len() == 256 && n[0] >= 0x80, "2048 bits and no zero in front");
    let mut members: Vec<_> = rsa.as_object().expect("an object").keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!((&rsa["alg"], &rsa["e"], &rsa["use"]), (&"RS256".into(), &"AQAB".into(), &"sig".into()));
}

#[tokio::test]
async fn logout_tokens_are_signed_as_id_tokens_are_and_for_other_apps_as_ever() {
    let site = sign_out_everywhere::site().await;
    let mut heard = Vec::new();
    for (key, algorithm) in
        [("crm", Some(IdTokenAlgorithm::Rs256)), ("small", Some(IdTokenAlgorithm::EdDsa)), ("till", None)]
    {
        let backend = Backend::start(&[StatusCode::OK]).await;
        let url = backend.url.parse().expect("an address");
        let caller = client_with(&site, key, |app| {
            app.logout_urls = vec![url];
            match algorithm {
                Some(algorithm) => app.id_token_alg = algorithm,
                // No client: it asks with the pass, and what it might have chosen means nothing.
                None => app.redirect_uris = Vec::new(),
            }
        });
        heard.push((caller.await, algorithm, backend));
    }
    let mut browser = at_home(&site).await;
    let mut hint = String::new();
    for (caller, algorithm, _) in &heard {
        if algorithm.is_some() {
            let code = code(&mut browser, &[("client_id", Some(&caller.key))]).await;
            hint = Tokens::of(&redeem(&site, caller, &code, &[]).await).id;
        } else {
            let pass = browser.cookie("https://pos.company.com/", support::PASS).expect("a pass");
            assert!(site.is_active(caller, &pass).await);
            site.written_down().await;
        }
    }
    assert_eq!(browser.step(&logout_url(&hint, GOODBYE, &[])).await.status, 303);
    deliver(site.engine.context.clone()).await.expect("reads");
    for (caller, algorithm, backend) in &mut heard {
        let token = backend.next_token().await;
        let expected = if *algorithm == Some(IdTokenAlgorithm::Rs256) { Algorithm::Rs256 } else { Algorithm::EdDsa };
        assert_eq!(checked(&site, &token, expected).await["aud"], caller.key.as_str());
        assert_eq!(opened(&token).0["typ"], "logout+jwt");
    }
}

/// Protocol §16: nothing fails to verify because a key was replaced.
#[tokio::test]
async fn what_the_key_before_has_signed_stays_good_until_it_retires() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (mut first_browser, first) = tokens(&site, &crm).await;
    let next = rotate(&site).await;
    let (mut second_browser, second) = tokens(&site, &crm).await;
    assert_eq!(kid(&second.id), next.to_string());
    assert_ne!(kid(&first.id), kid(&second.id));
    for token in [&first.id, &second.id] {
        checked(&site, token, Algorithm::Rs256).await;
    }
    let out = first_browser.step(&logout_url(&first.id, GOODBYE, &[])).await;
    assert_ne!(out.location(), "/sign-out", "signed out without a question");
    assert_dead(&site, &crm, &first).await;
    site.wait(3600);
    let out = second_browser.step(&logout_url(&first.id, GOODBYE, &[])).await;
    assert_eq!(out.location(), "/sign-out", "its key has retired");
    assert!(published(&site).await.iter().all(|key| key["kid"] != kid(&first.id)));
    checked(&site, &second.id, Algorithm::Rs256).await;
}

#[tokio::test]
async fn the_rsa_key_is_made_for_the_first_client_that_wants_it() {
    let site = Site::start().await;
    client_with(&site, "small", |app| app.id_token_alg = IdTokenAlgorithm::EdDsa).await;
    assert!(rsa_keys(&site).await.is_empty(), "nobody would check it");
    let mut moved = site.engine.context.view.watch();
    site.app("crm", |app| app.redirect_uris = vec![CALLBACK.parse().expect("a URI")]).await;
    let made = async {
        loop {
            let policy = site.engine.context.view.policy().await.expect("reads");
            if let Some(signer) = policy.keyring.signer(Purpose::IdToken, site.now()) {
                return signer.algorithm();
            }
            moved.changed().await.expect("the view lives");
        }
    };
    let made = tokio::time::timeout(Duration::from_secs(20), made).await.expect("nobody has to ask for it");
    assert_eq!(made, Algorithm::Rs256);
    jobs::first_keys(site.engine.context.clone()).await.expect("nothing to do");
    assert_eq!(rsa_keys(&site).await.len(), 1);
}

/// An installation that has clients and no RSA key, as one from before there were any.
#[tokio::test]
async fn a_start_makes_the_rsa_key_that_is_missing_and_touches_no_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = || Config {
        public_url: Some(HOME.parse().expect("an origin")),
        cookie_domain: Some("company.com".to_owned()),
        data_dir: directory.path().to_owned(),
        ..Config::default()
    };
    let kids = async |engine: &Engine| {
        let policy = engine.context.view.policy().await.expect("reads");
        let signer = |purpose| policy.keyring.signer(purpose, engine.context.now()).map(|key| key.kid);
        Purpose::ALL.map(signer)
    };
    let first = Engine::start(config(), Clock::default()).await.expect("starts");
    let before = kids(&first).await;
    let now = first.context.now();
    first.stop().await;
    let (store, _) = engine::open(&config()).await.expect("opens");
    let mut write = store.write().await.expect("writes");
    let crm = App { redirect_uris: vec![CALLBACK.parse().expect("a URI")], ..support::app("crm") };
    apps::upsert(&mut write, &crm, now).await.expect("adds");
    write.commit().await.expect("commits");
    store.close().await;
    let mut after = Vec::new();
    for _ in 0..2 {
        let again = Engine::start(config(), Clock::default()).await.expect("starts");
        after.push(kids(&again).await);
        again.stop().await;
    }
    let [pass, token, none] = before;
    assert_eq!((pass.is_some(), token.is_some(), none), (true, true, None));
    assert_eq!((after[0][0], after[0][1], after[0][2].is_some()), (pass, token, true));
    assert_eq!(after[0], after[1], "once");
}

#[tokio::test]
async fn two_nodes_sign_with_the_same_key() {
    on_two_nodes(|one, other| async move {
        let crm = client_with(&one, "crm", |app| app.id_token_alg = IdTokenAlgorithm::EdDsa).await;
        let mut write = one.store().write().await.expect("writes");
        let found = apps::find(&mut write, &"crm".parse().expect("a key")).await.expect("reads").expect("there");
        let found = App { id_token_alg: IdTokenAlgorithm::Rs256, ..found };
        apps::upsert(&mut write, &found, one.now()).await.expect("writes");
        write.commit().await.expect("commits");
        other.engine.context.view.catch_up_now().await.expect("reads");
        // Neither waits for a job: a refusal would have used the code up.
        let ((_, first), (_, second)) = tokio::join!(tokens(&one, &crm), tokens(&other, &crm));
        let [made] = &rsa_keys(&one).await[..] else { panic!("one of them has won") };
        for token in [&first.id, &second.id] {
            assert_eq!(kid(token), made.kid.to_string());
        }
        for site in [&one, &other] {
            site.engine.context.view.catch_up_now().await.expect("reads");
        }
        for (by, at) in [(&one, &other), (&other, &one)] {
            let (_, tokens) = tokens(by, &crm).await;
            assert_eq!(kid(&tokens.id), made.kid.to_string());
            checked(at, &tokens.id, Algorithm::Rs256).await;
        }
    })
    .await;
}

/// A token with any header, and what `sign` makes of it.
fn forged(header: &Value, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_hint_is_refused_whose_algorithm_key_or_type_is_not_the_one() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    let policy = site.engine.context.view.policy().await.expect("reads");
    let key = |purpose| policy.keyring.signer(purpose, site.now()).expect("a key");
    let [pass, token, rsa] = Purpose::ALL.map(key);
    let parts: Vec<&str> = tokens.id.split('.').collect();
    let (claims, signature) = (parts[1], URL_SAFE_NO_PAD.decode(parts[2]).expect("base64url"));
    let header = |alg: &str, kid: &str, typ: &str| json!({ "alg": alg, "kid": kid, "typ": typ });
    let own = rsa.kid.to_string();
    let by_rsa = |message: &[u8]| rsa.private.sign(message);

    let mut hints = Vec::new();
    for alg in ["none", "None", "", "rs256", "HS256", "PS256", "ES256", "EdDSA", "RS384", "RS512", "RSA-OAEP"] {
        hints.push(forged(&header(alg, &own, "JWT"), claims, |_| signature.clone()));
        hints.push(forged(&header(alg, &own, "JWT"), claims, by_rsa));
        hints.push(forged(&header(alg, &own, "JWT"), claims, |_| Vec::new()));
    }
    // The public key, in whichever form it is handed around, as an HMAC secret.
    let jwk = jwk::write(rsa.private.public().expect("asymmetric"), &own);
    let n = jwk["n"].as_str().expect("text");
    for secret in [jwk.to_string().into_bytes(), n.into(), URL_SAFE_NO_PAD.decode(n).expect("base64url")] {
        let shared = PrivateKey::from_stored(Algorithm::Hs256, &secret).expect("long enough");
        for alg in ["HS256", "RS256"] {
            hints.push(forged(&header(alg, &own, "JWT"), claims, |message| shared.sign(message)));
        }
    }
    // One key under the name of another.
    for other in [pass, token] {
        for alg in ["RS256", "EdDSA"] {
            hints.push(forged(&header(alg, &other.kid.to_string(), "JWT"), claims, by_rsa));
            hints.push(forged(&header(alg, &own, "JWT"), claims, |message| other.private.sign(message)));
        }
    }
    for unknown in ["", "x", &own.to_uppercase(), &KeyId::from_bytes([7; 16]).to_string()] {
        hints.push(forged(&header("RS256", unknown, "JWT"), claims, by_rsa));
    }
    // A stranger's key, the same padding of the same key with another hash of the message, and keys that sign something else.
    let stranger = PrivateKey::generate(Algorithm::Rs256);
    hints.push(forged(&header("RS256", &own, "JWT"), claims, |message| stranger.sign(message)));
    let pss = PrivateKey::from_stored(Algorithm::Ps256, &rsa.private.to_stored()).expect("an RSA key");
    hints.push(forged(&header("RS256", &own, "JWT"), claims, |message| pss.sign(message)));
    hints.push(forged(&header("EdDSA", &pass.kid.to_string(), "JWT"), claims, |message| pass.private.sign(message)));
    for typ in ["logout+jwt", "at+jwt", "pass+jwt", "handoff+jwt", "jwt", "application/jwt", ""] {
        hints.push(forged(&header("RS256", &own, typ), claims, by_rsa));
    }
    // A key that the token brings along.
    for (name, value) in [("jwk", jwk), ("jku", json!("https://evil.com/")), ("crit", json!(["exp"]))] {
        let mut header = header("RS256", &own, "JWT");
        header[name] = value;
        hints.push(forged(&header, claims, by_rsa));
    }
    for hint in hints {
        let answer = browser.step(&logout_url(&hint, GOODBYE, &[])).await;
        assert_eq!((answer.status, answer.location()), (303, "/sign-out"), "{hint}");
    }
    // What the RSA key signs is never more than an ID token or a logout token.
    let (_, access) = opened(&tokens.access);
    let access = jose::sign(rsa, Kind::AccessToken, &access);
    assert_eq!(userinfo(&site, &access).await.status, 401);
    assert!(!site.is_active(&crm, &access).await);
    let held = browser.cookie("https://pos.company.com/", support::PASS).expect("a pass");
    assert!(site.is_active(&site.pos, &held).await);
    assert!(!site.is_active(&site.pos, &jose::sign(rsa, Kind::Pass, &opened(&held).1)).await);

    assert_eq!(userinfo(&site, &tokens.access).await.status, 200, "nobody was signed out");
    let proper = forged(&header("RS256", &own, "JWT"), claims, by_rsa);
    let out = browser.step(&logout_url(&proper, GOODBYE, &[])).await;
    assert_ne!(out.location(), "/sign-out", "the forgery kit makes good hints, else all this proves nothing");
    assert_dead(&site, &crm, &tokens).await;
}
