//! Users, passwords, groups, known devices.

use hallpass_core::secret::DeviceMark;
use hallpass_core::session::{EndReason, Ended};
use hallpass_store::authenticators::{add_passwords, find_password, rehash_password, set_password};
use hallpass_store::{Change, StoreError, changes, devices, groups, sessions, users};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_reads_back_as_added() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let mut ana = user("Ana");
        ana.email = None;
        ana.must_change_password = true;
        users::add(&mut write, &ana).await.expect("adds");
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        assert_eq!(users::find(&mut read, &ana.id).await.expect("reads"), Some(ana.clone()));
        let typed = "aN\u{ff41}".parse().expect("valid");
        assert_eq!(users::by_username(&mut read, &typed).await.expect("reads"), Some(ana));
        assert_eq!(users::find(&mut read, &user("x").id).await.expect("reads"), None);
        assert_eq!(users::by_username(&mut read, &"bob".parse().expect("valid")).await.expect("reads"), None);
    })
    .await;
}

/// T74: one account per canonical name.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_in_another_case_is_a_conflict_and_undoes_everything() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_user(&mut write, "ana").await;
        write.commit().await.expect("commits");
        let mut write = database.write().await;
        users::add(&mut write, &user("bob")).await.expect("adds");
        let conflict = users::add(&mut write, &user("ANA")).await.expect_err("is taken");
        assert!(conflict.conflicts_on("users(canonical)"), "{conflict}");
        assert!(matches!(write.commit().await, Err(StoreError::Unavailable(_))), "a failed statement spoils the rest");
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_listed_page_by_page_and_by_prefix() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let names = ["zoe", "ana", "anb", "\u{e9}ric", "ana-b", "bob"];
        users::add_many(&mut write, &names.map(user)).await.expect("adds");
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        let mut seen: Vec<String> = Vec::new();
        loop {
            let after = seen.last().cloned().unwrap_or_default();
            let page = users::list(&mut read, "", &after, 2).await.expect("reads");
            assert!(page.len() <= 2);
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|user| user.username.canonical().to_owned()));
        }
        assert_eq!(seen, ["ana", "ana-b", "anb", "bob", "zoe", "\u{e9}ric"]);
        let with_prefix = users::list(&mut read, "ana", "", 10).await.expect("reads");
        assert_eq!(with_prefix.len(), 2);
        assert!(users::list(&mut read, "%", "", 10).await.expect("reads").is_empty(), "no wildcards");
        assert_eq!(users::count(&mut read).await.expect("reads"), 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_are_added_in_one_go() {
    on_both(|database| async move {
        let many: Vec<_> = (0..1234).map(|number| user(&format!("user{number}"))).collect();
        let mut write = database.write().await;
        users::add_many(&mut write, &many).await.expect("adds");
        let hashes: Vec<_> = many.iter().map(|user| (user.id, format!("$argon2id${}", user.username))).collect();
        add_passwords(&mut write, &hashes, NOW).await.expect("adds");
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 1234);
        let last = find_password(&mut read, &many[1233].id).await.expect("reads").expect("is there");
        assert_eq!(last.hash, "$argon2id$user1233");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_should_and_tells_the_feed() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let mut ana = added_user(&mut write, "ana").await;
        ana.username = "Anna".parse().expect("valid");
        ana.email = None;
        ana.attributes.clear();
        assert!(users::update(&mut write, &ana, NOW).await.expect("updates"));
        assert!(!users::update(&mut write, &user("nobody"), NOW).await.expect("updates nothing"));
        assert!(users::set_must_change_password(&mut write, &ana.id, true, NOW).await.expect("updates"));
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        ana.must_change_password = true;
        assert_eq!(users::find(&mut read, &ana.id).await.expect("reads"), Some(ana.clone()));
        let told = changes::since(&mut read, 0, 10).await.expect("reads");
        assert!(told.iter().any(|entry| entry.change == Change::UserChanged { user: ana.id }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_ends_every_session_and_refuses_new_ones_until_enabled() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let first = session(&ana);
        assert!(sessions::start(&mut write, &first).await.expect("starts"));
        assert!(users::set_disabled(&mut write, &ana.id, true, later(1)).await.expect("disables"));
        assert!(!users::set_disabled(&mut write, &ana.id, true, later(2)).await.expect("was disabled"));
        assert!(!sessions::start(&mut write, &session(&ana)).await.expect("refuses"));
        write.commit().await.expect("commits");
        let mut write = database.write().await;
        let stored = sessions::find(&mut write, &first.session.id).await.expect("reads").expect("is there");
        assert_eq!(stored.ended, Some(Ended { at: later(1), reason: EndReason::UserDisabled }));
        let stored = users::find(&mut write, &ana.id).await.expect("reads").expect("is there");
        assert_eq!(stored.disabled_at, Some(later(1)));
        assert!(users::set_disabled(&mut write, &ana.id, false, later(3)).await.expect("enables"));
        assert!(sessions::start(&mut write, &session(&ana)).await.expect("starts"));
        let stored = sessions::find(&mut write, &first.session.id).await.expect("reads").expect("is there");
        assert!(stored.ended.is_some(), "what ended stays ended");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_user_takes_everything_of_theirs_and_tells_which_sessions_ended() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let open = session(&ana);
        sessions::start(&mut write, &open).await.expect("starts");
        set_password(&mut write, &ana.id, "$argon2id$x", NOW).await.expect("sets");
        let store = group("store-12");
        groups::add(&mut write, &store).await.expect("adds");
        groups::add_member(&mut write, &store.id, &ana.id, NOW).await.expect("adds");
        write.commit().await.expect("commits");
        let mut write = database.write().await;
        assert!(users::remove(&mut write, &ana.id, later(1)).await.expect("removes"));
        assert!(!users::remove(&mut write, &ana.id, later(1)).await.expect("is gone"));
        let position = write.commit().await.expect("commits").expect("the feed was told");
        let mut read = database.read().await;
        assert_eq!(sessions::find(&mut read, &open.session.id).await.expect("reads"), None);
        assert_eq!(find_password(&mut read, &ana.id).await.expect("reads"), None);
        assert!(groups::members(&mut read, &store.id, None, 10).await.expect("reads").is_empty());
        let told = changes::since(&mut read, position - 2, 10).await.expect("reads");
        let (session, user) = (open.session.id, ana.id);
        let told: Vec<_> = told.into_iter().map(|entry| entry.change).collect();
        let ended = Change::SessionEnded { session, user, reason: EndReason::UserRemoved };
        assert_eq!(told, [ended, Change::UserDisabled { user }]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehash_never_undoes_a_password_change() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        assert_eq!(find_password(&mut write, &ana.id).await.expect("reads"), None);
        assert_eq!(users::with_password(&mut write, &ana.username).await.expect("reads"), Some((ana.clone(), None)));
        set_password(&mut write, &ana.id, "old", NOW).await.expect("sets");
        assert!(rehash_password(&mut write, &ana.id, "old", "old, stronger").await.expect("rehashes"));
        let stored = find_password(&mut write, &ana.id).await.expect("reads").expect("is there");
        assert_eq!((&*stored.hash, stored.changed_at), ("old, stronger", NOW));
        let found = users::with_password(&mut write, &ana.username).await.expect("reads");
        assert_eq!(found, Some((ana.clone(), Some(stored))));
        let nobody = "nobody".parse().expect("valid");
        assert_eq!(users::with_password(&mut write, &nobody).await.expect("reads"), None);
        set_password(&mut write, &ana.id, "new", later(5)).await.expect("sets");
        assert!(!rehash_password(&mut write, &ana.id, "old, stronger", "stronger still").await.expect("refuses"));
        let stored = find_password(&mut write, &ana.id).await.expect("reads").expect("is there");
        assert_eq!((&*stored.hash, stored.changed_at), ("new", later(5)));
        assert!(!format!("{stored:?}").contains("new"));
        let nobody = set_password(&mut write, &user("x").id, "x", NOW).await.expect_err("nobody there");
        assert!(matches!(nobody, StoreError::Dangling), "{nobody}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_members() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (ana, bob) = (added_user(&mut write, "ana").await, added_user(&mut write, "bob").await);
        let (one, two) = (group("store-1"), group("store-2"));
        for group in [&two, &one] {
            groups::add(&mut write, group).await.expect("adds");
        }
        assert!(groups::add_member(&mut write, &one.id, &ana.id, NOW).await.expect("adds"));
        assert!(!groups::add_member(&mut write, &one.id, &ana.id, NOW).await.expect("is in"));
        assert!(groups::add_member(&mut write, &one.id, &bob.id, NOW).await.expect("adds"));
        assert!(groups::add_member(&mut write, &two.id, &ana.id, NOW).await.expect("adds"));
        write.commit().await.expect("commits");

        let mut write = database.write().await;
        assert_eq!(groups::all(&mut write).await.expect("reads"), [one.clone(), two.clone()]);
        assert_eq!(groups::by_name(&mut write, &two.name).await.expect("reads"), Some(two.clone()));
        assert_eq!(groups::of_user(&mut write, &ana.id).await.expect("reads"), [one.clone(), two.clone()]);
        let page = groups::members(&mut write, &one.id, None, 1).await.expect("reads");
        let rest = groups::members(&mut write, &one.id, page.last(), 9).await.expect("reads");
        let mut members = [page, rest].concat();
        let mut expected = vec![ana.id, bob.id];
        members.sort_unstable();
        expected.sort_unstable();
        assert_eq!(members, expected);
        assert!(groups::remove_member(&mut write, &one.id, &bob.id, NOW).await.expect("removes"));
        assert!(!groups::remove_member(&mut write, &one.id, &bob.id, NOW).await.expect("was not in"));
        assert!(groups::remove(&mut write, &two.id, NOW).await.expect("removes"));
        assert!(!groups::remove(&mut write, &two.id, NOW).await.expect("is gone"));
        assert_eq!(groups::of_user(&mut write, &ana.id).await.expect("reads"), std::slice::from_ref(&one));
        let taken = groups::add(&mut write, &group("store-1")).await.expect_err("is taken");
        assert!(taken.conflicts_on("groups(name)"), "{taken}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_known_for_each_person_by_itself() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (ana, bob) = (added_user(&mut write, "ana").await, added_user(&mut write, "bob").await);
        let mark = digest::<DeviceMark>();
        devices::remember(&mut write, &mark, &ana.id, NOW).await.expect("remembers");
        devices::remember(&mut write, &mark, &bob.id, NOW).await.expect("remembers");
        devices::remember(&mut write, &mark, &ana.id, later(10)).await.expect("remembers");
        assert!(devices::is_known(&mut write, &mark, &ana.id).await.expect("reads"));
        assert!(!devices::is_known(&mut write, &digest(), &ana.id).await.expect("reads"));
        assert_eq!(devices::prune(&mut write, later(10), 9).await.expect("prunes"), 1, "bob's was seen earlier");
        assert!(!devices::is_known(&mut write, &mark, &bob.id).await.expect("reads"));
        assert_eq!(devices::forget_all_of(&mut write, &ana.id).await.expect("forgets"), 1);
        assert!(!devices::is_known(&mut write, &mark, &ana.id).await.expect("reads"));
    })
    .await;
}
