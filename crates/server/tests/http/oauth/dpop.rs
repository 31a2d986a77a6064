//! Tokens that are bound to a key: of no use to whoever has only the token, at whichever endpoint and node. RFC 9449.

use hallpass_core::crypto::Algorithm;
use serde_json::json;

use super::signer::{Signer, hash_of};
use super::*;
use crate::nodes::on_two_nodes;

const TOKEN: &str = "/oauth/token";
const USERINFO: &str = "/oauth/userinfo";

fn signer() -> Signer {
    Signer::new(Algorithm::Es256)
}

/// A question of a client, with a proof by this key if there is one.
async fn ask(site: &Site, ask: Ask, signer: Option<&Signer>) -> Answer {
    site.send(match signer {
        Some(signer) => ask.header("dpop", signer.proof(site, "POST", TOKEN)),
        None => ask,
    })
    .await
}

async fn redeem_by(site: &Site, client: &str, code: &str, signer: Option<&Signer>) -> Answer {
    let code = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
    let fields = [&code[..], &[("code_verifier", VERIFIER), ("client_id", client)]].concat();
    ask(site, Ask::post(TOKEN).form(&fields), signer).await
}

async fn refresh_by(site: &Site, client: &str, token: &str, signer: Option<&Signer>) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client)];
    ask(site, Ask::post(TOKEN).form(&fields), signer).await
}

async fn show(site: &Site, scheme: &str, token: &str, proof: Option<&str>) -> Answer {
    let ask = Ask::get(USERINFO).header("authorization", format!("{scheme} {token}"));
    site.send(proof.into_iter().fold(ask, |ask, proof| ask.header("dpop", proof))).await
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

/// A native client, and its first tokens, bound to a key.
async fn bound<'s>(site: &'s Site, signer: &Signer) -> (Browser<'s>, Caller, Tokens) {
    let tool = native_client(site, "tool", &[CALLBACK]).await;
    let mut browser = at_home(site).await;
    let code = code(&mut browser, &[("client_id", Some("tool"))]).await;
    let answer = redeem_by(site, "tool", &code, Some(signer)).await;
    assert_eq!(answer.json()["token_type"], "DPoP", "{answer:?}");
    let tokens = Tokens::of(&answer);
    (browser, tool, tokens)
}

#[tokio::test]
async fn a_bound_token_says_so_and_is_good_with_a_proof_only() {
    let site = Site::start().await;
    let (key, other) = (signer(), signer());
    let (mut browser, tool, tokens) = bound(&site, &key).await;
    let jkt = json!({ "jkt": key.thumbprint() });
    assert_eq!(opened(&tokens.access).1["cnf"], jkt);
    let said = site.introspect(&tool, &tokens.access).await;
    assert_eq!((&said["token_type"], &said["cnf"]), (&"DPoP".into(), &jkt));
    let proof = key.proof_of_token(&site, &tokens.access);
    assert_eq!(show(&site, "DPoP", &tokens.access, Some(&proof)).await.status, 200);
    // The same proof again, and everything else that somebody could send who has seen the token, and a proof.
    let free = {
        let code = code(&mut browser, &[("client_id", Some("tool"))]).await;
        Tokens::of(&redeem_by(&site, "tool", &code, None).await).access
    };
    let of = |changes: &[(&str, Value)]| {
        let changes = [&[("ath", json!(hash_of(&tokens.access)))], changes].concat();
        key.proof_with(&site, "GET", USERINFO, &changes)
    };
    let (bad, none) = ("invalid_dpop_proof", "invalid_token");
    let now = site.now().as_seconds();
    for (scheme, token, proof, code) in [
        ("DPoP", &tokens.access, Some(proof), bad),
        ("DPoP", &tokens.access, None, none),
        ("Bearer", &tokens.access, None, none),
        ("Bearer", &tokens.access, Some(of(&[])), none),
        ("DPoP", &tokens.access, Some(other.proof_of_token(&site, &tokens.access)), none),
        ("DPoP", &tokens.access, Some(key.proof(&site, "GET", USERINFO)), bad),
        ("DPoP", &tokens.access, Some(key.proof_of_token(&site, &free)), bad),
        ("DPoP", &tokens.access, Some(of(&[("htm", json!("POST"))])), bad),
        ("DPoP", &tokens.access, Some(of(&[("htu", json!(format!("{HOME}{TOKEN}")))])), bad),
        ("DPoP", &tokens.access, Some(of(&[("htu", json!("https://evil.com/oauth/userinfo"))])), bad),
        ("DPoP", &tokens.access, Some(of(&[("iat", json!(now - 60))])), bad),
        ("DPoP", &tokens.access, Some(of(&[("iat", json!(now + 60))])), bad),
        ("DPoP", &free, Some(key.proof_of_token(&site, &free)), none),
    ] {
        let answer = show(&site, scheme, token, proof.as_deref()).await;
        assert_eq!(error(&answer), (401, code.to_owned()), "{scheme} {proof:?}");
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("DPoP ") && challenge.contains(&format!("error=\"{code}\"")), "{challenge}");
        assert!(challenge.contains("algs=\"EdDSA ES256 PS256 RS256\""), "{challenge}");
    }
    let twice = Ask::get(USERINFO).header("authorization", format!("DPoP {}", tokens.access));
    let twice = twice.header("dpop", of(&[])).header("dpop", of(&[]));
    assert_eq!(error(&site.send(twice).await), (401, bad.to_owned()));
    assert_eq!(userinfo(&site, &free).await.status, 200);
    assert_eq!(show(&site, "dpop", &tokens.access, Some(&of(&[]))).await.status, 200);
}

