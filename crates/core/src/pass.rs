//! The pass: a signed token of identifiers that stands for a session inside one zone. Protocol §3, §15.
//!
//! A pass that verifies says who signed it and what it says. Whether the person is still signed in, the session says.

mod claims;

use std::borrow::Cow;
use std::time::Duration;

use crate::id::{KeyId, SessionId, UserId, ZoneName};
use crate::jose::{self, Buffer, Kind};
use crate::keyring::{Keyring, Purpose, SigningKey};
use crate::time::Timestamp;

use self::claims::Claims;

pub use crate::jose::{MAXIMUM_LENGTH, Refused};

/// `ver` of the passes that we mint; any other is refused.
pub const VERSION: i64 = 1;

/// No pass lives longer, whatever is configured.
pub const MAXIMUM_LIFETIME: Duration = Duration::from_mins(15);

/// How far another node's clock may be ahead of ours. `exp` has no such allowance.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(5);

/// How long passes live. Defaults: protocol §15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassPolicy {
    /// From minting to `exp`; more than [`MAXIMUM_LIFETIME`] counts as that.
    pub lifetime: Duration,
    /// Introspection hands out a fresh pass when the presented one is this old.
    pub renew_after: Duration,
}

impl Default for PassPolicy {
    fn default() -> Self {
        Self { lifetime: MAXIMUM_LIFETIME, renew_after: Duration::from_mins(5) }
    }
}

impl PassPolicy {
    /// `exp` of a pass minted at `now`; never beyond the session's absolute end.
    pub fn expiry(&self, now: Timestamp, session_expires_at: Timestamp) -> Timestamp {
        (now + self.lifetime.min(MAXIMUM_LIFETIME)).min(session_expires_at)
    }
}

/// What a pass says; its version is [`VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the one zone in which it counts.
    pub zone: &'a ZoneName,
    /// `sub`
    pub user_id: UserId,
    /// `sid`: names the session; it is not the session's secret.
    pub session_id: SessionId,
    /// `iat`
    pub issued_at: Timestamp,
    /// `exp`: [`PassPolicy::expiry`].
    pub expires_at: Timestamp,
    /// `auth_time`: when the person last proved who they are.
    pub authenticated_at: Timestamp,
}

/// A pass whose signature was checked, now or earlier; every use begins with [`check`](Self::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPass<'z> {
    /// Whose it is; not known of a remembered one, which was compared with its session's before it was remembered.
    pub user_id: Option<UserId>,
    /// For which session.
    pub session_id: SessionId,
    /// In which zone.
    pub zone: Cow<'z, ZoneName>,
    /// Signed by which key: when that key goes, the pass goes.
    pub kid: KeyId,
    /// When it was minted, to the second.
    pub issued_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Timestamp,
}

/// A pass, ready for its cookie. Under 1 KB with every algorithm.
pub fn mint(key: &SigningKey, pass: &Pass<'_>) -> String {
    let claims = Claims {
        ver: VERSION,
        iss: pass.issuer,
        aud: pass.zone.as_str(),
        sub: pass.user_id,
        sid: pass.session_id,
        iat: pass.issued_at.as_seconds(),
        exp: pass.expires_at.as_seconds(),
        auth_time: pass.authenticated_at.as_seconds(),
    };
    jose::sign(key, Kind::Pass, &claims)
}

/// Everything about a presented pass: [`verify_signature`], then [`VerifiedPass::check`].
pub fn verify<'z>(
    token: &str,
    keyring: &Keyring,
    issuer: &str,
    zone: &'z ZoneName,
    now: Timestamp,
) -> Result<VerifiedPass<'z>, Refused> {
    let pass = verify_signature(token, keyring, issuer, zone, now)?;
    pass.check(zone, keyring, now)?;
    Ok(pass)
}

