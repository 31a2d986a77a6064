//! Protocol §18 on every answer of every route, whoever asks and however it ends.

use hallpass_server::routes;

use crate::guards::{Who, path_of, request};
use crate::support::{Answer, Ask, Live, SESSION, Site};

fn check(name: &str, answer: &Answer) {
    let header = |header: &str| answer.header(header).unwrap_or_else(|| panic!("{name}: no {header} in {answer:?}"));
    assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
    let lasting =
        ["/assets/", "/favicon.ico", "jwks.json", "openid-configuration", "oauth-authorization-server", "openapi.json"];
    let cached = answer.status == 200 && lasting.iter().any(|path| name.contains(path));
    if cached {
        assert!(header("cache-control").starts_with("public, max-age="), "{name}");
    } else {
        assert_eq!(header("cache-control"), "no-store", "{name}");
    }
    for chatty in ["server", "x-powered-by", "via"] {
        assert_eq!(answer.header(chatty), None, "{name}");
    }
    if !answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        return;
    }
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{name}: {part} is not in {policy}");
    }
    for hole in ["unsafe-", "*", "data:", "http:", "script-src"] {
        assert!(!policy.contains(hole), "{name}: {hole} in {policy}");
    }
    assert_eq!(header("x-frame-options"), "DENY", "{name}");
    assert_eq!(header("referrer-policy"), "same-origin", "{name}");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{name}");
    assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{name}");
    assert_eq!(header("strict-transport-security"), "max-age=31536000", "{name}");
    assert!(!answer.body.contains("<script"), "{name}");
}

#[tokio::test]
async fn every_answer_carries_them() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    for route in routes::table() {
        if route.path == "/api/v1/changes" {
            // Its answer does not end; `api/changes.rs` looks at its headers.
            continue;
        }
        for who in Who::ALL {
            let name = format!("{} {} by {who:?}", route.method, route.path);
            check(&name, &site.send(request(&site, &route, who, &ana)).await);
        }
        let wrong = Ask::new(http::Method::PATCH, path_of(&route));
        let answer = site.send(wrong).await;
        check(&format!("PATCH {}", route.path), &answer);
        assert_eq!(answer.status, 405, "{}", route.path);
        let allowed: Vec<&str> = answer.header("allow").expect("RFC 9110 §15.5.6").split(", ").collect();
        assert!(allowed.contains(&route.method.as_str()), "{}: {allowed:?}", route.path);
        assert_eq!(allowed.contains(&"HEAD"), allowed.contains(&"GET"), "{}: {allowed:?}", route.path);
    }
    for path in ["/nothing", "/sign-in/", "//", "/account/..%2f", "/.env", "/assets/", "/assets/..%2f..%2fCargo.toml"] {
        let answer = site.send(Ask::get(path)).await;
        check(path, &answer);
        assert_eq!(answer.status, 404, "{path}");
    }
}

/// Measured: Chromium blocks the redirect after a form POST to an origin that the policy does not name.
#[tokio::test]
async fn the_form_may_lead_to_its_own_destination_and_no_other() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let action = async |path: &str, cookie: &str| {
        let answer = site.send(Ask::get(path).cookie(SESSION, cookie)).await;
        let policy = answer.header("content-security-policy").expect("a policy").to_owned();
        policy.split("form-action ").nth(1).expect("a directive").to_owned()
    };
    let back = "return_to=https%3A%2F%2Fpos-2.company.com%2Fx";
    assert_eq!(action("/sign-in", "").await, "'self'");
    assert_eq!(action("/sign-in?app=wiki", "").await, "'self' https://wiki.company.com");
    assert_eq!(action(&format!("/sign-in?app=pos&{back}"), "").await, "'self' https://pos-2.company.com");
    assert_eq!(
        action(&format!("/account/password?app=pos&{back}"), &ana.cookie).await,
        "'self' https://pos-2.company.com"
    );
    assert_eq!(action("/sign-in?app=pos&return_to=https%3A%2F%2Fevil.example", "").await, "'self'");
}

/// T84: nothing of a request is shown again as markup, and most of it not at all.
#[tokio::test]
async fn nothing_is_reflected() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let canary = "%22%3E%3Cscript%3Ecanary%3C%2Fscript%3E";
    for route in routes::table() {
        if route.path == "/api/v1/changes" {
            continue;
        }
        for parameter in ["app", "return_to", "done", "error", "state", "token"] {
            let path = format!("{}?{parameter}={canary}", path_of(&route));
            for cookie in [&*ana.cookie, "\"><script>canary</script>"] {
                let ask = Ask::new(route.method.clone(), &*path)
                    .same_origin()
                    .cookie(SESSION, cookie)
                    .header("referer", "https://evil.example/canary");
                let answer = site.send(ask).await;
                assert!(!answer.body.contains("canary"), "{path}: {}", answer.body);
                for (name, value) in &answer.headers {
                    assert!(!String::from_utf8_lossy(value.as_bytes()).contains("<script>"), "{path}: {name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let live = Live::start().await;
    let ask =
        |method: &str| format!("{method} /sign-in HTTP/1.1\r\nHost: auth.company.com\r\nConnection: close\r\n\r\n");
    let (head, get) = (live.send(ask("HEAD")).await, live.send(ask("GET")).await);
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let length = |answer: &str| answer.lines().find(|line| line.starts_with("content-length:")).map(str::to_owned);
    assert!(length(&head).is_some() && length(&head) == length(&get), "{head}");
}
