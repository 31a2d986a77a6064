//! `POST /api/v1/sign-out`: an app ends the session of its visitor.

use serde_json::{Value, json};

use crate::support::{Ask, Site};

async fn sign_out(site: &Site, body: Value) -> u16 {
    site.send(Ask::post("/api/v1/sign-out").by(&site.pos).json(&body)).await.status
}

#[tokio::test]
async fn ends_the_session_that_both_names_fit() {
    let site = Site::start().await;
    let bob = site.user("bob").await;
    let (ana, again, bobs) =
        (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await, site.signed_in(&bob).await);
    assert_eq!(sign_out(&site, json!({ "sid": bobs.session.id, "sub": site.ana.id })).await, 200, "a mixed-up pair");
    assert!(site.is_active(&site.wiki, &bobs.pass).await, "ends nothing");
    assert_eq!(sign_out(&site, json!({ "sid": ana.session.id, "sub": site.ana.id })).await, 200);
    assert!(!site.is_active(&site.pos, &ana.pass).await && !site.is_active(&site.wiki, &ana.pass).await);
    assert!(site.is_active(&site.pos, &again.pass).await);
    assert_eq!(sign_out(&site, json!({ "sid": ana.session.id, "sub": site.ana.id })).await, 200, "signed out already");
    assert_eq!(sign_out(&site, json!({ "sid": "s_aaaaaaaaaaaaaaaaaaaaaaaaaa", "sub": site.ana.id })).await, 200);
}

#[tokio::test]
async fn the_request_is_closed() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let sid = ana.session.id;
    for broken in [
        json!({}),
        json!({ "sid": sid }),
        json!({ "sid": "x", "sub": site.ana.id }),
        json!({ "sid": sid, "sub": site.ana.id, "all": true }),
    ] {
        assert_eq!(sign_out(&site, broken).await, 400);
    }
    let good = json!({ "sid": sid, "sub": site.ana.id });
    assert_eq!(site.send(Ask::post("/api/v1/sign-out").json(&good)).await.status, 401);
    let with_cookie =
        Ask::post("/api/v1/sign-out").same_origin().cookie(crate::support::SESSION, &ana.cookie).json(&good);
    assert_eq!(site.send(with_cookie).await.status, 403, "a browser is no app");
    assert!(site.is_active(&site.pos, &ana.pass).await);
}
