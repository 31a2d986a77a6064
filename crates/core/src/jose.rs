//! Compact JWS (RFC 7515 §7.1), as little of it as we mint: the one place where a signed token is written and read. RFC 8725.
//!
//! Read strictly: at most 8 KB, three parts of canonical base64url, a header of exactly `alg`, `kid` and `typ`, a key of our own with that
//! very algorithm, claims of a typed struct that refuses unknown, repeated and wrongly typed members. JSON serialization, encryption, `none`,
//! `crit`, `b64` and keys that a token brings along (`jwk`, `jku`, `x5u`, `x5c`) are not turned off: there is no code for them.
//!
//! What others sign with keys of their own is read by [`Unverified`].
//!
//! [`verify`] is not called by the server; each token kind has its own function (`pass.rs`, `token.rs`), with its own claims and rules.

mod foreign;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::crypto::Algorithm;
use crate::id::KeyId;
use crate::keyring::{Keyring, Purpose, SigningKey};
use crate::time::Timestamp;

pub use foreign::{Unverified, algorithm as algorithm_of_stranger};

/// The longest token that is looked at (protocol §14), in bytes.
pub const MAXIMUM_LENGTH: usize = 8 * 1024;

/// Kinds of tokens, by `typ`. A token of one kind is never taken for another (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `pass+jwt`
    Pass,
    /// `at+jwt` (RFC 9068 §2.1)
    AccessToken,
    /// `logout+jwt` (OIDC Back-Channel Logout 1.0 §2.4)
    LogoutToken,
    /// `handoff+jwt`
    Assertion,
    /// `JWT`: an ID token (OIDC Core 1.0 §2), the one kind without a name of its own
    IdToken,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pass, Self::AccessToken, Self::LogoutToken, Self::Assertion, Self::IdToken];

    /// `typ` in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass+jwt",
            Self::AccessToken => "at+jwt",
            Self::LogoutToken => "logout+jwt",
            Self::Assertion => "handoff+jwt",
            Self::IdToken => "JWT",
        }
    }

    /// Whose keys may have signed it; every other key of ours is as good as unknown. An RSA key that leaked makes ID tokens, and no passes.
    pub const fn purposes(self) -> &'static [Purpose] {
        match self {
            Self::Pass => &[Purpose::Pass],
            Self::AccessToken | Self::Assertion => &[Purpose::Token],
            // By which of the two is the client's choice.
            Self::LogoutToken | Self::IdToken => &[Purpose::Token, Purpose::IdToken],
        }
    }

    fn parse(typ: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == typ)
    }
}

/// Why a token is not accepted. For log, metrics and audit; the caller is told `active: false` and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// More than [`MAXIMUM_LENGTH`].
    TooLong,
    /// Not three parts, not canonical base64url, not exactly the members it must have with exactly their types.
    Malformed,
    /// `typ` of another kind.
    WrongType,
    /// `kid` is none of ours, is for something else, or verifies no longer.
    UnknownKey,
    /// `alg` is not the key's.
    WrongAlgorithm,
    /// Somebody else wrote it, or somebody changed it.
    BadSignature,
    /// `ver` is not one we know.
    UnknownVersion,
    /// `iss` is another installation.
    WrongIssuer,
    /// `aud` is another zone.
    WrongZone,
    /// `aud` is another service.
    WrongAudience,
    /// It would live longer than its kind may.
    LivesTooLong,
    /// `exp` has come.
    Expired,
    /// `iat` is in the future.
    NotYetValid,
}

impl Refused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::UnknownVersion => "unknown_version",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongZone => "wrong_zone",
            Self::WrongAudience => "wrong_audience",
            Self::LivesTooLong => "lives_too_long",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}

