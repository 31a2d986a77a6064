//! The assertion: who is signed in at home, signed for one app and one handoff. Protocol §8 number 4 and "JWT profile"; RFC 7519, RFC 8725.
//!
//! It is as good as the session for half a minute, but only in the browser that began the handoff: `nonce` is the hash of that browser's
//! `state`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::crypto::{self, Random};
use crate::id::{AppKey, SessionId, TokenId, UserId};
use crate::jose::{self, Buffer, Kind, Refused};
use crate::keyring::{Keyring, SigningKey};
use crate::pass::CLOCK_LEEWAY;
use crate::time::Timestamp;

/// How long an assertion is good for (protocol §15).
pub const ASSERTION_LIFETIME: Duration = Duration::from_secs(30);

/// What an assertion says.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the app that it is for.
    pub app: &'a AppKey,
    /// `dst`: the one address that it is for.
    pub redirect_uri: &'a str,
    /// `nonce`, see [`nonce_of`].
    pub nonce: &'a str,
    /// `sub`
    pub user_id: UserId,
    /// `sid`
    pub session_id: SessionId,
    /// `auth_time`: when the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// `iat`; `exp` is [`ASSERTION_LIFETIME`] later.
    pub issued_at: Timestamp,
}

impl Assertion<'_> {
    /// Signed, with a `jti` of its own: whoever verifies it accepts each only once.
    pub fn mint(&self, key: &SigningKey, random: &mut dyn Random) -> String {
        let claims = Claims {
            iss: self.issuer,
            aud: self.app.as_str(),
            dst: self.redirect_uri,
            nonce: self.nonce,
            sub: self.user_id,
            sid: self.session_id,
            auth_time: self.authenticated_at.as_seconds(),
            iat: self.issued_at.as_seconds(),
            exp: (self.issued_at + ASSERTION_LIFETIME).as_seconds(),
            jti: TokenId::mint(random),
        };
        jose::sign(key, Kind::Assertion, &claims)
    }
}

/// `nonce` of the assertion that answers a handoff with this `state`: base64url of its SHA-256. The state itself is worth something in the
/// browser's address bar, its hash is not.
pub fn nonce_of(state: &str) -> String {
    URL_SAFE_NO_PAD.encode(crypto::sha256(state.as_bytes()))
}

/// An assertion that is for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// Who is signed in.
    pub user_id: UserId,
    /// In which session.
    pub session_id: SessionId,
    /// Names it: to be accepted once.
    pub id: TokenId,
}

