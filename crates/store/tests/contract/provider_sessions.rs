//! Sessions that came of a sign-in at another provider: what it says to have ended ends here, once, and a sign-in that crosses it does not get away.

use data_encoding::BASE64URL_NOPAD;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_core::jwk;
use hallpass_core::session::EndReason;
use hallpass_core::upstream::oidc::logout_token::{self, Expected};
use hallpass_core::upstream::oidc::{Issuer, KeySet, SignOut, There};
use hallpass_store::provider_sessions::{self, ProviderSession};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::{Store, Write};
use serde_json::json;

use crate::support::*;

const ISSUER: &str = "https://accounts.example";

/// The provider's word. Nothing but a signed token makes one.
fn said(issuer: &str, subject: Option<&str>, sid: Option<&str>, jti: &str) -> SignOut {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = json!({ "keys": [jwk::write(key.public().expect("asymmetric"), "one")] }).to_string();
    let mut claims = json!({
        "iss": issuer, "aud": "hallpass", "iat": NOW.as_seconds(), "jti": jti,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    if let Some(subject) = subject {
        claims["sub"] = subject.into();
    }
    if let Some(sid) = sid {
        claims["sid"] = sid.into();
    }
    let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "one" })), part(&claims));
    let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes())));
    let own = Issuer::Exact(issuer.into());
    let expected = Expected { issuer: &own, client_id: "hallpass", algorithms: &[Algorithm::EdDsa] };
    logout_token::verify(&token, &KeySet::read(keys.as_bytes()).expect("keys"), &expected, NOW).expect("good")
}

fn came_of(new: &NewSession, issuer: &str, subject: &str, sid: Option<&str>) -> ProviderSession {
    let there = There { subject: subject.to_owned(), sid: sid.map(str::to_owned), issued_at: NOW };
    ProviderSession { session: new.session.id, issuer: issuer.to_owned(), there, id_token: Some(vec![1, 2, 3]) }
}

async fn begun(write: &mut Write, user: &hallpass_core::user::User, subject: &str, sid: Option<&str>) -> NewSession {
    let new = session(user);
    assert!(sessions::start(write, &new).await.expect("starts"));
    provider_sessions::record(write, &came_of(&new, ISSUER, subject, sid)).await.expect("writes");
    new
}

async fn is_over(store: &Store, new: &NewSession) -> bool {
    let mut read = store.read().await.expect("reads");
    sessions::find(&mut read, &new.session.id).await.expect("reads").expect("is there").ended.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_ends_and_nothing_else() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (ana, ben) = (added_user(&mut write, "ana").await, added_user(&mut write, "ben").await);
        let one = begun(&mut write, &ana, "a", Some("1")).await;
        let two = begun(&mut write, &ana, "a", Some("2")).await;
        let unnamed = begun(&mut write, &ana, "a", None).await;
        let bens = begun(&mut write, &ben, "b", Some("3")).await;
        let elsewhere = session(&ana);
        assert!(sessions::start(&mut write, &elsewhere).await.expect("starts"));
        let other = came_of(&elsewhere, "https://other.example", "a", Some("1"));
        provider_sessions::record(&mut write, &other).await.expect("writes");
        let all = [&one, &two, &unnamed, &bens, &elsewhere];
        let mut end = async |said: SignOut| -> Vec<usize> {
            let ended = provider_sessions::end(&mut write, &said, NOW).await.expect("ends");
            let position = |id| all.iter().position(|new| new.session.id == id).expect("one of them");
            let mut ended: Vec<usize> = ended.into_iter().map(|(id, _)| position(id)).collect();
            ended.sort_unstable();
            ended
        };
        assert!(end(said(ISSUER, Some("a"), Some("3"), "x")).await == [2], "a mixed-up pair: only what has no name");
        assert!(end(said(ISSUER, None, Some("9"), "x")).await.is_empty());
        assert_eq!(end(said(ISSUER, Some("a"), Some("1"), "x")).await, [0]);
        assert_eq!(end(said(ISSUER, Some("a"), None, "x")).await, [1]);
        assert_eq!(end(said(ISSUER, None, Some("3"), "x")).await, [3]);
        assert_eq!(end(said("https://other.example", Some("a"), None, "x")).await, [4]);
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        let ended = sessions::find(&mut read, &one.session.id).await.expect("reads").expect("is there").ended;
        assert_eq!(ended.map(|ended| ended.reason), Some(EndReason::UpstreamEnded));
    })
    .await;
}

