//! `POST /oauth/token` for codes, what the tokens say, and what they open: userinfo, introspection, revocation.

use hallpass_store::sessions;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor as _};

use super::*;

#[tokio::test]
async fn a_code_brings_an_id_token_an_access_token_and_a_refresh_token() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    site.wait(7);
    let code = code(&mut browser, &[]).await;
    let answer = redeem(&site, &crm, &code, &[]).await;
    assert_eq!(
        (answer.header("cache-control"), answer.header("content-type")),
        (Some("no-store"), Some("application/json"))
    );
    let said = answer.json();
    assert_eq!((&said["token_type"], &said["expires_in"]), (&"Bearer".into(), &300.into()));
    assert_eq!(said["scope"], "openid profile email");
    let tokens = Tokens::of(&answer);
    assert!(tokens.refresh.starts_with("hp_rt_"));

    let (header, claims) = opened(&tokens.id);
    let now = site.now().as_seconds();
    assert_eq!((&header["typ"], &header["alg"]), (&"JWT".into(), &"RS256".into()));
    let sid = claims["sid"].as_str().expect("a session").to_owned();
    let expected = serde_json::json!({
        "iss": HOME, "sub": site.ana.id, "aud": "crm", "iat": now, "exp": now + 300, "auth_time": now - 7,
        "nonce": "n\"nce", "sid": sid, "acr": "aal1", "amr": ["pwd"],
    });
    assert_eq!(claims, expected);
    let (header, claims) = opened(&tokens.access);
    assert_eq!((&header["typ"], &claims["aud"], &claims["client_id"]), (&"at+jwt".into(), &HOME.into(), &"crm".into()));
    let keys = site.send(Ask::get("/.well-known/jwks.json")).await.json();
    assert!(keys["keys"].as_array().expect("keys").iter().any(|key| key["kid"] == header["kid"]), "published");

    let told = sessions::told(&mut site.store().read().await.expect("reads"), &sid.parse().expect("an id")).await;
    assert!(told.expect("reads").contains(&"crm".parse().expect("a key")), "it will hear of the sign-out");
    assert_eq!(reasons(&site, "tokens_issued").await.len(), 1);
}

#[tokio::test]
async fn userinfo_says_what_the_scope_stands_for() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    for (scope, names) in [("openid", false), ("openid profile groups", true)] {
        let code = code(&mut browser, &[("scope", Some(scope))]).await;
        let tokens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
        for method in [http::Method::GET, http::Method::POST] {
            let ask = Ask::new(method, "/oauth/userinfo").header("authorization", format!("Bearer {}", tokens.access));
            let said = site.send(ask).await.json();
            assert_eq!(said["sub"], site.ana.id.to_string());
            assert_eq!((said["name"] == "ana Costa", said["preferred_username"] == "ana"), (names, names), "{said}");
        }
    }
}

#[tokio::test]
async fn no_other_token_opens_userinfo() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (browser, tokens) = tokens(&site, &crm).await;
    let pass = browser.cookie("https://pos.company.com/", crate::support::PASS).expect("a pass");
    for wrong in ["", "x", &tokens.id, &tokens.refresh, &pass, &crm.secret, &tokens.access[1..]] {
        let answer = userinfo(&site, wrong).await;
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(answer.status == 401 && challenge.contains("error=\"invalid_token\""), "{wrong} {answer:?}");
        assert!(wrong == pass || !site.is_active(&crm, wrong).await, "{wrong}");
    }
    let nothing = site.send(Ask::get("/oauth/userinfo")).await;
    assert_eq!((nothing.status, nothing.header("www-authenticate")), (401, Some("Bearer realm=\"hallpass\"")));
    site.wait(299);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    site.wait(1);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
}

