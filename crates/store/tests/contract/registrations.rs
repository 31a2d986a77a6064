//! Clients that have registered themselves: found by their token alone, gone with their app, and no more than there may be.

use hallpass_core::oidc::{AuthMethod, Resources, Scope};
use hallpass_core::secret::{RegistrationToken, Secret};
use hallpass_store::{apps, consents, registrations, sessions, tokens};

use crate::oidc::{family, prepared};
use crate::support::*;

const NAMES: Scope = Scope { profile: true, email: false, offline_access: false };

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_found_by_its_token_until_it_is_gone() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["one", "two", "three"]).await;
        let token = || Secret::<RegistrationToken>::mint(&mut Different).digest();
        let (one, two, nobodys) = (token(), token(), token());
        let (basic, none) = (AuthMethod::ClientSecretBasic, AuthMethod::None);
        assert!(registrations::add(&mut write, &key("one"), &one, basic, 2).await.expect("adds"));
        assert!(registrations::add(&mut write, &key("two"), &two, none, 2).await.expect("adds"));
        assert!(!registrations::add(&mut write, &key("three"), &nobodys, basic, 2).await.expect("asks"), "the third");
        assert_eq!(registrations::by_token(&mut write, &one).await.expect("reads"), Some((key("one"), basic)));
        assert_eq!(registrations::by_token(&mut write, &two).await.expect("reads"), Some((key("two"), none)));
        assert_eq!(registrations::by_token(&mut write, &nobodys).await.expect("reads"), None);
        let post = AuthMethod::ClientSecretPost;
        registrations::set_method(&mut write, &key("one"), post).await.expect("sets");
        assert_eq!(registrations::by_token(&mut write, &one).await.expect("reads"), Some((key("one"), post)));
        assert_eq!(registrations::by_token(&mut write, &two).await.expect("reads"), Some((key("two"), none)));
        assert!(apps::remove(&mut write, &key("one"), NOW).await.expect("removes"));
        assert_eq!(registrations::by_token(&mut write, &one).await.expect("reads"), None);
        assert!(
            registrations::add(&mut write, &key("three"), &nobodys, basic, 2).await.expect("adds"),
            "there is room"
        );
        assert!(!apps::hold(&mut write, &key("one")).await.expect("asks"));
        assert!(apps::hold(&mut write, &key("two")).await.expect("holds"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_another_than_was_allowed_loses_everybodys_consent_and_tokens() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let anas = prepared(&mut write).await;
        let ben = added_user(&mut write, "ben").await;
        let bens = session(&ben);
        assert!(sessions::start(&mut write, &bens).await.expect("starts"));
        let (first, _) = family(&mut write, &anas).await;
        let (second, _) = family(&mut write, &bens).await;
        added_apps(&mut write, &["other"]).await;
        let people = [anas.session.user_id, ben.id];
        for user in &people {
            for app in ["crm", "other"] {
                consents::give(&mut write, user, &key(app), NAMES, &Resources::default(), NOW).await.expect("gives");
            }
        }
        consents::revoke_all(&mut write, &key("crm"), later(2)).await.expect("revokes");
        for user in &people {
            assert_eq!(consents::find(&mut write, user, &key("crm")).await.expect("reads"), None);
            assert!(consents::find(&mut write, user, &key("other")).await.expect("reads").is_some());
        }
        for id in [first, second] {
            let family = tokens::find(&mut write, &id).await.expect("reads").expect("there");
            assert_eq!(family.revoked_at, Some(later(2)));
        }
    })
    .await;
}
