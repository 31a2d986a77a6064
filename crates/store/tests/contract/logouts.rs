//! Whom to tell of the end of a session: written down with it, claimed for a while, settled.

use hallpass_core::id::AppKey;
use hallpass_core::logout::Told;
use hallpass_core::session::EndReason;
use hallpass_store::logouts::{self, Logout};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::{Write, apps, users};

use crate::support::*;

/// A session that `pos`, which has two addresses, and `wiki`, which has none, have been told of.
async fn told(write: &mut Write) -> NewSession {
    added_apps(write, &["pos", "wiki"]).await;
    let mut pos = apps::find(write, &key("pos")).await.expect("reads").expect("there");
    pos.logout_urls =
        ["https://a.company.com/out", "https://b.company.com/out"].map(|url| url.parse().expect("valid")).into();
    apps::upsert(write, &pos, NOW).await.expect("changes");
    let mut wiki = apps::find(write, &key("wiki")).await.expect("reads").expect("there");
    wiki.logout_urls = Vec::new();
    apps::upsert(write, &wiki, NOW).await.expect("changes");
    let ana = added_user(write, "ana").await;
    let new = session(&ana);
    assert!(sessions::start(write, &new).await.expect("starts"));
    let told: Vec<(_, AppKey)> = ["pos", "wiki"].map(|app| (new.session.id, key(app))).into();
    sessions::record_told(write, &told, NOW).await.expect("records");
    new
}

async fn claimed(write: &mut Write, at: u64) -> Vec<Logout> {
    logouts::claim(write, &key("pos"), later(at + 30), 10, later(at)).await.expect("claims")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_learned_of_a_session_is_told_at_every_address() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let new = told(&mut write).await;
        let id = new.session.id;
        assert_eq!(logouts::apps_due(&mut write, later(9)).await.expect("reads"), []);
        assert!(sessions::end(&mut write, &id, EndReason::SignedOut, later(10)).await.expect("ends"));
        assert!(!sessions::end(&mut write, &id, EndReason::SignedOut, later(11)).await.expect("asks"), "once");
        assert_eq!(logouts::apps_due(&mut write, later(10)).await.expect("reads"), [key("pos")]);
        let first = claimed(&mut write, 10).await;
        let urls: Vec<_> = first.iter().map(|logout| logout.url.as_str()).collect();
        assert_eq!(urls, ["https://a.company.com/out", "https://b.company.com/out"]);
        assert!(first.iter().all(|logout| (logout.session, logout.user) == (id, new.session.user_id)));
        assert!(first.iter().all(|logout| (logout.attempts, logout.told) == (1, Told::Retrying)));
        assert_eq!(claimed(&mut write, 39).await, [], "somebody has them");
        assert_eq!(logouts::apps_due(&mut write, later(39)).await.expect("reads"), []);
        logouts::delivered(&mut write, &first[0], later(12)).await.expect("settles");
        logouts::retry(&mut write, &first[1], later(20)).await.expect("settles");
        let again = claimed(&mut write, 20).await;
        assert_eq!((again.len(), &again[0].url, again[0].attempts), (1, &first[1].url, 2));
        // Lost with its node: it comes up again by itself.
        assert_eq!(claimed(&mut write, 50).await.len(), 1);
        logouts::give_up(&mut write, &again[0], later(60)).await.expect("settles");
        assert_eq!(claimed(&mut write, 1000).await, []);
        let all = logouts::of_session(&mut write, &id).await.expect("reads");
        assert_eq!(all.iter().map(|logout| logout.told).collect::<Vec<_>>(), [Told::SignedOut, Told::Unreachable]);
        assert_eq!(logouts::prune(&mut write, later(10), 10).await.expect("prunes"), 0);
        assert_eq!(logouts::prune(&mut write, later(11), 10).await.expect("prunes"), 2);
    })
    .await;
}

/// Another node told an app a moment before the end, and writes that down a moment after.
#[tokio::test(flavor = "multi_thread")]
async fn who_learned_of_it_at_the_last_moment_is_told_too() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let new = told(&mut write).await;
        let id = new.session.id;
        let mut late = apps::find(&mut write, &key("wiki")).await.expect("reads").expect("there");
        (late.key, late.client_id) = (key("late"), None);
        late.logout_urls = vec!["https://late.company.com/out".parse().expect("valid")];
        apps::upsert(&mut write, &late, NOW).await.expect("adds");
        assert!(sessions::end(&mut write, &id, EndReason::SignedOut, later(10)).await.expect("ends"));
        let told = [(id, key("pos")), (id, key("late"))];
        sessions::record_told(&mut write, &told, later(11)).await.expect("records");
        let all = logouts::of_session(&mut write, &id).await.expect("reads");
        let apps: Vec<_> = all.iter().map(|logout| logout.app.as_str()).collect();
        assert_eq!(apps, ["late", "pos", "pos"], "each once");
    })
    .await;
}

/// The person is gone with everything that was theirs; the apps still have to hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn removing_a_user_takes_nothing_from_it() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let new = told(&mut write).await;
        let (id, user) = (new.session.id, new.session.user_id);
        let ended = sessions::end_all_of(&mut write, &user, None, EndReason::UserRemoved, later(10)).await;
        assert_eq!(ended.expect("ends"), [id]);
        assert!(users::remove(&mut write, &user, later(10)).await.expect("removes"));
        assert_eq!(sessions::find(&mut write, &id).await.expect("reads"), None);
        assert_eq!(claimed(&mut write, 10).await.len(), 2);
    })
    .await;
}
