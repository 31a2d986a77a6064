//! Answers that are not what they should be: T23, T26, T44, T45, T50, T82, and everything an ID token can be wrong in, through the whole door.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use http::header;
use serde_json::json;
use tokio::task::JoinSet;

use super::fake::{key_set, sign};
use super::*;
use crate::support::{Ask, NOW, PASSWORD};

#[tokio::test]
async fn what_goes_there_and_what_comes_back() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    let left = leave(&mut browser, "fake", "?again=1&hint=mia%40company.com").await;
    let of = |name| said(&left.there, name);
    assert!(left.there.starts_with(&format!("{}/authorize?tenant=x&", fake.issuer)), "{}", left.there);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "hallpass"),
        ("redirect_uri", "https://auth.company.com/upstream/oidc/callback/fake"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("max_age", "0"),
        ("login_hint", "mia@company.com"),
    ] {
        assert_eq!(of(name).as_deref(), Some(value));
    }
    assert_eq!(of("code_challenge").map(|text| text.len()), Some(43));
    assert!(!left.there.contains("verifier") && of("code_challenge") != Some(left.nonce.clone()));
    let mut claims = fake.claims(&left.nonce);
    claims["auth_time"] = NOW.into();
    fake.gives(&claims);
    assert_eq!(browser.open(&callback("fake", "c+1%2F", &left.state)).await.url.path(), "/");
    assert_eq!(fake.told("code"), "c 1/");
    assert_eq!(fake.told("grant_type"), "authorization_code");
    assert_eq!(Some(fake.told("redirect_uri")), of("redirect_uri"));
    let verifier = fake.told("code_verifier");
    let challenge = of("code_challenge").expect("there").parse().expect("a challenge");
    assert!(hallpass_core::oidc::pkce::is_answered_by(&challenge, &verifier));
    // Each half encoded before they are joined: RFC 6749 §2.3.1.
    let basic = fake.authorization().expect("HTTP Basic");
    let pair = STANDARD.decode(basic.trim_start_matches("Basic ")).expect("base64");
    assert_eq!(String::from_utf8(pair).expect("ASCII"), "hallpass:s3cret%2F%7E+%2B%C3%A9%3Ax");
    assert_eq!(fake.told("client_secret"), "", "in one way, not in two");
}

#[tokio::test]
async fn the_secret_goes_into_the_form_where_that_is_how() {
    let (site, fake) = with_fake(|_| ()).await;
    fake.metadata(|metadata| {
        metadata["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt", "client_secret_post"]);
    });
    trip(&mut Browser::new(&site), &fake, |_| ()).await;
    assert_eq!((fake.told("client_id"), fake.told("client_secret")), ("hallpass".to_owned(), SECRET.to_owned()));
    assert_eq!(fake.authorization(), None);
}

/// Advisories T46, T47: what was in the browser before is over, and its secret opens nothing.
#[tokio::test]
async fn a_sign_in_begins_a_new_session_under_a_new_secret() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let (before, old) = (session_of(&site, &browser).await.expect("a session"), browser.cookie(HOME, SESSION));
    assert_eq!(trip(&mut browser, &fake, |_| ()).await.url.path(), "/");
    let after = session_of(&site, &browser).await.expect("a session");
    assert!(after.id != before.id && browser.cookie(HOME, SESSION) != old && after.user_id != site.ana.id);
    let mut with_old = Browser::new(&site);
    with_old.toss(HOME, &format!("{SESSION}={}; Path=/; Secure", old.expect("there")));
    assert_eq!(with_old.open("/account").await.url.path(), "/sign-in");
    // And one that somebody has put there beforehand is not adopted.
    let mut planted = Browser::new(&site);
    let secret = "hp_ss_planted";
    planted.toss(HOME, &format!("{SESSION}={secret}; Path=/; Secure"));
    trip(&mut planted, &fake, |_| ()).await;
    assert_ne!(planted.cookie(HOME, SESSION).as_deref(), Some(secret));
}

/// Makes an ID token of claims that would be good.
type Make<'m> = Box<dyn Fn(&Value) -> String + 'm>;