/// A token that comes to several nodes at once is taken by one of them, and never again.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_take_one_token_at_once_one_does() {
    on_both(|database| async move {
        let token = said(ISSUER, Some("a"), None, "x");
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (store, token) = (database.store.clone(), token.clone());
            racing.spawn(async move {
                let mut write = store.write().await.expect("writes");
                let taken = provider_sessions::take(&mut write, &token, NOW).await.expect("asks");
                write.commit().await.expect("commits");
                taken
            });
        }
        assert_eq!(racing.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
        let mut write = database.write().await;
        assert!(!provider_sessions::take(&mut write, &token, later(60)).await.expect("asks"));
        let others = said("https://other.example", Some("a"), None, "x");
        assert!(provider_sessions::take(&mut write, &others, NOW).await.expect("asks"));
    })
    .await;
}

/// Sign-ins and the end of what they came of, at once on several nodes: whatever the order, nobody is signed in afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_and_a_sign_out_that_cross_do_not_miss_each_other() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        write.commit().await.expect("commits");
        for round in 0..16 {
            let sid = format!("s-{round}");
            let token = said(ISSUER, Some("a"), Some(&sid), &sid);
            let new = session(&ana);
            let of = came_of(&new, ISSUER, "a", Some(&sid));
            let (store, started) = (database.store.clone(), new.clone());
            let signing_in = tokio::spawn(async move {
                let mut write = store.write().await.expect("writes");
                assert!(sessions::start(&mut write, &started).await.expect("starts"));
                provider_sessions::record(&mut write, &of).await.expect("writes");
                write.commit().await.expect("commits");
                provider_sessions::is_overtaken(&mut store.read().await.expect("reads"), &of).await.expect("reads")
            });
            let store = database.store.clone();
            let signing_out = tokio::spawn(async move {
                let mut write = store.write().await.expect("writes");
                assert!(provider_sessions::take(&mut write, &token, NOW).await.expect("takes"));
                provider_sessions::end(&mut write, &token, NOW).await.expect("ends");
                write.commit().await.expect("commits");
                let mut write = store.write().await.expect("writes");
                provider_sessions::end(&mut write, &token, NOW).await.expect("ends");
                write.commit().await.expect("commits");
            });
            let (overtaken, done) = tokio::join!(signing_in, signing_out);
            done.expect("ends");
            assert!(overtaken.expect("begins") || is_over(&database.store, &new).await, "round {round}");
        }
    })
    .await;
}

/// What a sign-out there needs is given to one, when the session is over, and not kept for long.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_left_once_and_only_when_it_is_over() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let (one, two) = (begun(&mut write, &ana, "a", None).await, begun(&mut write, &ana, "a", None).await);
        let id = one.session.id;
        assert_eq!(provider_sessions::issuer_of(&mut write, &id).await.expect("reads").as_deref(), Some(ISSUER));
        assert_eq!(provider_sessions::leave(&mut write, &id).await.expect("reads"), None);
        for new in [&one, &two] {
            assert!(sessions::end(&mut write, &new.session.id, EndReason::SignedOut, NOW).await.expect("ends"));
        }
        write.commit().await.expect("commits");
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = database.store.clone();
            racing.spawn(async move {
                let mut write = store.write().await.expect("writes");
                let left = provider_sessions::leave(&mut write, &id).await.expect("reads");
                write.commit().await.expect("commits");
                left
            });
        }
        let left: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
        assert_eq!(left, [Some(vec![1, 2, 3])]);
        let mut write = database.write().await;
        assert_eq!(provider_sessions::prune(&mut write, NOW, 10).await.expect("prunes"), 0);
        assert_eq!(provider_sessions::prune(&mut write, later(1), 10).await.expect("prunes"), 1);
        assert_eq!(provider_sessions::issuer_of(&mut write, &two.session.id).await.expect("reads"), None);
    })
    .await;
}
