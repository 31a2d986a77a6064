//! `grant_type=client_credentials`: a token for the app itself, and everything that must not come of it. RFC 6749 §4.4, RFC 8707, RFC 9068.

use super::*;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// An app that may call `stock`, another app, and `billing`, which is none.
async fn batch(site: &Site) -> Caller {
    site.app("stock", |_| ()).await;
    site.app("batch", |app| {
        app.client_credentials = true;
        app.audiences = ["billing", "stock"].map(|name| name.parse().expect("an audience")).into();
    })
    .await
}

async fn ask(site: &Site, by: &Caller, fields: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = [GRANT].iter().chain(fields).copied().collect();
    site.send(Ask::post("/oauth/token").by(by).form(&fields)).await
}

#[tokio::test]
async fn an_app_gets_a_token_for_itself_and_one_service() {
    let site = Site::start().await;
    let batch = batch(&site).await;
    for (name, value, audience) in [
        ("resource", "stock", "stock"),
        ("resource", "https://stock.company.com", "stock"),
        ("resource", "https://stock-2.company.com", "stock"),
        ("audience", "billing", "billing"),
    ] {
        let answer = ask(&site, &batch, &[(name, value)]).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
        let said = answer.json();
        let names: Vec<_> = said.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, ["access_token", "expires_in", "token_type"], "no refresh token and no ID token");
        assert_eq!((&said["token_type"], &said["expires_in"]), (&"Bearer".into(), &300.into()));
        let (header, claims) = opened(said["access_token"].as_str().expect("a token"));
        let now = site.now().as_seconds();
        let expected = serde_json::json!({
            "iss": HOME, "sub": "batch", "client_id": "batch", "aud": audience, "iat": now, "exp": now + 300,
            "jti": claims["jti"],
        });
        assert_eq!((&header["typ"], &claims), (&"at+jwt".into(), &expected), "{value}");
        let keys = site.send(Ask::get("/.well-known/jwks.json")).await.json();
        assert!(keys["keys"].as_array().expect("keys").iter().any(|key| key["kid"] == header["kid"]), "published");
    }
    assert_eq!(reasons(&site, "request_token_issued").await.len(), 4, "each is written down");
}

#[tokio::test]
async fn only_a_service_that_was_declared_and_is_not_the_app_itself() {
    let site = Site::start().await;
    let batch = batch(&site).await;
    for fields in [
        &[][..],
        &[("resource", "")],
        &[("resource", "wiki")],
        &[("resource", "https://wiki.company.com")],
        &[("resource", "https://stock.company.com/")],
        &[("resource", "https://stock.company.com/api")],
        &[("resource", "STOCK")],
        &[("resource", "batch")],
        &[("resource", "https://batch.company.com")],
        &[("resource", HOME)],
        &[("resource", "stock"), ("audience", "billing")],
        &[("resource", "stock"), ("audience", "wiki")],
    ] {
        let answer = ask(&site, &batch, fields).await;
        assert_eq!(error(&answer), (400, "invalid_target".to_owned()), "{fields:?}");
    }
    let both = ask(&site, &batch, &[("resource", "https://stock.company.com"), ("audience", "stock")]).await;
    assert_eq!(both.status, 200, "twice the same one is one");
    let own = site
        .app("own", |app| {
            app.client_credentials = true;
            app.audiences = vec!["https://own-2.company.com".parse().expect("an audience")];
        })
        .await;
    assert_eq!(error(&ask(&site, &own, &[]).await), (400, "invalid_target".to_owned()), "declared, and still itself");
    // `resource` may be repeated (RFC 8707 section 2), but a token is for one service.
    let twice = [("resource", "stock"), ("resource", "billing")];
    assert_eq!(error(&ask(&site, &batch, &twice).await), (400, "invalid_target".to_owned()));
    let twice = [("audience", "stock"), ("audience", "billing")];
    assert_eq!(error(&ask(&site, &batch, &twice).await), (400, "invalid_request".to_owned()));
    site.app("stock", |app| app.disabled_at = Some(site.now())).await;
    assert_eq!(error(&ask(&site, &batch, &[("resource", "stock")]).await), (400, "invalid_target".to_owned()));
}

#[tokio::test]
async fn it_is_off_until_the_declaration_says_so() {
    let site = Site::start().await;
    let switched = site
        .app("switched", |app| {
            app.client_credentials = true;
            app.audiences = Vec::new();
        })
        .await;
    // `pos` may have request tokens for `billing`, in the names of people.
    for by in [&site.pos, &switched] {
        let answer = ask(&site, by, &[("resource", "billing")]).await;
        assert_eq!(error(&answer), (400, "unauthorized_client".to_owned()), "{}", by.key);
    }
    let batch = batch(&site).await;
    let scoped = ask(&site, &batch, &[("resource", "stock"), ("scope", "openid canRefund")]).await;
    assert_eq!(error(&scoped), (400, "invalid_scope".to_owned()), "T25");
    let wrong = Caller { secret: site.pos.secret.clone(), ..batch.clone() };
    assert_eq!(error(&ask(&site, &wrong, &[("resource", "stock")]).await), (401, "invalid_client".to_owned()));
    site.app("batch", |app| {
        app.client_credentials = true;
        app.disabled_at = Some(site.now());
    })
    .await;
    assert_eq!(error(&ask(&site, &batch, &[("resource", "billing")]).await), (401, "invalid_client".to_owned()));
    let user = site.user("ben").await.id.to_string();
    let called_like_ben = site.app(&user, |app| app.client_credentials = true).await;
    let refused = ask(&site, &called_like_ben, &[]).await;
    assert_eq!(error(&refused), (400, "unauthorized_client".to_owned()), "a service would take it for Ben");
}

/// It stands for nobody, so it opens nothing of ours.
#[tokio::test]
async fn it_opens_neither_userinfo_nor_anything_else_here() {
    let site = Site::start().await;
    let batch = batch(&site).await;
    let crm = client(&site, "crm").await;
    for audience in ["stock", "billing"] {
        let answer = ask(&site, &batch, &[("resource", audience)]).await.json();
        let token = answer["access_token"].as_str().expect("a token");
        assert_eq!(userinfo(&site, token).await.status, 401);
        for by in [&batch, &crm, &site.pos] {
            assert!(!site.is_active(by, token).await);
        }
        for kind in ["urn:ietf:params:oauth:token-type:access_token", "urn:hallpass:params:oauth:token-type:pass"] {
            let fields = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", token),
                ("subject_token_type", kind),
                ("audience", "billing"),
            ];
            let answer = site.send(Ask::post("/oauth/token").by(&batch).form(&fields)).await;
            assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "{kind}");
        }
    }
}
