//! Token exchange: a pass or an access token becomes a request token, under the rules of request tokens and no others. RFC 8693, T29, T33.

use super::*;
use crate::support::PASS as PASS_COOKIE;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const PASS: &str = "urn:hallpass:params:oauth:token-type:pass";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A good exchange with these parameters changed, or taken out.
async fn exchange(site: &Site, by: &Caller, token: &str, kind: &str, changes: &[(&str, Option<&str>)]) -> Answer {
    let usual =
        [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", kind), ("audience", "billing")];
    let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
    let mut fields: Vec<_> = usual.into_iter().filter(|(name, _)| !changed(name)).collect();
    fields.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    site.send(Ask::post("/oauth/token").by(by).form(&fields)).await
}

/// The claims without what differs from token to token.
fn claims_of(token: &str) -> Value {
    let (header, mut claims) = opened(token);
    assert_eq!(header["typ"], "at+jwt");
    claims.as_object_mut().expect("an object").remove("jti").expect("a jti");
    claims
}

#[tokio::test]
async fn a_pass_becomes_the_very_token_that_introspection_gives() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let question = serde_json::json!({ "token": ana.pass, "request_token": "billing" });
    let given = site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await.json();
    let given = claims_of(given["request_token"].as_str().expect("a token"));
    for changes in [
        &[][..],
        &[("audience", None)],
        &[("audience", None), ("resource", Some("billing"))],
        &[("resource", Some("billing"))],
        &[("requested_token_type", Some(ACCESS_TOKEN))],
    ] {
        let answer = exchange(&site, &site.pos, &ana.pass, PASS, changes).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{changes:?} {answer:?}");
        let said = answer.json();
        assert_eq!((&said["issued_token_type"], &said["token_type"]), (&ACCESS_TOKEN.into(), &"Bearer".into()));
        assert_eq!((&said["expires_in"], &said["scope"]), (&60.into(), &"canCreateOrder canRefund".into()));
        assert!(said["refresh_token"].is_null() && said["id_token"].is_null(), "{said}");
        assert_eq!(claims_of(said["access_token"].as_str().expect("a token")), given);
    }
    let (now, ana_id, sid) = (site.now().as_seconds(), site.ana.id.to_string(), ana.sid());
    let expected = serde_json::json!({
        "iss": HOME, "sub": ana_id, "sid": sid, "aud": "billing", "client_id": "pos",
        "scope": "canCreateOrder canRefund", "iat": now, "exp": now + 60,
    });
    assert_eq!(given, expected);
}

#[tokio::test]
async fn an_access_token_can_be_exchanged_by_its_client_alone_and_as_long_as_it_is_good() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let other = client(&site, "other").await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    let answer = exchange(&site, &crm, &tokens.access, ACCESS_TOKEN, &[]).await;
    let claims = claims_of(answer.json()["access_token"].as_str().expect("a token"));
    assert_eq!((&claims["aud"], &claims["client_id"]), (&"billing".into(), &"crm".into()));
    assert_eq!((&claims["sub"], &claims["scope"]), (&site.ana.id.to_string().into(), &"".into()));

    let wrong_client = exchange(&site, &other, &tokens.access, ACCESS_TOKEN, &[]).await;
    assert_eq!(error(&wrong_client), (400, "invalid_request".to_owned()));
    assert_eq!(reasons(&site, "tokens_refused").await, ["wrong_app"]);
    // What the pass of that very session may be told as, and what it may not.
    let pass = browser.cookie("https://pos.company.com/", PASS_COOKIE).expect("a pass");
    for (token, kind) in [
        (&*tokens.access, PASS),
        (&*pass, ACCESS_TOKEN),
        (&*tokens.id, ACCESS_TOKEN),
        (&*tokens.id, PASS),
        (&*tokens.refresh, ACCESS_TOKEN),
        (&*crm.secret, ACCESS_TOKEN),
        ("", ACCESS_TOKEN),
        ("", PASS),
    ] {
        let answer = exchange(&site, &crm, token, kind, &[]).await;
        assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "{kind} {token}");
    }
    let second = code(&mut browser, &[]).await;
    let second = Tokens::of(&redeem(&site, &crm, &second, &[]).await);
    let revoked = site.send(Ask::post("/oauth/revoke").by(&crm).form(&[("token", &tokens.refresh)])).await;
    assert_eq!(revoked.status, 200);
    let answer = exchange(&site, &crm, &tokens.access, ACCESS_TOKEN, &[]).await;
    assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "revoked");
    site.wait(299);
    assert_eq!(exchange(&site, &crm, &second.access, ACCESS_TOKEN, &[]).await.status, 200);
    site.wait(1);
    let answer = exchange(&site, &crm, &second.access, ACCESS_TOKEN, &[]).await;
    assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "over");
}

