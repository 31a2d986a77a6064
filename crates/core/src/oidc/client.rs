//! The kinds of clients: who can keep a secret, and where each may have its codes sent (RFC 6749 §2.1, RFC 8252, protocol §12).

use serde::{Deserialize, Serialize};

use super::{RedirectUri, SectorIdentifier, SubjectType};
use crate::app::App;

/// How an app takes part as an OIDC client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Whether it can keep a secret, and if not, where it runs.
    pub kind: ClientKind,
    /// Of a browser client: its refresh token travels in a cookie of its own and nowhere else. On unless somebody has turned it off.
    pub refresh_cookie: bool,
    /// People may stay signed in to it when their session is over, if it asks for `offline_access` (OIDC Core 1.0 §11).
    pub offline_access: bool,
    /// Its authorization requests come by the back channel only, where it has shown who it is (RFC 9126 §6).
    pub require_pushed: bool,
    /// What it knows people as.
    pub subject_type: SubjectType,
    /// With pairwise subjects, whose people they are, if the redirect URIs do not say so.
    pub sector_identifier: Option<SectorIdentifier>,
    /// All its tokens are bound to a key of its own (RFC 9449 §5.2, `dpop_bound_access_tokens`).
    pub require_dpop: bool,
    /// Its ID tokens say what its scope brings, too, and not the userinfo endpoint alone (OIDC Core 1.0 §5.4).
    pub claims_in_id_token: bool,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            kind: ClientKind::default(),
            refresh_cookie: true,
            offline_access: false,
            require_pushed: false,
            subject_type: SubjectType::default(),
            sector_identifier: None,
            require_dpop: false,
            claims_in_id_token: false,
        }
    }
}

impl ClientSettings {
    /// Whether its refresh tokens are in its cookie.
    pub fn keeps_refresh_cookie(&self) -> bool {
        self.kind == ClientKind::Browser && self.refresh_cookie
    }
}

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    /// A server: it has a secret, and shows it each time.
    #[default]
    Confidential,
    /// A page with scripts, without a server of its own: everybody who opens it can read all that it holds.
    Browser,
    /// A program on somebody's computer or telephone: the same (RFC 8252 §8.5).
    Native,
}

impl ClientKind {
    /// The word for it in files and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Browser => "browser",
            Self::Native => "native",
        }
    }

    /// It has no secret: its name proves nothing.
    pub const fn is_public(self) -> bool {
        !matches!(self, Self::Confidential)
    }
}

/// How a client shows who it is where OAuth asks for it: its `token_endpoint_auth_method` (OIDC Dynamic Client Registration 1.0 §2). One way, which
/// follows from what is registered and not from what a request brings (advisory T24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// By its secret key, in the header or in the body.
    Secret,
    /// By assertions that it signs. A secret that it may have as well is for our own API, not for this.
    PrivateKeyJwt,
    /// Not at all: it has nothing that not everybody could read.
    None,
}

impl ClientAuthentication {
    /// The way that is registered for an app.
    pub fn of(app: &App) -> Self {
        match app.jwks {
            _ if app.client.kind.is_public() => Self::None,
            Some(_) => Self::PrivateKeyJwt,
            None => Self::Secret,
        }
    }

    /// The standard's words for it.
    pub const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Secret => &["client_secret_basic", "client_secret_post"],
            Self::PrivateKeyJwt => &["private_key_jwt"],
            Self::None => &["none"],
        }
    }
}

/// Why an app cannot have a redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Any program can claim such a scheme; a browser would not hand it to the client.
    #[error(
        "has a scheme of its own, which is for native clients only: set client = \"native\", or use an https address"
    )]
    OwnScheme,
    /// Somebody else's page could read the code, and the origin decides who may call the token endpoint.
    #[error("is not at one of the app's origins: a browser client is sent its codes at its own pages only")]
    ForeignOrigin,
    /// Names are looked up, and whoever answers gets the code (RFC 8252 §8.3).
    #[error(
        "must be http://127.0.0.1/… or http://[::1]/… for a native client: localhost and others can lead elsewhere"
    )]
    NotLoopback,
}

/// Whether a redirect URI may be registered for this app, and used by it.
pub fn check_redirect_uri(app: &App, uri: &RedirectUri) -> Result<(), Unfit> {
    match (app.client.kind, uri.origin()) {
        (ClientKind::Confidential | ClientKind::Browser, None) => Err(Unfit::OwnScheme),
        (ClientKind::Browser, Some(origin)) if !app.origins.contains(origin) => Err(Unfit::ForeignOrigin),
        (ClientKind::Native, Some(origin)) if origin.as_str().starts_with("http:") && uri.loopback().is_none() => {
            Err(Unfit::NotLoopback)
        }
        _ => Ok(()),
    }
}

