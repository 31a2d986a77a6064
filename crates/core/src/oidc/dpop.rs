//! Proof of possession: a client shows that it holds the private key which its tokens are bound to (`DPoP`, RFC 9449 §4.2, §4.3). Whoever has read such a
//! token in a log, or taken it out of a browser, has nothing.
//!
//! No nonces of ours (§8): a proof is good for a minute, for one address, and once; a nonce would cost each client a round trip more, to keep out
//! proofs that somebody made ahead who had the key in hand for a moment, and whom the tokens of that moment would serve as well.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{STRANGERS_LEEWAY, there};
use crate::crypto;
use crate::jose::{self, Refused, Unverified};
use crate::jwk::{self, InvalidJwk, Thumbprint};
use crate::time::Timestamp;

/// How old a proof may be: as long as its `jti` is remembered.
pub const PROOF_LIFETIME: Duration = Duration::from_mins(1);

const TYPE: &str = "dpop+jwt";
/// The longest `jti`.
const LONGEST_ID: usize = 512;

/// What a proof has to be about.
#[derive(Debug, Clone, Copy)]
pub struct ProvenRequest<'r> {
    /// The method.
    pub method: &'r str,
    /// The address without query, as we publish it.
    pub url: &'r str,
    /// The access token that comes with it; none at the token endpoint.
    pub access_token: Option<&'r str>,
}

/// A proof that is good, if nobody has used it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedProof {
    /// The key that its sender holds.
    pub key: Thumbprint,
    /// Names it among all proofs by all keys.
    pub id: [u8; 32],
    /// From when it is refused anyway.
    pub expires_at: Timestamp,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofRefused {
    /// As a JWS, or for its age.
    Jws(Refused),
    /// The key that it brings is none that we would check a signature with, or is a private one.
    Key(InvalidJwk),
    /// `htm` is another method.
    WrongMethod,
    /// `htu` is another address.
    WrongAddress,
    /// `ath` is not there or of another token.
    WrongToken,
}

impl ProofRefused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jws(refused) => refused.as_str(),
            Self::Key(InvalidJwk::Private) => "private_key",
            Self::Key(_) => "unfit_key",
            Self::WrongMethod => "wrong_method",
            Self::WrongAddress => "wrong_address",
            Self::WrongToken => "wrong_token",
        }
    }
}

impl From<Refused> for ProofRefused {
    fn from(refused: Refused) -> Self {
        Self::Jws(refused)
    }
}

/// Everything about a proof that can be known from it.
pub fn verify(text: &str, request: &ProvenRequest<'_>, now: Timestamp) -> Result<VerifiedProof, ProofRefused> {
    let read: Unverified<'_, Header, Claims> = Unverified::read(text)?;
    if read.header.typ != TYPE {
        return Err(Refused::WrongType.into());
    }
    let algorithm = jose::algorithm_of_stranger(&read.header.alg)?;
    let key = jwk::read(&read.header.jwk, algorithm).map_err(ProofRefused::Key)?;
    let claims = read.verify(&key)?;
    if claims.htm != request.method {
        return Err(ProofRefused::WrongMethod);
    }
    if claims.htu != request.url {
        return Err(ProofRefused::WrongAddress);
    }
    let hash = request.access_token.map(|token| URL_SAFE_NO_PAD.encode(crypto::sha256(token.as_bytes())));
    if hash.is_some() && claims.ath != hash {
        return Err(ProofRefused::WrongToken);
    }
    if claims.jti.is_empty() || claims.jti.len() > LONGEST_ID || claims.iat < 0 {
        return Err(Refused::Malformed.into());
    }
    if claims.iat > (now + STRANGERS_LEEWAY).as_seconds() {
        return Err(Refused::NotYetValid.into());
    }
    let expires_at = Timestamp::from_seconds(claims.iat) + PROOF_LIFETIME;
    if now >= expires_at {
        return Err(Refused::Expired.into());
    }
    let key = Thumbprint::of(&key);
    let id = crypto::sha256(format!("{key}\0{}", claims.jti).as_bytes());
    Ok(VerifiedProof { key, id, expires_at })
}

/// `cnf` of a token that is bound to a key (RFC 7800 §3.1, RFC 9449 §6.1).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    pub(crate) jkt: Thumbprint,
}

