//! The synchronizer token (protocol §7; OWASP CSRF prevention) as a request presents it: header or form field. The
//! engine, which made it, judges it.

use axum::body::{Body, to_bytes};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use url::form_urlencoded;

use crate::pages::{self, Refusal};

/// Where scripts put the token.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// Where forms put it.
pub(crate) const FIELD: &str = "csrf_token";

/// Forms up to this size are looked into.
pub(crate) const LARGEST_FORM: usize = 64 * 1024;
const LONGEST_TOKEN: usize = 512;

/// What a request presents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// No token.
    Absent,
    /// One.
    Token(String),
    /// Something in its place that no page of ours sends: two of them, or no text.
    Malformed,
}

/// Looks for a token; gives the body back whole.
pub(crate) async fn presented(headers: &HeaderMap, body: Body) -> Result<(Presented, Body), &'static Refusal> {
    let mut values = headers.get_all(HEADER).iter();
    if let Some(value) = values.next() {
        let single = values.next().is_none();
        return Ok((value.to_str().ok().filter(|_| single).map_or(Presented::Malformed, one), body));
    }
    if !is_small_form(headers) {
        return Ok((Presented::Absent, body));
    }
    let bytes = to_bytes(body, LARGEST_FORM).await.map_err(|_| &pages::TOO_LARGE)?;
    let found = match field(&bytes, FIELD) {
        Ok(None) => Presented::Absent,
        Ok(Some(token)) => one(&token),
        Err(Repeated) => Presented::Malformed,
    };
    Ok((found, Body::from(bytes)))
}

fn one(token: &str) -> Presented {
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Presented::Malformed;
    }
    Presented::Token(token.to_owned())
}

fn is_small_form(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let urlencoded = text(CONTENT_TYPE).is_some_and(|content_type| {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    // Without a length, or beyond ours, the body belongs to the application alone.
    let small =
        text(CONTENT_LENGTH).and_then(|length| length.parse().ok()).is_some_and(|length: usize| length <= LARGEST_FORM);
    urlencoded && small && !headers.contains_key(CONTENT_ENCODING)
}

/// A field that came more than once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

/// The value of a form field.
pub(crate) fn field(form: &[u8], name: &str) -> Result<Option<String>, Repeated> {
    let mut values =
        form_urlencoded::parse(form).filter(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Repeated),
        (value, None) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &'static str) -> (HeaderMap, Body) {
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8".parse().expect("a value")),
            (CONTENT_LENGTH, body.len().into()),
        ]);
        (headers, Body::from(body))
    }

    async fn found(headers: &HeaderMap, body: Body) -> (Presented, String) {
        let (presented, body) = presented(headers, body).await.expect("small");
        let rest = to_bytes(body, usize::MAX).await.expect("the body");
        (presented, String::from_utf8(rest.to_vec()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_form_is_read_and_given_back_whole() {
        let (headers, body) = form("a=1&csrf_token=t-1&b=2");
        assert_eq!(found(&headers, body).await, (Presented::Token("t-1".into()), "a=1&csrf_token=t-1&b=2".into()));
        let (headers, body) = form("a=1");
        assert_eq!(found(&headers, body).await, (Presented::Absent, "a=1".into()));
        for (text, why) in
            [("csrf_token=a&csrf_token=b", "two"), ("csrf_token=", "none"), ("csrf_token=%00", "no text")]
        {
            let (headers, body) = form(text);
            assert_eq!(found(&headers, body).await.0, Presented::Malformed, "{why}");
        }
    }

    #[tokio::test]
    async fn the_header_comes_first_and_alone() {
        let (mut headers, body) = form("csrf_token=form");
        headers.insert(HEADER, "header".parse().expect("a value"));
        assert_eq!(found(&headers, body).await.0, Presented::Token("header".into()));
        headers.append(HEADER, "header".parse().expect("a value"));
        assert_eq!(found(&headers, Body::empty()).await.0, Presented::Malformed);
    }

    #[tokio::test]
    async fn other_bodies_and_large_ones_are_left_alone() {
        let (mut headers, _) = form("csrf_token=t");
        headers.insert(CONTENT_LENGTH, (LARGEST_FORM + 1).into());
        assert_eq!(found(&headers, Body::from("csrf_token=t")).await.0, Presented::Absent);
        let (mut headers, body) = form("csrf_token=t");
        headers.insert(CONTENT_TYPE, "text/plain".parse().expect("a value"));
        assert_eq!(found(&headers, body).await.0, Presented::Absent);
    }

    #[tokio::test]
    async fn a_form_longer_than_it_says_is_refused() {
        let (headers, _) = form("csrf_token=t");
        let refusal = presented(&headers, Body::from("x".repeat(LARGEST_FORM + 1))).await.expect_err("too large");
        assert_eq!(refusal.code, "too_large");
    }
}
