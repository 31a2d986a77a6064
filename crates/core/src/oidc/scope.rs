//! What a client may learn about a person: `openid`, and with it `profile` and `email` (OIDC Core 1.0 §5.4; RFC 6749 §3.3).

use std::fmt;
use std::str::FromStr;

/// `openid` and what else was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Names.
    pub profile: bool,
    /// The e-mail address.
    pub email: bool,
}

/// There is no `openid` in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("without openid")]
pub struct InvalidScope;

impl Scope {
    /// Whether this is no more than `granted`.
    pub fn is_within(self, granted: Self) -> bool {
        self.profile <= granted.profile && self.email <= granted.email
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { profile: self.profile || other.profile, email: self.email || other.email }
    }
}

/// Values that we do not know are ignored (OIDC Core 1.0 §3.1.2.1); what was granted is in the token response.
impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let has = |name: &str| text.split(' ').any(|value| value == name);
        if has("openid") { Ok(Self { profile: has("profile"), email: has("email") }) } else { Err(InvalidScope) }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("openid")?;
        formatter.write_str(if self.profile { " profile" } else { "" })?;
        formatter.write_str(if self.email { " email" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_granted_and_openid_is_a_must() {
        let scope = |text: &str| text.parse::<Scope>().map(|scope| scope.to_string());
        assert_eq!(scope("email openid groups").expect("openid"), "openid email");
        assert_eq!(scope("openid profile email").expect("openid"), "openid profile email");
        for bad in ["", "profile", "openidx", "OPENID", "open id"] {
            assert_eq!(scope(bad), Err(InvalidScope), "{bad}");
        }
    }

    /// T25.
    #[test]
    fn a_scope_is_never_within_a_narrower_one() {
        let all = ["openid", "openid profile", "openid email", "openid profile email"];
        let scope = |text: &str| text.parse::<Scope>().expect("a scope");
        for (one, other, within) in [(0, 3, true), (1, 3, true), (3, 1, false), (1, 2, false), (2, 2, true)] {
            assert_eq!(scope(all[one]).is_within(scope(all[other])), within, "{one} {other}");
        }
    }
}
