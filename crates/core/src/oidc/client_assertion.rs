//! A client shows who it is by a signature (`private_key_jwt`): RFC 7523 §3, OIDC Core 1.0 §9.
//!
//! Stricter than either in what is accepted: `aud` is our issuer, alone and as a text. Whoever takes assertions that name an endpoint, or several
//! audiences, can be shown one that a client has made for somebody else, because a client learns the address of an endpoint from whoever it talks to
//! (draft-ietf-oauth-rfc7523bis). And `kid`, `iat` and `jti` must be there.

use std::time::Duration;

use serde::Deserialize;

use super::{ClientKeys, there};
use crate::crypto;
use crate::jose::{Refused, Unverified};
use crate::time::Timestamp;

/// What `client_assertion_type` must be (RFC 7523 §2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead `exp` may be: as long as its `jti` is remembered.
pub const ASSERTION_LIFETIME: Duration = Duration::from_mins(10);
/// How far a client's clock may be from ours. Ours are closer to each other.
pub const STRANGERS_LEEWAY: Duration = Duration::from_secs(30);

/// What may be in `typ`, if it is there. A proof of possession, or a token of a service, is not taken for an assertion (RFC 8725 §3.11).
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];
/// The longest `jti`.
const LONGEST_ID: usize = 512;

/// An assertion that reads well, not verified yet.
#[derive(Debug)]
pub struct ClientAssertion<'t>(Unverified<'t, Header, Claims>);

/// What is left to be done about one that is good: it may be used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// Names it among all assertions of all clients.
    pub id: [u8; 32],
    /// From when it is refused anyway.
    pub expires_at: Timestamp,
}

impl<'t> ClientAssertion<'t> {
    /// Reads it.
    pub fn read(text: &'t str) -> Result<Self, Refused> {
        let read: Unverified<'t, Header, Claims> = Unverified::read(text)?;
        if read.header.typ.as_deref().is_some_and(|typ| !TYPES.contains(&typ)) {
            return Err(Refused::WrongType);
        }
        Ok(Self(read))
    }

    /// The client that it claims to be of: whose keys it has to be verified with.
    pub fn client(&self) -> &str {
        &self.0.claimed().iss
    }

    /// Everything that can be known from it, with the keys of [`client`](Self::client).
    pub fn verify(self, keys: &ClientKeys, issuer: &str, now: Timestamp) -> Result<VerifiedAssertion, Refused> {
        let key = keys.find(&self.0.header.kid, &self.0.header.alg)?;
        let claims = self.0.verify(&key)?;
        if claims.sub != claims.iss {
            return Err(Refused::WrongIssuer);
        }
        if claims.aud != issuer {
            return Err(Refused::WrongAudience);
        }
        if claims.jti.is_empty() || claims.jti.len() > LONGEST_ID || claims.iat < 0 || claims.exp < claims.iat {
            return Err(Refused::Malformed);
        }
        let at = Timestamp::from_seconds;
        if now >= at(claims.exp) {
            return Err(Refused::Expired);
        }
        // Compared as numbers: an instant of this size and the leeway together need not fit.
        let latest = |allowed: Duration| (now + allowed + STRANGERS_LEEWAY).as_seconds();
        if claims.exp > latest(ASSERTION_LIFETIME) {
            return Err(Refused::LivesTooLong);
        }
        if claims.iat.max(claims.nbf.unwrap_or(claims.iat)) > latest(Duration::ZERO) {
            return Err(Refused::NotYetValid);
        }
        let id = crypto::sha256(format!("{}\0{}", claims.iss, claims.jti).as_bytes());
        Ok(VerifiedAssertion { id, expires_at: at(claims.exp) })
    }
}

/// Nothing else: neither `crit` nor a key that the assertion brings along (advisory T27).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default, deserialize_with = "there")]
    typ: Option<String>,
}