#[tokio::test]
async fn introspection_tells_the_client_of_its_own_tokens_and_nobody_else() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, tokens) = tokens(&site, &crm).await;
    let said = site.introspect(&crm, &tokens.access).await;
    let of = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    assert_eq!((&said["active"], of("client_id"), of("iss")), (&true.into(), "crm".into(), HOME.into()));
    assert_eq!((of("sub"), of("token_type")), (site.ana.id.to_string(), "Bearer".into()));
    assert_eq!(of("scope"), "openid profile email");
    assert!(!site.is_active(&site.wiki, &tokens.access).await);
}

/// One attribute of a good exchange is changed; everything else is as it should be. T12–T14, T16, T20.
#[tokio::test]
async fn whatever_does_not_fit_gets_no_tokens_and_leaves_the_code_to_its_owner() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let other = client(&site, "other").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    let wrong = VERIFIER.replace('d', "e");
    let elsewhere = "https://crm.company.com/other";
    let mut expected = Vec::new();
    for (by, name, value, reason) in [
        (&other, "unchanged", None, "wrong_app"),
        (&crm, "redirect_uri", Some(elsewhere), "wrong_redirect_uri"),
        (&crm, "code_verifier", Some(&*wrong), "wrong_verifier"),
        (&crm, "code_verifier", Some(""), "wrong_verifier"),
        (&crm, "code_verifier", None, "wrong_verifier"),
        (&crm, "code", Some("hp_ac_x"), "unknown"),
    ] {
        let answer = redeem(&site, by, &code, &[(name, value)]).await;
        assert_eq!(error(&answer), (400, "invalid_grant".to_owned()), "{reason}");
        expected.push(reason);
    }
    expected.sort_unstable();
    assert_eq!(reasons(&site, "tokens_refused").await, expected);
    for (name, value, code_expected) in [
        ("redirect_uri", None, "invalid_request"),
        ("code", None, "invalid_request"),
        ("client_id", Some("other"), "invalid_request"),
        ("client_secret", Some("x"), "invalid_request"),
        ("grant_type", Some("password"), "unsupported_grant_type"),
        ("grant_type", None, "invalid_request"),
    ] {
        let answer = redeem(&site, &crm, &code, &[(name, value)]).await;
        assert_eq!(error(&answer), (400, code_expected.to_owned()), "{name}");
    }
    let nobody = site.send(Ask::post("/oauth/token").form(&[("grant_type", "authorization_code")])).await;
    assert_eq!(error(&nobody), (401, "invalid_client".to_owned()));
    let no_client = redeem(&site, &site.wiki, &code, &[]).await;
    assert_eq!(error(&no_client), (400, "unauthorized_client".to_owned()));
    assert_eq!(redeem(&site, &crm, &code, &[("client_id", Some("crm"))]).await.status, 200, "nobody has used it up");
}

#[tokio::test]
async fn a_code_is_good_for_a_minute_and_for_whom_it_was_made() {
    let reasons_given = ["expired", "session_over", "session_over", "user_may_not", "no_access"];
    for (number, reason) in reasons_given.into_iter().enumerate() {
        let site = Site::start().await;
        let crm = client(&site, "crm").await;
        let mut browser = at_home(&site).await;
        let [first, second] = [code(&mut browser, &[]).await, code(&mut browser, &[]).await];
        let tokens = Tokens::of(&redeem(&site, &crm, &first, &[]).await);
        match number {
            0 => site.wait(60),
            1 => sign_out_everywhere(&site).await,
            2 => site.disable(&site.ana).await,
            3 => site.must_change_password(&site.ana).await,
            _ => close(&site, "crm").await,
        }
        let refused = redeem(&site, &crm, &second, &[]).await;
        assert_eq!(error(&refused), (400, "invalid_grant".to_owned()), "{reason}");
        assert_eq!(reasons(&site, "tokens_refused").await, [reason]);
        if number > 0 {
            assert_dead(&site, &crm, &tokens).await;
        }
    }
}

async fn sign_out_everywhere(site: &Site) {
    let mut write = site.store().write().await.expect("writes");
    let reason = hallpass_core::session::EndReason::SignedOutEverywhere;
    let ended = sessions::end_all_of(&mut write, &site.ana.id, None, reason, site.now()).await.expect("ends");
    assert_eq!(ended.len(), 1);
    write.commit().await.expect("commits");
}

