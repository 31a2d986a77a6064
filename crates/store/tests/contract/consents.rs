//! What people have allowed: remembered by person and app, and taken back together with the tokens that came of it.

use hallpass_core::oidc::{Consent, Resources, Scope};
use hallpass_store::{apps, consents, sessions, tokens, users};

use crate::oidc::{family, prepared};
use crate::support::*;

const NAMES: Scope = Scope { profile: true, email: false, offline_access: false };
const EMAIL: Scope = Scope { profile: false, email: true, offline_access: false };
const BOTH: Scope = Scope { profile: true, email: true, offline_access: false };

fn services(names: &str) -> Resources {
    names.parse().expect("names")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_adds_up_and_is_one_persons_for_one_app() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["crm", "pos"]).await;
        let (ana, ben) = (added_user(&mut write, "ana").await, added_user(&mut write, "ben").await);
        let crm = key("crm");
        assert_eq!(consents::find(&mut write, &ana.id, &crm).await.expect("reads"), None);
        assert_eq!(consents::hold(&mut write, &ana.id, &crm).await.expect("reads"), None);
        consents::give(&mut write, &ana.id, &crm, NAMES, &services("stock"), NOW).await.expect("gives");
        consents::give(&mut write, &ana.id, &crm, EMAIL, &services("https://billing/mcp stock"), later(5))
            .await
            .expect("gives");
        let both = Consent { scope: BOTH, resources: services("stock https://billing/mcp"), given_at: later(5) };
        assert_eq!(consents::find(&mut write, &ana.id, &crm).await.expect("reads"), Some(both.clone()));
        assert_eq!(consents::hold(&mut write, &ana.id, &crm).await.expect("holds"), Some(both.clone()));
        assert_eq!(consents::of_user(&mut write, &ana.id).await.expect("reads"), [(crm.clone(), both)]);
        assert_eq!(consents::find(&mut write, &ana.id, &key("pos")).await.expect("reads"), None);
        assert_eq!(consents::of_user(&mut write, &ben.id).await.expect("reads"), []);

        for user in [&ana, &ben] {
            consents::give(&mut write, &user.id, &key("pos"), NAMES, &Resources::default(), NOW).await.expect("gives");
        }
        users::remove(&mut write, &ben.id, NOW).await.expect("removes");
        assert_eq!(consents::of_user(&mut write, &ben.id).await.expect("reads"), [], "gone with the person");
        apps::remove(&mut write, &crm, NOW).await.expect("removes");
        let left = consents::of_user(&mut write, &ana.id).await.expect("reads");
        assert_eq!(left.iter().map(|(app, _)| app).collect::<Vec<_>>(), [&key("pos")], "gone with the app");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_it_back_ends_the_tokens_of_that_app_for_that_person() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = prepared(&mut write).await;
        let (user, crm) = (session.session.user_id, key("crm"));
        let ben = added_user(&mut write, "ben").await;
        let bens = crate::support::session(&ben);
        assert!(sessions::start(&mut write, &bens).await.expect("starts"));
        let (first, _) = family(&mut write, &session).await;
        let (second, _) = family(&mut write, &session).await;
        let (others, _) = family(&mut write, &bens).await;
        assert!(!consents::revoke(&mut write, &user, &crm, later(1)).await.expect("asks"), "nothing is allowed");
        consents::give(&mut write, &user, &crm, NAMES, &Resources::default(), NOW).await.expect("gives");
        assert!(!consents::revoke(&mut write, &user, &key("nobody"), later(1)).await.expect("asks"));
        assert!(consents::revoke(&mut write, &user, &crm, later(2)).await.expect("revokes"));
        assert!(!consents::revoke(&mut write, &user, &crm, later(3)).await.expect("asks"), "once");
        for (id, revoked_at) in [(first, Some(later(2))), (second, Some(later(2))), (others, None)] {
            assert_eq!(tokens::find(&mut write, &id).await.expect("reads").expect("there").revoked_at, revoked_at);
        }
    })
    .await;
}

/// Tokens that are being made while somebody takes it back come wholly before, and are ended, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_slips_through_beside_taking_it_back() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = prepared(&mut write).await;
        let user = session.session.user_id;
        consents::give(&mut write, &user, &key("crm"), NAMES, &Resources::default(), NOW).await.expect("gives");
        write.commit().await.expect("commits");

        let mut making = database.write().await;
        assert!(sessions::hold(&mut making, &session.session.id).await.expect("holds"));
        assert!(consents::hold(&mut making, &user, &key("crm")).await.expect("holds").is_some());
        let revoking = tokio::spawn({
            let database = database.clone();
            async move {
                let mut write = database.write().await;
                assert!(consents::revoke(&mut write, &user, &key("crm"), later(2)).await.expect("revokes"));
                write.commit().await.expect("commits");
            }
        });
        let (id, _) = family(&mut making, &session).await;
        making.commit().await.expect("commits");
        revoking.await.expect("ends");
        let mut read = database.read().await;
        assert_eq!(tokens::find(&mut read, &id).await.expect("reads").expect("there").revoked_at, Some(later(2)));
        assert_eq!(consents::find(&mut read, &user, &key("crm")).await.expect("reads"), None);
    })
    .await;
}
