//! The page and its form: same words whoever is asked for, one flow per browser, a new secret for every session.

use hallpass_core::secret::SessionSecret;
use hallpass_core::session::EndReason;
use hallpass_store::sessions;

use crate::support::{Answer, Ask, Browser, DEVICE, FLOW, HOME, PASS, PASSWORD, SESSION, Site, digest_of};

const TO_POS: &str = "/sign-in?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Ftill%3Fn%3D3";

#[tokio::test]
async fn one_leads_from_the_app_through_the_form_back_to_the_very_page() {
    let site = Site::start().await;
    let mut browser = Browser::new(&site);
    let shown = browser.open(TO_POS).await;
    assert_eq!(shown.answer.status, 200);
    assert!(shown.answer.body.contains("The pos") && !shown.answer.shows("error"));
    let landing = browser.sign_in(TO_POS, "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), "https://pos.company.com/till?n=3");
    let journey = "?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Ftill%3Fn%3D3";
    assert_eq!(
        landing.way,
        [format!("{HOME}/sign-in{journey}"), format!("{HOME}/continue{journey}"), landing.url.to_string()]
    );
    let pass = browser.cookie("https://pos.company.com/", PASS).expect("the zone's pass");
    assert_eq!(site.introspect(&site.pos, &pass).await["username"], "ana");
    for host in ["https://pos.company.com/", "https://company.com/", "https://company2.com/"] {
        assert_eq!(browser.cookie(host, SESSION), None, "{host}: the session stays at home");
    }
    assert_eq!(browser.cookie("https://company2.com/", PASS), None);
    assert_eq!(browser.cookie(HOME, FLOW), None, "the flow is over");
    // The next visit asks nothing.
    assert_eq!(browser.open(TO_POS).await.url.as_str(), "https://pos.company.com/till?n=3");
}

#[tokio::test]
async fn the_cookies_are_exactly_these() {
    let site = Site::start().await;
    let page = site.send(Ask::get("/sign-in")).await;
    let flow = page.cookie(FLOW).to_owned();
    let rest = |answer: &Answer, name: &str| {
        answer
            .set_cookie(name)
            .and_then(|line| line.split_once("; "))
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default()
    };
    assert_eq!(rest(&page, FLOW), "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=1800");
    let form = |stay: bool| {
        let mut fields = vec![("csrf_token", page.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
        fields.extend(stay.then_some(("stay", "1")));
        Ask::post("/sign-in").same_origin().cookie(FLOW, &flow).form(&fields)
    };
    let answer = site.send(form(false)).await;
    assert_eq!((answer.status, answer.location()), (303, "/continue"));
    assert_eq!(rest(&answer, SESSION), "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(rest(&answer, DEVICE), "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000");
    assert!(answer.expires(FLOW) && answer.set_cookie(PASS).is_none());
    assert_eq!(rest(&site.send(form(true)).await, SESSION), "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000");
    let known = site.send(form(false).cookie(DEVICE, answer.cookie(DEVICE))).await;
    assert_eq!(known.set_cookie(DEVICE), None, "a known device keeps its mark");
    let next = site.send(Ask::get("/continue").cookie(SESSION, answer.cookie(SESSION))).await;
    assert_eq!((next.status, next.location()), (303, "/"));
    assert_eq!(
        rest(&next, PASS),
        "Domain=company.com; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=900; Priority=High"
    );
}

/// T77: unknown user, wrong password, disabled user, no password at all: the same bytes.
#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let site = Site::start().await;
    let gone = site.user("gone").await;
    site.disable(&gone).await;
    let page = site.send(Ask::get("/sign-in")).await;
    let refused = async |username: &str, password: &str| {
        let fields = [("csrf_token", page.csrf_token()), ("username", username), ("password", password)];
        let answer = site.send(Ask::post("/sign-in").same_origin().cookie(FLOW, page.cookie(FLOW)).form(&fields)).await;
        let named = format!("value=\"{username}\"");
        assert!(username.is_empty() || answer.body.contains(&named), "the name need not be typed again");
        assert!(!answer.body.contains(password), "the password never comes back");
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().cloned().collect();
        (answer.status, cookies, answer.body.replace(answer.csrf_token(), "").replace(&named, ""))
    };
    let wrong = refused("ana", "not her password").await;
    assert_eq!(wrong.0, 422);
    assert!(wrong.2.contains("Username or password is wrong."));
    assert_eq!(refused("nobody", "not her password").await, wrong);
    assert_eq!(refused("gone", PASSWORD).await, wrong, "the right password of a disabled user");
    assert_eq!(refused("gone", "not his password").await, wrong);
    assert_eq!(refused("ana", &"x".repeat(1025)).await, wrong);
    assert_eq!(refused("a name with spaces", "not her password").await, wrong);
}

/// T74: one account however it is typed.
#[tokio::test]
async fn a_name_may_be_typed_in_any_case_and_width() {
    let site = Site::start().await;
    for name in ["ANA", " ana ", "\u{ff21}na"] {
        let landing = Browser::new(&site).sign_in("/sign-in", name, PASSWORD).await;
        assert_eq!(landing.url.path(), "/", "{name:?}");
    }
}

/// T43: a form is worth something only in the browser that it was shown to.
#[tokio::test]
async fn a_form_without_its_own_flow_signs_nobody_in() {
    let site = Site::start().await;
    let (page, other) = (site.send(Ask::get("/sign-in")).await, site.send(Ask::get("/sign-in")).await);
    let (flow, token) = (page.cookie(FLOW), page.csrf_token());
    let post = |token: Option<&str>| {
        let mut fields = vec![("username", "ana"), ("password", PASSWORD)];
        fields.extend(token.map(|token| ("csrf_token", token)));
        Ask::post("/sign-in").same_origin().form(&fields)
    };
    let cases = [
        ("another browser", post(Some(token)).cookie(FLOW, other.cookie(FLOW))),
        ("the token of another flow", post(Some(other.csrf_token())).cookie(FLOW, flow)),
        ("no token", post(None).cookie(FLOW, flow)),
        ("an empty token", post(Some("")).cookie(FLOW, flow)),
        ("no flow", post(Some(token))),
        ("two flows", post(Some(token)).cookie(FLOW, flow).cookie(FLOW, other.cookie(FLOW))),
        ("the same flow twice", post(Some(token)).cookie(FLOW, flow).cookie(FLOW, flow)),
        ("a flow that we never made", post(Some(token)).cookie(FLOW, "attacker")),
        ("a session secret as flow", post(Some(token)).cookie(FLOW, &flow.replace("hp_fl_", "hp_ss_"))),
    ];
    for (name, ask) in cases {
        let answer = site.send(ask).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.shows("expired"), "{name}: a fresh page says so");
        assert!(answer.set_cookie(SESSION).is_none() && answer.set_cookie(DEVICE).is_none(), "{name}");
        assert!(!answer.body.contains("value=\"ana\""), "{name}: nothing of a foreign form is shown");
    }
    assert_eq!(site.send(post(Some(token)).cookie(FLOW, flow)).await.status, 303, "and as it should be, it works");
}

/// T51: signing somebody in from another site is refused before anything is read.
#[tokio::test]
async fn a_post_from_elsewhere_is_refused() {
    let site = Site::start().await;
    let page = site.send(Ask::get("/sign-in")).await;
    let fields = [("csrf_token", page.csrf_token()), ("username", "ana"), ("password", PASSWORD)];
    let form = || Ask::post("/sign-in").cookie(FLOW, page.cookie(FLOW)).form(&fields);
    for headers in [
        &[][..],
        &[("sec-fetch-site", "same-site"), ("origin", "https://evil.company.com")],
        &[("sec-fetch-site", "cross-site"), ("origin", HOME)],
        &[("sec-fetch-site", "none")],
        &[("origin", "null")],
        &[("origin", "https://pos.company.com")],
        &[("origin", "http://auth.company.com")],
        &[("origin", "https://auth.company.com:8443")],
        &[("referer", "https://auth.company.com/sign-in")],
    ] {
        let ask = headers.iter().fold(form(), |ask, (name, value)| ask.header(name, value));
        let answer = site.send(ask).await;
        assert_eq!((answer.status, answer.set_cookie(SESSION)), (403, None), "{headers:?}");
    }
    assert_eq!(site.send(form().header("origin", HOME)).await.status, 303, "a browser without Sec-Fetch-Site");
}

/// T42, T46, T47: whatever cookie a browser arrives with, it leaves with a secret that nobody has seen before.
#[tokio::test]
async fn every_sign_in_gives_a_new_secret_and_ends_the_session_before() {
    let site = Site::start().await;
    site.user("bob").await;
    let attacker = site.signed_in(&site.ana).await;
    let mut browser = Browser::new(&site);
    browser.toss(HOME, &format!("{SESSION}={}; Path=/; Secure", attacker.cookie));
    browser.sign_in("/sign-in", "bob", PASSWORD).await;
    let first = browser.cookie(HOME, SESSION).expect("a session");
    assert_ne!(first, attacker.cookie);
    browser.sign_in("/sign-in", "bob", PASSWORD).await;
    let second = browser.cookie(HOME, SESSION).expect("a session");
    assert_ne!(second, first);
    let mut read = site.store().read().await.expect("reads");
    for (name, secret, live) in
        [("planted", &attacker.cookie, false), ("first", &first, false), ("second", &second, true)]
    {
        let session =
            sessions::by_secret(&mut read, &digest_of::<SessionSecret>(secret)).await.expect("reads").expect("there");
        assert_eq!(session.ended.map(|ended| ended.reason), (!live).then_some(EndReason::Replaced), "{name}");
        assert_eq!(site.send(Ask::get("/account").cookie(SESSION, secret)).await.status == 200, live, "{name}");
    }
    assert!(!site.is_active(&site.wiki, &attacker.pass).await, "nor does the pass of the planted session outlive it");
}

/// Two tabs with the form, sent one after the other: the first one's answer has taken away what the second form was bound to.
#[tokio::test]
async fn a_tab_that_comes_second_goes_on_as_the_same_person_and_nobody_else_does() {
    let site = Site::start().await;
    site.user("bob").await;
    let mut browser = Browser::new(&site);
    let page = browser.open("/sign-in?app=wiki").await;
    let (action, token) = (page.action(), page.answer.csrf_token().to_owned());
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let fields = |name| [("csrf_token", token.clone()), ("username", name), ("password", "whatever".to_owned())];
    for (name, end) in [("Ana", "https://wiki.company.com/"), ("bob", "https://auth.company.com/sign-in?app=wiki")] {
        let fields = fields(name.to_owned());
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.submit(&action, &fields).await.url.as_str(), end, "{name}");
    }
}

/// T42: two cookies of a host-only name cannot both be ours.
#[tokio::test]
async fn a_doubled_session_cookie_counts_as_none_and_is_expired() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let bob = site.user("bob").await;
    let bob = site.signed_in(&bob).await;
    let twice = |path: &str, other: &str| {
        Ask::get(path).cookie("a", "b").header("cookie", format!("{SESSION}={}; {SESSION}={other}", ana.cookie))
    };
    for other in [&*ana.cookie, &*bob.cookie, "", "x"] {
        for path in ["/sign-in", "/account", "/", "/continue", "/account/password", "/pass/refresh?app=pos"] {
            let answer = site.send(twice(path, other)).await;
            assert!(answer.expires(SESSION), "{path} {other:?}: {answer:?}");
            assert!(!answer.body.contains("Costa") && answer.set_cookie(PASS).is_none(), "{path} {other:?}");
        }
    }
    for name in
        ["__Secure-hallpass", "__host-http-hallpass", "__HOST-HTTP-HALLPASS", "hallpass", PASS, "__Host-Http-hallpass "]
    {
        let answer = site.send(Ask::get("/account").cookie(name, &ana.cookie)).await;
        assert_eq!((answer.status, answer.location()), (303, "/sign-in"), "{name}");
    }
    assert_eq!(site.send(Ask::get("/account").cookie(SESSION, &ana.pass)).await.status, 303, "a pass is no session");
}

