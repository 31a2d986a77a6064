//! Pushed authorization requests: judged like every other, for the client that pushed them, good for one code. RFC 9126, RFC 9449 §10.1; T6, T82.

use hallpass_core::crypto::Algorithm;
use hallpass_core::oidc::ClientKind;

use super::signer::Signer;
use super::*;

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// The request that every client library makes, pushed, with these parameters changed, or taken out.
async fn push(site: &Site, by: Option<&Caller>, changes: &[(&str, Option<&str>)]) -> Answer {
    push_with(site, by, changes, &[]).await
}

/// The same with these proofs of possession.
async fn push_with(site: &Site, by: Option<&Caller>, changes: &[(&str, Option<&str>)], proofs: &[&str]) -> Answer {
    let url = url::Url::parse(&authorize_url(changes)).expect("a URL");
    let ask = Ask::post("/oauth/par");
    let ask = match by {
        Some(by) => ask.by(by),
        None => ask,
    };
    let ask = proofs.iter().fold(ask, |ask, proof| ask.header("dpop", *proof));
    let fields: Vec<_> = url.query_pairs().into_owned().collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    site.send(ask.form(&fields)).await
}

pub async fn pushed(site: &Site, by: &Caller, changes: &[(&str, Option<&str>)]) -> String {
    let answer = push(site, Some(by), changes).await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")), "{answer:?}");
    assert_eq!(answer.json()["expires_in"], 90);
    answer.json()["request_uri"].as_str().expect("a name").to_owned()
}

/// What the client sends a browser to.
pub fn named(client: &str, request_uri: &str, more: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", client).append_pair("request_uri", request_uri).extend_pairs(more);
    format!("{HOME}/oauth/authorize?{}", query.finish())
}

/// A page of ours that says no, and no way to anywhere else.
fn stopped(answer: &Answer) -> bool {
    answer.status == 400 && answer.header("location").is_none() && answer.body.contains("has been used, or is too old")
}

#[tokio::test]
async fn a_pushed_request_brings_a_code_and_only_what_was_pushed_counts() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let name = pushed(&site, &crm, &[("scope", Some("openid"))]).await;
    assert!(name.starts_with(&format!("{PREFIX}hp_pr_")), "{name}");
    let more = [
        ("scope", "openid profile email"),
        ("redirect_uri", "https://crm.company.com/other"),
        ("state", "forged"),
        ("nonce", "forged"),
        ("response_mode", "form_post"),
        ("prompt", "login"),
        ("code_challenge", "forged"),
    ];
    let answer = browser.step(&named("crm", &name, &more)).await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?code=")), "{answer:?}");
    assert_eq!(said(answer.location(), "state").as_deref(), Some("st&te"));
    let code = said(answer.location(), "code").expect("a code");
    let answer = redeem(&site, &crm, &code, &[]).await;
    assert_eq!((answer.status, &answer.json()["scope"]), (200, &"openid".into()), "{answer:?}");
    assert_eq!(opened(&Tokens::of(&answer).id).1["nonce"], "n\"nce");
}

/// RFC 9126 section 4: people reload; there is one code all the same.
#[tokio::test]
async fn loading_it_again_harms_nobody_and_there_is_one_code() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let name = pushed(&site, &crm, &[]).await;
    let mut browser = Browser::new(&site);
    let first = browser.open(&named("crm", &name, &[])).await;
    let second = browser.open(&named("crm", &name, &[])).await;
    let again = browser.open(second.url.as_str()).await;
    for page in [&first, &second, &again] {
        assert!(page.url.path() == "/sign-in" && page.answer.body.contains("The crm"), "{page:?}");
    }
    // Longer than the name is good for, but no longer than people may take to sign in.
    site.wait(1700);
    let landing = browser.sign_in(first.url.as_str(), "ana", PASSWORD).await;
    let code = said(landing.url.as_str(), "code").unwrap_or_else(|| panic!("no code in {landing:?}"));
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);
    let landing = browser.step(&format!("{HOME}/oauth/continue?{}", second.url.query().expect("pending"))).await;
    assert_eq!(said(landing.location(), "error").as_deref(), Some("invalid_request_uri"), "{landing:?}");
    assert!(stopped(&browser.step(&named("crm", &name, &[])).await));
}

