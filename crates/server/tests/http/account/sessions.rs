//! `/account`, `/account/sessions/end`, `/account/sign-out-everywhere`: one's own sessions, and nobody else's.

use crate::support::{Ask, PASS, SESSION, SignedIn, Site};

async fn token(site: &Site, who: &SignedIn) -> String {
    site.send(Ask::get("/account").cookie(SESSION, &who.cookie)).await.csrf_token().to_owned()
}

async fn end(site: &Site, who: &SignedIn, session_id: &str) -> u16 {
    let token = token(site, who).await;
    let fields = [("csrf_token", &*token), ("session_id", session_id)];
    let ask = Ask::post("/account/sessions/end").same_origin().cookie(SESSION, &who.cookie).form(&fields);
    site.send(ask).await.status
}

#[tokio::test]
async fn everybody_sees_their_own_sessions_only() {
    let site = Site::start().await;
    let bob = site.user("bob").await;
    let (here, there) = (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await);
    let (bobs, ended) = (site.signed_in(&bob).await, site.signed_in(&site.ana).await);
    site.end(&ended.session).await;
    let page = site.send(Ask::get("/account").cookie(SESSION, &here.cookie)).await;
    assert!(page.body.contains(&there.sid()) && page.body.contains("ana Costa"));
    for foreign in [&bobs.sid(), &ended.sid(), "bob", &here.cookie, &there.cookie] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    assert_eq!(page.body.matches("data-testid=\"session\"").count(), 2);
    assert_eq!(page.body.matches("data-testid=\"this-browser\"").count(), 1);
    assert_eq!(site.send(Ask::get("/account").cookie(PASS, &here.pass)).await.status, 303, "a pass never opens it");
}

/// T41: somebody else's session is "not found", like one that never was.
#[tokio::test]
async fn nobody_ends_somebody_elses_session() {
    let site = Site::start().await;
    let bob = site.user("bob").await;
    let (ana, bobs) = (site.signed_in(&site.ana).await, site.signed_in(&bob).await);
    assert_eq!(end(&site, &ana, &bobs.sid()).await, 404);
    assert_eq!(end(&site, &ana, "s_aaaaaaaaaaaaaaaaaaaaaaaaaa").await, 404);
    assert!(site.is_active(&site.wiki, &bobs.pass).await);
    for garbage in ["", "x", "s_", "%", &ana.cookie] {
        assert_eq!(end(&site, &ana, garbage).await, 400, "{garbage}");
    }
}

#[tokio::test]
async fn ending_one_leaves_the_others() {
    let site = Site::start().await;
    let (here, there, third) =
        (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await, site.signed_in(&site.ana).await);
    assert_eq!(end(&site, &here, &there.sid()).await, 303);
    assert_eq!(end(&site, &here, &there.sid()).await, 303, "once more changes nothing");
    let active = async |who: &SignedIn| site.is_active(&site.pos, &who.pass).await;
    assert_eq!((active(&here).await, active(&there).await, active(&third).await), (true, false, true));
    let token = token(&site, &here).await;
    let fields = [("csrf_token", &*token), ("session_id", &*here.sid())];
    let own =
        site.send(Ask::post("/account/sessions/end").same_origin().cookie(SESSION, &here.cookie).form(&fields)).await;
    assert!(own.location().starts_with("/sign-out/receipt?of="));
    assert!(own.expires(SESSION) && own.expires(PASS));
    assert_eq!((active(&here).await, active(&third).await), (false, true));
}

#[tokio::test]
async fn everywhere_is_everywhere() {
    let site = Site::start().await;
    let bob = site.user("bob").await;
    let (here, there, bobs) =
        (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await, site.signed_in(&bob).await);
    let token = token(&site, &here).await;
    let form = |token: &str| {
        Ask::post("/account/sign-out-everywhere")
            .same_origin()
            .cookie(SESSION, &here.cookie)
            .form(&[("csrf_token", token)])
    };
    assert_eq!(site.send(form("x")).await.status, 403);
    assert!(site.is_active(&site.pos, &there.pass).await);
    let done = site.send(form(&token)).await;
    assert!(done.location().starts_with("/sign-out/receipt?of="));
    assert!(done.expires(SESSION) && done.expires(PASS));
    assert!(!site.is_active(&site.pos, &here.pass).await && !site.is_active(&site.pos, &there.pass).await);
    assert!(site.is_active(&site.wiki, &bobs.pass).await);
    assert_eq!(site.send(Ask::get("/account").cookie(SESSION, &there.cookie)).await.status, 303);
}
