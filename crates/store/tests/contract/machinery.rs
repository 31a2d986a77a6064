//! Counters, keys, the audit log, leases, the outbox, facts about the installation.

use std::time::Duration;

use hallpass_core::crypto::Algorithm;
use hallpass_core::id::{KeyId, SessionId};
use hallpass_core::keyring::{ClosedKey, Purpose, SealedKey};
use hallpass_core::time::Timestamp;
use hallpass_store::attempts::{self, Attempts};
use hallpass_store::audit::{self, Entry, Filter};
use hallpass_store::outbox::{self, Message};
use hallpass_store::{Change, Write, authenticators, changes, keys, leases, meta, users};
use serde_json::json;

use crate::support::*;

const MINUTE: Duration = Duration::from_mins(1);

async fn count(write: &mut Write, key: &str, now: Timestamp) -> (u32, Timestamp) {
    let counted = attempts::count(write, &[(key, MINUTE)], now).await.expect("counts");
    let [Attempts { count, window_start }] = counted[..] else { panic!("one answer") };
    (count, window_start)
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_in_windows() {
    on_both(|database| async move {
        let mut write = database.write().await;
        assert_eq!(count(&mut write, "user:ana", NOW).await, (1, NOW));
        assert_eq!(count(&mut write, "user:ana", later(59)).await, (2, NOW));
        assert_eq!(count(&mut write, "user:bob", later(59)).await, (1, later(59)));
        assert_eq!(count(&mut write, "user:ana", later(60)).await, (1, later(60)), "the window is over");
        attempts::take_back(&mut write, &[("user:ana", NOW)]).await.expect("another window's");
        assert_eq!(count(&mut write, "user:ana", later(61)).await, (2, later(60)));
        attempts::take_back(&mut write, &[("user:ana", later(60))]).await.expect("takes back");
        assert_eq!(count(&mut write, "user:ana", later(61)).await, (2, later(60)));
        assert_eq!(attempts::prune(&mut write, later(120), 9).await.expect("prunes"), 1, "bob's was over at 119");
        assert_eq!(count(&mut write, "user:ana", later(62)).await.0, 3);
    })
    .await;
}

/// A node whose clock is behind must not give a guesser a new window; a clock that was wrong by hours must not lock anybody out.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_disagree_neither_reset_nor_lock() {
    on_both(|database| async move {
        let mut write = database.write().await;
        assert_eq!(count(&mut write, "k", later(30)).await.0, 1);
        assert_eq!(count(&mut write, "k", NOW).await, (2, later(30)));
        assert_eq!(count(&mut write, "wrong", later(7200)).await.0, 1);
        assert_eq!(count(&mut write, "wrong", NOW).await, (1, NOW));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_are_answered_in_the_order_given() {
    on_both(|database| async move {
        let mut write = database.write().await;
        count(&mut write, "a", NOW).await;
        let keys = [("z", MINUTE), ("a", MINUTE), ("m", MINUTE)];
        let counted = attempts::count(&mut write, &keys, NOW).await.expect("counts");
        assert_eq!(counted.iter().map(|attempts| attempts.count).collect::<Vec<_>>(), [1, 2, 1]);
        let some = [("m", NOW), ("gone", NOW), ("a", NOW), ("z", later(1))];
        attempts::take_back(&mut write, &some).await.expect("takes back");
        let counted = attempts::count(&mut write, &keys, NOW).await.expect("counts");
        assert_eq!(
            counted.iter().map(|attempts| attempts.count).collect::<Vec<_>>(),
            [2, 2, 1],
            "z was another window"
        );
        assert_eq!(count(&mut write, "gone", NOW).await, (1, NOW), "there was nothing to take back");
        attempts::take_back(&mut write, &[]).await.expect("nothing");
    })
    .await;
}

/// Together or one after the other, they answer the same, and what is counted does not depend on whether there is anybody.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_meant_is_answered_with_the_count() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let nobody = "nobody".parse().expect("valid");
        let keys = [("z", MINUTE), ("a", MINUTE)];
        for (number, (username, password)) in
            (1..).zip([(&nobody, None), (&ana.username, None), (&ana.username, Some("a hash")), (&nobody, None)])
        {
            if let Some(hash) = password {
                authenticators::set_password(&mut write, &ana.id, hash, NOW).await.expect("sets");
            }
            // Another key's, so that the answers are told apart.
            count(&mut write, "a", NOW).await;
            let (counted, found) = attempts::count_for(&mut write, username, &keys, NOW).await.expect("counts");
            assert_eq!(counted.iter().map(|attempts| attempts.count).collect::<Vec<_>>(), [number, 2 * number]);
            assert_eq!(found, users::with_password(&mut write, username).await.expect("reads"));
            let found = found.map(|(user, stored)| (user, stored.map(|stored| stored.hash)));
            let there = (*username == ana.username).then(|| (ana.clone(), password.map(ToOwned::to_owned)));
            assert_eq!(found, there);
        }
    })
    .await;
}

