//! Handoff codes: issued to a live session, redeemed once, in time.

use hallpass_core::crypto::SystemRandom;
use hallpass_core::handoff::{CODE_LIFETIME, HandoffRefused, MAXIMUM_CODES, Transaction};
use hallpass_core::id::{UserId, ZoneName};
use hallpass_core::secret::{Digest, HandoffCode};
use hallpass_core::session::{EndReason, Session};
use hallpass_core::user::User;
use hallpass_core::zone::Zone;
use hallpass_store::handoffs::{self, ForApp, NewForApp, NewHandoff, NoHandoff};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::{Write, apps, zones};

use crate::support::*;

/// A live session and a zone that may redeem codes for it.
pub async fn prepared(write: &mut Write) -> (NewSession, Zone) {
    let ana = added_user(write, "ana").await;
    let new = session(&ana);
    assert!(sessions::start(write, &new).await.expect("starts"));
    let mut two = zone("two", false);
    two.alias = Some("https://sso.two.company.com".parse().expect("an origin"));
    zones::upsert(write, &two, NOW).await.expect("adds");
    (new, two)
}

/// A code to be, and what it is redeemed with.
pub fn handoff<'z>(session: &NewSession, zone: &'z Zone) -> (NewHandoff<'z>, Transaction) {
    let transaction = Transaction::begin("shop".to_owned(), None, NOW, &mut SystemRandom);
    let challenge = transaction.verifier.challenge();
    (NewHandoff { code: digest(), zone: &zone.name, app: None, session: session.session.id, challenge }, transaction)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_redeemed_once_and_in_time() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (session, two) = prepared(&mut write).await;
        let (new, transaction) = handoff(&session, &two);
        assert_eq!(handoffs::issue(&mut write, &new, NOW).await.expect("issues"), Ok(()));
        let redeemed = handoffs::redeem(&mut write, &new.code, later(29)).await.expect("redeems").expect("good");
        assert_eq!((redeemed.zone(), redeemed.session()), (&two.name, session.session.id));
        assert!(redeemed.challenge().is_answered_by(&transaction.verifier));
        let again = handoffs::redeem(&mut write, &new.code, later(29)).await.expect("asks");
        assert_eq!(again.expect_err("used up"), HandoffRefused::CodeReused);

        let (late, _) = handoff(&session, &two);
        assert_eq!(handoffs::issue(&mut write, &late, NOW).await.expect("issues"), Ok(()));
        let at = NOW + CODE_LIFETIME;
        let expired = handoffs::redeem(&mut write, &late.code, at).await.expect("asks");
        assert_eq!(expired.expect_err("a moment too late"), HandoffRefused::CodeExpired);
        let unknown: Digest<HandoffCode> = digest();
        let unknown = handoffs::redeem(&mut write, &unknown, NOW).await.expect("asks");
        assert_eq!(unknown.expect_err("nobody's"), HandoffRefused::UnknownCode);
        assert_eq!(
            handoffs::session_of(&mut write, &late.code).await.expect("reads"),
            Some(session.session.id),
            "whose it was is known for a while"
        );
        assert_eq!(handoffs::prune(&mut write, at, 10).await.expect("prunes"), 0);
        assert_eq!(handoffs::prune(&mut write, at + CODE_LIFETIME, 10).await.expect("prunes"), 2);
        assert_eq!(handoffs::session_of(&mut write, &late.code).await.expect("reads"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_few_and_for_live_sessions() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (session, two) = prepared(&mut write).await;
        let issue =
            async |write: &mut Write, at| handoffs::issue(write, &handoff(&session, &two).0, at).await.expect("asks");
        for _ in 0..MAXIMUM_CODES {
            assert_eq!(issue(&mut write, NOW).await, Ok(()));
        }
        assert_eq!(issue(&mut write, later(29)).await, Err(NoHandoff::TooMany));
        assert_eq!(issue(&mut write, later(30)).await, Ok(()), "the others are over");
        let id = session.session.id;
        assert!(sessions::end(&mut write, &id, EndReason::SignedOut, later(31)).await.expect("ends"));
        assert_eq!(issue(&mut write, later(32)).await, Err(NoHandoff::SessionOver));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_one_zones() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (_, two) = prepared(&mut write).await;
        assert_eq!(zones::all(&mut write).await.expect("reads"), std::slice::from_ref(&two));
        let taken = Zone { alias: two.alias.clone(), ..zone("three", false) };
        let clash = zones::upsert(&mut write, &taken, NOW).await.expect_err("two has it");
        assert!(clash.conflicts_on("zones(alias)"), "{clash}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_for_an_app_comes_back_with_what_was_asked_and_its_answer_is_kept() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (session, two) = prepared(&mut write).await;
        added_apps(&mut write, &["shop"]).await;
        let (mut new, _) = handoff(&session, &two);
        let shop = "shop".parse().expect("a key");
        let (redirect_uri, return_to) = ("https://shop.two.company.com/.sso/callback", "https://a.two.company.com/");
        new.app = Some(NewForApp { app: &shop, redirect_uri, nonce: "n", return_to: Some(return_to) });
        assert_eq!(handoffs::issue(&mut write, &new, NOW).await.expect("issues"), Ok(()));
        // The alias of the same zone has places of its own.
        for _ in 0..MAXIMUM_CODES {
            let (of_alias, _) = handoff(&session, &two);
            assert_eq!(handoffs::issue(&mut write, &of_alias, NOW).await.expect("issues"), Ok(()));
        }
        let redeemed = handoffs::redeem(&mut write, &new.code, NOW).await.expect("redeems").expect("good");
        let expected = ForApp {
            app: shop.clone(),
            redirect_uri: redirect_uri.to_owned(),
            nonce: "n".to_owned(),
            return_to: Some(return_to.to_owned()),
        };
        assert_eq!(redeemed.app(), Some(&expected));
        assert!(handoffs::answered(&mut write, &new.code, NOW).await.expect("reads").is_none());
        handoffs::remember_answer(&mut write, &new.code, b"sealed").await.expect("writes");
        let (again, answer) = handoffs::answered(&mut write, &new.code, NOW).await.expect("reads").expect("kept");
        assert_eq!((again.app(), answer.as_slice()), (Some(&expected), &b"sealed"[..]));
        assert!(handoffs::answered(&mut write, &new.code, later(1)).await.expect("reads").is_none(), "too long ago");
        let id = session.session.id;
        let zones = handoffs::zones_since(&mut write, &id, NOW).await.expect("reads");
        assert_eq!(zones, std::slice::from_ref(&two.name));
        assert_eq!(handoffs::zones_since(&mut write, &id, later(1)).await.expect("reads"), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_was_active_in_is_known_across_its_sessions() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (before, two) = prepared(&mut write).await;
        added_apps(&mut write, &["pos", "shop"]).await;
        let mut shop = app("shop", "two");
        shop.zone = two.name.clone();
        apps::upsert(&mut write, &shop, NOW).await.expect("moves");
        let told = [(before.session.id, shop.key.clone()), (before.session.id, "pos".parse().expect("a key"))];
        sessions::record_told(&mut write, &told, NOW).await.expect("writes");
        let user = before.session.user_id;
        assert!(sessions::end(&mut write, &before.session.id, EndReason::SignedOut, NOW).await.expect("ends"));
        let after = NewSession { session: session_of(user), secret: digest(), device: before.device };
        assert!(sessions::start(&mut write, &after).await.expect("starts"));
        let elsewhere = NewSession { session: session_of(user), secret: digest(), device: Some(digest()) };
        assert!(sessions::start(&mut write, &elsewhere).await.expect("starts"));
        let (id, other) = (after.session.id, elsewhere.session.id);
        let zones = |zones: Vec<ZoneName>| zones.iter().map(ToString::to_string).collect::<Vec<_>>();
        let active = sessions::zones_of_device(&mut write, &id, NOW).await.expect("reads");
        assert_eq!(zones(active), ["home", "two"]);
        assert_eq!(sessions::zones_of_device(&mut write, &id, later(1)).await.expect("reads"), []);
        assert_eq!(sessions::zones_of_device(&mut write, &other, NOW).await.expect("reads"), [], "another browser");

        assert_eq!(sessions::interacted_at(&mut write, &id).await.expect("reads"), Some(NOW));
        sessions::record_interaction(&mut write, &id, later(9)).await.expect("writes");
        sessions::record_interaction(&mut write, &id, later(5)).await.expect("writes");
        assert_eq!(sessions::interacted_at(&mut write, &id).await.expect("reads"), Some(later(9)));
        assert!(sessions::begin_chain(&mut write, &id, NOW).await.expect("writes"));
        assert!(!sessions::begin_chain(&mut write, &id, NOW).await.expect("writes"), "once");
    })
    .await;
}

fn session_of(id: UserId) -> Session {
    session(&User { id, ..user("nobody") }).session
}
