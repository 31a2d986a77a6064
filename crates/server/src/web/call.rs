//! One request on its way to a handler: what it says, who the guard found it to be, and the instant at which all of it is judged.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hallpass_core::csrf;
use hallpass_core::time::Timestamp;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sync_wrapper::SyncWrapper;

use crate::context::Context;
use crate::web::error::Error;
use crate::web::parameters::parameters;

/// Form and JSON bodies; protocol §14.
pub const BODY_LIMIT: usize = 64 * 1024;
/// What synchronizer tokens of our own pages are for, in their MAC.
const FORM: &str = "form";

/// A request whose caller has proved to be a `P`.
pub struct Call<P> {
    /// Everything a handler may use.
    pub context: Arc<Context>,
    /// What the guard established.
    pub proof: P,
    /// The instant of this request: read once, used for every decision.
    pub now: Timestamp,
    /// Where it comes from.
    pub ip: IpAddr,
    /// Names this request in pages, problems and the log.
    pub request_id: RequestId,
    /// Method, URL and headers.
    pub parts: Parts,
    /// Not read yet.
    pub body: SyncWrapper<Body>,
}

/// Names a request: 13 characters, unpredictable enough to quote in support mail, worthless otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

impl std::fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl<P> Call<P> {
    /// The same call, with something else known of who makes it.
    pub fn with<Q>(self, change: impl FnOnce(P) -> Q) -> Call<Q> {
        let Self { context, proof, now, ip, request_id, parts, body } = self;
        Call { context, proof: change(proof), now, ip, request_id, parts, body }
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The query's parameters. 400 if one is repeated, unknown to `T`, or there are too many.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parameters(self.parts.uri.query().unwrap_or("").as_bytes())
    }

    /// The body, at most [`BODY_LIMIT`] bytes: 413 beyond, 415 if it is compressed.
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        if self.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Error::unsupported_media_type());
        }
        read(std::mem::take(self.body.get_mut())).await
    }

    /// A JSON body. 415 for any other content type, 400 for anything but the members of `T`.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        if content_type(self.headers()) != Some("application/json") {
            return Err(Error::unsupported_media_type());
        }
        from_json(&self.bytes().await?)
    }

    /// The body of one of our own forms, once its synchronizer token has been checked against `binding`.
    ///
    /// `binding` names what the page was rendered for: a session or a sign-in in progress (protocol §7).
    pub async fn form<T: DeserializeOwned>(&mut self, binding: &[u8]) -> Result<T, Error> {
        if content_type(self.headers()) != Some("application/x-www-form-urlencoded") {
            return Err(Error::unsupported_media_type());
        }
        let body = self.bytes().await?;
        let token = form_urlencoded::parse(&body).find(|(name, _)| name == "csrf_token").map(|(_, value)| value);
        if !token.is_some_and(|token| csrf::check_for_form(&self.context.keys.csrf, FORM, binding, &token)) {
            return Err(Error::forbidden(
                "This page was open for too long, or was opened elsewhere. Go back, reload it and try again.",
            )
            .because("synchronizer token missing or wrong"));
        }
        parameters(&body)
    }

    /// A synchronizer token for a page that [`Call::form`] will check with the same `binding`.
    pub fn page_token(&self, binding: &[u8]) -> String {
        csrf::issue_for_form(&self.context.keys.csrf, FORM, binding, &mut self.context.random())
    }
}

/// Reads a body into memory, up to the limit.
pub async fn read(mut body: Body) -> Result<Bytes, Error> {
    let mut read = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::invalid_request("The request body could not be read."))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + joined.len() + data.len() > BODY_LIMIT {
            return Err(Error::too_large());
        }
        // Nearly every body is small and comes as one piece, which need not be copied.
        if read.is_empty() && joined.is_empty() {
            read = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut read));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { read } else { joined.freeze() })
}

/// The media type without its parameters, lower case as sent by every client we know.
pub fn content_type(headers: &HeaderMap) -> Option<&str> {
    // Nearly all have one of these, and then there is nothing to look for.
    const WITHOUT_PARAMETERS: [&str; 2] = ["application/x-www-form-urlencoded", "application/json"];
    let value = headers.get(header::CONTENT_TYPE)?;
    if let Some(whole) = WITHOUT_PARAMETERS.into_iter().find(|known| value == known) {
        return Some(whole);
    }
    Some(value.to_str().ok()?.split(';').next().unwrap_or("").trim())
}

/// Strict JSON: the members of `T` and nothing after them. `serde_json` itself stops at a depth of 128; ours are flat types.
pub fn from_json<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| {
        // The place, not the words: serde repeats values of the wrong type, and this value may be a pass or a password.
        let place = format!("{:?} at line {} column {}", error.classify(), error.line(), error.column());
        Error::invalid_request("The body is not the JSON that this address takes.").because(place)
    })
}
