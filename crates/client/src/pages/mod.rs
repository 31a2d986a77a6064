//! What the layer itself answers: redirects, problem details (RFC 9457) and a few small pages. One template, a
//! strict content security policy, nothing of the request in it (protocol §18).

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::crypto;

mod refusal;
mod sign_in;

pub(crate) use refusal::*;
pub(crate) use sign_in::*;

const STYLE: &str = include_str!("../page.css");

/// The engine cannot be asked. Never an answer about the visitor, always about us.
pub(crate) fn unavailable(page: bool, retry_after: Option<u64>) -> Response {
    const AWAY: Refusal = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "temporarily_unavailable",
        title: "Sign-in cannot be checked right now",
        detail: "The sign-in service does not answer, so this application cannot tell who you are. You are still signed in. Wait a moment and reload the page.",
    };
    let mut response = AWAY.answer(page);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(5)));
    response
}

/// 303: after it, the browser asks with GET and without the body.
pub(crate) fn redirect(url: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    match HeaderValue::from_str(url) {
        Ok(location) => response.headers_mut().insert(header::LOCATION, location),
        Err(_) => return unavailable(true, None),
    };
    no_store(&mut response);
    response
}

/// 200 with a JSON object.
pub(crate) fn json_answer(body: &serde_json::Value) -> Response {
    json_response(StatusCode::OK, "application/json", body)
}

/// 204.
pub(crate) fn done() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    no_store(&mut response);
    response
}

/// 200, with nothing to say.
pub(crate) fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    no_store(&mut response);
    response
}

/// What the page that asks for a click shows and sends.
pub(crate) struct Question<'a> {
    /// Who the pass belongs to.
    pub(crate) now: &'a str,
    /// Who was last accepted in this browser, if anybody.
    pub(crate) before: Option<&'a str>,
    /// Sealed: what the click confirms.
    pub(crate) token: &'a str,
    /// A path on our own origin.
    pub(crate) destination: &'a str,
    /// Where the engine decides anew who is signed in.
    pub(crate) refresh_url: &'a str,
    /// The engine's origin, to which these forms may lead.
    pub(crate) engine: &'a str,
}

/// Names both people, or the one person of a first contact, and asks.
pub(crate) fn ask(question: &Question<'_>) -> Response {
    let now = escaped(question.now);
    let (title, explanation, other) = match question.before {
        Some(before) => {
            let before = escaped(before);
            (
                "Who is using this application?",
                format!(
                    "<p>This browser last used this application as <strong>{before}</strong>. \
                     Now <strong>{now}</strong> is signed in.</p>"
                ),
                format!("I am {before}"),
            )
        }
        None => (
            "Is this you?",
            format!(
                "<p><strong>{now}</strong> is signed in. This application has not been used in this browser before.</p>"
            ),
            "I am somebody else".to_owned(),
        ),
    };
    let body = format!(
        "<h1>{title}</h1>{explanation}\
         <form method=\"post\" action=\"/.hallpass/switch\">\
         <input type=\"hidden\" name=\"person\" value=\"{token}\">\
         <input type=\"hidden\" name=\"return_to\" value=\"{destination}\">\
         <button class=\"button\">Continue as {now}</button></form>\
         <p><a href=\"{refresh}\">{other}</a></p>\
         <form method=\"post\" action=\"/.hallpass/sign-out\"><button class=\"link\">Sign {now} out</button></form>",
        token = escaped(question.token),
        destination = escaped(question.destination),
        refresh = escaped(question.refresh_url),
    );
    html(StatusCode::OK, title, &body, Some(question.engine))
}

/// Sign-out here is done, the engine does not know yet (protocol §9).
pub(crate) fn signed_out_here_only(sign_out_url: &str) -> Response {
    let title = "You are signed out here";
    let body = format!(
        "<h1>{title}</h1><p>The sign-in service does not answer, so <strong>other applications may still be open</strong> \
         in this browser. To be safe, close the browser, or try again in a moment.</p>\
         <p><a class=\"button\" href=\"{}\">Sign out everywhere else</a></p>",
        escaped(sign_out_url)
    );
    let mut response = html(StatusCode::SERVICE_UNAVAILABLE, title, &body, None);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn html(status: StatusCode, title: &str, body: &str, forms_may_lead_to: Option<&str>) -> Response {
    static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(crypto::sha256(STYLE.as_bytes())));
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>",
        escaped(title)
    );
    let policy = format!(
        "default-src 'none'; img-src 'self'; style-src 'sha256-{}'; form-action 'self'{}{}; base-uri 'none'; frame-ancestors 'none'",
        *STYLE_HASH,
        if forms_may_lead_to.is_some() { " " } else { "" },
        forms_may_lead_to.unwrap_or_default(),
    );
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = status;
    no_store(&mut response);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it, browsers send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn json_response(status: StatusCode, content_type: &'static str, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    no_store(&mut response);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn no_store(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A name must not turn the rest of the sentence around.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 100_000).await.expect("a body");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    #[tokio::test]
    async fn a_name_cannot_leave_its_place_in_the_page() {
        let response = ask(&Question {
            now: "<script>alert(1)</script>\u{202e}",
            before: Some("\"ana\" & 'co'"),
            token: "t",
            destination: "/a?b=\"><img>",
            refresh_url: "https://auth.company.com/pass/refresh?app=pos&return_to=x",
            engine: "https://auth.company.com",
        });
        let mut policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII").split("; ");
        assert_eq!(
            policy.find(|directive| directive.starts_with("form-action")),
            Some("form-action 'self' https://auth.company.com")
        );
        let page = text(response).await;
        assert!(page.contains("Continue as &lt;script&gt;alert(1)&lt;/script&gt;</button>"), "{page}");
        assert!(page.contains("&quot;ana&quot; &amp; &#39;co&#39;"));
        assert!(page.contains("value=\"/a?b=&quot;&gt;&lt;img&gt;\""));
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'));
    }

    #[tokio::test]
    async fn the_policy_allows_exactly_the_page_s_own_style() {
        let response = NOT_PERMITTED.answer(true);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII").to_owned();
        let page = text(response).await;
        let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        assert!(policy.contains(&format!("'sha256-{}'", STANDARD.encode(crypto::sha256(style.as_bytes())))));
        assert!(!policy.contains("unsafe"));
    }

    #[tokio::test]
    async fn programs_get_problem_details() {
        let response = unavailable(false, Some(7));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&text(response).await).expect("JSON");
        assert_eq!((&problem["status"], &problem["error"]), (&json!(503), &json!("temporarily_unavailable")));
    }
}
