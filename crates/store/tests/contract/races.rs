//! Everything that can be had once, asked for by sixteen at once, from two nodes, on both databases.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::handoff::{HandoffRefused, MAXIMUM_CODES};
use hallpass_core::id::FamilyId;
use hallpass_core::jwk::Thumbprint;
use hallpass_core::keyring::Purpose;
use hallpass_core::oidc::{AuthMethod, VerifiedAssertion, VerifiedProof};
use hallpass_core::secret::{RegistrationToken, Secret};
use hallpass_core::session::EndReason;
use hallpass_store::device_codes::Decision;
use hallpass_store::tokens::Rotation;
use hallpass_store::{
    Change, Store, apps, attempts, authenticators, changes, client_assertions, codes, device_codes, dpop_proofs,
    handoffs, keys, leases, meta, outbox, pushed_requests, registrations, sessions, tokens, users,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::device_codes::device;
use crate::handoffs::{handoff, prepared};
use crate::machinery::sealed_key;
use crate::oidc;
use crate::pushed_requests::pushed;
use crate::support::*;

const AT_ONCE: usize = 16;

/// Runs `racer` sixteen times at once, half of them on another node, and returns what each got.
async fn race<F, Running, T>(database: &Database, racer: F) -> Vec<T>
where
    F: Fn(Store, usize) -> Running,
    Running: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let other = database.other_node().await;
    let start = Arc::new(Barrier::new(AT_ONCE));
    let mut racers = JoinSet::new();
    for number in 0..AT_ONCE {
        let store = if number % 2 == 0 { database.store.clone() } else { other.clone() };
        let (racing, start) = (racer(store, number), start.clone());
        racers.spawn(async move {
            start.wait().await;
            racing.await
        });
    }
    let got = racers.join_all().await;
    other.close().await;
    got
}

fn winners(got: &[bool]) -> usize {
    got.iter().filter(|won| **won).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_counts() {
    on_both(|database| async move {
        let got = race(&database, |store, number| async move {
            let mut counts = Vec::new();
            for _ in 0..5 {
                let mut write = store.write().await.expect("writes");
                // In either order: the locks are taken in one.
                let mut buckets = [("user", Duration::from_mins(1)), ("address", Duration::from_mins(1))];
                if number % 3 == 0 {
                    buckets.reverse();
                }
                // Alone, and together with a look at who is meant.
                let counted = match number % 2 {
                    0 => attempts::count(&mut write, &buckets, NOW).await.expect("counts"),
                    _ => {
                        attempts::count_for(&mut write, &"ana".parse().expect("valid"), &buckets, NOW)
                            .await
                            .expect("counts")
                            .0
                    }
                };
                write.commit().await.expect("commits");
                counts.push(counted[0].count);
            }
            counts
        });
        let mut counts = got.await.concat();
        counts.sort_unstable();
        assert_eq!(counts.len(), AT_ONCE * 5);
        assert_eq!(counts.last().copied(), u32::try_from(AT_ONCE * 5).ok());
    })
    .await;
}

/// A thousand at once, on two nodes: one of them gets the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_code_is_redeemed_by_one() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (session, two) = prepared(&mut write).await;
        let (new, _) = handoff(&session, &two);
        handoffs::issue(&mut write, &new, NOW).await.expect("asks").expect("issues");
        write.commit().await.expect("commits");
        let code = new.code;
        let got = race(&database, move |store, _| async move {
            let mut verdicts = Vec::new();
            for _ in 0..1000_usize.div_ceil(AT_ONCE) {
                let mut write = store.write().await.expect("writes");
                let redeemed = handoffs::redeem(&mut write, &code, NOW).await.expect("asks");
                write.commit().await.expect("commits");
                verdicts.push(redeemed.map(|redeemed| redeemed.session()));
            }
            verdicts
        });
        let verdicts = got.await.concat();
        assert!(verdicts.len() >= 1000);
        let won: Vec<_> = verdicts.iter().filter_map(|verdict| verdict.as_ref().ok()).collect();
        assert_eq!(won, [&session.session.id]);
        let reused = verdicts.iter().filter(|verdict| **verdict == Err(HandoffRefused::CodeReused)).count();
        assert_eq!(reused, verdicts.len() - 1, "and the others hear why");
    })
    .await;
}

