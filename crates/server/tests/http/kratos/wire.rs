//! What leaves us, word by word; and that what we and the fake speak is Kratos' API as it is published.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hallpass_server::upstream::sign_out::deliver;
use serde_json::{Value, json};

use super::*;
use crate::leaks::Log;
use crate::support::Ask;

/// A request as it came, without what names the connection.
fn headers(recorded: &fake::Recorded) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = recorded
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| *name != "host")
        .collect();
    headers.sort_unstable();
    headers
}

#[tokio::test]
async fn nothing_but_kratos_own_credential_leaves_us() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = signed_in(&site, &kratos, &mia).await;
    browser.open("/continue?app=wiki").await;
    let there = kratos.sessions()[0].clone();
    // A browser full of cookies, with everything that a browser and a proxy may add.
    let way = browser.step(&format!("{HOME}{START}?app=wiki")).await;
    let way = Url::parse(way.location()).expect("a URL");
    let back = way.query_pairs().find(|(name, _)| name == "return_to").expect("the way back").1.into_owned();
    kratos.heard();
    let ask = Ask::get(back.strip_prefix(HOME).expect("at home"))
        .header("cookie", format!("{}; other=1; csrf_token_fake=2", browser.carried(HOME)))
        .header("authorization", "Bearer abc")
        .header("x-forwarded-for", "10.0.0.1")
        .header("forwarded", "for=10.0.0.1")
        .header("referer", "https://login.company.com/")
        .header("user-agent", "Firefox")
        .header("x-session-token", "ory_st_of_somebody_else")
        .header("accept-language", "pt");
    assert_eq!(site.send(ask).await.status, 303);
    let cookie = format!("{}={}", fake::COOKIE, there.cookie);
    let ours = concat!("hallpass/", env!("CARGO_PKG_VERSION"));
    let expected = vec![("accept", "*/*"), ("cookie", &*cookie), ("user-agent", ours)];
    let heard = kratos.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!((&*heard[0].method, &*heard[0].path), ("GET", "/sessions/whoami"));
    assert_eq!(headers(&heard[0]), expected);
    // The same when it is looked at again.
    site.wait(31);
    browser.open("/continue").await;
    let heard = kratos.heard();
    assert_eq!((heard.len(), headers(&heard[0])), (1, expected));
    // A token travels as a token, alone.
    let desk =
        site.app("desk", |app| (app.relayed_sign_in, app.access) = (true, hallpass_core::app::Access::Everyone)).await;
    let body = json!({ "session_token": there.token, "client_ip": "198.51.100.9" });
    assert_eq!(site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&body)).await.status, 200);
    let heard = kratos.heard();
    let expected = vec![("accept", "*/*"), ("user-agent", ours), ("x-session-token", &*there.token)];
    assert_eq!((heard.len(), headers(&heard[0])), (1, expected));
    // What ends it names it, and shows nothing.
    let session = session_of(&site, &browser).await.expect("a session");
    site.end(&session).await;
    deliver(site.engine.context.clone()).await.expect("delivers");
    until("ended there", async || !kratos.is_live(&there.id)).await;
    let heard = kratos.heard();
    assert_eq!((&*heard[0].method, &*heard[0].path), ("DELETE", &*format!("/admin/sessions/{}", there.id)));
    assert_eq!(headers(&heard[0]), [("accept", "*/*"), ("user-agent", ours)]);
}

/// The credential is in the database sealed, and in log and audit log not at all.
#[tokio::test]
async fn the_credential_is_written_down_nowhere() {
    let (log, (site, kratos)) = (Log::default(), company(|_| ()).await);
    let mia = mia(&kratos);
    // For this thread, on which every task of this test runs.
    let logging = log.take_down();
    let mut browser = signed_in(&site, &kratos, &mia).await;
    let there = kratos.sessions()[0].clone();
    for fault in [fake::Fault::Status(500), fake::Fault::Cut, fake::Fault::Nothing] {
        site.wait(31);
        kratos.break_public(fault);
        browser.open("/continue").await;
        let back = browser.open(&format!("{START}?again=1")).await.url;
        browser.open(back.as_str()).await;
    }
    let desk = site.app("desk", |app| app.relayed_sign_in = true).await;
    let body = json!({ "session_token": there.token, "client_ip": "198.51.100.9" });
    assert_eq!(site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&body)).await.status, 403);
    drop(logging);
    // What the browser and the fake themselves did in this thread is not ours to hide; they log no headers.
    let text = log.text();
    assert!(text.contains("Kratos cannot be asked") && text.contains("Kratos answers again"), "not captured");
    assert!(!text.contains(&there.cookie[8..40]) && !text.contains(&there.token[8..]));
    let middle = &there.cookie.as_bytes()[8..40];
    for file in std::fs::read_dir(site.directory()).expect("there") {
        let bytes = std::fs::read(file.expect("there").path()).expect("reads");
        assert!(!bytes.windows(middle.len()).any(|window| window == middle));
    }
    let session = session_of(&site, &browser).await.expect("a session");
    let mut read = site.store().read().await.expect("reads");
    let footing = hallpass_store::upstreams::footing(&mut read, &session.id).await.expect("reads").expect("there");
    assert!(!format!("{footing:?}").contains("credential"));
    let entries = audit::list(&mut read, &audit::Filter::default(), None, 50).await.expect("reads");
    assert!(!format!("{entries:?}").contains(&there.cookie[8..40]));
}

