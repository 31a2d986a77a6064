//! Zones, apps, their secrets, roles and assignments.

use std::time::Duration;

use hallpass_core::app::{Access, App, FirstContact};
use hallpass_core::id::PermissionName;
use hallpass_core::oidc::{ClientKind, ClientSettings, IdTokenAlgorithm};
use hallpass_store::roles::{self, Holder, UserFacts};
use hallpass_store::{Change, Store, StoreError, apps, changes, groups, zones};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_zone_is_home_and_a_zone_in_use_stays() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos"]).await;
        let mut other = zone("other", false);
        zones::upsert(&mut write, &other, NOW).await.expect("adds");
        other.cookie_domain = "company2.com".parse().expect("valid");
        zones::upsert(&mut write, &other, NOW).await.expect("updates");
        write.commit().await.expect("commits");
        let mut read = database.read().await;
        assert_eq!(zones::all(&mut read).await.expect("reads"), [zone("home", true), other.clone()]);
        drop(read);

        let mut write = database.write().await;
        other.home = true;
        let second = zones::upsert(&mut write, &other, NOW).await.expect_err("there is a home already");
        assert!(second.conflicts_on("zones(home)"), "{second}");
        drop(write);
        let mut write = database.write().await;
        let used = zones::remove(&mut write, &"home".parse().expect("valid"), NOW).await.expect_err("has an app");
        assert!(matches!(used, StoreError::Dangling), "{used}");
        drop(write);
        let mut write = database.write().await;
        assert!(zones::remove(&mut write, &other.name, NOW).await.expect("removes"));
        assert!(!zones::remove(&mut write, &other.name, NOW).await.expect("is gone"));
        let homeless = apps::upsert(&mut write, &app("x", "other"), NOW).await.expect_err("no such zone");
        assert!(matches!(homeless, StoreError::Dangling), "{homeless}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reads_back_as_stored_and_keeps_its_slot() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos", "cashier"]).await;
        let mut pos = app("pos", "home");
        assert_eq!(apps::find(&mut write, &pos.key).await.expect("reads"), Some(pos.clone()));
        pos.origins.reverse();
        pos.audiences.pop();
        pos.open_to_third_parties.pop();
        pos.access = Access::Assigned;
        pos.first_contact = FirstContact::Trust;
        (pos.sensitive, pos.relayed_sign_in, pos.disabled_at) = (false, false, Some(NOW));
        pos.id_token_alg = IdTokenAlgorithm::Rs256;
        (pos.client_credentials, pos.device) = (false, false);
        (pos.third_party, pos.initiate_login_uri, pos.forward_auth, pos.registered) = (false, None, false, false);
        pos.jwks = None;
        pos.client = ClientSettings { kind: ClientKind::Browser, ..ClientSettings::default() };
        apps::upsert(&mut write, &pos, later(1)).await.expect("updates");
        write.commit().await.expect("commits");
        let mut write = database.write().await;
        assert_eq!(apps::find(&mut write, &pos.key).await.expect("reads"), Some(pos.clone()));
        assert_eq!(apps::all(&mut write).await.expect("reads"), [app("cashier", "home"), pos.clone()]);
        let policy = roles::policy(&mut write).await.expect("reads");
        let slots: Vec<_> = policy.apps.iter().map(|(app, slot)| (app.key.as_str(), *slot)).collect();
        assert_eq!(slots, [("cashier", 1), ("pos", 0)]);

        assert!(apps::remove(&mut write, &pos.key, NOW).await.expect("removes"));
        assert!(!apps::remove(&mut write, &pos.key, NOW).await.expect("is gone"));
        assert_eq!(apps::find(&mut write, &pos.key).await.expect("reads"), None);
        apps::upsert(&mut write, &pos, later(2)).await.expect("adds again");
        let policy = roles::policy(&mut write).await.expect("reads");
        assert_eq!(policy.apps[1].1, 2, "a slot is never given twice");
    })
    .await;
}