/// A sibling's cookie, or an analytics script's, must not blind us to our own.
#[tokio::test]
async fn cookies_of_others_do_not_hide_ours() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for other in [&b"name=caf\xc3\xa9"[..], b"name=\xff\xfe", b"=", b"novalue", b";;;", b"a=\"b;c\"", b"\x80=1"] {
        let line = [other, b"; ", format!("{SESSION}={}", ana.cookie).as_bytes()].concat();
        assert_eq!(site.send(Ask::get("/account").header("cookie", line)).await.status, 200, "{other:?}");
    }
}

#[tokio::test]
async fn a_cookie_that_opens_nothing_is_expired() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.end(&ana.session).await;
    for cookie in [&*ana.cookie, "", "x", "hp_ss_x", "\u{27}"] {
        for path in ["/sign-in", "/", "/account", "/sign-out"] {
            assert!(site.send(Ask::get(path).cookie(SESSION, cookie)).await.expires(SESSION), "{path} {cookie:?}");
        }
    }
}

#[tokio::test]
async fn the_form_is_closed() {
    let site = Site::start().await;
    let page = site.send(Ask::get("/sign-in")).await;
    let token = page.csrf_token();
    let post = |ask: Ask| ask.same_origin().cookie(FLOW, page.cookie(FLOW));
    let good = [("csrf_token", token), ("username", "ana"), ("password", PASSWORD)];
    for extra in [("user_id", "1"), ("username", "bob"), ("csrf_token", token), ("acr", "aal2")] {
        let fields = [&good[..], &[extra]].concat();
        assert_eq!(site.send(post(Ask::post("/sign-in").form(&fields))).await.status, 400, "{extra:?}");
    }
    assert_eq!(site.send(post(Ask::post("/sign-in").form(&good[..2]))).await.status, 400, "no password");
    let json = serde_json::json!({ "csrf_token": token, "username": "ana", "password": PASSWORD });
    assert_eq!(site.send(post(Ask::post("/sign-in").json(&json))).await.status, 415);
    let query = format!("/sign-in?username=ana&password={}", PASSWORD.replace(' ', "%20"));
    assert_eq!(site.send(post(Ask::post(query).form(&good))).await.status, 400, "nothing in the query");
}
