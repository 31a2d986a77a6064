//! By navigation, and by fetch from the exact origins of the zone's apps.

use hallpass_core::time::Timestamp;

use crate::support::{Answer, Ask, PASS, SESSION, Site};

const BACK: &str = "/pass/refresh?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Ftill";

#[tokio::test]
async fn a_navigation_comes_back_with_a_new_pass() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.wait(1000);
    let answer = site.send(Ask::get(BACK).cookie(SESSION, &ana.cookie).cookie(PASS, &ana.pass)).await;
    assert_eq!((answer.status, answer.location()), (303, "https://pos.company.com/till"));
    assert!(site.is_active(&site.pos, answer.cookie(PASS)).await);
    let nobody = site.send(Ask::get(BACK).cookie(PASS, &ana.pass)).await;
    let query = BACK.split_once('?').expect("a query").1;
    assert_eq!((nobody.status, nobody.location()), (303, &*format!("/sign-in?{query}")), "a pass opens nothing here");
    assert_eq!(site.send(Ask::get("/pass/refresh").cookie(SESSION, &ana.cookie)).await.status, 400, "back to where?");
}

/// More than three in 30 s is a browser that goes in circles.
#[tokio::test]
async fn the_fourth_return_within_half_a_minute_ends_on_a_page() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let again = |with_pass: bool| {
        let ask = Ask::get(BACK).cookie(SESSION, &ana.cookie);
        site.send(if with_pass { ask.cookie(PASS, &ana.pass) } else { ask })
    };
    for _ in 0..3 {
        assert_eq!(again(true).await.status, 303);
    }
    let blocked = again(false).await;
    assert_eq!((blocked.status, blocked.header("location"), blocked.set_cookie(PASS)), (400, None, None));
    assert!(blocked.body.contains("cookie"), "names the cause: the pass never arrived");
    assert!(again(true).await.body.contains("circles"), "or it did arrive, and still the app sends people here");
    assert!(blocked.body.contains("href=\"https://pos.company.com/till\""), "the way on");
    let bob = site.user("bob").await;
    let bob = site.signed_in(&bob).await;
    assert_eq!(site.send(Ask::get(BACK).cookie(SESSION, &bob.cookie)).await.status, 303, "others are not affected");
    site.wait(61);
    assert_eq!(again(true).await.status, 303);
}

async fn fetch(site: &Site, ask: Ask, origin: &str) -> Answer {
    site.send(ask.header("origin", origin).header("sec-fetch-site", "same-site")).await
}

#[tokio::test]
async fn a_fetch_from_an_app_of_the_zone_gets_204() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for origin in ["https://pos.company.com", "https://pos-2.company.com", "https://wiki.company.com"] {
        let answer = fetch(&site, Ask::post("/pass/refresh").cookie(SESSION, &ana.cookie), origin).await;
        assert_eq!((answer.status, &*answer.body), (204, ""));
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert!(site.is_active(&site.pos, answer.cookie(PASS)).await);
        let preflight = fetch(&site, Ask::new(http::Method::OPTIONS, "/pass/refresh"), origin).await;
        assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some(origin)));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(
            preflight.header("access-control-allow-headers"),
            None,
            "a fetch with headers of its own is not foreseen"
        );
    }
    let nobody = fetch(&site, Ask::post("/pass/refresh"), "https://pos.company.com").await;
    assert_eq!((nobody.status, nobody.set_cookie(PASS)), (401, None));
    // Not `Basic`: that would open the browser's own password prompt over the app.
    assert_eq!(nobody.header("www-authenticate"), Some("Cookie realm=\"hallpass\""));
    assert_eq!(
        nobody.header("access-control-allow-origin"),
        Some("https://pos.company.com"),
        "so that the script can read it"
    );
}

#[tokio::test]
async fn any_other_origin_is_refused() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.app("off", |app| app.disabled_at = Some(Timestamp::default())).await;
    site.app("shop", |app| {
        app.zone = "elsewhere".parse().expect("a name");
        app.origins = vec!["https://shop.company2.com".parse().expect("an origin")];
    })
    .await;
    for origin in [
        "https://evil.example",
        "https://evil.company.com",
        "https://company.com",
        "https://pos.company.com.evil.example",
        "https://evilpos.company.com",
        "http://pos.company.com",
        "https://pos.company.com:8443",
        "https://POS.company.com",
        "https://pos.company.com/",
        "https://off.company.com",
        "https://shop.company2.com",
        "null",
        "*",
        "",
    ] {
        for method in [http::Method::POST, http::Method::OPTIONS] {
            let answer = fetch(&site, Ask::new(method, "/pass/refresh").cookie(SESSION, &ana.cookie), origin).await;
            assert_eq!((answer.status, answer.set_cookie(PASS)), (403, None), "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        }
    }
    let without = site.send(Ask::post("/pass/refresh").cookie(SESSION, &ana.cookie)).await;
    assert_eq!((without.status, without.set_cookie(PASS)), (403, None));
}