#[tokio::test]
async fn each_wrong_id_token_is_refused_and_leaves_nothing() {
    let (site, fake) = with_fake(|_| ()).await;
    let own = |header: Value| {
        let fake = fake.clone();
        move |claims: &Value| sign(&fake.key, &header, claims)
    };
    let good = || json!({ "alg": "EdDSA", "kid": "one" });
    let stranger = PrivateKey::generate(Algorithm::EdDsa);
    let hmac =
        PrivateKey::from_stored(Algorithm::Hs256, format!("{SECRET}{SECRET}{SECRET}").as_bytes()).expect("long enough");
    let with = |name: &'static str, value: Value| {
        let fake = fake.clone();
        move |claims: &Value| {
            let mut claims = claims.clone();
            claims[name] = value.clone();
            sign(&fake.key, &json!({ "alg": "EdDSA", "kid": "one" }), &claims)
        }
    };
    let table: Vec<(&str, Make<'_>)> = vec![
        ("id_token_wrong_nonce", Box::new(with("nonce", json!("another")))),
        ("id_token_wrong_nonce", Box::new(with("nonce", json!(null)))),
        ("id_token_wrong_audience", Box::new(with("aud", json!("another")))),
        ("id_token_wrong_party", Box::new(with("aud", json!(["hallpass", "another"])))),
        ("id_token_wrong_party", Box::new(with("azp", json!("another")))),
        ("id_token_wrong_issuer", Box::new(with("iss", json!("https://evil.example")))),
        ("id_token_expired", Box::new(with("exp", json!(NOW - 3600)))),
        ("id_token_issued_in_future", Box::new(with("iat", json!(NOW + 3600)))),
        ("id_token_issued_before", Box::new(with("iat", json!(NOW - 3600)))),
        ("id_token_malformed", Box::new(with("exp", json!("tomorrow")))),
        ("id_token_no_subject", Box::new(with("sub", json!("")))),
        ("id_token_wrong_algorithm", Box::new(own(json!({ "alg": "none" })))),
        (
            "id_token_wrong_algorithm",
            Box::new(|claims| {
                let token = sign(&hmac, &json!({ "alg": "none", "kid": "one" }), claims);
                format!("{}.", token.rsplit_once('.').expect("parts").0)
            }),
        ),
        ("id_token_wrong_algorithm", Box::new(|claims| sign(&hmac, &json!({ "alg": "HS256", "kid": "one" }), claims))),
        ("id_token_wrong_algorithm", Box::new(own(json!({ "alg": "RS256", "kid": "one" })))),
        ("id_token_unknown_key", Box::new(own(json!({ "alg": "EdDSA", "kid": "two" })))),
        ("id_token_wrong_type", Box::new(own(json!({ "alg": "EdDSA", "kid": "one", "typ": "at+jwt" })))),
        ("id_token_critical", Box::new(own(json!({ "alg": "EdDSA", "kid": "one", "crit": ["x"] })))),
        ("id_token_bad_signature", Box::new(move |claims| sign(&stranger, &good(), claims))),
        ("id_token_malformed", Box::new(|_| "e30.e30".to_owned())),
    ];
    for (number, (why, make)) in table.into_iter().enumerate() {
        // Refusals from one address are written down so often only.
        let mut browser = Browser::new(&site).moved_to(&format!("192.0.2.{}", number + 10));
        let left = leave(&mut browser, "fake", "").await;
        let claims = fake.claims(&left.nonce);
        fake.gives(&claims);
        fake.gives_token(make(&claims));
        let landing = browser.open(&callback("fake", &left.state, &left.state)).await;
        assert_refused(&site, &browser, &landing, why).await;
    }
    assert!(reasons(&site, "user_added").await.is_empty() && reasons(&site, "upstream_linked").await.is_empty());
    assert_eq!(trip(&mut Browser::new(&site), &fake, |_| ()).await.url.path(), "/", "and a good one is taken");
}