/// A token of `kind` with these claims, signed by `key`.
pub fn sign<C: Serialize>(key: &SigningKey, kind: Kind, claims: &C) -> String {
    let mut token = String::with_capacity(768);
    token.push_str(&header(key, kind));
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(json(claims), &mut token);
    let signature = key.private.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// The header of every token of `kind` by `key`, as it is written.
pub fn header(key: &SigningKey, kind: Kind) -> String {
    let header = Header { alg: key.algorithm().as_str(), kid: &key.kid.to_string(), typ: kind.as_str() };
    URL_SAFE_NO_PAD.encode(json(&header))
}

/// What the token says it is: good for choosing the function that verifies it, and for nothing else.
pub fn kind_of(token: &str) -> Option<Kind> {
    let parts = Parts::split(token).ok()?;
    Kind::parse(Header::read(parts.header, &mut [0; HEADER_LENGTH]).ok()?.typ)
}

/// Room for claims, which are read where they lie. Those of a pass need no piece of memory of their own.
#[derive(Default)]
pub struct Buffer(SmallVec<[u8; 512]>);

/// The claims of `token` and the key that signed it, if it is a token of `kind` signed by a key of ours that still verifies at `now`.
/// Says nothing about the claims beyond their types: the callers check issuer, audience and times.
pub fn verify<'b, C: Deserialize<'b>>(
    token: &str,
    kind: Kind,
    keyring: &Keyring,
    now: Timestamp,
    buffer: &'b mut Buffer,
) -> Result<(C, KeyId), Refused> {
    let (claims, kid) = verify_text(token, kind, keyring, now, buffer)?;
    Ok((read_object(claims)?, kid))
}

/// The same, with the claims still to be read, by [`read_object`] or as strictly.
pub fn verify_text<'b>(
    token: &str,
    kind: Kind,
    keyring: &Keyring,
    now: Timestamp,
    buffer: &'b mut Buffer,
) -> Result<(&'b [u8], KeyId), Refused> {
    let parts = Parts::split(token)?;
    // Nearly every token has, letter by letter, a header that we write.
    let key = keyring.by_header(kind, parts.header, now).map_or_else(|| named(parts.header, kind, keyring, now), Ok)?;
    let mut signature_bytes = [0; SIGNATURE_LENGTH];
    let signature = decode(parts.signature, &mut signature_bytes)?;
    // Before the signature is checked, which drives this code and its table out of the processor's caches; but nothing reads the claims until afterwards.
    buffer.0.resize(base64::decoded_len_estimate(parts.claims.len()), 0);
    let claims = decode(parts.claims, &mut buffer.0)?;
    if !key.private.verify(parts.signed.as_bytes(), signature) {
        return Err(Refused::BadSignature);
    }
    Ok((claims, key.kid))
}

/// The key that a header names, if the header says of it what is so.
fn named<'k>(header: &str, kind: Kind, keyring: &'k Keyring, now: Timestamp) -> Result<&'k SigningKey, Refused> {
    let mut bytes = [0; HEADER_LENGTH];
    let header = Header::read(header, &mut bytes)?;
    if Kind::parse(header.typ) != Some(kind) {
        return Err(Refused::WrongType);
    }
    let kid = header.kid.parse().map_err(|_| Refused::UnknownKey)?;
    let mut keys = kind.purposes().iter().filter_map(|purpose| keyring.verifier(*purpose, kid, now));
    let key = keys.next().ok_or(Refused::UnknownKey)?;
    // The token's word on the algorithm is compared, never followed.
    if Algorithm::parse(header.alg) != Some(key.algorithm()) {
        return Err(Refused::WrongAlgorithm);
    }
    Ok(key)
}

/// Ours have about 80 bytes; one that brings a key along does not fit.
const HEADER_LENGTH: usize = 256;

/// RSA with 8192 bits.
const SIGNATURE_LENGTH: usize = 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'h> {
    alg: &'h str,
    kid: &'h str,
    typ: &'h str,
}

impl<'h> Header<'h> {
    fn read(text: &str, bytes: &'h mut [u8; HEADER_LENGTH]) -> Result<Self, Refused> {
        read_object(decode(text, bytes)?)
    }
}

/// The three parts in base64url, and the first two with their dot, which is what was signed.
struct Parts<'t> {
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    fn split(token: &'t str) -> Result<Self, Refused> {
        if token.len() > MAXIMUM_LENGTH {
            return Err(Refused::TooLong);
        }
        // A second dot in front of `claims` stays in `header`, a third one too; base64url knows no dot.
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.rsplit_once('.').ok_or(Refused::Malformed)?;
        Ok(Self { header, claims, signature, signed })
    }
}

