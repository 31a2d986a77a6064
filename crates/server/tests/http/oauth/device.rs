//! The device grant: the whole journey, and everything somebody might try on either side of it. RFC 8628, T14, T25, T51, T73.

use super::*;
use crate::support::{SESSION, SignedIn};

pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A command line that everybody may use. It has no redirect URI.
pub async fn cli(site: &Site, key: &str) -> Caller {
    site.app(key, |app| {
        app.access = Access::Everyone;
        app.device = true;
    })
    .await
}

/// What a device is given to begin with.
pub struct Begun {
    pub code: String,
    pub user_code: String,
    pub complete: String,
}

pub async fn begin(site: &Site, by: &Caller) -> Begun {
    let ask = Ask::post("/oauth/device_authorization").by(by).form(&[("scope", "openid profile")]);
    let answer = site.send(ask.from("203.0.113.9")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    let [code, user_code, complete] = ["device_code", "user_code", "verification_uri_complete"]
        .map(|name| said[name].as_str().expect(name).to_owned());
    Begun { code, user_code, complete }
}

pub async fn poll(site: &Site, by: &Caller, code: &str) -> Answer {
    let fields = [("grant_type", GRANT), ("device_code", code)];
    site.send(Ask::post("/oauth/token").by(by).form(&fields)).await
}

/// The page that asks for a code, and its form filled in.
pub async fn look(site: &Site, who: &SignedIn, user_code: &str) -> Answer {
    let page = site.send(Ask::get("/device").cookie(SESSION, &who.cookie)).await;
    let fields = [("csrf_token", page.csrf_token()), ("user_code", user_code)];
    site.send(Ask::post("/device").same_origin().cookie(SESSION, &who.cookie).form(&fields)).await
}

fn decision(who: &SignedIn, user_code: &str, token: &str, decision: &str) -> Ask {
    let fields = [("csrf_token", token), ("decision", decision)];
    Ask::post(format!("/device/decide?user_code={user_code}")).cookie(SESSION, &who.cookie).form(&fields)
}

/// All that a person does.
pub async fn decide(site: &Site, who: &SignedIn, user_code: &str, chosen: &str) -> Answer {
    let page = look(site, who, user_code).await;
    assert_eq!(page.status, 200, "{page:?}");
    site.send(decision(who, user_code, page.csrf_token(), chosen).same_origin()).await
}

#[tokio::test]
async fn a_device_is_allowed_in_a_browser_and_gets_the_tokens_of_its_session() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let ask = Ask::post("/oauth/device_authorization").by(&cli).form(&[("scope", "openid profile groups")]);
    let answer = site.send(ask.from("203.0.113.9")).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let said = answer.json();
    let [code, user_code] = ["device_code", "user_code"].map(|name| said[name].as_str().expect(name).to_owned());
    assert!(code.starts_with("hp_dc_"));
    let letters = user_code.bytes().filter(|byte| b"BCDFGHJKLMNPQRSTVWXZ".contains(byte)).count();
    assert_eq!((user_code.len(), letters, user_code.find('-')), (9, 8, Some(4)), "{user_code}");
    let expected = serde_json::json!({
        "device_code": code, "user_code": user_code, "expires_in": 600, "interval": 5,
        "verification_uri": format!("{HOME}/device"),
        "verification_uri_complete": format!("{HOME}/device?user_code={user_code}"),
    });
    assert_eq!(said, expected);
    assert_eq!(error(&poll(&site, &cli, &code).await), (400, "authorization_pending".to_owned()));

    let mut browser = Browser::new(&site);
    let complete = said["verification_uri_complete"].as_str().expect("an address");
    let landing = browser.sign_in(complete, "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), complete, "signed in, and back");
    assert!(landing.answer.shows("device-enter") && landing.answer.body.contains(&format!("value=\"{user_code}\"")));
    assert_eq!(browser.open(complete).await.answer.status, 200);
    let fields = [("csrf_token", landing.answer.csrf_token()), ("user_code", &*user_code.to_lowercase())];
    let asked = browser.submit(&landing.action(), &fields).await;
    let page = &asked.answer;
    for shown in ["device-ask", "warning", "elsewhere", "allow", "deny"] {
        assert!(page.shows(shown), "{shown} in {page:?}");
    }
    for named in ["The cli", "ana Costa", "203.0.113.9", "just now", &user_code] {
        assert!(page.body.contains(named), "{named} in {page:?}");
    }
    site.wait(5);
    assert_eq!(error(&poll(&site, &cli, &code).await), (400, "authorization_pending".to_owned()), "only looked at");
    let fields = [("csrf_token", page.csrf_token()), ("decision", "allow")];
    let done = browser.submit(&asked.action(), &fields).await;
    assert!(done.answer.shows("device-allowed"), "{done:?}");
    assert_eq!(reasons(&site, "device_allowed").await.len(), 1);

    site.wait(5);
    let answer = poll(&site, &cli, &code).await;
    assert_eq!((&answer.json()["scope"], &answer.json()["token_type"]), (&"openid profile".into(), &"Bearer".into()));
    let tokens = Tokens::of(&answer);
    let (_, claims) = opened(&tokens.id);
    assert_eq!((&claims["aud"], &claims["sub"]), (&"cli".into(), &site.ana.id.to_string().into()));
    assert_eq!(userinfo(&site, &tokens.access).await.json()["preferred_username"], "ana");
    let next = Tokens::of(&refresh(&site, &cli, &tokens.refresh).await);
    let page = browser.open("/sign-out").await;
    browser.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await;
    assert_dead(&site, &cli, &next).await;
}

/// What the page promises of the end is what happens.
#[tokio::test]
async fn the_page_says_whether_the_device_goes_on_when_its_person_has_signed_out() {
    let site = Site::start().await;
    let mut browser = at_home(&site).await;
    for (key, offline, third_party) in
        [("one", false, false), ("two", true, false), ("three", false, true), ("four", true, true)]
    {
        let settings = |app: &mut App| {
            app.access = Access::Everyone;
            (app.device, app.third_party, app.client.offline_access) = (true, third_party, offline);
        };
        let cli = site.app(key, settings).await;
        let asked = Ask::post("/oauth/device_authorization").by(&cli).form(&[("scope", "openid offline_access")]);
        let begun = site.send(asked).await.json();
        let typed = browser.open(begun["verification_uri_complete"].as_str().expect("an address")).await;
        let user_code = begun["user_code"].as_str().expect("a code");
        let fields = [("csrf_token", typed.answer.csrf_token()), ("user_code", user_code)];
        let page = browser.submit(&typed.action(), &fields).await.answer;
        assert_eq!(page.shows("offline"), offline, "{key} {page:?}");
        assert_eq!(page.body.contains("until you sign out"), !offline, "{key} {page:?}");
        assert_eq!(page.body.contains("Sign out everywhere"), offline && !third_party, "{key} {page:?}");
    }
}

#[tokio::test]
async fn whoever_denies_is_believed() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let ana = site.signed_in(&site.ana).await;
    let begun = begin(&site, &cli).await;
    let answer = decide(&site, &ana, &begun.user_code, "deny").await;
    assert_eq!((answer.status, answer.location()), (303, "/device?done=denied"));
    let done = site.send(Ask::get(answer.location()).cookie(SESSION, &ana.cookie)).await;
    assert!(done.shows("device-denied"), "{done:?}");
    for _ in 0..2 {
        assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, "access_denied".to_owned()));
        site.wait(5);
    }
    assert_eq!(look(&site, &ana, &begun.user_code).await.status, 422, "nobody changes their mind");
    assert_eq!(reasons(&site, "device_denied").await.len(), 1);
}

