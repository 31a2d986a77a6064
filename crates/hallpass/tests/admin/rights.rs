//! Users, groups, apps, roles: added, shown, granted, taken away, and told of in the audit log.

use super::{Installation, column};

const PASSWORD: &str = "seven wet umbrellas";

#[test]
fn people_and_their_rights_from_nothing_to_nothing() {
    let installation = Installation::furnished();
    let added = installation.run_with(
        &["user", "add", "Ana", "--display-name", "Ana Costa", "--email", "ana@company.com", "--password-stdin"],
        PASSWORD,
        &[],
    );
    assert!(added.success, "{}", added.err);
    let taken = installation.fails(&["user", "add", "\u{ff21}NA", "--no-password"]);
    assert!(taken.contains("there is a user") && taken.contains("already"), "{taken}");
    installation.ok(&["app", "add", "pos", "--name", "Point of sale", "--origin", "https://pos.company.localhost"]);
    installation.ok(&[
        "role",
        "add",
        "--app",
        "pos",
        "--role",
        "refunder",
        "--permission",
        "canRefund",
        "--permission",
        "canCreateOrder",
    ]);
    installation.ok(&["group", "add", "staff"]);
    installation.ok(&["group", "add-member", "staff", "--user", "ana"]);

    let granted = installation.json(&["role", "grant", "--user", "ana", "--app", "pos", "--role", "refunder"]);
    assert_eq!(granted["changed"], true);
    let again = installation.json(&["role", "grant", "--user", "ana", "--app", "pos", "--role", "refunder"]);
    assert_eq!(again["changed"], false);
    installation.ok(&["role", "grant", "--group", "staff", "--app", "pos", "--role", "refunder"]);
    installation.ok(&["user", "grant", "ana", "--app", "pos", "--permission", "canSeeReports"]);

    let shown = installation.json(&["user", "show", "ANA"]);
    let id = shown["id"].as_str().expect("an id").to_owned();
    assert_eq!((&shown["username"], &shown["display_name"]), (&"Ana".into(), &"Ana Costa".into()));
    assert_eq!((&shown["must_change_password"], &shown["password"]["algorithm"]), (&true.into(), &"argon2id".into()));
    assert_eq!(shown["groups"], serde_json::json!(["staff"]));
    let role = |group: Option<&str>| serde_json::json!({ "app": "pos", "role": "refunder", "group": group });
    assert_eq!(shown["roles"], serde_json::json!([role(None), role(Some("staff"))]));
    assert_eq!(shown["permissions"][0]["permission"], "canSeeReports");
    let printed = installation.ok(&["user", "show", "--user", &id]);
    assert!(printed.contains("pos/refunder (through group staff)"), "{printed}");

    // The role is gone from her, and not gone: that has to be said.
    let revoked = installation.ok(&["role", "revoke", "--user", "ana", "--app", "pos", "--role", "refunder"]);
    assert!(revoked.contains("still holds") && revoked.contains("through staff"), "{revoked}");
    let revoked = installation.json(&["role", "revoke", "--user", "ana", "--app", "pos", "--role", "refunder"]);
    assert_eq!(revoked, serde_json::json!({ "changed": false, "still_through_groups": ["staff"] }));

    // Likewise a permission that a role gives, too.
    installation.ok(&["user", "grant", "ana", "--app", "pos", "--permission", "canRefund"]);
    let revoked = installation.json(&["user", "revoke", "ana", "--app", "pos", "--permission", "canRefund"]);
    assert_eq!(
        revoked,
        serde_json::json!({ "changed": true, "still_through": ["role refunder (through group staff)"] })
    );
    let revoked = installation.ok(&["user", "revoke", "ana", "--app", "pos", "--permission", "canRefund"]);
    assert!(revoked.contains("role refunder"), "{revoked}");

    let listed = installation.json(&["role", "list", "--app", "pos"]);
    assert_eq!(listed[0]["permissions"], serde_json::json!(["canCreateOrder", "canRefund"]));
    assert_eq!(installation.json(&["group", "list"])[0]["roles"], serde_json::json!(["pos/refunder"]));
    assert_eq!(column(&installation.json(&["group", "members", "staff"]), "username"), ["Ana"]);
    assert_eq!(installation.json(&["app", "list"])[0]["access"], "assigned");

    installation.ok(&["user", "require-password-change", "--user", "ana", "--withdraw"]);
    installation.ok(&["user", "disable", "ana"]);
    let listed = installation.ok(&["user", "list"]);
    assert!(
        listed.lines().next().is_some_and(|head| head.starts_with("USER  NAME")) && listed.contains("disabled"),
        "{listed}"
    );
    installation.ok(&["user", "remove", "ana"]);
    installation.ok(&["group", "remove", "staff"]);
    installation.ok(&["role", "remove", "--app", "pos", "--role", "refunder"]);
    installation.ok(&["app", "remove", "pos"]);
    assert_eq!(installation.json(&["user", "list"]), serde_json::json!([]));

    let audit = installation.json(&["audit", "--limit", "0"]);
    let mut events = column(&audit, "event");
    // Entries of one transaction have one instant, and no order among them.
    events.sort_unstable();
    assert_eq!(
        events,
        [
            "app_added",
            "app_removed",
            "app_secret_minted",
            "group_added",
            "group_member_added",
            "group_removed",
            "permission_granted",
            "permission_granted",
            "permission_withdrawn",
            "role_added",
            "role_granted",
            "role_granted",
            "role_removed",
            "role_withdrawn",
            "user_added",
            "user_changed",
            "user_disabled",
            "user_removed",
            "zone_added",
        ]
    );
    assert!(column(&audit, "actor").iter().all(|actor| *actor == "cli"));
    // She is gone; what was done to her is not.
    assert_eq!(installation.json(&["audit", "--user", &id]).as_array().map(Vec::len), Some(10));
}

