//! `/forward-auth`: a gateway asks who a request is from. Protocol §11; T37–T39, T42, T51.

use hallpass_core::app::{Access, App};
use hallpass_core::crypto::{Random, SystemRandom};
use hallpass_server::config::Network;

use crate::handoff::shop;
use crate::support::{Answer, Ask, Browser, HOME, PASS, PASSWORD, SESSION, SignedIn, Site};

/// Where the gateway is.
const GATEWAY: &str = "10.1.2.3";
/// Every header that says who it is.
const IDENTITY: [&str; 7] = [
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
    "hallpass-subject",
    "hallpass-session",
    "hallpass-permissions",
];

/// `pos` is behind a gateway; so is `wiki`, which everybody may enter.
async fn behind_a_gateway() -> Site {
    let site = Site::start_with(|config| {
        config.trusted_proxies = vec![Network::try_from("10.0.0.0/8".to_owned()).expect("a network")];
    })
    .await;
    site.app("pos", |app| app.forward_auth = true).await;
    site.app("wiki", |app| (app.forward_auth, app.access) = (true, Access::Everyone)).await;
    site.heard().await;
    site
}

/// What a gateway sends that has got `GET /orders?a=1` for `pos`, with these changed, or taken out.
fn ask_with(changes: &[(&str, Option<&str>)]) -> Ask {
    let usual = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "pos.company.com"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/orders?a=1"),
        ("x-forwarded-for", "192.0.2.9"),
    ];
    let kept = usual.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let changed = changes.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let all = kept.map(|(name, value)| (name, *value)).chain(changed);
    all.fold(Ask::get("/forward-auth").from(GATEWAY), |ask, (name, value)| ask.header(name, value))
}

fn ask() -> Ask {
    ask_with(&[])
}

/// It is let through, as this person.
fn assert_through(answer: &Answer, username: &str) {
    assert_eq!((answer.status, answer.header("remote-user")), (200, Some(username)), "{answer:?}");
}

/// It is turned away, and the app can learn nothing about anybody.
fn assert_away(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(IDENTITY.iter().all(|name| answer.header(name).is_none()), "{answer:?}");
}

async fn ana(site: &Site) -> SignedIn {
    site.signed_in(&site.ana).await
}

#[tokio::test]
async fn whoever_is_signed_in_is_let_through_with_every_header() {
    let site = behind_a_gateway().await;
    let ana = ana(&site).await;
    let answer = site.send(ask().cookie(PASS, &ana.pass)).await;
    assert_through(&answer, "ana");
    let said = IDENTITY.map(|name| answer.header(name).unwrap_or_else(|| panic!("{name} is missing: {answer:?}")));
    let (sub, sid) = (site.ana.id.to_string(), ana.sid());
    // No e-mail address: the header is there, and empty, so that none that the browser sent stays.
    assert_eq!(said, ["ana", "ana Costa", "", "cashier", &sub, &sid, "canCreateOrder canRefund"]);
    assert_eq!((answer.body.as_str(), answer.header("cache-control")), ("", Some("no-store")));
    // Others have an address, and a name that is not ASCII.
    let jose = site.user_with("José", |user| user.email = Some("jose@company.com".to_owned())).await;
    let pass = site.signed_in(&jose).await.pass;
    let answer = site.send(ask_with(&[("x-forwarded-host", Some("wiki.company.com"))]).cookie(PASS, &pass)).await;
    let bytes = |name| answer.headers[name].as_bytes();
    assert_eq!((bytes("remote-user"), bytes("remote-email")), ("josé".as_bytes(), &b"jose@company.com"[..]));
    assert_eq!((bytes("remote-groups"), bytes("hallpass-permissions")), (&b""[..], &b""[..]));
}