/// T14: one client's code is nothing in the hands of another, and the other one cannot even slow it down.
#[tokio::test]
async fn another_client_gets_nothing_for_the_code_and_leaves_it_as_it_was() {
    let site = Site::start().await;
    let (cli, other) = (cli(&site, "cli").await, cli(&site, "other").await);
    let ana = site.signed_in(&site.ana).await;
    let begun = begin(&site, &cli).await;
    for round in 0..2 {
        for _ in 0..3 {
            let answer = poll(&site, &other, &begun.code).await;
            assert_eq!(error(&answer), (400, "invalid_grant".to_owned()), "{round}");
        }
        if round == 0 {
            assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, "authorization_pending".to_owned()));
            assert_eq!(decide(&site, &ana, &begun.user_code, "allow").await.status, 303);
            site.wait(5);
        }
    }
    assert!(reasons(&site, "tokens_refused").await.iter().all(|reason| reason == "wrong_app"));
    for wrong in ["", "x", "hp_dc_x", &begun.code[1..], &begun.code.replace("hp_dc_", "hp_ac_"), &begun.user_code] {
        assert_eq!(error(&poll(&site, &cli, wrong).await), (400, "invalid_grant".to_owned()), "{wrong}");
    }
    assert_eq!(error(&refresh(&site, &cli, &begun.code).await), (400, "invalid_grant".to_owned()), "T15");
    assert_eq!(poll(&site, &cli, &begun.code).await.status, 200, "nobody has used it up");
}

