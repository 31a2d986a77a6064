//! Clients that know people by names of their own: wherever a `sub` leaves for them it is that one, and never the user's own id. OIDC Core 1.0 §8.1.

use hallpass_core::oidc::SubjectType;
use hallpass_server::sign_out::deliver::deliver;
use http::StatusCode;
use serde_json::json;

use super::logout::logout_url;
use super::*;
use crate::sign_out_everywhere::{self, Backend};
use crate::support::SESSION;

/// A client with names of its own, whose codes go to the host of that name.
async fn pairwise(site: &Site, key: &str, change: impl FnOnce(&mut App)) -> Caller {
    client_with(site, key, |app| {
        app.audiences = Vec::new();
        app.client.subject_type = SubjectType::Pairwise;
        app.redirect_uris = vec![callback(key).parse().expect("a URI")];
        change(app);
    })
    .await
}

fn callback(key: &str) -> String {
    format!("https://{key}.company.com/oauth/callback")
}

async fn tokens_of(site: &Site, browser: &mut Browser<'_>, client: &Caller, callback: &str) -> Tokens {
    let of_client = [("client_id", Some(&*client.key)), ("redirect_uri", Some(callback))];
    let code = code(browser, &of_client).await;
    Tokens::of(&redeem(site, client, &code, &[("redirect_uri", Some(callback))]).await)
}

fn sub(token: &str) -> String {
    opened(token).1["sub"].as_str().expect("a subject").to_owned()
}

async fn outcome(browser: &mut Browser<'_>, key: &str, changes: &[(&str, Option<&str>)]) -> String {
    let callback = callback(key);
    let of_client = [("client_id", Some(key)), ("redirect_uri", Some(&*callback)), ("prompt", Some("none"))];
    let all: Vec<_> = of_client.iter().chain(changes).copied().collect();
    let answer = browser.step(&authorize_url(&all)).await;
    said(answer.location(), "error").unwrap_or_else(|| "code".to_owned())
}

#[tokio::test]
async fn the_public_name_leaves_by_no_door_and_the_other_is_the_same_at_each() {
    let site = sign_out_everywhere::site().await;
    let mut backend = Backend::start(&[StatusCode::OK]).await;
    let crm = pairwise(&site, "crm", |app| app.logout_urls = vec![backend.url.parse().expect("an address")]).await;
    let mut browser = at_home(&site).await;
    let public = site.ana.id.to_string();
    let first = tokens_of(&site, &mut browser, &crm, CALLBACK).await;
    let refreshed = refresh(&site, &crm, &first.refresh).await;
    assert!(!refreshed.body.contains(&public));
    let second = Tokens::of(&refreshed);
    let own = sub(&first.id);
    assert!(own.starts_with("pw_") && own.len() == 46, "{own}");
    let userinfo = userinfo(&site, &second.access).await;
    let introspected = site.send(Ask::introspect(&crm, &second.access)).await;
    for answer in [&userinfo, &introspected] {
        assert_eq!((answer.status, &answer.json()["sub"]), (200, &own.clone().into()), "{answer:?}");
        assert!(!answer.body.contains(&public), "{answer:?}");
    }
    assert_eq!(introspected.json()["active"], true);
    let hint = second.id.clone();
    assert_eq!(browser.step(&logout_url(&hint, GOODBYE, &[])).await.status, 303);
    deliver(site.engine.context.clone()).await.expect("reads");
    let told = backend.next_token().await;
    for token in [&first.id, &first.access, &second.id, &second.access, &told] {
        let (_, claims) = opened(token);
        assert_eq!(claims["sub"], own);
        assert!(!claims.to_string().contains(&public), "{claims}");
    }
    assert_dead(&site, &crm, &second).await;
}

#[tokio::test]
async fn each_sector_has_its_own_name_for_each_person() {
    let site = Site::start().await;
    let crm = pairwise(&site, "crm", |_| ()).await;
    let other = pairwise(&site, "other", |_| ()).await;
    // Another client at the first one's host, and one that says that it belongs there.
    let same = pairwise(&site, "same", |app| app.redirect_uris = vec![CALLBACK.parse().expect("a URI")]).await;
    let declared = pairwise(&site, "declared", |app| {
        app.client.sector_identifier = Some("crm.company.com".parse().expect("a host"));
    })
    .await;
    let usual = client_with(&site, "usual", |_| ()).await;
    let mut browser = at_home(&site).await;
    let mut known = Vec::new();
    for (client, callback) in [
        (&crm, CALLBACK),
        (&same, CALLBACK),
        (&declared, &callback("declared")),
        (&other, &callback("other")),
        (&usual, CALLBACK),
    ] {
        known.push(sub(&tokens_of(&site, &mut browser, client, callback).await.id));
    }
    assert!(known[0] == known[1] && known[0] == known[2], "{known:?}");
    assert!(known[3].starts_with("pw_") && known[3] != known[0], "{known:?}");
    assert_eq!(known[4], site.ana.id.to_string());
    site.user("ben").await;
    let mut bens = Browser::new(&site);
    bens.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
    assert_ne!(sub(&tokens_of(&site, &mut bens, &crm, CALLBACK).await.id), known[0]);
}

