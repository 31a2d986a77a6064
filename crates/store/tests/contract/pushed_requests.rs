//! Pushed authorization requests: for their client, in time, once, and not without number.

use hallpass_core::secret::{Digest, PushedRequest};
use hallpass_store::pushed_requests::{self, OPEN_REQUESTS};
use hallpass_store::{Write, apps};

use crate::oidc::prepared;
use crate::support::*;

pub async fn pushed(write: &mut Write) -> Digest<PushedRequest> {
    let request = digest();
    assert!(pushed_requests::push(write, &request, &key("crm"), b"sealed", NOW).await.expect("writes"));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_by_its_client_in_time_and_is_good_once() {
    on_both(|database| async move {
        let mut write = database.write().await;
        prepared(&mut write).await;
        apps::upsert(&mut write, &app("wiki", "home"), NOW).await.expect("adds");
        let request = pushed(&mut write).await;
        for (name, client, at, there) in [
            (request, "crm", 0, true),
            (request, "crm", 89, true),
            (request, "crm", 90, false),
            (request, "wiki", 0, false),
            (digest(), "crm", 0, false),
        ] {
            let found = pushed_requests::find(&mut write, &name, &key(client), later(at)).await.expect("reads");
            assert_eq!(found, there.then(|| b"sealed".to_vec()), "{client} {at}");
        }
        assert!(pushed_requests::redeem(&mut write, &request).await.expect("asks"));
        assert!(!pushed_requests::redeem(&mut write, &request).await.expect("asks"), "used up");
        assert_eq!(pushed_requests::find(&mut write, &request, &key("crm"), NOW).await.expect("reads"), None);

        pushed(&mut write).await;
        assert_eq!(pushed_requests::prune(&mut write, later(90), 10).await.expect("prunes"), 0);
        assert_eq!(pushed_requests::prune(&mut write, later(91), 10).await.expect("prunes"), 1);
        let request = pushed(&mut write).await;
        apps::remove(&mut write, &key("crm"), NOW).await.expect("removes");
        assert!(!pushed_requests::redeem(&mut write, &request).await.expect("asks"), "gone with its app");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_so_many_at_once_and_takes_nothing_from_another() {
    on_both(|database| async move {
        let mut write = database.write().await;
        prepared(&mut write).await;
        apps::upsert(&mut write, &app("wiki", "home"), NOW).await.expect("adds");
        for _ in 0..OPEN_REQUESTS {
            pushed(&mut write).await;
        }
        let more = async |write: &mut Write, client: &str, at| {
            pushed_requests::push(write, &digest(), &key(client), b"", later(at)).await.expect("asks")
        };
        assert!(!more(&mut write, "crm", 89).await && more(&mut write, "wiki", 89).await);
        assert!(more(&mut write, "crm", 90).await, "the others are too old to be come with");
    })
    .await;
}
