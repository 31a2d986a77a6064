//! Sessions: starting, ending, touching, and who was told.

use std::time::Duration;

use hallpass_core::session::{Acr, Amr, EndReason, Ended, Session};
use hallpass_core::time::Timestamp;
use hallpass_store::sessions::{self, LiveSession, NewSession};
use hallpass_store::{Change, attempts, audit, authenticators, changes, devices, users};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_reads_back_as_started() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let mut new = session(&ana);
        new.session.persistent = true;
        assert!(sessions::start(&mut write, &new).await.expect("starts"));
        assert!(!sessions::start(&mut write, &session(&user("nobody"))).await.expect("no such user"));
        assert_eq!(write.commit().await.expect("commits"), None, "nobody has an answer that it could alter");
        let mut read = database.read().await;
        assert_eq!(sessions::find(&mut read, &new.session.id).await.expect("reads"), Some(new.session.clone()));
        assert_eq!(sessions::by_secret(&mut read, &new.secret).await.expect("reads"), Some(new.session));
        assert_eq!(sessions::by_secret(&mut read, &digest()).await.expect("reads"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_has_been_replaced_opens_nothing() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        write.commit().await.expect("commits");
        let new = session(&ana);
        let start = async |new: &NewSession, changed_at| {
            let write = database.write().await;
            sessions::start_by_password(write, new, changed_at).await.expect("asks")
        };
        let set = async |hash, at| {
            let mut write = database.write().await;
            authenticators::set_password(&mut write, &ana.id, hash, at).await.expect("sets");
            write.commit().await.expect("commits");
        };
        assert!(!start(&new, NOW).await, "there is no password");
        set("$argon2id$first", NOW).await;
        assert!(start(&new, NOW).await);
        assert_eq!(
            sessions::find(&mut database.read().await, &new.session.id).await.expect("reads"),
            Some(new.session)
        );
        set("$argon2id$second", later(1)).await;
        let late = session(&ana);
        assert!(!start(&late, NOW).await);
        assert_eq!(sessions::find(&mut database.read().await, &late.session.id).await.expect("reads"), None);
        let mut write = database.write().await;
        users::set_disabled(&mut write, &ana.id, true, NOW).await.expect("disables");
        write.commit().await.expect("commits");
        assert!(!start(&late, later(1)).await, "disabled");
    })
    .await;
}