/// Others are ignored. Each of these has the type that it has: a time in quotes is no time (advisory T28), several audiences are none.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    iat: i64,
    #[serde(default, deserialize_with = "there")]
    nbf: Option<i64>,
    jti: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::{Algorithm, PrivateKey};
    use crate::jose::tests_of_strangers::signed;
    use crate::jwk;

    const ISSUER: &str = "https://auth.company.com";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn claims() -> Value {
        let now = NOW.as_seconds();
        json!({ "iss": "crm", "sub": "crm", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "one" })
    }

    fn with(mut object: Value, member: &str, value: Value) -> Value {
        object[member] = value;
        object
    }

    struct Client {
        key: PrivateKey,
        keys: ClientKeys,
    }

    impl Client {
        fn new(algorithm: Algorithm) -> Self {
            let key = PrivateKey::generate(algorithm);
            let jwk = jwk::write(key.public().expect("asymmetric"), "k1");
            let keys = json!({ "keys": [jwk] }).to_string().parse().expect("keys");
            Self { key, keys }
        }

        fn header(&self) -> Value {
            json!({ "alg": self.key.algorithm().as_str(), "kid": "k1" })
        }

        fn outcome(&self, header: &Value, claims: &Value) -> Result<VerifiedAssertion, Refused> {
            self.judge(&signed(&self.key, header, claims))
        }

        fn judge(&self, text: &str) -> Result<VerifiedAssertion, Refused> {
            ClientAssertion::read(text)?.verify(&self.keys, ISSUER, NOW)
        }
    }

    #[test]
    fn a_good_one_is_taken_with_each_algorithm() {
        for algorithm in Algorithm::OF_STRANGERS {
            let client = Client::new(algorithm);
            for typ in [None, Some("JWT"), Some("client-authentication+jwt")] {
                let mut header = client.header();
                if let Some(typ) = typ {
                    header["typ"] = typ.into();
                }
                let verified = client.outcome(&header, &claims()).expect("good");
                assert_eq!(verified.expires_at.as_seconds(), NOW.as_seconds() + 60);
            }
        }
    }

    /// T26, T27: the header decides nothing, and brings nothing along.
    #[test]
    fn a_header_that_says_more_or_something_else_is_refused() {
        let client = Client::new(Algorithm::EdDsa);
        let jwk = jwk::write(client.key.public().expect("asymmetric"), "k1");
        for (member, value, why) in [
            ("alg", json!("none"), Refused::WrongAlgorithm),
            ("alg", json!("HS256"), Refused::WrongAlgorithm),
            ("alg", json!("ES256"), Refused::WrongAlgorithm),
            ("alg", json!("RS256"), Refused::WrongAlgorithm),
            ("kid", json!("k2"), Refused::UnknownKey),
            ("kid", json!(null), Refused::Malformed),
            ("typ", json!("dpop+jwt"), Refused::WrongType),
            ("typ", json!("at+jwt"), Refused::WrongType),
            ("typ", json!(null), Refused::Malformed),
            ("jwk", jwk, Refused::Malformed),
            ("jku", json!("https://evil.com/keys"), Refused::Malformed),
            ("x5u", json!("https://evil.com/cert"), Refused::Malformed),
            ("x5c", json!([]), Refused::Malformed),
            ("crit", json!(["exp"]), Refused::Malformed),
            ("b64", json!(false), Refused::Malformed),
        ] {
            let header = with(client.header(), member, value);
            assert_eq!(client.outcome(&header, &claims()), Err(why), "{header}");
        }
        let unsigned = signed(&client.key, &client.header(), &claims());
        let unsigned = format!("{}.", unsigned.rsplit_once('.').expect("three parts").0);
        assert_eq!(client.judge(&unsigned), Err(Refused::BadSignature));
        assert_eq!(client.judge(&"a".repeat(8 * 1024 + 1)), Err(Refused::TooLong));
    }

    /// T26: whoever has the public key, in whichever form it is handed around, has no secret.
    #[test]
    fn the_public_key_signs_nothing() {
        for algorithm in Algorithm::OF_STRANGERS {
            let client = Client::new(algorithm);
            let jwk = jwk::write(client.key.public().expect("asymmetric"), "k1");
            let texts = [jwk.to_string(), client.keys.to_string()];
            for secret in texts {
                let hmac = PrivateKey::from_stored(Algorithm::Hs256, secret.as_bytes()).expect("long enough");
                for alg in ["HS256", algorithm.as_str()] {
                    let header = with(client.header(), "alg", alg.into());
                    assert!(client.judge(&signed(&hmac, &header, &claims())).is_err(), "{alg}");
                }
            }
            let stranger = PrivateKey::generate(algorithm);
            let forged = signed(&stranger, &client.header(), &claims());
            assert_eq!(client.judge(&forged), Err(Refused::BadSignature));
        }
    }

    /// T28, T29: each claim left out, of another type, or of another value.
    #[test]
    fn every_claim_is_needed_and_checked() {
        let client = Client::new(Algorithm::EdDsa);
        let now = NOW.as_seconds();
        for member in ["iss", "sub", "aud", "exp", "iat", "jti"] {
            let mut without = claims();
            without.as_object_mut().expect("an object").remove(member);
            assert_eq!(client.outcome(&client.header(), &without), Err(Refused::Malformed), "{member}");
            for value in [json!(null), json!([]), json!({}), json!(true), json!(1.5)] {
                let other = with(claims(), member, value);
                assert_eq!(client.outcome(&client.header(), &other), Err(Refused::Malformed), "{other}");
            }
        }
        for (member, value, why) in [
            ("sub", json!("other"), Refused::WrongIssuer),
            ("iss", json!("other"), Refused::WrongIssuer),
            ("aud", json!("https://auth.company.com/"), Refused::WrongAudience),
            ("aud", json!("https://auth.company.com/oauth/token"), Refused::WrongAudience),
            ("aud", json!("https://AUTH.company.com"), Refused::WrongAudience),
            ("aud", json!(""), Refused::WrongAudience),
            ("aud", json!([ISSUER]), Refused::Malformed),
            ("aud", json!([ISSUER, "https://evil.com"]), Refused::Malformed),
            ("exp", json!((now + 60).to_string()), Refused::Malformed),
            ("exp", json!(now), Refused::Expired),
            ("exp", json!(now + 631), Refused::LivesTooLong),
            ("exp", json!(i64::MAX), Refused::LivesTooLong),
            ("exp", json!(u64::MAX), Refused::Malformed),
            ("iat", json!(now + 31), Refused::NotYetValid),
            ("iat", json!(now + 61), Refused::Malformed),
            ("iat", json!(-1), Refused::Malformed),
            ("nbf", json!(now + 31), Refused::NotYetValid),
            ("nbf", json!("0"), Refused::Malformed),
            ("nbf", json!(null), Refused::Malformed),
            ("jti", json!(""), Refused::Malformed),
            ("jti", json!("x".repeat(513)), Refused::Malformed),
        ] {
            let other = with(claims(), member, value);
            assert_eq!(client.outcome(&client.header(), &other), Err(why), "{other}");
        }
        for (member, value) in
            [("exp", json!(now + 630)), ("iat", json!(now + 30)), ("nbf", json!(now - 60)), ("more", json!(1))]
        {
            let other = with(claims(), member, value);
            assert!(client.outcome(&client.header(), &other).is_ok(), "{other}");
        }
    }

    /// One use is one of a client's: nobody can use up another one's.
    #[test]
    fn its_name_is_made_of_client_and_jti() {
        let client = Client::new(Algorithm::EdDsa);
        let id = |iss: &str, jti: &str| {
            let claims = with(with(with(claims(), "iss", iss.into()), "sub", iss.into()), "jti", jti.into());
            client.outcome(&client.header(), &claims).expect("good").id
        };
        assert_eq!(id("crm", "one"), id("crm", "one"));
        let all = [id("crm", "one"), id("crm", "two"), id("wiki", "one"), id("cr", "mone")];
        assert!(all.iter().enumerate().all(|(index, one)| !all[..index].contains(one)));
    }
}
