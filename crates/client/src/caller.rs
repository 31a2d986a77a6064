//! Who is calling: what introspection said about a live session, handed to the application (protocol §4).

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::Response;
use http::request::Parts;
use serde_json::{Map, Value};

use crate::pages;
use crate::visit::wants_page;

/// The facts of one active answer, without anything about how it was obtained.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) user_id: String,
    pub(crate) username: String,
    pub(crate) name: Option<String>,
    pub(crate) session_id: String,
    pub(crate) roles: Vec<String>,
    /// Sorted.
    pub(crate) permissions: Vec<String>,
    pub(crate) acr: String,
    pub(crate) amr: Vec<String>,
    pub(crate) authenticated_at: u64,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) csrf_token: Option<String>,
    /// When this pass was issued: tells the newest of several.
    pub(crate) issued_at: u64,
    /// When this pass ends.
    pub(crate) expires_at: u64,
    /// To ask whether anything has changed.
    pub(crate) version: Option<String>,
}

/// The signed-in person who sent this request, and what they may do in this app.
///
/// As an axum extractor, `Caller` refuses requests without one (401, or a redirect to sign in), and `Option<Caller>`
/// is `None` on routes declared optional. Elsewhere, take it from the request's extensions.
#[derive(Clone)]
pub struct Caller(pub(crate) Arc<Facts>);

impl Caller {
    /// The user's identifier, `u_…`; never reused, the right key for an application's own tables.
    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }

    /// The name they sign in with; it may change.
    pub fn username(&self) -> &str {
        &self.0.username
    }

    /// What to call them: their display name, or the name they sign in with.
    pub fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or(&self.0.username)
    }

    /// The session's identifier, `s_…`; the same in every app of the zone. No secret.
    pub fn session_id(&self) -> &str {
        &self.0.session_id
    }

    /// Their roles in this app.
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// Their permissions in this app, sorted.
    pub fn permissions(&self) -> &[String] {
        &self.0.permissions
    }

    /// Whether they hold `permission` in this app. Exact; there are no wildcards.
    pub fn may(&self, permission: &str) -> bool {
        self.0.permissions.binary_search_by(|held| held.as_str().cmp(permission)).is_ok()
    }

    /// How strongly they signed in: `aal1`, `aal2`.
    pub fn acr(&self) -> &str {
        &self.0.acr
    }

    /// By which methods they signed in (RFC 8176), such as `pwd`, `otp`.
    pub fn amr(&self) -> &[String] {
        &self.0.amr
    }

    /// When they last proved who they are, in seconds since 1970-01-01T00:00:00Z.
    pub fn auth_time(&self) -> u64 {
        self.0.authenticated_at
    }

    /// Further attributes that this app is told.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.0.attributes
    }

    /// For a form's hidden field `csrf_token` or a script's header `x-csrf-token`; bound to session and app. `None`
    /// if the engine sent none.
    pub fn csrf_token(&self) -> Option<&str> {
        self.0.csrf_token.as_deref()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Caller")
            .field("user_id", &self.0.user_id)
            .field("session_id", &self.0.session_id)
            .field("permissions", &self.0.permissions)
            .finish_non_exhaustive()
    }
}

/// Where this request's sender can sign in. In the extensions of every request that passed the layer: for a "Sign
/// in" link on a page that anonymous visitors may see.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub(crate) url: String,
    pub(crate) navigation: bool,
    pub(crate) realm: Arc<str>,
}

impl SignIn {
    /// The address, with the way back to the present page.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A redirect for a navigation, else 401 with the address (protocol §6).
    pub(crate) fn demand(&self) -> Response {
        if self.navigation { pages::redirect(&self.url) } else { pages::login_required(&self.url, &self.realm) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| refuse_anonymous(parts))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Response> {
        if parts.extensions.get::<SignIn>().is_none() {
            return Err(refuse_anonymous(parts));
        }
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

/// The answer to a request without a caller. A route that the layer does not cover is our fault, not the
/// visitor's: 503, and the log says why.
pub(crate) fn refuse_anonymous(parts: &Parts) -> Response {
    if let Some(sign_in) = parts.extensions.get::<SignIn>() {
        return sign_in.demand();
    }
    tracing::error!(path = parts.uri.path(), "this route asks for a caller but the Hallpass layer does not cover it");
    pages::unavailable(wants_page(&parts.headers), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_held_exactly_or_not_at_all() {
        let caller = Caller(Arc::new(Facts {
            permissions: vec!["canCreateOrder".into(), "canRefund".into()],
            csrf_token: Some("hidden".into()),
            ..Facts::default()
        }));
        assert!(caller.may("canRefund"));
        for not_held in ["", "canrefund", "canRefundAll", "can", "*"] {
            assert!(!caller.may(not_held), "{not_held}");
        }
        assert!(!format!("{caller:?}").contains("hidden"));
    }
}
