//! `backup` and `restore`: there and back, into another folder, with the master key carried over by hand.

use serde_json::json;

use super::{Installation, text};

#[test]
fn what_was_backed_up_is_there_after_a_restore() {
    let installation = Installation::furnished();
    installation.ok(&["user", "add", "ana", "--no-password"]);
    let file = text(&installation.path("hallpass.backup"));
    let taken = installation.json(&["backup", &file]);
    assert!(taken["rows"].as_u64().is_some_and(|rows| rows > 0), "{taken}");
    assert!(installation.fails(&["backup", &file]).contains("cannot write"), "never over an older one");
    assert!(installation.fails(&["restore", &file]).contains("not empty"));

    let other = Installation::empty();
    let damaged = other.write("damaged", &std::fs::read_to_string(&file).expect("text").replace("ana", "eve"));
    assert!(other.fails(&["restore", &damaged]).contains("not a complete, unaltered backup"));
    assert!(!other.data().exists(), "a damaged backup makes nothing");
    assert!(other.fails(&["restore", "/nowhere"]).contains("cannot read /nowhere"));
    let restored = other.json(&["restore", &file]);
    assert_eq!((&restored["rows"], &restored["master_key_fits"]), (&taken["rows"], &json!(false)));
    std::fs::copy(installation.data().join("master.key"), other.data().join("master.key")).expect("copied");
    assert_eq!(other.json(&["user", "show", "ana"])["username"], "ana");
    assert_eq!(other.json(&["audit", "--limit", "1"])[0]["event"], "backup_restored");
    assert_eq!(installation.json(&["audit", "--limit", "1"])[0]["event"], "backup_taken");
}
