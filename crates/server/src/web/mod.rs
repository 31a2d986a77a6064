//! Plumbing without opinions about the product: the call and its guards, cookies, errors, addresses.

pub mod call;
pub mod caller_ip;
pub mod cookies;
pub mod credentials;
pub mod error;
pub mod guard;
pub mod headers;
pub mod onward;
pub mod page;
pub mod parameters;
pub mod respond;
pub mod words;
