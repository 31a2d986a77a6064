//! The refresh cookie of a browser client: one for each, good at its own pages only, and never lost to somebody else. Protocol §2, §11; T14, T17–T19.

use std::sync::Arc;

use hallpass_server::web::cookies;
use serde_json::json;
use tokio::task::JoinSet;

use super::*;

/// The name of a client's cookie.
fn name(client: &str) -> String {
    cookies::refresh(&client.parse().expect("a key"))
}

/// A page with its cookie, as the last answer has left it.
struct Page<'s> {
    site: &'s Site,
    client: &'static str,
    origin: &'static str,
    cookie: String,
    access: String,
}

impl<'s> Page<'s> {
    async fn signed_in(site: &'s Site, client: &'static str, origin: &'static str) -> (Browser<'s>, Self) {
        let mut browser = at_home(site).await;
        let code = code_for_page(&mut browser, client, origin).await;
        let answer = redeem_by_page(site, client, origin, &code).await;
        assert!(answer.json().get("refresh_token").is_none() && !answer.body.contains("hp_rt_"), "{answer:?}");
        let mut page = Self { site, client, origin, cookie: String::new(), access: String::new() };
        page.keep(&answer);
        (browser, page)
    }

    fn keep(&mut self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.cookie(&name(self.client)).clone_into(&mut self.cookie);
        answer.json()["access_token"].as_str().expect("a token").clone_into(&mut self.access);
    }

    fn ask(&self, path: &str) -> Ask {
        let fields = json!({ "grant_type": "refresh_token", "client_id": self.client });
        by_page(path, self.origin, &fields).cookie(&name(self.client), &self.cookie)
    }

    async fn refresh(&self) -> Answer {
        self.site.send(self.ask("/oauth/token")).await
    }
}

#[tokio::test]
async fn the_token_travels_in_the_cookie_and_nowhere_else() {
    let site = Site::start().await;
    browser_client(&site, "spa", |_| ()).await;
    let (_, mut page) = Page::signed_in(&site, "spa", SPA).await;
    for _ in 0..3 {
        site.wait(300);
        assert_eq!(userinfo(&site, &page.access).await.status, 401);
        let answer = page.refresh().await;
        assert!(answer.json().get("refresh_token").is_none() && !answer.body.contains("hp_rt_"), "{answer:?}");
        assert!(answer.json()["id_token"].is_string());
        let line = answer.set_cookie(&name("spa")).expect("set");
        assert!(
            line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"),
            "ends with the browser, as its session does: {line}"
        );
        assert_ne!(answer.cookie(&name("spa")), page.cookie);
        page.keep(&answer);
        assert_eq!(userinfo(&site, &page.access).await.status, 200);
    }
}

/// A page of another site: `Lax` would be thrown away there.
#[tokio::test]
async fn a_page_of_another_site_has_a_partition_of_its_own() {
    const ELSEWHERE: &str = "https://spa.company2.com";
    let site = Site::start().await;
    browser_client(&site, "far", |app| {
        app.zone = "elsewhere".parse().expect("a name");
        app.origins = vec![ELSEWHERE.parse().expect("an origin")];
        app.redirect_uris = vec![format!("{ELSEWHERE}/callback").parse().expect("a URI")];
    })
    .await;
    let (_, mut page) = Page::signed_in(&site, "far", ELSEWHERE).await;
    let answer = page.refresh().await;
    let line = answer.set_cookie(&name("far")).expect("set").to_owned();
    assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"), "{line}");
    page.keep(&answer);
    let gone = site.send(page.ask("/oauth/revoke")).await;
    assert!(gone.expires(&name("far")), "{gone:?}");
    assert!(gone.set_cookie(&name("far")).expect("set").contains("Partitioned"), "or another cookie would go");
}