/// Only people with a role may enter from now on.
async fn close(site: &Site, key: &str) {
    let mut write = site.store().write().await.expect("writes");
    let found = hallpass_store::apps::find(&mut write, &key.parse().expect("a key")).await;
    let app = App { access: Access::Assigned, ..found.expect("reads").expect("there") };
    hallpass_store::apps::upsert(&mut write, &app, site.now()).await.expect("writes");
    write.commit().await.expect("commits");
}

#[tokio::test]
async fn a_code_is_good_until_the_last_moment_of_its_minute() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    site.advance(std::time::Duration::from_millis(59_999));
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);
}

/// RFC 6749 §4.1.2.
#[tokio::test]
async fn a_code_that_is_used_twice_ends_what_came_of_it() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let other = client(&site, "other").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    let tokens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    for (by, verifier) in [(&other, VERIFIER), (&crm, "x")] {
        let answer = redeem(&site, by, &code, &[("code_verifier", Some(verifier))]).await;
        assert_eq!(error(&answer), (400, "invalid_grant".to_owned()));
    }
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200, "whoever has merely seen the code can do no harm");
    site.wait(61);
    assert_eq!(error(&redeem(&site, &crm, &code, &[]).await), (400, "invalid_grant".to_owned()));
    assert_dead(&site, &crm, &tokens).await;
    assert_eq!(reasons(&site, "tokens_revoked").await.len(), 1);
    assert!(reasons(&site, "tokens_refused").await.contains(&"code_reused".to_owned()));
}

/// T21: a revocation that could not be written down, or not be audited, is no 200, and nothing has happened.
#[tokio::test]
async fn a_revocation_that_fails_is_said_to_have_failed() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, tokens) = tokens(&site, &crm).await;
    let revoke = async || site.send(Ask::post("/oauth/revoke").by(&crm).form(&[("token", &tokens.refresh)])).await;
    let file = site.directory().join("hallpass.db");
    let mut database =
        sqlx::SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.expect("opens");
    for broken in ["UPDATE ON token_families", "INSERT ON audit"] {
        let fault = format!("CREATE TRIGGER fault BEFORE {broken} BEGIN SELECT RAISE(ABORT, 'broken'); END");
        database.execute(sqlx::AssertSqlSafe(fault)).await.expect("breaks");
        let answer = revoke().await;
        assert_eq!(answer.status, 503, "{broken}: {answer:?}");
        assert_eq!(userinfo(&site, &tokens.access).await.status, 200, "{broken}");
        database.execute("DROP TRIGGER fault").await.expect("mends");
    }
    assert_eq!(revoke().await.status, 200);
    assert_dead(&site, &crm, &tokens).await;
}

#[tokio::test]
async fn a_client_can_put_its_own_tokens_away() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let other = client(&site, "other").await;
    let revoke = async |by: &Caller, token: &str| {
        site.send(Ask::post("/oauth/revoke").by(by).form(&[("token", token), ("token_type_hint", "x")])).await
    };
    for access in [false, true] {
        let (_, tokens) = tokens(&site, &crm).await;
        let token = if access { &tokens.access } else { &tokens.refresh };
        assert_eq!(error(&revoke(&other, token).await), (400, "invalid_grant".to_owned()));
        assert_eq!(userinfo(&site, &tokens.access).await.status, 200, "another client's word is none");
        for _ in 0..2 {
            assert_eq!(revoke(&crm, token).await.status, 200);
        }
        assert_dead(&site, &crm, &tokens).await;
    }
    for unknown in ["x", "hp_rt_x", &crm.secret] {
        assert_eq!(revoke(&crm, unknown).await.status, 200, "{unknown}");
    }
    assert_eq!(reasons(&site, "tokens_revoked").await.len(), 2);
}