/// RFC 9449 §5: a public client's refresh tokens are its key holder's, for ever.
#[tokio::test]
async fn refresh_tokens_of_a_public_client_are_bound_for_ever() {
    let site = Site::start().await;
    let (key, other) = (signer(), signer());
    let (_browser, _, mut tokens) = bound(&site, &key).await;
    for _ in 0..3 {
        for thief in [None, Some(&other)] {
            let refused = refresh_by(&site, "tool", &tokens.refresh, thief).await;
            assert_eq!(error(&refused), invalid_grant());
        }
        // The thief has not ended anything.
        tokens = Tokens::of(&refresh_by(&site, "tool", &tokens.refresh, Some(&key)).await);
        assert_eq!(opened(&tokens.access).1["cnf"]["jkt"], key.thumbprint());
        site.wait(11);
    }
    assert_eq!(reasons(&site, "tokens_refused").await, ["wrong_key"; 6]);
}

/// Somebody who begins without a key may come with one later; from then on they have to.
#[tokio::test]
async fn a_family_that_a_public_client_brings_a_key_to_is_bound_to_it() {
    let site = Site::start().await;
    native_client(&site, "tool", &[CALLBACK]).await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[("client_id", Some("tool"))]).await;
    let first = Tokens::of(&redeem_by(&site, "tool", &code, None).await);
    let key = signer();
    let second = Tokens::of(&refresh_by(&site, "tool", &first.refresh, Some(&key)).await);
    // Also the answer that is repeated for whoever did not hear it: it is theirs who hold the key.
    for (token, by, expected) in [
        (&first, None, 400),
        (&first, Some(&signer()), 400),
        (&first, Some(&key), 200),
        (&second, None, 400),
        (&second, Some(&key), 200),
    ] {
        assert_eq!(refresh_by(&site, "tool", &token.refresh, by).await.status, expected);
    }
}

/// A confidential client shows who it is each time, and may change its key.
#[tokio::test]
async fn a_confidential_client_may_come_with_another_key() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_browser, mut tokens) = tokens(&site, &crm).await;
    for key in [Some(signer()), Some(signer()), None] {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        let answer = ask(&site, Ask::post(TOKEN).by(&crm).form(&fields), key.as_ref()).await;
        let (kind, jkt) = key.map_or(("Bearer", Value::Null), |key| ("DPoP", key.thumbprint().into()));
        assert_eq!(answer.json()["token_type"], kind);
        tokens = Tokens::of(&answer);
        assert_eq!(opened(&tokens.access).1["cnf"]["jkt"], jkt);
    }
}

/// RFC 9449 §10: the code is its key holder's before there is any token.
#[tokio::test]
async fn a_code_may_be_bound_to_a_key_from_the_beginning() {
    let site = Site::start().await;
    native_client(&site, "tool", &[CALLBACK]).await;
    let (key, other) = (signer(), signer());
    let jkt = key.thumbprint();
    let asked = [("client_id", Some("tool")), ("dpop_jkt", Some(&*jkt))];
    // By way of the sign-in form, so that it is carried along.
    let mut browser = Browser::new(&site);
    let page = browser.open(&authorize_url(&asked)).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
    let landing = browser.submit(&page.action(), &fields).await;
    let code = said(landing.url.as_str(), "code").expect("a code");
    for thief in [None, Some(&other)] {
        assert_eq!(error(&redeem_by(&site, "tool", &code, thief).await), invalid_grant());
    }
    assert_eq!(redeem_by(&site, "tool", &code, Some(&key)).await.status, 200, "and nobody has used it up");
    for bad in ["", "x", &format!("{jkt}=")] {
        let answer = browser.step(&authorize_url(&[("client_id", Some("tool")), ("dpop_jkt", Some(bad))])).await;
        assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{bad}");
    }
}

#[tokio::test]
async fn a_proof_is_good_once_at_all_nodes() {
    on_two_nodes(|one, other| async move {
        let crm = client_with(&one, "crm", |app| app.client_credentials = true).await;
        other.heard().await;
        let fields = [("grant_type", "client_credentials"), ("audience", "billing")];
        let ask = |proof: &str| Ask::post(TOKEN).by(&crm).form(&fields).header("dpop", proof);
        let key = signer();
        for _ in 0..8 {
            let proof = key.proof(&one, "POST", TOKEN);
            let (here, there) = tokio::join!(one.send(ask(&proof)), other.send(ask(&proof)));
            let (good, bad) = if here.status == 200 { (here, there) } else { (there, here) };
            assert_eq!((good.status, error(&bad)), (200, (400, "invalid_dpop_proof".to_owned())));
        }
        let late = key.proof(&one, "POST", TOKEN);
        one.wait(60);
        assert_eq!(error(&one.send(ask(&late)).await), (400, "invalid_dpop_proof".to_owned()));
    })
    .await;
}

