//! The rules of the OIDC provider: what an authorization request asks for, what tokens say, what a refresh token is worth.
//! Protocol §11; OIDC Core 1.0, RFC 6749, RFC 7636, RFC 8628, RFC 8693, RFC 9068.

mod access_token;
mod authorization_request;
mod claims;
mod client;
mod client_assertion;
mod client_keys;
mod client_token;
mod consent;
mod dpop;
mod error;
mod grant_type;
mod id_token_algorithm;
pub mod metadata;
pub mod pkce;
mod redirect_uri;
mod refresh;
mod scope;
mod target;
mod user_code;

use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use access_token::{AccessToken, VerifiedAccessToken};
pub use authorization_request::{AuthorizationRequest, Parameters, Prompt, ResponseMode};
pub use claims::{IdToken, VerifiedIdToken, userinfo, verify_hint};
pub use client::{
    ClientAuthentication, ClientKind, ClientSettings, Unfit, check_redirect_uri, registered_redirect_uri,
};
pub use client_assertion::{ASSERTION_LIFETIME, ASSERTION_TYPE, ClientAssertion, STRANGERS_LEEWAY, VerifiedAssertion};
pub use client_keys::{ClientKeys, InvalidKeys};
pub use client_token::{ClientToken, LooksLikeUser};
pub use consent::{Consent, must_ask as must_ask_for_consent};
pub(crate) use dpop::Confirmation;
pub use dpop::{PROOF_LIFETIME, ProofRefused, ProvenRequest, VerifiedProof, verify as verify_proof};
pub use error::{AuthorizationRefused, GrantRefused};
pub use grant_type::GrantType;
pub use id_token_algorithm::{IdTokenAlgorithm, InvalidIdTokenAlgorithm};
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use refresh::{Presented, RefreshPolicy, presented};
pub use scope::{InvalidScope, Scope};
pub use target::{TargetRefused, target};
pub use user_code::{InvalidUserCode, UserCode};

pub use access_token::verify as verify_access_token;

/// How long an authorization code is good for (protocol §15).
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// How long ID and access tokens are good for (protocol §15).
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(5);
/// How long somebody may take to sign in before the request that sent them there is forgotten (protocol §15, "flow").
pub const PENDING_LIFETIME: Duration = Duration::from_mins(30);
/// How long a device waits for somebody to allow it (RFC 8628 §3.2).
pub const DEVICE_CODE_LIFETIME: Duration = Duration::from_mins(10);
/// A device asks no more often than this, and so much more seldom each time that it was too quick (RFC 8628 §3.5).
pub const DEVICE_PAUSE: Duration = Duration::from_secs(5);

/// A member that may be left out but, if it is there, is not `null`: an absent claim and an empty one must not look alike (advisory T28).
pub(crate) fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
