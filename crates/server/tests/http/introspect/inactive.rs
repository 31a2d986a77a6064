//! Every doubt about the credential is exactly `{"active":false}`, and every one of these is a doubt.

use std::time::Duration;

use hallpass_core::app::Access;
use hallpass_core::crypto::{Algorithm, PrivateKey, SystemRandom};
use hallpass_core::id::{KeyId, SessionId};
use hallpass_core::jose::{self, Kind};
use hallpass_core::keyring::{Purpose, SigningKey};
use hallpass_store::users;
use serde_json::{Value, json};

use crate::support::{Ask, HOME, NOW, SignedIn, Site};

/// The claims of a pass of `ana`, as they should be.
fn claims(ana: &SignedIn) -> Value {
    json!({
        "ver": 1, "iss": HOME, "aud": "home", "sub": ana.session.user_id, "sid": ana.session.id,
        "iat": NOW, "exp": NOW + 900, "auth_time": NOW,
    })
}

async fn signed(site: &Site, purpose: Purpose, kind: Kind, claims: &Value) -> String {
    let policy = site.engine.context.view.policy().await.expect("reads");
    jose::sign(policy.keyring.signer(purpose, site.now()).expect("a key"), kind, claims)
}

#[tokio::test]
async fn the_forgery_kit_itself_makes_good_passes() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let token = signed(&site, Purpose::Pass, Kind::Pass, &claims(&ana)).await;
    assert!(site.is_active(&site.pos, &token).await, "else the tests below prove nothing");
}

/// T22, T26, T28, T30: malformed, truncated, oversize, of another kind, by another key, in another version.
#[tokio::test]
async fn a_token_that_is_not_exactly_a_pass_is_inactive() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let pass = &ana.pass;
    let mut tokens: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| tokens.push((name.to_owned(), token));
    for text in ["", ".", "..", "...", "x", "null", "{}", "hp_ss_", "\u{0}", "a.b.c", " "] {
        add("malformed", text.to_owned());
    }
    add("with a space", format!("{pass} "));
    add("padded", format!("{pass}="));
    add("in quotes", format!("\"{pass}\""));
    add("a fourth part", format!("{pass}.e30"));
    add("oversize", format!("{pass}{}", "A".repeat(9000)));
    add("the session's secret", ana.cookie.clone());
    let parts: Vec<&str> = pass.split('.').collect();
    add("no signature", format!("{}.{}.", parts[0], parts[1]));
    add("another header", format!("eyJhbGciOiJub25lIn0.{}.{}", parts[1], parts[2]));
    add("no algorithm", format!("eyJhbGciOiJub25lIn0.{}.", parts[1]));
    let foreign = SigningKey {
        kid: KeyId::mint(&mut SystemRandom),
        purpose: Purpose::Pass,
        private: PrivateKey::generate(Algorithm::EdDsa),
        created_at: site.now(),
        signs_from: site.now(),
        signs_until: None,
        verifies_until: None,
    };
    add("a foreign key", jose::sign(&foreign, Kind::Pass, &claims(&ana)));
    let policy = site.engine.context.view.policy().await.expect("reads");
    let own = policy.keyring.signer(Purpose::Pass, site.now()).expect("a key").kid;
    add("a foreign key under our name", jose::sign(&SigningKey { kid: own, ..foreign }, Kind::Pass, &claims(&ana)));
    let confused = SigningKey {
        kid: own,
        purpose: Purpose::Pass,
        private: PrivateKey::from_stored(Algorithm::Hs256, &[0; 32]).expect("a key"),
        created_at: site.now(),
        signs_from: site.now(),
        signs_until: None,
        verifies_until: None,
    };
    add("another algorithm", jose::sign(&confused, Kind::Pass, &claims(&ana)));
    add("of another kind", signed(&site, Purpose::Pass, Kind::AccessToken, &claims(&ana)).await);
    add("by a key for another kind", signed(&site, Purpose::Token, Kind::Pass, &claims(&ana)).await);
    for (name, member, value) in [
        ("an unknown version", "ver", json!(2)),
        ("a version in text", "ver", json!("1")),
        ("another issuer", "iss", json!("https://auth.company.com/")),
        ("another zone", "aud", json!("elsewhere")),
        ("two zones", "aud", json!(["home", "elsewhere"])),
        ("another user", "sub", json!("u_aaaaaaaaaaaaaaaaaaaaaaaaaa")),
        ("an unknown session", "sid", json!(SessionId::mint(&mut SystemRandom))),
        ("an expiry in text", "exp", json!("1800000900")),
        ("an expiry with a fraction", "exp", json!(1_800_000_900.5)),
        ("an expiry far away", "exp", json!(NOW + 901)),
        ("an expiry before its issue", "exp", json!(NOW - 1)),
        ("already over", "exp", json!(NOW)),
        ("from the future", "iat", json!(NOW + 6)),
        ("no session", "sid", Value::Null),
        ("one claim more", "roles", json!(["admin"])),
    ] {
        let mut claims = claims(&ana);
        claims[member] = value;
        tokens.push((name.to_owned(), signed(&site, Purpose::Pass, Kind::Pass, &claims).await));
    }
    for missing in ["ver", "iss", "aud", "sub", "sid", "iat", "exp", "auth_time"] {
        let mut claims = claims(&ana);
        claims.as_object_mut().expect("an object").remove(missing);
        tokens.push((format!("without {missing}"), signed(&site, Purpose::Pass, Kind::Pass, &claims).await));
    }
    for (name, token) in &tokens {
        assert!(!site.is_active(&site.pos, token).await, "{name}: {token}");
    }
    assert!(site.is_active(&site.pos, pass).await, "and the pass itself is as good as before");
}