#[tokio::test]
async fn it_is_its_clients_in_time_and_once() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    client(&site, "other").await;
    let mut browser = at_home(&site).await;
    let name = pushed(&site, &crm, &[]).await;
    let altered = name.replace("hp_pr_", "hp_ac_");
    for (client, name, more) in [
        ("other", &*name, &[][..]),
        ("nobody", &name, &[]),
        ("", &name, &[]),
        ("crm", &name[..name.len() - 1], &[]),
        ("crm", &altered, &[]),
        ("crm", PREFIX, &[]),
        ("crm", &name, &[("request", "e30.e30.")]),
    ] {
        assert!(stopped(&browser.step(&named(client, name, more)).await), "{client} {name}");
    }
    let without = format!("{HOME}/oauth/authorize?request_uri={name}");
    assert!(stopped(&browser.step(&without).await), "nobody's");
    site.wait(89);
    assert!(said(browser.step(&named("crm", &name, &[])).await.location(), "code").is_some());
    assert!(stopped(&browser.step(&named("crm", &name, &[])).await), "once");
    let name = pushed(&site, &crm, &[]).await;
    site.wait(90);
    assert!(stopped(&browser.step(&named("crm", &name, &[])).await), "too late");
}

/// T6: the same validator, at both ends.
#[tokio::test]
async fn what_the_authorization_endpoint_refuses_is_refused_here_and_what_changed_since_is_refused_there() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    for (code, changes) in [
        ("invalid_request", [("redirect_uri", Some("https://evil.com/"))]),
        ("invalid_request", [("redirect_uri", Some("https://crm.company.com/oauth/callback/"))]),
        ("invalid_request", [("redirect_uri", None)]),
        ("invalid_request", [("client_id", Some("wiki"))]),
        ("invalid_request", [("code_challenge", None)]),
        ("invalid_request", [("code_challenge_method", Some("plain"))]),
        ("invalid_request", [("response_type", None)]),
        ("unsupported_response_type", [("response_type", Some("token"))]),
        ("invalid_request", [("response_mode", Some("fragment"))]),
        ("invalid_scope", [("scope", Some("profile"))]),
        ("invalid_request", [("id_token_hint", Some("e30.e30.e30"))]),
        ("request_not_supported", [("request", Some("e30.e30."))]),
        ("invalid_request", [("request_uri", Some("https://crm.company.com/request"))]),
        ("invalid_request", [("request_uri", Some("urn:ietf:params:oauth:request_uri:x"))]),
    ] {
        assert_eq!(error(&push(&site, Some(&crm), &changes).await), (400, code.to_owned()), "{changes:?}");
    }
    let mut browser = at_home(&site).await;
    // No outgoing request is made for any of them: there is nothing here that could.
    for (changes, code) in [
        ([("request_uri", Some("https://crm.company.com/request"))], "request_uri_not_supported"),
        ([("request_uri", Some("urn:example:x"))], "request_uri_not_supported"),
        ([("request", Some("e30.e30."))], "request_not_supported"),
    ] {
        let answer = browser.step(&authorize_url(&changes)).await;
        assert_eq!(said(answer.location(), "error").as_deref(), Some(code));
    }
    let name = pushed(&site, &crm, &[]).await;
    site.app("crm", |app| {
        app.access = Access::Everyone;
        app.redirect_uris = vec!["https://crm.company.com/other".parse().expect("a URI")];
    })
    .await;
    let answer = browser.step(&named("crm", &name, &[])).await;
    assert_eq!((answer.status, answer.header("location")), (400, None), "registered no longer");
}