impl Confirmation {
    pub(crate) fn of(key: Option<Thumbprint>) -> Option<Self> {
        key.map(|jkt| Self { jkt })
    }
}

/// Nothing else: neither `crit` nor a key by reference (advisory T27).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    jwk: Value,
}

/// Others are ignored (§4.2).
#[derive(Debug, Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default, deserialize_with = "there")]
    ath: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::{Algorithm, PrivateKey};
    use crate::jose::tests_of_strangers::signed;

    const URL: &str = "https://auth.company.com/oauth/token";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const REQUEST: ProvenRequest<'_> = ProvenRequest { method: "POST", url: URL, access_token: None };

    fn claims() -> Value {
        json!({ "jti": "one", "htm": "POST", "htu": URL, "iat": NOW.as_seconds() })
    }

    fn header(key: &PrivateKey) -> Value {
        let jwk = jwk::write(key.public().expect("asymmetric"), "k");
        json!({ "typ": TYPE, "alg": key.algorithm().as_str(), "jwk": jwk })
    }

    fn with(mut object: Value, member: &str, value: Value) -> Value {
        object[member] = value;
        object
    }

    fn outcome(key: &PrivateKey, header: &Value, claims: &Value) -> Result<VerifiedProof, ProofRefused> {
        verify(&signed(key, header, claims), &REQUEST, NOW)
    }

    #[test]
    fn a_good_one_names_its_key_with_each_algorithm() {
        for algorithm in Algorithm::OF_STRANGERS {
            let key = PrivateKey::generate(algorithm);
            let proof = outcome(&key, &header(&key), &claims()).expect("good");
            assert_eq!(proof.key, Thumbprint::of(key.public().expect("asymmetric")));
            assert_eq!(proof.expires_at, NOW + PROOF_LIFETIME);
        }
    }

    /// §4.3, items 3 to 7; T26, T27.
    #[test]
    fn a_header_that_says_more_or_something_else_is_refused() {
        let key = PrivateKey::generate(Algorithm::EdDsa);
        let good = header(&key);
        let private = with(good["jwk"].clone(), "d", "AAAA".into());
        let symmetric = json!({ "kty": "oct", "k": "AAAA" });
        let other = header(&PrivateKey::generate(Algorithm::EdDsa))["jwk"].clone();
        let jws = ProofRefused::Jws;
        for (member, value, why) in [
            ("typ", json!("JWT"), jws(Refused::WrongType)),
            ("typ", json!("DPOP+JWT"), jws(Refused::WrongType)),
            ("typ", json!(null), jws(Refused::Malformed)),
            ("alg", json!("none"), jws(Refused::WrongAlgorithm)),
            ("alg", json!("HS256"), jws(Refused::WrongAlgorithm)),
            ("alg", json!("ES256"), ProofRefused::Key(InvalidJwk::WrongAlgorithm)),
            ("jwk", private, ProofRefused::Key(InvalidJwk::Private)),
            ("jwk", symmetric, ProofRefused::Key(InvalidJwk::Symmetric)),
            ("jwk", other, jws(Refused::BadSignature)),
            ("jwk", json!(null), ProofRefused::Key(InvalidJwk::Malformed)),
            ("kid", json!("k"), jws(Refused::Malformed)),
            ("jku", json!("https://evil.com/keys"), jws(Refused::Malformed)),
            ("x5u", json!("https://evil.com/cert"), jws(Refused::Malformed)),
            ("crit", json!([]), jws(Refused::Malformed)),
        ] {
            let header = with(good.clone(), member, value);
            assert_eq!(outcome(&key, &header, &claims()), Err(why), "{header}");
        }
        let mut keyless = good;
        keyless.as_object_mut().expect("an object").remove("jwk");
        assert_eq!(outcome(&key, &keyless, &claims()), Err(jws(Refused::Malformed)));
    }

    /// The public key, in whichever form it is handed around, for a secret.
    #[test]
    fn an_hmac_is_no_proof() {
        let key = PrivateKey::generate(Algorithm::Es256);
        let good = header(&key);
        let hmac = PrivateKey::from_stored(Algorithm::Hs256, good["jwk"].to_string().as_bytes()).expect("long enough");
        for alg in ["HS256", "ES256"] {
            assert!(outcome(&hmac, &with(good.clone(), "alg", alg.into()), &claims()).is_err(), "{alg}");
        }
    }

    /// §4.3, items 3 and 8 to 12; T28, T29.
    #[test]
    fn every_claim_is_needed_and_checked() {
        let key = PrivateKey::generate(Algorithm::EdDsa);
        let (header, now) = (header(&key), NOW.as_seconds());
        let malformed = ProofRefused::Jws(Refused::Malformed);
        for member in ["jti", "htm", "htu", "iat"] {
            let mut without = claims();
            without.as_object_mut().expect("an object").remove(member);
            assert_eq!(outcome(&key, &header, &without), Err(malformed), "{member}");
            for value in [json!(null), json!([]), json!(true), json!(1.5)] {
                let other = with(claims(), member, value);
                assert_eq!(outcome(&key, &header, &other), Err(malformed), "{other}");
            }
        }
        for (member, value, why) in [
            ("htm", json!("GET"), ProofRefused::WrongMethod),
            ("htm", json!("post"), ProofRefused::WrongMethod),
            ("htu", json!(format!("{URL}?x=1")), ProofRefused::WrongAddress),
            ("htu", json!(format!("{URL}/")), ProofRefused::WrongAddress),
            ("htu", json!("https://auth.company.com/oauth/userinfo"), ProofRefused::WrongAddress),
            ("htu", json!("https://AUTH.company.com/oauth/token"), ProofRefused::WrongAddress),
            ("htu", json!("http://auth.company.com/oauth/token"), ProofRefused::WrongAddress),
            ("htu", json!("https://auth.company.com:443/oauth/token"), ProofRefused::WrongAddress),
            ("iat", json!(now.to_string()), malformed),
            ("iat", json!(now + 31), ProofRefused::Jws(Refused::NotYetValid)),
            ("iat", json!(i64::MAX), ProofRefused::Jws(Refused::NotYetValid)),
            ("iat", json!(now - 60), ProofRefused::Jws(Refused::Expired)),
            ("iat", json!(-1), malformed),
            ("jti", json!(""), malformed),
            ("jti", json!("x".repeat(513)), malformed),
            ("ath", json!(null), malformed),
        ] {
            let other = with(claims(), member, value);
            assert_eq!(outcome(&key, &header, &other), Err(why), "{other}");
        }
        for (member, value) in [("iat", json!(now - 59)), ("iat", json!(now + 30)), ("nonce", json!("theirs"))] {
            let other = with(claims(), member, value);
            assert!(outcome(&key, &header, &other).is_ok(), "{other}");
        }
    }

    /// §7: with a token, the proof is about that token.
    #[test]
    fn a_proof_is_about_the_token_that_it_comes_with() {
        let key = PrivateKey::generate(Algorithm::EdDsa);
        let request = ProvenRequest { access_token: Some("token"), ..REQUEST };
        let hash = |token: &str| json!(URL_SAFE_NO_PAD.encode(crypto::sha256(token.as_bytes())));
        let about = |ath: Option<Value>| {
            let claims = ath.map_or_else(claims, |ath| with(claims(), "ath", ath));
            verify(&signed(&key, &header(&key), &claims), &request, NOW)
        };
        assert!(about(Some(hash("token"))).is_ok());
        for other in [None, Some(hash("other")), Some(hash("")), Some(json!("")), Some(json!("token"))] {
            assert_eq!(about(other.clone()), Err(ProofRefused::WrongToken), "{other:?}");
        }
    }

    #[test]
    fn its_name_is_made_of_key_and_jti() {
        let keys = [PrivateKey::generate(Algorithm::EdDsa), PrivateKey::generate(Algorithm::EdDsa)];
        let id = |key: &PrivateKey, jti: &str| {
            outcome(key, &header(key), &with(claims(), "jti", jti.into())).expect("good").id
        };
        assert_eq!(id(&keys[0], "one"), id(&keys[0], "one"));
        assert_ne!(id(&keys[0], "one"), id(&keys[0], "two"));
        assert_ne!(id(&keys[0], "one"), id(&keys[1], "one"));
    }
}
