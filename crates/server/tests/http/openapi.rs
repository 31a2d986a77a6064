//! `GET /openapi.json`. That every answer is as described is checked wherever a test asks for one (`support/described.rs`).

use std::collections::BTreeSet;

use hallpass_server::routes::{self, Route};
use hallpass_server::web::error::Voice;
use serde_json::Value;

use crate::guards::{Who, request};
use crate::support::described::{description, operations, resolved};
use crate::support::{Ask, Site};

fn for_programs() -> impl Iterator<Item = Route> {
    let all = routes::table().into_iter().chain(routes::agent_table());
    all.filter(|route| route.voice != Voice::Page)
}

#[tokio::test]
async fn it_is_served() {
    let site = Site::start().await;
    let answer = site.send(Ask::get("/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.json()["openapi"], "3.1.1");
}

#[test]
fn each_route_for_programs_is_described_and_nothing_else_is() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().expect("an object") {
        described.extend(operations(item).map(|(method, _)| format!("{method} {path}")));
    }
    let routes: BTreeSet<String> = for_programs().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(described, routes);
}

/// The guard that the table names is the one that the description promises.
#[test]
fn who_may_call_is_described() {
    let description = description();
    for route in for_programs() {
        let operation = &description["paths"][route.path][route.method.as_str().to_lowercase()];
        let schemes = operation["security"].as_array().expect("each says so, if only that nobody has to be anybody");
        let expected = match route.guard {
            "app" => r#"[{"app":[]}]"#,
            // By its secret there, or by what is in the body.
            "client" => r#"[{"app":[]},{}]"#,
            "bearer" => r#"[{"accessToken":[]}]"#,
            "registrant" => r#"[{"initialAccessToken":[]}]"#,
            "registered" => r#"[{"registrationAccessToken":[]}]"#,
            "visitor" => r#"[{"session":[]}]"#,
            // A gateway is believed by its address.
            "anybody" | "alias" | "gateway" => "[]",
            other => panic!("nothing is known of {other}"),
        };
        let said = serde_json::to_string(schemes).expect("JSON");
        assert_eq!(said, expected, "{} {}", route.method, route.path);
    }
}

/// Whoever asks, and in whatever state: the answer is a described one (`send` looks).
#[tokio::test]
async fn whoever_asks_gets_what_is_described() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for route in for_programs().filter(|route| route.path != "/api/v1/changes") {
        for who in Who::ALL {
            site.send(request(&site, &route, who, &ana)).await;
            if route.path == "/.well-known/sso-agent" {
                site.send(request(&site, &route, who, &ana).at("sso.company2.com")).await;
            }
        }
    }
}

/// What is not named is not there (advisory T40). The exceptions are not ours to name.
#[test]
fn answers_are_closed() {
    let description = description();
    let mut open = BTreeSet::new();
    for (path, item) in description["paths"].as_object().expect("an object") {
        for (method, operation) in operations(item) {
            for (status, answer) in operation["responses"].as_object().expect("an object") {
                for content in resolved(answer)["content"].as_object().into_iter().flatten() {
                    look(&content.1["schema"], &format!("{method} {path} {status}"), &mut open);
                }
            }
        }
    }
    let open: Vec<&str> = open.iter().map(String::as_str).collect();
    assert_eq!(
        open,
        [
            "GET /openapi.json 200",
            "POST /api/v1/sign-in 200.envelope.attributes",
            "POST /handoff/token 200.envelope.attributes",
            "POST /introspect 200.attributes",
            "POST /introspect 200.results.attributes",
        ]
    );
}

fn look(schema: &'static Value, place: &str, open: &mut BTreeSet<String>) {
    let schema = resolved(schema);
    if schema["type"] == "object" && schema["additionalProperties"] != false {
        open.insert(place.to_owned());
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        look(member, &format!("{place}.{name}"), open);
    }
    let several = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten();
    several.chain(schema.get("items")).for_each(|inner| look(inner, place, open));
}
