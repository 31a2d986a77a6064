//! The rules of the OIDC provider: what an authorization request asks for, what tokens say, what a refresh token is worth.
//! Protocol §11; OIDC Core 1.0, RFC 6749, RFC 7636, RFC 9068.

mod access_token;
mod authorization_request;
mod claims;
mod client;
mod error;
pub mod metadata;
pub mod pkce;
mod redirect_uri;
mod refresh;
mod scope;

use std::time::Duration;

pub use access_token::{AccessToken, VerifiedAccessToken};
pub use authorization_request::{AuthorizationRequest, Parameters};
pub use claims::{IdToken, VerifiedIdToken, userinfo, verify_hint};
pub use client::{ClientKind, ClientSettings, Unfit, check_redirect_uri, registered_redirect_uri};
pub use error::{AuthorizationRefused, GrantRefused};
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use refresh::{Presented, RefreshPolicy, presented};
pub use scope::{InvalidScope, Scope};

pub use access_token::verify as verify_access_token;

/// How long an authorization code is good for (protocol §15).
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// How long ID and access tokens are good for (protocol §15).
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(5);
/// How long somebody may take to sign in before the request that sent them there is forgotten (protocol §15, "flow").
pub const PENDING_LIFETIME: Duration = Duration::from_mins(30);
