//! What a document, its address or its host could be made to do: requests into our own network, waiting, filling up, speaking for others.
//! T4, T5, T6, T82; advisories on server-side request forgery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hallpass_server::config::ClientDocumentsConfig;
use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::host::{JSON, answer};
use super::*;

#[tokio::test]
async fn nothing_inside_is_asked() {
    let site = Site::start_with(|config| {
        config.client_metadata_documents = ClientDocumentsConfig { enabled: true, ..ClientDocumentsConfig::default() };
    })
    .await;
    let host = Host::start().await;
    let port = host.origin.parse::<url::Url>().expect("a URL").port().expect("a port");
    let mut browser = at_home(&site).await;
    for inside in [
        host.describes("/client.json", &json!({})),
        format!("https://localhost:{port}/client.json"),
        format!("https://planner.localhost:{port}/client.json"),
        format!("http://[::1]:{port}/client.json"),
        format!("http://localhost:{port}/client.json"),
        format!("https://127.0.0.1:{port}/client.json"),
        format!("https://[::ffff:127.0.0.1]:{port}/client.json"),
        format!("https://2130706433:{port}/client.json"),
        "https://10.0.0.1/client.json".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[fe80::1]/client.json".to_owned(),
        "http://192.168.0.1/client.json".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1:70/x".to_owned(),
    ] {
        let answer = browser.step(&authorize_url(&by(&inside))).await;
        assert_stopped(&answer);
        for word in ["loopback", "private", "refused", "connect", "internal"] {
            assert!(!answer.body.contains(word), "no way to look around: {word} in {answer:?}");
        }
    }
    assert_eq!(host.asked_at_all(), 0);
}

#[tokio::test]
async fn what_is_no_document_is_no_client_however_it_is_served() {
    const TYPE: &str = "application/json";
    let (site, host) = open().await;
    let good = |changes: &Value| host.document("/client.json", changes).to_string();
    let document = good(&json!({}));
    host.describes("/internal", &json!({ "client_id": host.at("/client.json") }));
    let others = json!({ "redirect_uris": ["https://crm.company.com/oauth/callback", "https://evil.example/cb", "com.bank:/cb"] });
    let cases = [
        ("a redirect to somewhere else", 302, TYPE, document.clone()),
        ("a permanent one", 308, TYPE, document.clone()),
        ("an error with a good body", 404, TYPE, document.clone()),
        ("a fault with a good body", 500, TYPE, document.clone()),
        ("another success", 202, TYPE, document.clone()),
        ("a page", 200, "text/html", document.clone()),
        ("a text", 200, "text/plain", document.clone()),
        ("an upload", 200, "image/svg+xml", document.clone()),
        ("no type", 200, "", document.clone()),
        ("a huge body", 200, TYPE, format!("{document}{}", " ".repeat(10 << 20))),
        ("a body of a byte too much", 200, TYPE, format!("{document:<width$}", width = 5 * 1024 + 1)),
        ("another's document", 200, TYPE, host.document("/other", &json!({})).to_string()),
        ("addresses of others", 200, TYPE, good(&others)),
        ("a secret", 200, TYPE, good(&json!({ "client_secret": "x" }))),
        ("nothing", 200, TYPE, String::new()),
    ];
    let client_id = host.at("/client.json");
    let mut browser = at_home(&site).await;
    for (what, status, content_type, body) in cases {
        let elsewhere = host.at("/internal");
        host.says("/client.json", move || {
            let headers = [("content-type", content_type), ("location", &*elsewhere)];
            answer(StatusCode::from_u16(status).expect("a status"), &headers, body.clone())
        });
        // That there was none is remembered for ten seconds.
        site.wait(20);
        let before = host.asked("/client.json");
        let answer = browser.step(&authorize_url(&by(&client_id))).await;
        assert!(answer.status == 400 && answer.header("location").is_none(), "{what}: {answer:?}");
        assert_eq!(host.asked("/client.json"), before + 1, "{what}");
    }
    assert_eq!(host.asked("/internal"), 0, "a redirect leads nowhere");
    assert!(app(&site, &client_id).await.is_none());
    host.describes("/client.json", &json!({}));
    site.wait(61);
    asked(&mut browser, &by(&client_id)).await;
    let width = 5 * 1024;
    host.says("/client.json", move || answer(StatusCode::OK, JSON, format!("{document:<width$}")));
    site.wait(301);
    asked(&mut browser, &by(&client_id)).await;
    assert_eq!(host.asked("/client.json"), 17, "to the byte");
}

/// A body that does not end has five seconds, as every request of ours to somebody else.
#[tokio::test]
async fn nobody_waits_for_ever() {
    let (site, _) = open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
            connection.write_all(head.as_bytes()).await.expect("writes");
            open.push(connection);
        }
    });
    let mut browser = at_home(&site).await;
    let url = authorize_url(&by(&format!("http://{address}/client.json")));
    let answer = tokio::time::timeout(Duration::from_secs(15), browser.step(&url)).await.expect("in time");
    assert_stopped(&answer);
    // Whoever comes next does not wait again.
    let answer = tokio::time::timeout(Duration::from_secs(2), browser.step(&url)).await.expect("at once");
    assert_stopped(&answer);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// One host cannot be made busy by us, and no person can make us busy.
