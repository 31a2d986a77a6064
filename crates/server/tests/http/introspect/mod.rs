//! `POST /introspect`: protocol §4.

mod active;
mod caller;
mod inactive;
mod question;
