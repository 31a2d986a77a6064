//! Zones: sets of hosts that share one pass cookie. Protocol §1, §2.

use std::fmt;
use std::str::FromStr;

use crate::app::Origin;
use crate::id::ZoneName;

/// The name of the pass cookie where configuration does not say otherwise.
pub const DEFAULT_PASS_COOKIE: &str = "__Secure-hallpass-pass";

/// The name of the pass cookie of a bound zone: host-only, so that no other host can read or write it.
pub const BOUND_PASS_COOKIE: &str = "__Host-Http-hallpass-pass";

/// A set of hosts that share one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// `aud` of the zone's passes.
    pub name: ZoneName,
    /// The cookie's `Domain`.
    pub cookie_domain: CookieDomain,
    /// The pass cookie's name; begins with `__Secure-`.
    pub cookie_name: CookieName,
    /// The engine itself lives in it. Exactly one zone is home.
    pub home: bool,
    /// Where the engine also answers, so that it can set the pass of a zone that is not home: a host of that zone.
    pub alias: Option<Origin>,
    /// A zone of one host: its pass is a host-only cookie, which the app there sets for itself (protocol §8, "bound").
    pub bound: bool,
    /// A chain after sign-in fetches its pass at once instead of on demand.
    pub at_sign_in: bool,
}

/// Why a zone cannot be as it is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidZone {
    /// Cookies for the zone can only be set by one of its hosts.
    #[error("the alias must be a host under the zone's cookie domain")]
    Outside,
    /// The engine's own host sets the home zone's pass.
    #[error("the home zone needs no alias: the engine's own host is in it")]
    Home,
    /// A host-only cookie can only be set by that host.
    #[error("a bound zone is one app's host alone: it can be neither home nor have an alias")]
    Bound,
    /// Everybody's pass is in the home zone from the first moment.
    #[error("the home zone has its pass at sign-in anyway: at_sign_in is for other zones")]
    AtSignIn,
}

impl Zone {
    /// Whether its properties fit together.
    pub fn check(&self) -> Result<(), InvalidZone> {
        match &self.alias {
            alias if self.bound && (self.home || alias.is_some()) => Err(InvalidZone::Bound),
            Some(_) if self.home => Err(InvalidZone::Home),
            Some(alias) if !self.cookie_domain.covers(alias.host()) => Err(InvalidZone::Outside),
            _ if self.home && self.at_sign_in => Err(InvalidZone::AtSignIn),
            _ => Ok(()),
        }
    }

    /// The name of its pass's cookie.
    pub fn pass_cookie(&self) -> &str {
        if self.bound { BOUND_PASS_COOKIE } else { self.cookie_name.as_str() }
    }

    /// Whether its pass reaches an app at this host.
    pub fn covers(&self, host: &str) -> bool {
        if self.bound { host == self.cookie_domain.as_str() } else { self.cookie_domain.covers(host) }
    }
}

/// A registrable domain or a sub-domain of one, lower case, ASCII, without a leading dot. Never a public suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieDomain(Box<str>);

/// Why a text is no cookie domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCookieDomain {
    /// Not a lower-case ASCII host name.
    #[error("must be a lower-case ASCII host name such as company.com")]
    NotAHost,
    /// On the Public Suffix List: everybody's cookies.
    #[error("is a public suffix: browsers refuse cookies for it, and strangers live under it")]
    PublicSuffix,
}

impl CookieDomain {
    /// The domain, without a leading dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a browser sends this domain's cookies to `host` (RFC 6265 §5.1.3), `host` without port.
    pub fn covers(&self, host: &str) -> bool {
        host == &*self.0 || host.strip_suffix(&*self.0).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether it is a whole registrable domain, so that every sub-domain of the company receives the pass.
    pub fn is_registrable(&self) -> bool {
        psl::domain_str(&self.0).is_some_and(|domain| domain == &*self.0)
    }
}

impl FromStr for CookieDomain {
    type Err = InvalidCookieDomain;

    fn from_str(text: &str) -> Result<Self, InvalidCookieDomain> {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let digits = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if text.len() > 253 || digits || !text.split('.').all(label) {
            return Err(InvalidCookieDomain::NotAHost);
        }
        // `localhost` is not on the list, but a browser treats it as a suffix; so does an unlisted single label.
        if !text.contains('.') || psl::suffix_str(text) == Some(text) {
            return Err(InvalidCookieDomain::PublicSuffix);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for CookieDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The name of a pass cookie: a token (RFC 6265 §4.1.1) that begins with `__Secure-`, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CookieName {
    fn default() -> Self {
        Self(DEFAULT_PASS_COOKIE.into())
    }
}

impl FromStr for CookieName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.len() <= 64 && text.len() > 9 && text.starts_with("__Secure-") && text.bytes().all(word) {
            Ok(Self(text.into()))
        } else {
            Err("must begin with __Secure- and go on with letters, digits, - _ . only, 64 characters at most")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_suffix_is_never_a_cookie_domain() {
        for bad in ["com", "co.uk", "github.io", "localhost"] {
            assert_eq!(bad.parse::<CookieDomain>(), Err(InvalidCookieDomain::PublicSuffix), "{bad}");
        }
        for bad in [
            "",
            ".company.com",
            "company.com.",
            "Company.com",
            "127.0.0.1",
            "a..b",
            "-a.com",
            "k\u{f6}ln.de",
            "company.com:80",
        ] {
            assert_eq!(bad.parse::<CookieDomain>(), Err(InvalidCookieDomain::NotAHost), "{bad}");
        }
        assert!("company.localhost".parse::<CookieDomain>().is_ok());
        let whole: CookieDomain = "company.com".parse().expect("valid");
        let part: CookieDomain = "apps.company.com".parse().expect("valid");
        assert!(whole.is_registrable() && !part.is_registrable());
    }

    #[test]
    fn a_bound_zone_is_one_host_and_neither_home_nor_behind_an_alias() {
        let bound = Zone {
            name: "vault".parse().expect("valid"),
            cookie_domain: "vault.company.com".parse().expect("valid"),
            cookie_name: CookieName::default(),
            home: false,
            alias: None,
            bound: true,
            at_sign_in: true,
        };
        assert_eq!((bound.check(), bound.pass_cookie()), (Ok(()), BOUND_PASS_COOKIE));
        assert!(bound.covers("vault.company.com") && !bound.covers("a.vault.company.com"));
        let alias = Some("https://sso.vault.company.com".parse().expect("an origin"));
        assert_eq!(Zone { alias: alias.clone(), ..bound.clone() }.check(), Err(InvalidZone::Bound));
        assert_eq!(Zone { home: true, ..bound.clone() }.check(), Err(InvalidZone::Bound));
        let shared = Zone { bound: false, ..bound };
        assert_eq!((shared.pass_cookie(), shared.covers("a.vault.company.com")), (DEFAULT_PASS_COOKIE, true));
        assert_eq!(Zone { alias, ..shared.clone() }.check(), Ok(()));
        assert_eq!(Zone { home: true, ..shared.clone() }.check(), Err(InvalidZone::AtSignIn));
        let outside = Some("https://sso.company.com".parse().expect("an origin"));
        assert_eq!(Zone { alias: outside, ..shared }.check(), Err(InvalidZone::Outside));
    }

    #[test]
    fn covers_the_domain_and_what_is_below_it_only() {
        let domain: CookieDomain = "company.com".parse().expect("valid");
        assert!(domain.covers("company.com") && domain.covers("a.b.company.com"));
        assert!(!domain.covers("evilcompany.com") && !domain.covers("company.com.evil") && !domain.covers("com"));
    }
}