#[tokio::test]
async fn a_client_shows_who_it_is_as_at_the_token_endpoint() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let stranger = Caller { secret: site.wiki.secret.clone(), ..crm.clone() };
    assert_eq!(error(&push(&site, Some(&stranger), &[]).await), (401, "invalid_client".to_owned()));
    assert_eq!(error(&push(&site, None, &[]).await), (401, "invalid_client".to_owned()));
    let in_body = push(&site, None, &[("client_secret", Some(&crm.secret))]).await;
    assert_eq!(in_body.status, 201, "{in_body:?}");
    assert_eq!(push(&site, Some(&crm), &[("client_id", None)]).await.status, 201, "the header has said it");

    browser_client(&site, "spa", |_| ()).await;
    let fields = serde_json::json!({
        "client_id": "spa", "redirect_uri": SPA_CALLBACK, "response_type": "code", "scope": "openid",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    });
    let answer = site.send(by_page("/oauth/par", SPA, &fields)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (201, Some(SPA)), "{answer:?}");
    let name = answer.json()["request_uri"].as_str().expect("a name").to_owned();
    let answer = at_home(&site).await.step(&named("spa", &name, &[])).await;
    assert!(answer.location().starts_with(&format!("{SPA_CALLBACK}?code=")), "{answer:?}");
    let elsewhere = site.send(by_page("/oauth/par", "https://evil.com", &fields)).await;
    assert_eq!((elsewhere.status, elsewhere.header("access-control-allow-origin")), (403, None));

    let loopback = "http://127.0.0.1/cb";
    native_client(&site, "tool", &[loopback]).await;
    let tool = [("client_id", Some("tool")), ("redirect_uri", Some("http://127.0.0.1:7001/cb"))];
    assert_eq!(push(&site, None, &tool).await.status, 201);
    let more = [tool[0], tool[1], ("client_secret", Some(&*crm.secret))];
    assert_eq!(push(&site, None, &more).await.status, 401, "it has no secret");
}

/// RFC 9126 section 7.1: rows are not for free, and a client without a secret may be anybody.
#[tokio::test]
async fn nobody_pushes_without_end() {
    let site = Site::start().await;
    native_client(&site, "tool", &["http://127.0.0.1/cb"]).await;
    let tool = [("client_id", Some("tool")), ("redirect_uri", Some("http://127.0.0.1/cb"))];
    for _ in 0..300 {
        assert_eq!(push(&site, None, &tool).await.status, 201);
    }
    let answer = push(&site, None, &tool).await;
    assert_eq!((error(&answer), answer.header("retry-after")), ((429, "too_many_requests".to_owned()), Some("9")));
    let crm = client(&site, "crm").await;
    assert_eq!(push(&site, Some(&crm), &[]).await.status, 201, "others are not held up");
    site.wait(121);
    assert_eq!(push(&site, None, &tool).await.status, 201);
}

#[tokio::test]
async fn a_client_that_has_to_push_gets_nothing_without() {
    let site = Site::start().await;
    let crm = client_with(&site, "crm", |app| app.client.require_pushed = true).await;
    let mut browser = at_home(&site).await;
    let answer = browser.step(&authorize_url(&[])).await;
    assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{answer:?}");
    assert_eq!(said(answer.location(), "code"), None);
    site.wait(1);
    let name = pushed(&site, &crm, &[("prompt", Some("login"))]).await;
    let page = browser.open(&named("crm", &name, &[])).await;
    assert_eq!(page.url.path(), "/sign-in", "{page:?}");
    let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    assert!(said(landing.url.as_str(), "code").is_some(), "{landing:?}");

    // What waits from before the setting is held against it, too.
    client_with(&site, "late", |_| ()).await;
    site.wait(1);
    let login = [("client_id", Some("late")), ("prompt", Some("login"))];
    let waiting = browser.open(&authorize_url(&login)).await;
    client_with(&site, "late", |app| app.client.require_pushed = true).await;
    site.wait(1);
    let landing = browser.sign_in(waiting.url.as_str(), "ana", PASSWORD).await;
    assert_eq!(said(landing.url.as_str(), "error").as_deref(), Some("invalid_request"), "{landing:?}");
}