/// Migration 8: what a client is set up for, it goes on getting; whoever becomes one later gets the standard's default.
#[tokio::test(flavor = "multi_thread")]
async fn clients_from_before_the_choice_keep_their_algorithm() {
    on_both(|database| async move {
        let (client, other) = (app("pos", "home"), App { redirect_uris: Vec::new(), ..app("till", "home") });
        let mut write = database.write().await;
        zones::upsert(&mut write, &zone("home", true), NOW).await.expect("adds");
        for app in [&client, &other] {
            let app = App { id_token_alg: IdTokenAlgorithm::Rs256, ..app.clone() };
            apps::upsert(&mut write, &app, NOW).await.expect("adds");
        }
        write.commit().await.expect("commits");
        database.execute("ALTER TABLE apps DROP COLUMN id_token_alg").await;
        database.execute("DELETE FROM _sqlx_migrations WHERE version = 8").await;
        let upgraded = database.other_node().await;
        let all = apps::all(&mut upgraded.read().await.expect("reads")).await.expect("reads");
        upgraded.close().await;
        let algorithms: Vec<_> = all.iter().map(|app| (app.key.as_str(), app.id_token_alg)).collect();
        assert_eq!(algorithms, [("pos", IdTokenAlgorithm::EdDsa), ("till", IdTokenAlgorithm::Rs256)]);
    })
    .await;
}

