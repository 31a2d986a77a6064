//! Silent discovery: an anonymous visitor of an open page may be signed in at home (protocol §8, modes per zone).

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{App, Engine, PASS, Trouble, fetch, until, visit};
use crate::home::{asked, turn_away};

const NOBODY: &str = "__Host-Http-hallpass-nobody";

async fn agent() -> (Engine, App) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({}));
    let app = App::new(engine.builder().agent());
    (engine, app)
}

#[tokio::test]
async fn somebody_who_is_signed_in_at_home_is_known_on_an_open_page() {
    let (engine, app) = agent().await;
    let mut browser = Browser::default();
    let location = browser.open(&app, "/public").await.location().to_owned();
    let back = engine.hand_off(&location, "p", json!({}));
    assert_eq!(browser.open(&app, &back).await.location(), "/public");
    assert_eq!(browser.open(&app, "/public").await.body, "ana canCreateOrder");
}

#[tokio::test]
async fn nobody_is_looked_for_again_for_ten_minutes() {
    let (engine, app) = agent().await;
    let mut browser = Browser::default();
    let location = browser.open(&app, "/public").await.location().to_owned();
    let back = turn_away(&location, "login_required");
    let answer = browser.open(&app, &back).await;
    assert_eq!(answer.location(), "/public");
    let expected = format!("{NOBODY}=1; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(answer.set_cookies(NOBODY), [expected]);
    assert_eq!(browser.open(&app, "/public").await.body, "anonymous");

    // Whoever signs in then is somebody at once.
    let location = browser.open(&app, "/.sso/start?r=/public").await.location().to_owned();
    let back = engine.hand_off(&location, "p", json!({}));
    browser.open(&app, &back).await;
    assert_eq!(browser.cookie(NOBODY), None);
}

/// A look that nobody asked for must not cost anybody an open page.
#[tokio::test]
async fn whatever_goes_wrong_with_a_look_the_page_is_shown() {
    let (engine, app) = agent().await;
    for path in 0..3 {
        let mut browser = Browser::default();
        let location = browser.open(&app, "/public").await.location().to_owned();
        let back = match path {
            0 => turn_away(&location, "temporarily_unavailable"),
            1 => engine.hand_off(&location, "p", json!({})).replace("hp_hc_", "hp_hc_x"),
            _ => {
                let back = engine.hand_off(&location, "p", json!({}));
                engine.trouble(Trouble::Status(StatusCode::SERVICE_UNAVAILABLE));
                back
            }
        };
        assert_eq!(browser.open(&app, &back).await.location(), "/public");
        assert_eq!(browser.open(&app, "/public").await.body, "anonymous");
    }
}

#[tokio::test]
async fn only_windows_of_people_are_sent_to_look() {
    let (_, app) = agent().await;
    for agent in [
        "Googlebot/2.1",
        "Mozilla/5.0 (compatible; bingBOT)",
        "facebookexternalhit/1.1",
        "LinkPreview",
        "Wget/1",
        "python-requests/2",
        "curl/8",
        "HeadlessChrome/1",
        "Yahoo! Slurp",
        "Baiduspider",
        "a Crawler",
    ] {
        let answer = Browser::default().open_with(&app, "/public", &[("user-agent", agent)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "anonymous"), "{agent}");
    }
    for headers in [[("sec-fetch-dest", "iframe")], [("sec-purpose", "prefetch")]] {
        assert_eq!(Browser::default().open_with(&app, "/public", &headers).await.body, "anonymous", "{headers:?}");
    }
    let old = http::Request::get("/public").header("accept", "text/html").body(axum::body::Body::empty());
    assert_eq!(app.send(old.expect("a request")).await.body, "anonymous", "it does not say that it is a navigation");
    assert_eq!(app.send(fetch("/public", &[])).await.body, "anonymous");
    assert_eq!(app.send(visit("/public", &[(PASS, "ended")])).await.body, "anonymous", "somebody was here before");
    let person = [("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")];
    asked(Browser::default().open_with(&app, "/public", &person).await.location());
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let engine = Engine::start().await;
    let app = App::new(engine.builder().agent().discover(false));
    assert_eq!(app.send(visit("/public", &[])).await.body, "anonymous");
    asked(app.send(visit("/", &[])).await.location());
}

#[tokio::test]
async fn a_browser_that_loses_what_it_learns_sees_the_page_in_the_end() {
    let (_, app) = agent().await;
    let mut browser = Browser::default();
    for _ in 0..3 {
        let location = browser.open(&app, "/public").await.location().to_owned();
        let back = turn_away(&location, "login_required");
        browser.open(&app, &back).await;
        browser.lose(NOBODY);
    }
    assert_eq!(browser.open(&app, "/public").await.body, "anonymous");
}

/// Open pages need no engine.
#[tokio::test]
async fn an_engine_that_is_away_takes_no_open_page_along() {
    let (engine, app) = agent().await;
    let stream = engine.next_stream().await;
    stream.say(": hello\n\n");
    until("the app listens", async || app.hallpass.hears_changes()).await;
    asked(app.send(visit("/public", &[])).await.location());
    app.clock.advance(Duration::from_secs(12));
    assert_eq!(app.send(visit("/public", &[])).await.body, "anonymous");
    asked(app.send(visit("/", &[])).await.location());
}

#[tokio::test]
async fn nor_does_one_that_was_never_there() {
    let (engine, _) = agent().await;
    engine.refuse_streams();
    let app = App::new(engine.builder().agent());
    until("the app has listened in vain", async || app.send(visit("/public", &[])).await.body == "anonymous").await;
}
