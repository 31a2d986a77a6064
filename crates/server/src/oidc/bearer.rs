//! The guard of what an access token opens (RFC 6750 §2.1: in the `Authorization` header, nowhere else).

use std::net::IpAddr;
use std::sync::Arc;

use hallpass_core::time::Timestamp;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use super::access::{self, Live};
use super::cors;
use crate::context::Context;
use crate::web::error::Error;
use crate::web::guard::Proof;

/// Whoever carries an access token that is good.
#[derive(Debug)]
pub struct Bearer {
    /// The token.
    pub live: Live,
}

impl Proof for Bearer {
    const NAME: &'static str = "bearer";

    async fn establish(context: &Arc<Context>, parts: &Parts, _: IpAddr, now: Timestamp) -> Result<Self, Error> {
        let refused = |code, message| Error::new(StatusCode::UNAUTHORIZED, code, message);
        let Some(text) = bearer(&parts.headers) else {
            // Without an `error` in the challenge: nothing was presented that could be wrong (RFC 6750 §3.1).
            return Err(refused("token_required", "This address takes an access token.").because("no Bearer token"));
        };
        match access::live(context, text, now).await? {
            Ok(live) => Ok(Self { live }),
            Err(because) => {
                let mut error =
                    refused("invalid_token", "The access token is not good, or not any more.").because(because);
                // The client's page shall learn that it has to refresh, rather than that something went wrong.
                let client = cors::claimed_client(text).unwrap_or_default();
                error.headers = cors::of_client(context, &parts.headers, &client).await?;
                Err(error)
            }
        }
    }
}

/// The one Bearer token of a request. Two `Authorization` headers are none.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
