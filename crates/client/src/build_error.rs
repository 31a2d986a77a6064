//! What [`Builder::build`](crate::Builder::build) finds wrong, each in a sentence that says what would be right.

use crate::pass_cookie::BOUND;

/// Why [`Builder::build`](crate::Builder::build) refuses.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The engine's URL is no https origin (http for `localhost` and `*.localhost` only).
    #[error("the engine's URL must read https://host, as configured there as issuer; it reads {0:?}")]
    EngineUrl(String),
    /// `origin` was not called, or not with an https origin (http for `localhost` and `*.localhost` only).
    #[error("the application's origin must read https://host, as people reach it; it reads {0:?}")]
    Origin(String),
    /// The app key holds something other than letters, digits, `-` and `_`.
    #[error("the app key must be letters, digits, - and _; it reads {0:?}")]
    AppKey(String),
    /// A secret key is empty.
    #[error("the secret key is empty")]
    EmptySecret,
    /// No cookie can have this name.
    #[error("no cookie can be named {0:?}")]
    PassCookie(String),
    /// A bound application's pass has a fixed name.
    #[error("the pass of a bound application is named {BOUND:?}; leave out `pass_cookie`, which says {0:?}")]
    BoundPassCookie(String),
    /// Looking who visitors are takes the agent.
    #[error("`discover` needs the agent: call `agent` or `bound`, too")]
    DiscoverWithoutAgent,
    /// Not a path on the application's own origin.
    #[error("after signing out, people can be sent to a path of this application only, not to {0:?}")]
    AfterSignOut(String),
    /// Longer than a pass lives.
    #[error("the grace is longer than the 15 minutes that a pass lives")]
    Grace,
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}