/// The part that never changes for one token and may be remembered: a pass of this issuer, well-formed and signed by a key of ours. It may be for another
/// zone than `here`, where it was presented; that one's name is not copied.
pub fn verify_signature<'z>(
    token: &str,
    keyring: &Keyring,
    issuer: &str,
    here: &'z ZoneName,
    now: Timestamp,
) -> Result<VerifiedPass<'z>, Refused> {
    let mut buffer = Buffer::default();
    let (claims, kid) = jose::verify_text(token, Kind::Pass, keyring, now, &mut buffer)?;
    let claims = Claims::read(claims)?;
    if claims.ver != VERSION {
        return Err(Refused::UnknownVersion);
    }
    if claims.iss != issuer {
        return Err(Refused::WrongIssuer);
    }
    if claims.iat < 0 || claims.auth_time < 0 || claims.exp < claims.iat {
        return Err(Refused::Malformed);
    }
    let (issued_at, expires_at) = (Timestamp::from_seconds(claims.iat), Timestamp::from_seconds(claims.exp));
    if expires_at.since(issued_at) > MAXIMUM_LIFETIME {
        return Err(Refused::LivesTooLong);
    }
    let zone = if claims.aud == here.as_str() {
        Cow::Borrowed(here)
    } else {
        Cow::Owned(claims.aud.parse().map_err(|_| Refused::Malformed)?)
    };
    Ok(VerifiedPass { user_id: Some(claims.sub), session_id: claims.sid, zone, kid, issued_at, expires_at })
}

