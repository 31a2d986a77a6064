//! The public keys of a client that signs its own assertions: the `jwks` of its declaration (RFC 7517 §5, OIDC Dynamic Client Registration 1.0 §2).
//!
//! Several, so that a client can change its key: the next one is declared before it is used, the last one removed when it is used no more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::crypto::{Algorithm, PublicKey};
use crate::jose::{Refused, algorithm_of_stranger};
use crate::jwk::{self, InvalidJwk, Thumbprint};

/// Enough for every rotation, and few enough to look at one by one.
const MOST: usize = 8;
/// The longest name of a key.
const LONGEST_NAME: usize = 128;
/// What a public key is made of; the rest of a JWK is not kept.
const MEMBERS: [&str; 8] = ["kty", "crv", "x", "y", "n", "e", "alg", "use"];

/// One key or several, each with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientKeys(Vec<Named>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    kid: String,
    jwk: Value,
}

/// Why a text is no set of keys that a client may be known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Not `{"keys":[…]}`.
    #[error("must be a JWK set as JSON, {{\"keys\":[…]}}")]
    NotASet,
    /// None, or more than anybody needs.
    #[error("must have one to eight keys")]
    Count,
    /// A key without `kid`, or two with the same.
    #[error("must give each key a kid of its own, of at most 128 visible characters")]
    Name,
    /// A key that we would not check a signature with.
    #[error("has a key that is not taken: {0}. It must be a public key for EdDSA, ES256, PS256 or RS256")]
    Key(InvalidJwk),
}

impl ClientKeys {
    /// The key of this name, for this algorithm. A key has the algorithm that its `alg` says, or, if it says none, those of its type; what the
    /// client's token says is compared with that and never followed (RFC 8725 §3.1).
    pub fn find(&self, kid: &str, alg: &str) -> Result<PublicKey, Refused> {
        let named = self.0.iter().find(|named| named.kid == kid).ok_or(Refused::UnknownKey)?;
        jwk::read(&named.jwk, algorithm_of_stranger(alg)?).map_err(|_| Refused::WrongAlgorithm)
    }

    /// What people tell the keys apart by: each name with the beginning of the key's thumbprint.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|Named { kid, jwk }| {
            let mut keys = Algorithm::OF_STRANGERS.into_iter().filter_map(|algorithm| jwk::read(jwk, algorithm).ok());
            let thumbprint = keys.next().map(|key| Thumbprint::of(&key).to_string()).unwrap_or_default();
            format!("{kid}({}…)", thumbprint.get(..8).unwrap_or_default())
        })
    }
}

impl FromStr for ClientKeys {
    type Err = InvalidKeys;

    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let set: Value = serde_json::from_str(text).map_err(|_| InvalidKeys::NotASet)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(InvalidKeys::NotASet)?;
        if keys.is_empty() || keys.len() > MOST {
            return Err(InvalidKeys::Count);
        }
        let mut known: Vec<Named> = Vec::with_capacity(keys.len());
        for key in keys {
            let kid = key.get("kid").and_then(Value::as_str).ok_or(InvalidKeys::Name)?;
            let fits = (1..=LONGEST_NAME).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits || known.iter().any(|named| named.kid == kid) {
                return Err(InvalidKeys::Name);
            }
            // One of them must take it. The reason is that of the algorithm which its type belongs to.
            let read = Algorithm::OF_STRANGERS.map(|algorithm| jwk::read(key, algorithm).map(drop));
            if read.iter().all(Result::is_err) {
                let other = |why: &InvalidJwk| matches!(why, InvalidJwk::WrongType | InvalidJwk::WrongAlgorithm);
                let why = read.into_iter().filter_map(Result::err).find(|why| !other(why));
                return Err(InvalidKeys::Key(why.unwrap_or(InvalidJwk::WrongType)));
            }
            let member = |name: &str| Some((name.to_owned(), key.get(name)?.clone()));
            let jwk = Value::Object(MEMBERS.into_iter().filter_map(member).collect::<Map<_, _>>());
            known.push(Named { kid: kid.to_owned(), jwk });
        }
        Ok(Self(known))
    }
}

