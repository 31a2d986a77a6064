//! A provider says that somebody has signed out there: OIDC Back-Channel Logout 1.0, received. What ends is what it names, by its own word alone.

use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_core::session::EndReason;
use hallpass_store::provider_sessions::{self, ProviderSession};
use serde_json::json;

use super::fake::sign;
use super::*;
use crate::support::{Answer, Ask, NOW, PASS};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const THERE: &str = "/upstream/oidc/backchannel-logout/fake";

/// Claims that are good for `sid` of whoever signs in at the fake.
fn claims(fake: &Fake, sid: &str, jti: &str) -> Value {
    json!({
        "iss": fake.issuer, "aud": "hallpass", "iat": NOW, "exp": NOW + 120, "jti": jti, "events": { EVENT: {} },
        "sub": "mia-there", "sid": sid,
    })
}

fn signed(fake: &Fake, claims: &Value) -> String {
    sign(&fake.key, &json!({ "alg": "EdDSA", "kid": "one", "typ": "logout+jwt" }), claims)
}

async fn tell(site: &Site, path: &str, token: &str) -> Answer {
    site.send(Ask::post(path).form(&[("logout_token", token)])).await
}

async fn why_ended(site: &Site, browser: &Browser<'_>) -> Option<EndReason> {
    session_of(site, browser).await.expect("a session").ended.map(|ended| ended.reason)
}

/// Somebody who has signed in at the fake, in a session that is called `sid` there.
async fn mia<'s>(site: &'s Site, fake: &Fake, sid: &'static str) -> Browser<'s> {
    let mut browser = Browser::new(site);
    assert_eq!(trip(&mut browser, fake, claim("sid", json!(sid))).await.url.path(), "/");
    browser
}