/// The address that codes go to, if `asked` is registered for this app: byte by byte. Of a native client's loopback addresses the port may be
/// any, since the program takes what is free (RFC 8252 §7.3); nothing else may differ (advisory T3).
pub fn registered_redirect_uri(app: &App, asked: &str) -> Option<RedirectUri> {
    let mut fit = app.redirect_uris.iter().filter(|uri| check_redirect_uri(app, uri).is_ok());
    if app.client.kind != ClientKind::Native {
        return fit.find(|uri| uri.as_str() == asked).cloned();
    }
    // Read as registered ones are, so that nothing comes back that two readers could read differently.
    let asked: RedirectUri = asked.parse().ok()?;
    let same = |uri: &RedirectUri| *uri == asked || uri.loopback().is_some_and(|mine| asked.loopback() == Some(mine));
    fit.any(same).then_some(asked)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::app::Access;

    /// A client with these addresses.
    pub fn app(kind: ClientKind, uris: &[&str]) -> App {
        App {
            origins: vec!["https://wiki.company.com".parse().expect("an origin")],
            access: Access::Everyone,
            client: ClientSettings { kind, ..ClientSettings::default() },
            redirect_uris: uris.iter().map(|uri| uri.parse().expect("a URI")).collect(),
            ..App::new("wiki".parse().expect("a key"), "Wiki", "home".parse().expect("a name"))
        }
    }

    #[test]
    fn each_kind_has_addresses_of_its_own() {
        use ClientKind::{Browser, Confidential, Native};
        for (uri, confidential, browser, native) in [
            ("https://wiki.company.com/cb", Ok(()), Ok(()), Ok(())),
            ("https://wiki.company.com:8443/cb", Ok(()), Err(Unfit::ForeignOrigin), Ok(())),
            ("https://wiki.company.com.evil.com/cb", Ok(()), Err(Unfit::ForeignOrigin), Ok(())),
            ("http://127.0.0.1/cb", Ok(()), Err(Unfit::ForeignOrigin), Ok(())),
            ("http://[::1]:7000/cb", Ok(()), Err(Unfit::ForeignOrigin), Ok(())),
            ("http://localhost:7000/cb", Ok(()), Err(Unfit::ForeignOrigin), Err(Unfit::NotLoopback)),
            ("http://wiki.localhost/cb", Ok(()), Err(Unfit::ForeignOrigin), Err(Unfit::NotLoopback)),
            ("http://127.0.0.2/cb", Ok(()), Err(Unfit::ForeignOrigin), Err(Unfit::NotLoopback)),
            ("com.company.wiki:/cb", Err(Unfit::OwnScheme), Err(Unfit::OwnScheme), Ok(())),
        ] {
            for (kind, expected) in [(Confidential, confidential), (Browser, browser), (Native, native)] {
                let app = app(kind, &[uri]);
                assert_eq!(check_redirect_uri(&app, &app.redirect_uris[0]), expected, "{kind:?} {uri}");
                let found = registered_redirect_uri(&app, uri);
                assert_eq!(found.is_some(), expected.is_ok(), "judged again at use: {kind:?} {uri}");
            }
        }
    }

    /// T1 to T4.
    #[test]
    fn only_the_port_of_a_native_clients_loopback_address_may_differ() {
        let registered =
            ["http://127.0.0.1/cb", "http://[::1]:7000/six?a=1", "com.company.wiki:/cb", "https://wiki.company.com/cb"];
        let native = app(ClientKind::Native, &registered);
        for good in [
            "http://127.0.0.1/cb",
            "http://127.0.0.1:51004/cb",
            "http://[::1]/six?a=1",
            "http://[::1]:9/six?a=1",
            "com.company.wiki:/cb",
            "https://wiki.company.com/cb",
        ] {
            assert_eq!(registered_redirect_uri(&native, good).expect(good).as_str(), good);
        }
        for bad in [
            "http://127.0.0.1:51004/cb/",
            "http://127.0.0.1:51004/cb?a=1",
            "http://127.0.0.1:51004/CB",
            "http://127.0.0.1:80/cb",
            "http://127.0.0.1:051004/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:1:2/cb",
            "http://127.0.0.1.evil.com/cb",
            "http://127.0.0.1:7000@evil.com/cb",
            "http://127.0.0.1:7000.evil.com/cb",
            "http://127.0.0.2:7000/cb",
            "http://127.1:7000/cb",
            "http://2130706433:7000/cb",
            "http://localhost:7000/cb",
            "https://127.0.0.1:7000/cb",
            "http://[::1]:9/cb",
            "http://[::ffff:127.0.0.1]:9/cb",
            "http://127.0.0.1:7000/six?a=1",
            "com.company.wiki:/cb2",
            "com.company.wiki:cb",
            "com.company.wiki://cb",
            "com.company:/cb",
            "https://wiki.company.com:8443/cb",
            "https://wiki.company.com/cb/",
            "",
        ] {
            assert_eq!(registered_redirect_uri(&native, bad), None, "{bad}");
        }
        for kind in [ClientKind::Confidential, ClientKind::Browser] {
            let mut other = app(kind, &["http://127.0.0.1:7000/cb"]);
            other.origins.push("http://127.0.0.1:7000".parse().expect("an origin"));
            assert!(registered_redirect_uri(&other, "http://127.0.0.1:7000/cb").is_some());
            for bad in ["http://127.0.0.1:7001/cb", "http://127.0.0.1/cb"] {
                assert_eq!(registered_redirect_uri(&other, bad), None, "{kind:?} {bad}");
            }
        }
    }
}
