//! Clients that show who they are by assertions: every way to be somebody else, and every door that takes them. RFC 7523, OIDC Core 1.0 §9; T21, T24,
//! T26–T29.

use hallpass_core::audit::Actor;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_server::admin::{AdminError, apps};
use hallpass_store::apps as stored;
use serde_json::json;

use super::signer::{Signer, claims, set};
use super::*;
use crate::nodes::on_two_nodes;

const TYPE: (&str, &str) = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

/// A client that signs, and its secret, which it has for our own API.
async fn signing_client(site: &Site, key: &str) -> (Signer, Caller) {
    let signer = Signer::new(Algorithm::Es256);
    let keys = Some(set(&[signer.jwk("k1")]));
    let caller = client_with(site, key, |app| {
        app.jwks = keys;
        (app.client_credentials, app.device) = (true, true);
    });
    let caller = caller.await;
    (signer, caller)
}

fn assertion(site: &Site, signer: &Signer, client: &str, jti: &str) -> String {
    signer.sign(&signer.header("k1"), &claims(site, client, jti, &[]))
}

async fn tokens_by(site: &Site, fields: &[(&str, &str)]) -> Answer {
    let all = [&[("grant_type", "client_credentials"), ("audience", "billing")], fields].concat();
    site.send(Ask::post("/oauth/token").form(&all)).await
}

async fn outcome(site: &Site, assertion: &str) -> (u16, String) {
    let answer = tokens_by(site, &[TYPE, ("client_assertion", assertion)]).await;
    if answer.status == 200 { (200, String::new()) } else { error(&answer) }
}

fn refused() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

#[tokio::test]
async fn an_assertion_is_good_once_at_any_door() {
    let site = Site::start().await;
    let (signer, crm) = signing_client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let code = code(&mut browser, &[]).await;
    let [first, second, third, fourth, fifth] =
        ["1", "2", "3", "4", "5"].map(|jti| assertion(&site, &signer, "crm", jti));
    let exchange = |assertion| {
        let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
        Ask::post("/oauth/token")
            .form(&[&fields[..], &[("code_verifier", VERIFIER), TYPE, ("client_assertion", assertion)]].concat())
    };
    let tokens = Tokens::of(&site.send(exchange(&first)).await);
    // At introspection, which still takes the secret, too: the SDK asks with it.
    let ask = |assertion: &str| {
        Ask::post("/introspect").form(&[("token", &tokens.access), TYPE, ("client_assertion", assertion)])
    };
    assert_eq!(site.send(ask(&second)).await.json()["active"], true);
    assert!(site.is_active(&crm, &tokens.access).await);
    let device =
        |assertion: &str| Ask::post("/oauth/device_authorization").form(&[TYPE, ("client_assertion", assertion)]);
    assert_eq!(site.send(device(&third)).await.status, 200);
    let refresh = |assertion: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("client_id", "crm")];
        Ask::post("/oauth/token").form(&[&fields[..], &[TYPE, ("client_assertion", assertion)]].concat())
    };
    assert_eq!(site.send(refresh(&fourth)).await.status, 200);
    let revoke = |assertion: &str| {
        Ask::post("/oauth/revoke").form(&[("token", &tokens.access), TYPE, ("client_assertion", assertion)])
    };
    assert_eq!(site.send(revoke(&fifth)).await.status, 200);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
    // T21: none of them a second time, at no door, also after a while.
    for wait in [0, 59] {
        site.wait(wait);
        for (number, used) in [&first, &second, &third, &fourth, &fifth].into_iter().enumerate() {
            for ask in [exchange(used), ask(used), device(used), refresh(used), revoke(used)] {
                // Each from an address of its own, so that none of them is turned away for the others.
                let answer = site.send(ask.from(&format!("198.51.100.{}", wait + number as u64))).await;
                assert_eq!(error(&answer), refused());
            }
        }
    }
}

/// T21: whoever reads one on its way to one node has nothing at the other, whichever comes first.
#[tokio::test]
async fn what_one_node_has_seen_no_other_takes() {
    on_two_nodes(|one, other| async move {
        let (signer, _) = signing_client(&one, "crm").await;
        let both: Vec<_> = (0..8).map(|number| assertion(&one, &signer, "crm", &number.to_string())).collect();
        for text in &both {
            let (here, there) = tokio::join!(outcome(&one, text), outcome(&other, text));
            let mut statuses = [here.0, there.0];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 401]);
        }
        // Declared at one, known at the other at once.
        let (newest, _) = signing_client(&one, "newest").await;
        assert_eq!(outcome(&other, &assertion(&one, &newest, "newest", "1")).await.0, 200);
    })
    .await;
}

