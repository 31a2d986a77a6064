//! Leaving for an upstream and coming back, in one browser: the transaction's cookie is set on the way there and put away on the way back. Advisories
//! T23, T44, T45.

use axum::response::Response;
use hallpass_core::upstream::UpstreamRefused;
use hallpass_core::upstream::transaction::{LIFETIME, Transaction, cookie_suffix};
use http::header;

use crate::web::call::Call;
use crate::web::cookies::{self, Presented};

/// Sign-ins that one browser may have under way.
const MAXIMUM_TRANSACTIONS: usize = 4;
/// Name and value of a cookie together: beyond 4,096 bytes browsers drop it without a word.
const COOKIE_LENGTH: usize = 4000;

/// Has the browser remember what it leaves for; `response` leads there. The way back opens at `upstream` and nowhere else.
pub fn depart<P>(call: &Call<P>, upstream: &str, mut transaction: Transaction, mut response: Response) -> Response {
    let (context, random) = (&call.context, &mut call.context.random());
    let name = cookies::upstream_transaction(&cookie_suffix(&transaction.state()).expect("a state of our own"));
    let mut value = transaction.seal(upstream, &context.keys.upstream_transaction, random);
    if name.len() + value.len() > COOKIE_LENGTH {
        // Better to arrive at the front door than not at all.
        (transaction.return_to, transaction.pending) = (None, None);
        value = transaction.seal(upstream, &context.keys.upstream_transaction, random);
    }
    let headers = response.headers_mut();
    // Some were given up half way, each of them with a cookie: before they fill the browser's request line, away with them.
    let left: Vec<&str> = cookies::upstream_transactions(call.headers()).collect();
    if left.len() >= MAXIMUM_TRANSACTIONS {
        for name in left {
            headers.append(header::SET_COOKIE, cookies::expire(name));
        }
    }
    headers.append(header::SET_COOKIE, cookies::host_only(&name, &value, Some(LIFETIME.as_secs())));
    response
}

/// A browser that has come back.
pub struct Returned {
    /// What it left for, if it was this browser.
    pub transaction: Result<Transaction, UpstreamRefused>,
    cookie: Option<String>,
}

impl Returned {
    /// To `upstream`, with this state.
    pub fn with<P>(call: &Call<P>, upstream: &str, state: &str) -> Self {
        let name = cookie_suffix(state).map(|suffix| cookies::upstream_transaction(&suffix));
        let presented = name.as_deref().map_or(Presented::None, |name| cookies::presented(call.headers(), name));
        let sealer = &call.context.keys.upstream_transaction;
        let transaction = match presented {
            Presented::One(value) => Transaction::open(value, state, upstream, sealer, call.now),
            Presented::None | Presented::Several => Err(UpstreamRefused::NoTransaction),
        };
        let cookie = if presented == Presented::None { None } else { name.clone() };
        Self { transaction, cookie }
    }

    /// The transaction is over.
    pub fn put_away(&self, response: &mut Response) {
        if let Some(name) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookies::expire(name));
        }
    }
}
