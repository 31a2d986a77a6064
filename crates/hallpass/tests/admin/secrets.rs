//! Secrets, passwords, keys: shown once or kept in a file, rotated with evidence, and nowhere else to be found.

use std::os::unix::fs::PermissionsExt as _;

use hallpass_core::secret::{Secret, SecretKey};
use hallpass_core::time::Timestamp;
use hallpass_store::apps;
use serde_json::json;

use super::{Installation, column, text};

const ROTATE: [&str; 3] = ["app", "rotate-secret", "pos"];
const FINISH: [&str; 4] = ["app", "rotate-secret", "pos", "--finish"];

fn used(installation: &Installation, newest: bool, minutes_ago: i64) {
    let (runtime, store) = installation.store();
    let now = jiff::Timestamp::now().as_millisecond() - minutes_ago * 60_000;
    runtime.block_on(async {
        let mut write = store.write().await.expect("a transaction");
        let secrets = apps::secrets_of(&mut write, &"pos".parse().expect("valid")).await.expect("secrets");
        let secret = if newest { secrets.last() } else { secrets.first() };
        let used = [(secret.expect("there is one").id, Timestamp::from_millis(now))];
        apps::record_use(&mut write, &used).await.expect("recorded");
        write.commit().await.expect("committed");
        store.close().await;
    });
}

#[test]
fn a_secret_is_rotated_with_evidence() {
    let installation = Installation::furnished();
    let origin = ["--origin", "https://pos.company.localhost"];
    let added = installation.json(&[&["app", "add", "pos"][..], &origin].concat());
    let first = added["secret_key"].as_str().expect("shown once").to_owned();
    assert!(Secret::<SecretKey>::parse(&first).is_some());
    let nothing = installation.fails(&FINISH);
    assert!(nothing.contains("nothing to finish"), "{nothing}");

    let path = installation.path("secret");
    let second = installation.json(&[&ROTATE[..], &["--secret-file", &text(&path)]].concat());
    assert_eq!(second["secret_key"], json!(null), "it is in the file, not on the screen");
    let second = std::fs::read_to_string(&path).expect("written");
    assert!(
        Secret::<SecretKey>::parse(&second).is_some(),
        "nothing but the secret: oauth2-proxy takes the end of a line for a part of it"
    );
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);

    used(&installation, false, 600);
    let third = installation.fails(&ROTATE);
    assert!(third.contains("two live secrets already") && third.contains("last used 10 hours ago"), "{third}");
    let early = installation.fails(&FINISH);
    assert!(early.contains("the new secret has not been used yet"), "{early}");
    used(&installation, true, 0);
    used(&installation, false, 2);
    let in_use = installation.fails(&FINISH);
    assert!(in_use.contains("still in use") && in_use.contains("last used 2 minutes ago"), "{in_use}");
    let before = installation.json(&["app", "secrets", "pos"]);
    assert_eq!(before.as_array().map(Vec::len), Some(2));

    let finished = installation.json(&[&FINISH[..], &["--force"]].concat());
    assert_eq!(finished["removed"], json!([before[0]["id"]]));
    let after = installation.json(&["app", "secrets", "pos"]);
    assert_eq!(column(&after, "id"), [before[1]["id"].as_str().expect("text")]);

    // A secret file is never written over, and what could not be written is not committed.
    let refused = installation.fails(&[&ROTATE[..], &["--secret-file", &text(&path)]].concat());
    assert!(refused.contains("cannot write the secret"), "{refused}");
    assert_eq!(installation.json(&["app", "secrets", "pos"]), after);
    let generated = installation.json(&["user", "add", "ana", "--generate"]);
    let password = generated["password"].as_str().expect("shown once");
    assert_eq!(generated["must_change_password"], true);

    for arguments in [
        &["audit", "--limit", "0", "--json"][..],
        &["audit", "--limit", "0"],
        &["app", "show", "pos", "--json"],
        &["app", "secrets", "pos"],
        &["user", "show", "ana", "--json"],
    ] {
        let said = installation.ok(arguments);
        assert!(said.len() > 100, "{arguments:?} says something: {said}");
        for secret in [first.as_str(), second.trim(), password, "$argon2", "hp_sk_"] {
            assert!(!said.contains(secret), "{arguments:?} shows a secret");
        }
    }
}