/// Asked for by sixteen at once: one is in time. Decided about by sixteen at once: one is heard. And one gets the tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_heard_decided_about_and_given_tokens_once() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = oidc::prepared(&mut write).await.session.id;
        let (code, user_code) = device(&mut write).await;
        write.commit().await.expect("commits");
        let asked = race(&database, move |store, _| async move {
            let mut write = store.write().await.expect("writes");
            let in_time = device_codes::poll(&mut write, &code, NOW).await.expect("counts");
            write.commit().await.expect("commits");
            in_time
        });
        assert_eq!(winners(&asked.await), 1);
        let decided = race(&database, move |store, number| async move {
            let mut write = store.write().await.expect("writes");
            let allowed = number % 3 == 0;
            let heard = device_codes::decide(&mut write, &user_code, &session, allowed, NOW).await.expect("asks");
            write.commit().await.expect("commits");
            heard.then_some(allowed)
        });
        let heard: Vec<_> = decided.await.into_iter().flatten().collect();
        let found = device_codes::find(&mut database.read().await, &code).await.expect("reads").expect("there");
        let expected = if heard == [true] { Decision::Allowed(session) } else { Decision::Denied };
        assert_eq!((heard.len(), found.decision), (1, Some(expected)));

        let mut write = database.write().await;
        let (code, user_code) = device(&mut write).await;
        assert!(device_codes::decide(&mut write, &user_code, &session, true, NOW).await.expect("decides"));
        write.commit().await.expect("commits");
        let family = FamilyId::mint(NOW, &mut Different);
        let redeemed = race(&database, move |store, _| async move {
            let mut write = store.write().await.expect("writes");
            let won = device_codes::redeem(&mut write, &code, &family, NOW).await.expect("asks");
            write.commit().await.expect("commits");
            won
        });
        assert_eq!(winners(&redeemed.await), 1);
    })
    .await;
}

/// RFC 9449 §11.1: the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_possession_is_used_by_one() {
    on_both(|database| async move {
        let key = Thumbprint::from_bytes([7; 32]);
        for (id, expires_at) in [([1; 32], later(60)), ([2; 32], later(61))] {
            let used = race(&database, move |store, _| async move {
                let mut write = store.write().await.expect("writes");
                let proof = VerifiedProof { key, id, expires_at };
                let first = dpop_proofs::redeem(&mut write, &proof).await.expect("asks");
                write.commit().await.expect("commits");
                first
            });
            assert_eq!(winners(&used.await), 1);
        }
        let mut write = database.write().await;
        for (at, gone) in [(60, 0), (61, 1), (61, 0), (62, 1)] {
            assert_eq!(dpop_proofs::prune(&mut write, later(at), 9).await.expect("prunes"), gone, "{at}");
        }
    })
    .await;
}

