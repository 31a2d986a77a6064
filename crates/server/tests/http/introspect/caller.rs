//! Who may ask: HTTP Basic with app key and secret key, in no other place, two live secrets, a brake by address.

use hallpass_core::app::AppSecret;
use hallpass_store::apps;

use crate::support::{Ask, Caller, Site};

/// RFC 6749 §5.2, always the same bytes: which part was wrong is nobody's business.
const INVALID_CLIENT: &str =
    r#"{"error":"invalid_client","error_description":"The app key or secret key is missing or wrong."}"#;

#[tokio::test]
async fn every_wrong_caller_gets_the_same_401() {
    let site = Site::start().await;
    let (pos, wiki) = (&site.pos, &site.wiki);
    let off = site.app("off", |app| app.disabled_at = Some(app_disabled())).await;
    let ask = || Ask::post("/introspect").form(&[("token", "x")]);
    let mut swapped = pos.secret.clone();
    // One bit of the checksum.
    let last = if swapped.ends_with('A') { 'B' } else { 'A' };
    swapped.pop();
    swapped.push(last);
    let cases = [
        ("nothing", ask()),
        ("an unknown app", ask().basic("nobody", &pos.secret)),
        ("another app's secret", ask().basic("pos", &wiki.secret)),
        ("no secret", ask().basic("pos", "")),
        ("a changed secret", ask().basic("pos", &swapped)),
        ("a truncated secret", ask().basic("pos", &pos.secret[..pos.secret.len() - 1])),
        ("a longer secret", ask().basic("pos", &format!("{}A", pos.secret))),
        ("another kind of secret", ask().basic("pos", &pos.secret.replace("hp_sk_", "hp_ss_"))),
        ("an upper-case key", ask().basic("POS", &pos.secret)),
        ("two headers", ask().by(pos).by(pos)),
        ("two different headers", ask().by(pos).by(wiki)),
        ("a bearer token", ask().header("authorization", format!("Bearer {}", pos.secret))),
        ("no base64", ask().header("authorization", "Basic pos:x")),
        ("no colon", ask().header("authorization", "Basic cG9z")),
        ("no UTF-8", ask().header("authorization", "Basic /////w==")),
        ("a disabled app", ask().by(&off)),
        (
            "in the query",
            Ask::post(format!("/introspect?client_id=pos&client_secret={}", pos.secret)).form(&[("token", "x")]),
        ),
        (
            "in the body",
            Ask::post("/introspect").form(&[("token", "x"), ("client_id", "pos"), ("client_secret", &pos.secret)]),
        ),
    ];
    for (number, (name, ask)) in cases.into_iter().enumerate() {
        // Each from an address of its own, so that none of them is turned away for the others.
        let answer = site.send(ask.from(&format!("198.51.100.{number}"))).await;
        assert_eq!((answer.status, &*answer.body), (401, INVALID_CLIENT), "{name}");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"hallpass\""), "{name}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
    }
    assert_eq!(site.send(ask().by(pos)).await.status, 200);
}

/// `openid-client` encodes every character that is no letter and no digit; others encode none (RFC 6749 §2.3.1, RFC 7617).
#[tokio::test]
async fn a_pair_may_be_encoded_as_oauth_says() {
    let site = Site::start().await;
    let encoded = |text: &str| {
        let letter = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(letter).collect::<String>()
    };
    let north = site.app("warehouse-north", |_| ()).await;
    let ask = |key: &str, secret: &str| Ask::post("/introspect").basic(key, secret).form(&[("token", "x")]);
    assert_eq!(encoded("warehouse-north"), "warehouse%2Dnorth");
    assert_eq!(site.send(ask(&encoded(&north.key), &encoded(&north.secret))).await.status, 200);
    assert_eq!(site.send(ask(&north.key, &encoded(&north.secret))).await.status, 200);
    let joined = encoded(&format!("{}:{}", north.key, north.secret));
    for (name, key, secret) in [
        ("encoded twice", &*encoded(&north.key), &*encoded(&encoded(&north.secret))),
        ("an encoded colon separates nothing", &*joined, ""),
        ("no UTF-8", "warehouse%FFnorth", &*north.secret),
        ("a broken escape", &*north.key, &*format!("{}%2", north.secret)),
    ] {
        assert_eq!(site.send(ask(key, secret)).await.status, 401, "{name}");
    }
}

/// A hostile page must not be able to open a browser's own password prompt in our name, nor use up the patience with its visitor's address.
#[tokio::test]
async fn a_browser_is_never_asked_for_a_password_by_its_own_prompt() {
    let site = Site::start().await;
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.company.com")] {
        for ask in [Ask::post("/introspect").form(&[("token", "x")]), Ask::get("/api/v1/changes")] {
            for _ in 0..100 {
                let answer = site.send(ask.clone().header(name, value)).await;
                assert_eq!((answer.status, answer.header("www-authenticate")), (403, None), "{name}");
            }
        }
    }
    let wrong = site.send(Ask::post("/introspect").basic("pos", "x").form(&[("token", "x")])).await;
    assert_eq!(wrong.status, 401, "the address has not been braked");
}

fn app_disabled() -> hallpass_core::time::Timestamp {
    hallpass_core::time::Timestamp::from_seconds(crate::support::NOW)
}

