//! Devices that wait: decided about once, used up once, in time, and never for a session that has ended.

use hallpass_core::id::FamilyId;
use hallpass_core::oidc::{Scope, UserCode};
use hallpass_core::secret::{DeviceCode, Digest};
use hallpass_core::session::EndReason;
use hallpass_store::device_codes::{self, Decision, NewDevice};
use hallpass_store::{Write, apps, sessions};

use crate::oidc::prepared;
use crate::support::*;

const SCOPE: Scope = Scope { profile: true, email: false, offline_access: false };

/// One that waits.
pub async fn device(write: &mut Write) -> (Digest<DeviceCode>, UserCode) {
    let (code, user_code, key) = (digest(), UserCode::mint(&mut Different), key("crm"));
    let new = NewDevice { code, user_code, app: &key, scope: SCOPE, ip: "2001:db8::9" };
    assert!(device_codes::begin(write, &new, NOW).await.expect("begins"));
    (code, user_code)
}

async fn decision(write: &mut Write, code: &Digest<DeviceCode>) -> Option<Decision> {
    device_codes::find(write, code).await.expect("reads").expect("there").decision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_reads_back_and_its_letters_are_its_own() {
    on_both(|database| async move {
        let mut write = database.write().await;
        prepared(&mut write).await;
        let (code, user_code) = device(&mut write).await;
        for found in [
            device_codes::find(&mut write, &code).await.expect("reads").expect("there"),
            device_codes::waiting(&mut write, &user_code, later(599)).await.expect("reads").expect("waits"),
        ] {
            assert_eq!((found.code, found.app, found.scope, &*found.ip), (code, key("crm"), SCOPE, "2001:db8::9"));
            assert_eq!((found.created_at, found.expires_at), (NOW, later(600)));
            assert_eq!((found.decision, found.redeemed_at), (None, None));
        }
        assert!(device_codes::find(&mut write, &digest()).await.expect("reads").is_none());
        assert!(device_codes::waiting(&mut write, &user_code, later(600)).await.expect("reads").is_none(), "too late");
        let crm = key("crm");
        let same = NewDevice { code: digest(), user_code, app: &crm, scope: SCOPE, ip: "" };
        assert!(!device_codes::begin(&mut write, &same, NOW).await.expect("asks"), "the letters are taken");
        assert!(device_codes::find(&mut write, &same.code).await.expect("reads").is_none());
        assert_eq!(device_codes::prune(&mut write, later(600), 10).await.expect("prunes"), 0);
        assert_eq!(device_codes::prune(&mut write, later(601), 10).await.expect("prunes"), 1);
        device(&mut write).await;
        apps::remove(&mut write, &crm, NOW).await.expect("removes");
        assert_eq!(device_codes::prune(&mut write, later(601), 10).await.expect("prunes"), 0, "gone with its app");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_decided_about_once_in_time_and_by_a_session_that_lives() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = prepared(&mut write).await.session.id;
        let family = FamilyId::mint(NOW, &mut Different);
        for allowed in [true, false] {
            let (code, user_code) = device(&mut write).await;
            assert!(
                !device_codes::redeem(&mut write, &code, &family, NOW).await.expect("asks"),
                "nobody has allowed it"
            );
            let decided = device_codes::decide(&mut write, &user_code, &session, allowed, later(599)).await;
            assert!(decided.expect("decides"));
            let expected = if allowed { Decision::Allowed(session) } else { Decision::Denied };
            assert_eq!(decision(&mut write, &code).await, Some(expected));
            assert!(device_codes::waiting(&mut write, &user_code, NOW).await.expect("reads").is_none());
            let again = device_codes::decide(&mut write, &user_code, &session, !allowed, later(599)).await;
            assert!(!again.expect("asks"), "it is decided");
            assert_eq!(decision(&mut write, &code).await, Some(expected));
            assert!(!device_codes::redeem(&mut write, &code, &family, later(600)).await.expect("asks"), "too late");
            assert_eq!(device_codes::redeem(&mut write, &code, &family, later(599)).await.expect("asks"), allowed);
            assert!(
                !device_codes::redeem(&mut write, &code, &family, later(599)).await.expect("asks"),
                "used up, or denied"
            );
            let found = device_codes::find(&mut write, &code).await.expect("reads").expect("there");
            assert_eq!(found.redeemed_at, allowed.then(|| later(599)));
            let of = device_codes::family(&mut write, &code).await.expect("reads");
            assert_eq!(of, allowed.then_some(family));
        }
        let (_, late) = device(&mut write).await;
        assert!(!device_codes::decide(&mut write, &late, &session, true, later(600)).await.expect("asks"), "too late");
        sessions::end(&mut write, &session, EndReason::SignedOut, NOW).await.expect("ends");
        assert!(!device_codes::decide(&mut write, &late, &session, true, NOW).await.expect("asks"), "signed out");
    })
    .await;
}

/// RFC 8628 §3.5.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_has_to_wait_longer_each_time() {
    on_both(|database| async move {
        let mut write = database.write().await;
        prepared(&mut write).await;
        let (code, _) = device(&mut write).await;
        for (at, in_time) in [(0, true), (5, true), (9, false), (18, false), (33, true), (47, false), (67, true)] {
            let asked = device_codes::poll(&mut write, &code, later(at)).await.expect("counts");
            assert_eq!(asked, in_time, "{at}");
        }
    })
    .await;
}