/// T24: the way that is registered is the only way.
#[tokio::test]
async fn neither_a_secret_for_an_assertion_nor_the_other_way_round() {
    let site = Site::start().await;
    let (signer, crm) = signing_client(&site, "crm").await;
    let plain = client_with(&site, "plain", |app| (app.client_credentials, app.device) = (true, true)).await;
    let grant = [("grant_type", "client_credentials"), ("audience", "billing")];
    let in_body = [&grant[..], &[("client_id", "crm"), ("client_secret", &crm.secret)]].concat();
    for ask in [
        Ask::post("/oauth/token").by(&crm).form(&grant),
        Ask::post("/oauth/token").form(&in_body),
        Ask::post("/oauth/token").form(&[&grant[..], &[("client_id", "crm")]].concat()),
        Ask::post("/oauth/revoke").by(&crm).form(&[("token", "x")]),
        Ask::post("/oauth/device_authorization").by(&crm).form(&[]),
    ] {
        assert_eq!(error(&site.send(ask).await), refused());
    }
    assert_eq!(site.send(Ask::post("/oauth/token").by(&plain).form(&grant)).await.status, 200);
    assert_eq!(outcome(&site, &assertion(&site, &signer, "plain", "1")).await, refused(), "it has declared no key");
    let native = native_client(&site, "tool", &[CALLBACK]).await;
    assert_eq!(outcome(&site, &assertion(&site, &signer, &native.key, "1")).await, refused());
    assert_eq!(outcome(&site, &assertion(&site, &signer, "nobody", "1")).await, refused());
    assert_eq!(outcome(&site, &assertion(&site, &signer, "crm", "1")).await.0, 200);
}

