//! The rules of the OIDC provider: what an authorization request asks for, what tokens say, what a refresh token is worth.
//! Protocol §11; OIDC Core 1.0, RFC 6749, RFC 7636, RFC 8628, RFC 8693, RFC 9068.

mod access_token;
mod authorization_request;
mod claims;
mod client_token;
mod consent;
mod error;
mod id_token_algorithm;
mod grant_type;
pub mod metadata;
pub mod pkce;
mod redirect_uri;
mod refresh;
mod scope;
mod target;
mod user_code;

use std::time::Duration;

pub use access_token::{AccessToken, VerifiedAccessToken};
pub use authorization_request::{AuthorizationRequest, Parameters, Prompt, ResponseMode};
pub use claims::{IdToken, VerifiedIdToken, userinfo, verify_hint};
pub use client_token::{ClientToken, LooksLikeUser};
pub use consent::{Consent, must_ask as must_ask_for_consent};
pub use error::{AuthorizationRefused, GrantRefused};
pub use id_token_algorithm::{IdTokenAlgorithm, InvalidIdTokenAlgorithm};
pub use grant_type::GrantType;
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use refresh::{Presented, presented};
pub use scope::{InvalidScope, Scope};
pub use target::{TargetRefused, target};
pub use user_code::{InvalidUserCode, UserCode};

pub use access_token::verify as verify_access_token;

/// How long an authorization code is good for (protocol §15).
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// How long ID and access tokens are good for (protocol §15).
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(5);
/// A refresh token that nobody has used for so long is good no longer (protocol §15).
pub const REFRESH_INACTIVITY: Duration = Duration::from_hours(24);
/// What came of one code ends after this, however often it was refreshed (protocol §15).
pub const REFRESH_ABSOLUTE: Duration = Duration::from_hours(7 * 24);
/// How long somebody may take to sign in before the request that sent them there is forgotten (protocol §15, "flow").
pub const PENDING_LIFETIME: Duration = Duration::from_mins(30);
/// How long a device waits for somebody to allow it (RFC 8628 §3.2).
pub const DEVICE_CODE_LIFETIME: Duration = Duration::from_mins(10);
/// A device asks no more often than this, and so much more seldom each time that it was too quick (RFC 8628 §3.5).
pub const DEVICE_PAUSE: Duration = Duration::from_secs(5);