impl fmt::Display for ClientKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |named: &Named| {
            let mut jwk = named.jwk.clone();
            jwk["kid"] = named.kid.as_str().into();
            jwk
        };
        write!(formatter, "{}", json!({ "keys": self.0.iter().map(whole).collect::<Vec<_>>() }))
    }
}

impl TryFrom<String> for ClientKeys {
    type Error = InvalidKeys;

    fn try_from(text: String) -> Result<Self, InvalidKeys> {
        text.parse()
    }
}

impl From<ClientKeys> for String {
    fn from(keys: ClientKeys) -> Self {
        keys.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PrivateKey;

    fn public(algorithm: Algorithm, kid: &str) -> Value {
        jwk::write(PrivateKey::generate(algorithm).public().expect("asymmetric"), kid)
    }

    fn set(keys: &[Value]) -> String {
        json!({ "keys": keys }).to_string()
    }

    #[test]
    fn a_set_reads_back_without_what_it_need_not_say() {
        let mut key = public(Algorithm::Es256, "a");
        key["x5u"] = "https://evil.com".into();
        let keys: ClientKeys = set(&[key, public(Algorithm::EdDsa, "b")]).parse().expect("keys");
        let text = keys.to_string();
        assert!(!text.contains("evil"), "{text}");
        assert_eq!(text.parse(), Ok(keys.clone()));
        let told: Vec<_> = keys.fingerprints().collect();
        assert!(told[0].starts_with("a(") && told[1].starts_with("b(") && told[0].chars().count() == 12, "{told:?}");
        assert_ne!(told[0][1..], told[1][1..]);
    }

    /// T26: which algorithm a key works with says the declaration, and where it says nothing, the type of the key.
    #[test]
    fn a_key_is_found_by_its_name_and_for_its_own_algorithm() {
        let mut silent = public(Algorithm::Rs256, "any");
        silent.as_object_mut().expect("an object").remove("alg");
        let mut all: Vec<_> = Algorithm::OF_STRANGERS.map(|algorithm| public(algorithm, algorithm.as_str())).into();
        all.push(silent);
        let keys: ClientKeys = set(&all).parse().expect("keys");
        for named in Algorithm::OF_STRANGERS.map(Algorithm::as_str) {
            for alg in ["EdDSA", "ES256", "PS256", "RS256", "HS256", "none"] {
                assert_eq!(keys.find(named, alg).is_ok(), named == alg, "{named} {alg}");
            }
            assert_eq!(keys.find("any", named).is_ok(), named.ends_with("S256") && named != "ES256", "{named}");
        }
        assert_eq!(keys.find("other", "RS256").err(), Some(Refused::UnknownKey));
    }

    #[test]
    fn only_public_keys_with_names_of_their_own_are_taken() {
        let good = public(Algorithm::EdDsa, "a");
        let with = |member: &str, value: Value| {
            let mut key = good.clone();
            key[member] = value;
            set(&[key])
        };
        for (text, why) in [
            (String::new(), InvalidKeys::NotASet),
            ("[]".to_owned(), InvalidKeys::NotASet),
            (good.to_string(), InvalidKeys::NotASet),
            (set(&[]), InvalidKeys::Count),
            (
                set(&(0..9).map(|number| public(Algorithm::EdDsa, &number.to_string())).collect::<Vec<_>>()),
                InvalidKeys::Count,
            ),
            (set(&[good.clone(), good.clone()]), InvalidKeys::Name),
            (with("kid", Value::Null), InvalidKeys::Name),
            (with("kid", "".into()), InvalidKeys::Name),
            (with("kid", "a b".into()), InvalidKeys::Name),
            (with("d", "AAAA".into()), InvalidKeys::Key(InvalidJwk::Private)),
            (with("kty", "oct".into()), InvalidKeys::Key(InvalidJwk::Symmetric)),
            (with("use", "enc".into()), InvalidKeys::Key(InvalidJwk::WrongUse)),
            (with("alg", "HS256".into()), InvalidKeys::Key(InvalidJwk::WrongType)),
            (with("crv", "X25519".into()), InvalidKeys::Key(InvalidJwk::WrongType)),
        ] {
            assert_eq!(text.parse::<ClientKeys>(), Err(why), "{text}");
        }
    }
}
