//! A client that is called by an address, not by the key of its app: in all that it is told, at every door, and by nothing else.
//! draft-ietf-oauth-client-id-metadata-document §3.

use hallpass_core::crypto::Algorithm;
use hallpass_core::oidc::ClientIdUrl;

use super::par::named;
use super::signer::{Signer, claims, set};
use super::*;

const ADDRESS: &str = "https://crm.company.com/oauth/client.json";

/// A program that is called by that address. Its key is what addresses become, as ever.
async fn described(site: &Site, change: impl FnOnce(&mut App)) -> String {
    let address: ClientIdUrl = ADDRESS.parse().expect("an address");
    let key = address.key().to_string();
    native_client_with(site, &key, &[CALLBACK], |app| {
        (app.client_id, app.registered) = (Some(address), true);
        change(app);
    })
    .await;
    key
}

fn by(client_id: &str) -> [(&str, Option<&str>); 1] {
    [("client_id", Some(client_id))]
}

async fn ask(site: &Site, path: &str, client_id: &str, fields: &[(&str, &str)]) -> Answer {
    site.send(Ask::post(path).form(&[&[("client_id", client_id)], fields].concat())).await
}

fn exchange(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

#[tokio::test]
async fn it_is_told_of_itself_by_the_address_and_known_by_it_at_every_door() {
    let site = Site::start().await;
    let key = described(&site, |_| ()).await;
    let mut browser = at_home(&site).await;
    let pushed = ask(
        &site,
        "/oauth/par",
        ADDRESS,
        &[
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ],
    )
    .await;
    let name = pushed.json()["request_uri"].as_str().expect("a name").to_owned();
    assert_eq!(browser.step(&named(&key, &name, &[])).await.status, 400, "not by its key");
    let answer = browser.step(&named(ADDRESS, &name, &[])).await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?code=")), "{answer:?}");

    let code = code(&mut browser, &by(ADDRESS)).await;
    let tokens = Tokens::of(&ask(&site, "/oauth/token", ADDRESS, &exchange(&code)).await);
    assert_eq!(opened(&tokens.id).1["aud"], ADDRESS);
    assert_eq!(opened(&tokens.access).1["client_id"], ADDRESS);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    let next = Tokens::of(&ask(&site, "/oauth/token", ADDRESS, &fields).await);
    assert_eq!(opened(&next.id).1["aud"], ADDRESS);

    let silent = [by(ADDRESS)[0], ("prompt", Some("none")), ("id_token_hint", Some(&*next.id))];
    assert!(browser.step(&authorize_url(&silent)).await.location().contains("?code="));
    let answer = ask(&site, "/oauth/revoke", ADDRESS, &[("token", &next.refresh)]).await;
    assert_eq!((answer.status, userinfo(&site, &next.access).await.status), (200, 401));
    let there = logout::logout_url(&next.id, GOODBYE, &[("client_id", ADDRESS)]);
    assert_eq!(browser.step(&there).await.location(), GOODBYE);
}

/// Its key is a name of ours, which is nobody's `client_id`.
#[tokio::test]
async fn it_is_known_by_nothing_else() {
    let site = Site::start().await;
    let key = described(&site, |_| ()).await;
    native_client(&site, "crm", &[CALLBACK]).await;
    let mut browser = at_home(&site).await;
    let address_in_other_letters = ADDRESS.replace("crm.", "CRM.");
    for other in [&*key, &format!("{ADDRESS}/"), &address_in_other_letters, "https://crm.company.com"] {
        let answer = browser.step(&authorize_url(&by(other))).await;
        assert!(answer.status == 400 && answer.header("location").is_none(), "{other}: {answer:?}");
    }
    let code = code(&mut browser, &by(ADDRESS)).await;
    for (other, status) in [(&*key, 401), ("crm", 400)] {
        assert_eq!(ask(&site, "/oauth/token", other, &exchange(&code)).await.status, status, "{other}");
    }
    let tokens = Tokens::of(&ask(&site, "/oauth/token", ADDRESS, &exchange(&code)).await);
    for (other, status) in [(&*key, 401), ("crm", 400)] {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
        assert_eq!(ask(&site, "/oauth/token", other, &fields).await.status, status, "{other}");
    }
    // The hint of one client is not the hint of another, whatever that one is called.
    let silent = [by("crm")[0], ("prompt", Some("none")), ("id_token_hint", Some(&*tokens.id))];
    let answer = browser.step(&authorize_url(&silent)).await;
    assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{answer:?}");
    for other in [&*key, "crm"] {
        let there = logout::logout_url(&tokens.id, GOODBYE, &[("client_id", other)]);
        assert_eq!(browser.step(&there).await.location(), "/sign-out", "{other}");
    }
}

#[tokio::test]
async fn its_assertions_name_it_by_the_address() {
    let site = Site::start().await;
    let signer = Signer::new(Algorithm::Es256);
    let keys = set(&[signer.jwk("k1")]);
    let key = described(&site, |app| {
        (app.client, app.jwks) = (ClientSettings::default(), Some(keys));
    })
    .await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &by(ADDRESS)).await;
    for (name, jti, status) in [(&*key, "1", 401), ("crm", "2", 401), (ADDRESS, "3", 200)] {
        let assertion = signer.sign(&signer.header("k1"), &claims(&site, name, jti, &[]));
        let shown = [
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &*assertion),
        ];
        let ask = Ask::post("/oauth/token").form(&[&exchange(&code)[..], &shown].concat());
        assert_eq!(site.send(ask).await.status, status, "{name}");
    }
}
