//! What a client may come to the token endpoint with (RFC 6749 §4, RFC 8628 §3.4, RFC 8693 §2.1), and which of it an app has been given.

use super::ClientKind;
use crate::app::App;

/// A grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantType {
    /// Tokens for a code (RFC 6749 §4.1.3).
    AuthorizationCode,
    /// The next tokens (RFC 6749 §6).
    RefreshToken,
    /// A token for the app itself (RFC 6749 §4.4).
    ClientCredentials,
    /// A token for a service, in the name of whoever is at the app (RFC 8693).
    TokenExchange,
    /// Tokens for a device whose person has a browser elsewhere (RFC 8628).
    DeviceCode,
}

impl GrantType {
    /// All of them, with the text that is sent.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::AuthorizationCode, "authorization_code"),
        (Self::RefreshToken, "refresh_token"),
        (Self::ClientCredentials, "client_credentials"),
        (Self::TokenExchange, "urn:ietf:params:oauth:grant-type:token-exchange"),
        (Self::DeviceCode, "urn:ietf:params:oauth:grant-type:device_code"),
    ];

    /// From the text that is sent.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(grant, _)| *grant)
    }

    /// Whether the app has been given it: each is off until its declaration says otherwise. Asked at the token endpoint, about the app that has
    /// proved who it is (advisory T24).
    pub fn is_given_to(self, app: &App) -> bool {
        match self {
            Self::AuthorizationCode => !app.redirect_uris.is_empty(),
            Self::RefreshToken => !app.redirect_uris.is_empty() || app.device,
            // Given to a client because it is that client, which one without a secret cannot show.
            Self::ClientCredentials | Self::TokenExchange if app.client.kind.is_public() => false,
            Self::ClientCredentials => app.client_credentials && !app.audiences.is_empty(),
            Self::TokenExchange => !app.audiences.is_empty(),
            // A page has no need of it: it has the browser that a device lacks.
            Self::DeviceCode => app.device && app.client.kind != ClientKind::Browser,
        }
    }
}
