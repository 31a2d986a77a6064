//! A client that is called by an address, not by the key of its app: in all that it is told, at every door, and by nothing else.
//! draft-ietf-oauth-client-id-metadata-document §3.

use hallpass_core::crypto::Algorithm;
use serde_json::json;

use super::documents::host::LOOPBACK;
use super::documents::{allowed_code, ask, by, exchange, key, open, tokens_of};
use super::par::named;
use super::signer::{Signer, claims};
use super::*;

#[tokio::test]
async fn it_is_told_of_itself_by_the_address_and_known_by_it_at_every_door() {
    let (site, host) = open().await;
    let address = host.describes("/client.json", &json!({ "post_logout_redirect_uris": ["http://127.0.0.1/bye"] }));
    let mut browser = at_home(&site).await;
    let tokens = tokens_of(&site, &mut browser, &address).await;
    assert_eq!(opened(&tokens.id).1["aud"], *address);
    assert_eq!(opened(&tokens.access).1["client_id"], *address);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    let next = Tokens::of(&ask(&site, "/oauth/token", &address, &fields).await);
    assert_eq!(opened(&next.id).1["aud"], *address);

    let pushed = [
        ("response_type", "code"),
        ("redirect_uri", LOOPBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let pushed = ask(&site, "/oauth/par", &address, &pushed).await;
    let name = pushed.json()["request_uri"].as_str().expect("a name").to_owned();
    assert_eq!(browser.step(&named(key(&address).as_str(), &name, &[])).await.status, 400, "not by its key");
    assert!(browser.step(&named(&address, &name, &[])).await.shows("described-at"));

    let silent = [by(&address)[0], by(&address)[1], ("prompt", Some("none")), ("id_token_hint", Some(&*next.id))];
    let answer = browser.step(&authorize_url(&silent)).await;
    assert_eq!(
        said(answer.location(), "error").as_deref(),
        Some("consent_required"),
        "the hint is its own: {answer:?}"
    );
    let answer = ask(&site, "/oauth/revoke", &address, &[("token", &next.refresh)]).await;
    assert_eq!((answer.status, userinfo(&site, &next.access).await.status), (200, 401));
    let there = logout::logout_url(&next.id, "http://127.0.0.1/bye", &[("client_id", &address)]);
    assert_eq!(browser.step(&there).await.location(), "http://127.0.0.1/bye");
}

/// Its key is a name of ours, which is nobody's `client_id`.
#[tokio::test]
async fn it_is_known_by_nothing_else() {
    let (site, host) = open().await;
    let address = host.describes("/client.json", &json!({ "post_logout_redirect_uris": ["http://127.0.0.1/bye"] }));
    let app_key = key(&address).to_string();
    native_client(&site, "crm", &["http://127.0.0.1/callback"]).await;
    let mut browser = at_home(&site).await;
    let code = allowed_code(&mut browser, &address).await;
    for other in [&*app_key, &format!("{address}/"), &address.replace("client", "CLIENT"), &host.origin] {
        let answer = browser.step(&authorize_url(&by(other))).await;
        assert!(answer.status == 400 && answer.header("location").is_none(), "{other}: {answer:?}");
    }
    for (other, status) in [(&*app_key, 401), ("crm", 400)] {
        assert_eq!(ask(&site, "/oauth/token", other, &exchange(&code)).await.status, status, "{other}");
    }
    let tokens = Tokens::of(&ask(&site, "/oauth/token", &address, &exchange(&code)).await);
    for (other, status) in [(&*app_key, 401), ("crm", 400)] {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        assert_eq!(ask(&site, "/oauth/token", other, &fields).await.status, status, "{other}");
    }
    // The hint of one client is not the hint of another, whatever that one is called.
    let silent = [by("crm")[0], by("crm")[1], ("prompt", Some("none")), ("id_token_hint", Some(&*tokens.id))];
    let answer = browser.step(&authorize_url(&silent)).await;
    assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{answer:?}");
    for other in [&*app_key, "crm"] {
        let there = logout::logout_url(&tokens.id, "http://127.0.0.1/bye", &[("client_id", other)]);
        assert_eq!(browser.step(&there).await.location(), "/sign-out", "{other}");
    }
}

#[tokio::test]
async fn its_assertions_name_it_by_the_address() {
    let (site, host) = open().await;
    let signer = Signer::new(Algorithm::Es256);
    let signs = json!({
        "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [signer.jwk("k1")] },
        "redirect_uris": [host.at("/callback")],
    });
    let address = host.describes("/client.json", &signs);
    let callback = host.at("/callback");
    let mut browser = at_home(&site).await;
    let changes = [("client_id", Some(&*address)), ("redirect_uri", Some(&*callback))];
    let code = consent::allow(&mut browser, &changes).await;
    // A server at its own origin is remembered.
    assert_eq!(consent::outcome(&mut browser, &changes).await, "code");
    let mut fields = exchange(&code);
    fields[2].1 = &callback;
    for (name, jti, status) in [(key(&address).as_str(), "1", 401), ("crm", "2", 401), (&*address, "3", 200)] {
        let assertion = signer.sign(&signer.header("k1"), &claims(&site, name, jti, &[]));
        let shown = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &*assertion),
        ];
        let ask = Ask::post("/oauth/token").form(&[&fields[..], &shown].concat());
        assert_eq!(site.send(ask).await.status, status, "{name}");
    }
    assert_eq!(ask(&site, "/oauth/token", &address, &fields).await.status, 401, "nor without one");
}
