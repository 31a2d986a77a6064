//! `/api/v1`: what apps call besides introspection.

mod changes;
mod sign_in;
mod sign_out;