/// All the way: the gateway's redirect, the sign-in, and back to the very address.
#[tokio::test]
async fn whoever_is_not_is_sent_to_sign_in_and_comes_back_to_where_they_were() {
    let site = behind_a_gateway().await;
    let navigation = [("sec-fetch-mode", Some("navigate"))];
    let away = site.send(ask_with(&navigation)).await;
    assert_away(&away, 401);
    let there = away.header("hallpass-location").expect("where to go").to_owned();
    assert!(there.starts_with(&format!("{HOME}/pass/refresh?app=pos&return_to=")), "{there}");
    assert_eq!(away.header("location"), None, "a gateway that follows nothing must not be told to");
    let answer = site.send(ask_with(&navigation).to("/forward-auth?answer=redirect")).await;
    assert_away(&answer, 302);
    assert_eq!(answer.location(), there);

    let mut browser = Browser::new(&site);
    let landing = browser.sign_in(&there, "ana", PASSWORD).await;
    assert_eq!(landing.url.as_str(), "https://pos.company.com/orders?a=1");
    let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
    assert_through(&site.send(ask().cookie(PASS, &pass)).await, "ana");
    // Whoever has a session, but no pass any more, sees no form.
    site.wait(16 * 60);
    assert_away(&site.send(ask().cookie(PASS, &pass)).await, 401);
    assert_eq!(browser.open(&there).await.url.as_str(), "https://pos.company.com/orders?a=1");
    let pass = browser.cookie("https://pos.company.com/", PASS).expect("a pass");
    assert_through(&site.send(ask().cookie(PASS, &pass)).await, "ana");
}

#[tokio::test]
async fn scripts_and_forms_are_told_where_to_go_and_not_sent() {
    let site = behind_a_gateway().await;
    for (changes, return_to) in [
        (&[("sec-fetch-mode", Some("cors"))][..], "orders%3Fa%3D1"),
        (&[("accept", Some("application/json"))], "orders%3Fa%3D1"),
        (&[("sec-fetch-mode", Some("navigate")), ("x-forwarded-method", Some("POST"))], ""),
    ] {
        let answer = site.send(ask_with(changes).to("/forward-auth?answer=redirect")).await;
        assert_away(&answer, 401);
        assert_eq!((answer.header("location"), answer.header("hallpass-location")), (None, None));
        let there = answer.json()["sign_in_url"].as_str().expect("an address").to_owned();
        assert_eq!(answer.json()["error"], "login_required");
        assert_eq!(there, format!("{HOME}/pass/refresh?app=pos&return_to=https%3A%2F%2Fpos.company.com%2F{return_to}"));
    }
    // What cannot be come back to: the front door.
    let long = format!("/{}", "a".repeat(3000));
    let answer = site.send(ask_with(&[("x-forwarded-uri", Some(&long))])).await;
    assert_eq!(answer.json()["sign_in_url"], format!("{HOME}/pass/refresh?app=pos"));
    assert_eq!(site.send(ask().to("/forward-auth?answer=let-through")).await.status, 400);
}

/// T38, T39: without the configuration's word nobody may say which app they are.
#[tokio::test]
async fn only_trusted_proxies_are_asked_for() {
    let site = behind_a_gateway().await;
    let pass = ana(&site).await.pass;
    for peer in ["192.0.2.7", "11.1.2.3", "127.0.0.1", "::1", "::ffff:192.0.2.7"] {
        let answer = site.send(ask().from(peer).header("x-forwarded-for", "10.1.2.3").cookie(PASS, &pass)).await;
        assert_away(&answer, 403);
    }
    assert_through(&site.send(ask().from("::ffff:10.1.2.3").cookie(PASS, &pass)).await, "ana");
    let nobody = Site::start().await;
    nobody.app("pos", |app| app.forward_auth = true).await;
    let pass = ana(&nobody).await.pass;
    for peer in [GATEWAY, "127.0.0.1", "::1"] {
        assert_away(&nobody.send(ask().from(peer).cookie(PASS, &pass)).await, 403);
    }
}

/// T38: a header that the gateway forgot may be the browser's.
#[tokio::test]
async fn a_gateway_says_everything_once() {
    let site = behind_a_gateway().await;
    let pass = ana(&site).await.pass;
    for name in ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-method", "x-forwarded-uri"] {
        assert_away(&site.send(ask_with(&[(name, None)]).cookie(PASS, &pass)).await, 400);
        let underscored = name.replace('-', "_");
        let answer = site.send(ask_with(&[(name, None)]).header(&underscored, "GET").cookie(PASS, &pass)).await;
        assert_away(&answer, 400);
        let twice = site.send(ask().header(name, "wiki.company.com").cookie(PASS, &pass)).await;
        assert_away(&twice, 400);
        let garbled = site.send(ask_with(&[(name, None)]).header(name, b"\xff").cookie(PASS, &pass)).await;
        assert_away(&garbled, 400);
    }
    for (name, value) in [
        ("x-forwarded-proto", "ftp"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", ""),
        ("x-forwarded-host", "pos.company.com, wiki.company.com"),
        ("x-forwarded-host", "POS.company.com"),
        ("x-forwarded-host", "ana@pos.company.com"),
        ("x-forwarded-method", ""),
        ("x-forwarded-method", "get"),
    ] {
        assert_away(&site.send(ask_with(&[(name, Some(value))]).cookie(PASS, &pass)).await, 400);
    }
}