impl VerifiedPass<'_> {
    /// The part that changes: whether it counts in `zone` at `now`, with the keys there are now. Cheap.
    pub fn check(&self, zone: &ZoneName, keyring: &Keyring, now: Timestamp) -> Result<(), Refused> {
        if keyring.verifier(Purpose::Pass, self.kid, now).is_none() {
            Err(Refused::UnknownKey)
        } else if *self.zone != *zone {
            Err(Refused::WrongZone)
        } else if now >= self.expires_at {
            Err(Refused::Expired)
        } else if self.issued_at > now + CLOCK_LEEWAY {
            Err(Refused::NotYetValid)
        } else {
            Ok(())
        }
    }

    /// Whether the answer should carry a fresh pass.
    pub fn renewal_due(&self, policy: &PassPolicy, now: Timestamp) -> bool {
        now.since(self.issued_at) >= policy.renew_after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::tests::Seeded;
    use crate::crypto::{Algorithm, PrivateKey};
    use crate::keyring::tests::{key, keyring};

    const ISSUER: &str = "https://auth.company.com";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const TICK: Duration = Duration::from_millis(1);

    fn home() -> ZoneName {
        "home".parse().expect("valid")
    }

    fn pass<'a>(issuer: &'a str, zone: &'a ZoneName) -> Pass<'a> {
        Pass {
            issuer,
            zone,
            user_id: UserId::mint(&mut Seeded(1)),
            session_id: SessionId::mint(&mut Seeded(2)),
            issued_at: NOW,
            expires_at: PassPolicy::default().expiry(NOW, NOW + Duration::from_hours(24)),
            authenticated_at: NOW - Duration::from_mins(1),
        }
    }

    fn claims() -> Value {
        let seconds = NOW.as_seconds();
        json!({
            "ver": 1, "iss": ISSUER, "aud": "home", "sub": UserId::mint(&mut Seeded(1)), "sid": SessionId::mint(&mut Seeded(2)),
            "iat": seconds, "exp": seconds + 900, "auth_time": seconds - 60,
        })
    }

    /// What becomes of a pass with these claims, signed by ourselves.
    fn outcome(ring: &Keyring, claims: &Value) -> Result<(), Refused> {
        verify(&jose::sign(&ring.keys()[0], Kind::Pass, claims), ring, ISSUER, &home(), NOW).map(drop)
    }

    #[test]
    fn a_minted_pass_says_what_it_was_given_and_stays_under_1_kb() {
        let long_zone: ZoneName = "z".repeat(64).parse().expect("valid");
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Pass, algorithm);
            let zone = home();
            let minted = pass(ISSUER, &zone);
            let token = mint(&ring.keys()[0], &minted);
            assert_eq!(jose::kind_of(&token), Some(Kind::Pass));
            let verified = verify(&token, &ring, ISSUER, &zone, NOW).expect("valid");
            assert_eq!((verified.user_id, verified.session_id), (Some(minted.user_id), minted.session_id));
            assert_eq!((verified.issued_at, verified.expires_at), (minted.issued_at, minted.expires_at));
            assert_eq!((verified.expires_at, verified.kid), (minted.expires_at, ring.keys()[0].kid));
            assert_eq!(verify(&token, &ring, ISSUER, &long_zone, NOW), Err(Refused::WrongZone));
            assert_eq!(verify(&token, &ring, "https://auth.company.com/", &zone, NOW), Err(Refused::WrongIssuer));
            let longest = pass("https://authentication.a-rather-long-company-name.example.com", &long_zone);
            assert!(mint(&ring.keys()[0], &longest).len() < 1024, "{algorithm:?}");
        }
    }

    /// Protocol §3: these claims and nothing else.
    #[test]
    fn the_claims_on_the_wire_are_the_ones_of_the_protocol() {
        let ring = keyring(Purpose::Pass, Algorithm::Hs256);
        let zone = home();
        assert_eq!(mint(&ring.keys()[0], &pass(ISSUER, &zone)).split('.').nth(1).map(decoded), Some(claims()));
    }

    fn decoded(part: &str) -> Value {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// T28, T29: the claim-omission and wrong-type matrix.
    #[test]
    fn every_claim_is_required_with_its_own_type() {
        let ring = keyring(Purpose::Pass, Algorithm::Hs256);
        assert!(outcome(&ring, &claims()).is_ok());
        let good = claims();
        for (name, value) in good.as_object().expect("an object") {
            let mut without = good.clone();
            without.as_object_mut().expect("an object").remove(name);
            assert_eq!(outcome(&ring, &without), Err(Refused::Malformed), "without {name}");
            let swapped = value.as_i64().map_or(json!(1), |number| json!(number.to_string()));
            let fraction = value.as_f64().map_or(json!(1.5), |number| json!(number));
            for wrong in [json!(null), json!(true), json!(""), json!([value]), json!({"v": value}), swapped, fraction] {
                let mut with = good.clone();
                with[name] = wrong;
                let refused = outcome(&ring, &with).expect_err("a wrong type");
                let empty_issuer = refused == Refused::WrongIssuer && with["iss"] == "";
                assert!(refused == Refused::Malformed || empty_issuer, "{with}");
            }
        }
        for extra in ["nbf", "jti", "roles", "email"] {
            let mut more = good.clone();
            more[extra] = json!(0);
            assert_eq!(outcome(&ring, &more), Err(Refused::Malformed), "{extra}");
        }
        let in_order: Value = good.as_object().expect("an object").values().cloned().collect();
        assert_eq!(outcome(&ring, &in_order), Err(Refused::Malformed), "an array of the right values");
    }

    #[test]
    fn wrong_values_are_refused_for_their_own_reason() {
        let ring = keyring(Purpose::Pass, Algorithm::Hs256);
        let seconds = NOW.as_seconds();
        for (name, value, why) in [
            ("ver", json!(0), Refused::UnknownVersion),
            ("ver", json!(2), Refused::UnknownVersion),
            ("ver", json!(257), Refused::UnknownVersion),
            ("iss", json!("https://auth.evil.com"), Refused::WrongIssuer),
            ("iss", json!("HTTPS://auth.company.com"), Refused::WrongIssuer),
            ("aud", json!("company2"), Refused::WrongZone),
            ("aud", json!("Home"), Refused::Malformed),
            ("sub", json!("alice"), Refused::Malformed),
            ("sub", json!(SessionId::mint(&mut Seeded(1))), Refused::Malformed),
            ("sid", json!(UserId::mint(&mut Seeded(1))), Refused::Malformed),
            ("exp", json!(seconds + 901), Refused::LivesTooLong),
            ("exp", json!(i64::MAX), Refused::LivesTooLong),
            ("exp", json!(seconds - 1), Refused::Malformed),
            ("exp", json!(seconds), Refused::Expired),
            ("iat", json!(i64::MIN), Refused::Malformed),
            ("iat", json!(-1), Refused::Malformed),
            ("iat", json!(seconds - 1), Refused::LivesTooLong),
            ("iat", json!(seconds + 6), Refused::NotYetValid),
            ("auth_time", json!(-1), Refused::Malformed),
        ] {
            let mut with = claims();
            with[name] = value;
            assert_eq!(outcome(&ring, &with), Err(why), "{with}");
        }
    }

    /// T64: no leeway at the end, five seconds for a fast clock at the beginning.
    #[test]
    fn lives_exactly_as_long_as_it_says() {
        let ring = keyring(Purpose::Pass, Algorithm::EdDsa);
        let zone = home();
        let token = mint(&ring.keys()[0], &pass(ISSUER, &zone));
        let at = |now| verify(&token, &ring, ISSUER, &zone, now).map(|_| ());
        let end = NOW + MAXIMUM_LIFETIME;
        assert_eq!((at(end - TICK), at(end)), (Ok(()), Err(Refused::Expired)));
        assert_eq!(at(end + Duration::from_secs(1)), Err(Refused::Expired));
        assert_eq!((at(NOW - CLOCK_LEEWAY), at(NOW - CLOCK_LEEWAY - TICK)), (Ok(()), Err(Refused::NotYetValid)));
        let policy = PassPolicy::default();
        let verified = verify(&token, &ring, ISSUER, &zone, NOW).expect("valid");
        let due = NOW + Duration::from_mins(5);
        assert!(!verified.renewal_due(&policy, due - TICK) && verified.renewal_due(&policy, due));
        assert!(!verified.renewal_due(&policy, NOW - CLOCK_LEEWAY));
    }

    #[test]
    fn never_outlives_its_session_nor_a_quarter_of_an_hour() {
        let policy = PassPolicy { lifetime: Duration::from_hours(5), ..PassPolicy::default() };
        assert_eq!(policy.expiry(NOW, NOW + Duration::from_hours(24)), NOW + MAXIMUM_LIFETIME);
        assert_eq!(policy.expiry(NOW, NOW + TICK), NOW + TICK);
    }

    #[test]
    fn a_remembered_signature_is_worth_nothing_without_its_key_zone_and_time() {
        let ring = keyring(Purpose::Pass, Algorithm::EdDsa);
        let zone = home();
        let token = mint(&ring.keys()[0], &pass(ISSUER, &zone));
        let remembered = verify_signature(&token, &ring, ISSUER, &zone, NOW).expect("signed by us");
        assert_eq!(remembered.check(&zone, &ring, NOW), Ok(()));
        assert_eq!(remembered.check(&"company2".parse().expect("valid"), &ring, NOW), Err(Refused::WrongZone));
        assert_eq!(remembered.check(&zone, &ring, NOW + MAXIMUM_LIFETIME), Err(Refused::Expired));
        assert_eq!(remembered.check(&zone, &Keyring::default(), NOW), Err(Refused::UnknownKey));
        let mut retired = key(1, Purpose::Pass, PrivateKey::generate(Algorithm::EdDsa));
        retired.verifies_until = Some(NOW);
        assert_eq!(remembered.check(&zone, &Keyring::new(vec![retired]), NOW), Err(Refused::UnknownKey));
    }

    #[test]
    fn a_foreign_key_another_purpose_and_another_kind_are_refused() {
        let ring = keyring(Purpose::Pass, Algorithm::EdDsa);
        let zone = home();
        let foreign = keyring(Purpose::Pass, Algorithm::EdDsa);
        let unknown = key(9, Purpose::Pass, PrivateKey::generate(Algorithm::EdDsa));
        let tokens = key(1, Purpose::Token, PrivateKey::generate(Algorithm::EdDsa));
        let read = |token: &str, ring: &Keyring| verify(token, ring, ISSUER, &zone, NOW).map(|_| ());
        assert_eq!(read(&mint(&foreign.keys()[0], &pass(ISSUER, &zone)), &ring), Err(Refused::BadSignature));
        assert_eq!(read(&mint(&unknown, &pass(ISSUER, &zone)), &ring), Err(Refused::UnknownKey));
        let by_token_key = mint(&tokens, &pass(ISSUER, &zone));
        assert_eq!(read(&by_token_key, &Keyring::new(vec![tokens])), Err(Refused::UnknownKey));
        let kind = jose::sign(&ring.keys()[0], Kind::AccessToken, &claims());
        assert_eq!(read(&kind, &ring), Err(Refused::WrongType));
    }

    proptest! {
        #[test]
        fn random_claims_never_panic_and_never_count_beyond_their_time(
            ver in any::<i64>(), iat in any::<i64>(), exp in any::<i64>(), auth_time in any::<i64>(), now in any::<i64>(),
        ) {
            let ring = keyring(Purpose::Pass, Algorithm::Hs256);
            let mut with = claims();
            for (name, value) in [("ver", ver), ("iat", iat), ("exp", exp), ("auth_time", auth_time)] {
                with[name] = json!(value);
            }
            prop_assert!(outcome(&ring, &with).is_err());
            let token = jose::sign(&ring.keys()[0], Kind::Pass, &claims());
            let now = Timestamp::from_millis(now);
            if verify(&token, &ring, ISSUER, &home(), now).is_ok() {
                prop_assert!(now + CLOCK_LEEWAY >= NOW && now < NOW + MAXIMUM_LIFETIME);
            }
        }
    }
}