#[tokio::test]
async fn two_ways_in_one_request_are_none() {
    let site = Site::start().await;
    let (signer, crm) = signing_client(&site, "crm").await;
    let good = assertion(&site, &signer, "crm", "1");
    let shown = [TYPE, ("client_assertion", &good)];
    let with = |more: &[(&'static str, &str)]| {
        let fields: Vec<_> =
            [&[("grant_type", "client_credentials"), ("audience", "billing")], &shown[..], more].concat();
        Ask::post("/oauth/token").form(&fields)
    };
    let ways = [
        (with(&[]).by(&crm), 400, "invalid_request"),
        (with(&[("client_id", "crm"), ("client_secret", &crm.secret)]), 400, "invalid_request"),
        (with(&[("client_secret", "")]), 400, "invalid_request"),
        (with(&[("client_assertion", &good)]), 400, "invalid_request"),
        (with(&[("client_id", "plain")]), 401, "invalid_client"),
        (with(&[]).header("origin", "https://evil.com"), 403, "forbidden"),
        (Ask::post("/introspect").by(&crm).form(&[("token", "x"), shown[0], shown[1]]), 400, "invalid_request"),
        (Ask::post("/introspect").by(&crm).form(&[("token", "x"), ("client_id", "crm")]), 400, "invalid_request"),
        (Ask::post("/oauth/revoke").by(&crm).form(&[("token", "x"), shown[0], shown[1]]), 400, "invalid_request"),
        (
            Ask::post("/oauth/token").form(&[("grant_type", "client_credentials"), ("client_assertion", &good)]),
            400,
            "invalid_request",
        ),
        (Ask::post("/oauth/token").form(&[("grant_type", "client_credentials"), TYPE]), 400, "invalid_request"),
    ];
    for (number, (ask, status, code)) in ways.into_iter().enumerate() {
        assert_eq!(error(&site.send(ask).await), (status, code.to_owned()), "{number}");
    }
    let other = [("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), shown[1]];
    assert_eq!(error(&tokens_by(&site, &other).await), (400, "invalid_request".to_owned()));
    assert_eq!(outcome(&site, &good).await.0, 200, "nobody has used it up");
}

/// T26, T27, T28, T29. What exactly is refused and why is in `core/oidc/client_assertion`; here, that nothing lies between that and the door.
#[tokio::test]
async fn what_is_not_signed_by_the_client_for_us_and_now_is_nothing() {
    let site = Site::start().await;
    let (signer, _) = signing_client(&site, "crm").await;
    let (other, _) = signing_client(&site, "other").await;
    let now = site.now().as_seconds();
    let header = signer.header("k1");
    let with = |name: &str, value: Value| claims(&site, "crm", name, &[(name, value)]);
    // Another client's key, under the name of this one's.
    assert_eq!(outcome(&site, &other.sign(&header, &claims(&site, "crm", "x", &[]))).await, refused());
    // The public key, as everybody can read it, for a secret.
    let jwk = signer.jwk("k1").to_string();
    let hmac = Signer { key: PrivateKey::from_stored(Algorithm::Hs256, jwk.as_bytes()).expect("long enough") };
    assert_eq!(outcome(&site, &hmac.sign(&hmac.header("k1"), &claims(&site, "crm", "x", &[]))).await, refused());
    let mut brought = header.clone();
    brought["jwk"] = other.jwk("k1");
    assert_eq!(outcome(&site, &other.sign(&brought, &claims(&site, "crm", "x", &[]))).await, refused());
    for bad in [
        with("aud", json!(format!("{HOME}/oauth/token"))),
        with("aud", json!([HOME])),
        with("aud", json!([HOME, "https://evil.com"])),
        with("aud", json!("https://evil.com")),
        with("exp", json!((now + 60).to_string())),
        with("exp", json!(now + 3600)),
        with("exp", json!(now - 1)),
        with("iat", json!(now + 3600)),
        with("sub", json!("other")),
        with("jti", Value::Null),
    ] {
        assert_eq!(outcome(&site, &signer.sign(&header, &bad)).await, refused(), "{bad}");
    }
    for garbage in ["", ".", "..", "a.b.c", &"a".repeat(9000)] {
        assert_eq!(outcome(&site, garbage).await, refused());
    }
    assert_eq!(outcome(&site, &assertion(&site, &signer, "crm", "good")).await.0, 200);
}

/// Two keys at a time, and each change of the declaration at once.
#[tokio::test]
async fn keys_are_rotated_without_a_gap() {
    let site = Site::start().await;
    let (old, new) = (Signer::new(Algorithm::Rs256), Signer::new(Algorithm::EdDsa));
    client_with(&site, "crm", |app| app.client_credentials = true).await;
    let declare = async |keys: &[Value]| {
        let mut write = site.store().write().await.expect("writes");
        let mut app = stored::find(&mut write, &"crm".parse().expect("a key")).await.expect("reads").expect("there");
        app.jwks = Some(set(keys));
        stored::upsert(&mut write, &app, site.now()).await.expect("writes");
        write.commit().await.expect("commits");
    };
    let by = |signer: &Signer, kid: &str, jti: &str| signer.sign(&signer.header(kid), &claims(&site, "crm", jti, &[]));
    declare(&[old.jwk("old")]).await;
    assert_eq!(outcome(&site, &by(&old, "old", "1")).await.0, 200);
    assert_eq!(outcome(&site, &by(&new, "new", "2")).await, refused());
    declare(&[old.jwk("old"), new.jwk("new")]).await;
    assert_eq!(outcome(&site, &by(&old, "old", "3")).await.0, 200);
    assert_eq!(outcome(&site, &by(&new, "new", "2")).await.0, 200);
    assert_eq!(outcome(&site, &by(&new, "old", "4")).await, refused());
    declare(&[new.jwk("new")]).await;
    assert_eq!(outcome(&site, &by(&old, "old", "5")).await, refused());
    assert_eq!(outcome(&site, &by(&new, "new", "6")).await.0, 200);
}

#[tokio::test]
async fn a_client_that_keeps_nothing_to_itself_has_no_keys() {
    let site = Site::start().await;
    let signer = Signer::new(Algorithm::EdDsa);
    for (kind, taken) in [(ClientKind::Confidential, true), (ClientKind::Browser, false), (ClientKind::Native, false)] {
        let mut write = site.store().write().await.expect("writes");
        let key = "pos".parse().expect("a key");
        let mut app = stored::find(&mut write, &key).await.expect("reads").expect("there");
        (app.client.kind, app.jwks) = (kind, Some(set(&[signer.jwk("k1")])));
        match apps::put(&mut write, &app, &Actor::Cli, site.now()).await {
            Ok(()) => assert!(taken, "{kind:?}"),
            Err(AdminError::Refused(why)) => assert!(!taken && why.contains("jwks"), "{why}"),
            Err(other) => panic!("{other}"),
        }
    }
}
