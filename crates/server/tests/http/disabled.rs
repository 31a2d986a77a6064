//! T50: a disabled user × every way in.

use serde_json::json;

use crate::support::{Ask, Browser, FLOW, PASS, PASSWORD, SESSION, Site};

#[tokio::test]
async fn a_disabled_user_gets_in_nowhere() {
    let site = Site::start().await;
    let desk = site.app("desk", |app| app.relayed_sign_in = true).await;
    let page = site.send(Ask::get("/sign-in")).await;
    let ana = site.signed_in(&site.ana).await;
    let device = {
        let mut browser = Browser::new(&site);
        browser.sign_in("/sign-in", "ana", PASSWORD).await;
        browser.cookie(crate::support::HOME, crate::support::DEVICE).expect("a mark")
    };
    let token = site.send(Ask::get("/account").cookie(SESSION, &ana.cookie)).await.csrf_token().to_owned();
    let question = json!({ "token": ana.pass, "request_token": "billing" });
    let request_token =
        site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await.json()["request_token"].clone();
    site.disable(&site.ana).await;

    // A fresh pass, signed by us, for a session that the database still has: the facts decide.
    let minted = site.pass(&ana.session, "home").await;
    for token in [&*ana.pass, &*minted, request_token.as_str().expect("a token")] {
        assert!(!site.is_active(&site.pos, token).await && !site.is_active(&site.wiki, token).await);
    }
    for path in ["/", "/account", "/account/password", "/continue?app=pos", "/pass/refresh?app=pos"] {
        let answer = site.send(Ask::get(path).cookie(SESSION, &ana.cookie)).await;
        assert!(answer.status == 303 && answer.location().starts_with("/sign-in"), "{path}");
        assert!(answer.set_cookie(PASS).is_none() && answer.expires(SESSION), "{path}");
    }
    let fetch = Ask::post("/pass/refresh").header("origin", "https://pos.company.com").cookie(SESSION, &ana.cookie);
    assert_eq!(site.send(fetch).await.status, 401);
    for path in ["/account/password", "/account/sessions/end", "/account/sign-out-everywhere", "/sign-out"] {
        let form = Ask::post(path).same_origin().cookie(SESSION, &ana.cookie).form(&[("csrf_token", &token)]);
        assert_eq!(site.send(form).await.location(), "/sign-in", "{path}");
    }
    let fields = [("csrf_token", page.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
    let form = || Ask::post("/sign-in").same_origin().cookie(FLOW, page.cookie(FLOW)).form(&fields);
    for ask in [form(), form().cookie(crate::support::DEVICE, &device)] {
        let answer = site.send(ask).await;
        assert_eq!((answer.status, answer.set_cookie(SESSION)), (422, None));
    }
    let relayed = json!({ "username": "ana", "password": PASSWORD, "client_ip": "192.0.2.9" });
    assert_eq!(site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&relayed)).await.status, 401);

    // Allowed again, the old session stays dead; the password opens a new one.
    let mut write = site.store().write().await.expect("writes");
    assert!(hallpass_store::users::set_disabled(&mut write, &site.ana.id, false, site.now()).await.expect("writes"));
    write.commit().await.expect("commits");
    assert!(!site.is_active(&site.pos, &minted).await);
    assert_eq!(site.send(Ask::get("/account").cookie(SESSION, &ana.cookie)).await.status, 303);
    assert_eq!(site.send(form()).await.status, 303);
}
