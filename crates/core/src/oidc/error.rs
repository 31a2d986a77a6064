//! Why an authorization request or a grant is refused. The client is told the standard's code, the log our reason: RFC 6749 §4.1.2.1 and
//! §5.2, OIDC Core 1.0 §3.1.2.6.

/// What the client is told by way of the browser, and what the log is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationRefused {
    /// The standard's code.
    pub code: &'static str,
    /// The reason.
    pub because: &'static str,
}

impl AuthorizationRefused {
    /// Of a request that does not say what it must.
    pub const fn invalid_request(because: &'static str) -> Self {
        Self { code: "invalid_request", because }
    }
}

/// Why a code or a refresh token gets no tokens: `invalid_grant` to the client in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantRefused {
    /// Not a code or a refresh token of ours, at sight or by look-up.
    Unknown,
    /// Its time is over.
    Expired,
    /// A code that has been redeemed before.
    CodeReused,
    /// A refresh token that has been replaced.
    RefreshTokenReused,
    /// What came of its code has been revoked.
    Revoked,
    /// Another client's.
    WrongApp,
    /// Not where the code was sent.
    WrongRedirectUri,
    /// Not what the challenge was made from, or none.
    WrongVerifier,
    /// Bound to a key that the request does not prove to hold.
    WrongKey,
    /// The session has ended.
    SessionOver,
    /// The user is disabled or must choose a new password.
    UserMayNot,
    /// The user has no business in the app (any more).
    NoAccess,
    /// The user has not allowed the app so much, or not any more.
    NoConsent,
    /// The client describes itself, and its document has not been there for a long time.
    Undescribed,
}

impl GrantRefused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::CodeReused => "code_reused",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::Revoked => "revoked",
            Self::WrongApp => "wrong_app",
            Self::WrongRedirectUri => "wrong_redirect_uri",
            Self::WrongVerifier => "wrong_verifier",
            Self::WrongKey => "wrong_key",
            Self::SessionOver => "session_over",
            Self::UserMayNot => "user_may_not",
            Self::NoAccess => "no_access",
            Self::NoConsent => "no_consent",
            Self::Undescribed => "undescribed",
        }
    }
}
