//! `user import`: all of a file or nothing, from both formats.

use std::fmt::Write as _;

use super::{Installation, column};

const HASH: &str = "$2b$04$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS";

#[test]
fn a_good_file_is_imported_once() {
    let installation = Installation::furnished();
    let csv = format!(
        "username,display_name,password_hash,groups,attributes.city\nana,Ana Costa,{HASH},store-12;staff,Lima\nben,,,staff,\n"
    );
    let file = installation.write("users.csv", &csv);
    let refused = installation.fails(&["user", "import", &file]);
    assert!(refused.contains("line 2: there is no group store-12") && refused.contains("--create-groups"), "{refused}");
    let dry = installation.ok(&["user", "import", &file, "--create-groups", "--dry-run"]);
    assert_eq!(dry, "2 users can be imported. New groups: staff, store-12. Nothing was written.\n");
    assert_eq!(installation.json(&["user", "list"]), serde_json::json!([]));
    assert_eq!(installation.json(&["group", "list"]), serde_json::json!([]));

    let done = installation.json(&["user", "import", &file, "--create-groups"]);
    assert_eq!((&done["imported"], &done["skipped"]), (&2.into(), &0.into()));
    let ana = installation.json(&["user", "show", "ana"]);
    assert_eq!((&ana["password"]["algorithm"], &ana["attributes"]["city"]), (&"bcrypt".into(), &"Lima".into()));
    assert_eq!(ana["groups"], serde_json::json!(["staff", "store-12"]));

    let again = installation.fails(&["user", "import", &file]);
    assert!(again.contains("line 2: there is a user ana already") && again.contains("--skip-existing"), "{again}");
    let more = installation.write("more.jsonl", "{\"username\":\"ANA\"}\n{\"username\":\"cleo\"}\n");
    let done = installation.json(&["user", "import", &more, "--skip-existing"]);
    assert_eq!((&done["imported"], &done["skipped"]), (&1.into(), &1.into()));
    assert_eq!(column(&installation.json(&["user", "list"]), "username"), ["ana", "ben", "cleo"]);

    let audit = installation.ok(&["audit", "--limit", "0"]);
    assert!(audit.contains("users_imported") && !audit.contains("tQyNo"), "{audit}");
}

#[test]
fn one_bad_line_far_down_means_that_nothing_is_written() {
    let installation = Installation::furnished();
    let mut csv = "username,password_hash\n".to_owned();
    (0..1200).for_each(|number| writeln!(csv, "user-{number},").expect("a string takes everything"));
    let twice = installation.write("twice.csv", &format!("{csv}USER-3,\nbad name,\nx,{}\n", &HASH[..30]));
    let refused = installation.fails(&["user", "import", &twice]);
    assert!(refused.contains("nothing was imported"), "{refused}");
    assert!(refused.contains("line 1202: the user name of line 5 again"), "{refused}");
    assert!(refused.contains("line 1203: username") && refused.contains("line 1204: password_hash"), "{refused}");
    assert!(!refused.contains("tQyNo"), "{refused}");
    assert_eq!(installation.json(&["user", "list"]), serde_json::json!([]));

    // The same without those lines takes three transactions.
    let done = installation.json(&["user", "import", &installation.write("good.csv", &csv)]);
    assert_eq!(done["imported"], 1200);
    assert_eq!(installation.json(&["user", "list"]).as_array().map(Vec::len), Some(1200), "listed in pages");
    assert_eq!(installation.json(&["user", "list", "--prefix", "user-119"]).as_array().map(Vec::len), Some(11));
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_not_guessed_at() {
    let installation = Installation::furnished();
    let file = installation.write("users.txt", "{\"username\":\"ana\"}\n");
    assert!(installation.fails(&["user", "import", &file]).contains("--format"));
    assert_eq!(installation.json(&["user", "import", &file, "--format", "jsonl"])["imported"], 1);
    assert!(installation.fails(&["user", "import", "/nowhere.csv"]).contains("cannot read /nowhere.csv"));
}
