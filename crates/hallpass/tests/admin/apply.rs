//! `apply`: shows, does, does nothing the second time, removes only when told.

use super::Installation;

const FILE: &str = r#"
[zones.home]
cookie_domain = "company.localhost"
home = true

[apps.pos]
name = "Point of sale"
origins = ["https://pos.company.localhost"]
[apps.pos.roles]
seller = ["canCreateOrder"]
refunder = ["canRefund"]

[groups.store-12]
members = ["ana", "ben"]
roles.pos = ["seller"]

[users.ana]
roles.pos = ["refunder"]
permissions.pos = ["canSeeReports"]
"#;

fn texts(plan: &serde_json::Value) -> Vec<String> {
    let changes = plan["changes"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    changes.iter().map(|change| format!("{} {}", text(&change["sign"]), text(&change["text"]))).collect()
}

#[test]
fn a_file_is_applied_once_and_a_second_time_changes_nothing() {
    let installation = Installation::empty();
    let file = installation.write("company.toml", FILE);
    installation.ok(&["user", "add", "ana", "--no-password"]);
    let missing = installation.fails(&["apply", &file, "--yes"]);
    assert!(missing.contains("there is no user ben"), "{missing}");
    installation.ok(&["user", "add", "ben", "--no-password"]);

    let expected = [
        "+ zone home: company.localhost, home",
        "+ app pos: \"Point of sale\", zone home, https://pos.company.localhost",
        "+ group store-12",
        "+ role refunder of app pos: canRefund",
        "+ role seller of app pos: canCreateOrder",
        "+ user ana into group store-12",
        "+ user ben into group store-12",
        "+ role seller of app pos to group store-12",
        "+ role refunder of app pos to user ana",
        "+ permission canSeeReports of app pos to user ana",
    ];
    let dry = installation.json(&["apply", &file, "--dry-run"]);
    let mut told = texts(&dry);
    // Members are in the order of their random identifiers.
    told[5..7].sort();
    assert_eq!((told.as_slice(), &dry["applied"]), (expected.map(str::to_owned).as_slice(), &false.into()));
    assert_eq!(installation.json(&["zone", "list"]), serde_json::json!([]), "a dry run changes nothing");
    let asked = installation.fails(&["apply", &file]);
    assert!(asked.contains("--yes"), "{asked}");
    assert_eq!(installation.json(&["app", "list"]), serde_json::json!([]));

    let done = installation.ok(&["apply", &file, "--yes"]);
    assert!(done.contains("\n+ group store-12\n") && done.contains("Done: 10 changes."), "{done}");
    assert!(done.contains("App pos has no secret key yet"), "{done}");
    assert_eq!(installation.ok(&["apply", &file]), "Nothing to change.\n");
    assert_eq!(installation.ok(&["apply", &file, "--prune", "--yes"]), "Nothing to change.\n");
    let applied = installation.json(&["audit", "--event", "configuration_applied"]);
    assert_eq!(applied[0]["details"]["steps"], 10);
    assert_eq!(applied.as_array().map(Vec::len), Some(1));
}

/// What a client has been getting changes only before somebody's eyes.
#[test]
fn the_signature_of_id_tokens_is_the_standards_default_unless_said_otherwise() {
    let installation = Installation::empty();
    let client =
        "redirect_uris = [\"https://pos.company.localhost/callback\"]\nid_token_alg = \"EdDSA\"\n[apps.pos.roles]";
    let start = FILE.split("[groups").next().expect("a beginning").replace("[apps.pos.roles]", client);
    let added = installation.json(&["apply", &installation.write("one.toml", &start), "--yes"]);
    assert!(texts(&added)[1].ends_with(", id_token_alg EdDSA"), "{added}");
    assert_eq!(installation.json(&["app", "show", "pos"])["id_token_alg"], "EdDSA");
    let silent = installation.write("two.toml", &start.replace("id_token_alg = \"EdDSA\"\n", ""));
    let changed = installation.json(&["apply", &silent, "--yes"]);
    assert_eq!(texts(&changed), ["~ app pos: id_token_alg EdDSA \u{2192} RS256"]);
    assert_eq!(installation.json(&["app", "show", "pos"])["id_token_alg"], "RS256");
    let unknown = installation.write("three.toml", &start.replace("\"EdDSA\"", "\"ES256\""));
    assert!(installation.fails(&["apply", &unknown, "--yes"]).contains("`RS256` or `EdDSA`"));
}

/// A key that is replaced under its old name is a change that somebody sees, too.
#[test]
fn keys_of_a_client_are_told_apart() {
    let installation = Installation::empty();
    let uri = "redirect_uris = [\"https://pos.company.localhost/callback\"]";
    let keys = |x: &str| {
        format!("jwks = '{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\",\"kid\":\"one\"}}]}}'")
    };
    // RFC 8037 appendix A.2, RFC 8032 §7.1 (test 2).
    let (first, second) =
        ("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw");
    let start = FILE.split("[groups").next().expect("a beginning");
    let file = |name: &str, keys: &str| {
        installation.write(name, &start.replace("[apps.pos.roles]", &format!("{uri}\n{keys}\n[apps.pos.roles]")))
    };
    let added = installation.json(&["apply", &file("one.toml", &keys(first)), "--yes"]);
    assert!(texts(&added)[1].ends_with(", jwks one(kPrK_qmx\u{2026})"), "{added}");
    let named = [("HALLPASS_PUBLIC_URL", "https://auth.company.localhost")];
    let show = installation.run_with(&["app", "show", "pos", "--oidc"], "", &named).out;
    assert!(show.contains("private_key_jwt") && !show.contains("hp_sk_"), "{show}");
    let changed = installation.json(&["apply", &file("two.toml", &keys(second)), "--yes"]);
    let changed = texts(&changed).concat();
    assert!(
        changed.starts_with("~ app pos: jwks one(kPrK_qmx\u{2026}) \u{2192} one(")
            && !changed.ends_with("(kPrK_qmx\u{2026})"),
        "{changed}"
    );
    let gone = installation.json(&["apply", &file("three.toml", ""), "--yes"]);
    assert!(texts(&gone)[0].ends_with(" \u{2192} none"), "{gone}");
    let private = keys(first).replace("\"kid\"", "\"d\":\"AAAA\",\"kid\"");
    assert!(installation.fails(&["apply", &file("four.toml", &private), "--yes"]).contains("private key"));
}

#[test]
fn changes_are_shown_as_changes_and_removals_need_prune() {
    let installation = Installation::empty();
    for name in ["ana", "ben"] {
        installation.ok(&["user", "add", name, "--no-password"]);
    }
    installation.ok(&["apply", &installation.write("company.toml", FILE), "--yes"]);
    installation.ok(&["app", "disable", "pos"]);
    let smaller = FILE
        .replace("name = \"Point of sale\"", "access = \"everyone\"")
        .replace("refunder = [\"canRefund\"]", "")
        .replace("[\"canCreateOrder\"]", "[\"canSell\"]")
        .replace("[\"ana\", \"ben\"]", "[\"ben\"]")
        .replace("roles.pos = [\"refunder\"]", "")
        .replace("permissions.pos = [\"canSeeReports\"]", "permissions.pos = []");
    let file = installation.write("smaller.toml", &smaller);
    let changes = [
        "~ app pos: name \"Point of sale\" \u{2192} \"pos\", access assigned \u{2192} everyone",
        "~ role seller of app pos: +canSell -canCreateOrder",
    ];
    assert_eq!(texts(&installation.json(&["apply", &file, "--dry-run"])), changes);
    let removals = [
        "- user ana out of group store-12",
        "- permission canSeeReports of app pos from user ana",
        "- role refunder of app pos",
    ];
    let pruned = installation.json(&["apply", &file, "--prune", "--yes"]);
    assert_eq!(texts(&pruned), [&changes[..], &removals[..]].concat());
    assert_eq!(installation.ok(&["apply", &file, "--prune"]), "Nothing to change.\n");
    assert_eq!(installation.json(&["user", "show", "ana"])["roles"], serde_json::json!([]));
    assert!(
        !installation.json(&["app", "show", "pos"])["disabled_at"].is_null(),
        "disabled by hand, and the file does not say otherwise"
    );

    // A file without sections says nothing, so pruning by it removes nothing; an empty section says "none".
    assert_eq!(installation.ok(&["apply", &installation.write("empty.toml", ""), "--prune"]), "Nothing to change.\n");
    let none = installation.write("none.toml", "[apps]\n[groups]\n");
    let gone = installation.json(&["apply", &none, "--prune", "--yes"]);
    assert_eq!(texts(&gone), ["- group store-12", "- app pos, with its secrets, its roles and what is held in it"]);
}

#[test]
fn what_an_app_may_ask_for_is_applied_and_shown() {
    let installation = Installation::furnished();
    let text = "[apps.pos]\naudiences = [\"stock\"]\nclient_credentials = true\ndevice = true\n";
    let file = installation.write("company.toml", text);
    let added = texts(&installation.json(&["apply", &file, "--yes"]));
    assert_eq!(added, ["+ app pos: \"pos\", zone home, audience stock, client_credentials, device"]);
    assert_eq!(installation.ok(&["apply", &file]), "Nothing to change.\n");
    let shown = installation.json(&["app", "show", "pos"]);
    assert_eq!((&shown["client_credentials"], &shown["device"]), (&true.into(), &true.into()));
    let file = installation.write("company.toml", "[apps.pos]\naudiences = [\"stock\"]\n");
    let changed = texts(&installation.json(&["apply", &file, "--yes"]));
    assert_eq!(changed, ["~ app pos: client_credentials true \u{2192} false, device true \u{2192} false"]);
}

/// OIDC Core §5.4, for clients that read nothing else.
#[test]
fn what_an_id_token_says_is_applied_and_shown() {
    let installation = Installation::furnished();
    let uris = "[apps.pos]\nredirect_uris = [\"https://pos.company.localhost/cb\"]\n";
    let file = installation.write("company.toml", &format!("{uris}claims_in_id_token = true\n"));
    let added = texts(&installation.json(&["apply", &file, "--yes"]));
    assert!(added[0].contains(", claims_in_id_token"), "{added:?}");
    assert_eq!(installation.ok(&["apply", &file]), "Nothing to change.\n");
    assert_eq!(installation.json(&["app", "show", "pos"])["claims_in_id_token"], true);
    let shown = installation.ok(&["app", "show", "pos"]);
    let line = shown.lines().find(|line| line.contains("claims in ID token")).expect("a line");
    assert!(line.ends_with("yes"), "{shown}");
    let changed = texts(&installation.json(&["apply", &installation.write("company.toml", uris), "--yes"]));
    assert_eq!(changed, ["~ app pos: claims_in_id_token true \u{2192} false"]);
    let words = ["app", "add", "crm", "--redirect-uri", "https://crm.company.localhost/cb", "--claims-in-id-token"];
    installation.ok(&words);
    assert_eq!(installation.json(&["app", "show", "crm"])["claims_in_id_token"], true);
}

/// RFC 8707: what apps that nobody has declared may ask for is what the service itself is opened by, at addresses of its own.
#[test]
fn a_service_is_open_to_third_parties_by_addresses_of_its_own() {
    let installation = Installation::furnished();
    let notes = "[apps.notes]\norigins = [\"https://notes.company.localhost\"]\n";
    for other in [
        "notes",
        "https://pos.company.localhost/mcp",
        "https://notes.company.localhost/mcp?x",
        "https://notes.company.localhost.evil.com/",
    ] {
        let file = installation.write("wrong.toml", &format!("{notes}open_to_third_parties = [\"{other}\"]\n"));
        let refused = installation.fails(&["apply", &file, "--yes"]);
        assert!(refused.contains("is no address of this app"), "{other}: {refused}");
    }
    assert_eq!(installation.json(&["app", "list"]), serde_json::json!([]));
    let address = "https://notes.company.localhost/mcp";
    let file = installation.write("company.toml", &format!("{notes}open_to_third_parties = [\"{address}\"]\n"));
    let added = texts(&installation.json(&["apply", &file, "--yes"]));
    assert!(added[0].ends_with(&format!(", open_to_third_parties {address}")), "{added:?}");
    assert_eq!(installation.ok(&["apply", &file]), "Nothing to change.\n");
    assert_eq!(installation.json(&["app", "show", "notes"])["open_to_third_parties"], serde_json::json!([address]));
    let changed = texts(&installation.json(&["apply", &installation.write("company.toml", notes), "--yes"]));
    assert_eq!(changed, [format!("~ app notes: open_to_third_parties {address} \u{2192} none")]);
    let words = ["app", "add", "diary", "--origin", "https://diary.company.localhost", "--open-to-third-parties"];
    installation.ok(&[&words[..], &["https://diary.company.localhost/"]].concat());
    let shown = installation.ok(&["app", "show", "diary"]);
    assert!(
        shown
            .lines()
            .any(|line| line.contains("open to third parties") && line.ends_with("https://diary.company.localhost/")),
        "{shown}"
    );
}

#[test]
fn a_wrong_file_changes_nothing_and_names_the_place() {
    let installation = Installation::furnished();
    for (content, said) in [
        ("[apps.pos]\nacces = \"everyone\"\n", "line 2"),
        ("[apps.pos]\norigins = [\"https://pos.other.com\"]\n", "is not under company.localhost"),
        ("[apps.pos]\nzone = \"away\"\n", "zone away, which is not there"),
        ("[zones.a]\ncookie_domain = \"a.com\"\nhome = true\n", "only one zone can be home"),
        ("[groups.a]\nroles.pos = [\"seller\"]\n", "neither in the file nor in the database"),
        ("[apps.pos]\nclient_credentials = true\n", "name them in audiences"),
        ("[apps.u_pos]\nclient_credentials = true\naudiences = [\"stock\"]\n", "reads like a user's id"),
        ("[apps.pos\n", "line 1"),
    ] {
        let err = installation.fails(&["apply", &installation.write("wrong.toml", content), "--yes"]);
        assert!(err.contains(said), "{content}: {err}");
    }
    assert!(installation.fails(&["apply", "/nowhere.toml"]).contains("cannot read /nowhere.toml"));
    assert_eq!(installation.json(&["app", "list"]), serde_json::json!([]));
    assert_eq!(installation.json(&["group", "list"]), serde_json::json!([]));
}

/// OIDC Core 1.0 §4: an address for browsers, of a client.
#[test]
fn a_sign_in_begins_at_a_clients_own_https_address() {
    let installation = Installation::empty();
    let apply = |lines: &str| {
        let start = FILE.split("[groups").next().expect("a beginning").replace("[apps.pos.roles]", lines);
        installation.write("begin.toml", &format!("{start}\n"))
    };
    let uris = "redirect_uris = [\"https://pos.company.localhost/callback\"]\n";
    for (uri, with, said) in [
        ("https://pos.company.localhost/begin", "", "is for OIDC clients"),
        ("com.company.pos:/begin", uris, "must be an https address"),
        ("http://pos.company.com/begin", uris, "must be an https address"),
        ("https://pos.company.localhost/begin#x", uris, "without user name, fragment"),
        ("javascript:alert(1)", uris, "must be an https address"),
    ] {
        let lines = format!("{with}initiate_login_uri = \"{uri}\"\n[apps.pos.roles]");
        let refused = installation.fails(&["apply", &apply(&lines), "--yes"]);
        assert!(refused.contains(said), "{uri}: {refused}");
    }
    let lines = format!("{uris}initiate_login_uri = \"https://pos.company.localhost/begin\"\n[apps.pos.roles]");
    let added = installation.json(&["apply", &apply(&lines), "--yes"]);
    assert!(texts(&added)[1].contains("initiate_login_uri https://pos.company.localhost/begin"), "{added}");
    let shown = installation.json(&["app", "show", "pos"]);
    assert_eq!(shown["initiate_login_uri"], "https://pos.company.localhost/begin");
}

/// Clients that register themselves are in nobody's file: a scheduled run must not sweep them away, and nobody else has their kind of key.
#[test]
fn what_has_registered_itself_is_nobodys_to_prune_and_has_keys_of_its_own() {
    let installation = Installation::furnished();
    let refused = installation.fails(&["app", "add", "dyn-mine", "--origin", "https://mine.company.localhost"]);
    assert!(refused.contains("register themselves"), "{refused}");
    let file = installation.write("mine.toml", "[apps.dyn-mine]\n");
    assert!(installation.fails(&["apply", &file, "--yes"]).contains("register themselves"));

    let (runtime, store) = installation.store();
    runtime.block_on(async {
        let mut write = store.write().await.expect("writes");
        let said = r#"{"client_name":"Planner","redirect_uris":["https://planner.example/cb"]}"#;
        let said: hallpass_core::oidc::ClientMetadata = serde_json::from_str(said).expect("metadata");
        let access = hallpass_core::app::Access::Everyone;
        let (key, zone) = ("dyn-planner".parse().expect("a key"), "home".parse().expect("a name"));
        let app = said.registrable().expect("registrable").app(key, zone, access);
        hallpass_store::apps::upsert(&mut write, &app, hallpass_core::time::Timestamp::from_seconds(1))
            .await
            .expect("adds");
        write.commit().await.expect("commits");
    });
    let none = installation.write("none.toml", "[apps]\n");
    let pruned = installation.ok(&["apply", &none, "--prune", "--yes"]);
    assert!(!pruned.contains("dyn-planner"), "{pruned}");
    let listed = installation.ok(&["app", "list"]);
    assert!(listed.contains("dyn-planner") && listed.contains("enabled, registered itself"), "{listed}");
    assert_eq!(installation.json(&["app", "show", "dyn-planner"])["registered"], true);
    installation.ok(&["app", "disable", "dyn-planner"]);
    installation.ok(&["app", "remove", "dyn-planner"]);
}

/// So do clients that describe themselves: they are shown by the address where, and have no secret that anybody could make for them.
#[test]
fn what_describes_itself_is_nobodys_to_prune_and_is_shown_by_its_address() {
    let installation = Installation::furnished();
    let refused = installation.fails(&["app", "add", "doc-mine", "--origin", "https://mine.company.localhost"]);
    assert!(refused.contains("describe themselves"), "{refused}");
    let file = installation.write("mine.toml", "[apps.doc-mine]\n");
    assert!(installation.fails(&["apply", &file, "--yes"]).contains("describe themselves"));

    let address = "https://planner.example/client.json";
    let url: hallpass_core::oidc::ClientIdUrl = address.parse().expect("an address");
    let (runtime, store) = installation.store();
    runtime.block_on(async {
        let mut write = store.write().await.expect("writes");
        let said = format!("{{\"client_id\":\"{address}\",\"redirect_uris\":[\"https://planner.example/cb\"]}}");
        let zone = "home".parse().expect("a name");
        let app = hallpass_core::oidc::client_document::read(&url, said.as_bytes(), zone).expect("a document");
        hallpass_store::apps::upsert(&mut write, &app, hallpass_core::time::Timestamp::from_seconds(1))
            .await
            .expect("adds");
        write.commit().await.expect("commits");
    });
    let key = url.key().to_string();
    let none = installation.write("none.toml", "[apps]\n");
    assert!(!installation.ok(&["apply", &none, "--prune", "--yes"]).contains("doc-"));
    let listed = installation.ok(&["app", "list"]);
    assert!(listed.contains(address) && listed.contains("enabled, describes itself"), "{listed}");
    let shown = installation.json(&["app", "show", &key]);
    assert_eq!((&shown["client_id"], &shown["registered"]), (&address.into(), &true.into()));
    assert!(installation.fails(&["app", "rotate-secret", &key]).contains("describes itself"));
    installation.ok(&["app", "disable", &key]);
    installation.ok(&["app", "remove", &key]);
}