/// RFC 9700 §4.4: two providers, one of them dishonest. What was asked of one is brought to the other's way back.
#[tokio::test]
async fn an_answer_opens_at_its_own_providers_way_back_only() {
    let (honest, evil) = (Fake::start().await, Fake::start().await);
    for fake in [&honest, &evil] {
        fake.metadata(|metadata| metadata["authorization_response_iss_parameter_supported"] = true.into());
    }
    let config = vec![provider("honest", &honest.issuer, |_| ()), provider("evil", &evil.issuer, |_| ())];
    let site = company(config).await;
    let mut browser = Browser::new(&site);
    let left = leave(&mut browser, "honest", "").await;
    honest.gives(&honest.claims(&left.nonce));
    let landing = browser.open(&callback("evil", "c1", &left.state)).await;
    assert_refused(&site, &browser, &landing, "upstream_no_transaction").await;
    assert_eq!((evil.told("code"), honest.told("code")), (String::new(), String::new()), "nobody was shown the code");
    // At the right address, by the word of the wrong one, of nobody, of another spelling.
    for (number, iss) in [evil.issuer.clone(), String::new(), format!("{}/", honest.issuer)].iter().enumerate() {
        let left = leave(&mut browser, "honest", "").await;
        let iss = if iss.is_empty() { String::new() } else { format!("&iss={iss}") };
        let landing = browser.open(&format!("{}{iss}", callback("honest", "c1", &left.state))).await;
        assert_refused(&site, &browser, &landing, "upstream_answer_of_another").await;
        assert_eq!(honest.told("code"), "", "{number}");
    }
    let left = leave(&mut browser, "honest", "").await;
    honest.gives(&honest.claims(&left.nonce));
    let back = format!("{}&iss={}", callback("honest", "c2", &left.state), honest.issuer);
    assert_eq!(browser.open(&back).await.url.path(), "/");
    // An ID token of the other one, for the same sign-in and signed by its own key.
    let mut other = Browser::new(&site);
    let left = leave(&mut other, "honest", "").await;
    honest.gives_token(sign(&evil.key, &json!({ "alg": "EdDSA", "kid": "one" }), &honest.claims(&left.nonce)));
    let back = format!("{}&iss={}", callback("honest", "c3", &left.state), honest.issuer);
    let landing = other.open(&back).await;
    assert_refused(&site, &other, &landing, "id_token_bad_signature").await;
}

/// T44, T45: without what this browser left with, with another browser's, or with a made-up one, nothing happens.
#[tokio::test]
async fn an_answer_needs_the_browser_that_left() {
    let (site, fake) = with_fake(|_| ()).await;
    let (mut victim, mut attacker) = (Browser::new(&site), Browser::new(&site));
    let (of_victim, of_attacker) = (leave(&mut victim, "fake", "").await, leave(&mut attacker, "fake", "").await);
    fake.gives(&fake.claims(&of_attacker.nonce));
    // Somebody sends a victim the address at the end of their own sign-in (login CSRF).
    let landing = victim.open(&callback("fake", "c1", &of_attacker.state)).await;
    assert_refused(&site, &victim, &landing, "upstream_no_transaction").await;
    // Their code in the victim's own sign-in: the ID token is for another one.
    let landing = victim.open(&callback("fake", "c1", &of_victim.state)).await;
    assert_refused(&site, &victim, &landing, "id_token_wrong_nonce").await;
    for state in ["", "x", &"A".repeat(43)] {
        let landing = attacker.open(&callback("fake", "c2", state)).await;
        assert_refused(&site, &attacker, &landing, "upstream_no_transaction").await;
    }
    // Two of the cookie: one of them somebody else has set.
    let name = attacker.carried(HOME).split('=').next().expect("a name").to_owned();
    let path = format!("/upstream/oidc/callback/fake?code=c3&state={}", of_attacker.state);
    let twice = format!("{}; {name}=x", attacker.carried(HOME));
    let answer = site.send(Ask::get(path).header("cookie", twice)).await;
    assert_eq!(answer.status, 403);
    // Too late.
    site.wait(1801);
    let landing = attacker.open(&callback("fake", "c4", &of_attacker.state)).await;
    assert_refused(&site, &attacker, &landing, "upstream_transaction_expired").await;
    assert_eq!(fake.told("code"), "c1", "and no other code was shown to anybody");
}

/// T23: at once, by the same browser, as a restored window does or a thief with a copy.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_answers_at_once_one_begins_a_session() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    let left = leave(&mut browser, "fake", "").await;
    fake.gives(&fake.claims(&left.nonce));
    let (path, cookies) = (format!("/upstream/oidc/callback/fake?code=c1&state={}", left.state), browser.carried(HOME));
    let site = Arc::new(site);
    let mut racing = JoinSet::new();
    for _ in 0..8 {
        let (site, ask) = (site.clone(), Ask::get(path.clone()).header("cookie", &cookies));
        racing.spawn(async move { site.send(ask).await });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 403 && answer.set_cookie(SESSION).is_none()).count(), 7);
}

