//! The pages about oneself: where one is signed in, what one has allowed, and a new password.

use askama::Template;

use super::{Person, asset_path};
use crate::oidc::services::Service;

/// Asks for a new password. Posts `csrf_token`, `current_password` (unless forced), `new_password` and `new_password_again`
/// to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "change_password.html")]
pub struct ChangePasswordPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the flow or session.
    pub csrf_token: String,
    /// Where the form goes: `/account/password` with the query of the journey, if there is one.
    pub action: String,
    /// Shown so that a password manager files the new password under the right name.
    pub username: String,
    /// Part of a sign-in: the current password was given a moment ago and is not asked for again.
    pub forced: bool,
    /// Characters that a new password has at least.
    pub minimum_length: usize,
    /// What is wrong with the current password given.
    pub current_error: Option<String>,
    /// Why the new password is refused.
    pub new_error: Option<String>,
    /// The second typing differs.
    pub again_error: Option<String>,
}

/// `/account`: who I am and where I am signed in. Posts `csrf_token` and `session_id` to `/account/sessions/end`, `csrf_token`
/// to `/account/sign-out-everywhere`, `csrf_token` and `app_key` to `/account/apps/revoke`, and `csrf_token` to `/sign-out` for the browser in use.
#[derive(Debug, Clone, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// Whose sessions these are.
    pub person: Person,
    /// What has just been done, such as "That session has ended."
    pub notice: Option<String>,
    /// Live sessions in the order to show them, this browser's first.
    pub sessions: Vec<SessionLine>,
    /// What the person has allowed, by app; may be empty.
    pub allowed: Vec<AllowedLine>,
    /// Where they may sign in besides here; may be empty.
    pub upstreams: Vec<UpstreamLine>,
    /// They have just proved who they are, and may change that.
    pub fresh: bool,
}

impl AccountPage {
    /// Whether anything that they have allowed may call a service in their name.
    fn uses_services(&self) -> bool {
        self.allowed.iter().any(|app| !app.uses.is_empty())
    }
}

/// One provider on [`AccountPage`]. Its button posts `csrf_token` and `upstream` to `/account/upstreams/link` or `/account/upstreams/unlink`.
#[derive(Debug, Clone)]
pub struct UpstreamLine {
    /// What the configuration calls it, sent back to name it.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// Whether whoever signs in there with the right account is this person.
    pub linked: bool,
}

/// One app that the person has allowed to learn who they are.
#[derive(Debug, Clone)]
pub struct AllowedLine {
    /// The app's key, sent back to take it back.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Where it is; empty if it has no address any more.
    pub domain: String,
    /// What it may know, in words that follow "Knows".
    pub learns: String,
    /// What it may call in their name; may be empty.
    pub uses: Vec<Service>,
    /// When it was allowed, in words that follow "Allowed".
    pub since: String,
}

/// One line of [`AccountPage`].
#[derive(Debug, Clone)]
pub struct SessionLine {
    /// The session's id (`s_…`), sent back to end it. Not its secret.
    pub id: String,
    /// The browser in plain words: "Firefox on Windows".
    pub browser: String,
    /// Where it signed in from: an IP address.
    pub ip: String,
    /// When it signed in, in words that follow "Signed in": "3 days ago".
    pub since: String,
    /// When it was last used, in words that follow "Last active".
    pub last_active: String,
    /// It is the session this page is shown to.
    pub this_browser: bool,
}