/// One attribute at a time is not as it should be; the page keeps its cookie and its tokens.
#[tokio::test]
async fn whatever_does_not_fit_is_refused_and_takes_nothing_away() {
    let site = Site::start().await;
    let spa = browser_client(&site, "spa", |_| ()).await;
    browser_client(&site, "spb", |_| ()).await;
    browser_client(&site, "bare", |app| app.client.refresh_cookie = false).await;
    let (_, page) = Page::signed_in(&site, "spa", SPA).await;
    let (cookie, own) = (page.cookie.clone(), name("spa"));
    let fields = |client: &str| json!({ "grant_type": "refresh_token", "client_id": client });
    let form = [("grant_type", "refresh_token"), ("client_id", "spa")];
    let at = |origin: &str| by_page("/oauth/token", origin, &fields("spa")).cookie(&own, &cookie);
    let mut with_token = fields("spa");
    with_token["refresh_token"] = cookie.clone().into();
    let mut with_secret = fields("spa");
    with_secret["client_secret"] = spa.secret.clone().into();
    let from_page = || Ask::post("/oauth/token").header("origin", SPA).header("sec-fetch-site", "same-site");
    for (what, ask, status) in [
        (
            "another client, the cookie as it came",
            by_page("/oauth/token", SPA, &fields("spb")).cookie(&own, &cookie),
            400,
        ),
        (
            "another client, the cookie renamed",
            by_page("/oauth/token", SPA, &fields("spb")).cookie(&name("spb"), &cookie),
            400,
        ),
        ("a client without cookie", by_page("/oauth/token", SPA, &fields("bare")).cookie(&own, &cookie), 400),
        ("a sibling's origin", at("https://pos.company.com"), 403),
        ("another site", at("https://evil.com"), 403),
        ("our own origin", at(HOME), 403),
        ("a frame without origin", at("null"), 403),
        ("nothing said", Ask::post("/oauth/token").json(&fields("spa")).cookie(&own, &cookie), 403),
        ("a form", from_page().form(&form).cookie(&own, &cookie), 415),
        (
            "a form that says it is text",
            from_page().content("text/plain", fields("spa").to_string()).cookie(&own, &cookie),
            415,
        ),
        ("cookie and body", by_page("/oauth/token", SPA, &with_token).cookie(&own, &cookie), 400),
        ("body alone", by_page("/oauth/token", SPA, &with_token), 400),
        ("with a secret", by_page("/oauth/token", SPA, &with_secret).cookie(&own, &cookie), 403),
        ("with a secret in the header", at(SPA).by(&spa), 401),
        ("no cookie", by_page("/oauth/token", SPA, &fields("spa")), 400),
        ("an empty one", by_page("/oauth/token", SPA, &fields("spa")).cookie(&own, ""), 400),
        ("an access token in it", by_page("/oauth/token", SPA, &fields("spa")).cookie(&own, &page.access), 400),
    ] {
        let answer = site.send(ask).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.headers.get("set-cookie").is_none(), "{what}: {answer:?}");
    }
    assert_eq!(page.refresh().await.status, 200);
}

/// T42: somebody else has set one of them.
#[tokio::test]
async fn two_cookies_of_its_name_count_as_none_and_go() {
    let site = Site::start().await;
    browser_client(&site, "spa", |_| ()).await;
    let (_, page) = Page::signed_in(&site, "spa", SPA).await;
    let answer = site.send(page.ask("/oauth/token").cookie(&name("spa"), "hp_rt_tossed")).await;
    assert!(answer.status == 400 && answer.expires(&name("spa")), "{answer:?}");
    assert_eq!(page.refresh().await.status, 200);
}

/// T17: ten tabs wake up at once. One wins, the others hear the same, and nobody is signed out.
#[tokio::test(flavor = "multi_thread")]
async fn of_ten_at_once_one_wins_and_all_hear_the_same() {
    let site = Arc::new(Site::start().await);
    browser_client(&site, "spa", |_| ()).await;
    let (_, mut page) = Page::signed_in(&site, "spa", SPA).await;
    let mut racers = JoinSet::new();
    for _ in 0..10 {
        let (site, ask) = (site.clone(), page.ask("/oauth/token"));
        racers.spawn(async move { site.send(ask).await });
    }
    let answers = racers.join_all().await;
    let mut said: Vec<_> =
        answers.iter().map(|answer| (answer.status, &answer.body, answer.set_cookie(&name("spa")))).collect();
    said.sort();
    said.dedup();
    assert!(said.len() == 1 && said[0].0 == 200 && said[0].2.is_some(), "{said:?}");
    let loser = page.refresh().await;
    assert_eq!((loser.status, &loser.body), (200, &answers[0].body), "also a moment later");
    page.keep(&answers[0]);
    assert_eq!(page.refresh().await.status, 200);
}

#[tokio::test]
async fn a_thief_ends_the_family_and_its_cookie() {
    let site = Site::start().await;
    browser_client(&site, "spa", |_| ()).await;
    let (_, page) = Page::signed_in(&site, "spa", SPA).await;
    let mut next = Page { access: page.access.clone(), cookie: page.cookie.clone(), ..page };
    next.keep(&page.refresh().await);
    site.wait(10);
    let reused = page.refresh().await;
    assert_eq!(error(&reused), (400, "invalid_grant".to_owned()));
    assert!(reused.expires(&name("spa")) && reused.header("access-control-allow-origin") == Some(SPA), "{reused:?}");
    assert_eq!(userinfo(&site, &next.access).await.status, 401);
    let revoked = next.refresh().await;
    assert!(revoked.status == 400 && revoked.expires(&name("spa")), "{revoked:?}");
    assert_eq!(reasons(&site, "tokens_refused").await, ["refresh_token_reused", "revoked"]);
}

