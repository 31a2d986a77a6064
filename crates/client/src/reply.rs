//! One answer of the engine, read whole; and what it means for the app where there is none, or a refusal (protocol §4).

use axum::body::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};

/// Three envelopes of 16 KB of permissions each, and room for names.
const LARGEST_ANSWER: usize = 256 * 1024;

/// The engine could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// It does not answer, or says that it cannot. Passes; a declared grace applies.
    Unreachable {
        /// Seconds, as it said.
        retry_after: Option<u64>,
    },
    /// It refuses this app, or talks another language. Does not pass by itself; no grace.
    Misconfigured,
}

impl Away {
    /// After how many seconds to try again, where that is known.
    pub(crate) fn retry_after(self) -> Option<u64> {
        match self {
            Self::Unreachable { retry_after } => retry_after,
            Self::Misconfigured => Some(60),
        }
    }
}

/// An answer, read whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
pub(crate) enum Unread {
    /// The connection, or the time for it, ended.
    Broken(reqwest::Error),
    /// It is larger than any.
    TooLarge,
}

impl Unread {
    /// Says so in the log.
    pub(crate) fn report(self, what: &'static str) -> Away {
        match self {
            Self::Broken(error) => unreachable(what, &error),
            Self::TooLarge => {
                tracing::error!(what, "the engine's answer is larger than any answer it gives");
                Away::Misconfigured
            }
        }
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<Reply, Unread> {
    let mut response = request.send().await.map_err(Unread::Broken)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: response.status(), headers: std::mem::take(response.headers_mut()), body: body.into() })
}

/// There was no answer.
pub(crate) fn unreachable(what: &'static str, error: &dyn std::error::Error) -> Away {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    tracing::warn!(what, reason, "the engine does not answer");
    Away::Unreachable { retry_after: None }
}

/// There was one, and it says that we get none.
pub(crate) fn refused(what: &'static str, status: StatusCode, headers: &HeaderMap) -> Away {
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        let retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok())
            .map(|seconds: u64| seconds.min(300));
        tracing::warn!(what, %status, "the engine cannot answer now");
        return Away::Unreachable { retry_after };
    }
    let hint = match status {
        StatusCode::UNAUTHORIZED => "app key or secret key is wrong, or the secret key has expired",
        StatusCode::BAD_REQUEST => "the engine does not accept the request; is this app's host registered?",
        StatusCode::MISDIRECTED_REQUEST => "the engine is not known under this host name",
        _ => "is this address the engine's?",
    };
    tracing::error!(what, %status, hint, "the engine refuses this app: nobody can use it until this is corrected");
    Away::Misconfigured
}