#[tokio::test]
async fn of_two_that_ask_at_once_one_gets_tokens() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let ana = site.signed_in(&site.ana).await;
    let begun = begin(&site, &cli).await;
    assert_eq!(decide(&site, &ana, &begun.user_code, "allow").await.status, 303);
    let (one, two) = tokio::join!(poll(&site, &cli, &begun.code), poll(&site, &cli, &begun.code));
    let (won, lost) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!(error(&lost), (400, "slow_down".to_owned()));
    assert_eq!(userinfo(&site, &Tokens::of(&won).access).await.status, 200, "and the other one has not spoilt them");
}

#[tokio::test]
async fn a_code_that_comes_again_ends_what_came_of_it() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let ana = site.signed_in(&site.ana).await;
    let begun = begin(&site, &cli).await;
    assert_eq!(decide(&site, &ana, &begun.user_code, "allow").await.status, 303);
    let tokens = Tokens::of(&poll(&site, &cli, &begun.code).await);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    site.wait(10);
    assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, "invalid_grant".to_owned()));
    assert_eq!(reasons(&site, "tokens_refused").await, ["code_reused"]);
    assert_dead(&site, &cli, &tokens).await;
}

#[tokio::test]
async fn a_device_that_asks_too_often_waits_longer_and_one_that_waits_too_long_begins_anew() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let ana = site.signed_in(&site.ana).await;
    let begun = begin(&site, &cli).await;
    for (wait, code) in
        [(0, "authorization_pending"), (4, "slow_down"), (9, "slow_down"), (15, "authorization_pending")]
    {
        site.wait(wait);
        assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, code.to_owned()), "{wait}");
    }
    let late = begin(&site, &cli).await;
    assert_eq!(decide(&site, &ana, &late.user_code, "allow").await.status, 303);
    site.wait(599);
    assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, "expired_token".to_owned()));
    assert_eq!(look(&site, &ana, &begun.user_code).await.status, 422);
    site.wait(1);
    assert_eq!(
        error(&poll(&site, &cli, &late.code).await),
        (400, "expired_token".to_owned()),
        "allowed and not fetched"
    );
}

