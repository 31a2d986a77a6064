//! Each way in which a logout token can be wrong, alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::crypto::PrivateKey;
use crate::jwk;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://accounts.example";
const ALL: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256];

fn sign(key: &PrivateKey, header: &Value, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn header(algorithm: Algorithm) -> Value {
    json!({ "alg": algorithm.as_str(), "kid": "one", "typ": "logout+jwt" })
}

fn claims() -> Value {
    let now = NOW.as_seconds();
    json!({
        "iss": ISSUER, "aud": "hallpass", "iat": now, "exp": now + 120, "jti": "j-1", "events": { EVENT: {} }, "sub": "mia",
        "sid": "s-1",
    })
}

fn set(keys: &[(&PrivateKey, &str)]) -> KeySet {
    let keys: Vec<_> = keys.iter().map(|(key, kid)| jwk::write(key.public().expect("asymmetric"), kid)).collect();
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
}

fn verified(token: &str, keys: &KeySet) -> Result<SignOut, LogoutTokenRefused> {
    let issuer = Issuer::Exact(ISSUER.into());
    verify(token, keys, &Expected { issuer: &issuer, client_id: "hallpass", algorithms: &ALL }, NOW)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(names: &[&str]) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").retain(|name, _| !names.contains(&name.as_str()));
    claims
}

#[test]
fn whom_it_names_with_every_algorithm() {
    for algorithm in ALL {
        let key = PrivateKey::generate(algorithm);
        let token = sign(&key, &header(algorithm), &claims().to_string());
        let said = verified(&token, &set(&[(&key, "one")])).expect("good");
        assert_eq!(said.issuer(), ISSUER);
        let ended = Ended { subject: Some("mia".to_owned()), sid: Some("s-1".to_owned()), issued_at: NOW };
        assert_eq!(said.ended(), &ended);
        let stranger = set(&[(&PrivateKey::generate(algorithm), "one")]);
        assert_eq!(verified(&token, &stranger), Err(IdTokenRefused::BadSignature.into()));
    }
}

/// T26
#[test]
fn no_algorithm_but_those_of_published_keys() {
    let key = PrivateKey::generate(Algorithm::Rs256);
    let keys = set(&[(&key, "one")]);
    for alg in ["none", "None", "", "HS256", "RS512"] {
        let token = sign(&key, &json!({ "alg": alg, "kid": "one", "typ": "logout+jwt" }), &claims().to_string());
        for token in [token.clone(), format!("{}.", token.rsplit_once('.').expect("parts").0)] {
            assert_eq!(verified(&token, &keys), Err(IdTokenRefused::WrongAlgorithm.into()), "{alg}");
        }
    }
    let public = jwk::write(key.public().expect("asymmetric"), "one").to_string();
    let hmac = PrivateKey::from_stored(Algorithm::Hs256, public.as_bytes()).expect("long enough");
    let token = sign(&hmac, &header(Algorithm::Rs256), &claims().to_string());
    assert_eq!(verified(&token, &keys), Err(IdTokenRefused::BadSignature.into()));
}

#[test]
fn what_it_says_it_is() {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let typed = |typ: Value| {
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": typ });
        verified(&sign(&key, &header, &claims().to_string()), &keys).err()
    };
    for typ in ["logout+jwt", "Logout+JWT", "application/logout+jwt", "JWT", "jwt"] {
        assert_eq!(typed(json!(typ)), None, "{typ}");
    }
    assert_eq!(typed(json!(null)), None, "it need not say");
    for typ in ["at+jwt", "id_token+jwt", "secevent+jwt", ""] {
        assert_eq!(typed(json!(typ)), Some(IdTokenRefused::WrongType.into()), "{typ}");
    }
    let critical = json!({ "alg": "EdDSA", "kid": "one", "crit": ["b64"], "b64": false });
    let token = sign(&key, &critical, &claims().to_string());
    assert_eq!(verified(&token, &keys), Err(IdTokenRefused::Critical.into()));
}

#[test]
fn each_claim_must_be_right() {
    use LogoutTokenRefused::{NamesNobody, NoIdentifier, NoLogout, Nonce, Old};
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let refused = |claims: &Value| verified(&sign(&key, &header(Algorithm::EdDsa), &claims.to_string()), &keys).err();
    let now = NOW.as_seconds();
    let malformed = LogoutTokenRefused::Token(IdTokenRefused::Malformed);
    for (claims, why) in [
        (with("iss", json!("https://evil.example")), IdTokenRefused::WrongIssuer.into()),
        (with("iss", json!("https://accounts.example/")), IdTokenRefused::WrongIssuer.into()),
        (without(&["iss"]), malformed),
        (with("aud", json!("other")), IdTokenRefused::WrongAudience.into()),
        (with("aud", json!([])), IdTokenRefused::WrongAudience.into()),
        (without(&["aud"]), malformed),
        (with("iat", json!(now + 61)), IdTokenRefused::IssuedInFuture.into()),
        (with("iat", json!(now - 360)), Old),
        (with("iat", json!(now - 86_400)), Old),
        (with("iat", json!(i64::MAX)), malformed),
        (with("iat", json!(now.to_string())), malformed),
        (without(&["iat"]), malformed),
        (with("exp", json!(now - 60)), IdTokenRefused::Expired.into()),
        (with("exp", json!(i64::MIN)), malformed),
        (with("jti", json!("")), NoIdentifier),
        (with("jti", json!("a\nb")), NoIdentifier),
        (with("jti", json!(7)), malformed),
        (without(&["jti"]), NoIdentifier),
        (without(&["events"]), NoLogout),
        (with("events", json!(EVENT)), NoLogout),
        (with("events", json!([EVENT])), NoLogout),
        (with("events", json!({ EVENT: true })), NoLogout),
        (with("events", json!({ EVENT: null })), NoLogout),
        (with("events", json!({ format!("{EVENT}/"): {} })), NoLogout),
        (with("events", json!({ "http://schemas.openid.net/event/backchannel-Logout": {} })), NoLogout),
        (with("nonce", json!("n")), Nonce),
        (with("nonce", json!("")), Nonce),
        (with("nonce", json!(null)), Nonce),
        (without(&["sub", "sid"]), NamesNobody),
        (with("sid", json!("")), NamesNobody),
        (with("sub", json!("")), NamesNobody),
        (with("sid", json!("a\u{0}")), NamesNobody),
        (with("sid", json!("x".repeat(256))), NamesNobody),
        (with("sid", json!(7)), malformed),
    ] {
        assert_eq!(refused(&claims), Some(why), "{claims}");
    }
    for good in [
        without(&["sub"]),
        without(&["sid"]),
        without(&["exp"]),
        with("aud", json!(["other", "hallpass"])),
        with("iat", json!(now - 359)),
        with("iat", json!(now + 60)),
        with("exp", json!(now - 59)),
        with("events", json!({ EVENT: {}, "https://other.example/event": {} })),
    ] {
        assert_eq!(refused(&good), None, "{good}");
    }
    let twice = claims().to_string().replacen('{', "{\"sid\":\"s-2\",", 1);
    assert_eq!(verified(&sign(&key, &header(Algorithm::EdDsa), &twice), &keys).err(), Some(malformed), "two sessions");
}

/// An ID token of the same provider for the same client, and the other way round.
#[test]
fn an_id_token_is_none_and_it_is_no_id_token() {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let now = NOW.as_seconds();
    let mut id_token = json!({ "iss": ISSUER, "sub": "mia", "aud": "hallpass", "iat": now, "exp": now + 300, "nonce": "n", "sid": "s-1", "jti": "x" });
    for typ in ["JWT", "logout+jwt"] {
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": typ });
        let token = sign(&key, &header, &id_token.to_string());
        assert_eq!(verified(&token, &keys), Err(LogoutTokenRefused::NoLogout));
    }
    id_token["events"] = json!({ EVENT: {} });
    let token = sign(&key, &header(Algorithm::EdDsa), &id_token.to_string());
    assert_eq!(verified(&token, &keys), Err(LogoutTokenRefused::Nonce));
}

#[test]
fn a_token_of_one_issuer_is_not_the_same_as_one_of_another() {
    let said = |issuer: &str, jti: &str| {
        let key = PrivateKey::generate(Algorithm::EdDsa);
        let mut claims = with("jti", json!(jti));
        claims["iss"] = json!(issuer);
        let own = Issuer::Exact(issuer.into());
        let expected = Expected { issuer: &own, client_id: "hallpass", algorithms: &ALL };
        let token = sign(&key, &header(Algorithm::EdDsa), &claims.to_string());
        *verify(&token, &set(&[(&key, "one")]), &expected, NOW).expect("good").token()
    };
    assert_eq!(said(ISSUER, "a"), said(ISSUER, "a"));
    assert_ne!(said(ISSUER, "a"), said(ISSUER, "b"));
    assert_ne!(said(ISSUER, "a"), said("https://other.example", "a"));
}

#[test]
fn it_ends_what_it_names_and_nothing_else() {
    let said = |subject: Option<&str>, sid: Option<&str>| {
        let own = |text: &str| text.to_owned();
        Ended { subject: subject.map(own), sid: sid.map(own), issued_at: NOW }
    };
    for (subject, sid, theirs, there, ends) in [
        (Some("mia"), Some("s-1"), "mia", Some("s-1"), true),
        (Some("mia"), Some("s-1"), "mia", Some("s-2"), false),
        (Some("mia"), Some("s-1"), "ben", Some("s-1"), false),
        (None, Some("s-1"), "mia", Some("s-1"), true),
        (None, Some("s-1"), "mia", Some("s-2"), false),
        (Some("mia"), None, "mia", Some("s-1"), true),
        (Some("mia"), None, "mia", None, true),
        (Some("mia"), None, "ben", Some("s-1"), false),
        // Which session it was we were not told.
        (Some("mia"), Some("s-1"), "mia", None, true),
        (Some("mia"), Some("s-1"), "ben", None, false),
        (None, Some("s-1"), "mia", None, false),
    ] {
        assert_eq!(said(subject, sid).ends(theirs, there), ends, "{subject:?} {sid:?} {theirs} {there:?}");
    }
    let there = |issued_at| There { subject: "mia".to_owned(), sid: Some("s-1".to_owned()), issued_at };
    let said = said(Some("mia"), Some("s-1"));
    assert!(said.overtakes(&there(NOW)) && said.overtakes(&there(NOW - Duration::from_secs(30))));
    assert!(!said.overtakes(&there(NOW + Duration::from_secs(1))), "who comes again is not kept out");
}

/// Entra ID's keys are each for some of its tenants.
#[test]
fn a_tenant_speaks_for_itself() {
    let key = PrivateKey::generate(Algorithm::Rs256);
    let tenants = ["11111111", "22222222"].map(|first| format!("{first}-0000-0000-0000-000000000000"));
    let template = "https://login.example/{tenantid}/v2.0";
    let of = |tenant: &str| template.replace("{tenantid}", tenant);
    let issuer = Issuer::Entra {
        template: template.into(),
        tenants: tenants.iter().map(|tenant| tenant.parse().expect("one")).collect(),
    };
    let verified = |key_of: &str, iss: &str| {
        let mut published = jwk::write(key.public().expect("asymmetric"), "one");
        published["issuer"] = key_of.into();
        let keys = KeySet::read(json!({ "keys": [published] }).to_string().as_bytes()).expect("a set");
        let expected = Expected { issuer: &issuer, client_id: "hallpass", algorithms: &ALL };
        let claims = with("iss", json!(iss));
        verify(&sign(&key, &header(Algorithm::Rs256), &claims.to_string()), &keys, &expected, NOW).err()
    };
    assert_eq!(verified(template, &of(&tenants[1])), None);
    assert_eq!(verified(&of(&tenants[0]), &of(&tenants[0])), None);
    assert_eq!(verified(&of(&tenants[0]), &of(&tenants[1])), Some(IdTokenRefused::KeyOfAnother.into()));
    let other = of("33333333-0000-0000-0000-000000000000");
    assert_eq!(verified(template, &other), Some(IdTokenRefused::WrongIssuer.into()));
}
