//! Applications: one registry for introspection and OAuth, where the key of an app is its `client_id`, unless it describes itself at an address.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::id::{AppKey, Audience, SecretId, ZoneName};
use crate::keyring::Purpose;
use crate::logout::LogoutUrl;
use crate::oidc::{ClientIdUrl, ClientKeys, ClientSettings, IdTokenAlgorithm, RedirectUri};
use crate::secret::{Digest, SecretKey};
use crate::time::Timestamp;

/// A registered application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its name in the registry.
    pub key: AppKey,
    /// Of a client that describes itself: where. It is called by that address on the OAuth wire; every other app by its key.
    pub client_id: Option<ClientIdUrl>,
    /// What people read.
    pub name: String,
    /// The zone whose passes it may ask about.
    pub zone: ZoneName,
    /// Where it is reached; the first is its front door. Sign-in returns to these origins only.
    pub origins: Vec<Origin>,
    /// Who may enter.
    pub access: Access,
    /// What its SDK does with the first pass it sees in a browser.
    pub first_contact: FirstContact,
    /// Answers about it are never cached (`cache_for` 0).
    pub sensitive: bool,
    /// May take passwords from its own users and relay them (`POST /api/v1/sign-in`).
    pub relayed_sign_in: bool,
    /// How it takes part as an OIDC client.
    pub client: ClientSettings,
    /// Services that it may call: for which it may have a `request_token`.
    pub audiences: Vec<Audience>,
    /// The names by which apps that register or describe themselves may ask people for tokens for it; with none of them it is closed to those.
    pub open_to_third_parties: Vec<Audience>,
    /// Where it hears that a session has ended, all of them each time.
    pub logout_urls: Vec<LogoutUrl>,
    /// Where authorization codes may be sent: with one of these it is an OIDC client.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where a browser may be sent after a sign-out that the app asked for.
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Where a sign-in at an OIDC client begins, for whoever comes from the start page (OIDC Core 1.0 §4).
    pub initiate_login_uri: Option<RedirectUri>,
    /// What an OIDC client's ID tokens and logout tokens are signed with. Of no meaning for other apps.
    pub id_token_alg: IdTokenAlgorithm,
    /// The public keys of a client that shows who it is by assertions that it signs (`private_key_jwt`); none shows a secret instead.
    pub jwks: Option<ClientKeys>,
    /// May have tokens in its own name for those services, without anybody being there (RFC 6749 §4.4).
    pub client_credentials: bool,
    /// May have people allow it on a device without a browser (RFC 8628).
    pub device: bool,
    /// Somebody else's: as an OIDC client it learns nothing about a person who has not allowed it.
    pub third_party: bool,
    /// It has registered itself (RFC 7591): it signs people in by OIDC and does nothing else, whatever secret it has.
    pub registered: bool,
    /// A gateway in front of it asks who its visitors are (`/forward-auth`), and speaks for it without its secret.
    pub forward_auth: bool,
    /// Its SDK serves `/.sso/*` at each of its origins: the app fetches passes by handoffs of its own (protocol §8).
    pub agent: bool,
    /// Whether a handoff brings it a signed assertion through the browser instead of a code.
    pub assertion: Assertion,
    /// Set while the app gets no answers.
    pub disabled_at: Option<Timestamp>,
}

impl App {
    /// An app that may do nothing yet: nobody is led to it, it is told nothing and asks for nothing.
    pub fn new(key: AppKey, name: impl Into<String>, zone: ZoneName) -> Self {
        Self {
            key,
            client_id: None,
            name: name.into(),
            zone,
            origins: Vec::new(),
            access: Access::Assigned,
            first_contact: FirstContact::Trust,
            sensitive: false,
            relayed_sign_in: false,
            client: ClientSettings::default(),
            audiences: Vec::new(),
            open_to_third_parties: Vec::new(),
            logout_urls: Vec::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            initiate_login_uri: None,
            id_token_alg: IdTokenAlgorithm::default(),
            jwks: None,
            client_credentials: false,
            device: false,
            third_party: false,
            registered: false,
            forward_auth: false,
            agent: false,
            assertion: Assertion::None,
            disabled_at: None,
        }
    }

