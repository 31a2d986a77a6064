//! Beginning a handoff: this browser gets a transaction, then goes and asks the engine who is signed in at home (protocol
//! §8 numbers 1 and 2).

use axum::response::Response;
use http::header::HeaderMap;

use super::CALLBACK;
use crate::bounce::Bounces;
use crate::hallpass::Inner;
use crate::pages;
use crate::set_cookie::with_cookies;
use crate::transaction::{Transaction, Way, expire_abandoned};

/// The answer that begins one; `None` if this browser has been sent to the engine too often lately.
pub(crate) fn begin(inner: &Inner, headers: &HeaderMap, way: Way, silent: bool) -> Option<Response> {
    let now = inner.clock.unix_seconds();
    let counted = match &way {
        Way::Path(destination) | Way::Journey { return_to: destination, .. } => {
            Some(Bounces::read(headers, now).next(destination, now)?)
        }
        // The engine ends its chains itself, and one of them visits many hosts.
        Way::Chain(_) => None,
    };
    let begun = Transaction::begin(way, silent, now, &inner.sealer);
    let begun = begun.or_else(|| Transaction::begin(Way::Path("/".to_owned()), silent, now, &inner.sealer));
    let Some((transaction, cookie)) = begun else { return Some(pages::unavailable(true, None)) };
    let mut url = inner.engine.public().at("/handoff/authorize");
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &inner.app_key)
            .append_pair("redirect_uri", &redirect_uri(inner))
            .append_pair("state", &transaction.state)
            .append_pair("code_challenge", &transaction.challenge())
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", "none");
        if let Way::Journey { app, return_to } = &transaction.way {
            query.append_pair("app", app).append_pair("return_to", return_to);
        }
    }
    let cookies = expire_abandoned(headers).into_iter().chain(counted).chain([cookie]);
    Some(with_cookies(pages::redirect(url.as_str()), cookies))
}

/// Where codes for this app are sent: derived, never taken from a caller.
pub(super) fn redirect_uri(inner: &Inner) -> String {
    format!("{}{CALLBACK}", inner.origin.as_str())
}
