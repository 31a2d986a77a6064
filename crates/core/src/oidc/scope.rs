//! What a client may learn about a person: `openid`, and with it `profile` and `email` (OIDC Core 1.0 §5.4; RFC 6749 §3.3); and whether it may do so when
//! they have signed out: `offline_access` (§11).

use std::fmt;
use std::str::FromStr;

/// `openid` and what else was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Names.
    pub profile: bool,
    /// The e-mail address.
    pub email: bool,
    /// Also when the session is over.
    pub offline_access: bool,
}

/// There is no `openid` in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("without openid")]
pub struct InvalidScope;

impl Scope {
    /// Whether this is no more than `granted`.
    pub fn is_within(self, granted: Self) -> bool {
        self.profile <= granted.profile && self.email <= granted.email && self.offline_access <= granted.offline_access
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            profile: self.profile || other.profile,
            email: self.email || other.email,
            offline_access: self.offline_access || other.offline_access,
        }
    }
}

/// Values that we do not know are ignored (OIDC Core 1.0 §3.1.2.1); what was granted is in the token response.
impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let has = |name: &str| text.split(' ').any(|value| value == name);
        if !has("openid") {
            return Err(InvalidScope);
        }
        Ok(Self { profile: has("profile"), email: has("email"), offline_access: has("offline_access") })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("openid")?;
        formatter.write_str(if self.profile { " profile" } else { "" })?;
        formatter.write_str(if self.email { " email" } else { "" })?;
        formatter.write_str(if self.offline_access { " offline_access" } else { "" })
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
        assert_eq!(scope("offline_access openid").expect("openid"), "openid offline_access");
        for bad in ["", "profile", "openidx", "OPENID", "open id"] {
            assert_eq!(scope(bad), Err(InvalidScope), "{bad}");
        }
    }

    /// T25.
    #[test]
    fn a_scope_is_never_within_a_narrower_one() {
        let all = ["openid", "openid profile", "openid email", "openid profile email", "openid offline_access"];
        let scope = |text: &str| text.parse::<Scope>().expect("a scope");
        for (one, other, within) in
            [(0, 3, true), (1, 3, true), (3, 1, false), (1, 2, false), (2, 2, true), (4, 3, false), (4, 4, true)]
        {
            assert_eq!(scope(all[one]).is_within(scope(all[other])), within, "{one} {other}");
        }
    }
}
