//! The contract of the store: every function does the same on SQLite and on PostgreSQL.
//!
//! PostgreSQL is the server named by `HALLPASS_TEST_POSTGRES` (an administrator's URL), or one started for this run.

mod backup;
mod client_documents;
mod consents;
mod device_codes;
mod handoffs;
mod logouts;
mod machinery;
mod oidc;
mod people;
mod provider_sessions;
mod pushed_requests;
mod races;
mod registrations;
mod registry;
mod schema;
mod sessions;
mod support;
mod transactions;
mod upstreams;
