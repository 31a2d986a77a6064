//! Clients that describe themselves: no more than there may be, and gone when nobody allows them any more, unless somebody does at that moment.

use hallpass_core::oidc::{Resources, Scope};
use hallpass_core::time::Timestamp;
use hallpass_store::{apps, client_documents, consents};

use crate::support::*;

const NAMES: Scope = Scope { profile: true, email: false, offline_access: false };
const LONG_AGO: Timestamp = Timestamp::from_seconds(0);

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_than_may_be_and_each_goes_with_its_app() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["one", "two", "three"]).await;
        assert!(client_documents::add(&mut write, &key("one"), 2, NOW).await.expect("adds"));
        assert!(client_documents::add(&mut write, &key("two"), 2, NOW).await.expect("adds"));
        assert!(!client_documents::add(&mut write, &key("three"), 2, NOW).await.expect("asks"), "the third");
        assert_eq!(client_documents::seen_at(&mut write, &key("one")).await.expect("reads"), Some(NOW));
        assert_eq!(client_documents::seen_at(&mut write, &key("three")).await.expect("reads"), None);
        for (at, seen) in [(later(9), later(9)), (later(5), later(9))] {
            assert!(client_documents::seen(&mut write, &key("one"), at).await.expect("writes"));
            assert_eq!(client_documents::seen_at(&mut write, &key("one")).await.expect("reads"), Some(seen));
        }
        assert_eq!(client_documents::seen_at(&mut write, &key("two")).await.expect("reads"), Some(NOW));
        assert!(!client_documents::seen(&mut write, &key("three"), NOW).await.expect("writes"));
        assert!(apps::remove(&mut write, &key("one"), NOW).await.expect("removes"));
        assert_eq!(client_documents::seen_at(&mut write, &key("one")).await.expect("reads"), None);
        assert!(client_documents::add(&mut write, &key("three"), 2, NOW).await.expect("adds"), "there is room");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_nobody_allows_go_and_no_others() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["allowed", "idle", "blocked", "seldom", "plain"]).await;
        let ana = added_user(&mut write, "ana").await;
        for name in ["allowed", "idle", "blocked", "seldom"] {
            assert!(client_documents::add(&mut write, &key(name), 9, NOW).await.expect("adds"));
        }
        assert!(client_documents::seen(&mut write, &key("allowed"), later(100)).await.expect("writes"));
        for name in ["allowed", "seldom"] {
            consents::give(&mut write, &ana.id, &key(name), NAMES, &Resources::default(), NOW).await.expect("gives");
        }
        let mut blocked = apps::find(&mut write, &key("blocked")).await.expect("reads").expect("there");
        blocked.disabled_at = Some(NOW);
        apps::upsert(&mut write, &blocked, NOW).await.expect("changes");
        let unused = async |write: &mut hallpass_store::Write, before| {
            client_documents::unused(write, before, 9).await.expect("reads")
        };
        assert_eq!(unused(&mut write, LONG_AGO).await, [key("idle")]);
        assert_eq!(unused(&mut write, later(50)).await, [key("idle"), key("seldom")]);
        for (name, before, goes) in [
            ("allowed", LONG_AGO, false),
            ("seldom", LONG_AGO, false),
            ("blocked", later(50), false),
            ("plain", later(50), false),
            ("nobody", later(50), false),
            ("idle", LONG_AGO, true),
            ("idle", LONG_AGO, false),
            ("seldom", later(50), true),
        ] {
            let removed = client_documents::remove_unused(&mut write, &key(name), before, NOW).await.expect("removes");
            assert_eq!(removed, goes, "{name}");
        }
        let left = apps::all(&mut write).await.expect("reads");
        let left: Vec<_> = left.into_iter().map(|app| app.key).collect();
        assert_eq!(left, [key("allowed"), key("blocked"), key("plain")]);
    })
    .await;
}

/// Somebody allows it while it is swept: their consent must not go with it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_allows_one_at_that_moment_keeps_it() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["planner"]).await;
        let ana = added_user(&mut write, "ana").await;
        assert!(client_documents::add(&mut write, &key("planner"), 9, NOW).await.expect("adds"));
        write.commit().await.expect("commits");
        let mut allows = database.write().await;
        assert!(apps::hold(&mut allows, &key("planner")).await.expect("holds"));
        consents::give(&mut allows, &ana.id, &key("planner"), NAMES, &Resources::default(), NOW).await.expect("gives");
        let store = database.store.clone();
        let sweep = tokio::spawn(async move {
            let mut write = store.write().await.expect("writes");
            let removed = client_documents::remove_unused(&mut write, &key("planner"), LONG_AGO, NOW).await;
            write.commit().await.expect("commits");
            removed.expect("asks")
        });
        tokio::task::yield_now().await;
        allows.commit().await.expect("commits");
        assert!(!sweep.await.expect("ends"));
        let mut read = database.store.read().await.expect("reads");
        assert!(consents::find(&mut read, &ana.id, &key("planner")).await.expect("reads").is_some());
    })
    .await;
}