/// A client that says it always comes with a proof is not believed without one.
#[tokio::test]
async fn a_client_that_requires_it_gets_nothing_without() {
    let site = Site::start().await;
    let crm = client_with(&site, "crm", |app| {
        (app.client.require_dpop, app.client_credentials, app.device) = (true, true, true);
    });
    let crm = crm.await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    let missing = (400, "invalid_dpop_proof".to_owned());
    assert_eq!(error(&redeem(&site, &crm, &code, &[]).await), missing);
    let urn = |name: &str| format!("urn:ietf:params:oauth:grant-type:{name}");
    let (exchange, device) = (urn("token-exchange"), urn("device_code"));
    for fields in [
        vec![("grant_type", "client_credentials"), ("audience", "billing")],
        vec![("grant_type", "refresh_token"), ("refresh_token", "x")],
        vec![("grant_type", &*device), ("device_code", "x")],
        vec![("grant_type", &*exchange), ("subject_token", "x"), ("subject_token_type", "x")],
    ] {
        assert_eq!(error(&site.send(Ask::post(TOKEN).by(&crm).form(&fields)).await), missing, "{fields:?}");
    }
    let key = signer();
    let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
    let fields = [&fields[..], &[("code_verifier", VERIFIER)]].concat();
    let tokens = ask(&site, Ask::post(TOKEN).by(&crm).form(&fields), Some(&key)).await;
    assert_eq!((tokens.status, &tokens.json()["token_type"]), (200, &"DPoP".into()), "{tokens:?}");
}

/// What goes to other services is bound, too; and exchanging a token is no way to be rid of its key.
#[tokio::test]
async fn tokens_for_services_are_bound_and_exchange_asks_for_the_key() {
    let site = Site::start().await;
    let crm = client_with(&site, "crm", |app| app.client_credentials = true).await;
    let (key, other) = (signer(), signer());
    let own = [("grant_type", "client_credentials"), ("audience", "billing")];
    let answer = ask(&site, Ask::post(TOKEN).by(&crm).form(&own), Some(&key)).await.json();
    assert_eq!(answer["token_type"], "DPoP");
    assert_eq!(opened(answer["access_token"].as_str().expect("a token")).1["cnf"]["jkt"], key.thumbprint());
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
    let fields = [&fields[..], &[("code_verifier", VERIFIER)]].concat();
    let tokens = Tokens::of(&ask(&site, Ask::post(TOKEN).by(&crm).form(&fields), Some(&key)).await);
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", &*tokens.access),
        ("audience", "billing"),
    ];
    for thief in [None, Some(&other)] {
        let refused = ask(&site, Ask::post(TOKEN).by(&crm).form(&exchange), thief).await;
        assert_eq!(error(&refused), (400, "invalid_request".to_owned()));
    }
    let answer = ask(&site, Ask::post(TOKEN).by(&crm).form(&exchange), Some(&key)).await;
    assert_eq!(answer.json()["token_type"], "DPoP", "{answer:?}");
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(opened(&token).1["cnf"]["jkt"], key.thumbprint());
    assert_eq!(reasons(&site, "tokens_refused").await, ["wrong_key"; 2]);
}

/// Whoever takes the cookie out of a browser has no key with it; and a page can read why.
#[tokio::test]
async fn a_refresh_cookie_is_bound_to_the_pages_key() {
    let site = Site::start().await;
    browser_client(&site, "spa", |_| ()).await;
    let mut browser = at_home(&site).await;
    let code = code_for_page(&mut browser, "spa", SPA).await;
    let key = signer();
    let fields = json!({
        "grant_type": "authorization_code", "client_id": "spa", "code": code, "redirect_uri": SPA_CALLBACK,
        "code_verifier": VERIFIER,
    });
    let answer = ask(&site, by_page(TOKEN, SPA, &fields), Some(&key)).await;
    assert_eq!((answer.status, &answer.json()["token_type"]), (200, &"DPoP".into()), "{answer:?}");
    let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    let again = || {
        let fields = json!({ "grant_type": "refresh_token", "client_id": "spa" });
        by_page(TOKEN, SPA, &fields).header("cookie", &cookie)
    };
    let spoilt = again().header("dpop", "x");
    for refused in
        [ask(&site, again(), None).await, ask(&site, again(), Some(&signer())).await, site.send(spoilt).await]
    {
        assert_eq!(refused.status, 400);
        assert_eq!(refused.header("access-control-allow-origin"), Some(SPA), "{refused:?}");
        assert!(refused.header("set-cookie").is_none(), "and the page keeps what it has");
    }
    assert_eq!(ask(&site, again(), Some(&key)).await.status, 200);
}

#[tokio::test]
async fn discovery_names_the_algorithms() {
    let site = Site::start().await;
    let said = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(said["dpop_signing_alg_values_supported"], json!(["EdDSA", "ES256", "PS256", "RS256"]));
}