    /// Its public name, `client_id` on the OAuth wire.
    pub fn client_id(&self) -> &str {
        self.client_id.as_ref().map_or(self.key.as_str(), ClientIdUrl::as_str)
    }

    /// What people are told that it is: its name. Of one that describes itself that is its own choice, and anything; there it is the host where it does.
    pub fn title(&self) -> &str {
        self.client_id.as_ref().map_or(&self.name, |url| url.origin().authority())
    }

    /// The keys that sign its ID tokens and its logout tokens. An app that is no OIDC client checks, if it checks, what it always has.
    pub fn token_purpose(&self) -> Purpose {
        if self.redirect_uris.is_empty() { Purpose::Token } else { self.id_token_alg.purpose() }
    }

    /// It makes sessions of its own of the ID tokens that it gets, and need not ask us again. A client without a secret lives on its tokens, which end.
    pub fn keeps_sessions(&self) -> bool {
        !self.redirect_uris.is_empty() && !self.client.kind.is_public()
    }
}

/// Who may enter an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// People with at least one role or permission in it.
    #[default]
    Assigned,
    /// Everybody who is signed in.
    Everyone,
}

/// Protocol §2, "first contact".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstContact {
    /// Accept the pass at once: no redirect.
    #[default]
    Trust,
    /// Confirm it once with the home session.
    Confirm,
}

/// How a handoff reaches an app that cannot call the engine (protocol §8, "JWT profile"). Off unless somebody has asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assertion {
    /// It does not: the app redeems a code.
    #[default]
    None,
    /// A page posts the assertion to `/.sso/callback`.
    FormPost,
    /// A redirect to `/sso?token=…`, for sites that come from such a scheme. The assertion passes through logs and histories.
    Query,
}

impl Assertion {
    /// Where at the app's origin it arrives.
    pub const fn path(self) -> &'static str {
        match self {
            Self::None | Self::FormPost => "/.sso/callback",
            Self::Query => "/sso",
        }
    }
}

/// One of an app's live secrets. The database knows its digest only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSecret {
    /// Names the row in commands and the audit log.
    pub id: SecretId,
    /// Whose it is.
    pub app: AppKey,
    /// What a presented secret must digest to.
    pub digest: Digest<SecretKey>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is refused, if ever.
    pub expires_at: Option<Timestamp>,
    /// The last time an app presented it, to the minute: evidence that it may be removed.
    pub last_used_at: Option<Timestamp>,
}

/// Scheme, host and port, as browsers write it in the `Origin` header (RFC 6454 §6.2): `https://pos.company.com`.
///
/// `http` is accepted for loopback names only, where browsers count it as secure.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    text: Box<str>,
    scheme_end: usize,
}

/// Why a text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// It does not read `https://host` or `https://host:port`, exactly as a browser would write it.
    #[error("must read https://host or https://host:port, lower case, without a path")]
    NotCanonical,
    /// `http` for something other than `localhost`, `*.localhost` or a loopback address.
    #[error("must be https; http is for localhost only")]
    Insecure,
}

impl Origin {
    /// `https://pos.company.com`
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `pos.company.com` or `pos.company.localhost:7070`: what a browser sends as `Host`.
    pub fn authority(&self) -> &str {
        &self.text[self.scheme_end..]
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.rfind(':') {
            Some(colon) if !authority.ends_with(']') => &authority[..colon],
            _ => authority,
        }
    }

    /// Whether browsers count both as one site: the same scheme and registrable domain, or the same host if there is none (HTML, "same site").
    pub fn is_same_site(&self, other: &Self) -> bool {
        let domain = |host: &str| match host.parse::<std::net::Ipv4Addr>() {
            Ok(_) => None,
            Err(_) => psl::domain_str(host).map(str::to_owned),
        };
        let same_domain = || domain(self.host()).is_some_and(|mine| domain(other.host()) == Some(mine));
        self.scheme_end == other.scheme_end && (self.host() == other.host() || same_domain())
    }

