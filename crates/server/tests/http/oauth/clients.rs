//! Kinds of clients: who shows a secret, where, and who may not have one; and where each may have its codes sent. RFC 6749 §2.3, RFC 8252; T1–T4, T13,
//! T14, T16.

use hallpass_core::audit::Actor;
use hallpass_server::admin::{AdminError, apps};

use super::*;

/// What the token endpoint is sent with a code, besides who asks.
fn exchange<'a>(code: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, &'a str)> {
    let (code, uri) = (("code", code), ("redirect_uri", redirect_uri));
    vec![("grant_type", "authorization_code"), code, uri, ("code_verifier", VERIFIER)]
}

fn with<'a>(fields: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [fields, more].concat()
}

#[tokio::test]
async fn a_secret_is_good_in_the_header_or_in_the_body_and_in_one_of_them_only() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let other = client(&site, "other").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    let fields = exchange(&code, CALLBACK);
    let in_body = |key: &'static str, secret| with(&fields, &[("client_id", key), ("client_secret", secret)]);
    let ask = || Ask::post("/oauth/token");
    let in_address = format!("/oauth/token?client_id=crm&client_secret={}", crm.secret);
    for (number, (ask, expected)) in [
        (ask().form(&fields), (401, "invalid_client")),
        (ask().form(&with(&fields, &[("client_id", "crm")])), (401, "invalid_client")),
        (ask().form(&with(&fields, &[("client_secret", &crm.secret)])), (401, "invalid_client")),
        (ask().form(&in_body("crm", &other.secret)), (401, "invalid_client")),
        (ask().form(&in_body("other", &crm.secret)), (401, "invalid_client")),
        (ask().form(&in_body("crm", "")), (401, "invalid_client")),
        (ask().by(&crm).form(&in_body("crm", &crm.secret)), (400, "invalid_request")),
        (ask().by(&crm).form(&in_body("crm", &other.secret)), (400, "invalid_request")),
        (ask().by(&crm).form(&with(&fields, &[("client_id", "other")])), (400, "invalid_request")),
        (Ask::post(&in_address).form(&fields), (401, "invalid_client")),
        (ask().form(&in_body("crm", &crm.secret)).header("origin", "https://evil.com"), (403, "forbidden")),
        // Another client, by whatever means, gets nothing for it (T14).
        (ask().form(&in_body("other", &other.secret)), (400, "invalid_grant")),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = site.send(ask).await;
        assert_eq!(error(&answer), (expected.0, expected.1.to_owned()), "{number}");
    }
    let tokens = Tokens::of(&site.send(ask().form(&in_body("crm", &crm.secret))).await);
    let revoke = [("token", &*tokens.refresh), ("client_id", "crm"), ("client_secret", &crm.secret)];
    assert_eq!(site.send(Ask::post("/oauth/revoke").form(&revoke)).await.status, 200);
    assert_dead(&site, &crm, &tokens).await;
    let json = serde_json::json!({ "client_id": "crm", "client_secret": crm.secret, "grant_type": "refresh_token" });
    assert_eq!(site.send(ask().json(&json)).await.status, 415, "JSON is for pages");
}