#[tokio::test]
async fn an_app_is_found_by_its_exact_address_and_has_to_say_that_it_is_behind_a_gateway() {
    let site = behind_a_gateway().await;
    site.app("lobby", |app| app.access = Access::Everyone).await;
    let address = |app: &mut App| app.origins = vec!["https://two.company.com".parse().expect("an origin")];
    for key in ["one", "two"] {
        site.app(key, |app| {
            address(app);
            (app.access, app.forward_auth) = (Access::Everyone, true);
        })
        .await;
    }
    site.app("gone", |app| {
        (app.access, app.forward_auth, app.disabled_at) = (Access::Everyone, true, Some(site.now()));
    })
    .await;
    let pass = ana(&site).await.pass;
    for host in [
        "lobby.company.com",
        "two.company.com",
        "gone.company.com",
        "nobody.company.com",
        "company.com",
        "pos.company.com.evil.com",
        "evil.com",
        "pos.company.com:8443",
        "pos.company.com.",
        "auth.company.com",
    ] {
        let answer = site.send(ask_with(&[("x-forwarded-host", Some(host))]).cookie(PASS, &pass)).await;
        assert_away(&answer, 403);
        assert!(answer.header("hallpass-location").is_none(), "{host}");
    }
    assert_through(
        &site.send(ask_with(&[("x-forwarded-host", Some("pos-2.company.com"))]).cookie(PASS, &pass)).await,
        "ana",
    );
}

/// T37: whatever is in the cookies, it is somebody or it is turned away.
#[tokio::test]
async fn no_garbled_cookie_lets_anybody_through() {
    let site = behind_a_gateway().await;
    let pass = ana(&site).await.pass;
    let flood = "c=1; ".repeat(64);
    for line in [
        String::new(),
        format!("{PASS}="),
        PASS.to_owned(),
        format!("{PASS}=x"),
        format!("{PASS}={pass}x"),
        format!("{PASS}={}", &pass[..pass.len() - 1]),
        format!("{PASS}=\"{pass}\""),
        format!("{PASS} ={pass}"),
        format!("={PASS}={pass}"),
        format!("{}={pass}", PASS.to_lowercase().replace("__secure", "__SECURE")),
        format!("{SESSION}={pass}"),
        format!("{flood}{PASS}={pass}"),
    ] {
        assert_away(&site.send(ask().header("cookie", &line)).await, 401);
    }
    for _ in 0..2_000 {
        let mut bytes = [0; 40];
        SystemRandom.fill(&mut bytes);
        // As a header may hold them.
        let value: Vec<u8> = bytes.iter().map(|byte| byte | 0x20).filter(|byte| *byte != 0x7f).collect();
        let line = [format!("{PASS}=").as_bytes(), &value].concat();
        assert_away(&site.send(ask().header("cookie", line)).await, 401);
    }
    assert_through(&site.send(ask().header("cookie", format!("a=\"; {PASS}={pass}; b"))).await, "ana");
}

/// T42: never "the first wins", nor the last.
#[tokio::test]
async fn two_passes_are_none_and_are_taken_away() {
    let site = behind_a_gateway().await;
    let (ana, ben) = (ana(&site).await, site.user("ben").await);
    site.cashier(&ben, true).await;
    let bens = site.signed_in(&ben).await.pass;
    for (one, other) in [(&ana.pass, &bens), (&bens, &ana.pass), (&ana.pass, &ana.pass), (&ana.pass, &String::new())] {
        for lines in
            [vec![format!("{PASS}={one}; {PASS}={other}")], vec![format!("{PASS}={one}"), format!("{PASS}={other}")]]
        {
            let ask = lines.iter().fold(ask(), |ask, line| ask.header("cookie", line));
            let answer = site.send(ask).await;
            assert_away(&answer, 401);
            let lines: Vec<_> =
                answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("ASCII")).collect();
            let gone = |path: &str, domain: &str| {
                format!("{PASS}=; Path={path}{domain}; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
            };
            for (path, domain) in [("/", ""), ("/", "; Domain=company.com"), ("/orders", "; Domain=company.com")] {
                assert!(lines.contains(&&*gone(path, domain)), "{path} {domain} in {lines:?}");
            }
        }
    }
    assert_through(&site.send(ask().cookie(PASS, &ana.pass)).await, "ana");
}

