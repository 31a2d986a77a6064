//! Access tokens: `request_token`, a signed token for one downstream service and one minute. Protocol §4, §15, RFC 9068.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::crypto::Random;
use crate::id::{AppKey, Audience, KeyId, PermissionName, SessionId, TokenId, UserId};
use crate::jose::{self, Buffer, Kind, Refused};
use crate::jwk::Thumbprint;
use crate::keyring::{Keyring, SigningKey};
use crate::oidc::{Confirmation, there};
use crate::pass::CLOCK_LEEWAY;
use crate::time::Timestamp;

/// How long a request token lives (protocol §15).
pub const REQUEST_TOKEN_LIFETIME: Duration = Duration::from_mins(1);

/// No access token lives longer (protocol §15: ID and access token 5 min).
pub const MAXIMUM_LIFETIME: Duration = Duration::from_mins(5);

/// What a request token says: this app calls that service for this person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestToken<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the one service that may accept it.
    pub audience: &'a Audience,
    /// `client_id`: the app that asked for it.
    pub app_key: &'a AppKey,
    /// `sub`
    pub user_id: UserId,
    /// `sid`: the session it was derived from; when that ends, introspection of the token says so.
    pub session_id: SessionId,
    /// `scope` (RFC 8693 §4.2): what the person may do in the app that asked.
    pub permissions: &'a [PermissionName],
    /// `iat`; `exp` is [`REQUEST_TOKEN_LIFETIME`] later.
    pub issued_at: Timestamp,
    /// `cnf`: the key that whoever uses it must hold, if it is bound to one (RFC 9449 §6).
    pub key: Option<Thumbprint>,
}

/// There are so many permissions that nobody, ourselves included, would read the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token would be longer than 8 KB: the person has too many permissions in this app")]
pub struct TooLong;

impl RequestToken<'_> {
    /// Signed, with a `jti` of its own.
    pub fn mint(&self, key: &SigningKey, random: &mut dyn Random) -> Result<String, TooLong> {
        let names: Vec<_> = self.permissions.iter().map(PermissionName::as_str).collect();
        let claims = Claims {
            iss: self.issuer,
            sub: self.user_id,
            aud: self.audience.as_str(),
            client_id: self.app_key.as_str(),
            iat: self.issued_at.as_seconds(),
            exp: (self.issued_at + REQUEST_TOKEN_LIFETIME).as_seconds(),
            jti: TokenId::mint(random),
            sid: self.session_id,
            scope: &names.join(" "),
            cnf: Confirmation::of(self.key),
        };
        let token = jose::sign(key, Kind::AccessToken, &claims);
        if token.len() > jose::MAXIMUM_LENGTH { Err(TooLong) } else { Ok(token) }
    }
}

/// An access token whose signature, issuer, audience and times were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAccessToken {
    /// The service it is for.
    pub audience: Audience,
    /// The app that asked for it.
    pub app_key: AppKey,
    /// Whom it stands for.
    pub user_id: UserId,
    /// The session it was derived from.
    pub session_id: SessionId,
    /// Names it.
    pub id: TokenId,
    /// Permission names, separated by spaces.
    pub scope: String,
    /// When it was minted, to the second.
    pub issued_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Timestamp,
    /// Signed by which key.
    pub kid: KeyId,
    /// The key that whoever presents it must prove to hold, if it is bound to one.
    pub key: Option<Thumbprint>,
}