/// Tables that another history has made, of a program that was changed by hand for one, are not worked on as if they were ours.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_history_are_refused() {
    on_both(|database| async move {
        database
            .execute(
                "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1) WHERE version = 2",
            )
            .await;
        assert!(matches!(Store::open(&database.url).await, Err(StoreError::Unavailable(_))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_two_live_secrets_at_most() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos", "cashier"]).await;
        let [first, second, third] = [app_secret("pos"), app_secret("pos"), app_secret("pos")];
        assert!(apps::add_secret(&mut write, &first, NOW).await.expect("adds"));
        assert!(apps::add_secret(&mut write, &second, NOW).await.expect("adds"));
        assert!(apps::add_secret(&mut write, &app_secret("cashier"), NOW).await.expect("another app's do not count"));
        assert!(!apps::add_secret(&mut write, &third, NOW).await.expect("refuses"));
        assert!(!apps::add_secret(&mut write, &app_secret("nobody"), NOW).await.expect("no such app"));
        assert!(apps::expire_secret(&mut write, &first.id, later(10), NOW).await.expect("expires"));
        assert!(!apps::expire_secret(&mut write, &first.id, later(20), NOW).await.expect("never later"));
        assert!(!apps::add_secret(&mut write, &third, later(9)).await.expect("still two live"));
        assert!(apps::add_secret(&mut write, &third, later(10)).await.expect("adds"));
        write.commit().await.expect("commits");

        let mut write = database.write().await;
        let found = apps::by_secret(&mut write, &first.digest).await.expect("reads").expect("is there");
        assert_eq!((found.id, found.expires_at), (first.id, Some(later(10))));
        assert_eq!(apps::by_secret(&mut write, &digest()).await.expect("reads"), None);
        let uses = [(second.id, later(60)), (third.id, later(50)), (second.id, later(30))];
        apps::record_use(&mut write, &uses).await.expect("records");
        apps::record_use(&mut write, &[(second.id, later(40))]).await.expect("never back");
        let stored = apps::secrets_of(&mut write, &key("pos")).await.expect("reads");
        let used = |id| stored.iter().find(|secret| secret.id == id).and_then(|secret| secret.last_used_at);
        assert_eq!((used(first.id), used(second.id), used(third.id)), (None, Some(later(60)), Some(later(50))));
        assert!(apps::remove_secret(&mut write, &first.id, NOW).await.expect("removes"));
        assert!(!apps::remove_secret(&mut write, &first.id, NOW).await.expect("is gone"));
        assert_eq!(apps::all_secrets(&mut write).await.expect("reads").len(), 3);
        let position = write.commit().await.expect("commits").expect("the feed was told");
        let mut read = database.read().await;
        let told = changes::since(&mut read, position - 1, 9).await.expect("reads");
        assert_eq!(told[0].change, Change::PolicyChanged { app: Some(key("pos")) });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assignments_reach_a_user_directly_and_by_group() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos", "cashier"]).await;
        let ana = added_user(&mut write, "ana").await;
        let store = group("store-12");
        groups::add(&mut write, &store).await.expect("adds");
        groups::add_member(&mut write, &store.id, &ana.id, NOW).await.expect("adds");
        let cashier = role("pos", "cashier", &["canRefund", "canCreateOrder", "canRefund"]);
        let manager = role("cashier", "manager", &[]);
        for role in [&cashier, &manager] {
            assert_eq!(roles::upsert(&mut write, role, NOW).await.expect("adds"), role.id);
        }
        let (direct, by_group) = (Holder::User(ana.id), Holder::Group(store.id));
        let see: PermissionName = "canSee".parse().expect("valid");
        let pos = key("pos");
        assert!(roles::assign(&mut write, &cashier.id, direct, NOW).await.expect("assigns"));
        assert!(!roles::assign(&mut write, &cashier.id, direct, NOW).await.expect("is assigned"));
        assert!(roles::assign(&mut write, &manager.id, by_group, NOW).await.expect("assigns"));
        assert!(roles::grant(&mut write, &pos, &see, direct, NOW).await.expect("grants"));
        assert!(!roles::grant(&mut write, &pos, &see, direct, NOW).await.expect("is granted"));
        assert!(roles::grant(&mut write, &pos, &see, by_group, NOW).await.expect("grants"));
        write.commit().await.expect("commits");

        let mut read = database.snapshot().await;
        let facts = roles::assignments_of(&mut read, &ana.id).await.expect("reads");
        let expected = UserFacts {
            role_ids: vec![cashier.id],
            permissions: vec![(pos.clone(), see.clone())],
            group_ids: vec![store.id],
        };
        assert_eq!(facts, expected);
        let policy = roles::policy(&mut read).await.expect("reads");
        assert_eq!(policy.group_roles, [(store.id, manager.id)]);
        assert_eq!(policy.group_permissions, [(store.id, pos.clone(), see.clone())]);
        assert_eq!(policy.roles, [manager.clone(), role_with(&cashier, &["canCreateOrder", "canRefund"])]);
        assert_eq!((policy.zones.len(), policy.apps.len(), policy.secrets.len()), (1, 2, 0));
        assert_eq!(roles::holders(&mut read, &cashier.id).await.expect("reads"), [direct]);
        assert_eq!(roles::holders(&mut read, &manager.id).await.expect("reads"), [by_group]);
        drop(read);

        let mut write = database.write().await;
        assert!(roles::unassign(&mut write, &cashier.id, direct, NOW).await.expect("takes"));
        assert!(!roles::unassign(&mut write, &cashier.id, direct, NOW).await.expect("is taken"));
        assert!(roles::unassign(&mut write, &manager.id, by_group, NOW).await.expect("takes"));
        assert!(roles::revoke(&mut write, &pos, &see, direct, NOW).await.expect("takes"));
        assert!(!roles::revoke(&mut write, &pos, &see, direct, NOW).await.expect("is taken"));
        assert!(roles::revoke(&mut write, &pos, &see, by_group, NOW).await.expect("takes"));
        let facts = roles::assignments_of(&mut write, &ana.id).await.expect("reads");
        assert_eq!(facts, UserFacts { group_ids: vec![store.id], ..UserFacts::default() });
        let ghost = roles::assign(&mut write, &role("pos", "x", &[]).id, direct, NOW).await.expect_err("no such role");
        assert!(matches!(ghost, StoreError::Dangling), "{ghost}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_replaced_by_name_and_removed_with_its_assignments() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos"]).await;
        let ana = added_user(&mut write, "ana").await;
        let cashier = role("pos", "cashier", &["canRefund"]);
        roles::upsert(&mut write, &cashier, NOW).await.expect("adds");
        roles::assign(&mut write, &cashier.id, Holder::User(ana.id), NOW).await.expect("assigns");
        let again = role("pos", "cashier", &["canCount"]);
        assert_eq!(roles::upsert(&mut write, &again, NOW).await.expect("updates"), cashier.id, "the identifier stays");
        let stored = roles::by_name(&mut write, &cashier.app, &cashier.name).await.expect("reads");
        assert_eq!(stored, Some(role_with(&cashier, &["canCount"])));
        assert_eq!(
            roles::by_name(&mut write, &cashier.app, &"boss".parse().expect("valid")).await.expect("reads"),
            None
        );
        assert!(roles::remove(&mut write, &cashier.id, NOW).await.expect("removes"));
        assert!(!roles::remove(&mut write, &cashier.id, NOW).await.expect("is gone"));
        assert_eq!(roles::assignments_of(&mut write, &ana.id).await.expect("reads"), UserFacts::default());
        assert!(roles::all(&mut write).await.expect("reads").is_empty());
    })
    .await;
}