#[tokio::test]
async fn the_session_that_is_named_ends_and_no_other() {
    let (site, fake) = with_fake(|_| ()).await;
    let (mut one, two) = (mia(&site, &fake, "s-1").await, mia(&site, &fake, "s-2").await);
    let local = site.signed_in(&site.ana).await;
    one.open("/sign-in?app=wiki").await;
    let pass = one.cookie("https://wiki.company.com/", PASS).expect("a pass");
    assert!(site.is_active(&site.wiki, &pass).await);
    let answer = tell(&site, THERE, &signed(&fake, &claims(&fake, "s-1", "a"))).await;
    assert_eq!((answer.status, &*answer.body), (200, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(why_ended(&site, &one).await, Some(EndReason::UpstreamEnded));
    assert_eq!(why_ended(&site, &two).await, None);
    assert!(site.is_active(&site.pos, &local.pass).await, "nor whoever has a password");
    assert!(!site.is_active(&site.wiki, &pass).await, "for every app at once");
    assert_eq!(one.open("/account").await.url.path(), "/sign-in");
    assert_eq!(reasons(&site, "session_ended").await.len(), 1);
    // And what is not there is over already.
    assert_eq!(tell(&site, THERE, &signed(&fake, &claims(&fake, "s-1", "b"))).await.status, 200);
    assert_eq!(reasons(&site, "session_ended").await.len(), 1);
}

#[tokio::test]
async fn without_a_session_all_of_the_persons_end_and_nobody_elses() {
    let (site, fake) = with_fake(|_| ()).await;
    let (one, two) = (mia(&site, &fake, "s-1").await, mia(&site, &fake, "s-2").await);
    let mut ben = Browser::new(&site);
    let other = |claims: &mut Value| {
        (claims["sub"], claims["preferred_username"], claims["sid"]) = (json!("ben"), json!("ben"), json!("s-3"));
    };
    trip(&mut ben, &fake, other).await;
    let mut said = claims(&fake, "", "a");
    said.as_object_mut().expect("an object").remove("sid");
    assert_eq!(tell(&site, THERE, &signed(&fake, &said)).await.status, 200);
    for browser in [&one, &two] {
        assert_eq!(why_ended(&site, browser).await, Some(EndReason::UpstreamEnded));
    }
    assert_eq!(why_ended(&site, &ben).await, None);
    // A pair that is mixed up: the session of one and the name of the other.
    let said = claims(&fake, "s-3", "b");
    assert_eq!(tell(&site, THERE, &signed(&fake, &said)).await.status, 200);
    assert_eq!(why_ended(&site, &ben).await, None);
    let mut said = claims(&fake, "s-3", "c");
    said.as_object_mut().expect("an object").remove("sub");
    assert_eq!(tell(&site, THERE, &signed(&fake, &said)).await.status, 200);
    assert_eq!(why_ended(&site, &ben).await, Some(EndReason::UpstreamEnded));
}

/// Each of these ended a session somewhere once.
#[tokio::test]
async fn what_is_no_logout_token_of_this_provider_for_us_ends_nothing() {
    let (site, fake) = with_fake(|_| ()).await;
    let browser = mia(&site, &fake, "s-1").await;
    let good = || claims(&fake, "s-1", "a");
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        signed(&fake, &claims)
    };
    let mut id_token = fake.claims("n");
    id_token["sid"] = json!("s-1");
    let stranger = PrivateKey::generate(Algorithm::EdDsa);
    let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "logout+jwt" });
    let none = sign(&fake.key, &json!({ "alg": "none", "typ": "logout+jwt" }), &good());
    let mut logged = Vec::new();
    let hmac = PrivateKey::from_stored(Algorithm::Hs256, SECRET.repeat(4).as_bytes()).expect("long enough");
    for (token, why) in [
        (signed(&fake, &id_token), "no_logout_event"),
        (sign(&fake.key, &json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" }), &id_token), "no_logout_event"),
        (with("nonce", json!("n")), "nonce"),
        (with("iat", json!(NOW - 361)), "old"),
        (with("iat", json!(NOW + 61)), "issued_in_future"),
        (with("exp", json!(NOW - 60)), "expired"),
        (with("aud", json!("other")), "wrong_audience"),
        (with("iss", json!("https://evil.example")), "wrong_issuer"),
        (with("events", json!({})), "no_logout_event"),
        (with("jti", json!("")), "no_identifier"),
        (format!("{}.", none.rsplit_once('.').expect("parts").0), "wrong_algorithm"),
        (none, "wrong_algorithm"),
        (sign(&hmac, &json!({ "alg": "HS256", "typ": "logout+jwt" }), &good()), "wrong_algorithm"),
        (sign(&stranger, &header, &good()), "bad_signature"),
        (sign(&stranger, &json!({ "alg": "EdDSA", "kid": "two" }), &good()), "unknown_key"),
        (sign(&fake.key, &json!({ "alg": "EdDSA", "kid": "one", "typ": "at+jwt" }), &good()), "wrong_type"),
        ("x".to_owned(), "malformed"),
    ] {
        let answer = tell(&site, THERE, &token).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "{why}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(!answer.body.contains(why), "a stranger is not told why");
        logged.push(why);
        logged.sort_unstable();
        let mut said = reasons(&site, "upstream_sign_out_refused").await;
        said.sort_unstable();
        assert_eq!(said, logged);
        assert_eq!(why_ended(&site, &browser).await, None, "{why}");
    }
    let many = Ask::post(THERE).form(&[("logout_token", "x"), ("logout_token", "y")]);
    assert_eq!(site.send(many).await.status, 400);
    assert_eq!(site.send(Ask::post(THERE).form(&[])).await.status, 400);
    assert_eq!(site.send(Ask::post(THERE).json(&json!({ "logout_token": with("jti", json!("z")) }))).await.status, 415);
    assert_eq!(tell(&site, "/upstream/oidc/backchannel-logout/other", &signed(&fake, &good())).await.status, 404);
    assert_eq!(why_ended(&site, &browser).await, None);
    let more = Ask::post(THERE).form(&[("logout_token", &signed(&fake, &good())), ("state", "x")]);
    assert_eq!(site.send(more).await.status, 200, "after all of that the good one counts, whatever else comes with it");
    assert!(why_ended(&site, &browser).await.is_some());
}

/// One provider's word ends nothing of another's, though both call the session and its person by the same names.
#[tokio::test]
async fn another_providers_token_ends_nothing_here() {
    let (fake, evil) = (Fake::start().await, Fake::start().await);
    let providers = vec![provider("fake", &fake.issuer, |_| ()), provider("evil", &evil.issuer, |_| ())];
    let site = company(providers).await;
    let browser = mia(&site, &fake, "s-1").await;
    let own = signed(&evil, &claims(&evil, "s-1", "a"));
    assert_eq!(tell(&site, "/upstream/oidc/backchannel-logout/evil", &own).await.status, 200, "it speaks for itself");
    assert_eq!(tell(&site, THERE, &own).await.status, 400);
    let pretends = signed(&evil, &claims(&fake, "s-1", "b"));
    assert_eq!(tell(&site, "/upstream/oidc/backchannel-logout/evil", &pretends).await.status, 400);
    assert_eq!(tell(&site, THERE, &pretends).await.status, 400);
    assert_eq!(why_ended(&site, &browser).await, None);
}

/// Whoever has seen a token cannot sign people out with it again and again.
#[tokio::test]
async fn a_token_counts_once() {
    let (site, fake) = with_fake(|_| ()).await;
    mia(&site, &fake, "s-1").await;
    let mut said = claims(&fake, "", "a");
    said.as_object_mut().expect("an object").remove("sid");
    let token = signed(&fake, &said);
    assert_eq!(tell(&site, THERE, &token).await.status, 200);
    site.wait(2);
    let mut again = Browser::new(&site);
    trip(&mut again, &fake, |claims| {
        (claims["iat"], claims["sid"]) = (json!(NOW + 2), json!("s-2"));
    })
    .await;
    assert_eq!(tell(&site, THERE, &token).await.status, 400);
    assert_eq!(reasons(&site, "upstream_sign_out_refused").await, ["used"]);
    assert_eq!(why_ended(&site, &again).await, None);
    // The same identifier in another one's hands is another token.
    said["aud"] = json!(["hallpass"]);
    assert_eq!(tell(&site, THERE, &signed(&fake, &said)).await.status, 400, "it is the identifier that counts");
}

/// A provider that has never said which session it was: its person's sessions end.
#[tokio::test]
async fn a_session_without_a_name_ends_with_its_person() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, claim("sid", json!(7))).await;
    let named = mia(&site, &fake, "s-2").await;
    assert_eq!(tell(&site, THERE, &signed(&fake, &claims(&fake, "s-1", "a"))).await.status, 200);
    assert_eq!(why_ended(&site, &browser).await, Some(EndReason::UpstreamEnded));
    assert_eq!(why_ended(&site, &named).await, None);
}