/// RFC 9449 §10.1: whoever pushes with a key is the only one who can redeem the code.
#[tokio::test]
async fn a_pushed_request_is_bound_to_the_key_that_came_with_it() {
    let site = Site::start().await;
    let tool = native_client(&site, "tool", &[CALLBACK]).await;
    let (key, thief) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256));
    let mut browser = at_home(&site).await;
    let jkt = key.thumbprint();
    for named_too in [None, Some(&*jkt)] {
        let changes = [("client_id", Some("tool")), ("dpop_jkt", named_too)];
        let answer = push_with(&site, None, &changes, &[&key.proof(&site, "POST", "/oauth/par")]).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let name = answer.json()["request_uri"].as_str().expect("a name").to_owned();
        // What the address says of a key is not taken, as nothing else is.
        let more = [("dpop_jkt", &*thief.thumbprint())];
        let answer = browser.step(&named(&tool.key, &name, &more)).await;
        let code = said(answer.location(), "code").expect("a code");
        let redeem = async |by: Option<&Signer>| {
            let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
            let fields = [&fields[..], &[("code_verifier", VERIFIER), ("client_id", "tool")]].concat();
            let ask = Ask::post("/oauth/token").form(&fields);
            site.send(match by {
                Some(by) => ask.header("dpop", by.proof(&site, "POST", "/oauth/token")),
                None => ask,
            })
            .await
        };
        for by in [None, Some(&thief)] {
            assert_eq!(error(&redeem(by).await), (400, "invalid_grant".to_owned()));
        }
        let answer = redeem(Some(&key)).await;
        assert_eq!((answer.status, &answer.json()["token_type"]), (200, &"DPoP".into()), "{answer:?}");
    }
    assert_eq!(reasons(&site, "tokens_refused").await, ["wrong_key"; 4]);
}

/// A proof is looked at as everywhere, and a push without one that is good leaves nothing behind.
#[tokio::test]
async fn a_pushed_request_with_a_bad_proof_is_refused() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (key, other) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa));
    let path = "/oauth/par";
    let good = || key.proof(&site, "POST", path);
    let now = site.now().as_seconds();
    let used = good();
    assert_eq!(push_with(&site, Some(&crm), &[], &[&used]).await.status, 201);
    let of = |name: &str, value: Value| key.proof_with(&site, "POST", path, &[(name, value)]);
    for proofs in [
        vec![used],
        vec![good(), good()],
        vec![String::new()],
        vec![key.proof(&site, "GET", path)],
        vec![key.proof(&site, "POST", "/oauth/token")],
        vec![of("htu", "https://evil.com/oauth/par".into())],
        vec![of("iat", (now - 60).into())],
        vec![of("iat", (now + 60).into())],
    ] {
        let proofs: Vec<_> = proofs.iter().map(|proof| &**proof).collect();
        let answer = push_with(&site, Some(&crm), &[], &proofs).await;
        assert_eq!(error(&answer), (400, "invalid_dpop_proof".to_owned()), "{proofs:?}");
    }
    // Of two keys one would win, and nobody could say which; no key at all is another one, too.
    for jkt in [&*other.thumbprint(), "", &format!("{}=", key.thumbprint()), "x"] {
        let answer = push_with(&site, Some(&crm), &[("dpop_jkt", Some(jkt))], &[&good()]).await;
        assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "{jkt}");
    }
    // What is refused for something else has not used the proof up.
    let proof = good();
    assert_eq!(push_with(&site, Some(&crm), &[("scope", Some("email"))], &[&proof]).await.status, 400);
    assert_eq!(push_with(&site, Some(&crm), &[], &[&proof]).await.status, 201);
    // Whose tokens must be bound says so at the token endpoint, as ever: a push alone brings none.
    let strict = client_with(&site, "strict", |app| app.client.require_dpop = true).await;
    assert_eq!(push(&site, Some(&strict), &[("client_id", Some("strict"))]).await.status, 201);
}

#[tokio::test]
async fn it_is_in_the_discovery_document_and_the_setting_is_the_apps() {
    let site = Site::start().await;
    client_with(&site, "crm", |app| {
        app.client.require_pushed = true;
        app.client.kind = ClientKind::Confidential;
    })
    .await;
    let document = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(document["pushed_authorization_request_endpoint"], format!("{HOME}/oauth/par"));
    assert_eq!(document["require_pushed_authorization_requests"], false);
    assert_eq!(document["request_uri_parameter_supported"], false, "of other kinds there are none");
}
