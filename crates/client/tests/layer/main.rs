//! The layer around a small application, against an engine played by a real HTTP server on loopback that says what
//! each test tells it to. One file per subject; the rules are those of protocol §2 and §4 to §7.

mod browser;
mod fixture;
mod home;

mod admission;
mod away;
mod bound;
mod csrf;
mod discovery;
mod handoff;
mod handoff_ends;
mod home_decides;
mod memory;
mod passes;
mod sign_out;
mod start;
mod switch;
mod sync;
