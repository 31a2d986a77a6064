//! Every identifier type in one list. Identifiers of 128 bits are never reused (advisory T41); names are checked text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base32;
use crate::crypto::Random;
use crate::time::Timestamp;

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidId(pub &'static str);

/// Characters of a prefix, at most.
const PREFIX: usize = 4;

/// An identifier as text, without the heap and without `fmt`: every answer of introspection writes two of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdText {
    bytes: [u8; PREFIX + base32::LENGTH],
    length: usize,
}

impl IdText {
    fn of(prefix: &str, id: &[u8; 16]) -> Self {
        let (mut bytes, length) = ([0; PREFIX + base32::LENGTH], prefix.len() + base32::LENGTH);
        bytes[..prefix.len()].copy_from_slice(prefix.as_bytes());
        bytes[prefix.len()..length].copy_from_slice(&base32::encode(id));
        Self { bytes, length }
    }

    /// ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Declares identifiers: 16 bytes, written as a prefix and 26 lower-case base32 characters.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;

            /// From its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Its 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Its text.
            pub fn text(&self) -> IdText {
                IdText::of($prefix, &self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(std::str::from_utf8(self.text().as_bytes()).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let encoded = text.as_bytes().strip_prefix($prefix.as_bytes()).and_then(|encoded| encoded.try_into().ok());
                encoded.and_then(base32::decode).map(Self).ok_or(InvalidId($what))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
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

ids! {
    /// A user; `sub` on the wire.
    UserId = "u_", "user id";
    /// A session; `sid` on the wire. Not its secret.
    SessionId = "s_", "session id";
    /// A group of users.
    GroupId = "g_", "group id";
    /// A role of one app.
    RoleId = "r_", "role id";
    /// One of an app's secrets (the row, not the secret).
    SecretId = "k_", "secret id";
    /// A signing key; `kid` on the wire. Random: it says nothing about the key.
    KeyId = "kid_", "key id";
    /// One access token; `jti` on the wire.
    TokenId = "t_", "token id";
    /// The tokens that came of one authorization code: they are revoked together.
    FamilyId = "f_", "token family id";
    /// One entry of the audit log.
    AuditId = "e_", "audit id";
}

/// Says of which nothing can be told by looking at them.
macro_rules! random {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new one.
            pub fn mint(random: &mut dyn Random) -> Self {
                let mut bytes = [0u8; 16];
                random.fill(&mut bytes);
                Self(bytes)
            }
        }
    )*};
}

random! { UserId SessionId GroupId RoleId SecretId KeyId TokenId }

/// Says of which those of one moment begin alike: of rows that are added all the time, so that new ones lie together on a few pages of an index,
/// instead of each on a page of its own that has to be read and written for it. Milliseconds, then 80 random bits, as in UUIDs of version 7.
macro_rules! by_time {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new one.
            pub fn mint(now: Timestamp, random: &mut dyn Random) -> Self {
                let mut bytes = [0u8; 16];
                bytes[..6].copy_from_slice(&now.to_bytes());
                random.fill(&mut bytes[6..]);
                Self(bytes)
            }
        }
    )*};
}

by_time! { FamilyId AuditId }

/// Declares names: checked text of one character class and length.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($max:literal, $what:literal, $allowed:expr);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let allowed: fn(usize, u8) -> bool = $allowed;
                let fits = !text.is_empty() && text.len() <= $max;
                if fits && text.bytes().enumerate().all(|(index, byte)| allowed(index, byte)) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId($what))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
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

names! {
    /// An app's public key: `pos`. Lower-case letters, digits, `-` and `_`, at most 64. `client_id` on the OAuth wire.
    AppKey(64, "app key (lower-case letters, digits, - and _, at most 64)", slug);
    /// A zone's name, `aud` of its passes: `home`, `company2`.
    ZoneName(64, "zone name (lower-case letters, digits, - and _, at most 64)", slug);
    /// A permission of one app: `canRefund`, `orders:read`. At most 128 characters.
    PermissionName(128, "permission name (letters, digits and _ . : / -, at most 128)", word);
    /// A role of one app: `cashier`.
    RoleName(128, "role name (letters, digits and _ . : / -, at most 128)", word);
    /// A group: `store-12`.
    GroupName(128, "group name (letters, digits and _ . : / -, at most 128)", word);
    /// The audience of a downstream token: a name or a URL without spaces.
    Audience(256, "audience (visible ASCII without quotes, at most 256)", audience);
    /// What the configuration calls a provider that people sign in at: `google`. Stands in addresses.
    UpstreamName(32, "upstream name (lower-case letters, digits, - and _, at most 32)", slug);
    /// What another provider calls a person: `sub` of its ID tokens (OIDC Core 1.0 §2), exactly as it writes it.
    Subject(255, "subject (ASCII without controls, at most 255)", printable);
}

fn slug(index: usize, byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || (index > 0 && matches!(byte, b'-' | b'_'))
}

fn word(index: usize, byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (index > 0 && matches!(byte, b'.' | b':' | b'/' | b'-'))
}

fn audience(_: usize, byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

fn printable(_: usize, byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::crypto::tests::Seeded;

    #[test]
    fn an_identifier_survives_its_text_and_refuses_any_other() {
        let id = UserId::mint(&mut Seeded(1));
        let text = id.to_string();
        assert_eq!(text.len(), 28);
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<SessionId>().is_err(), "a user id is not a session id");
        assert!(text.to_uppercase().parse::<UserId>().is_err());
        for length in 0..text.len() {
            assert!(text[..length].parse::<UserId>().is_err());
        }
        // 26 characters hold 130 bits: the two spare ones must be zero, or one id would have four texts.
        let spare = format!("{}{}", &text[..27], if text.ends_with('b') { 'c' } else { 'b' });
        assert!(spare.parse::<UserId>().is_err());
    }

    #[test]
    fn those_of_one_moment_begin_alike_and_differ() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut random = Seeded(1);
        let [one, other] = [now, now].map(|now| FamilyId::mint(now, &mut random));
        assert!(one != other && one.as_bytes()[..6] == other.as_bytes()[..6]);
        assert!(FamilyId::mint(now + Duration::from_millis(1), &mut random) > one.max(other));
    }

    #[test]
    fn names_take_their_alphabet_and_nothing_else() {
        assert!("pos-2".parse::<AppKey>().is_ok());
        for bad in ["", "-pos", "Pos", "p os", "p\u{f6}s", "pos\n", &"p".repeat(65)] {
            assert!(bad.parse::<AppKey>().is_err(), "{bad:?}");
        }
        assert!("orders:refund.any".parse::<PermissionName>().is_ok());
        assert!("can refund".parse::<PermissionName>().is_err());
    }
}