/// Nobody is written down as signed in, or remembered as known, whose session did not start; and all of it is when it did, whatever else was done first.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_a_session_is_kept_with_it_or_not_at_all() {
    on_both(|database| async move {
        let minute = Duration::from_mins(1);
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let previous = session(&ana);
        sessions::start(&mut write, &previous).await.expect("starts");
        authenticators::set_password(&mut write, &ana.id, "$argon2id$first", later(1)).await.expect("sets");
        attempts::count(&mut write, &[("address", minute), ("pair", minute), ("device", minute)], NOW)
            .await
            .expect("counts");
        write.commit().await.expect("commits");
        let (mark, reason) = (digest(), EndReason::Replaced);
        for (changed_at, replaces) in [(NOW, false), (NOW, true), (later(1), false), (later(1), true)] {
            let (new, started) = (session(&ana), changed_at == later(1));
            let mut write = database.write().await;
            if replaces {
                sessions::end(&mut write, &previous.session.id, reason, NOW).await.expect("ends");
            }
            devices::remember(&mut write, &mark, &ana.id, NOW).await.expect("puts off");
            attempts::take_back(&mut write, &[("pair", NOW), ("address", NOW)]).await.expect("puts off");
            attempts::clear(&mut write, "device").await.expect("puts off");
            audit::append(&mut write, &entry("signed_in", NOW)).await.expect("puts off");
            assert_eq!(sessions::start_by_password(write, &new, changed_at).await.expect("asks"), started);
            let mut read = database.read().await;
            assert_eq!(sessions::find(&mut read, &new.session.id).await.expect("reads").is_some(), started);
            assert_eq!(devices::is_known(&mut read, &mark, &ana.id).await.expect("reads"), started);
            let before = sessions::find(&mut read, &previous.session.id).await.expect("reads").expect("is kept");
            assert_eq!(before.ended.map(|ended| ended.reason), (started && replaces).then_some(reason));
        }
        let mut write = database.write().await;
        let entries = audit::list(&mut write, &audit::Filter::default(), None, 9).await.expect("reads");
        assert_eq!(entries.len(), 2, "one for each that started");
        let keys = [("address", minute), ("pair", minute), ("device", minute)];
        let counted = attempts::count(&mut write, &keys, NOW).await.expect("counts");
        let counts: Vec<_> = counted.iter().map(|attempts| attempts.count).collect();
        assert_eq!(counts, [1, 1, 1], "what was counted has been given back");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_only_for_its_own_person_and_against_its_own_secret() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (ana, ben) = (added_user(&mut write, "ana").await, added_user(&mut write, "ben").await);
        for user in [&ana, &ben] {
            authenticators::set_password(&mut write, &user.id, "$argon2id$first", NOW).await.expect("sets");
        }
        let new = session(&ana);
        assert!(sessions::start(&mut write, &new).await.expect("starts"));
        write.commit().await.expect("commits");
        let mut write = database.write().await;
        let next = Session {
            acr: Acr::Aal1,
            amr: vec![Amr::Pwd],
            authenticated_at: later(60),
            last_seen_at: later(60),
            expires_at: later(90_000),
            inactivity: Duration::from_hours(2),
            persistent: true,
            ..new.session.clone()
        };
        let (old, secret) = (new.secret, digest());
        let bens = Session { user_id: ben.id, ..next.clone() };
        let nobodys = Session { user_id: user("nobody").id, ..next.clone() };
        for (renewed, old, changed_at, why) in [
            (&bens, old, NOW, "somebody else's proof"),
            (&nobodys, old, NOW, "nobody's"),
            (&next, digest(), NOW, "an old secret"),
            (&next, old, later(1), "a password that has been replaced"),
        ] {
            let done = sessions::renew_by_password(&mut write, renewed, &old, &secret, changed_at).await.expect("asks");
            assert!(!done, "{why}");
        }
        assert_eq!(sessions::by_secret(&mut write, &old).await.expect("reads"), Some(new.session.clone()));
        assert!(sessions::renew_by_password(&mut write, &next, &old, &secret, NOW).await.expect("renews"));
        assert_eq!(sessions::by_secret(&mut write, &old).await.expect("reads"), None);
        assert_eq!(sessions::by_secret(&mut write, &secret).await.expect("reads"), Some(next.clone()));
        let position = write.commit().await.expect("commits").expect("tells of it");
        let change = Change::SessionChanged { session: next.id, user: ana.id };
        let told = changes::since(&mut database.read().await, position - 1, 10).await.expect("reads");
        assert_eq!(told.into_iter().map(|entry| entry.change).collect::<Vec<_>>(), [change]);

        let mut write = database.write().await;
        sessions::end(&mut write, &next.id, EndReason::SignedOut, later(61)).await.expect("ends");
        assert!(
            !sessions::renew_by_password(&mut write, &next, &secret, &digest(), NOW).await.expect("asks"),
            "it has ended"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_belongs_to_one_session() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let (first, mut second) = (session(&ana), session(&ana));
        second.secret = first.secret;
        sessions::start(&mut write, &first).await.expect("starts");
        let clash = sessions::start(&mut write, &second).await.expect_err("the secret is taken");
        assert!(clash.conflicts_on("sessions(secret)"), "{clash}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_once() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let new = session(&ana);
        let id = new.session.id;
        sessions::start(&mut write, &new).await.expect("starts");
        assert!(sessions::end(&mut write, &id, EndReason::SignedOut, later(1)).await.expect("ends"));
        assert!(!sessions::end(&mut write, &id, EndReason::EndedByAdmin, later(2)).await.expect("has ended"));
        assert!(!sessions::end(&mut write, &session(&ana).session.id, EndReason::SignedOut, NOW).await.expect("none"));
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        let stored = sessions::find(&mut read, &id).await.expect("reads").expect("is there");
        assert_eq!(stored.ended, Some(Ended { at: later(1), reason: EndReason::SignedOut }));
        let told = changes::since(&mut read, 0, 9).await.expect("reads");
        let ended = Change::SessionEnded { session: id, user: ana.id, reason: EndReason::SignedOut };
        assert_eq!(told.into_iter().map(|entry| (entry.at, entry.change)).collect::<Vec<_>>(), [(later(1), ended)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_one_user_end_but_the_one_that_asks() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (ana, bob) = (added_user(&mut write, "ana").await, added_user(&mut write, "bob").await);
        let of_ana = [session(&ana), session(&ana), session(&ana)];
        let of_bob = session(&bob);
        for new in of_ana.iter().chain([&of_bob]) {
            sessions::start(&mut write, new).await.expect("starts");
        }
        sessions::end(&mut write, &of_ana[2].session.id, EndReason::SignedOut, NOW).await.expect("ends");
        let reason = EndReason::SignedOutEverywhere;
        let here = of_ana[0].session.id;
        let ended = sessions::end_all_of(&mut write, &ana.id, Some(&here), reason, later(5)).await.expect("ends");
        assert_eq!(ended, [of_ana[1].session.id]);
        let live = sessions::live_of(&mut write, &ana.id, later(6)).await.expect("reads");
        assert_eq!(live.iter().map(|session| session.id).collect::<Vec<_>>(), [here]);
        let ended = sessions::end_all_of(&mut write, &ana.id, None, reason, later(5)).await.expect("ends");
        assert_eq!(ended, [here]);
        assert_eq!(sessions::live_of(&mut write, &bob.id, later(6)).await.expect("reads").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn touching_never_goes_back_and_never_revives() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let (open, over) = (session(&ana), session(&ana));
        for new in [&open, &over] {
            sessions::start(&mut write, new).await.expect("starts");
        }
        sessions::end(&mut write, &over.session.id, EndReason::SignedOut, later(1)).await.expect("ends");
        let (open, over) = (open.session.id, over.session.id);
        let seen = [(over, later(60)), (open, later(60)), (open, later(30)), (session(&ana).session.id, later(60))];
        assert_eq!(sessions::touch(&mut write, &seen).await.expect("touches"), 1, "the later one");
        assert_eq!(sessions::touch(&mut write, &[(open, later(59))]).await.expect("touches"), 0);
        let seen_at = async |write: &mut hallpass_store::Write, id| {
            sessions::find(write, &id).await.expect("reads").expect("is there").last_seen_at
        };
        assert_eq!((seen_at(&mut write, open).await, seen_at(&mut write, over).await), (later(60), NOW));
    })
    .await;
}

/// A statement about 200, one about 16, one about what is left.
#[tokio::test(flavor = "multi_thread")]
async fn of_hundreds_nobody_is_passed_over() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos"]).await;
        let ana = added_user(&mut write, "ana").await;
        let open: Vec<_> = (0..200 + 16 + 5).map(|_| session(&ana)).collect();
        sessions::start_many(&mut write, &open).await.expect("stores");
        let ids: Vec<_> = open.iter().map(|new| new.session.id).collect();
        // Each at a time of its own: a row written with its neighbour's would show.
        let seen: Vec<_> = ids.iter().zip(60..).map(|(id, second)| (*id, later(second))).collect();
        assert_eq!(sessions::touch(&mut write, &seen).await.expect("touches"), 221);
        let told: Vec<_> = ids.iter().map(|id| (*id, key("pos"))).collect();
        sessions::record_told(&mut write, &told, NOW).await.expect("records");
        for (id, at) in seen {
            let session = sessions::find(&mut write, &id).await.expect("reads").expect("is there");
            assert_eq!(session.last_seen_at, at);
            assert_eq!(sessions::told(&mut write, &id).await.expect("reads"), [key("pos")]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_given_for_the_old_one_only() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let new = session(&ana);
        let (id, old, next) = (new.session.id, new.secret, digest());
        sessions::start(&mut write, &new).await.expect("starts");
        assert!(!sessions::renew_secret(&mut write, &id, &next, &digest(), NOW).await.expect("not its secret"));
        assert!(sessions::renew_secret(&mut write, &id, &old, &next, NOW).await.expect("renews"));
        assert!(!sessions::renew_secret(&mut write, &id, &old, &digest(), NOW).await.expect("not its secret any more"));
        assert_eq!(sessions::by_secret(&mut write, &old).await.expect("reads"), None);
        assert!(sessions::by_secret(&mut write, &next).await.expect("reads").is_some());
        sessions::end(&mut write, &id, EndReason::SignedOut, NOW).await.expect("ends");
        assert!(!sessions::renew_secret(&mut write, &id, &next, &digest(), NOW).await.expect("has ended"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_are_paged_counted_and_pruned() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let mut many: Vec<_> = (0..1203).map(|_| session(&ana)).collect();
        many[0].session.ended = Some(Ended { at: later(10), reason: EndReason::Replaced });
        many[1].session.expires_at = later(20);
        many[2].session.inactivity = Duration::from_secs(20);
        sessions::start_many(&mut write, &many).await.expect("stores");
        assert_eq!(write.commit().await.expect("commits"), None, "tells nobody");

        let mut read = database.read().await;
        let count = async |read: &mut hallpass_store::Read, now: Timestamp| {
            sessions::count_live(read, now).await.expect("reads")
        };
        assert_eq!((count(&mut read, NOW).await, count(&mut read, later(19)).await), (1202, 1202));
        assert_eq!(count(&mut read, later(20)).await, 1200, "the limits themselves are too late");
        let mut paged = Vec::new();
        loop {
            let after = paged.last().map(|live: &LiveSession| live.id);
            let page = sessions::live_page(&mut read, after.as_ref(), 500, later(20)).await.expect("reads");
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        let mut expected: Vec<_> = many[3..].iter().map(live).collect();
        expected.sort_unstable_by_key(|live| live.id.to_string());
        assert_eq!(paged, expected);
        assert_eq!(sessions::live_of(&mut read, &ana.id, NOW).await.expect("reads").len(), 1000);
        drop(read);

        let mut write = database.write().await;
        assert_eq!(sessions::prune(&mut write, later(10), 9).await.expect("prunes"), 0);
        assert_eq!(sessions::prune(&mut write, later(21), 1).await.expect("prunes"), 1);
        assert_eq!(sessions::prune(&mut write, later(21), 9).await.expect("prunes"), 1);
        assert_eq!(count(&mut write, NOW).await, 1201);
    })
    .await;
}

fn live(NewSession { session, .. }: &NewSession) -> LiveSession {
    LiveSession {
        id: session.id,
        user_id: session.user_id,
        acr: session.acr,
        amr: session.amr.clone(),
        authenticated_at: session.authenticated_at,
        last_seen_at: session.last_seen_at,
        expires_at: session.expires_at,
        inactivity: session.inactivity,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_is_remembered_once() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos", "cashier"]).await;
        let ana = added_user(&mut write, "ana").await;
        let (first, second) = (session(&ana), session(&ana));
        for new in [&first, &second] {
            sessions::start(&mut write, new).await.expect("starts");
        }
        let (first, second) = (first.session.id, second.session.id);
        let told = [(first, key("pos")), (first, key("cashier")), (second, key("pos")), (first, key("pos"))];
        sessions::record_told(&mut write, &told, NOW).await.expect("records");
        let gone = [(session(&ana).session.id, key("pos")), (first, key("gone"))];
        sessions::record_told(&mut write, &gone, NOW).await.expect("passes over");
        assert_eq!(sessions::told(&mut write, &first).await.expect("reads"), [key("cashier"), key("pos")]);
        assert_eq!(sessions::told(&mut write, &second).await.expect("reads"), [key("pos")]);
        let page = sessions::told_to(&mut write, &key("pos"), None, 1).await.expect("reads");
        let rest = sessions::told_to(&mut write, &key("pos"), page.last(), 9).await.expect("reads");
        let mut expected = [first, second];
        expected.sort_unstable_by_key(ToString::to_string);
        assert_eq!([page, rest].concat(), expected);
    })
    .await;
}
