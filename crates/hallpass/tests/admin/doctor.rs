//! `doctor`: exit code, JSON, and the findings that need real files and a real database.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{Installation, Said};

const WELL: [(&str, &str); 2] =
    [("HALLPASS_PUBLIC_URL", "https://auth.company.localhost"), ("HALLPASS_TRUSTED_PROXIES", "127.0.0.1")];

fn findings(said: &Said) -> Vec<(String, String)> {
    let list: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err));
    let text = |object: &Value, name: &str| {
        object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
    };
    let list = list.as_array().expect("an array");
    assert!(list.iter().all(|object| !text(object, "message").is_empty() && !text(object, "fix").is_empty()));
    list.iter().map(|object| (text(object, "severity"), text(object, "check"))).collect()
}

fn found(found: &[(String, String)], severity: &str, check: &str) -> bool {
    found.iter().any(|finding| finding.0 == severity && finding.1 == check)
}

#[test]
fn a_sound_installation_has_warnings_at_most_and_exit_code_0() {
    let installation = Installation::furnished();
    installation.ok(&["user", "add", "ana", "--no-password"]);
    let said = installation.run_with(&["doctor", "--json"], "", &WELL);
    assert!(said.success, "{}{}", said.out, said.err);
    let warned = findings(&said);
    assert!(warned.iter().all(|(severity, _)| severity == "warning"), "{warned:?}");
    assert!(found(&warned, "warning", "alerts"), "{warned:?}");
    let printed = installation.run_with(&["doctor"], "", &WELL);
    assert!(printed.out.contains("fix: ") && printed.out.contains("0 problems, "), "{}", printed.out);
}

#[test]
fn what_is_wrong_is_found_and_nothing_is_made() {
    let installation = Installation::empty();
    let said = installation.run(&["doctor", "--json"]);
    assert!(!said.success);
    let before = findings(&said);
    assert!(found(&before, "problem", "public_url") && found(&before, "warning", "database"), "{before:?}");
    assert!(!installation.data().exists(), "looking makes nothing");

    let suffix = installation.run_with(&["doctor", "--json"], "", &[("HALLPASS_COOKIE_DOMAIN", "co.uk")]);
    assert!(!suffix.success && suffix.out.contains("public suffix"), "{}", suffix.out);
    let away = [("HALLPASS_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"), WELL[0]];
    let away = installation.run_with(&["doctor", "--json"], "", &away);
    assert!(!away.success && found(&findings(&away), "problem", "database"), "{}", away.out);

    installation.ok(&["group", "add", "staff"]);
    let key = installation.data().join("master.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let open = installation.run_with(&["doctor", "--json"], "", &WELL);
    let open = findings(&open);
    assert!(found(&open, "problem", "file_mode") && found(&open, "problem", "home_zone"), "{open:?}");
    std::fs::rename(&key, installation.path("elsewhere")).expect("moved");
    let gone = installation.run_with(&["doctor", "--json"], "", &WELL);
    assert!(found(&findings(&gone), "problem", "master_key"), "{}", gone.out);
    assert!(!key.exists(), "a lost master key is not replaced by looking for it");
}

#[test]
fn every_key_has_a_variable_and_a_misspelt_one_is_named() {
    let installation = Installation::furnished();
    installation.ok(&["user", "add", "ana", "--no-password"]);
    let long = [WELL[0], WELL[1], ("HALLPASS_SESSION_ABSOLUTE", "72h"), ("HALLPASS_SESION_ABSOLUTE", "1h")];
    let said = installation.run_with(&["doctor", "--json"], "", &long);
    let warned = findings(&said);
    assert!(found(&warned, "warning", "session") && found(&warned, "warning", "environment"), "{warned:?}");
    assert!(said.out.contains("HALLPASS_SESION_ABSOLUTE") && !said.out.contains("HALLPASS_SESSION_"), "{}", said.out);
    let soon = installation.run_with(&["doctor"], "", &[WELL[0], ("HALLPASS_SESSION_ABSOLUTE", "soon")]);
    assert!(!soon.success && soon.out.contains("HALLPASS_SESSION_ABSOLUTE: "), "{}{}", soon.out, soon.err);
}

#[test]
fn a_provider_that_cannot_be_asked_is_named_and_its_secret_is_not() {
    let installation = Installation::furnished();
    let upstream = |issuer: &str, secret: &str| {
        format!(
            "[[upstream.oidc]]\nname = \"partner\"\nissuer = \"{issuer}\"\nclient_id = \"x\"\nclient_secret = {{ file = \"{secret}\" }}\n"
        )
    };
    let secret = installation.write("client.secret", "very-secret-indeed\n");
    for (name, config, says) in [
        ("away.toml", upstream("http://127.0.0.1:9", &secret), "partner cannot be asked at http://127.0.0.1:9"),
        ("inside.toml", upstream("https://10.0.0.1", &secret), "allow_internal"),
        ("gone.toml", upstream("http://127.0.0.1:9", "/nowhere/client.secret"), "client_secret"),
        ("plain.toml", upstream("http://sso.partner.com", &secret), "not https"),
    ] {
        let config = installation.write(name, &config);
        let said = installation.run_with(&["doctor", "--json", "--config", &config], "", &WELL);
        assert!(!said.success && said.out.contains(says), "{name}: {}{}", said.out, said.err);
        assert!(!format!("{}{}", said.out, said.err).contains("very-secret-indeed"));
    }
}

/// Whoever turned it on would otherwise believe that people are signed out there.
#[test]
fn a_provider_that_signs_nobody_out_is_named_where_it_is_to() {
    let installation = Installation::furnished();
    let secret = installation.write("client.secret", "very-secret-indeed\n");
    for (sign_out, ends_sessions, warned) in [(true, false, true), (true, true, false), (false, false, false)] {
        let issuer = provider(ends_sessions);
        let config = format!(
            "[[upstream.oidc]]\nname = \"partner\"\nissuer = \"{issuer}\"\nclient_id = \"x\"\nclient_secret = {{ file = \"{secret}\" }}\nsign_out = {sign_out}\n"
        );
        let config = installation.write("partner.toml", &config);
        let said = installation.run_with(&["doctor", "--json", "--config", &config], "", &WELL);
        assert!(said.success, "{}{}", said.out, said.err);
        assert_eq!(found(&findings(&said), "warning", "upstream"), warned, "{}", said.out);
        assert_eq!(said.out.contains("partner has no end_session_endpoint"), warned, "{}", said.out);
    }
}

/// A provider that says of itself what has to be said, once; where it is.
fn provider(ends_sessions: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let issuer = format!("http://{}", listener.local_addr().expect("bound"));
    let mut document = serde_json::json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"), "id_token_signing_alg_values_supported": ["RS256"],
    });
    if ends_sessions {
        document["end_session_endpoint"] = format!("{issuer}/end").into();
    }
    let body = document.to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
        // Only when all of it has been read: otherwise the answer could be lost with the connection.
        while lines.next().expect("a request").is_ok_and(|line| !line.is_empty()) {}
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("answers");
    });
    issuer
}

#[test]
fn an_address_is_verified_by_an_administrator() {
    let installation = Installation::furnished();
    installation.ok(&["user", "add", "ana", "--no-password", "--email", "ana@company.com"]);
    installation.ok(&["user", "add", "ben", "--no-password"]);
    assert!(installation.ok(&["user", "verify-email", "ana"]).contains("ana@company.com is the address of ana"));
    assert!(installation.ok(&["audit", "--event", "email_verified", "--json"]).contains("email_verified"));
    assert!(!installation.run(&["user", "verify-email", "ben"]).success, "there is none");
}