/// T51: an address, an image, a form of another site decide nothing; nor does a token that was given out for something else.
#[tokio::test]
async fn only_the_page_that_shows_a_device_can_decide_about_it() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let (ana, ben) = (site.signed_in(&site.ana).await, site.signed_in(&site.user("ben").await).await);
    let (begun, second) = (begin(&site, &cli).await, begin(&site, &cli).await);
    let opened = site.send(Ask::get(&begun.complete[HOME.len()..]).cookie(SESSION, &ana.cookie)).await;
    assert!(opened.status == 200 && opened.shows("device-enter"), "{opened:?}");
    let entry = opened.csrf_token().to_owned();
    let page = look(&site, &ana, &begun.user_code).await;
    let token = page.csrf_token();
    let of_second = look(&site, &ana, &second.user_code).await.csrf_token().to_owned();
    let of_ben = look(&site, &ben, &begun.user_code).await.csrf_token().to_owned();

    let link = format!("/device/decide?user_code={}&decision=allow&csrf_token={token}", begun.user_code);
    assert_eq!(site.send(Ask::get(link).cookie(SESSION, &ana.cookie)).await.status, 405);
    let good = decision(&ana, &begun.user_code, token, "allow");
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.com")]
    {
        assert_eq!(site.send(good.clone().header(name, value)).await.status, 403, "{value}");
    }
    assert_eq!(site.send(good).await.status, 403, "from nowhere");
    for (why, wrong) in
        [("none", ""), ("garbage", "x"), ("entry", &entry), ("other code", &of_second), ("Ben's", &of_ben)]
    {
        let answer = site.send(decision(&ana, &begun.user_code, wrong, "allow").same_origin()).await;
        assert_eq!(answer.status, 403, "{why}");
    }
    let unclear = site.send(decision(&ana, &begun.user_code, token, "perhaps").same_origin()).await;
    assert_eq!(unclear.status, 400);
    let nobody = SignedIn { cookie: String::new(), ..site.signed_in(&site.ana).await };
    let answer = site.send(decision(&nobody, &begun.user_code, token, "allow").same_origin()).await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in"));
    for cross_site in ["cross-site", "same-site"] {
        let fields = [("csrf_token", &*entry), ("user_code", &begun.user_code)];
        let ask = Ask::post("/device").header("sec-fetch-site", cross_site).cookie(SESSION, &ana.cookie).form(&fields);
        assert_eq!(site.send(ask).await.status, 403, "not even the look: it would count as a guess");
    }
    for code in [&begun.code, &second.code] {
        assert_eq!(error(&poll(&site, &cli, code).await), (400, "authorization_pending".to_owned()));
    }
    assert_eq!(site.send(decision(&ana, &begun.user_code, token, "allow").same_origin()).await.status, 303);
    let again = site.send(decision(&ben, &begun.user_code, &of_ben, "allow").same_origin()).await;
    assert_eq!(again.status, 400, "Ana was first");
    site.wait(5);
    let tokens = Tokens::of(&poll(&site, &cli, &begun.code).await);
    assert_eq!(super::opened(&tokens.id).1["sub"], site.ana.id.to_string());
}

/// T73: ten wrong codes in a quarter of an hour, for one person in all their sessions; and a right one costs nothing.
#[tokio::test]
async fn whoever_guesses_is_soon_turned_away() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let (ana, again) = (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await);
    let ben = site.signed_in(&site.user("ben").await).await;
    let begun = begin(&site, &cli).await;
    for _ in 0..12 {
        assert_eq!(look(&site, &ana, &begun.user_code).await.status, 200, "it is no guess");
    }
    for number in 0..10 {
        let who = if number % 2 == 0 { &ana } else { &again };
        let answer = look(&site, who, "BBBB-BBBB").await;
        assert!(answer.status == 422 && answer.shows("problem"), "{number} {answer:?}");
        assert_eq!(look(&site, who, "no code").await.status, 422, "what is no code at sight is not even looked up");
    }
    for who in [&ana, &again] {
        for code in ["BBBB-BBBB", &begun.user_code] {
            let answer = look(&site, who, code).await;
            assert!(answer.status == 429 && answer.header("retry-after") == Some("900"), "{answer:?}");
        }
    }
    assert_eq!(look(&site, &ben, &begun.user_code).await.status, 200, "somebody else at the same address is not");
    let mut browser = Browser::new(&site);
    let landing = browser.sign_in("/sign-in?app=wiki", "ana", PASSWORD).await;
    assert_eq!(landing.url.host_str(), Some("wiki.company.com"), "and nobody is kept from signing in");
    site.wait(900);
    let begun = begin(&site, &cli).await;
    assert_eq!(look(&site, &ana, &begun.user_code).await.status, 200);
}

#[tokio::test]
async fn one_address_cannot_guess_in_many_names() {
    let site = Site::start().await;
    let mut turned_away = 0;
    for number in 0..6 {
        let who = site.signed_in(&site.user(&format!("guesser{number}")).await).await;
        for _ in 0..9 {
            turned_away += usize::from(look(&site, &who, "BBBB-BBBB").await.status == 429);
        }
    }
    assert_eq!(turned_away, 4, "of 54, fifty were looked up");
}

