//! People: who they are here. How they prove it is in `authenticator/`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;

use crate::id::UserId;
use crate::time::Timestamp;

/// A person.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// `sub` on the wire; never reused.
    pub id: UserId,
    /// What the person types to sign in.
    pub username: Username,
    /// What pages and apps show. Text only.
    pub display_name: DisplayName,
    /// For mail from us; never an identifier.
    pub email: Option<String>,
    /// Passed to every app in the envelope; at most 4 KB as JSON.
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Set while the user may not sign in; their sessions are ended at the same time.
    pub disabled_at: Option<Timestamp>,
    /// The next sign-in must choose a new password first.
    pub must_change_password: bool,
    /// When the user was added.
    pub created_at: Timestamp,
}

/// A user name as typed at creation, with the canonical form that is compared.
///
/// At most 128 code points; no control characters, no white space, no bidirectional overrides. Canonical is NFKC, lower case: one
/// throttle counter and one account per canonical name, whatever case or width somebody types (advisory T74).
#[derive(Clone, PartialEq, Eq)]
pub struct Username {
    shown: Box<str>,
    canonical: Box<str>,
}

impl Username {
    /// As typed when the user was added.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The form that is compared and unique.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// More than 128 code points.
    #[error("must have at most 128 characters")]
    TooLong,
    /// A control character, bidirectional override, or (in a user name) white space.
    #[error("must not contain white space, control characters or text-direction overrides")]
    Forbidden,
}

impl FromStr for Username {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        check_name(text)?;
        let canonical: String = text.nfkc().collect::<String>().to_lowercase().nfkc().collect();
        // Normalise, then check: a compatibility character may unfold into a forbidden one (advisory T57).
        check_name(&canonical)?;
        if text.chars().chain(canonical.chars()).any(char::is_whitespace) {
            return Err(InvalidName::Forbidden);
        }
        Ok(Self { shown: text.into(), canonical: canonical.into() })
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, formatter)
    }
}

/// A name shown to people: trimmed, 1 to 128 code points, no control characters or bidirectional overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName(Box<str>);

impl DisplayName {
    /// The text; escape it for where it goes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        check_name(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Both kinds of name are plain strings in JSON.
macro_rules! as_string {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_string! { Username DisplayName }

fn check_name(text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.chars().count() > 128 {
        return Err(InvalidName::TooLong);
    }
    // U+202A–U+202E and U+2066–U+2069 reorder what follows them: "ana\u{202e}nimda" reads as an admin.
    let forbidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.chars().any(forbidden) { Err(InvalidName::Forbidden) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T74: one account, whatever width or case is typed.
    #[test]
    fn width_and_case_do_not_make_another_user() {
        let plain: Username = "ana".parse().expect("valid");
        for same in ["ANA", "\u{ff21}na", "aN\u{ff41}"] {
            assert_eq!(same.parse::<Username>().expect("valid").canonical(), plain.canonical(), "{same}");
        }
    }

    #[test]
    fn names_that_deceive_are_refused() {
        for bad in ["", "a b", "a\u{a0}b", "ana\u{202e}nimda", "a\u{200b}b", "a\nb", "a\0", &"a".repeat(129)] {
            assert!(bad.parse::<Username>().is_err(), "{bad:?}");
        }
        assert!("Ana María".parse::<DisplayName>().is_ok());
        assert!("Ana\u{2066}".parse::<DisplayName>().is_err());
        assert!("   ".parse::<DisplayName>().is_err());
    }
}
