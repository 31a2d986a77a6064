//! Rust SDK of Hallpass: a tower layer that knows who is calling and what they may do.
//!
//! The layer reads the zone's pass from the request's cookies, asks the engine about it (`POST /introspect`), and hands
//! the application a [`Caller`]. People who are not signed in are sent to the engine and come back; programs get 401.
//! Everything a hostile sibling host can do to cookies is dealt with here: doubled, shadowed and overwritten passes,
//! another person's pass, forms posted from elsewhere. When the engine cannot be asked, the answer is 503, never a guess.
//!
//! ```no_run
//! use axum::{Router, routing::{get, post}};
//! use hallpass_client::{Caller, Hallpass, SecretKey, require};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let hallpass = Hallpass::builder("https://auth.company.com", "pos", SecretKey::from_env("HALLPASS_SECRET_KEY")?)
//!     .origin("https://pos.company.com")
//!     .build()?;
//! let app = Router::new()
//!     .route("/refunds", post(async || "Refunded.").layer(require("canRefund")))
//!     .route("/", get(async |caller: Caller| {
//!         format!("Hello {}, may you refund? {}", caller.username(), caller.may("canRefund"))
//!     }))
//!     .layer(hallpass.layer());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Other root domains, and bound apps
//!
//! The pass of the engine's own domain does not reach `pos.company2.com`. There, [`Builder::agent`] makes the app its own
//! agent: it serves `/.sso/…` and learns from the engine by a handoff, a code that only the browser which asked can use, who
//! is signed in at home. Nothing else changes for its routes. Visitors of optional paths are looked up once in ten minutes
//! without a sign-in page ([`Builder::discover`]); crawlers never are.
//!
//! [`Builder::bound`] goes further, also within the engine's domain: the app gets a pass that no sibling host can read or
//! replace, and the shared one is not looked at. For apps with money, health or power.
//!
//! ```no_run
//! # use hallpass_client::{Hallpass, SecretKey};
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let hallpass = Hallpass::builder("https://auth.company.com", "ledger", SecretKey::from_env("HALLPASS_SECRET_KEY")?)
//!     .origin("https://ledger.company2.com")
//!     .bound()
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! A handoff needs the layer around the whole router, so that `/.sso/…` and `/.well-known/sso-agent` reach it.
//!
//! # Signing out, and what else an app has to know
//!
//! To sign out, a page posts a form to `/.hallpass/sign-out`. An application's own content security policy must let
//! its forms lead to the engine (`form-action 'self' https://auth.company.com`), or some browsers stop at the redirect.
//! Routes that others call (webhooks, health checks) belong outside the layer: it refuses unsafe requests that do not
//! prove to come from the application's own pages.

mod admit;
mod agent;
mod bounce;
mod build_error;
mod builder;
mod caller;
mod changes;
mod clock;
mod cookies;
mod crypto;
mod csrf;
mod demand;
mod destination;
mod engine;
mod hallpass;
mod identify;
mod layer;
mod memory;
mod origin;
mod own;
mod pages;
mod pass_cookie;
mod pause;
mod recognise;
mod reply;
mod require;
mod secret;
mod seen;
mod set_cookie;
mod settings;
mod sign_out;
mod transaction;
mod unfinished;
mod visit;
mod wire;

pub use build_error::BuildError;
pub use builder::Builder;
pub use caller::{Caller, SignIn};
pub use clock::{Clock, ManualClock};
pub use hallpass::Hallpass;
pub use layer::{HallpassLayer, HallpassService};
pub use require::{Require, RequireLayer, require};
pub use secret::{SecretKey, SecretKeyError};
pub use settings::{CsrfMode, FirstContact};

/// Shared test data, where it is present: `HALLPASS_TEST_DATA`, or `shared/data` beside the workspace.
#[cfg(test)]
fn test_data(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("HALLPASS_TEST_DATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        std::path::PathBuf::from,
    );
    let read = std::fs::read(folder.join(name)).ok();
    #[expect(clippy::print_stderr, reason = "a test that skips something says so")]
    if read.is_none() {
        eprintln!("skipped: {name} is not present");
    }
    read
}