/// RFC 7523 §3, item 7: on all nodes once, and known until nobody would take it anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_assertion_is_used_by_one() {
    on_both(|database| async move {
        for (id, expires_at) in [([1; 32], later(60)), ([2; 32], later(61))] {
            let used = race(&database, move |store, _| async move {
                let mut write = store.write().await.expect("writes");
                let assertion = VerifiedAssertion { id, expires_at };
                let first = client_assertions::redeem(&mut write, &assertion).await.expect("asks");
                write.commit().await.expect("commits");
                first
            });
            assert_eq!(winners(&used.await), 1);
        }
        let mut write = database.write().await;
        for (at, gone) in [(60, 0), (61, 1), (61, 0), (62, 1)] {
            assert_eq!(client_assertions::prune(&mut write, later(at), 9).await.expect("prunes"), gone, "{at}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_request_brings_one_code() {
    on_both(|database| async move {
        let mut write = database.write().await;
        oidc::prepared(&mut write).await;
        let request = pushed(&mut write).await;
        write.commit().await.expect("commits");
        let redeemed = race(&database, move |store, _| async move {
            let mut write = store.write().await.expect("writes");
            let won = pushed_requests::redeem(&mut write, &request).await.expect("asks");
            write.commit().await.expect("commits");
            won
        });
        assert_eq!(winners(&redeemed.await), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_code_is_redeemed_by_one() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = oidc::prepared(&mut write).await;
        write.commit().await.expect("commits");
        for _ in 0..5 {
            let mut write = database.write().await;
            let code = oidc::code(&mut write, &session).await;
            write.commit().await.expect("commits");
            let got = race(&database, move |store, _| async move {
                let family = FamilyId::mint(NOW, &mut Different);
                let mut write = store.write().await.expect("writes");
                let won = codes::redeem(&mut write, &code, &family, NOW).await.expect("asks");
                write.commit().await.expect("commits");
                won.then_some(family)
            });
            let won: Vec<_> = got.await.into_iter().flatten().collect();
            let written = codes::family(&mut database.read().await, &code).await.expect("reads");
            assert_eq!(won, [written.expect("the winner's")]);
        }
    })
    .await;
}

/// T17: of many at once one moves the family on, in every generation; the tokens of the others are never written down.
#[tokio::test(flavor = "multi_thread")]
async fn each_generation_of_refresh_tokens_has_one_successor() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = oidc::prepared(&mut write).await;
        let ((family, _), id) = (oidc::family(&mut write, &session).await, session.session.id);
        write.commit().await.expect("commits");
        for from in 1..=5 {
            let got = race(&database, move |store, number| async move {
                let token = digest();
                let mut write = store.write().await.expect("writes");
                // As the server does it, and without: the guarded statement alone must do.
                if number % 3 == 0 {
                    assert!(sessions::hold(&mut write, &id).await.expect("holds"));
                }
                let rotation = Rotation { family, from, token, answer: b"sealed", key: None };
                let won = tokens::rotate(&mut write, &rotation, NOW).await.expect("asks");
                write.commit().await.expect("commits");
                (won, token)
            });
            let got = got.await;
            let won: Vec<_> = got.iter().map(|(won, _)| *won).collect();
            assert_eq!(winners(&won), 1, "generation {from}");
            let mut read = database.read().await;
            for (won, token) in got {
                let known = tokens::by_token(&mut read, &token).await.expect("reads");
                assert_eq!(known.map(|(generation, _)| generation), won.then_some(from + 1));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_handoff_codes_are_open_than_allowed() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let (session, two) = prepared(&mut write).await;
        write.commit().await.expect("commits");
        let (session, two) = (Arc::new(session), Arc::new(two));
        let got = race(&database, move |store, _| {
            let (session, two) = (session.clone(), two.clone());
            async move {
                let mut write = store.write().await.expect("writes");
                let issued = handoffs::issue(&mut write, &handoff(&session, &two).0, NOW).await.expect("asks");
                write.commit().await.expect("commits");
                issued.is_ok()
            }
        });
        assert_eq!(winners(&got.await), usize::try_from(MAXIMUM_CODES).expect("few"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_held_by_one() {
    on_both(|database| async move {
        for round in 0..5 {
            let got = race(&database, move |store, number| async move {
                let mut write = store.write().await.expect("writes");
                let (until, now) = (later(60 * round + 60), later(60 * round));
                let held = leases::acquire(&mut write, "job", &number.to_string(), until, now).await.expect("asks");
                write.commit().await.expect("commits");
                held
            });
            assert_eq!(winners(&got.await), 1, "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nodes_that_rotate_at_once_one_wins() {
    on_both(|database| async move {
        for generation in 0..5 {
            let got = race(&database, move |store, _| async move {
                let mut write = store.write().await.expect("writes");
                let key = sealed_key(Purpose::Pass);
                let won = keys::rotate(&mut write, generation, &key, &[], NOW).await.expect("asks");
                write.commit().await.expect("commits");
                won
            });
            assert_eq!(winners(&got.await), 1);
        }
        assert_eq!(keys::all(&mut database.read().await).await.expect("reads").len(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ended_once_and_told_once() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let new = session(&ana);
        sessions::start(&mut write, &new).await.expect("starts");
        write.commit().await.expect("commits");
        let (id, user) = (new.session.id, ana.id);
        let got = race(&database, move |store, number| async move {
            let mut write = store.write().await.expect("writes");
            let reason = EndReason::SignedOut;
            let ended = if number % 4 == 0 {
                !sessions::end_all_of(&mut write, &user, None, reason, NOW).await.expect("asks").is_empty()
            } else {
                sessions::end(&mut write, &id, reason, NOW).await.expect("asks")
            };
            write.commit().await.expect("commits");
            ended
        });
        assert_eq!(winners(&got.await), 1);
        assert_eq!(changes::position(&mut database.read().await).await.expect("reads"), 1, "one end");
    })
    .await;
}

/// After "disable this user" has answered, no session of theirs is open, however many sign-ins ran beside it.
#[tokio::test(flavor = "multi_thread")]
async fn no_sign_in_slips_past_a_disabling() {
    on_both(|database| async move {
        for round in 0..8 {
            let mut write = database.write().await;
            let ana = added_user(&mut write, &format!("ana{round}")).await;
            write.commit().await.expect("commits");
            let id = ana.id;
            let ana = Arc::new(ana);
            race(&database, |store, number| {
                let ana = ana.clone();
                async move {
                    let mut write = store.write().await.expect("writes");
                    if number == 7 {
                        users::set_disabled(&mut write, &ana.id, true, NOW).await.expect("disables");
                    } else {
                        sessions::start(&mut write, &session(&ana)).await.expect("asks");
                    }
                    write.commit().await.expect("commits");
                }
            })
            .await;
            let live = sessions::live_of(&mut database.read().await, &id, NOW).await.expect("reads");
            assert_eq!(live, [], "round {round}");
        }
    })
    .await;
}

/// After "change my password" has answered, no session is open that the old one opened.
#[tokio::test(flavor = "multi_thread")]
async fn no_sign_in_slips_past_a_new_password() {
    on_both(|database| async move {
        for round in 0..8 {
            let mut write = database.write().await;
            let ana = added_user(&mut write, &format!("ana{round}")).await;
            authenticators::set_password(&mut write, &ana.id, "$argon2id$old", NOW).await.expect("sets");
            write.commit().await.expect("commits");
            let id = ana.id;
            let ana = Arc::new(ana);
            race(&database, |store, number| {
                let ana = ana.clone();
                async move {
                    let mut write = store.write().await.expect("writes");
                    if number == 7 {
                        let reason = EndReason::PasswordChanged;
                        sessions::end_all_of(&mut write, &ana.id, None, reason, NOW).await.expect("ends");
                        authenticators::set_password(&mut write, &ana.id, "$argon2id$new", later(1))
                            .await
                            .expect("sets");
                        write.commit().await.expect("commits");
                    } else {
                        sessions::start_by_password(write, &session(&ana), NOW).await.expect("asks");
                    }
                }
            })
            .await;
            let live = sessions::live_of(&mut database.read().await, &id, NOW).await.expect("reads");
            assert_eq!(live, [], "round {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_exchanged_once() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = added_user(&mut write, "ana").await;
        let new = session(&ana);
        sessions::start(&mut write, &new).await.expect("starts");
        write.commit().await.expect("commits");
        let (id, old) = (new.session.id, new.secret);
        let got = race(&database, move |store, _| async move {
            let mut write = store.write().await.expect("writes");
            let renewed = sessions::renew_secret(&mut write, &id, &old, &digest(), NOW).await.expect("asks");
            write.commit().await.expect("commits");
            renewed
        });
        assert_eq!(winners(&got.await), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_never_gets_a_third_live_secret() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos"]).await;
        write.commit().await.expect("commits");
        let got = race(&database, |store, _| async move {
            let mut write = store.write().await.expect("writes");
            let added = apps::add_secret(&mut write, &app_secret("pos"), NOW).await.expect("asks");
            write.commit().await.expect("commits");
            added
        });
        assert_eq!(winners(&got.await), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_added_at_once_get_different_slots() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &[]).await;
        write.commit().await.expect("commits");
        race(&database, |store, number| async move {
            let mut write = store.write().await.expect("writes");
            apps::upsert(&mut write, &app(&format!("app{number}"), "home"), NOW).await.expect("adds");
            write.commit().await.expect("commits");
        })
        .await;
        let policy = hallpass_store::roles::policy(&mut database.snapshot().await).await.expect("reads");
        let mut slots: Vec<_> = policy.apps.iter().map(|(_, slot)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), AT_ONCE);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_claimed_by_one() {
    on_both(|database| async move {
        let mut write = database.write().await;
        for number in 0..20 {
            let message = outbox::Message {
                id: format!("m{number}"),
                kind: "mail".into(),
                payload: number.into(),
                created_at: NOW,
                due_at: NOW,
                attempts: 0,
            };
            outbox::add(&mut write, &message).await.expect("adds");
        }
        write.commit().await.expect("commits");
        let got = race(&database, |store, _| async move {
            let mut write = store.write().await.expect("writes");
            let claimed = outbox::claim(&mut write, later(60), 20, NOW).await.expect("claims");
            write.commit().await.expect("commits");
            claimed.len()
        });
        assert_eq!(got.await.iter().sum::<usize>(), 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_gets_one_name() {
    on_both(|database| async move {
        let mut got = race(&database, |store, number| async move {
            let mut write = store.write().await.expect("writes");
            let name = meta::set_once(&mut write, meta::INSTALLATION, &number.to_string()).await.expect("sets");
            write.commit().await.expect("commits");
            name
        })
        .await;
        got.dedup();
        assert_eq!(got.len(), 1, "{got:?}");
    })
    .await;
}

/// Two that write the same rows in different orders wait for each other; neither is thrown out.
#[tokio::test(flavor = "multi_thread")]
async fn batches_over_the_same_rows_do_not_deadlock() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos", "cashier"]).await;
        let ana = added_user(&mut write, "ana").await;
        let open: Vec<_> = (0..30).map(|_| session(&ana)).collect();
        sessions::start_many(&mut write, &open).await.expect("stores");
        write.commit().await.expect("commits");
        let ids: Vec<_> = open.iter().map(|new| new.session.id).collect();
        let user = ana.id;
        race(&database, |store, number| {
            let mut ids = ids.clone();
            ids.rotate_left(number);
            async move {
                for round in 0..3 {
                    let at = later(round * 16 + number as u64);
                    let mut write = store.write().await.expect("writes");
                    let seen: Vec<_> = ids.iter().map(|id| (*id, at)).collect();
                    sessions::touch(&mut write, &seen).await.expect("touches");
                    let told: Vec<_> = ids.iter().flat_map(|id| [(*id, key("pos")), (*id, key("cashier"))]).collect();
                    sessions::record_told(&mut write, &told, at).await.expect("records");
                    write.commit().await.expect("commits");
                }
                if number == 11 {
                    let mut write = store.write().await.expect("writes");
                    let reason = EndReason::SignedOutEverywhere;
                    sessions::end_all_of(&mut write, &user, None, reason, NOW).await.expect("ends");
                    write.commit().await.expect("commits");
                }
            }
        })
        .await;
        assert_eq!(sessions::count_live(&mut database.read().await, NOW).await.expect("reads"), 0);
    })
    .await;
}

/// Positions are gap-free and in the order of commits: whoever reads up to *n* never finds something below *n* later.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_has_no_gaps_and_nothing_appears_behind_a_reader() {
    on_both(|database| async move {
        let reading = database.store.clone();
        let wanted = i64::try_from(AT_ONCE * 10 * 3).expect("small");
        let reader = tokio::spawn(async move {
            let mut position = 0;
            while position < wanted {
                let mut read = reading.read().await.expect("reads");
                for entry in changes::since(&mut read, position, 7).await.expect("reads") {
                    assert_eq!(entry.position, position + 1, "a gap");
                    position = entry.position;
                }
            }
        });
        let mut got = race(&database, |store, number| async move {
            let mut positions = Vec::new();
            for round in 0..10 {
                let mut write = store.write().await.expect("writes");
                (0..3).for_each(|_| write.change(later(round), Change::KeysChanged));
                if (round + number as u64).is_multiple_of(5) {
                    // Undone: must leave no hole.
                    let mut lost = write;
                    users::add(&mut lost, &user("lost")).await.expect("adds");
                    drop(lost);
                    write = store.write().await.expect("writes");
                    (0..3).for_each(|_| write.change(later(round), Change::KeysChanged));
                }
                positions.push(write.commit().await.expect("commits").expect("told"));
            }
            assert!(positions.is_sorted());
            positions
        })
        .await
        .concat();
        got.sort_unstable();
        assert_eq!(got, (1..=wanted / 3).map(|commit| commit * 3).collect::<Vec<_>>());
        reader.await.expect("reads everything");
        assert_eq!(users::count(&mut database.read().await).await.expect("reads"), 0);
    })
    .await;
}

/// RFC 7591: the last free place is one client's.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_clients_register_than_there_may_be() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos"]).await;
        write.commit().await.expect("commits");
        let got = race(&database, |store, number| async move {
            let mut write = store.write().await.expect("writes");
            let app = app(&format!("dyn-{number}"), "home");
            apps::upsert(&mut write, &app, NOW).await.expect("adds");
            let token = Secret::<RegistrationToken>::mint(&mut Different).digest();
            let added = registrations::add(&mut write, &app.key, &token, AuthMethod::None, 3).await.expect("asks");
            if added {
                write.commit().await.expect("commits");
            }
            added
        })
        .await;
        assert_eq!(winners(&got), 3);
        assert_eq!(apps::all(&mut database.read().await).await.expect("reads").len(), 4);
    })
    .await;
}

/// T90: a client that changes itself while an administrator disables it comes before that, or is refused; it is never written back as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_stays_so_whoever_changes_it_meanwhile() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["planner"]).await;
        write.commit().await.expect("commits");
        race(&database, |store, number| async move {
            let mut write = store.write().await.expect("writes");
            let planner = key("planner");
            // An administrator does not wait for the client.
            if number > 0 {
                assert!(apps::hold(&mut write, &planner).await.expect("holds"));
            }
            let mut app = apps::find(&mut write, &planner).await.expect("reads").expect("there");
            match (number, app.disabled_at) {
                (0, _) => app.disabled_at = Some(later(1)),
                (_, None) => app.name = format!("{number}"),
                (_, Some(_)) => return,
            }
            apps::upsert(&mut write, &app, NOW).await.expect("changes");
            write.commit().await.expect("commits");
        })
        .await;
        let app = apps::find(&mut database.read().await, &key("planner")).await.expect("reads").expect("there");
        assert_eq!(app.disabled_at, Some(later(1)), "{}", app.name);
    })
    .await;
}
