//! The rules of the OIDC provider: what an authorization request asks for, what tokens say, what a refresh token is worth.
//! Protocol §11; OIDC Core 1.0, RFC 6749, RFC 7636, RFC 8628, RFC 8693, RFC 9068, RFC 9126.

mod access_token;
mod authorization_request;
mod claims;
mod client;
mod client_assertion;
pub mod client_document;
mod client_id;
mod client_keys;
mod client_token;
mod consent;
mod dpop;
mod error;
mod grant_type;
mod id_token_algorithm;
pub mod metadata;
pub mod pkce;
mod pushed_request;
mod redirect_uri;
mod refresh;
pub mod registration;
mod requested_claims;
mod scope;
mod subject;
mod target;
mod user_code;

use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub use access_token::{AccessToken, VerifiedAccessToken};
pub use authorization_request::{AuthorizationRequest, Parameters, Prompt, ResponseMode};
pub use claims::{IdToken, Profile, VerifiedIdToken, userinfo, verify_hint};
pub use client::{
    ClientAuthentication, ClientKind, ClientSettings, Unfit, check_redirect_uri, registered_redirect_uri,
};
pub use client_assertion::{ASSERTION_LIFETIME, ASSERTION_TYPE, ClientAssertion, STRANGERS_LEEWAY, VerifiedAssertion};
pub use client_id::{ClientIdUrl, DESCRIBED_KEY_PREFIX, InvalidClientIdUrl};
pub use client_keys::{ClientKeys, InvalidKeys};
pub use client_token::{ClientToken, LooksLikeUser, VerifiedClientToken};
pub use consent::{Asks, Consent, Waiting, must_ask as must_ask_for_consent};
pub(crate) use dpop::Confirmation;
pub use dpop::{PROOF_LIFETIME, ProofRefused, ProvenRequest, VerifiedProof, verify as verify_proof};
pub use error::{AuthorizationRefused, GrantRefused};
pub use grant_type::GrantType;
pub use id_token_algorithm::{IdTokenAlgorithm, InvalidIdTokenAlgorithm};
pub use pushed_request::{is_pushed, named_request, request_uri};
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use refresh::{Presented, RefreshPolicy, presented};
pub use registration::{AuthMethod, ClientMetadata, REGISTERED_KEY_PREFIX, Registrable, RegistrationRefused};
pub use requested_claims::{ClaimsParameter, InvalidClaims, ProfileClaims, RequestedClaims};
pub use scope::{InvalidScope, Scope};
pub use subject::{
    InvalidSectorIdentifier, InvalidSubject, InvalidSubjectType, PAIRWISE, SectorIdentifier, Subject, SubjectType,
    UnfitForPairwise, check_subjects,
};
pub use target::{InvalidResources, Resources, TargetRefused, is_named, may_be_open_as, names_of, target};
pub use user_code::{InvalidUserCode, UserCode};

pub use access_token::{verify as verify_access_token, verify_for as verify_access_token_for};
pub use client_token::verify as verify_client_token;

/// How long an authorization code is good for (protocol §15).
pub const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// How long a browser may take to come with a request that its client has pushed (RFC 9126 §2.2).
pub const PUSHED_REQUEST_LIFETIME: Duration = Duration::from_secs(90);
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