    /// Whether it is at the very computer of whoever opens it: any program there may be what answers.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.text).is_ok_and(|url| is_loopback(&url))
    }

    /// The origin of a URL, if it is one that we would register.
    pub fn of(url: &Url) -> Result<Self, InvalidOrigin> {
        url.origin().ascii_serialization().parse()
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let url = Url::parse(text).map_err(|_| InvalidOrigin::NotCanonical)?;
        if url.origin().ascii_serialization() != text {
            return Err(InvalidOrigin::NotCanonical);
        }
        let scheme_end = match url.scheme() {
            "https" => "https://".len(),
            "http" if is_loopback(&url) => "http://".len(),
            "http" => return Err(InvalidOrigin::Insecure),
            _ => return Err(InvalidOrigin::NotCanonical),
        };
        Ok(Self { text: text.into(), scheme_end })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_algorithm_and_every_other_app_what_it_always_got() {
        let app = |redirect_uris: &[&str], id_token_alg| App {
            redirect_uris: redirect_uris.iter().map(|uri| uri.parse().expect("valid")).collect(),
            id_token_alg,
            ..App::new("wiki".parse().expect("valid"), "Wiki", "home".parse().expect("valid"))
        };
        let (one, none) = (&["https://wiki.company.com/callback"][..], &[][..]);
        let [usual, small] = [IdTokenAlgorithm::Rs256, IdTokenAlgorithm::EdDsa];
        for (app, purpose) in [
            (app(one, usual), Purpose::IdToken),
            (app(one, small), Purpose::Token),
            (app(none, usual), Purpose::Token),
            (app(none, small), Purpose::Token),
        ] {
            assert_eq!(app.token_purpose(), purpose, "{app:?}");
            assert_eq!(Purpose::IdToken.is_needed_by([&app]), purpose == Purpose::IdToken, "{app:?}");
        }
        assert!(Purpose::Pass.is_needed_by([]) && Purpose::Token.is_needed_by([]));
    }

    #[test]
    fn only_the_text_a_browser_would_send_is_an_origin() {
        let origin: Origin = "http://pos.company.localhost:7070".parse().expect("valid");
        assert_eq!((origin.host(), origin.authority()), ("pos.company.localhost", "pos.company.localhost:7070"));
        assert_eq!("https://[::1]".parse::<Origin>().expect("valid").host(), "[::1]");
        for bad in [
            "https://pos.company.com/",
            "https://pos.company.com:443",
            "HTTPS://pos.company.com",
            "https://Pos.company.com",
            "https://user@pos.company.com",
            "https://pos.company.com?x",
            "//pos.company.com",
            "pos.company.com",
            "null",
            "ftp://pos.company.com",
            "javascript:alert(1)",
            "https://",
            "https://k\u{f6}ln.de",
            " https://pos.company.com",
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin::NotCanonical), "{bad}");
        }
        for bad in ["http://pos.company.com", "http://localhost.evil.com", "http://10.0.0.1"] {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin::Insecure), "{bad}");
        }
    }

    #[test]
    fn a_site_is_what_browsers_take_for_one() {
        for (one, other, same) in [
            ("https://auth.company.com", "https://pos.company.com:8443", true),
            ("https://auth.company.com", "https://company.com", true),
            ("https://auth.company.com", "https://auth.company2.com", false),
            ("https://auth.company.com", "https://company.com.evil.com", false),
            ("https://a.co.uk", "https://b.co.uk", false),
            ("https://auth.company.localhost", "http://auth.company.localhost", false),
            ("http://auth.company.localhost:7070", "http://pos.company.localhost:7071", true),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("http://127.0.0.1", "http://127.1.0.1", false),
            ("http://[::1]:1", "http://[::1]:2", true),
            ("http://localhost:1", "http://localhost:2", true),
        ] {
            let origin = |text: &str| text.parse::<Origin>().expect(text);
            assert_eq!(origin(one).is_same_site(&origin(other)), same, "{one} {other}");
            assert_eq!(origin(other).is_same_site(&origin(one)), same, "{other} {one}");
        }
    }
}