/// T22: every proper prefix and suffix, and every single changed character.
#[tokio::test]
async fn no_altered_pass_is_active() {
    let site = Site::start().await;
    let pass = site.signed_in(&site.ana).await.pass;
    let mut altered: Vec<String> =
        (1..pass.len()).flat_map(|at| [pass[..at].to_owned(), pass[at..].to_owned()]).collect();
    for (at, character) in pass.char_indices() {
        let other = if character == 'A' { 'B' } else { 'A' };
        altered.push(format!("{}{other}{}", &pass[..at], &pass[at + 1..]));
    }
    assert!(altered.len() > 1000);
    for chunk in altered.chunks(80) {
        let answer = site.send(Ask::post("/introspect").by(&site.pos).json(&json!({ "tokens": chunk }))).await.json();
        for (token, result) in chunk.iter().zip(answer["results"].as_array().expect("results")) {
            assert_eq!(*result, json!({ "active": false }), "{token}");
        }
    }
}

/// T33, T35: what one app may know, another may not.
#[tokio::test]
async fn another_apps_question_says_nothing() {
    let site = Site::start().await;
    let shop = site
        .app("shop", |app| {
            app.zone = "elsewhere".parse().expect("a name");
            app.origins = vec!["https://shop.company2.com".parse().expect("an origin")];
            app.access = Access::Everyone;
        })
        .await;
    let hr = site.app("hr", |_| ()).await;
    let ana = site.signed_in(&site.ana).await;
    assert!(site.is_active(&site.pos, &ana.pass).await && site.is_active(&site.wiki, &ana.pass).await);
    assert!(!site.is_active(&hr, &ana.pass).await, "no role and no permission in hr");
    assert!(!site.is_active(&shop, &ana.pass).await, "the pass of another zone");
    let pass_elsewhere = site.pass(&ana.session, "elsewhere").await;
    assert!(site.is_active(&shop, &pass_elsewhere).await);
    assert!(!site.is_active(&site.pos, &pass_elsewhere).await);
    let wiki = site.introspect(&site.wiki, &ana.pass).await;
    assert_eq!(
        (&wiki["roles"], &wiki["permissions"], &wiki["scope"]),
        (&json!([]), &json!([]), &json!("")),
        "what she is at pos is not for wiki"
    );
    assert_ne!(wiki["csrf_token"], site.introspect(&site.pos, &ana.pass).await["csrf_token"]);
}

#[tokio::test]
async fn what_the_person_is_now_decides() {
    let site = Site::start().await;
    let people = ["ended", "disabled", "removed", "forced", "unassigned"];
    let mut passes = Vec::new();
    for name in people {
        let user = site.user(name).await;
        site.cashier(&user, true).await;
        let signed_in = site.signed_in(&user).await;
        assert!(site.is_active(&site.pos, &signed_in.pass).await, "{name}");
        passes.push((user, signed_in));
    }
    site.end(&passes[0].1.session).await;
    site.disable(&passes[1].0).await;
    let mut write = site.store().write().await.expect("writes");
    assert!(users::remove(&mut write, &passes[2].0.id, site.now()).await.expect("writes"));
    write.commit().await.expect("commits");
    site.must_change_password(&passes[3].0).await;
    site.cashier(&passes[4].0, false).await;
    for (user, signed_in) in &passes {
        assert!(!site.is_active(&site.pos, &signed_in.pass).await, "{user:?}");
    }
}

/// T64: at the limit itself it is too late, a second before it is not.
#[tokio::test]
async fn every_limit_holds_to_the_second() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.wait(899);
    assert!(site.is_active(&site.pos, &ana.pass).await, "the pass lives 900 s");
    site.wait(1);
    assert!(!site.is_active(&site.pos, &ana.pass).await);

    // Inactivity: an hour after the last question about it, 899 s after the start.
    site.wait(3599 - 1);
    let fresh = site.pass(&ana.session, "home").await;
    assert!(site.is_active(&site.pos, &fresh).await, "3599 s after it was last seen");
    site.wait(3600);
    let fresh = site.pass(&ana.session, "home").await;
    assert!(!site.is_active(&site.pos, &fresh).await, "3600 s after it was last seen");

    // Absolute: a day, whatever one does meanwhile.
    let bob = site.user("bob").await;
    site.cashier(&bob, true).await;
    let bob = site.signed_in(&bob).await;
    for _ in 0..47 {
        site.wait(1800);
        assert!(site.is_active(&site.pos, &site.pass(&bob.session, "home").await).await);
    }
    site.wait(1799);
    let last = site.pass(&bob.session, "home").await;
    assert!(site.is_active(&site.pos, &last).await, "86 399 s");
    site.advance(Duration::from_secs(1));
    let claims = json!({ "ver": 1, "iss": HOME, "aud": "home", "sub": bob.session.user_id, "sid": bob.session.id,
        "iat": site.now().as_seconds(), "exp": site.now().as_seconds() + 60, "auth_time": NOW });
    let beyond = signed(&site, Purpose::Pass, Kind::Pass, &claims).await;
    assert!(!site.is_active(&site.pos, &beyond).await, "86 400 s, even with a pass that is not over");
}