/// Canonical base64url without padding (RFC 7515 §2): one text per value, so that an altered token never passes for the original.
fn decode<'b>(text: &str, bytes: &'b mut [u8]) -> Result<&'b [u8], Refused> {
    let length = URL_SAFE_NO_PAD.decode_slice(text, bytes).map_err(|_| Refused::Malformed)?;
    Ok(&bytes[..length])
}

/// Exactly one JSON object. The brace is checked because serde also reads a struct from an array of its members.
pub fn read_object<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Refused> {
    if bytes.first() != Some(&b'{') {
        return Err(Refused::Malformed);
    }
    serde_json::from_slice(bytes).map_err(|_| Refused::Malformed)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("headers and claims are structs of texts and numbers")
}

#[cfg(test)]
pub use foreign::tests as tests_of_strangers;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::PrivateKey;
    use crate::keyring::tests::{key, keyring};
    use crate::{jwk, test_data};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Claims {
        n: i64,
    }

    fn read(token: &str, ring: &Keyring) -> Result<Claims, Refused> {
        verify(token, Kind::Pass, ring, NOW, &mut Buffer::default()).map(|(claims, _)| claims)
    }

    /// A token with any header, signed properly by `key` as what `key` is.
    fn forge(key: &PrivateKey, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn own_header(alg: &str, ring: &Keyring) -> String {
        format!(r#"{{"alg":"{alg}","kid":"{}","typ":"pass+jwt"}}"#, ring.keys()[0].kid)
    }

    #[test]
    fn a_signed_token_is_read_back_with_every_algorithm() {
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Pass, algorithm);
            let token = sign(&ring.keys()[0], Kind::Pass, &Claims { n: 7 });
            assert_eq!(read(&token, &ring), Ok(Claims { n: 7 }));
            assert_eq!(kind_of(&token), Some(Kind::Pass));
            assert_eq!(token, forge_of(&token), "canonical: the header is exactly alg, kid, typ");
            let strangers = keyring(Purpose::Pass, algorithm);
            assert_eq!(read(&token, &strangers), Err(Refused::BadSignature), "another key under the same kid");
            assert_eq!(read(&token, &Keyring::default()), Err(Refused::UnknownKey));
            let other_purpose = keyring(Purpose::Token, algorithm);
            assert_eq!(read(&token, &other_purpose), Err(Refused::UnknownKey));
            let access_token = sign(&ring.keys()[0], Kind::AccessToken, &Claims { n: 7 });
            assert_eq!(read(&access_token, &ring), Err(Refused::WrongType));
        }
    }

    /// The token again, from its decoded parts.
    fn forge_of(token: &str) -> String {
        let parts: Vec<Vec<u8>> =
            token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).collect();
        let header: Value = serde_json::from_slice(&parts[0]).expect("JSON");
        let header = format!(r#"{{"alg":{},"kid":{},"typ":{}}}"#, header["alg"], header["kid"], header["typ"]);
        [header.into_bytes(), parts[1].clone(), parts[2].clone()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    /// T26: algorithm confusion.
    #[test]
    fn the_tokens_word_on_the_algorithm_is_never_followed() {
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Pass, algorithm);
            let own = &ring.keys()[0].private;
            let others = ["none", "None", "noNE", "", "HS384", "ES384", "RS512", "eddsa", "Ed25519", "A128KW", "dir"];
            for alg in others.into_iter().chain(Algorithm::ALL.map(Algorithm::as_str)) {
                let token = forge(own, &own_header(alg, &ring), r#"{"n":7}"#);
                let unsigned = format!("{}.", token.rsplit_once('.').expect("three parts").0);
                if alg == algorithm.as_str() {
                    assert_eq!(read(&token, &ring), Ok(Claims { n: 7 }));
                    assert_eq!(read(&unsigned, &ring), Err(Refused::BadSignature));
                } else {
                    assert_eq!(read(&token, &ring), Err(Refused::WrongAlgorithm), "{alg}");
                    assert_eq!(read(&unsigned, &ring), Err(Refused::WrongAlgorithm), "{alg}");
                }
            }
            // The public key, in whichever form it is handed around, as an HMAC secret.
            let Some(public) = own.public() else { continue };
            let jwk = jwk::write(public, &ring.keys()[0].kid.to_string());
            let member = jwk.get("n").or_else(|| jwk.get("x")).and_then(Value::as_str).expect("a number");
            for secret in
                [jwk.to_string().into_bytes(), member.into(), URL_SAFE_NO_PAD.decode(member).expect("base64url")]
            {
                let hmac = PrivateKey::from_stored(Algorithm::Hs256, &secret).expect("long enough");
                for alg in ["HS256", algorithm.as_str()] {
                    assert!(read(&forge(&hmac, &own_header(alg, &ring), r#"{"n":7}"#), &ring).is_err());
                }
            }
        }
    }

    #[test]
    fn each_kind_is_taken_by_its_own_keys_and_no_others() {
        for kind in Kind::ALL {
            for purpose in Purpose::ALL {
                let ring = keyring(purpose, Algorithm::EdDsa);
                let token = sign(&ring.keys()[0], kind, &Claims { n: 7 });
                let read = verify::<Claims>(&token, kind, &ring, NOW, &mut Buffer::default()).map(|(claims, _)| claims);
                let expected = match (kind, purpose) {
                    (Kind::Pass, Purpose::Pass)
                    | (Kind::AccessToken | Kind::Assertion | Kind::LogoutToken | Kind::IdToken, Purpose::Token)
                    | (Kind::LogoutToken | Kind::IdToken, Purpose::IdToken) => Ok(Claims { n: 7 }),
                    _ => Err(Refused::UnknownKey),
                };
                assert_eq!(read, expected, "{kind:?} by a {purpose:?} key");
            }
        }
    }

    /// T26: two keys of different algorithms may have signed an ID token. Each is held to its own name and its own algorithm.
    #[test]
    fn of_two_keys_none_stands_in_for_the_other() {
        let keys = || {
            [
                key(1, Purpose::IdToken, PrivateKey::generate(Algorithm::Rs256)),
                key(2, Purpose::Token, PrivateKey::generate(Algorithm::EdDsa)),
            ]
        };
        let (ring, strangers) = (Keyring::new(keys().into()), keys());
        let mut accepted = 0;
        for signer in ring.keys().iter().chain(&strangers) {
            for named in ring.keys() {
                for algorithm in Algorithm::ALL {
                    let header = format!(r#"{{"alg":"{}","kid":"{}","typ":"JWT"}}"#, algorithm.as_str(), named.kid);
                    let token = forge(&signer.private, &header, r#"{"n":7}"#);
                    let read = verify::<Claims>(&token, Kind::IdToken, &ring, NOW, &mut Buffer::default());
                    if std::ptr::eq(signer, named) && algorithm == named.algorithm() {
                        assert_eq!(read, Ok((Claims { n: 7 }, named.kid)));
                        accepted += 1;
                    } else if algorithm == named.algorithm() {
                        assert_eq!(read, Err(Refused::BadSignature), "{header}");
                    } else {
                        assert_eq!(read, Err(Refused::WrongAlgorithm), "{header}");
                    }
                }
            }
        }
        assert_eq!(accepted, 2);
    }

    /// T27: nothing a header brings along is looked at; that it is there is enough to refuse.
    #[test]
    fn the_header_is_exactly_alg_kid_and_typ() {
        let ring = keyring(Purpose::Pass, Algorithm::EdDsa);
        let own = &ring.keys()[0].private;
        let kid = ring.keys()[0].kid;
        let base = own_header("EdDSA", &ring);
        let mut refused = vec![
            "[]".to_owned(),
            "null".to_owned(),
            "{}".to_owned(),
            format!(r#"["EdDSA","{kid}","pass+jwt"]"#),
            format!("{base} {base}"),
            format!(" {base}"),
            format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"EdDSA","typ":"pass+jwt"}}"#),
            format!(r#"{{"kid":"{kid}","typ":"pass+jwt"}}"#),
            format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}","typ":"pass+jwt"}}"#),
            format!(r#"{{"alg":"EdDSA","alg":"none","kid":"{kid}","typ":"pass+jwt"}}"#),
            format!(r#"{{"alg":["EdDSA"],"kid":"{kid}","typ":"pass+jwt"}}"#),
            format!(r#"{{"alg":"EdDSA","kid":null,"typ":"pass+jwt"}}"#),
            format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":1}}"#),
        ];
        let attacker = PrivateKey::generate(Algorithm::EdDsa);
        let jwk = jwk::write(attacker.public().expect("asymmetric"), &kid.to_string());
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!("https://evil.com/jwks.json")),
            ("x5u", json!("https://evil.com/cert.pem")),
            ("x5c", json!(["AAAA"])),
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
            ("enc", json!("A256GCM")),
            ("cty", json!("JWT")),
        ] {
            let with = format!(r#"{},"{name}":{value}}}"#, base.trim_end_matches('}'));
            assert!(serde_json::from_str::<Value>(&with).is_ok(), "a well-formed attack: {with}");
            assert_eq!(read(&forge(&attacker, &with, r#"{"n":7}"#), &ring), Err(Refused::Malformed), "{with}");
            refused.push(with);
        }
        for header in refused {
            assert_eq!(read(&forge(own, &header, r#"{"n":7}"#), &ring), Err(Refused::Malformed), "{header}");
        }
        for typ in ["JWT", "at+jwt", "PASS+JWT", "application/pass+jwt", ""] {
            let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}"#);
            assert_eq!(read(&forge(own, &header, r#"{"n":7}"#), &ring), Err(Refused::WrongType), "{typ}");
        }
        for kid in ["", "../../etc/passwd", "kid_", "' OR 1=1", &kid.to_string().to_uppercase()] {
            let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"pass+jwt"}}"#);
            assert_eq!(read(&forge(own, &header, r#"{"n":7}"#), &ring), Err(Refused::UnknownKey), "{kid}");
        }
    }

    /// T28.
    #[test]
    fn claims_are_one_object_with_exactly_their_types() {
        let ring = keyring(Purpose::Pass, Algorithm::Hs256);
        let own = &ring.keys()[0].private;
        let deep = format!(r#"{{"n":{}7{}}}"#, "[".repeat(2000), "]".repeat(2000));
        for claims in [
            "",
            "7",
            "[7]",
            "{}",
            r#" {"n":7}"#,
            r#"{"n":7}x"#,
            r#"{"n":7,"n":7}"#,
            r#"{"n":7,"m":7}"#,
            r#"{"n":"7"}"#,
            r#"{"n":7.0}"#,
            r#"{"n":7e0}"#,
            r#"{"n":99999999999999999999}"#,
            r#"{"n":null}"#,
            "{\"n\":7",
            &deep,
        ] {
            assert_eq!(
                read(&forge(own, &own_header("HS256", &ring), claims), &ring),
                Err(Refused::Malformed),
                "{claims}"
            );
        }
    }

    /// T22: altered, truncated, extended, re-encoded.
    #[test]
    fn no_text_but_the_signed_one_is_accepted() {
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Pass, algorithm);
            let token = sign(&ring.keys()[0], Kind::Pass, &Claims { n: 7 });
            for cut in 0..token.len() {
                assert!(read(&token[..cut], &ring).is_err());
                assert!(cut == 0 || read(&token[cut..], &ring).is_err());
            }
            for bit in 0..token.len() * 8 {
                let mut altered = token.clone().into_bytes();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&String::from_utf8_lossy(&altered), &ring).is_err(), "{algorithm:?}, bit {bit}");
            }
            let (signed, signature) = token.rsplit_once('.').expect("three parts");
            for altered in [
                format!("{token}."),
                format!(".{token}"),
                format!("{token}="),
                format!("{token}\n"),
                format!(" {token}"),
                format!("{signed}=.{signature}"),
                format!("{signed}==.{signature}"),
                format!("{signed}..{signature}"),
                format!("{signed}.{signature}.{signature}"),
                format!("{signed}.{signature}A"),
                token.replace('.', "%2e"),
                format!(r#"{{"payload":"","protected":"","signature":"{signature}"}}"#),
                format!("{token}.{token}"),
            ] {
                assert!(read(&altered, &ring).is_err(), "{altered}");
                assert!(kind_of(&altered).is_none() || altered.starts_with(signed), "{altered}");
            }
        }
    }

    /// T30, T31.
    #[test]
    fn a_long_token_is_refused_before_it_is_decoded() {
        let ring = keyring(Purpose::Pass, Algorithm::Hs256);
        let token = sign(&ring.keys()[0], Kind::Pass, &Claims { n: 7 });
        for long in
            [".".repeat(MAXIMUM_LENGTH + 1), "A".repeat(1_000_000), format!("{token}{}", "A".repeat(MAXIMUM_LENGTH))]
        {
            assert_eq!(read(&long, &ring), Err(Refused::TooLong));
            assert_eq!(kind_of(&long), None);
        }
        for fits in
            [".".repeat(MAXIMUM_LENGTH), "A".repeat(MAXIMUM_LENGTH), format!("{}..", "A".repeat(MAXIMUM_LENGTH - 2))]
        {
            assert_eq!(read(&fits, &ring), Err(Refused::Malformed));
        }
        let own = &ring.keys()[0].private;
        let padded = |length| format!(r#"{{"n":7{}}}"#, " ".repeat(length));
        let longest = (0..MAXIMUM_LENGTH)
            .rev()
            .map(|length| forge(own, &own_header("HS256", &ring), &padded(length)))
            .find(|token| token.len() <= MAXIMUM_LENGTH)
            .expect("one fits");
        assert!(longest.len() > MAXIMUM_LENGTH - 4);
        assert_eq!(read(&longest, &ring), Ok(Claims { n: 7 }), "the limit itself is not too long");
    }

    /// T31: five parts, and what their headers would make a reader do: derive a key for hours, unpack a bomb.
    #[test]
    fn what_is_encrypted_is_not_even_tried() {
        let ring = keyring(Purpose::Pass, Algorithm::Hs256);
        let kid = ring.keys()[0].kid;
        let own = &ring.keys()[0].private;
        for more in [
            r#""alg":"dir","enc":"A256GCM""#,
            r#""alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483647,"p2s":"AAAA""#,
            r#""alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF""#,
            // Nothing gives it away but its parts.
            r#""alg":"HS256""#,
        ] {
            let header = format!(r#"{{{more},"kid":"{kid}","typ":"pass+jwt"}}"#);
            let signed = forge(own, &header, r#"{"n":7}"#);
            for encrypted in [format!("{signed}.AAAA.AAAA"), format!("{signed}.."), signed.replace('.', "..")] {
                assert_eq!(read(&encrypted, &ring), Err(Refused::Malformed), "{more}");
                assert_eq!(kind_of(&encrypted), None, "{more}");
            }
        }
    }

    #[test]
    fn a_retired_key_takes_its_tokens_with_it() {
        let mut retired = key(1, Purpose::Pass, PrivateKey::generate(Algorithm::EdDsa));
        let token = sign(&retired, Kind::Pass, &Claims { n: 7 });
        retired.verifies_until = Some(NOW);
        assert_eq!(read(&token, &Keyring::new(vec![retired])), Err(Refused::UnknownKey));
    }

    proptest! {
        #[test]
        fn nothing_random_is_ever_accepted(text in "\\PC{0,200}", a in "[A-Za-z0-9_-]{0,90}", b in "[A-Za-z0-9_-]{0,90}") {
            let ring = keyring(Purpose::Pass, Algorithm::Hs256);
            for token in [text, format!("{a}.{b}.{a}"), format!("{a}.{b}")] {
                prop_assert!(read(&token, &ring).is_err());
                prop_assert_eq!(kind_of(&token), None);
            }
        }

        #[test]
        fn random_claims_and_headers_never_panic(header in "\\PC{0,100}", claims in proptest::collection::vec(any::<u8>(), 0..100)) {
            let ring = keyring(Purpose::Pass, Algorithm::Hs256);
            let own = &ring.keys()[0].private;
            let claims = String::from_utf8_lossy(&claims);
            prop_assert!(read(&forge(own, &header, &claims), &ring).is_err());
            prop_assert!(read(&forge(own, &own_header("HS256", &ring), &claims), &ring).is_err());
        }
    }

    /// Why a vector that other libraries accept is refused here.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Stricter {
        /// ES384, ES512, RS384, …: not one of the five algorithms of protocol §3.
        OtherAlgorithm,
        /// The text has characters that base64url does not know, and the vector expects them to be skipped.
        NotCanonical,
    }

    /// The steps of [`verify`] with the vector's own key; Wycheproof's headers carry no `typ`.
    fn check_vector(token: &str, key: &Value) -> Result<(), Option<Stricter>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Untyped {
            alg: String,
            kid: Option<String>,
        }
        let alg = key["alg"].as_str();
        let parts = Parts::split(token).map_err(|_| None)?;
        let mut bytes = [0; MAXIMUM_LENGTH];
        let header: Untyped = read_object(decode(parts.header, &mut bytes).map_err(|_| Some(Stricter::NotCanonical))?)
            .map_err(|_| None)?;
        decode(parts.claims, &mut [0; MAXIMUM_LENGTH]).map_err(|_| Some(Stricter::NotCanonical))?;
        let algorithm = Algorithm::parse(&header.alg).ok_or(Some(Stricter::OtherAlgorithm))?;
        if alg.is_some_and(|alg| alg != header.alg) || header.kid.as_deref() != key["kid"].as_str() {
            return Err(None);
        }
        let mut signature = [0; SIGNATURE_LENGTH];
        let signature = decode(parts.signature, &mut signature).map_err(|_| Some(Stricter::NotCanonical))?;
        let verified = if let (Algorithm::Hs256, Some(secret)) = (algorithm, key["k"].as_str()) {
            let secret = URL_SAFE_NO_PAD.decode(secret).expect("the vector's key is base64url");
            PrivateKey::from_stored(algorithm, &secret).map_err(|_| None)?.verify(parts.signed.as_bytes(), signature)
        } else {
            jwk::read(key, algorithm).map_err(|_| None)?.verify(parts.signed.as_bytes(), signature)
        };
        if verified { Ok(()) } else { Err(None) }
    }

    #[test]
    fn wycheproof_every_invalid_signature_is_refused_and_every_refused_valid_one_is_explained() {
        let Some(text) = test_data::read("wycheproof-jws.json") else { return };
        let vectors: Value = serde_json::from_str(&text).expect("JSON");
        let (mut accepted, mut refused, mut stricter, mut contradictory) = (0, 0, Vec::new(), Vec::new());
        for group in vectors["testGroups"].as_array().expect("groups") {
            let key = group.get("public").unwrap_or(&group["private"]);
            let tests = group["tests"].as_array().expect("vectors");
            let valid = tests.iter().filter(|vector| vector["result"] == "valid");
            let twins: Vec<_> = valid.filter_map(|vector| vector["jws"].as_str()).collect();
            for vector in tests {
                let (number, token) = (&vector["tcId"], vector["jws"].as_str().expect("text"));
                assert!(
                    read(token, &keyring(Purpose::Pass, Algorithm::Hs256)).is_err(),
                    "{number}: no typ, not our kid"
                );
                match (vector["result"].as_str().expect("text"), check_vector(token, key)) {
                    ("valid", Ok(())) => accepted += 1,
                    ("valid", Err(Some(reason))) => stricter.push((number.as_u64().expect("a number"), reason)),
                    ("valid", Err(None)) => panic!("{number} is valid and refused without a reason: {vector}"),
                    (_, Ok(())) if twins.contains(&token) => contradictory.push(number.as_u64().expect("a number")),
                    (_, Ok(())) => panic!("{number} is invalid and accepted: {vector}"),
                    (_, Err(_)) => refused += 1,
                }
            }
        }
        // Their padding got lost: byte for byte these are vector 357, which is valid (C2SP/wycheproof issue 236).
        assert_eq!(contradictory, [367, 370]);
        assert!(accepted >= 15 && refused >= 300, "{accepted} accepted, {refused} refused");
        let not_canonical: Vec<_> =
            stricter.iter().filter(|(_, why)| *why == Stricter::NotCanonical).map(|(number, _)| *number).collect();
        assert_eq!(not_canonical, [372, 373]);
    }
}
