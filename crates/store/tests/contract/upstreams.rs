//! Sessions that stand on a session somewhere else: whose identity it is, when it is looked at again, and that it is ended with ours.

use hallpass_core::logout::Told;
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamId;
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::upstreams::{self, Footing};
use hallpass_store::{Write, authenticators, upstream_answers, upstream_logouts, users, verified_emails};

use crate::support::*;

const KRATOS: &str = "kratos";

fn there(text: &str) -> UpstreamId {
    text.parse().expect("valid")
}

fn footing(new: &NewSession, upstream_session: &str) -> Footing {
    Footing {
        session: new.session.id,
        upstream: KRATOS.to_owned(),
        identity: there("ana-there"),
        upstream_session: there(upstream_session),
        credential: vec![1, 2, 3],
        ends_there: true,
        checked_at: NOW,
        failing_since: None,
        due_at: later(300),
    }
}

/// A session of `ana`'s that stands on `upstream_session`.
async fn standing(write: &mut Write, user: &hallpass_core::user::User, upstream_session: &str) -> NewSession {
    let new = session(user);
    assert!(sessions::start(write, &new).await.expect("starts"));
    assert!(upstreams::stand(write, &footing(&new, upstream_session), None).await.expect("stands"));
    new
}

async fn due(write: &mut Write, at: u64) -> Vec<Footing> {
    upstreams::claim(write, KRATOS, later(at + 30), 10, later(at)).await.expect("claims")
}

async fn used(write: &mut Write, new: &NewSession, at: Timestamp) {
    sessions::touch(write, &[(new.session.id, at)]).await.expect("touches");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_one_user_and_a_user_one_identity() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (ana, ben) = (added_user(&mut write, "ana").await, added_user(&mut write, "ben").await);
        assert!(upstreams::link(&mut write, KRATOS, "a", &ana.id, true, NOW).await.expect("links"));
        for (identity, user) in [("a", &ben), ("b", &ana), ("a", &ana)] {
            assert!(!upstreams::link(&mut write, KRATOS, identity, &user.id, false, NOW).await.expect("asks"));
        }
        assert!(upstreams::link(&mut write, "other", "a", &ben.id, false, NOW).await.expect("links"));
        assert_eq!(upstreams::user_of(&mut write, KRATOS, "a").await.expect("reads"), Some(ana.id));
        assert_eq!(upstreams::user_of(&mut write, KRATOS, "b").await.expect("reads"), None);
        assert_eq!(upstreams::identity_of(&mut write, KRATOS, &ana.id).await.expect("reads"), Some("a".to_owned()));
        assert_eq!(upstreams::identity_of(&mut write, KRATOS, &ben.id).await.expect("reads"), None);
        assert!(upstreams::has_made(&mut write, KRATOS, &ana.id).await.expect("reads"));
        assert!(!upstreams::has_made(&mut write, "other", &ben.id).await.expect("reads"));
        assert!(!upstreams::has_made(&mut write, "other", &ana.id).await.expect("reads"));
        assert!(users::remove(&mut write, &ana.id, NOW).await.expect("removes"));
        assert_eq!(upstreams::user_of(&mut write, KRATOS, "a").await.expect("reads"), None);
    })
    .await;
}

/// Whoever comes first from several tabs, or at several nodes, is one user.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_link_one_identity_at_once_one_wins() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let mut people = Vec::new();
        for number in 0..16 {
            people.push(added_user(&mut write, &format!("ana{number}")).await);
        }
        write.commit().await.expect("commits");
        let mut racing = tokio::task::JoinSet::new();
        for user in people {
            let store = database.store.clone();
            racing.spawn(async move {
                let mut write = store.write().await.expect("writes");
                let won = upstreams::link(&mut write, KRATOS, "a", &user.id, false, NOW).await.expect("asks");
                write.commit().await.expect("commits");
                won
            });
        }
        assert_eq!(racing.join_all().await.into_iter().filter(|won| *won).count(), 1);
    })
    .await;
}