/// A hint, or a `sub` in `claims`, means whom this client knows by that name.
#[tokio::test]
async fn people_are_named_to_us_by_the_clients_own_name_and_by_no_other() {
    let site = Site::start().await;
    let crm = pairwise(&site, "crm", |_| ()).await;
    let other = pairwise(&site, "other", |_| ()).await;
    site.user("ben").await;
    let mut anas = at_home(&site).await;
    let mut bens = Browser::new(&site);
    bens.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
    let hint = tokens_of(&site, &mut anas, &crm, CALLBACK).await.id;
    let elsewhere = tokens_of(&site, &mut anas, &other, &callback("other")).await.id;
    let about = |sub: &str| json!({ "id_token": { "sub": { "value": sub } } }).to_string();
    for (browser, own) in [(&mut anas, "code"), (&mut bens, "login_required")] {
        assert_eq!(outcome(browser, "crm", &[("id_token_hint", Some(&hint))]).await, own);
        assert_eq!(outcome(browser, "crm", &[("claims", Some(&about(&sub(&hint))))]).await, own);
        for wrong in [&site.ana.id.to_string(), &sub(&elsewhere), "pw_x"] {
            assert_eq!(outcome(browser, "crm", &[("claims", Some(&about(wrong)))]).await, "login_required", "{wrong}");
        }
        let of_other = outcome(browser, "crm", &[("id_token_hint", Some(&elsewhere))]).await;
        assert_eq!(of_other, "invalid_request", "another client's");
    }
    // By way of the sign-in page, and by the back channel: as somebody else no answer, as the one who is meant, one.
    site.wait(1);
    for (name, expected) in [("ben", "login_required"), ("ana", "code")] {
        for pushed in [false, true] {
            let changes = [("id_token_hint", Some(&*hint))];
            let url = if pushed {
                par::named("crm", &par::pushed(&site, &crm, &changes).await, &[])
            } else {
                authorize_url(&changes)
            };
            let mut browser = Browser::new(&site);
            browser.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
            site.wait(1);
            let page = browser.open(&url).await;
            assert_eq!(page.url.path(), "/sign-in", "{page:?}");
            let landing = browser.sign_in(page.url.as_str(), name, PASSWORD).await;
            let error = said(landing.url.as_str(), "error");
            assert_eq!(error.unwrap_or_else(|| "code".to_owned()), expected, "{name} {landing:?}");
        }
    }
    // An ID token from before the setting names somebody whom the client is not to know by that name.
    let usual =
        client_with(&site, "late", |app| app.redirect_uris = vec![callback("late").parse().expect("one")]).await;
    let before = tokens_of(&site, &mut anas, &usual, &callback("late")).await;
    assert_eq!(outcome(&mut anas, "late", &[("id_token_hint", Some(&before.id))]).await, "code");
    pairwise(&site, "late", |_| ()).await;
    site.heard().await;
    assert_eq!(outcome(&mut anas, "late", &[("id_token_hint", Some(&before.id))]).await, "login_required");
    assert_eq!(userinfo(&site, &before.access).await.status, 401, "nor is an access token that names them so");
}

/// What would say the other name is closed to such an app, whatever else its settings say.
#[tokio::test]
async fn no_token_for_a_service_no_pass_and_no_feed() {
    let site = Site::start().await;
    let crm = pairwise(&site, "crm", |app| {
        app.audiences = vec!["billing".parse().expect("an audience")];
        app.origins = vec!["https://crm.company.com".parse().expect("an origin")];
    })
    .await;
    let mut browser = at_home(&site).await;
    let tokens = tokens_of(&site, &mut browser, &crm, CALLBACK).await;
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", &*tokens.access),
    ];
    let answer = site.send(Ask::post("/oauth/token").by(&crm).form(&exchange)).await;
    assert_eq!(error(&answer), (400, "invalid_target".to_owned()));
    assert_eq!(outcome(&mut browser, "crm", &[("resource", Some("billing"))]).await, "invalid_target");
    let ana = site.signed_in(&site.ana).await;
    assert_eq!(site.send(Ask::introspect(&crm, &ana.pass)).await.body, "{\"active\":false}");
    assert!(site.is_active(&site.pos, &ana.pass).await, "it is a good one");
    assert_eq!(error(&site.send(Ask::get("/api/v1/changes").by(&crm)).await), (403, String::new()));
    let signed_in = site.send(Ask::get("/account").cookie(SESSION, &ana.cookie)).await;
    assert_eq!(signed_in.status, 200, "and nobody was signed out on the way");
}

#[tokio::test]
async fn discovery_says_so() {
    let site = Site::start().await;
    let document = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(document["subject_types_supported"], json!(["public", "pairwise"]));
}
