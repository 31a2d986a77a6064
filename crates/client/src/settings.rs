//! The settings that are choices, as the layer reads them.

use std::sync::Arc;

/// What to do with the first pass that this app sees in a browser (protocol §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstContact {
    /// Accept it: no redirect, no question. A hostile sibling host can then show somebody the wrong account on their
    /// very first visit.
    #[default]
    Trust,
    /// Show a page that names the person and asks, once per browser. For apps with money, health or power.
    Confirm,
}

/// What guards requests that may change something, besides the session (protocol §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CsrfMode {
    /// The origin rule; a CSRF token is checked where one is presented.
    #[default]
    OriginOnly,
    /// The origin rule, and signed-in people's requests must carry a valid CSRF token.
    Token,
}

/// Which paths are open to anonymous visitors.
pub(crate) type Optional = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The app agent, where it is switched on (protocol §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Whether to look who visitors of open pages are.
    pub(crate) discover: bool,
    /// Whether the pass is this app's alone.
    pub(crate) bound: bool,
}