#[tokio::test]
async fn a_provider_that_says_no_is_believed() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    let left = leave(&mut browser, "fake", "").await;
    let landing = browser
        .open(&format!(
            "/upstream/oidc/callback/fake?error=access_denied&error_description=%3Cscript%3E&state={}",
            left.state
        ))
        .await;
    assert_refused(&site, &browser, &landing, "upstream_denied").await;
    assert!(!landing.answer.body.contains("script") && landing.answer.body.contains("Start again"), "{landing:?}");
    let left = leave(&mut browser, "fake", "").await;
    let landing = browser.open(&callback("fake", "bad", &left.state)).await;
    assert_refused(&site, &browser, &landing, "upstream_code_refused").await;
    let left = leave(&mut browser, "fake", "").await;
    let landing = browser.open(&format!("/upstream/oidc/callback/fake?state={}", left.state)).await;
    assert_refused(&site, &browser, &landing, "upstream_denied").await;
    // What is said at the other endpoint is about somebody else.
    let left = leave(&mut browser, "fake", "").await;
    fake.gives(&fake.claims(&left.nonce));
    fake.userinfo(json!({ "sub": "somebody-else", "name": "Somebody" }));
    let landing = browser.open(&callback("fake", "c9", &left.state)).await;
    assert_refused(&site, &browser, &landing, "upstream_userinfo_of_another").await;
}

/// Protocol §20: a provider away is 503 for those who want to sign in there, and nothing for anybody else.
#[tokio::test]
async fn a_provider_that_is_away_is_a_page_and_nobody_elses_trouble() {
    for (address, status) in [
        ("discovery", 500),
        ("discovery", 404),
        ("discovery", 302),
        ("keys", 503),
        ("keys", 301),
        ("token", 500),
        ("token", 401),
        ("userinfo", 500),
    ] {
        let (site, fake) = with_fake(|_| ()).await;
        fake.fails(address, Some(status));
        let mut browser = Browser::new(&site);
        let landing = browser.open("/upstream/oidc/start/fake").await;
        let landing = if address == "discovery" {
            landing
        } else {
            let state = said(landing.url.as_str(), "state").expect("there");
            let nonce = said(landing.url.as_str(), "nonce").expect("there");
            fake.gives(&fake.claims(&nonce));
            browser.open(&callback("fake", &state, &state)).await
        };
        assert_eq!(landing.answer.status, 503, "{address} {status}: {landing:?}");
        assert_eq!(landing.answer.header("retry-after"), Some("10"));
        assert!(landing.answer.body.contains("/sign-in?local=1") && session_of(&site, &browser).await.is_none());
        // Everybody else comes in as ever, by the same page.
        assert_eq!(browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await.url.as_str(), "https://pos.company.com/");
        // It is back, and needs nobody for that.
        fake.fails(address, None);
        site.wait(5);
        let (mut other, shift) = (Browser::new(&site), 5);
        let landing = trip(&mut other, &fake, |claims| claims["iat"] = json!(NOW + shift)).await;
        assert_eq!(landing.url.path(), "/", "{address} {status}: {landing:?}");
    }
}

/// T82: a document of somebody else's, or one that leads inside, is as good as none.
#[tokio::test]
async fn a_document_speaks_for_its_own_issuer_and_leads_nowhere_inside() {
    type Change = fn(&mut Value);
    let table: [Change; 7] = [
        |metadata| metadata["issuer"] = "https://evil.example".into(),
        |metadata| metadata["issuer"] = format!("{}/", metadata["issuer"].as_str().expect("text")).into(),
        |metadata| metadata["jwks_uri"] = "https://10.0.0.1/keys".into(),
        |metadata| metadata["token_endpoint"] = "https://169.254.169.254/latest".into(),
        |metadata| metadata["userinfo_endpoint"] = "http://192.168.1.1/".into(),
        |metadata| metadata["authorization_endpoint"] = "http://login.example/".into(),
        |metadata| metadata["id_token_signing_alg_values_supported"] = json!(["HS256", "none"]),
    ];
    for (number, change) in table.into_iter().enumerate() {
        let (site, fake) = with_fake(|_| ()).await;
        fake.metadata(change);
        let mut browser = Browser::new(&site);
        let mut landing = browser.open("/upstream/oidc/start/fake").await;
        if let Some(state) = said(landing.url.as_str(), "state") {
            fake.gives(&fake.claims(&said(landing.url.as_str(), "nonce").expect("there")));
            landing = browser.open(&callback("fake", &state, &state)).await;
        }
        assert_eq!(landing.answer.status, 503, "{number}: {landing:?}");
        assert!(session_of(&site, &browser).await.is_none());
    }
}

