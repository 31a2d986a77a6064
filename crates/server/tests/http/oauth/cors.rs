//! Which pages may read what the token, userinfo and revocation endpoints say: those of the client that it is about. Protocol §11.

use http::Method;
use serde_json::json;

use super::*;

const OTHER: &str = "https://other.company.com";

/// What an answer lets its page do: `(origin, credentials)`.
fn allowed(answer: &Answer) -> (Option<&str>, bool) {
    let credentials = answer.header("access-control-allow-credentials");
    assert!(credentials.is_none_or(|value| value == "true"));
    assert!(answer.headers.get_all("access-control-allow-origin").iter().count() < 2, "{answer:?}");
    (answer.header("access-control-allow-origin"), credentials.is_some())
}

fn varies(answer: &Answer) -> bool {
    answer.header("vary") == Some("Origin")
}

/// `spa` with a cookie, `other` without, `crm` no page at all although it has origins.
async fn three(site: &Site) {
    browser_client(site, "spa", |_| ()).await;
    browser_client(site, "other", |app| {
        app.origins = vec![OTHER.parse().expect("an origin")];
        app.redirect_uris = vec![format!("{OTHER}/callback").parse().expect("a URI")];
        app.client.refresh_cookie = false;
    })
    .await;
    client_with(site, "crm", |app| app.origins = vec!["https://crm.company.com".parse().expect("an origin")]).await;
}

#[tokio::test]
async fn a_preflight_is_answered_for_the_pages_of_browser_clients_only() {
    let site = Site::start().await;
    three(&site).await;
    let ask = async |path: &str, origin: &str| {
        let ask = Ask::new(Method::OPTIONS, path).header("origin", origin);
        site.send(ask.header("access-control-request-method", "POST")).await
    };
    for (path, methods, headers) in [
        ("/oauth/token", "POST", "content-type, dpop"),
        ("/oauth/revoke", "POST", "content-type, dpop"),
        ("/oauth/userinfo", "GET, POST", "authorization, content-type, dpop"),
    ] {
        for (origin, cookie) in [(SPA, path != "/oauth/userinfo"), (OTHER, false)] {
            let answer = ask(path, origin).await;
            assert_eq!((answer.status, allowed(&answer)), (204, (Some(origin), cookie)), "{path} {origin}");
            assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
            assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
            assert!(varies(&answer));
        }
        for origin in [
            HOME,
            "https://crm.company.com",
            "https://pos.company.com",
            "https://evil.com",
            "null",
            "*",
            "https://spa.company.com.evil.com",
            "https://spa.company.com:8443",
            "http://spa.company.com",
            "https://SPA.company.com",
            "https://spa.company.com/",
        ] {
            let answer = ask(path, origin).await;
            assert_eq!((answer.status, allowed(&answer)), (403, (None, false)), "{path} {origin}");
            assert!(varies(&answer));
        }
        let none = site.send(Ask::new(Method::OPTIONS, path)).await;
        assert_eq!((none.status, allowed(&none)), (403, (None, false)));
    }
    site.app("spa", |app| {
        app.client.kind = ClientKind::Browser;
        app.origins = vec![SPA.parse().expect("an origin")];
        app.disabled_at = Some(site.now());
    })
    .await;
    assert_eq!(ask("/oauth/token", SPA).await.status, 403, "no pages of an app that is disabled");
}

/// Whose page may read what was said about whose request.
#[tokio::test]
async fn an_answer_is_readable_for_the_client_that_it_is_about_and_nobody_else() {
    let site = Site::start().await;
    three(&site).await;
    let mut browser = at_home(&site).await;
    for path in ["/oauth/token", "/oauth/revoke"] {
        for (client, origin, expected) in [
            ("spa", SPA, Some((SPA, true))),
            ("other", OTHER, Some((OTHER, false))),
            ("spa", OTHER, None),
            ("other", SPA, None),
            ("spa", "https://evil.com", None),
            ("spa", HOME, None),
            ("spa", "https://spa.company.com.evil.com", None),
            ("spa", "https://spa.company.com:8443", None),
            ("spa", "null", None),
            ("crm", "https://crm.company.com", None),
            ("nobody", SPA, None),
        ] {
            for json in [true, false] {
                let fields =
                    [("client_id", client), ("grant_type", "refresh_token"), ("refresh_token", "x"), ("token", "x")];
                let ask = Ask::post(path).header("origin", origin).header("sec-fetch-site", "cross-site");
                let ask = if json { ask.json(&fields.into_iter().collect()) } else { ask.form(&fields) };
                let answer = site.send(ask).await;
                let seen = allowed(&answer);
                assert_eq!(seen.0.map(|origin| (origin, seen.1)), expected, "{path} {client} {origin} {answer:?}");
                assert!(expected.is_none() || varies(&answer));
                assert_eq!(answer.status == 403, expected.is_none(), "{path} {client} {origin} {answer:?}");
            }
        }
        let without =
            site.send(Ask::post(path).json(&json!({ "client_id": "spa", "grant_type": "refresh_token" }))).await;
        assert_eq!((without.status, allowed(&without)), (403, (None, false)), "a page always says where it is");
    }
    let twice = by_page("/oauth/token", SPA, &json!({ "client_id": "spa" })).header("origin", "https://evil.com");
    assert_eq!(allowed(&site.send(twice).await), (None, false));
    // A client with a secret has no pages: what it is told is read by nobody else.
    let crm = client(&site, "crm").await;
    let basic = site.send(Ask::post("/oauth/token").by(&crm).header("origin", SPA).form(&[("grant_type", "x")])).await;
    assert_eq!((basic.status, allowed(&basic)), (400, (None, false)));
    assert!(varies(&basic));

    // What is given is readable as well as what is refused; and userinfo, by the page of the client that the token is for.
    let code = code_for_page(&mut browser, "spa", SPA).await;
    let given = redeem_by_page(&site, "spa", SPA, &code).await;
    assert_eq!((given.status, allowed(&given)), (200, (Some(SPA), true)), "{given:?}");
    let access = given.json()["access_token"].as_str().expect("a token").to_owned();
    for dead in [false, true] {
        if dead {
            site.wait(301);
        }
        for method in [Method::GET, Method::POST] {
            for (origin, readable) in
                [(SPA, true), (OTHER, false), ("https://evil.com", false), ("null", false), (HOME, false)]
            {
                let ask = Ask::new(method.clone(), "/oauth/userinfo").header("origin", origin);
                let answer = site.send(ask.header("authorization", format!("Bearer {access}"))).await;
                assert_eq!(answer.status, if dead { 401 } else { 200 });
                assert_eq!(allowed(&answer), (readable.then_some(origin), false), "{origin} {answer:?}");
                assert!(varies(&answer));
            }
        }
    }
    let none = site.send(Ask::get("/oauth/userinfo").header("origin", SPA)).await;
    assert_eq!(allowed(&none), (None, false), "about no client at all");
}

#[tokio::test]
async fn what_is_public_is_readable_everywhere() {
    let site = Site::start().await;
    for path in
        ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
    {
        let answer = site.send(Ask::get(path).header("origin", "https://evil.com")).await;
        assert_eq!(allowed(&answer), (Some("*"), false), "{path}");
    }
    for path in ["/introspect", "/api/v1/sign-in", "/oauth/authorize", "/oauth/logout"] {
        let answer = site.send(Ask::new(Method::OPTIONS, path).header("origin", SPA)).await;
        assert_eq!((answer.status, allowed(&answer)), (405, (None, false)), "{path}");
    }
}