#[tokio::test]
async fn there_is_a_brake_for_each_person_and_each_host() {
    let (site, host) = open().await;
    let paths: Vec<_> = (0..25).map(|number| format!("/{number}")).collect();
    let addresses: Vec<_> = paths.iter().map(|path| host.describes(path, &json!({}))).collect();
    let mut browser = at_home(&site).await;
    let mut statuses = Vec::new();
    for address in &addresses {
        statuses.push(browser.step(&authorize_url(&by(address))).await.status);
    }
    assert_eq!((&statuses[..20], &statuses[20..]), (&[200; 20][..], &[429; 5][..]));
    assert_eq!(host.asked_at_all(), 20);
    for (count, name) in ["bo", "cy", "di"].into_iter().enumerate() {
        site.user(name).await;
        let mut browser = Browser::new(&site);
        browser.sign_in("/sign-in", name, PASSWORD).await;
        for number in 0..20 {
            let path = format!("/{count}/{number}");
            browser.step(&authorize_url(&by(&host.describes(&path, &json!({}))))).await;
        }
    }
    assert_eq!(host.asked_at_all(), 60, "of all together");
}

#[tokio::test]
async fn ten_tabs_ask_once() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let browser = at_home(&site).await;
    let url = authorize_url(&by(&client_id));
    let tab = async || browser.at(&site).step(&url).await.status;
    let statuses = tokio::join!(tab(), tab(), tab(), tab(), tab(), tab(), tab(), tab(), tab(), tab());
    assert_eq!(<[u16; 10]>::from(statuses), [200; 10]);
    assert_eq!(host.asked_at_all(), 1);
}

/// RFC 9700 §4.11.2: or our own address would lead wherever whoever wrote the document likes.
#[tokio::test]
async fn nobody_is_sent_on_by_a_document_that_nobody_has_allowed() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    let mine = by(&client_id);
    for more in [
        ("response_type", Some("bogus")),
        ("scope", Some("profile")),
        ("code_challenge", None),
        ("prompt", Some("none")),
        ("claims", Some("{\"id_token\":{\"acr\":{\"essential\":true,\"values\":[\"urn:hallpass:aal2\"]}}}")),
        ("resource", Some("https://billing.company.com")),
        ("id_token_hint", Some("x.y.z")),
    ] {
        let changes = [mine[0], mine[1], more];
        for browser in [&mut browser, &mut Browser::new(&site)] {
            let answer = browser.step(&authorize_url(&changes)).await;
            let to_sign_in = answer.header("location").is_some_and(|there| there.starts_with("/sign-in?pending="));
            assert!(to_sign_in || answer.header("location").is_none(), "{more:?}: {answer:?}");
        }
    }
    // By their own click, they are.
    let page = asked(&mut browser, &mine).await;
    assert!(decide(&mut browser, &page, "deny").await.starts_with(LOOPBACK));
}

#[tokio::test]
async fn only_hosts_that_are_listed_are_asked_and_by_their_exact_names() {
    let (site, host) = open_with(|config| {
        config.client_metadata_documents.hosts = Some(vec!["127.0.0.2".to_owned(), "client.example".to_owned()]);
    })
    .await;
    let client_id = host.describes("/client.json", &json!({}));
    let mut browser = at_home(&site).await;
    for other in [
        &*client_id,
        "https://client.example.evil.example/x",
        "https://evil-client.example/x",
        "https://a.client.example/x",
    ] {
        let answer = browser.step(&authorize_url(&by(other))).await;
        assert!(answer.status == 400 && answer.body.contains("not registered"), "{other}: {answer:?}");
        assert_stopped(&Browser::new(&site).step(&authorize_url(&by(other))).await);
    }
    assert_eq!(host.asked_at_all(), 0);
    let nobody = ClientDocumentsConfig {
        hosts: Some(Vec::new()),
        ..site.engine.context.config.client_metadata_documents.clone()
    };
    let (site, host) = open_with(|config| config.client_metadata_documents = nobody).await;
    let client_id = host.describes("/client.json", &json!({}));
    assert_stopped(&at_home(&site).await.step(&authorize_url(&by(&client_id))).await);
    assert_eq!(host.asked_at_all(), 0, "an empty list is a list");
}

/// Somebody who has a page sealed for another request, or another client, cannot have it answered for this one.
#[tokio::test]
async fn a_pending_request_of_a_stranger_is_none_of_an_app() {
    let (site, host) = open().await;
    let client_id = host.describes("/client.json", &json!({}));
    native_client(&site, "tool", &["http://127.0.0.1/callback"]).await;
    let there = Browser::new(&site).step(&authorize_url(&by(&client_id))).await.location().to_owned();
    let pending = said(&format!("{HOME}{there}"), "pending").expect("sealed");
    let of_tool = Browser::new(&site).step(&authorize_url(&by("tool"))).await.location().to_owned();
    let of_tool = said(&format!("{HOME}{of_tool}"), "pending").expect("sealed");
    let mut browser = at_home(&site).await;
    for (app, pending, good) in [("", &pending, true), ("app=tool&", &pending, false), ("", &of_tool, false)] {
        let answer = browser.step(&format!("{HOME}/oauth/continue?{app}pending={pending}")).await;
        assert_eq!(answer.status == 200, good, "{answer:?}");
    }
}