/// T20: looked at again when the tokens are made.
#[tokio::test]
async fn what_has_changed_between_yes_and_the_next_question_counts() {
    for (number, reason) in ["session_over", "user_may_not", "session_over", "no_access"].into_iter().enumerate() {
        let site = Site::start().await;
        let cli = cli(&site, "cli").await;
        let ana = site.signed_in(&site.ana).await;
        let begun = begin(&site, &cli).await;
        assert_eq!(decide(&site, &ana, &begun.user_code, "allow").await.status, 303);
        match number {
            0 => site.end(&ana.session).await,
            1 => site.must_change_password(&site.ana).await,
            2 => site.disable(&site.ana).await,
            _ => drop(site.app("cli", |app| app.device = true).await),
        }
        let answer = poll(&site, &cli, &begun.code).await;
        assert_eq!(error(&answer), (400, "invalid_grant".to_owned()), "{reason}");
        assert_eq!(reasons(&site, "tokens_refused").await, [reason]);
    }
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let ana = site.signed_in(&site.ana).await;
    let begun = begin(&site, &cli).await;
    let page = look(&site, &ana, &begun.user_code).await;
    site.app("cli", |app| app.access = Access::Everyone).await;
    let answer = site.send(decision(&ana, &begun.user_code, page.csrf_token(), "allow").same_origin()).await;
    assert_eq!(answer.status, 400, "the switch is off");
    assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, "unauthorized_client".to_owned()), "T24");
}

#[tokio::test]
async fn whoever_has_no_business_in_the_app_cannot_allow_it() {
    let site = Site::start().await;
    let tills = site.app("tills", |app| app.device = true).await;
    let begun = begin(&site, &tills).await;
    let ana = site.signed_in(&site.ana).await;
    let answer = look(&site, &ana, &begun.user_code).await;
    assert!(answer.status == 403 && answer.body.contains("has no access"), "{answer:?}");
    let cli = cli(&site, "cli").await;
    let begun = begin(&site, &cli).await;
    let page = look(&site, &ana, &begun.user_code).await;
    site.must_change_password(&site.ana).await;
    let answer = site.send(decision(&ana, &begun.user_code, page.csrf_token(), "allow").same_origin()).await;
    assert_eq!(answer.status, 403, "first a new password");
    let sent_on = site.send(Ask::get("/device").cookie(SESSION, &ana.cookie)).await;
    assert_eq!((sent_on.status, sent_on.location()), (303, "/continue?pending=device"));
    assert_eq!(error(&poll(&site, &cli, &begun.code).await), (400, "authorization_pending".to_owned()));
}

#[tokio::test]
async fn a_device_is_begun_only_by_a_client_that_has_the_switch() {
    let site = Site::start().await;
    let cli = cli(&site, "cli").await;
    let begin = async |by: &Caller, fields: &[(&str, &str)]| {
        site.send(Ask::post("/oauth/device_authorization").by(by).form(fields)).await
    };
    for (by, fields, code) in [
        (&site.pos, &[][..], "unauthorized_client"),
        (&client(&site, "crm").await, &[], "unauthorized_client"),
        (&cli, &[("scope", "profile")], "invalid_scope"),
        (&cli, &[("client_id", "pos")], "invalid_request"),
        (&cli, &[("client_secret", "x")], "invalid_request"),
        (&cli, &[("scope", "openid"), ("scope", "openid")], "invalid_request"),
    ] {
        assert_eq!(error(&begin(by, fields).await), (400, code.to_owned()), "{fields:?}");
    }
    let nobody = site.send(Ask::post("/oauth/device_authorization").form(&[("client_id", "cli")])).await;
    assert_eq!(error(&nobody), (401, "invalid_client".to_owned()));
    assert_eq!(error(&poll(&site, &site.pos, "hp_dc_x").await), (400, "unauthorized_client".to_owned()));
    let begun = begin(&cli, &[]).await;
    let ana = site.signed_in(&site.ana).await;
    let begun = begun.json();
    let [code, user_code] = ["device_code", "user_code"].map(|name| begun[name].as_str().expect(name).to_owned());
    assert_eq!(decide(&site, &ana, &user_code, "allow").await.status, 303);
    assert_eq!(poll(&site, &cli, &code).await.json()["scope"], "openid", "what is not asked for is not given");
    for _ in 0..29 {
        assert_eq!(begin(&cli, &[]).await.status, 200);
    }
    assert_eq!(begin(&cli, &[]).await.status, 429, "each is a row");
}

#[tokio::test]
async fn discovery_lists_the_endpoint_and_every_grant() {
    let site = Site::start().await;
    let said = site.send(Ask::get("/.well-known/openid-configuration")).await.json();
    assert_eq!(said["device_authorization_endpoint"], format!("{HOME}/oauth/device_authorization"));
    let grants = serde_json::json!([
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        GRANT,
    ]);
    assert_eq!(said["grant_types_supported"], grants);
}