/// A write that could alter an answer must be told: what a node keeps in memory lives from this.
#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_rights_is_told_to_the_feed() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &["pos"]).await;
        let ana = added_user(&mut write, "ana").await;
        let (store, cashier) = (group("store-12"), role("pos", "cashier", &["canRefund"]));
        groups::add(&mut write, &store).await.expect("adds");
        let before = write.commit().await.expect("commits").expect("told");

        let mut write = database.write().await;
        let (user, holders) = (ana.id, [Holder::User(ana.id), Holder::Group(store.id)]);
        let see: PermissionName = "canSee".parse().expect("valid");
        let pos = key("pos");
        roles::upsert(&mut write, &cashier, NOW).await.expect("adds");
        groups::add_member(&mut write, &store.id, &user, NOW).await.expect("adds");
        for holder in holders {
            roles::assign(&mut write, &cashier.id, holder, NOW).await.expect("assigns");
            roles::grant(&mut write, &pos, &see, holder, NOW).await.expect("grants");
            roles::revoke(&mut write, &pos, &see, holder, NOW).await.expect("revokes");
            roles::unassign(&mut write, &cashier.id, holder, later(1)).await.expect("unassigns");
        }
        groups::remove_member(&mut write, &store.id, &user, NOW).await.expect("removes");
        groups::remove(&mut write, &store.id, NOW).await.expect("removes");
        roles::remove(&mut write, &cashier.id, NOW).await.expect("removes");
        write.commit().await.expect("commits");

        let mut read = database.read().await;
        let told = changes::since(&mut read, before, 99).await.expect("reads");
        assert_eq!(told[5].at, later(1));
        let told: Vec<_> = told.into_iter().map(|entry| entry.change).collect();
        let (user, policy) = (Change::UserChanged { user }, Change::PolicyChanged { app: None });
        let of_pos = Change::PolicyChanged { app: Some(pos) };
        let expected = [
            vec![of_pos.clone(), user.clone()],
            vec![user.clone(); 4],
            vec![policy.clone(); 4],
            vec![user, policy, of_pos],
        ];
        assert_eq!(told, expected.concat());
    })
    .await;
}

fn role_with(role: &roles::Role, permissions: &[&str]) -> roles::Role {
    let permissions = permissions.iter().map(|text| text.parse().expect("valid")).collect();
    roles::Role { permissions, ..role.clone() }
}

/// Many apps, so that lists cross a boundary somewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_many_apps_is_read_whole() {
    on_both(|database| async move {
        let mut write = database.write().await;
        added_apps(&mut write, &[]).await;
        for number in 0..70u32 {
            apps::upsert(&mut write, &app(&format!("app-{number:02}"), "home"), NOW).await.expect("adds");
            let permissions: Vec<_> = (0..number * 20).map(|which| format!("can:{which}")).collect();
            let permissions: Vec<_> = permissions.iter().map(String::as_str).collect();
            let role = role(&format!("app-{number:02}"), "user", &permissions);
            roles::upsert(&mut write, &role, NOW + Duration::from_secs(1)).await.expect("adds");
        }
        write.commit().await.expect("commits");
        let policy = roles::policy(&mut database.snapshot().await).await.expect("reads");
        assert_eq!(policy.apps.len(), 70);
        assert!(policy.apps.iter().all(|(app, _)| app.origins.len() == 2 && app.audiences.len() == 2));
        assert_eq!(policy.roles.iter().map(|role| role.permissions.len()).sum::<usize>(), 69 * 70 / 2 * 20);
    })
    .await;
}
