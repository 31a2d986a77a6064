//! Zones: sets of hosts that share one pass cookie. Protocol §1, §2.

use std::fmt;
use std::str::FromStr;

use crate::app::Origin;
use crate::id::ZoneName;

/// The name of the pass cookie where configuration does not say otherwise.
pub const DEFAULT_PASS_COOKIE: &str = "__Secure-hallpass-pass";

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
}

/// Why a zone's alias cannot do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAlias {
    /// Cookies for the zone can only be set by one of its hosts.
    #[error("the alias must be a host under the zone's cookie domain")]
    Outside,
    /// The engine's own host sets the home zone's pass.
    #[error("the home zone needs no alias: the engine's own host is in it")]
    Home,
}

impl Zone {
    /// Whether its alias can set its pass.
    pub fn check_alias(&self) -> Result<(), InvalidAlias> {
        match &self.alias {
            Some(_) if self.home => Err(InvalidAlias::Home),
            Some(alias) if !self.cookie_domain.covers(alias.host()) => Err(InvalidAlias::Outside),
            _ => Ok(()),
        }
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
    fn covers_the_domain_and_what_is_below_it_only() {
        let domain: CookieDomain = "company.com".parse().expect("valid");
        assert!(domain.covers("company.com") && domain.covers("a.b.company.com"));
        assert!(!domain.covers("evilcompany.com") && !domain.covers("company.com.evil") && !domain.covers("com"));
    }
}