/// Signed out there while the sign-in was on its way here: it does not arrive. Who signs in again does.
#[tokio::test]
async fn a_sign_in_that_was_overtaken_does_not_arrive() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    let left = leave(&mut browser, "fake", "").await;
    let mut said = fake.claims(&left.nonce);
    said["sid"] = json!("s-1");
    fake.gives(&said);
    assert_eq!(tell(&site, THERE, &signed(&fake, &claims(&fake, "s-1", "a"))).await.status, 200);
    let landing = browser.open(&callback("fake", "c", &left.state)).await;
    assert_refused(&site, &browser, &landing, "upstream_session_ending").await;
    assert_eq!(reasons(&site, "session_ended").await.len(), 1, "the one that had just begun");
    site.wait(2);
    let mut again = Browser::new(&site);
    let landing = trip(&mut again, &fake, |claims| {
        (claims["iat"], claims["sid"]) = (json!(NOW + 2), json!("s-1"));
    });
    assert_eq!(landing.await.url.path(), "/", "under the same name there, too");
}

/// A fault is no 400, after which a provider would not come again; and nothing is used up by it.
#[tokio::test]
async fn while_its_keys_cannot_be_had_it_is_told_to_come_again() {
    let (site, fake) = with_fake(|_| ()).await;
    let browser = mia(&site, &fake, "s-1").await;
    site.wait(901);
    let mut said = claims(&fake, "s-1", "a");
    (said["iat"], said["exp"]) = (json!(NOW + 901), json!(NOW + 1000));
    fake.fails("keys", Some(500));
    let answer = tell(&site, THERE, &signed(&fake, &said)).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(why_ended(&site, &browser).await, None);
    fake.fails("keys", None);
    site.wait(3);
    assert_eq!(tell(&site, THERE, &signed(&fake, &said)).await.status, 200);
    assert!(why_ended(&site, &browser).await.is_some());
}

/// What is remembered goes with the session, and what was said after an hour.
#[tokio::test]
async fn nothing_is_kept_for_ever() {
    let (site, fake) = with_fake(|_| ()).await;
    let browser = mia(&site, &fake, "s-1").await;
    let session = session_of(&site, &browser).await.expect("a session").id;
    assert_eq!(tell(&site, THERE, &signed(&fake, &claims(&fake, "s-1", "a"))).await.status, 200);
    let came_of = ProviderSession {
        session,
        issuer: fake.issuer.clone(),
        there: hallpass_core::upstream::oidc::There {
            subject: "mia-there".to_owned(),
            sid: Some("s-1".to_owned()),
            issued_at: hallpass_core::time::Timestamp::from_seconds(NOW),
        },
        id_token: None,
    };
    let known = async || {
        let mut read = site.store().read().await.expect("reads");
        provider_sessions::is_overtaken(&mut read, &came_of).await.expect("reads")
    };
    assert!(known().await);
    site.wait(3599);
    hallpass_server::jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
    assert!(known().await);
    site.wait(2);
    hallpass_server::jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
    assert!(!known().await);
}
