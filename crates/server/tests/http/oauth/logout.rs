//! `GET /oauth/logout` and the documents that say what there is.

use hallpass_core::logout::{LogoutUrl, Told};
use hallpass_server::routes;
use hallpass_server::sign_out::receipt::receipt;

use super::*;
use crate::support::SESSION;

pub fn logout_url(hint: &str, there: &str, more: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("id_token_hint", hint).append_pair("post_logout_redirect_uri", there);
    format!("{HOME}/oauth/logout?{}", query.extend_pairs(more).finish())
}

#[tokio::test]
async fn a_client_signs_its_person_out_everywhere_and_gets_them_back() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    site.wait(3000);
    let landing = browser.open(&logout_url(&tokens.id, GOODBYE, &[("state", "a b"), ("client_id", "crm")])).await;
    assert_eq!(landing.url.as_str(), format!("{GOODBYE}?state=a+b"));
    assert_eq!(browser.cookie(HOME, SESSION), None);
    assert_dead(&site, &crm, &tokens).await;
    let again = browser.step(&logout_url(&tokens.id, GOODBYE, &[])).await;
    assert_eq!(again.location(), GOODBYE, "who is out already goes straight back");
}

/// A server that made a session of its own of an ID token goes on with it, and the receipt must not say otherwise: on a shared computer somebody goes
/// away believing it.
#[tokio::test]
async fn a_client_that_cannot_be_told_is_not_said_to_be_signed_out() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let url = "https://mail.company.com/out".parse::<LogoutUrl>().expect("a URL");
    let mail = client_with(&site, "mail", |app| app.logout_urls = vec![url]).await;
    native_client(&site, "tool", &[CALLBACK]).await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    let code_of_mail = code(&mut browser, &[("client_id", Some("mail"))]).await;
    Tokens::of(&redeem(&site, &mail, &code_of_mail, &[]).await);
    let code_of_tool = code(&mut browser, &[("client_id", Some("tool"))]).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "tool"),
        ("code", &*code_of_tool),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    Tokens::of(&site.send(Ask::post("/oauth/token").form(&fields)).await);
    site.written_down().await;

    let landing = browser.step(&logout_url(&tokens.id, "https://elsewhere.company.com/", &[])).await;
    let page = site.send(Ask::get(landing.location())).await;
    assert!(page.body.contains("data-testid=\"untold\""), "it says what that means: {page:?}");
    let session = opened(&tokens.id).1["sid"].as_str().expect("a sid").parse().expect("an identifier");
    let mut read = site.store().read().await.expect("reads");
    let told = receipt(&mut read, &session).await.expect("reads");
    let told: Vec<_> = told.iter().map(|(app, told)| (app.as_str(), *told)).collect();
    // The tool has no secret and lives on its tokens, which have ended.
    let said = [("crm", Told::Untold), ("mail", Told::Retrying), ("tool", Told::SignedOut)];
    assert_eq!(told, said);
}

/// T9.
#[tokio::test]
async fn nobody_is_signed_out_or_sent_away_by_a_stranger() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, others) = tokens(&site, &crm).await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    for (hint, more) in [
        ("", &[][..]),
        ("x", &[]),
        (&tokens.access, &[]),
        (&others.id, &[]),
        (&tokens.id[..tokens.id.len() - 2], &[]),
        (&tokens.id, &[("client_id", "wiki")]),
    ] {
        let answer = browser.step(&logout_url(hint, GOODBYE, more)).await;
        assert_eq!((answer.status, answer.location()), (303, "/sign-out"), "{hint}");
    }
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    let elsewhere = browser.step(&logout_url(&tokens.id, "https://evil.com/", &[])).await;
    assert!(elsewhere.location().starts_with("/sign-out/receipt?of="), "out, and to our own page: {elsewhere:?}");
    assert_dead(&site, &crm, &tokens).await;
    let near = ["/", "?x=1", "#x", ".evil.com"].map(|more| format!("{GOODBYE}{more}")).into_iter();
    let near =
        near.chain([CALLBACK.to_owned(), "https://crm.company.com/".to_owned(), "https://crm.company.com".to_owned()]);
    for near in near {
        let answer = browser.step(&logout_url(&tokens.id, &near, &[])).await;
        assert_eq!(
            answer.location(),
            "/sign-out",
            "{near}: nobody is signed in, so a registered one would be gone to at once"
        );
    }
}

#[tokio::test]
async fn the_documents_name_what_there_is_and_nothing_else() {
    let site = Site::start().await;
    let [one, other] = ["openid-configuration", "oauth-authorization-server"];
    let answer = site.send(Ask::get(format!("/.well-known/{one}"))).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.body, site.send(Ask::get(format!("/.well-known/{other}"))).await.body);
    let said = answer.json();
    assert_eq!(
        (&said["issuer"], &said["id_token_signing_alg_values_supported"]),
        (&HOME.into(), &serde_json::json!(["RS256", "EdDSA"]))
    );
    let table = routes::table();
    for (name, value) in said.as_object().expect("an object") {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let path = value.as_str().and_then(|url| url.strip_prefix(HOME)).expect("at home");
            assert!(table.iter().any(|route| route.path == path), "{name} {path}");
        }
    }
}