#[tokio::test]
async fn it_is_asked_when_somebody_comes_and_not_for_each_of_them() {
    let (site, fake) = with_fake(|_| ()).await;
    assert_eq!(fake.asked("discovery"), 0, "nothing before somebody wants to sign in");
    for _ in 0..3 {
        trip(&mut Browser::new(&site), &fake, |_| ()).await;
    }
    assert_eq!((fake.asked("discovery"), fake.asked("keys")), (1, 1));
    // It signs with another key from now on.
    let next = PrivateKey::generate(Algorithm::EdDsa);
    fake.keys(key_set(&[(&fake.key, "one"), (&next, "two")]));
    let come = async |at: i64, kid: &'static str| {
        let mut browser = Browser::new(&site);
        let left = leave(&mut browser, "fake", "").await;
        let mut claims = fake.claims(&left.nonce);
        (claims["iat"], claims["exp"]) = (json!(NOW + at), json!(NOW + at + 300));
        fake.gives(&claims);
        fake.gives_token(sign(&next, &json!({ "alg": "EdDSA", "kid": kid }), &claims));
        browser.open(&callback("fake", &left.state, &left.state)).await.answer.status
    };
    assert_eq!((come(0, "two").await, fake.asked("keys")), (403, 1), "anybody can make up names: once a minute");
    site.wait(61);
    assert_eq!((come(61, "two").await, fake.asked("keys")), (200, 2));
    for _ in 0..3 {
        assert_eq!(come(61, "three").await, 403);
    }
    assert_eq!(fake.asked("keys"), 2);
    // And one that was taken back is believed for a quarter of an hour.
    fake.keys(key_set(&[(&fake.key, "one")]));
    site.wait(900);
    assert_eq!((come(961, "two").await, fake.asked("keys")), (403, 3));
    assert_eq!(fake.asked("discovery"), 2);
}

/// Made-up codes are shown to a provider in our name so often only, and others sign in meanwhile.
#[tokio::test]
async fn whoever_makes_up_answers_has_few_of_them_asked() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut statuses = Vec::new();
    for number in 0..24 {
        let mut browser = Browser::new(&site);
        let left = leave(&mut browser, "fake", "").await;
        let landing = browser.open(&callback("fake", &format!("bad{number}"), &left.state)).await;
        statuses.push((landing.answer.status, fake.told("code") == format!("bad{number}")));
    }
    assert!(statuses[..20].iter().all(|seen| *seen == (403, true)), "{statuses:?}");
    assert!(statuses[20..].iter().all(|seen| *seen == (429, false)), "{statuses:?}");
    let mut other = Browser::new(&site).moved_to("198.51.100.7");
    assert_eq!(trip(&mut other, &fake, |_| ()).await.url.path(), "/");
}

/// What is bigger than anything honest is not read to its end.
#[tokio::test]
async fn a_flood_is_not_read() {
    let (site, fake) = with_fake(|_| ()).await;
    fake.keys(json!({ "keys": [], "x": "x".repeat(200 * 1024) }));
    let landing = trip(&mut Browser::new(&site), &fake, |_| ()).await;
    assert_eq!(landing.answer.status, 503);
    let (site, fake) = with_fake(|_| ()).await;
    fake.metadata(|metadata| metadata["x"] = "x".repeat(80 * 1024).into());
    assert_eq!(Browser::new(&site).open("/upstream/oidc/start/fake").await.answer.status, 503);
}

/// Addresses are for windows that somebody looks at, as everywhere.
#[tokio::test]
async fn frames_images_and_prefetches_begin_and_end_nothing() {
    let (site, fake) = with_fake(|_| ()).await;
    for path in ["/upstream/oidc/start/fake", "/upstream/oidc/callback/fake?code=x&state=y"] {
        let framed = Ask::get(path).header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "iframe");
        let answer = site.send(framed).await;
        assert_eq!((answer.status, answer.headers.contains_key(header::SET_COOKIE)), (403, false));
    }
    assert_eq!(fake.asked("discovery"), 0);
}
