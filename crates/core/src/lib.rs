//! The rules of Hallpass: pure functions and types that decide what is true.
//!
//! Nothing here does IO, reads a clock, draws randomness by itself or is async: callers pass `now` and a
//! source of randomness. One file per thing; open the one that is named after what you look for.

pub mod alert;
pub mod app;
pub mod audit;
pub mod authenticator;
mod base32;
pub mod crypto;
pub mod csrf;
pub mod destination;
pub mod envelope;
pub mod forward_auth;
pub mod handoff;
pub mod id;
pub mod jose;
pub mod jwk;
pub mod keyring;
pub mod logout;
pub mod oidc;
pub mod pass;
pub mod permission;
pub mod secret;
pub mod session;
pub mod sign_in;
#[cfg(test)]
mod test_data;
pub mod throttle;
pub mod time;
pub mod token;
pub mod upstream;
pub mod user;
pub mod user_import;
pub mod zone;