/// T16, and its reverse: nothing that everybody can read out of a program is a secret.
#[tokio::test]
async fn a_public_client_has_no_secret_and_a_confidential_one_shows_it() {
    let site = Site::start().await;
    // As if its declaration gave it every grant: one that rests on the client's being who it says is closed all the same.
    let tool = client_with(&site, "tool", |app| {
        app.client = ClientSettings { kind: ClientKind::Native, ..ClientSettings::default() };
        app.redirect_uris = vec![CALLBACK.parse().expect("a URI")];
        (app.client_credentials, app.device) = (true, true);
        assert!(!app.audiences.is_empty());
    })
    .await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[("client_id", Some("tool"))]).await;
    let fields = exchange(&code, CALLBACK);
    let named = with(&fields, &[("client_id", "tool")]);
    let ask = || Ask::post("/oauth/token");
    for ask in [
        ask().by(&tool).form(&fields),
        ask().by(&tool).form(&named),
        ask().form(&with(&named, &[("client_secret", &tool.secret)])),
        ask().form(&with(&named, &[("client_secret", &crm.secret)])),
        ask().form(&with(&named, &[("client_secret", "")])),
        ask().form(&with(&fields, &[("client_id", "crm")])),
    ] {
        assert_eq!(error(&site.send(ask).await), (401, "invalid_client".to_owned()));
    }
    // Named, but not the one that the code is for, or without what only that one knows.
    let other = native_client(&site, "other", &[CALLBACK]).await;
    assert_eq!(
        error(&site.send(ask().form(&with(&fields, &[("client_id", &other.key)]))).await),
        (400, "invalid_grant".to_owned())
    );
    assert_eq!(error(&redeem(&site, &crm, &code, &[]).await), (400, "invalid_grant".to_owned()));
    for verifier in [None, Some(""), Some(CHALLENGE)] {
        let mut fields: Vec<_> = named.iter().copied().filter(|(name, _)| *name != "code_verifier").collect();
        fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        assert_eq!(error(&site.send(ask().form(&fields)).await), (400, "invalid_grant".to_owned()), "{verifier:?}");
    }
    for grant in ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"] {
        let answer = site.send(ask().form(&[("grant_type", grant), ("client_id", "tool")])).await;
        assert_eq!(error(&answer), (400, "unauthorized_client".to_owned()), "{grant}");
    }
    let tokens = Tokens::of(&site.send(ask().form(&named)).await);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    for (client, expected) in [("other", 400), ("crm", 401), ("tool", 200)] {
        let answer = site.send(ask().form(&with(&refresh, &[("client_id", client)]))).await;
        assert_eq!(answer.status, expected, "{client} {answer:?}");
        assert!(answer.set_cookie("__Host-Http-hallpass-rt-x").is_none() && answer.headers.get("set-cookie").is_none());
    }
}

/// Whoever cannot keep a secret has nothing but this; so nobody is let off.
#[tokio::test]
async fn without_a_challenge_there_is_no_code_for_anybody() {
    let site = Site::start().await;
    client(&site, "crm").await;
    native_client(&site, "tool", &[CALLBACK]).await;
    browser_client(&site, "spa", |_| ()).await;
    let mut browser = at_home(&site).await;
    for (client, uri) in [("crm", CALLBACK), ("tool", CALLBACK), ("spa", SPA_CALLBACK)] {
        for (name, value) in
            [("code_challenge", None), ("code_challenge_method", None), ("code_challenge_method", Some("plain"))]
        {
            let changes = [("client_id", Some(client)), ("redirect_uri", Some(uri)), (name, value)];
            let answer = browser.step(&authorize_url(&changes)).await;
            assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{client} {name}");
        }
    }
}

/// T1–T4 over HTTP: a local page, and nobody is sent anywhere.
#[tokio::test]
async fn only_a_native_clients_port_may_differ() {
    let site = Site::start().await;
    let loopback = "http://127.0.0.1/callback";
    native_client(&site, "tool", &[loopback, "com.company.tool:/callback"]).await;
    client_with(&site, "crm", |app| app.redirect_uris = vec!["http://127.0.0.1:7000/callback".parse().expect("a URI")])
        .await;
    browser_client(&site, "spa", |_| ()).await;
    let mut browser = at_home(&site).await;
    for (client, uri) in [
        ("crm", "http://127.0.0.1:7001/callback"),
        ("crm", loopback),
        ("tool", "http://localhost:7001/callback"),
        ("tool", "http://127.0.0.1:7001/callback/"),
        ("tool", "http://127.0.0.1:7001/callbac"),
        ("tool", "http://127.0.0.1:7001/callback?x=1"),
        ("tool", "http://127.0.0.1:7001@evil.com/callback"),
        ("tool", "http://127.0.0.1.evil.com/callback"),
        ("tool", "http://[::1]:7001/callback"),
        ("tool", "https://127.0.0.1:7001/callback"),
        ("tool", "com.company.tool:/callback/x"),
        ("tool", "com.company.tool2:/callback"),
        ("spa", "https://spa.company.com:8443/callback"),
        ("spa", "https://spa.company.com/callback/"),
        ("spa", "https://spa.company.com.evil.com/callback"),
    ] {
        let answer = browser.step(&authorize_url(&[("client_id", Some(client)), ("redirect_uri", Some(uri))])).await;
        assert!(answer.status == 400 && answer.header("location").is_none(), "{client} {uri} {answer:?}");
    }
    for uri in [loopback, "http://127.0.0.1:51004/callback", "com.company.tool:/callback"] {
        let changes = [("client_id", Some("tool")), ("redirect_uri", Some(uri))];
        let there = consent::allowed(&mut browser, &changes).await;
        assert!(there.starts_with(&format!("{uri}?code=")), "{there}");
        let code = said(&there, "code").expect("a code");
        let named = [("client_id", "tool")];
        let elsewhere = with(&exchange(&code, "http://127.0.0.1:51005/callback"), &named);
        let refused = site.send(Ask::post("/oauth/token").form(&elsewhere)).await;
        assert_eq!(error(&refused), (400, "invalid_grant".to_owned()), "the address that it was sent to, port and all");
        let good = site.send(Ask::post("/oauth/token").form(&with(&exchange(&code, uri), &named))).await;
        assert_eq!(good.status, 200, "{good:?}");
    }
}

