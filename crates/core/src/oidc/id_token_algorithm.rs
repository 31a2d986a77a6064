//! The signature that a client checks: its `id_token_signed_response_alg` (OIDC Dynamic Client Registration 1.0 §2), for ID tokens and for the logout
//! tokens that it is sent (OIDC Back-Channel Logout 1.0 §2.6).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::keyring::Purpose;

/// An algorithm that a client may ask for: those that every installation has keys for, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IdTokenAlgorithm {
    /// The standard's default, and all that many programs know.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// Smaller and faster, for clients that know it.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A text that names no algorithm that we sign ID tokens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be RS256 or EdDSA")]
pub struct InvalidIdTokenAlgorithm;

impl IdTokenAlgorithm {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::EdDsa];

    /// The JOSE name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The keys that sign with it.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Rs256 => Purpose::IdToken,
            Self::EdDsa => Purpose::Token,
        }
    }
}

impl FromStr for IdTokenAlgorithm {
    type Err = InvalidIdTokenAlgorithm;

    fn from_str(text: &str) -> Result<Self, InvalidIdTokenAlgorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(InvalidIdTokenAlgorithm)
    }
}

impl fmt::Display for IdTokenAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_exact_and_none_is_none_of_them() {
        for algorithm in IdTokenAlgorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_value(algorithm).expect("text"), algorithm.as_str());
        }
        assert_eq!(IdTokenAlgorithm::default(), IdTokenAlgorithm::Rs256, "the standard's default");
        for bad in ["", "none", "rs256", "RS256 ", "HS256", "PS256", "ES256", "EDDSA", "Ed25519"] {
            assert_eq!(bad.parse::<IdTokenAlgorithm>(), Err(InvalidIdTokenAlgorithm), "{bad}");
            assert!(serde_json::from_value::<IdTokenAlgorithm>(bad.into()).is_err(), "{bad}");
        }
    }
}