/// T23: a code that comes back to several nodes at once is taken by one of them, and never again.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_take_one_answer_at_once_one_does() {
    on_both(|database| async move {
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = database.store.clone();
            racing.spawn(async move {
                let mut write = store.write().await.expect("writes");
                let taken = upstream_answers::take(&mut write, &[7; 32], NOW).await.expect("asks");
                write.commit().await.expect("commits");
                taken
            });
        }
        assert_eq!(racing.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
        let mut write = database.write().await;
        assert!(!upstream_answers::take(&mut write, &[7; 32], later(10)).await.expect("asks"));
        assert!(upstream_answers::take(&mut write, &[8; 32], later(10)).await.expect("asks"));
        assert_eq!(upstream_answers::prune(&mut write, later(10), 10).await.expect("prunes"), 1);
        assert!(!upstream_answers::take(&mut write, &[8; 32], later(11)).await.expect("asks"));
    })
    .await;
}

/// T53, T54: an address counts as shown for as long as it is the one that was shown.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_verified_until_it_changes() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (mut ana, mut ben) = (added_user(&mut write, "ana").await, added_user(&mut write, "ben").await);
        let address = "ana@company.com".parse().expect("an address");
        let of = async |write: &mut Write| verified_emails::users_of(write, &address).await.expect("reads");
        ana.email = Some("Ana@Company.com".to_owned());
        assert!(users::update(&mut write, &ana, NOW).await.expect("updates"));
        assert!(of(&mut write).await.is_empty(), "what is typed somewhere shows nothing");
        for user in [&ana, &ben] {
            let recorded = verified_emails::record(&mut write, &user.id, "Ana@Company.com", &address, "cli", NOW).await;
            recorded.expect("records");
        }
        assert_eq!(of(&mut write).await, [ana.id], "ben has another address");
        ben.email = Some("Ana@Company.com".to_owned());
        assert!(users::update(&mut write, &ben, NOW).await.expect("updates"));
        assert_eq!(of(&mut write).await.len(), 2);
        for user in [&mut ana, &mut ben] {
            user.email = Some("evil@example.com".to_owned());
            assert!(users::update(&mut write, user, NOW).await.expect("updates"));
        }
        assert!(of(&mut write).await.is_empty());
    })
    .await;
}