/// T29: whatever makes a pass worth nothing at introspection makes it worth nothing here.
#[tokio::test]
async fn a_pass_that_introspection_does_not_take_is_not_taken_here() {
    let site = Site::start().await;
    let refused = async |token: &str, reason: &str| {
        let answer = exchange(&site, &site.pos, token, PASS, &[]).await;
        assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "{reason}");
        assert!(!answer.body.contains(reason), "the reason is not for the client");
        assert!(reasons(&site, "tokens_refused").await.contains(&reason.to_owned()), "{reason}");
    };
    let ana = site.signed_in(&site.ana).await;
    refused(&site.pass(&ana.session, "elsewhere").await, "wrong_zone").await;
    let (said, signature) = ana.pass.rsplit_once('.').expect("three parts");
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    refused(&format!("{said}.{other}{}", &signature[1..]), "bad_signature").await;
    refused(&format!("{}x", ana.pass), "malformed").await;
    let ben = site.user("ben").await;
    refused(&site.signed_in(&ben).await.pass, "no_access").await;
    assert_eq!(
        exchange(&site, &site.wiki, &site.signed_in(&ben).await.pass, PASS, &[]).await.status,
        200,
        "everybody may enter the wiki"
    );
    let old = site.signed_in(&site.ana).await;
    site.wait(900);
    refused(&old.pass, "expired").await;
    let ana = site.signed_in(&site.ana).await;
    assert_eq!(exchange(&site, &site.pos, &ana.pass, PASS, &[]).await.status, 200);
    site.end(&ana.session).await;
    refused(&ana.pass, "session_ended").await;
    let ana = site.signed_in(&site.ana).await;
    site.must_change_password(&site.ana).await;
    refused(&ana.pass, "password_change_required").await;
    site.disable(&site.ana).await;
    let answer = exchange(&site, &site.pos, &ana.pass, PASS, &[]).await;
    assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "disabled");
}