pub fn sealed_key(purpose: Purpose) -> SealedKey {
    SealedKey {
        kid: KeyId::mint(&mut Different),
        purpose,
        algorithm: Algorithm::EdDsa,
        sealed: vec![0, 255, 10, 0],
        created_at: NOW,
        signs_from: later(86_400),
        signs_until: None,
        verifies_until: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_planned_on_old_knowledge_is_refused() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let [first, second, third, other] =
            [Purpose::Pass, Purpose::Pass, Purpose::Pass, Purpose::Token].map(sealed_key);
        assert_eq!(keys::generation(&mut write, Purpose::Pass).await.expect("reads"), 0);
        assert!(keys::rotate(&mut write, 0, &first, &[], NOW).await.expect("rotates"));
        assert!(!keys::rotate(&mut write, 0, &second, &[], NOW).await.expect("refuses"));
        assert!(keys::rotate(&mut write, 0, &other, &[], NOW).await.expect("another purpose"));
        let closed = [ClosedKey { kid: first.kid, signs_until: later(100), verifies_until: later(200) }];
        assert!(keys::rotate(&mut write, 1, &second, &closed, NOW).await.expect("rotates"));
        assert!(!keys::rotate(&mut write, 1, &third, &closed, NOW).await.expect("refuses"));
        let position = write.commit().await.expect("commits").expect("told");
        assert_eq!(position, 3, "refusals tell nothing");

        let mut write = database.write().await;
        assert_eq!(keys::generation(&mut write, Purpose::Pass).await.expect("reads"), 2);
        let first = SealedKey { signs_until: Some(later(100)), verifies_until: Some(later(200)), ..first };
        assert_eq!(keys::all(&mut write).await.expect("reads"), [first, second.clone(), other.clone()]);
        assert_eq!(keys::prune(&mut write, later(200), NOW).await.expect("prunes"), 0);
        assert_eq!(keys::prune(&mut write, later(201), NOW).await.expect("prunes"), 1);
        let newest = [ClosedKey { kid: second.kid, signs_until: later(100), verifies_until: later(200) }];
        assert!(
            keys::rotate(&mut write, 2, &third, &newest, NOW).await.expect("rotates"),
            "pruning forgets no generation"
        );
        assert_eq!(keys::prune(&mut write, later(300), NOW).await.expect("prunes"), 1);
        assert_eq!(keys::prune(&mut write, later(300), NOW).await.expect("prunes"), 0, "the newest stays");
        let told = changes::since(&mut write, 0, 9).await.expect("reads");
        assert!(told.iter().all(|entry| entry.change == Change::KeysChanged));
    })
    .await;
}

/// Nodes are upgraded one at a time: this version must not fail over the keys of the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_what_only_a_later_version_knows_is_left_to_it() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let known: Vec<_> = Purpose::ALL.into_iter().map(sealed_key).collect();
        for key in &known {
            assert!(keys::rotate(&mut write, 0, key, &[], NOW).await.expect("rotates"));
        }
        write.commit().await.expect("commits");
        let listed = async || keys::all(&mut database.read().await).await.expect("reads");
        assert_eq!(listed().await.len(), known.len());
        database.execute("UPDATE signing_keys SET purpose = 'something_new' WHERE purpose = 'id_token'").await;
        let left: Vec<_> = listed().await.iter().map(|key| key.purpose).collect();
        assert_eq!(left, [Purpose::Pass, Purpose::Token]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_read_newest_first_by_what_one_looks_for() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = user("ana");
        let full = Entry {
            user_id: Some(ana.id),
            app: Some(key("pos")),
            session_id: Some(SessionId::mint(&mut Different)),
            ip: Some("192.0.2.1".into()),
            outcome: "refused".into(),
            reason: Some("wrong_password".into()),
            details: json!({"was": [1, "\u{e9}", null]}),
            actor: ana.id.to_string(),
            ..entry("sign_in_refused", later(3))
        };
        let mut entries = vec![full.clone()];
        entries.extend((0..5).map(|second| entry("role_assigned", later(second / 2))));
        for entry in &entries {
            audit::append(&mut write, entry).await.expect("appends");
        }
        write.commit().await.expect("commits");

        let mut read = database.read().await;
        let mut paged: Vec<Entry> = Vec::new();
        loop {
            let before = paged.last().map(|entry| (entry.at, entry.id));
            let page = audit::list(&mut read, &Filter::default(), before, 2).await.expect("reads");
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.at, entry.id.to_string())));
        assert_eq!(paged, entries);

        let only = [
            Filter { user_id: Some(ana.id), ..Filter::default() },
            Filter { app: Some(key("pos")), ..Filter::default() },
            Filter { actor: Some(ana.id.to_string()), ..Filter::default() },
            Filter { event: Some("sign_in_refused".into()), ..Filter::default() },
            Filter { since: Some(later(3)), until: Some(later(4)), ..Filter::default() },
            Filter {
                user_id: Some(ana.id),
                app: Some(key("pos")),
                event: Some("sign_in_refused".into()),
                ..Filter::default()
            },
        ];
        for filter in only {
            assert_eq!(
                audit::list(&mut read, &filter, None, 9).await.expect("reads"),
                std::slice::from_ref(&full),
                "{filter:?}"
            );
        }
        let none = Filter { until: Some(NOW), ..Filter::default() };
        assert!(audit::list(&mut read, &none, None, 9).await.expect("reads").is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_one_holder_until_its_time_is_over() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let mut acquire = async |holder, until, now| {
            leases::acquire(&mut write, "rotate keys", holder, later(until), later(now)).await.expect("asks")
        };
        assert!(acquire("a", 10, 0).await);
        assert!(!acquire("b", 20, 9).await);
        assert!(acquire("a", 20, 9).await, "prolonged");
        assert!(!acquire("b", 30, 19).await);
        assert!(acquire("b", 30, 20).await, "over");
        assert!(!leases::release(&mut write, "rotate keys", "a").await.expect("not the holder"));
        assert!(leases::release(&mut write, "rotate keys", "b").await.expect("gives back"));
        assert!(leases::acquire(&mut write, "rotate keys", "a", later(40), later(21)).await.expect("takes"));
    })
    .await;
}