/// T71: a password says nothing about what an upstream has said.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_on_an_upstream_is_not_renewed_by_a_password() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        authenticators::set_password(&mut write, &ana.id, "$argon2id$first", NOW).await.expect("sets");
        let new = standing(&mut write, &ana, "k1").await;
        let renewed = sessions::renew_by_password(&mut write, &new.session, &new.secret, &digest(), NOW).await;
        assert!(!renewed.expect("asks"));
        assert_eq!(sessions::by_secret(&mut write, &new.secret).await.expect("reads"), Some(new.session));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_footing_is_looked_at_while_the_session_is_used() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let new = standing(&mut write, &ana, "k1").await;
        let id = new.session.id;
        let stored = upstreams::footing(&mut write, &id).await.expect("reads").expect("there");
        assert_eq!(stored, footing(&new, "k1"));
        assert!(!format!("{stored:?}").contains("[1, 2, 3]"));
        assert_eq!(due(&mut write, 299).await, []);
        let claimed = due(&mut write, 300).await;
        assert_eq!(claimed.iter().map(|footing| footing.session).collect::<Vec<_>>(), [id]);
        assert_eq!(due(&mut write, 329).await, [], "somebody has it");
        assert_eq!(due(&mut write, 330).await.len(), 1, "lost with its node, it comes up again");
        upstreams::found_alive(&mut write, &id, &there("k2"), later(630), later(330)).await.expect("writes");
        let stored = upstreams::footing(&mut write, &id).await.expect("reads").expect("there");
        assert_eq!((stored.checked_at, stored.due_at, stored.upstream_session), (later(330), later(630), there("k2")));
        assert_eq!(due(&mut write, 700).await, [], "nobody has used it since");
        used(&mut write, &new, later(690)).await;
        assert_eq!(due(&mut write, 700).await.len(), 1);
        // An answer that comes late says nothing about now.
        upstreams::found_alive(&mut write, &id, &there("k3"), later(900), later(100)).await.expect("writes");
        let stored = upstreams::footing(&mut write, &id).await.expect("reads").expect("there");
        assert_eq!(stored.upstream_session, there("k2"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_is_tried_again_whoever_uses_it() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let new = standing(&mut write, &ana, "k1").await;
        let id = new.session.id;
        for at in [400, 430] {
            upstreams::not_reached(&mut write, &id, later(at + 30), later(at)).await.expect("writes");
        }
        let stored = upstreams::footing(&mut write, &id).await.expect("reads").expect("there");
        assert_eq!((stored.failing_since, stored.due_at, stored.checked_at), (Some(later(400)), later(460), NOW));
        assert_eq!(due(&mut write, 459).await, []);
        assert_eq!(due(&mut write, 3000).await.len(), 1, "although nobody was there for long");
        upstreams::found_alive(&mut write, &id, &there("k1"), later(3300), later(3000)).await.expect("writes");
        let stored = upstreams::footing(&mut write, &id).await.expect("reads").expect("there");
        assert_eq!(stored.failing_since, None);
        assert_eq!(due(&mut write, 90_000).await, [], "it has run out");
        assert_eq!(upstreams::prune(&mut write, later(3000), 10).await.expect("prunes"), 0);
        assert_eq!(upstreams::prune(&mut write, later(3600 + 300), 10).await.expect("prunes"), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_nodes_share_the_work() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        for number in 0..40 {
            standing(&mut write, &ana, &format!("k{number}")).await;
        }
        write.commit().await.expect("commits");
        let mut nodes = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let store = database.store.clone();
            nodes.spawn(async move {
                let mut write = store.write().await.expect("writes");
                let claimed = upstreams::claim(&mut write, KRATOS, later(400), 40, later(300)).await.expect("claims");
                write.commit().await.expect("commits");
                claimed.into_iter().map(|footing| footing.session).collect::<Vec<_>>()
            });
        }
        let mut claimed = nodes.join_all().await.concat();
        let all = claimed.len();
        claimed.sort();
        claimed.dedup();
        assert_eq!((all, claimed.len()), (40, 40), "each once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_a_session_here_ends_it_there() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        for (reason, text) in EndReason::ALL {
            let new = standing(&mut write, &ana, text).await;
            let id = new.session.id;
            assert!(sessions::end(&mut write, &id, reason, later(10)).await.expect("ends"));
            assert_eq!(upstreams::footing(&mut write, &id).await.expect("reads"), None, "no credential is kept");
            let noted = upstream_logouts::of_session(&mut write, &id).await.expect("reads");
            let by_them = matches!(reason, EndReason::UpstreamEnded | EndReason::UpstreamAway | EndReason::Restored);
            assert_eq!(noted.map(|noted| noted.upstream_session), (!by_them).then(|| there(text)), "{text}");
        }
        // Where it cannot be ended there, nothing is noted.
        let new = session(&ana);
        assert!(sessions::start(&mut write, &new).await.expect("starts"));
        let alone = Footing { ends_there: false, ..footing(&new, "alone") };
        assert!(upstreams::stand(&mut write, &alone, None).await.expect("stands"));
        assert!(sessions::end(&mut write, &new.session.id, EndReason::SignedOut, later(10)).await.expect("ends"));
        assert_eq!(upstream_logouts::of_session(&mut write, &new.session.id).await.expect("reads"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_ended_there_is_claimed_and_settled() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let (one, two) = (standing(&mut write, &ana, "k1").await, standing(&mut write, &ana, "k2").await);
        assert!(!upstream_logouts::is_any_due(&mut write, later(10)).await.expect("reads"));
        // Removed with everything that was theirs: the upstream has to hear of it all the same.
        assert!(users::remove(&mut write, &ana.id, later(10)).await.expect("removes"));
        assert!(upstream_logouts::is_any_due(&mut write, later(10)).await.expect("reads"));
        let claim = async |write: &mut Write, at| {
            upstream_logouts::claim(write, KRATOS, later(at + 30), 10, later(at)).await.expect("claims")
        };
        assert_eq!(upstream_logouts::claim(&mut write, "other", later(40), 10, later(10)).await.expect("claims"), []);
        let claimed = claim(&mut write, 10).await;
        let mut sessions: Vec<_> = claimed.iter().map(|logout| logout.upstream_session.as_str()).collect();
        sessions.sort_unstable();
        assert_eq!(sessions, ["k1", "k2"]);
        assert!(claimed.iter().all(|logout| (logout.user, logout.attempts) == (ana.id, 1)));
        assert_eq!(claim(&mut write, 39).await, [], "somebody has them");
        let of =
            |new: &NewSession| claimed.iter().find(|logout| logout.session == new.session.id).expect("claimed").clone();
        upstream_logouts::delivered(&mut write, &of(&one), later(12)).await.expect("settles");
        upstream_logouts::retry(&mut write, &of(&two), later(20)).await.expect("settles");
        let again = claim(&mut write, 20).await;
        assert_eq!((again.len(), again[0].session, again[0].attempts), (1, two.session.id, 2));
        assert_eq!(claim(&mut write, 50).await.len(), 1, "lost with its node, it comes up again");
        upstream_logouts::give_up(&mut write, &again[0], later(60)).await.expect("settles");
        assert_eq!(claim(&mut write, 1000).await, []);
        for (new, told) in [(&one, Told::SignedOut), (&two, Told::Unreachable)] {
            let kept = upstream_logouts::of_session(&mut write, &new.session.id).await.expect("reads").expect("kept");
            assert_eq!(kept.told, told);
        }
        assert_eq!(upstream_logouts::prune(&mut write, later(10), 10).await.expect("prunes"), 0);
        assert_eq!(upstream_logouts::prune(&mut write, later(11), 10).await.expect("prunes"), 2);
    })
    .await;
}

/// Signing out is final: the session there must not carry a new one here before it has been ended there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_stands_on_what_is_about_to_end() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let first = standing(&mut write, &ana, "k1").await;
        // The same person comes again in the same browser: the session there goes on under a new one here.
        let second = session(&ana);
        assert!(sessions::end(&mut write, &first.session.id, EndReason::Replaced, later(5)).await.expect("ends"));
        assert!(sessions::start(&mut write, &second).await.expect("starts"));
        let stands = upstreams::stand(&mut write, &footing(&second, "k1"), Some(&first.session.id)).await;
        assert!(stands.expect("asks"));
        assert_eq!(upstream_logouts::of_session(&mut write, &first.session.id).await.expect("reads"), None);
        // Replaced by one that stands on another: the old one is to be ended.
        let third = session(&ana);
        assert!(sessions::end(&mut write, &second.session.id, EndReason::Replaced, later(6)).await.expect("ends"));
        assert!(sessions::start(&mut write, &third).await.expect("starts"));
        let stands = upstreams::stand(&mut write, &footing(&third, "k2"), Some(&second.session.id)).await;
        assert!(stands.expect("asks"));
        assert!(upstream_logouts::of_session(&mut write, &second.session.id).await.expect("reads").is_some());
        let fourth = session(&ana);
        assert!(sessions::start(&mut write, &fourth).await.expect("starts"));
        for replaced in [None, Some(&third.session.id)] {
            let stands = upstreams::stand(&mut write, &footing(&fourth, "k1"), replaced).await;
            assert!(!stands.expect("asks"), "it is about to be ended there");
        }
    })
    .await;
}
