//! The doors of Hallpass: HTTP, pages, jobs. Open [`routes`] to find any URL and the room behind it.

pub mod account;
pub mod admin;
pub mod alerts;
pub mod changes;
pub mod config;
pub mod context;
pub mod engine;
pub mod handoff;
pub mod home;
pub mod internal;
pub mod introspect;
pub mod jobs;
pub mod listen;
pub mod mail;
pub mod master_key;
pub mod outgoing;
pub mod pass;
pub mod passwords;
pub mod retry;
pub mod routes;
pub mod sign_in;
pub mod sign_out;
pub mod telemetry;
pub mod verified;
pub mod web;
pub mod well_known;
