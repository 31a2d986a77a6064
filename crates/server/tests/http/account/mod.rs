//! `/account`: a person's own sessions and password.

mod password;
mod sessions;