/// Everything about a presented assertion but that its `id` has not been seen before. What an app in the JWT profile has to check, in its own
/// language; the engine never takes one.
pub fn verify(
    token: &str,
    keyring: &Keyring,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<VerifiedAssertion, Refused> {
    let mut buffer = Buffer::default();
    let (claims, _): (Claims<'_>, _) = jose::verify(token, Kind::Assertion, keyring, now, &mut buffer)?;
    if claims.iss != expected.issuer {
        return Err(Refused::WrongIssuer);
    }
    if claims.aud != expected.app || claims.dst != expected.redirect_uri || claims.nonce != nonce_of(expected.state) {
        return Err(Refused::WrongAudience);
    }
    if claims.iat < 0 || claims.exp < claims.iat {
        return Err(Refused::Malformed);
    }
    let (issued_at, expires_at) = (Timestamp::from_seconds(claims.iat), Timestamp::from_seconds(claims.exp));
    if expires_at.since(issued_at) > ASSERTION_LIFETIME {
        return Err(Refused::LivesTooLong);
    }
    if now >= expires_at {
        return Err(Refused::Expired);
    }
    if issued_at > now + CLOCK_LEEWAY {
        return Err(Refused::NotYetValid);
    }
    Ok(VerifiedAssertion { user_id: claims.sub, session_id: claims.sid, id: claims.jti })
}

/// Who verifies, and in which browser.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The engine's address.
    pub issuer: &'a str,
    /// The app's key.
    pub app: &'a str,
    /// Where the assertion came.
    pub redirect_uri: &'a str,
    /// What *this browser's* transaction says.
    pub state: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'c> {
    iss: &'c str,
    aud: &'c str,
    dst: &'c str,
    nonce: &'c str,
    sub: UserId,
    sid: SessionId,
    auth_time: i64,
    iat: i64,
    exp: i64,
    jti: TokenId,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::Algorithm;
    use crate::crypto::tests::Seeded;
    use crate::keyring::Purpose;
    use crate::keyring::tests::keyring;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const EXPECTED: Expected<'_> = Expected {
        issuer: "https://auth.company.com",
        app: "shop",
        redirect_uri: "https://shop.company2.com/.sso/callback",
        state: "the state of this browser",
    };

    fn minted(ring: &Keyring, seed: u64) -> String {
        let assertion = Assertion {
            issuer: EXPECTED.issuer,
            app: &"shop".parse().expect("a key"),
            redirect_uri: EXPECTED.redirect_uri,
            nonce: &nonce_of(EXPECTED.state),
            user_id: UserId::from_bytes([1; 16]),
            session_id: SessionId::from_bytes([2; 16]),
            authenticated_at: NOW,
            issued_at: NOW,
        };
        assertion.mint(&ring.keys()[0], &mut Seeded(seed))
    }

    #[test]
    fn an_assertion_is_for_one_app_one_address_one_browser_and_half_a_minute() {
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Token, algorithm);
            let token = minted(&ring, 1);
            let read = |expected: Expected<'_>, now| verify(&token, &ring, &expected, now);
            let verified = read(EXPECTED, NOW).expect("valid");
            assert_eq!(verified.user_id, UserId::from_bytes([1; 16]));
            assert_ne!(verify(&minted(&ring, 2), &ring, &EXPECTED, NOW).expect("valid").id, verified.id);
            let wrong = |expected, refused| assert_eq!(read(expected, NOW), Err(refused));
            wrong(Expected { issuer: "https://auth.evil.com", ..EXPECTED }, Refused::WrongIssuer);
            wrong(Expected { app: "vault", ..EXPECTED }, Refused::WrongAudience);
            wrong(Expected { redirect_uri: "https://evil.com/.sso/callback", ..EXPECTED }, Refused::WrongAudience);
            wrong(Expected { state: "another browser's", ..EXPECTED }, Refused::WrongAudience);
            let end = NOW + ASSERTION_LIFETIME;
            assert!(read(EXPECTED, end - Duration::from_millis(1)).is_ok());
            assert_eq!(read(EXPECTED, end), Err(Refused::Expired));
            assert_eq!(read(EXPECTED, NOW - Duration::from_mins(1)), Err(Refused::NotYetValid));
            let strangers = keyring(Purpose::Token, algorithm);
            assert_eq!(verify(&token, &strangers, &EXPECTED, NOW), Err(Refused::BadSignature));
        }
    }

    #[test]
    fn every_claim_is_required_with_its_own_type_and_no_other_token_is_one() {
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let good = json!({
            "iss": EXPECTED.issuer, "aud": EXPECTED.app, "dst": EXPECTED.redirect_uri, "nonce": nonce_of(EXPECTED.state),
            "sub": UserId::from_bytes([1; 16]), "sid": SessionId::from_bytes([2; 16]), "auth_time": 1,
            "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 30, "jti": TokenId::mint(&mut Seeded(1)),
        });
        let sign = |kind, claims: &Value| jose::sign(&ring.keys()[0], kind, claims);
        let read = |token: &str| verify(token, &ring, &EXPECTED, NOW);
        assert!(read(&sign(Kind::Assertion, &good)).is_ok());
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Assertion) {
            assert_eq!(read(&sign(kind, &good)), Err(Refused::WrongType));
        }
        for name in good.as_object().expect("an object").keys() {
            let mut without = good.clone();
            without.as_object_mut().expect("an object").remove(name);
            assert_eq!(read(&sign(Kind::Assertion, &without)), Err(Refused::Malformed), "without {name}");
            let mut with = good.clone();
            with[name] = json!([with[name]]);
            assert_eq!(read(&sign(Kind::Assertion, &with)), Err(Refused::Malformed), "{name}");
        }
        for (iat, exp, why) in
            [(0, 31, Refused::LivesTooLong), (-1, 20, Refused::Malformed), (10, 9, Refused::Malformed)]
        {
            let mut with = good.clone();
            (with["iat"], with["exp"]) = (json!(iat), json!(exp));
            assert_eq!(read(&sign(Kind::Assertion, &with)), Err(why));
        }
    }
}
