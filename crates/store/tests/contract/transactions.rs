//! Transactions and the change feed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass_core::session::EndReason;
use hallpass_store::changes::{self, Entry};
use hallpass_store::{Change, DatabaseUrl, Store, StoreError, audit, devices, sessions, users};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_never_happened() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        write.change(NOW, Change::KeysChanged);
        assert!(users::find(&mut write, &ana.id).await.expect("reads").is_some());
        drop(write);
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 0);
        assert_eq!(changes::position(&mut read).await.expect("reads"), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_off_is_there_for_the_next_statement_and_at_the_end() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let marks = [digest(), digest(), digest()];
        for mark in &marks {
            devices::remember(&mut write, mark, &ana.id, NOW).await.expect("puts off");
        }
        for number in 0..20 {
            audit::append(&mut write, &entry("signed_in", later(number))).await.expect("puts off");
        }
        for mark in &marks {
            assert!(devices::is_known(&mut write, mark, &ana.id).await.expect("reads"), "seen by what comes after");
        }
        audit::append(&mut write, &entry("signed_in", later(20))).await.expect("puts off");
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        let entries = audit::list(&mut read, &audit::Filter::default(), None, 99).await.expect("reads");
        let times: Vec<_> = entries.iter().map(|entry| entry.at).collect();
        assert_eq!(times, (0..=20).rev().map(later).collect::<Vec<_>>(), "each with its own values");
    })
    .await;
}

/// Nobody looks at the answer of a statement that is put off; its failure must not be lost with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_when_it_was_put_off_undoes_everything() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let entry = entry("signed_in", NOW);
        for _ in 0..2 {
            audit::append(&mut write, &entry).await.expect("puts off");
        }
        devices::remember(&mut write, &digest(), &ana.id, NOW).await.expect("puts off");
        write.commit().await.expect_err("one of them failed");
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 0);
    })
    .await;
}

