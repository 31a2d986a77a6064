//! What may be asked: both forms, closed schemas, batches, and what is wrong with a question is said before anything is looked up.

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Site};

async fn json_form(site: &Site, question: Value) -> Answer {
    site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await
}

#[tokio::test]
async fn both_forms_say_the_same() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let form = site.send(Ask::introspect(&site.pos, &ana.pass)).await.json();
    let json = json_form(&site, json!({ "token": ana.pass, "token_type_hint": "access_token" })).await.json();
    let without_nonce = |mut answer: Value| {
        answer["csrf_token"] = Value::Null;
        answer
    };
    assert_eq!(form["active"], true);
    assert_ne!(form["csrf_token"], json["csrf_token"], "a fresh nonce each time");
    assert_eq!(without_nonce(form), without_nonce(json));
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_bounded() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let answer = json_form(&site, json!({ "tokens": ["x", ana.pass, "y"] })).await.json();
    let active: Vec<_> =
        answer["results"].as_array().expect("results").iter().map(|result| &result["active"]).collect();
    assert_eq!(active, [false, true, false]);
    assert_eq!(answer["results"][0], json!({ "active": false }));
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(1), "nothing beside the results");
    for (count, status) in [(0, 400), (1, 200), (100, 200), (101, 400), (5000, 400)] {
        let answer = json_form(&site, json!({ "tokens": vec!["x"; count] })).await;
        assert_eq!(answer.status, status, "{count} tokens");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let site = Site::start().await;
    let form = |body: &str| {
        Ask::post("/introspect").by(&site.pos).content("application/x-www-form-urlencoded", body.to_owned())
    };
    let json = |body: &str| Ask::post("/introspect").by(&site.pos).content("application/json", body.to_owned());
    let many = (0..65).map(|number| format!("p{number}=1")).collect::<Vec<_>>().join("&");
    let deep = format!("{{\"token\":{}\"x\"{}}}", "[".repeat(5000), "]".repeat(5000));
    let cases = [
        form(""),
        form("token=x&token=y"),
        form("token=x&token=x"),
        form("token=x&unknown=1"),
        form("token=x&Token=x"),
        form("tokens=x"),
        form("tokens=x&tokens=y"),
        form(&format!("{many}&token=x")),
        form("token=x&method=GET%20/"),
        form("token=x&method="),
        form("token=x&request_token=no%20such"),
        json(""),
        json("{}"),
        json("[]"),
        json("null"),
        json("\"x\""),
        json(r#"{"token":"x"} {}"#),
        json(r#"{"token":"x","token":"x"}"#),
        json(r#"{"token":"x","tokens":["x"]}"#),
        json(r#"{"token":null}"#),
        json(r#"{"token":1}"#),
        json(r#"{"token":["x"]}"#),
        json(r#"{"tokens":"x"}"#),
        json(r#"{"tokens":[1]}"#),
        json(r#"{"token":"x","roles":["admin"]}"#),
        json("{\"token\":\"\\ud800\"}"),
        json(&deep),
    ];
    for ask in cases {
        let text = format!("{ask:?}");
        let answer = site.send(ask).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()), "{text}");
    }
}

#[tokio::test]
async fn other_content_types_and_compressed_bodies_are_415() {
    let site = Site::start().await;
    let cases = [
        Ask::post("/introspect").by(&site.pos).content("text/plain", "token=x"),
        Ask::post("/introspect").by(&site.pos).content("application/jsonp", "{}"),
        Ask::post("/introspect").by(&site.pos).content("multipart/form-data; boundary=x", "--x--"),
        Ask::post("/introspect").by(&site.pos),
        Ask::introspect(&site.pos, "x").header("content-encoding", "gzip"),
    ];
    for ask in cases {
        assert_eq!(site.send(ask.clone()).await.status, 415, "{ask:?}");
    }
    let charset = Ask::post("/introspect").by(&site.pos).content("application/json; charset=utf-8", r#"{"token":"x"}"#);
    assert_eq!(site.send(charset).await.status, 200);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let site = Site::start().await;
    let status = async |length: usize| {
        let body = format!("token={}", "x".repeat(length - 6));
        site.send(Ask::post("/introspect").by(&site.pos).content("application/x-www-form-urlencoded", body))
            .await
            .status
    };
    assert_eq!((status(64 * 1024).await, status(64 * 1024 + 1).await), (200, 413));
}

#[tokio::test]
async fn the_host_must_be_one_of_the_apps_hosts() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for (host, status) in [
        ("pos.company.com", 200),
        ("pos-2.company.com", 200),
        ("wiki.company.com", 400),
        ("auth.company.com", 400),
        ("POS.company.com", 400),
        ("pos.company.com:443", 400),
        ("https://pos.company.com", 400),
        ("pos.company.com.evil.example", 400),
        ("", 400),
    ] {
        let answer = json_form(&site, json!({ "token": ana.pass, "host": host })).await;
        assert_eq!(answer.status, status, "{host}");
        if status == 400 {
            assert_eq!(answer.json()["error"], "host_mismatch", "{host}");
        }
    }
}