/// Document 003: what happens in one app is nothing to another.
#[tokio::test]
async fn another_apps_sign_in_refresh_and_revocation_leave_it_alone() {
    let site = Site::start().await;
    // Their first eight characters are the same.
    browser_client(&site, "warehouse-north", |_| ()).await;
    browser_client(&site, "warehouse-south", |_| ()).await;
    let (mut browser, north) = Page::signed_in(&site, "warehouse-north", SPA).await;
    let code = code_for_page(&mut browser, "warehouse-south", SPA).await;
    let answer = redeem_by_page(&site, "warehouse-south", SPA, &code).await;
    assert!(answer.set_cookie(&name("warehouse-south")).is_some());
    assert!(answer.set_cookie(&name("warehouse-north")).is_none());
    let mut south = Page { client: "warehouse-south", cookie: String::new(), access: String::new(), ..north };
    south.keep(&answer);
    // Both cookies are sent with every request, as browsers do.
    let both =
        |page: &Page<'_>, other: &Page<'_>, path: &str| page.ask(path).cookie(&name(other.client), &other.cookie);
    let refreshed = site.send(both(&south, &north, "/oauth/token")).await;
    assert!(refreshed.set_cookie(&name("warehouse-north")).is_none());
    south.keep(&refreshed);
    let revoked = site.send(both(&south, &north, "/oauth/revoke")).await;
    assert!(revoked.status == 200 && revoked.expires(&name("warehouse-south")), "{revoked:?}");
    assert!(revoked.set_cookie(&name("warehouse-north")).is_none());
    assert_eq!(userinfo(&site, &south.access).await.status, 401);
    assert_eq!(south.refresh().await.status, 400);
    assert_eq!(north.refresh().await.status, 200);
}

#[tokio::test]
async fn revoking_puts_the_cookie_away_if_it_is_that_familys() {
    let site = Site::start().await;
    browser_client(&site, "spa", |_| ()).await;
    let (mut browser, old) = Page::signed_in(&site, "spa", SPA).await;
    let code = code_for_page(&mut browser, "spa", SPA).await;
    let mut new = Page { cookie: String::new(), access: String::new(), ..old };
    new.keep(&redeem_by_page(&site, "spa", SPA, &code).await);
    // A tab that still has the old access token ends that; the new cookie is none of its business.
    let fields = [("client_id", "spa"), ("token", &*old.access)];
    let ask = |fields: &[(&str, &str)]| {
        Ask::post("/oauth/revoke").header("origin", SPA).form(fields).cookie(&name("spa"), &new.cookie)
    };
    let answer = site.send(ask(&fields)).await;
    assert!(answer.status == 200 && answer.headers.get("set-cookie").is_none(), "{answer:?}");
    assert_eq!((userinfo(&site, &old.access).await.status, userinfo(&site, &new.access).await.status), (401, 200));
    // Without a token the cookie is meant, and that takes JSON; a form that another page made would not come from this origin either.
    assert_eq!(error(&site.send(ask(&[("client_id", "spa")])).await), (400, "invalid_request".to_owned()));
    assert_eq!(userinfo(&site, &new.access).await.status, 200);
    let answer = site.send(ask(&[("client_id", "spa"), ("token", &new.access)])).await;
    assert!(answer.status == 200 && answer.expires(&name("spa")), "{answer:?}");
    assert_eq!(userinfo(&site, &new.access).await.status, 401);
}

/// Whoever had the old cookie sent along when another tab signed in anew must not take the new one away.
#[tokio::test]
async fn a_refusal_that_ends_nothing_leaves_the_cookie() {
    let site = Site::start().await;
    browser_client(&site, "spa", |_| ()).await;
    let (mut browser, page) = Page::signed_in(&site, "spa", SPA).await;
    let sign_out = browser.open("/sign-out").await;
    browser.submit(&sign_out.action(), &[("csrf_token", sign_out.answer.csrf_token())]).await;
    let answer = page.refresh().await;
    assert_eq!(error(&answer), (400, "invalid_grant".to_owned()));
    assert!(answer.headers.get("set-cookie").is_none(), "{answer:?}");
}

/// By setting: then its page takes care of the token itself, and no cookie is set.
#[tokio::test]
async fn a_client_can_do_without() {
    let site = Site::start().await;
    browser_client(&site, "spa", |app| app.client.refresh_cookie = false).await;
    let mut browser = at_home(&site).await;
    let code = code_for_page(&mut browser, "spa", SPA).await;
    let answer = redeem_by_page(&site, "spa", SPA, &code).await;
    assert!(answer.headers.get("set-cookie").is_none());
    let tokens = Tokens::of(&answer);
    let form = [("grant_type", "refresh_token"), ("client_id", "spa"), ("refresh_token", &*tokens.refresh)];
    let answer = site.send(Ask::post("/oauth/token").header("origin", SPA).form(&form)).await;
    assert!(answer.headers.get("set-cookie").is_none());
    assert_ne!(Tokens::of(&answer).refresh, tokens.refresh);
}