fn message(id: &str, due_at: Timestamp) -> Message {
    let payload = json!({"to": "ana@company.com", "text": "\u{2713}"});
    Message { id: id.into(), kind: "mail".into(), payload, created_at: NOW, due_at, attempts: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_delivered_tried_again_or_given_up() {
    on_both(|database| async move {
        let mut write = database.write().await;
        for (id, due) in [("later", 50), ("second", 2), ("first", 1)] {
            assert!(outbox::add(&mut write, &message(id, later(due))).await.expect("adds"));
        }
        assert!(!outbox::add(&mut write, &message("first", NOW)).await.expect("is there"));
        assert!(outbox::claim(&mut write, later(60), 9, NOW).await.expect("claims").is_empty());
        let claimed = outbox::claim(&mut write, later(60), 9, later(2)).await.expect("claims");
        let expected = ["first", "second"].map(|id| Message { attempts: 1, ..message(id, later(60)) });
        assert_eq!(claimed, expected);
        assert!(outbox::claim(&mut write, later(60), 9, later(3)).await.expect("claims").is_empty(), "are claimed");
        assert!(outbox::done(&mut write, "first", later(3)).await.expect("marks"));
        assert!(!outbox::done(&mut write, "first", later(3)).await.expect("is done"));
        assert!(!outbox::retry(&mut write, "first", NOW).await.expect("is done"));
        assert!(outbox::retry(&mut write, "second", later(10)).await.expect("marks"));
        let again = outbox::claim(&mut write, later(70), 9, later(10)).await.expect("claims");
        assert_eq!(again, [Message { attempts: 2, ..message("second", later(70)) }]);
        assert!(outbox::dead(&mut write, "second", later(11)).await.expect("marks"));
        assert!(!outbox::dead(&mut write, "second", later(11)).await.expect("is dead"));
        assert_eq!(outbox::all_dead(&mut write, 9).await.expect("reads"), again);
        let unclaimed = outbox::claim(&mut write, later(99), 9, later(98)).await.expect("claims");
        assert_eq!(unclaimed.len(), 1, "only the one that is neither done nor dead");
        assert_eq!(outbox::prune(&mut write, later(3), 9).await.expect("prunes"), 0);
        assert_eq!(outbox::prune(&mut write, later(4), 9).await.expect("prunes"), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_about_the_installation_are_written_once_or_over() {
    on_both(|database| async move {
        let mut write = database.write().await;
        assert_eq!(meta::find(&mut write, meta::INSTALLATION).await.expect("reads"), None);
        assert_eq!(meta::set_once(&mut write, meta::INSTALLATION, "one").await.expect("sets"), "one");
        assert_eq!(meta::set_once(&mut write, meta::INSTALLATION, "two").await.expect("keeps"), "one");
        meta::set(&mut write, meta::CREATED_AT, &NOW.as_millis().to_string()).await.expect("sets");
        meta::set(&mut write, meta::CREATED_AT, &later(1).as_millis().to_string()).await.expect("sets");
        assert_eq!(meta::find_instant(&mut write, meta::CREATED_AT).await.expect("reads"), Some(later(1)));
        assert_eq!(meta::find_instant(&mut write, meta::RESTORED_AT).await.expect("reads"), None);
        assert!(meta::find_instant(&mut write, meta::INSTALLATION).await.is_err(), "no instant");
    })
    .await;
}