/// The published description, where it is present.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn description() -> Option<Value> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let directory = std::env::var_os("HALLPASS_TEST_DATA").map_or(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(directory.join("kratos-api.json")) else {
        eprintln!(
            "skipped: no kratos-api.json in HALLPASS_TEST_DATA; what is spoken here was not compared with Kratos' API"
        );
        return None;
    };
    Some(serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test]
async fn what_is_spoken_here_is_kratos_own_api() {
    let Some(description) = description() else { return };
    let operation = |method: &str, path: &str| {
        let operation = &description["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is no address of Kratos");
        operation.clone()
    };
    let parameters = |operation: &Value| -> BTreeSet<(String, String)> {
        let all = operation["parameters"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        all.iter().map(|parameter| (text(&parameter["in"]), text(&parameter["name"]))).collect()
    };
    let known = |operation: &Value, place: &str, name: &str| {
        assert!(parameters(operation).contains(&(place.to_owned(), name.to_owned())), "{place} {name}");
    };
    let answers = |operation: &Value, status: &str| assert!(operation["responses"][status].is_object(), "{status}");
    let whoami = operation("get", "/sessions/whoami");
    known(&whoami, "header", "X-Session-Token");
    known(&whoami, "header", "Cookie");
    for status in ["200", "401", "403"] {
        answers(&whoami, status);
    }
    let begin = operation("get", "/self-service/login/browser");
    for name in ["return_to", "refresh", "aal"] {
        known(&begin, "query", name);
    }
    answers(&begin, "303");
    known(&operation("post", "/self-service/login"), "query", "flow");
    operation("get", "/self-service/login/api");
    answers(&operation("delete", "/admin/sessions/{id}"), "204");
    answers(&operation("post", "/admin/identities"), "201");
    answers(&operation("delete", "/admin/identities/{id}"), "204");
    answers(&operation("get", "/health/ready"), "503");
    operation("get", "/admin/sessions");

    // Every member that the fake writes, and the engine therefore reads, is one that Kratos writes.
    let (_, kratos) = company(|_| ()).await;
    let there = kratos.session(&mia(&kratos));
    let client = reqwest::Client::builder().build().expect("a client");
    let asked = client.get(format!("{}/sessions/whoami", kratos.public_url)).header("x-session-token", &there.token);
    let said: Value = asked.send().await.expect("answers").json().await.expect("JSON");
    let schema = |name: &str| description["components"]["schemas"][name].clone();
    let written = |value: &Value, name: &str| {
        let properties = schema(name)["properties"].clone();
        for (member, value) in value.as_object().expect("an object") {
            let property = &properties[member];
            assert!(property.is_object(), "{name} has no {member}");
            match property["type"].as_str() {
                Some("boolean") => assert!(value.is_boolean(), "{member}"),
                Some("string") => assert!(value.is_string(), "{member}"),
                Some("array") => assert!(value.is_array(), "{member}"),
                _ => {}
            }
        }
    };
    written(&said, "session");
    written(&said["identity"], "identity");
    written(&said["authentication_methods"][0], "sessionAuthenticationMethod");
    let words = |schema: &Value| -> BTreeSet<String> {
        let all = schema["enum"].as_array().expect("words");
        all.iter().map(|word| word.as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(
        words(&schema("authenticatorAssuranceLevel")),
        ["aal0", "aal1", "aal2", "aal3"].map(str::to_owned).into()
    );
    assert!(words(&schema("identity")["properties"]["state"]).contains("active"));
    // Whoever adds a way to sign in to Kratos should be asked what it is worth here.
    let methods = words(&schema("sessionAuthenticationMethod")["properties"]["method"]);
    let judged = [
        "password",
        "oidc",
        "totp",
        "lookup_secret",
        "webauthn",
        "code",
        "passkey",
        "profile",
        "saml",
        "deviceauthn",
        "identifier_first",
        "link_recovery",
        "code_recovery",
    ];
    assert_eq!(methods, judged.map(str::to_owned).into());
}