#[tokio::test]
async fn every_other_combination_has_its_own_refusal() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for (changes, code) in [
        (&[("audience", Some("wiki"))][..], "invalid_target"),
        (&[("audience", Some("pos"))], "invalid_target"),
        (&[("audience", Some("https://pos.company.com"))], "invalid_target"),
        (&[("audience", Some(HOME))], "invalid_target"),
        (&[("audience", Some(""))], "invalid_target"),
        (&[("audience", Some("Billing"))], "invalid_target"),
        (&[("resource", Some("wiki"))], "invalid_target"),
        (&[("actor_token", Some("x")), ("actor_token_type", Some(ACCESS_TOKEN))], "invalid_request"),
        (&[("actor_token_type", Some(ACCESS_TOKEN))], "invalid_request"),
        (&[("subject_token", None)], "invalid_request"),
        (&[("subject_token_type", None)], "invalid_request"),
        (&[("subject_token_type", Some(""))], "invalid_request"),
        (&[("subject_token_type", Some("urn:ietf:params:oauth:token-type:jwt"))], "invalid_request"),
        (&[("subject_token_type", Some("urn:ietf:params:oauth:token-type:id_token"))], "invalid_request"),
        (&[("subject_token_type", Some("urn:ietf:params:oauth:token-type:refresh_token"))], "invalid_request"),
        (&[("requested_token_type", Some("urn:ietf:params:oauth:token-type:refresh_token"))], "invalid_request"),
        (&[("requested_token_type", Some(PASS))], "invalid_request"),
        (&[("scope", Some("canRefund"))], "invalid_scope"),
        (&[("scope", Some("openid admin"))], "invalid_scope"),
        (&[("client_id", Some("wiki"))], "invalid_request"),
        (&[("client_secret", Some("x"))], "invalid_request"),
        (&[("grant_type", Some("urn:ietf:params:oauth:grant-type:jwt-bearer"))], "unsupported_grant_type"),
    ] {
        let answer = exchange(&site, &site.pos, &ana.pass, PASS, changes).await;
        assert_eq!(error(&answer), (400, code.to_owned()), "{changes:?}");
    }
    let without = site.app("without", |app| app.audiences = Vec::new()).await;
    let answer = exchange(&site, &without, &ana.pass, PASS, &[]).await;
    assert_eq!(error(&answer), (400, "unauthorized_client".to_owned()));
    let two = site
        .app("two", |app| {
            app.access = Access::Everyone;
            app.audiences = ["billing", "stock"].map(|name| name.parse().expect("an audience")).into();
        })
        .await;
    let answer = exchange(&site, &two, &ana.pass, PASS, &[("audience", None)]).await;
    assert_eq!(error(&answer), (400, "invalid_target".to_owned()), "which of the two?");
    let wrong = Caller { secret: site.wiki.secret.clone(), ..site.pos.clone() };
    assert_eq!(error(&exchange(&site, &wrong, &ana.pass, PASS, &[]).await), (401, "invalid_client".to_owned()));
    assert_eq!(exchange(&site, &site.pos, &ana.pass, PASS, &[]).await.status, 200, "and nothing was spent on the way");
}

/// The token is for one service elsewhere: here it is none, whoever brings it and whatever they call it.
#[tokio::test]
async fn what_was_given_for_a_service_opens_nothing_here_and_is_exchanged_no_further() {
    let site = Site::start().await;
    site.app("stock", |_| ()).await;
    // Both may call the other one, and both call themselves by the names that the tokens are for.
    let crm = client_with(&site, "crm", |app| app.audiences = vec!["stock".parse().expect("an audience")]).await;
    let stock = client_with(&site, "stock", |app| app.audiences = vec!["crm".parse().expect("an audience")]).await;
    let (_, tokens) = tokens(&site, &crm).await;
    let answer = exchange(&site, &crm, &tokens.access, ACCESS_TOKEN, &[("audience", None)]).await;
    let downstream = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(opened(&downstream).1["aud"], "stock");
    assert_eq!(userinfo(&site, &downstream).await.status, 401, "as access token at userinfo");
    for by in [&crm, &stock, &site.pos] {
        // The service may ask whether it is still good; that is all that it can do with it.
        assert_eq!(site.is_active(by, &downstream).await, by.key == "stock", "at introspect, by {}", by.key);
        for kind in [PASS, ACCESS_TOKEN] {
            let answer = exchange(&site, by, &downstream, kind, &[("audience", None)]).await;
            assert_eq!(error(&answer), (400, "invalid_request".to_owned()), "no chains, by {}", by.key);
        }
        let put_away = site.send(Ask::post("/oauth/revoke").by(by).form(&[("token", &downstream)])).await;
        assert_eq!(put_away.status, 200, "it is nobody's here");
    }
    assert_eq!(error(&refresh(&site, &crm, &downstream).await), (400, "invalid_grant".to_owned()));
    let as_session = site.send(Ask::get("/account").cookie(crate::support::SESSION, &downstream)).await;
    assert_eq!((as_session.status, as_session.location()), (303, "/sign-in"));
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200, "and what it came of is as it was");
}