/// They need no word before and after them: one statement is a transaction by itself, on a connection that the next one then finds between two.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_put_off_is_kept_whole_or_not_at_all() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        write.commit().await.expect("commits");
        let (one, mark) = (entry("signed_in", NOW), digest());
        for (user, kept) in [(&ana, true), (&user("nobody"), false)] {
            let mut write = database.write().await;
            audit::append(&mut write, &entry("signed_in", later(1))).await.expect("puts off");
            devices::remember(&mut write, &mark, &user.id, NOW).await.expect("puts off");
            assert_eq!(write.commit().await.is_ok(), kept);
        }
        let mut write = database.write().await;
        audit::append(&mut write, &one).await.expect("puts off");
        write.commit().await.expect("one alone");
        database.write().await.commit().await.expect("nothing at all");
        let mut write = database.write().await;
        audit::append(&mut write, &entry("signed_in", later(2))).await.expect("puts off");
        drop(write);
        let mut read = database.read().await;
        let entries = audit::list(&mut read, &audit::Filter::default(), None, 99).await.expect("reads");
        assert_eq!(entries.iter().map(|entry| entry.at).collect::<Vec<_>>(), [later(1), NOW]);
        assert!(devices::is_known(&mut read, &mark, &ana.id).await.expect("reads"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_stand_for_themselves_are_kept() {
    on_both(|database| async move {
        let mut write = database.store.write_each().await.expect("begins");
        let ana = added_user(&mut write, "ana").await;
        devices::remember(&mut write, &digest(), &ana.id, NOW).await.expect("puts off");
        audit::append(&mut write, &entry("signed_in", NOW)).await.expect("puts off");
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 1);
        let entries = audit::list(&mut read, &audit::Filter::default(), None, 99).await.expect("reads");
        assert_eq!(entries.len(), 1, "what was put off, too");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_reads_back_in_order() {
    on_both(|database| async move {
        let ana = user("ana");
        let (session, user) = (session(&ana).session.id, ana.id);
        let all = [
            Change::SessionEnded { session, user, reason: EndReason::SignedOutEverywhere },
            Change::SessionChanged { session, user },
            Change::UserChanged { user },
            Change::UserDisabled { user },
            Change::PolicyChanged { app: None },
            Change::PolicyChanged { app: Some(key("pos")) },
            Change::KeysChanged,
        ];
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = heard.clone();
        database.store.on_commit(move |entries| hearing.lock().expect("not poisoned").extend_from_slice(entries));
        let mut write = database.write().await;
        for change in &all {
            write.change(later(7), change.clone());
        }
        assert_eq!(write.commit().await.expect("commits"), Some(7));
        let expected: Vec<_> =
            (1..).zip(all).map(|(position, change)| Entry { position, at: later(7), change }).collect();
        assert_eq!(*heard.lock().expect("not poisoned"), expected, "told before `commit` returns");

        let mut read = database.read().await;
        assert_eq!(changes::since(&mut read, 0, 99).await.expect("reads"), expected);
        assert_eq!(changes::since(&mut read, 2, 3).await.expect("reads"), expected[2..5]);
        assert_eq!(changes::since(&mut read, 7, 3).await.expect("reads"), []);
        assert_eq!(changes::position(&mut read).await.expect("reads"), 7);
        assert_eq!(changes::oldest(&mut read).await.expect("reads"), 1);
        drop(read);

        let write = database.write().await;
        assert_eq!(write.commit().await.expect("commits"), None, "nothing to tell");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_fit_into_one_statement_get_their_positions() {
    on_both(|database| async move {
        let mut write = database.write().await;
        (0..1001).for_each(|_| write.change(NOW, Change::KeysChanged));
        assert_eq!(write.commit().await.expect("commits"), Some(1001));
        let mut read = database.read().await;
        let positions: Vec<_> =
            changes::since(&mut read, 0, 2000).await.expect("reads").iter().map(|entry| entry.position).collect();
        assert_eq!(positions, (1..=1001).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_keeps_the_last_change_and_the_position() {
    on_both(|database| async move {
        assert_eq!(changes::oldest(&mut database.read().await).await.expect("reads"), 1, "the one to come");
        for second in 0..4 {
            let mut write = database.write().await;
            write.change(later(second), Change::KeysChanged);
            write.commit().await.expect("commits");
        }
        let mut write = database.write().await;
        assert_eq!(changes::prune(&mut write, later(2), 1).await.expect("prunes"), 1);
        assert_eq!(changes::prune(&mut write, later(2), 9).await.expect("prunes"), 1);
        assert_eq!(changes::oldest(&mut write).await.expect("reads"), 3);
        assert_eq!(changes::prune(&mut write, later(99), 9).await.expect("prunes"), 1);
        assert_eq!(changes::oldest(&mut write).await.expect("reads"), 4);
        assert_eq!(changes::position(&mut write).await.expect("reads"), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_does_not_move_while_others_write() {
    on_both(|database| async move {
        let mut snapshot = database.snapshot().await;
        assert_eq!(users::count(&mut snapshot).await.expect("reads"), 0);
        let mut write = database.write().await;
        added_user(&mut write, "ana").await;
        write.change(NOW, Change::KeysChanged);
        write.commit().await.expect("commits");
        assert_eq!(users::count(&mut snapshot).await.expect("reads"), 0);
        assert_eq!(changes::position(&mut snapshot).await.expect("reads"), 0);
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 1);
        let mut write = database.write().await;
        added_user(&mut write, "bob").await;
        write.commit().await.expect("commits");
        assert_eq!(users::count(&mut read).await.expect("reads"), 2, "a plain reading sees the latest");
    })
    .await;
}

/// A browser that hangs up while its sign-out commits must not leave this process with a view that has not heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_once_begun_is_told_even_if_its_caller_goes_away() {
    on_both(|database| async move {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Mutex::new(Some(tell));
        database.store.on_commit(move |entries| {
            let tell = tell.lock().expect("not poisoned").take();
            tell.map(|tell| tell.send(entries.len()));
        });
        let mut write = database.write().await;
        added_user(&mut write, "ana").await;
        write.change(NOW, Change::KeysChanged);
        begin_and_give_up(write.commit()).await;
        assert_eq!(told.await, Ok(1));
        assert_eq!(users::count(&mut database.read().await).await.expect("reads"), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_give_up_leave_the_connections_usable() {
    on_both(|database| async move {
        for round in 0..40 {
            let mut write = database.write().await;
            let many: Vec<_> = (0..50).map(|number| user(&format!("u{round}-{number}"))).collect();
            begin_and_give_up(users::add_many(&mut write, &many)).await;
            drop(write);
            let mut read = database.read().await;
            begin_and_give_up(users::count(&mut read)).await;
        }
        let mut write = database.write().await;
        added_user(&mut write, "ana").await;
        write.commit().await.expect("commits");
        assert_eq!(users::count(&mut database.read().await).await.expect("reads"), 1);
    })
    .await;
}

/// Polls `work` once, and drops it wherever that has brought it.
async fn begin_and_give_up(work: impl Future) {
    let mut work = Box::pin(work);
    std::future::poll_fn(|context| std::task::Poll::Ready(work.as_mut().poll(context).is_ready())).await;
}

/// What other processes commit is heard: by notification on PostgreSQL, by looking at the position on SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn commits_of_another_node_are_heard() {
    on_both(|database| async move {
        let other = database.other_node().await;
        let mut ears = database.store.listen().await.expect("listens");
        assert_eq!(ears.is_some(), database.kind == "PostgreSQL");
        let mut write = other.write().await.expect("writes");
        let ana = added_user(&mut write, "ana").await;
        let new = session(&ana);
        sessions::start(&mut write, &new).await.expect("starts");
        sessions::end(&mut write, &new.session.id, EndReason::SignedOut, NOW).await.expect("ends");
        let position = write.commit().await.expect("commits").expect("told");
        if let Some(ears) = &mut ears {
            let heard =
                tokio::time::timeout(Duration::from_secs(5), ears.recv()).await.expect("in time").expect("hears");
            assert_eq!(heard, Some(position));
        }
        assert_eq!(changes::position(&mut database.read().await).await.expect("reads"), position);
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_closed_is_unavailable_and_nothing_else() {
    on_both(|database| async move {
        let other = database.other_node().await;
        other.close().await;
        for refused in [other.read().await.err(), other.snapshot().await.err(), other.write().await.err()] {
            assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_unavailable() {
    for url in ["/nonexistent/hallpass.db", "postgres://nobody@127.0.0.1:1/none"] {
        let refused = Store::open(&url.parse().expect("valid")).await.expect_err("not there");
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    }
}

/// A network that swallows packets: the connection stands, and nothing comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_unavailable() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("postgres://nobody@{}/none", silent.local_addr().expect("is bound"));
    let url = url.parse().expect("valid");
    let opening = tokio::time::timeout(Duration::from_secs(30), Store::open(&url));
    let refused = opening.await.expect("gives up by itself").expect_err("nobody there");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
}

/// A writer behind another one that does not come to its end is told so; the one in front loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_another_writer_has_an_end() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        write.commit().await.expect("commits");
        let mut first = database.write().await;
        assert!(users::set_must_change_password(&mut first, &ana.id, true, NOW).await.expect("writes"));
        let second = async {
            let mut second = database.store.write().await?;
            users::set_must_change_password(&mut second, &ana.id, false, NOW).await
        };
        let refused = tokio::time::timeout(Duration::from_secs(30), second).await.expect("gives up by itself");
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let mut read = database.read().await;
        assert_eq!(users::find(&mut read, &ana.id).await.expect("reads"), Some(ana.clone()), "readers do not wait");
        first.commit().await.expect("commits");
        let stored = users::find(&mut read, &ana.id).await.expect("reads").expect("is there");
        assert!(stored.must_change_password);
    })
    .await;
}

#[test]
fn database_urls_are_read_and_never_shown() {
    let sqlite = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
    assert_eq!("hallpass.db".parse(), sqlite("hallpass.db"));
    assert_eq!("sqlite:/var/lib/hallpass.db".parse(), sqlite("/var/lib/hallpass.db"));
    assert_eq!("sqlite:///var/lib/hallpass.db".parse(), sqlite("/var/lib/hallpass.db"));
    let url = "postgres://hallpass:hunter2@db/hallpass";
    let postgres: DatabaseUrl = url.parse().expect("valid");
    assert_eq!(postgres, DatabaseUrl::Postgres(url.into()));
    assert!(!format!("{postgres:?}").contains("hunter2"));
    for bad in ["", "sqlite:", "sqlite::memory:", ":memory:", "mysql://db/hallpass", "postgres://[broken"] {
        assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad:?}");
    }
}

/// It holds password hashes.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("private.db");
    let store = Store::open(&DatabaseUrl::Sqlite(path.clone())).await.expect("opens");
    let mut write = store.write().await.expect("writes");
    added_user(&mut write, "ana").await;
    write.commit().await.expect("commits");
    for file in ["private.db", "private.db-wal"] {
        let mode = path.with_file_name(file).metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    store.close().await;
}

/// On SQLite those that wait share a commit: what each was told holds for it alone.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_each_is_kept_or_not_as_it_was_told() {
    on_both(|database| async move {
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..48 {
            let store = database.store.clone();
            writers.spawn(async move {
                let mut write = store.write().await.expect("writes");
                let name = format!("user-{number:02}");
                let user = added_user(&mut write, &name).await;
                match number % 3 {
                    0 => {
                        write.commit().await.expect("commits");
                        let mut read = store.read().await.expect("reads");
                        assert!(
                            users::find(&mut read, &user.id).await.expect("reads").is_some(),
                            "as soon as it was told"
                        );
                    }
                    1 => drop(write),
                    _ => {
                        users::add(&mut write, &user).await.expect_err("there already");
                        users::count(&mut write).await.expect_err("nothing goes after a failure");
                        write.commit().await.expect_err("nor is anything kept");
                    }
                }
            });
        }
        writers.join_all().await;
        let mut read = database.read().await;
        assert_eq!(users::count(&mut read).await.expect("reads"), 16);
    })
    .await;
}