#[test]
fn the_audit_log_is_filtered_and_read_in_pages() {
    let installation = Installation::furnished();
    for name in ["a", "b", "c"] {
        installation.ok(&["group", "add", name]);
    }
    let names = |list: &serde_json::Value| -> Vec<String> {
        let entries = list.as_array().expect("an array");
        entries.iter().map(|entry| entry["details"]["group"].as_str().expect("a group").to_owned()).collect()
    };
    let page = installation.json(&["audit", "--event", "group_added", "--limit", "2", "--since", "1h"]);
    assert_eq!(names(&page), ["c", "b"], "the newest first");
    let cursor = page[1]["cursor"].as_str().expect("a cursor");
    assert_eq!(names(&installation.json(&["audit", "--event", "group_added", "--before", cursor])), ["a"]);
    assert_eq!(installation.json(&["audit", "--until", "1h"]), serde_json::json!([]));
    assert_eq!(installation.json(&["audit", "--actor", "system"]), serde_json::json!([]));
    assert!(installation.fails(&["audit", "--event", "group_aded"]).contains("group_added"));
}

#[test]
fn what_is_not_there_is_named_with_the_command_that_shows_what_is() {
    let installation = Installation::furnished();
    for (arguments, said) in [
        (&["user", "show", "ben"][..], "there is no user ben; `hallpass user list` shows them"),
        (&["app", "show", "pos"], "there is no app pos; `hallpass app list`"),
        (&["role", "grant", "--user", "ben", "--app", "pos", "--role", "x"], "there is no app pos"),
        (&["group", "add-member", "staff", "--user", "ben"], "there is no group staff"),
        (&["session", "end", "s_aaaaaaaaaaaaaaaaaaaaaaaaaa"], "there is no session"),
        (&["zone", "remove", "home"], "is the home zone"),
        (&["zone", "add", "second", "--cookie-domain", "other.com", "--home"], "another zone is home already"),
        (&["zone", "add", "second", "--cookie-domain", "co.uk"], "public suffix"),
        (&["app", "add", "shop", "--origin", "https://shop.other.com"], "is not under company.localhost"),
        (&["app", "add", "shop", "--origin", "http://shop.company.com"], "must be https"),
        (&["user", "add", "ben"], "--password-stdin or --generate"),
        (&["user", "add", "ben", "--no-password", "--email", "nowhere"], "email is not an address"),
    ] {
        let err = installation.fails(arguments);
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
    let weak = installation.run_with(&["user", "add", "ben", "--password-stdin"], "short\n", &[]);
    assert!(!weak.success && weak.err.contains("at least 15 characters"), "{}", weak.err);
    assert_eq!(installation.json(&["audit"]).as_array().map(Vec::len), Some(1), "a refusal leaves nothing behind");
}

#[test]
fn an_app_says_what_to_paste_into_a_program_that_speaks_openid_connect() {
    let installation = Installation::furnished();
    installation.ok(&["app", "add", "pos", "--origin", "https://pos.company.localhost"]);
    let refused = installation.fails(&["app", "show", "pos", "--oidc"]);
    assert!(refused.contains("pos is no OpenID Connect client") && refused.contains("redirect_uris"), "{refused}");
    let uri = "https://wiki.company.localhost/callback";
    installation.ok(&["app", "add", "wiki", "--origin", "https://wiki.company.localhost", "--redirect-uri", uri]);
    let show = ["app", "show", "wiki", "--oidc"];
    let unnamed = installation.fails(&show);
    assert!(unnamed.contains("public_url is not set"), "{unnamed}");
    let named = [("HALLPASS_PUBLIC_URL", "https://auth.company.localhost")];
    let printed = installation.run_with(&show, "", &named).out;
    let shown = installation.run_with(&[&show[..], &["--json"]].concat(), "", &named).out;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["client_id"], &shown["redirect_uris"]), (&"wiki".into(), &serde_json::json!([uri])));
    assert_eq!(shown["issuer"], "https://auth.company.localhost");
    for (name, path) in
        [("authorization", "authorize"), ("token", "token"), ("userinfo", "userinfo"), ("end_session", "logout")]
    {
        let url = format!("https://auth.company.localhost/oauth/{path}");
        assert_eq!(shown["endpoints"][name], *url);
        assert!(printed.contains(&url), "{printed}");
    }
    assert_eq!(shown["id_token_alg"], "RS256");
    let words =
        ["openid profile email", "RS256", "preferred_username", "nowhere: it goes on with a sign-in of its own"];
    for said in [uri, "client_secret_basic", "/.well-known/openid-configuration"].into_iter().chain(words) {
        assert!(printed.contains(said), "{said} is not in {printed}");
    }
    assert_eq!(shown["token_endpoint_auth_methods"], serde_json::json!(["client_secret_basic", "client_secret_post"]));
    let tool = ["app", "add", "tool", "--client", "native", "--redirect-uri", "http://127.0.0.1/callback"];
    installation.ok(&[&tool[..], &["--offline-access"]].concat());
    let printed = installation.run_with(&["app", "show", "tool", "--oidc"], "", &named).out;
    assert!(printed.contains("none: it is a native client") && printed.contains("offline_access"), "{printed}");
    assert!(!printed.contains("hp_sk_") && !printed.contains("nowhere"), "it lives on its tokens: {printed}");
}