/// Browsers hold a form's policy against every redirect that follows it, also where that leads to a program.
#[tokio::test]
async fn the_sign_in_form_may_lead_to_a_program() {
    let site = Site::start().await;
    native_client(&site, "tool", &["http://127.0.0.1/callback", "com.company.tool:/callback"]).await;
    for uri in ["http://127.0.0.1:51004/callback", "com.company.tool:/callback"] {
        let mut browser = Browser::new(&site);
        let page = browser.open(&authorize_url(&[("client_id", Some("tool")), ("redirect_uri", Some(uri))])).await;
        let policy = page.answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("form-action 'self' http://127.0.0.1:* com.company.tool:"), "{policy}");
        let fields = [("csrf_token", page.answer.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
        let action = page.action();
        let mut answer = site
            .send(
                Ask::post(action.as_str().trim_start_matches(HOME))
                    .same_origin()
                    .header("cookie", browser.carried(HOME))
                    .form(&fields),
            )
            .await;
        for line in answer.headers.get_all("set-cookie") {
            browser.toss(HOME, line.to_str().expect("ASCII"));
        }
        while answer.status == 303 {
            answer = browser.step(&format!("{HOME}{}", answer.location())).await;
        }
        // It does not lead there by itself: the person is asked whether it is they who have started the program.
        assert!(answer.status == 200 && answer.shows("any-program"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_its_kind_is_not_registered() {
    let site = Site::start().await;
    let refused = async |kind: ClientKind, uri: &str| {
        let mut write = site.store().write().await.expect("writes");
        let mut app = hallpass_store::apps::find(&mut write, &"pos".parse().expect("a key"))
            .await
            .expect("reads")
            .expect("there");
        app.client.kind = kind;
        app.redirect_uris = vec![uri.parse().expect("a URI")];
        match apps::put(&mut write, &app, &Actor::Cli, site.now()).await {
            Ok(()) => None,
            Err(AdminError::Refused(why)) => Some(why),
            Err(other) => panic!("{other}"),
        }
    };
    for (kind, uri, why) in [
        (ClientKind::Confidential, "com.company.pos:/cb", Some("native clients only")),
        (ClientKind::Confidential, "https://elsewhere.com/cb", None),
        (ClientKind::Browser, "https://pos.company.com/cb", None),
        (ClientKind::Browser, "https://pos-2.company.com/cb", None),
        (ClientKind::Browser, "https://pos.company.com:8443/cb", Some("not at one of the app's origins")),
        (ClientKind::Browser, "https://elsewhere.com/cb", Some("not at one of the app's origins")),
        (ClientKind::Native, "http://localhost/cb", Some("http://127.0.0.1/")),
        (ClientKind::Native, "http://[::1]/cb", None),
        (ClientKind::Native, "com.company.pos:/cb", None),
    ] {
        let refused = refused(kind, uri).await;
        assert_eq!(refused.is_some(), why.is_some(), "{kind:?} {uri} {refused:?}");
        assert!(why.is_none_or(|why| refused.is_some_and(|refused| refused.contains(why))), "{kind:?} {uri}");
    }
}

#[tokio::test]
async fn discovery_says_what_there_is() {
    let site = Site::start().await;
    let said = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    let all = serde_json::json!(["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]);
    assert_eq!(
        (&said["token_endpoint_auth_methods_supported"], &said["revocation_endpoint_auth_methods_supported"]),
        (&all, &all)
    );
    assert_eq!(
        said["introspection_endpoint_auth_methods_supported"],
        serde_json::json!(["client_secret_basic", "private_key_jwt"])
    );
    let of_strangers = serde_json::json!(["EdDSA", "ES256", "PS256", "RS256"]);
    assert_eq!(said["token_endpoint_auth_signing_alg_values_supported"], of_strangers);
    assert!(said["scopes_supported"].as_array().expect("scopes").contains(&"offline_access".into()));
}
