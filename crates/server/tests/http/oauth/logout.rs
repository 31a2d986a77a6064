//! `GET /oauth/logout` and the documents that say what there is.

use hallpass_server::routes;

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
