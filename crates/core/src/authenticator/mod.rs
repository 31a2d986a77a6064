//! How people prove who they are, one file per kind of proof (NIST SP 800-63B §3).
//!
//! Password hashing crates are named in this folder only; every other hash or cipher is in `crypto`.

pub mod block_list;
pub mod imported;
pub mod password;
mod workspace;

pub use workspace::Workspace;