#[tokio::test]
async fn who_may_enter_is_each_apps_own_rule_and_what_has_ended_has_ended() {
    let site = behind_a_gateway().await;
    let ben = site.user("ben").await;
    let bens = site.signed_in(&ben).await;
    let at = |host: &'static str| ask_with(&[("x-forwarded-host", Some(host)), ("sec-fetch-mode", Some("navigate"))]);
    assert_through(&site.send(at("wiki.company.com").cookie(PASS, &bens.pass)).await, "ben");
    let answer = site.send(at("pos.company.com").cookie(PASS, &bens.pass)).await;
    assert_away(&answer, 403);
    assert_eq!(
        answer.header("hallpass-location"),
        Some(&*format!("{HOME}/continue?app=pos")),
        "where they are told why"
    );
    let told = site.send(Ask::get("/continue?app=pos").cookie(SESSION, &bens.cookie)).await;
    assert_eq!(told.status, 403);
    site.cashier(&ben, true).await;
    assert_through(&site.send(at("pos.company.com").cookie(PASS, &bens.pass)).await, "ben");
    site.must_change_password(&ben).await;
    assert_away(&site.send(at("pos.company.com").cookie(PASS, &bens.pass)).await, 401);

    let ana = ana(&site).await;
    shop(&site).await;
    let elsewhere = site.pass(&ana.session, "elsewhere").await;
    assert_away(&site.send(ask().cookie(PASS, &elsewhere)).await, 401);
    assert_through(&site.send(ask().cookie(PASS, &ana.pass)).await, "ana");
    site.end(&ana.session).await;
    assert_away(&site.send(ask().cookie(PASS, &ana.pass)).await, 401);
    let again = site.signed_in(&site.ana).await;
    site.disable(&site.ana).await;
    assert_away(&site.send(ask().cookie(PASS, &again.pass)).await, 401);
}

/// T51: the pass comes with the requests of sibling hosts, too.
#[tokio::test]
async fn what_another_site_sends_changes_nothing() {
    let site = behind_a_gateway().await;
    let pass = ana(&site).await.pass;
    let own = [("sec-fetch-site", Some("same-origin")), ("origin", Some("https://pos.company.com"))];
    let sibling = [("sec-fetch-site", Some("same-site")), ("origin", Some("https://evil.company.com"))];
    for method in ["POST", "PUT", "DELETE", "PATCH", "CONNECT"] {
        let from = |headers: [(&'static str, Option<&'static str>); 2]| {
            ask_with(&[headers[0], headers[1], ("x-forwarded-method", Some(method))]).cookie(PASS, &pass)
        };
        assert_through(&site.send(from(own)).await, "ana");
        assert_through(&site.send(from([("sec-fetch-site", None), own[1]])).await, "ana");
        assert_away(&site.send(from(sibling)).await, 403);
        assert_away(&site.send(from([("sec-fetch-site", None), sibling[1]])).await, 403);
        assert_away(&site.send(from([("sec-fetch-site", None), ("origin", None)])).await, 403);
        assert_away(&site.send(from(own).header("sec-fetch-site", "same-origin")).await, 403);
    }
    assert_through(&site.send(ask_with(&sibling).cookie(PASS, &pass)).await, "ana");
    let socket = |headers: &[(&'static str, Option<&'static str>)]| {
        ask_with(headers).header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").cookie(PASS, &pass)
    };
    assert_away(&site.send(socket(&sibling)).await, 403);
    assert_through(&site.send(socket(&[own[1]])).await, "ana");
    assert_away(&site.send(ask_with(&sibling).header("upgrade", "websocket").cookie(PASS, &pass)).await, 403);
}

/// People who work stay signed in, if the gateway passes the cookie on; and what they do counts.
#[tokio::test]
async fn an_old_pass_is_renewed_on_the_way() {
    let site = behind_a_gateway().await;
    let pass = ana(&site).await.pass;
    assert_eq!(site.send(ask().cookie(PASS, &pass)).await.set_cookie(PASS), None);
    site.wait(6 * 60);
    let answer = site.send(ask().cookie(PASS, &pass)).await;
    assert_through(&answer, "ana");
    let line = answer.set_cookie(PASS).expect("a new pass");
    assert!(line.contains("; Domain=company.com; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=900"), "{line}");
    let renewed = answer.cookie(PASS).to_owned();
    site.wait(10 * 60);
    assert_away(&site.send(ask().cookie(PASS, &pass)).await, 401);
    assert_through(&site.send(ask().cookie(PASS, &renewed)).await, "ana");
}
