//! Backup and restore, within one kind of database and from one to the other.

use hallpass_core::id::AuditId;
use hallpass_core::keyring::Purpose;
use hallpass_core::oidc::Scope;
use hallpass_core::session::{EndReason, Ended};
use hallpass_store::audit::{self, Entry};
use hallpass_store::backup::{self, BackupError};
use hallpass_store::roles::{self, Holder};
use hallpass_store::{
    DatabaseUrl, Store, apps, authenticators, changes, consents, devices, groups, keys, meta, outbox, sessions, users,
};
use serde_json::json;

use crate::machinery::sealed_key;
use crate::support::*;

/// Something in every table.
async fn fill(store: &Store) -> (hallpass_core::user::User, Vec<sessions::NewSession>) {
    let mut write = store.write().await.expect("writes");
    added_apps(&mut write, &["pos", "cashier"]).await;
    assert!(apps::add_secret(&mut write, &app_secret("pos"), NOW).await.expect("adds"));
    let ana = added_user(&mut write, "ana").await;
    let crowd: Vec<_> = (0..450).map(|number| user(&format!("user{number}"))).collect();
    users::add_many(&mut write, &crowd).await.expect("adds");
    authenticators::set_password(&mut write, &ana.id, "$argon2id$x", NOW).await.expect("sets");
    let (store_12, cashier) = (group("store-12"), role("pos", "cashier", &["canRefund"]));
    groups::add(&mut write, &store_12).await.expect("adds");
    groups::add_member(&mut write, &store_12.id, &ana.id, NOW).await.expect("adds");
    roles::upsert(&mut write, &cashier, NOW).await.expect("adds");
    let see = "canSee".parse().expect("valid");
    for holder in [Holder::User(ana.id), Holder::Group(store_12.id)] {
        roles::assign(&mut write, &cashier.id, holder, NOW).await.expect("assigns");
        roles::grant(&mut write, &key("pos"), &see, holder, NOW).await.expect("grants");
    }
    let services = "https://stock.company.com/mcp https://billing.company.com/".parse().expect("names");
    consents::give(&mut write, &ana.id, &key("pos"), "openid".parse::<Scope>().expect("a scope"), &services, NOW)
        .await
        .expect("gives");
    let open = vec![session(&ana), session(&ana)];
    for new in &open {
        sessions::start(&mut write, new).await.expect("starts");
        sessions::record_told(&mut write, &[(new.session.id, key("pos"))], NOW).await.expect("records");
    }
    sessions::end(&mut write, &open[1].session.id, EndReason::SignedOut, NOW).await.expect("ends");
    devices::remember(&mut write, &digest(), &ana.id, NOW).await.expect("remembers");
    keys::rotate(&mut write, 0, &sealed_key(Purpose::Pass), &[], NOW).await.expect("rotates");
    let entry = Entry {
        id: AuditId::mint(NOW, &mut Different),
        at: NOW,
        event: "signed_in".into(),
        actor: ana.id.to_string(),
        user_id: Some(ana.id),
        app: None,
        session_id: Some(open[0].session.id),
        ip: None,
        outcome: "success".into(),
        reason: None,
        details: json!({"line": "one\ntwo\u{2028}"}),
    };
    audit::append(&mut write, &entry).await.expect("appends");
    let payload = json!({"to": "ana"});
    let message =
        outbox::Message { id: "m".into(), kind: "mail".into(), payload, created_at: NOW, due_at: NOW, attempts: 0 };
    outbox::add(&mut write, &message).await.expect("adds");
    meta::set(&mut write, meta::INSTALLATION, "here").await.expect("sets");
    write.commit().await.expect("commits");
    (ana, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restores_into_either_database_with_every_session_ended() {
    on_both(|database| async move {
        let (ana, open) = fill(&database.store).await;
        let mut file = Vec::new();
        let made = backup::dump(&database.store, &mut file, later(10)).await.expect("dumps");
        assert_eq!(backup::verify(&file[..]).await.expect("is whole"), made);

        // Into SQLite, whichever it came from; `into_postgres` below shows the other direction.
        let target = DatabaseUrl::Sqlite(database.directory.path().join("restored.db"));
        let restored = Store::open(&target).await.expect("opens");
        assert_eq!(backup::restore(&restored, &file[..], later(20)).await.expect("restores"), made);
        same(&database.store, &restored).await;

        let mut read = restored.read().await.expect("reads");
        assert_eq!(users::find(&mut read, &ana.id).await.expect("reads"), Some(ana.clone()));
        let ended =
            [Ended { at: later(20), reason: EndReason::Restored }, Ended { at: NOW, reason: EndReason::SignedOut }];
        for (new, ended) in open.iter().zip(ended) {
            let stored = sessions::find(&mut read, &new.session.id).await.expect("reads").expect("is there");
            assert_eq!(stored.ended, Some(ended));
        }
        assert_eq!(meta::find_instant(&mut read, meta::RESTORED_AT).await.expect("reads"), Some(later(20)));
        let before = changes::position(&mut database.read().await).await.expect("reads");
        assert!(changes::oldest(&mut read).await.expect("reads") > before + 1_000_000, "old places are too old");
        drop(read);

        let mut write = restored.write().await.expect("writes");
        apps::upsert(&mut write, &app("third", "home"), NOW).await.expect("adds");
        let policy = roles::policy(&mut write).await.expect("reads");
        assert_eq!(policy.apps[2].1, 2, "slots go on where they were");
        write.commit().await.expect("commits");
        restored.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_sqlite_restores_into_postgresql_and_back() {
    on_both(|database| async move {
        let source =
            Store::open(&DatabaseUrl::Sqlite(database.directory.path().join("source.db"))).await.expect("opens");
        fill(&source).await;
        let mut file = Vec::new();
        backup::dump(&source, &mut file, NOW).await.expect("dumps");
        backup::restore(&database.store, &file[..], later(20)).await.expect("restores");
        same(&source, &database.store).await;
        source.close().await;
    })
    .await;
}

async fn same(left: &Store, right: &Store) {
    let (mut left, mut right) = (left.snapshot().await.expect("reads"), right.snapshot().await.expect("reads"));
    assert_eq!(roles::policy(&mut left).await.expect("reads"), roles::policy(&mut right).await.expect("reads"));
    assert_eq!(keys::all(&mut left).await.expect("reads"), keys::all(&mut right).await.expect("reads"));
    let everybody = users::list(&mut left, "", "", 9999).await.expect("reads");
    assert_eq!(everybody.len(), 451);
    assert_eq!(everybody, users::list(&mut right, "", "", 9999).await.expect("reads"));
    let ana = &everybody[0].id;
    assert_eq!(
        roles::assignments_of(&mut left, ana).await.expect("reads"),
        roles::assignments_of(&mut right, ana).await.expect("reads")
    );
    let allowed = consents::of_user(&mut left, ana).await.expect("reads");
    assert!(allowed.len() == 1 && !allowed[0].1.resources.is_empty(), "{allowed:?}");
    assert_eq!(allowed, consents::of_user(&mut right, ana).await.expect("reads"));
    let all = audit::Filter::default();
    assert_eq!(
        audit::list(&mut left, &all, None, 9).await.expect("reads"),
        audit::list(&mut right, &all, None, 9).await.expect("reads")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_and_leaves_the_database_empty() {
    on_both(|database| async move {
        let source =
            Store::open(&DatabaseUrl::Sqlite(database.directory.path().join("source.db"))).await.expect("opens");
        fill(&source).await;
        let mut file = Vec::new();
        backup::dump(&source, &mut file, NOW).await.expect("dumps");
        source.close().await;

        let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
        let without = |skipped: usize| {
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != skipped).map(|(_, line)| *line);
            kept.collect::<Vec<_>>().concat()
        };
        let altered = String::from_utf8(file.clone()).expect("text").replacen("$argon2id$x", "$argon2id$y", 1);
        let newer = String::from_utf8(file.clone()).expect("text").replacen("\"schema\":", "\"schema\":9", 1);
        let damaged = [
            Vec::new(),
            b"{}\n".to_vec(),
            file[..file.len() / 2].to_vec(),
            file[..file.len() - 1].to_vec(),
            without(lines.len() - 1),
            without(20),
            without(2),
            altered.into_bytes(),
            newer.into_bytes(),
            [&file[..], b"more\n"].concat(),
        ];
        for (number, damaged) in damaged.iter().enumerate() {
            let refused = backup::verify(&damaged[..]).await.expect_err("is damaged");
            assert!(matches!(refused, BackupError::Invalid(_)), "{number}: {refused}");
            backup::restore(&database.store, &damaged[..], NOW).await.expect_err("is damaged");
            assert_eq!(users::count(&mut database.read().await).await.expect("reads"), 0, "{number}");
        }
        backup::restore(&database.store, &file[..], NOW).await.expect("the whole one still fits");
        let again = backup::restore(&database.store, &file[..], NOW).await.expect_err("not empty any more");
        assert!(matches!(again, BackupError::NotEmpty(_)), "{again}");
    })
    .await;
}

/// Whoever signs out while the backup runs must be in it wholly before or wholly after.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_writes_is_of_one_moment() {
    on_both(|database| async move {
        fill(&database.store).await;
        let writing = database.store.clone();
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let writer = tokio::spawn(async move {
            let mut round = 0;
            while stopped.try_recv().is_err() {
                // Always a user together with their password.
                let mut write = writing.write().await.expect("writes");
                let one = added_user(&mut write, &format!("pair{round}")).await;
                authenticators::set_password(&mut write, &one.id, "x", NOW).await.expect("sets");
                write.commit().await.expect("commits");
                round += 1;
            }
            round
        });
        let mut files = Vec::new();
        for _ in 0..5 {
            let mut file = Vec::new();
            backup::dump(&database.store, &mut file, NOW).await.expect("dumps");
            files.push(file);
        }
        stop.send(()).expect("is running");
        assert!(writer.await.expect("ends") > 0);
        for file in files {
            let text = String::from_utf8(file).expect("text");
            let rows = |table: &str| -> u32 {
                let (_, rest) = text.split_once(&format!("{{\"end\":\"{table}\",\"rows\":")).expect("is there");
                rest.split('}').next().and_then(|number| number.parse().ok()).expect("a number")
            };
            assert_eq!(rows("users") - 450, rows("passwords"));
        }
    })
    .await;
}
