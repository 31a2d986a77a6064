//! What went wrong, in two fields: the code that the caller gets, the reason that only the log gets. And its three renderers:
//! our own pages, problem details (RFC 9457) for JSON, and the members of RFC 6749 §5.2 for OAuth endpoints.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hallpass_store::StoreError;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::web::page;

/// A refusal or a fault. The caller learns `status`, `code` and `message`; `because` goes to the log.
#[derive(Debug)]
pub struct Error {
    /// HTTP status.
    pub status: StatusCode,
    /// The standard's code: `invalid_request`, `invalid_client`, ….
    pub code: &'static str,
    /// For people: what to do about it. Never an echo of the request.
    pub message: Cow<'static, str>,
    /// For the log only.
    pub because: Cow<'static, str>,
    /// When it makes sense to come back.
    pub retry_after: Option<Duration>,
    /// For the caller's browser: which pages may read this, and which cookie it may forget.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Error {
    /// Any status and code.
    pub const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message: Cow::Borrowed(message),
            because: Cow::Borrowed(""),
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// 400 `invalid_request`.
    pub const fn invalid_request(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// 401 `invalid_client` (RFC 6749 §5.2).
    pub const fn invalid_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "The app key or secret key is missing or wrong.")
    }

    /// 403 `forbidden`.
    pub const fn forbidden(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 401 `login_required`: pages answer with a redirect to sign-in instead.
    pub const fn login_required(because: &'static str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "login_required",
            message: Cow::Borrowed("Sign in first."),
            because: Cow::Borrowed(because),
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// 405 `method_not_allowed`.
    pub const fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take that method.")
    }

    /// 500 `server_error`: a defect of ours.
    pub const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "Something went wrong on our side. It has been logged; please try again.",
        )
    }

    /// 404 `not_found`.
    pub const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address.")
    }

    /// 413 `too_large`.
    pub const fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is larger than this address accepts.")
    }

    /// 415 `unsupported_media_type`.
    pub const fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "This address does not take that content type or encoding.",
        )
    }

    /// 429 `too_many_requests` with `Retry-After`.
    pub const fn too_many_requests(retry_after: Duration) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Too many attempts. Wait a moment, then try again.",
        );
        error.retry_after = Some(retry_after);
        error
    }

    /// 503 `temporarily_unavailable` with `Retry-After`: a fault of ours, never an answer about a credential.
    pub const fn unavailable() -> Self {
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "The sign-in service cannot answer right now. Nothing was changed; try again in a moment.",
        );
        error.retry_after = Some(Duration::from_secs(1));
        error
    }

    /// Adds what only the log gets.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.because = reason.into();
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.message, self.because)
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::unavailable().because(error.to_string())
    }
}

/// How a route tells its caller about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// HTML for people.
    Page,
    /// RFC 9457 problem details.
    Problem,
    /// RFC 6749 §5.2 members.
    OAuth,
}

impl Error {
    /// The answer, in the route's voice.
    pub fn render(&self, voice: Voice, brand: &str, request_id: &str) -> Response {
        let (content_type, body) = match voice {
            Voice::Page => ("text/html; charset=utf-8", page::error(self, brand, request_id)),
            Voice::Problem => ("application/problem+json", self.problem(request_id)),
            Voice::OAuth => ("application/json", self.oauth()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let challenged = headers.contains_key(header::WWW_AUTHENTICATE);
        if self.status == StatusCode::UNAUTHORIZED && voice != Voice::Page && !challenged {
            // RFC 9110 §15.5.2 wants a challenge. `Basic` is for apps alone: a browser answers it with a password prompt of its own.
            let challenge = match self.code {
                "invalid_client" => "Basic realm=\"hallpass\"",
                "invalid_token" => "Bearer realm=\"hallpass\", error=\"invalid_token\"",
                "token_required" => "Bearer realm=\"hallpass\"",
                _ => "Cookie realm=\"hallpass\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    fn problem(&self, request_id: &str) -> String {
        serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.message,
            "request_id": request_id,
        })
        .to_string()
    }

    fn oauth(&self) -> String {
        serde_json::json!({ "error": self.code, "error_description": self.message }).to_string()
    }
}
