//! The guard of what an access token opens: in the `Authorization` header, nowhere else, as what it is (RFC 6750 §2.1, RFC 9449 §7.1). A token that is
//! bound to a key comes with a proof that its sender holds it.

use std::net::IpAddr;
use std::sync::Arc;

use hallpass_core::oidc::VerifiedAccessToken;
use hallpass_core::time::Timestamp;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use super::access::{self, Live};
use super::{cors, dpop};
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
        let Some((scheme, text)) = presented(&parts.headers) else {
            // Without an `error` in the challenge: nothing was presented that could be wrong (RFC 6750 §3.1).
            let message = "This address takes an access token.";
            return Err(Error::new(StatusCode::UNAUTHORIZED, "token_required", message).because("no access token"));
        };
        let refused = match access::live(context, text, now).await? {
            Ok(live) => match proved(context, parts, (scheme, text), &live.token, now).await {
                Ok(()) => return Ok(Self { live }),
                Err(refused) => refused,
            },
            Err(because) => invalid_token(because),
        };
        if refused.status.is_server_error() {
            return Err(refused);
        }
        let mut refused = Error { status: StatusCode::UNAUTHORIZED, ..refused };
        // The client's page shall learn that it has to refresh, rather than that something went wrong.
        let client = cors::claimed_client(text).unwrap_or_default();
        refused.headers = cors::of_client(context, &parts.headers, &client).await?;
        if scheme == Scheme::Dpop || refused.because == BOUND {
            refused.headers.push((header::WWW_AUTHENTICATE, dpop::challenge(Some(refused.code))));
        }
        Err(refused)
    }
}

/// What a token is presented as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

const BOUND: &str = "bound to a key, and presented without";

/// Whether the token is presented as what it is, and by whoever holds its key.
async fn proved(
    context: &Context,
    parts: &Parts,
    (scheme, text): (Scheme, &str),
    token: &VerifiedAccessToken,
    now: Timestamp,
) -> Result<(), Error> {
    match (scheme, token.key) {
        (Scheme::Bearer, None) => Ok(()),
        // Whoever has found it has found no key with it: this is what it is bound for.
        (Scheme::Bearer, Some(_)) => Err(invalid_token(BOUND)),
        (Scheme::Dpop, None) => Err(invalid_token("bound to no key")),
        (Scheme::Dpop, Some(key)) => {
            let proof = dpop::judge(context, parts, Some(text), now)?;
            let proof = proof.ok_or_else(|| invalid_token("no proof"))?;
            if proof.key != key {
                return Err(invalid_token("bound to another key"));
            }
            dpop::use_up(context, &proof).await
        }
    }
}

fn invalid_token(because: &'static str) -> Error {
    let message = "The access token is not good, or not any more.";
    Error::new(StatusCode::UNAUTHORIZED, "invalid_token", message).because(because)
}

/// The one Bearer token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    presented(headers).and_then(|(scheme, token)| (scheme == Scheme::Bearer).then_some(token))
}

/// The one token of a request. Two `Authorization` headers are none.
fn presented(headers: &HeaderMap) -> Option<(Scheme, &str)> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let schemes = [("bearer", Scheme::Bearer), ("dpop", Scheme::Dpop)];
    schemes.into_iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name)).map(|(_, scheme)| (scheme, token))
}
