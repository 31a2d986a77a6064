//! `/sign-out`: asking is harmless, doing it ends everything at once. Protocol §9 for one zone; T48, T51.

use crate::support::{Ask, Browser, HOME, PASS, PASSWORD, SESSION, Site};

/// An image, a link, a prefetch: none of them signs anybody out.
#[tokio::test]
async fn get_does_nothing() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for query in ["", "?app=pos", "?app=pos&return_to=https%3A%2F%2Fpos.company.com%2F"] {
        let page = site.send(Ask::get(format!("/sign-out{query}")).cookie(SESSION, &ana.cookie)).await;
        assert_eq!((page.status, page.set_cookie(SESSION), page.set_cookie(PASS)), (200, None, None));
        assert!(page.shows("sign-out"), "it asks");
    }
    assert!(site.is_active(&site.pos, &ana.pass).await);
}

#[tokio::test]
async fn the_form_needs_its_token_and_our_own_page() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let again = site.signed_in(&site.ana).await;
    let token =
        async |cookie: &str| site.send(Ask::get("/sign-out").cookie(SESSION, cookie)).await.csrf_token().to_owned();
    let (own, others) = (token(&ana.cookie).await, token(&again.cookie).await);
    let sign_in_token = site.send(Ask::get("/sign-in")).await.csrf_token().to_owned();
    let post = |token: &str| Ask::post("/sign-out").cookie(SESSION, &ana.cookie).form(&[("csrf_token", token)]);
    for wrong in ["", "x", &others, &sign_in_token, &own[1..]] {
        assert_eq!(site.send(post(wrong).same_origin()).await.status, 403, "{wrong}");
    }
    assert_eq!(site.send(post(&own)).await.status, 403, "from nowhere");
    assert_eq!(site.send(post(&own).header("sec-fetch-site", "same-site")).await.status, 403, "from a sibling");
    assert!(site.is_active(&site.pos, &ana.pass).await, "still signed in");
    let done = site.send(post(&own).same_origin()).await;
    assert_eq!(done.status, 303);
    assert!(done.location().starts_with("/sign-out/receipt?of="), "{done:?}");
    assert!(done.expires(SESSION) && done.expires(PASS));
    assert!(
        done.set_cookie(PASS).is_some_and(|line| line.contains("Domain=company.com; Path=/")),
        "else it would stay"
    );
    assert!(!site.is_active(&site.pos, &ana.pass).await, "at once");
    assert!(site.is_active(&site.pos, &again.pass).await, "the other browser is not concerned");
}

/// T48: everything that was captured before is worth nothing afterwards.
#[tokio::test]
async fn nothing_captured_before_works_afterwards() {
    let site = Site::start().await;
    let mut browser = Browser::new(&site);
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let cookie = browser.cookie(HOME, SESSION).expect("a session");
    let pass = browser.cookie(HOME, PASS).expect("a pass");
    let envelope = site.introspect(&site.pos, &pass).await;
    let account = site.send(Ask::get("/account").cookie(SESSION, &cookie)).await;
    let page = browser.open("/sign-out").await;
    let fields = [("csrf_token", page.answer.csrf_token())];
    let landing = browser.submit(&page.action(), &fields).await;
    assert!(landing.answer.shows("signed-out"), "{landing:?}");
    assert_eq!((browser.cookie(HOME, SESSION), browser.cookie("https://pos.company.com/", PASS)), (None, None));

    assert!(!site.is_active(&site.pos, &pass).await && !site.is_active(&site.wiki, &pass).await);
    for path in ["/", "/account", "/account/password", "/continue?app=pos", "/pass/refresh?app=pos"] {
        let answer = site.send(Ask::get(path).cookie(SESSION, &cookie)).await;
        assert!(answer.status == 303 && answer.location().starts_with("/sign-in"), "{path}: {answer:?}");
        assert_eq!(answer.set_cookie(PASS), None, "{path}");
    }
    let fetch = Ask::post("/pass/refresh").header("origin", "https://pos.company.com").cookie(SESSION, &cookie);
    assert_eq!(site.send(fetch).await.status, 401);
    for path in ["/sign-out", "/account/sign-out-everywhere", "/account/password", "/account/sessions/end"] {
        let form = Ask::post(path).same_origin().cookie(SESSION, &cookie).form(&[("csrf_token", account.csrf_token())]);
        let answer = site.send(form).await;
        assert_eq!((answer.status, answer.location()), (303, "/sign-in"), "{path}");
    }
    let again = site.signed_in(&site.ana).await;
    let question = serde_json::json!({ "token": again.pass, "method": "POST", "csrf_token": envelope["csrf_token"] });
    let answer = site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await.json();
    assert_eq!(answer["csrf"], "failed", "a token of the session that ended");
}