#[test]
fn a_new_password_ends_sessions_and_may_be_kept_only_if_said_so() {
    let installation = Installation::furnished();
    installation.ok(&["user", "add", "ana", "--no-password"]);
    assert_eq!(installation.json(&["user", "show", "ana"])["password"], json!(null));
    let set = ["user", "set-password", "ana", "--password-stdin", "--permanent", "--json"];
    let said = installation.run_with(&set, "seven wet umbrellas\n", &[]);
    assert!(said.success, "{}", said.err);
    let said: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(said, json!({ "user": "ana", "sessions_ended": 0, "must_change_password": false }));
    let shown = installation.json(&["user", "show", "ana"]);
    assert_eq!((&shown["must_change_password"], &shown["password"]["algorithm"]), (&false.into(), &"argon2id".into()));
    assert_eq!(installation.json(&["session", "list", "--user", "ana"]), json!([]));
    assert_eq!(installation.json(&["session", "end-all", "--user", "ana"])["ended"], 0);
}

#[test]
fn keys_are_rotated_by_command() {
    let installation = Installation::furnished();
    assert_eq!(installation.json(&["keys", "list"]), json!([]));
    let made = installation.json(&["keys", "rotate"]);
    assert_eq!(column(&made, "purpose"), ["pass", "token"]);
    let states = |installation: &Installation| -> Vec<String> {
        let keys = installation.json(&["keys", "list"]);
        let of = |key: &serde_json::Value| {
            format!("{} {}", key["purpose"].as_str().expect("text"), key["state"].as_str().expect("text"))
        };
        keys.as_array().expect("an array").iter().map(of).collect()
    };
    assert_eq!(states(&installation), ["pass signs", "token signs"], "the first keys sign at once");
    installation.ok(&["keys", "rotate", "--purpose", "pass"]);
    assert_eq!(states(&installation), ["pass signs", "pass published", "token signs"]);
    installation.ok(&["keys", "rotate", "--purpose", "pass", "--now"]);
    let after = states(&installation);
    assert_eq!(after.iter().filter(|state| *state == "pass signs").count(), 1, "{after:?}");
    assert_eq!(after[2], "pass signs", "the newest one");

    // Keys for ID tokens are there for OIDC clients that check RS256, which they do unless they say otherwise.
    let add = ["app", "add", "wiki", "--origin", "https://wiki.company.localhost", "--redirect-uri"];
    let add = [&add[..], &["https://wiki.company.localhost/callback"]].concat();
    assert_eq!(installation.json(&[&add[..], &["--id-token-alg", "EdDSA"]].concat())["id_token_alg"], "EdDSA");
    assert_eq!(column(&installation.json(&["keys", "rotate"]), "purpose"), ["pass", "token"]);
    installation.ok(&["app", "remove", "wiki"]);
    assert_eq!(installation.json(&add)["id_token_alg"], "RS256");
    assert!(installation.ok(&["app", "show", "wiki"]).contains("RS256"));
    assert_eq!(column(&installation.json(&["keys", "rotate"]), "purpose"), ["pass", "token", "id_token"]);
    let made = installation.ok(&["keys", "rotate", "--purpose", "id-token", "--now"]);
    assert!(made.contains("it signs ID tokens now"), "{made}");
    let keys = installation.json(&["keys", "list"]);
    let rsa = keys.as_array().expect("an array").iter().filter(|key| key["algorithm"] == "RS256");
    assert_eq!(rsa.map(|key| key["purpose"].as_str()).collect::<Vec<_>>(), [Some("id_token"); 2]);
    let refused = installation.fails(&[&add[..], &["--id-token-alg", "HS256"]].concat());
    assert!(refused.contains("must be RS256 or EdDSA"), "{refused}");
}