#[tokio::test]
async fn credentials_beside_the_right_ones_are_refused() {
    let site = Site::start().await;
    for name in ["client_secret", "client_id", "secret_key"] {
        let answer =
            site.send(Ask::post("/introspect").by(&site.pos).form(&[("token", "x"), (name, &site.pos.secret)])).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()), "{name}");
        assert!(!answer.body.contains(&site.pos.secret), "reflected");
    }
}

#[tokio::test]
async fn two_secrets_live_side_by_side_until_one_expires() {
    let site = Site::start().await;
    let second = site.secret("pos", Some(site.now() + std::time::Duration::from_mins(1))).await;
    let status = async |caller| site.send(Ask::introspect(caller, "x")).await.status;
    assert_eq!((status(&site.pos).await, status(&second).await), (200, 200));
    site.wait(59);
    assert_eq!((status(&site.pos).await, status(&second).await), (200, 200));
    site.wait(1);
    assert_eq!((status(&site.pos).await, status(&second).await), (200, 401), "T64: the limit itself is too late");
}

/// What a header says is worked out once. Whether it is still right is not remembered.
#[tokio::test]
async fn credentials_that_were_right_before_are_right_as_long_as_they_are() {
    let site = Site::start().await;
    let status = async |caller| site.send(Ask::introspect(caller, "x")).await.status;
    let wiki_is = async |disabled_at| {
        let mut write = site.store().write().await.expect("writes");
        let wiki = &"wiki".parse().expect("a key");
        let mut app = apps::find(&mut write, wiki).await.expect("reads").expect("there");
        app.disabled_at = disabled_at;
        apps::upsert(&mut write, &app, site.now()).await.expect("changes");
        write.commit().await.expect("commits");
    };
    for _ in 0..2 {
        assert_eq!((status(&site.pos).await, status(&site.wiki).await), (200, 200));
    }
    wiki_is(Some(site.now())).await;
    assert_eq!((status(&site.pos).await, status(&site.wiki).await), (200, 401), "disabled");
    wiki_is(None).await;
    assert_eq!((status(&site.pos).await, status(&site.wiki).await), (200, 200), "and enabled again");

    let mut write = site.store().write().await.expect("writes");
    let secrets = apps::secrets_of(&mut write, &"pos".parse().expect("a key")).await.expect("reads");
    assert!(apps::remove_secret(&mut write, &secrets[0].id, site.now()).await.expect("removes"));
    write.commit().await.expect("commits");
    assert_eq!((status(&site.pos).await, status(&site.wiki).await), (401, 200), "removed");
    let next = site.secret("pos", None).await;
    assert_eq!((status(&site.pos).await, status(&next).await), (401, 200), "another one does not bring it back");

    let elsewhere = AppSecret { app: "wiki".parse().expect("a key"), ..secrets[0].clone() };
    let mut write = site.store().write().await.expect("writes");
    assert!(apps::add_secret(&mut write, &elsewhere, site.now()).await.expect("adds"));
    write.commit().await.expect("commits");
    let moved = Caller { key: "wiki".to_owned(), secret: site.pos.secret.clone() };
    assert_eq!((status(&site.pos).await, status(&moved).await), (401, 200), "it is another app's now, under its name");
}

/// Throttled by address and never by app key: else anybody could lock an app out.
#[tokio::test]
async fn guessing_is_stopped_at_the_address_that_guesses() {
    let site = Site::start().await;
    let guess = || Ask::post("/introspect").basic("pos", "hp_sk_guess").form(&[("token", "x")]);
    let mut refused = 0;
    while site.send(guess().from("203.0.113.5")).await.status == 401 {
        refused += 1;
        assert!(refused < 1000, "never stopped");
    }
    assert_eq!(refused, 30);
    let answer = site.send(guess().from("203.0.113.5")).await;
    assert_eq!((answer.status, &answer.json()["error"]), (429, &"too_many_requests".into()));
    assert!(
        answer
            .header("retry-after")
            .is_some_and(|seconds| seconds.parse().is_ok_and(|seconds: u32| (1..=60).contains(&seconds)))
    );
    assert_eq!(site.send(guess().from("203.0.113.6")).await.status, 401, "the neighbour is not affected");
    assert_eq!(site.send(guess().from("2001:db8::1")).await.status, 401);
    assert_eq!(site.send(Ask::introspect(&site.pos, "x").from("203.0.113.6")).await.status, 200, "nor is the app");
    site.wait(121);
    assert_eq!(site.send(guess().from("203.0.113.5")).await.status, 401, "it passes by itself");
}

/// Apps behind one gateway share an address: one of them with a wrong secret must not turn the others away.
#[tokio::test]
async fn a_misconfigured_neighbour_does_not_turn_away_the_right_caller() {
    let site = Site::start().await;
    let wrong = || Ask::post("/introspect").basic("wiki", "hp_sk_old").form(&[("token", "x")]);
    while site.send(wrong().from("203.0.113.5")).await.status == 401 {}
    assert_eq!(site.send(wrong().from("203.0.113.5")).await.status, 429);
    assert_eq!(site.send(Ask::introspect(&site.pos, "x").from("203.0.113.5")).await.status, 200);
}
