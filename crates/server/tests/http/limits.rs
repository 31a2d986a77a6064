//! Protocol §1 and §14 at the listener itself: beyond a limit the stated status, for an unknown host 421, and the engine lives on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::Live;

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: auth.company.com\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn only_the_configured_host_is_answered() {
    let live = Live::start().await;
    let answer = live.send(get("/sign-in", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("</html>"), "{answer}");
    let close = "Connection: close\r\n\r\n";
    for request in [
        format!("GET /sign-in HTTP/1.1\r\nHost: evil.example\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: pos.company.com\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: auth.company.com.evil.example\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: auth.company.com:7070\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost:\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\n{close}"),
        format!("GET /sign-in HTTP/1.0\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: auth.company.com\r\nHost: evil.example\r\n{close}"),
        format!("GET http://evil.example/sign-in HTTP/1.1\r\nHost: auth.company.com\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: auth.company.com\r\n{close}"),
        format!("GET /sign-in HTTP/1.1\r\nHost: evil.example\r\nForwarded: host=auth.company.com\r\n{close}"),
        format!("POST /introspect HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n{close}"),
    ] {
        let answer = live.send(&request).await;
        assert!(answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.0 421"), "{request}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "an empty body: {answer}");
    }
}

/// T62: nothing a request says about hosts gets into an answer.
#[tokio::test]
async fn forwarding_headers_change_nothing() {
    let live = Live::start().await;
    let hostile = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\nForwarded: for=1.2.3.4;host=evil.example\r\nX-Original-URL: /account\r\n\
                   X-Rewrite-URL: /account\r\nX-HTTP-Method-Override: DELETE\r\nReferer: https://evil.example/\r\n";
    for path in ["/", "/sign-in?app=pos", "/nothing"] {
        let answer = live.send(get(path, hostile)).await;
        let (status, _) = answer.split_once("\r\n").expect("a status");
        let (plain, _) = live
            .send(get(path, ""))
            .await
            .split_once("\r\n")
            .map(|(status, rest)| (status.to_owned(), rest.len()))
            .expect("a status");
        assert_eq!(status, plain, "{path}");
        assert!(!answer.contains("evil.example"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn long_requests_are_turned_away() {
    let live = Live::start().await;
    let path = |length: usize| format!("/sign-in?app={}", "x".repeat(length));
    assert_eq!(live.status(get(&path(8 * 1024 - 14), "")).await, 400, "at the limit: read, and there is no such app");
    assert_eq!(live.status(get(&path(8 * 1024), "")).await, 414);
    assert_eq!(live.status(get(&path(30 * 1024), "")).await, 414);
    assert_eq!(
        live.status(get(&path(100 * 1024), "")).await,
        431,
        "longer than line and headers may be together: not even read"
    );
    let header = |length: usize| format!("X-Long: {}\r\n", "x".repeat(length));
    assert_eq!(live.status(get("/sign-in", &header(30 * 1024))).await, 200);
    assert_eq!(live.status(get("/sign-in", &header(33 * 1024))).await, 431);
    assert_eq!(live.status(get("/sign-in", &header(200 * 1024))).await, 431);
    let many = |count: usize| {
        (0..count).flat_map(|number| ["X-".to_owned(), number.to_string(), ": 1\r\n".to_owned()]).collect::<String>()
    };
    assert_eq!(live.status(get("/sign-in", &many(95))).await, 200);
    assert_eq!(live.status(get("/sign-in", &many(101))).await, 431);
    let cookies = |length: usize| format!("Cookie: a={}\r\n", "x".repeat(length));
    assert_eq!(live.status(get("/sign-in", &cookies(16 * 1024 - 2))).await, 200);
    assert_eq!(live.status(get("/sign-in", &cookies(16 * 1024 - 1))).await, 431);
    let split = format!("{}{}", cookies(9 * 1024), cookies(9 * 1024));
    assert_eq!(live.status(get("/sign-in", &split)).await, 431, "all Cookie headers together");
}

#[tokio::test]
async fn a_large_body_is_413_however_it_comes() {
    let live = Live::start().await;
    let credentials = STANDARD.encode(format!("pos:{}", live.site.pos.secret));
    let head = format!(
        "POST /introspect HTTP/1.1\r\nHost: auth.company.com\r\nConnection: close\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n"
    );
    let body = format!("token={}", "x".repeat(64 * 1024));
    assert_eq!(live.status(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await, 413);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(live.status(chunked).await, 413);
    let small = "token=x";
    assert_eq!(live.status(format!("{head}Content-Length: {}\r\n\r\n{small}", small.len())).await, 200);
    let compressed = format!("{head}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{small}", small.len());
    assert_eq!(live.status(compressed).await, 415);
    let smuggled = format!("{head}Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{small}");
    let answer = live.send(smuggled).await;
    assert!(answer.matches("HTTP/1.1").count() <= 1, "one request, one answer: {answer}");
}

#[tokio::test]
async fn what_is_not_http_ends_the_connection_and_nothing_else() {
    let live = Live::start().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\xff\x00\xff\r\n\r\n",
    ] {
        let mut connection = live.connect().await;
        connection.write(garbage).await;
        drop(connection);
        assert_eq!(live.status(get("/sign-in", "")).await, 200, "{garbage:?}");
    }
}

/// The stream is no ordinary answer: it goes on until the engine stops, and then it ends.
#[tokio::test]
async fn the_change_stream_ends_when_the_engine_stops() {
    let live = Live::start().await;
    let credentials = STANDARD.encode(format!("pos:{}", live.site.pos.secret));
    let mut connection = live.connect().await;
    connection.write(get("/api/v1/changes", &format!("Authorization: Basic {credentials}\r\n"))).await;
    let begun = connection.read_until("event: heartbeat").await;
    assert!(begun.contains("event: reset"), "{begun}");
    live.site.engine.stopper().send_replace(true);
    connection.read_to_end().await;
}