/// Everything about a presented access token. `audiences` are the names of whoever presents it: a service learns nothing about
/// tokens meant for another (advisory T33).
pub fn verify(
    token: &str,
    keyring: &Keyring,
    issuer: &str,
    audiences: &[Audience],
    now: Timestamp,
) -> Result<VerifiedAccessToken, Refused> {
    let mut buffer = Buffer::default();
    let (claims, kid): (Claims<'_>, KeyId) = jose::verify(token, Kind::AccessToken, keyring, now, &mut buffer)?;
    if claims.iss != issuer {
        return Err(Refused::WrongIssuer);
    }
    let audience = audiences.iter().find(|audience| audience.as_str() == claims.aud).ok_or(Refused::WrongAudience)?;
    if claims.iat < 0 || claims.exp < claims.iat {
        return Err(Refused::Malformed);
    }
    let (issued_at, expires_at) = (Timestamp::from_seconds(claims.iat), Timestamp::from_seconds(claims.exp));
    if expires_at.since(issued_at) > MAXIMUM_LIFETIME {
        return Err(Refused::LivesTooLong);
    }
    if now >= expires_at {
        return Err(Refused::Expired);
    }
    if issued_at > now + CLOCK_LEEWAY {
        return Err(Refused::NotYetValid);
    }
    Ok(VerifiedAccessToken {
        audience: audience.clone(),
        app_key: claims.client_id.parse().map_err(|_| Refused::Malformed)?,
        user_id: claims.sub,
        session_id: claims.sid,
        id: claims.jti,
        scope: claims.scope.to_owned(),
        issued_at,
        expires_at,
        kid,
        key: claims.cnf.map(|cnf| cnf.jkt),
    })
}

/// RFC 9068 §2.2, all required, nothing else but `cnf`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'c> {
    iss: &'c str,
    sub: UserId,
    aud: &'c str,
    client_id: &'c str,
    iat: i64,
    exp: i64,
    jti: TokenId,
    sid: SessionId,
    scope: &'c str,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    cnf: Option<Confirmation>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crypto::Algorithm;
    use crate::crypto::tests::Seeded;
    use crate::id::ZoneName;
    use crate::keyring::Purpose;
    use crate::keyring::tests::keyring;
    use crate::pass;

    const ISSUER: &str = "https://auth.company.com";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn audience(text: &str) -> Audience {
        text.parse().expect("valid")
    }

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "sub": UserId::mint(&mut Seeded(1)), "aud": "orders", "client_id": "pos",
            "iat": NOW.as_seconds(), "exp": NOW.as_seconds() + 60,
            "jti": TokenId::mint(&mut Seeded(2)), "sid": SessionId::mint(&mut Seeded(3)), "scope": "canRefund",
        })
    }

    fn outcome(ring: &Keyring, claims: &Value, now: Timestamp) -> Result<VerifiedAccessToken, Refused> {
        let token = jose::sign(&ring.keys()[0], Kind::AccessToken, claims);
        verify(&token, ring, ISSUER, &[audience("stock"), audience("orders")], now)
    }

    #[test]
    fn a_minted_token_is_read_back_by_its_audience_only_and_lives_a_minute() {
        let (orders, pos) = (audience("orders"), "pos".parse().expect("valid"));
        let permissions = ["canCreateOrder", "canRefund"].map(|one| one.parse().expect("valid"));
        let token = RequestToken {
            issuer: ISSUER,
            audience: &orders,
            app_key: &pos,
            user_id: UserId::mint(&mut Seeded(1)),
            session_id: SessionId::mint(&mut Seeded(2)),
            permissions: &permissions,
            issued_at: NOW,
            key: None,
        };
        let mut random = Seeded(3);
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Token, algorithm);
            let text = token.mint(&ring.keys()[0], &mut random).expect("short");
            assert_eq!(jose::kind_of(&text), Some(Kind::AccessToken));
            let own = std::slice::from_ref(&orders);
            let read = |issuer, audiences: &[Audience], now| verify(&text, &ring, issuer, audiences, now);
            let verified = read(ISSUER, own, NOW).expect("valid");
            assert_eq!((verified.user_id, verified.session_id), (token.user_id, token.session_id));
            assert_eq!((verified.scope.as_str(), verified.app_key), ("canCreateOrder canRefund", pos.clone()));
            assert_eq!(read(ISSUER, &[audience("stock")], NOW), Err(Refused::WrongAudience));
            assert_eq!(read(ISSUER, &[], NOW), Err(Refused::WrongAudience));
            assert_eq!(read("https://auth.evil.com", own, NOW), Err(Refused::WrongIssuer));
            let end = NOW + REQUEST_TOKEN_LIFETIME;
            assert!(read(ISSUER, own, end - Duration::from_millis(1)).is_ok());
            assert_eq!(read(ISSUER, own, end), Err(Refused::Expired));
            // Neither kind opens the other's door.
            let zone: ZoneName = "home".parse().expect("valid");
            assert_eq!(pass::verify(&text, &ring, ISSUER, &zone, NOW), Err(Refused::WrongType));
            let again = token.mint(&ring.keys()[0], &mut random).expect("short");
            assert_ne!(verify(&again, &ring, ISSUER, own, NOW).expect("valid").id, verified.id);
        }
        let ring = keyring(Purpose::Token, Algorithm::EdDsa);
        let many = vec!["canRefund".parse().expect("valid"); 800];
        assert_eq!(RequestToken { permissions: &many, ..token }.mint(&ring.keys()[0], &mut random), Err(TooLong));
    }

    /// T28, T29: the claim-omission and wrong-type matrix.
    #[test]
    fn every_claim_is_required_with_its_own_type() {
        let ring = keyring(Purpose::Token, Algorithm::Hs256);
        assert!(outcome(&ring, &claims(), NOW).is_ok());
        let good = claims();
        for (name, value) in good.as_object().expect("an object") {
            let mut without = good.clone();
            without.as_object_mut().expect("an object").remove(name);
            assert_eq!(outcome(&ring, &without, NOW), Err(Refused::Malformed), "without {name}");
            for wrong in [json!(null), json!(true), json!(1.5), json!([value]), json!({"v": value}), swapped(value)] {
                let mut with = good.clone();
                with[name] = wrong;
                assert_eq!(outcome(&ring, &with, NOW), Err(Refused::Malformed), "{with}");
            }
        }
        let mut more = good.clone();
        more["nbf"] = json!(0);
        assert_eq!(outcome(&ring, &more, NOW), Err(Refused::Malformed));
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        let ring = keyring(Purpose::Token, Algorithm::Hs256);
        let seconds = NOW.as_seconds();
        for (iat, exp, why) in [
            (seconds, seconds + 301, Refused::LivesTooLong),
            (seconds, i64::MAX, Refused::LivesTooLong),
            (-1, seconds, Refused::Malformed),
            (seconds + 10, seconds, Refused::Malformed),
            (seconds + 6, seconds + 60, Refused::NotYetValid),
        ] {
            let mut with = claims();
            (with["iat"], with["exp"]) = (json!(iat), json!(exp));
            assert_eq!(outcome(&ring, &with, NOW), Err(why), "{iat} {exp}");
        }
    }

    fn swapped(value: &Value) -> Value {
        value.as_i64().map_or(json!(1), |number| json!(number.to_string()))
    }
}
