//! Each way in which a token can be wrong, alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::crypto::PrivateKey;
use crate::jwk;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://accounts.example";
const ALL: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256];

fn sign(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn header(algorithm: Algorithm) -> Value {
    json!({ "alg": algorithm.as_str(), "kid": "one", "typ": "JWT", "x5t": "whatever" })
}

fn claims() -> Value {
    let now = NOW.as_seconds();
    json!({
        "iss": ISSUER, "sub": "auth0|7 a", "aud": "hallpass", "iat": now, "exp": now + 300, "nonce": "n", "auth_time": now - 900,
        "amr": ["pwd", "fancy"], "acr": "urn:strong", "email": "ana@company.com",
    })
}

fn set(keys: &[(&PrivateKey, &str)]) -> KeySet {
    let keys: Vec<_> = keys.iter().map(|(key, kid)| jwk::write(key.public().expect("asymmetric"), kid)).collect();
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
}

fn without(claims: &mut Value, name: &str) {
    claims.as_object_mut().expect("an object").remove(name);
}

struct Setting {
    issuer: Issuer,
    second_factor: SecondFactor,
    max_age: Option<Duration>,
}

impl Setting {
    fn usual() -> Self {
        Self { issuer: Issuer::Exact(ISSUER.into()), second_factor: SecondFactor::default(), max_age: None }
    }

    fn verify(&self, token: &str, keys: &KeySet) -> Result<Identity, IdTokenRefused> {
        let expected = Expected {
            issuer: &self.issuer,
            client_id: "hallpass",
            nonce: "n",
            algorithms: &ALL,
            begun_at: NOW - Duration::from_mins(2),
            max_age: self.max_age,
            second_factor: &self.second_factor,
        };
        verify(token, keys, &expected, NOW)
    }
}

#[test]
fn whoever_it_says_with_every_algorithm() {
    for algorithm in ALL {
        let key = PrivateKey::generate(algorithm);
        let token = sign(&key, &header(algorithm), &claims());
        let identity = Setting::usual().verify(&token, &set(&[(&key, "one")])).expect("good");
        assert_eq!((identity.issuer(), identity.subject().as_str()), (ISSUER, "auth0|7 a"));
        assert_eq!(
            (identity.acr(), identity.amr()),
            (Acr::Aal1, &[Amr::Pwd][..]),
            "their words count for nothing by themselves"
        );
        assert_eq!(identity.authenticated_at(), NOW - Duration::from_mins(15));
        let stranger = PrivateKey::generate(algorithm);
        let other = set(&[(&stranger, "one")]);
        assert_eq!(Setting::usual().verify(&token, &other), Err(IdTokenRefused::BadSignature));
        assert_eq!(Setting::usual().verify(&token, &set(&[(&key, "two")])), Err(IdTokenRefused::UnknownKey));
        let unsigned = format!("{}.", token.rsplit_once('.').expect("parts").0);
        assert_eq!(Setting::usual().verify(&unsigned, &set(&[(&key, "one")])), Err(IdTokenRefused::BadSignature));
    }
}

/// T26
#[test]
fn no_algorithm_but_those_of_published_keys() {
    let key = PrivateKey::generate(Algorithm::Rs256);
    let keys = set(&[(&key, "one")]);
    for alg in ["none", "None", "", "HS256", "HS512", "RS512", "ES384"] {
        let token = sign(&key, &json!({ "alg": alg, "kid": "one" }), &claims());
        for token in [token.clone(), format!("{}.", token.rsplit_once('.').expect("parts").0)] {
            assert_eq!(Setting::usual().verify(&token, &keys), Err(IdTokenRefused::WrongAlgorithm), "{alg}");
        }
    }
    // The public key as an HMAC secret, under the key's own algorithm.
    let public = jwk::write(key.public().expect("asymmetric"), "one").to_string();
    let hmac = PrivateKey::from_stored(Algorithm::Hs256, public.as_bytes()).expect("long enough");
    let token = sign(&hmac, &header(Algorithm::Rs256), &claims());
    assert_eq!(Setting::usual().verify(&token, &keys), Err(IdTokenRefused::BadSignature));
    // A key that says what it is for is used for nothing else.
    let token = sign(&PrivateKey::generate(Algorithm::Ps256), &header(Algorithm::Ps256), &claims());
    assert_eq!(Setting::usual().verify(&token, &keys), Err(IdTokenRefused::UnknownKey));
    // Ours, but none that this provider announces.
    let issuer = Issuer::Exact(ISSUER.into());
    let second_factor = SecondFactor::default();
    let expected = Expected {
        issuer: &issuer,
        client_id: "hallpass",
        nonce: "n",
        algorithms: &[Algorithm::EdDsa],
        begun_at: NOW,
        max_age: None,
        second_factor: &second_factor,
    };
    let token = sign(&key, &header(Algorithm::Rs256), &claims());
    assert_eq!(verify(&token, &keys, &expected, NOW), Err(IdTokenRefused::WrongAlgorithm));
}

/// T27
#[test]
fn what_a_header_brings_along_is_not_looked_at() {
    let (key, attacker) = (PrivateKey::generate(Algorithm::EdDsa), PrivateKey::generate(Algorithm::EdDsa));
    let keys = set(&[(&key, "one")]);
    let own = jwk::write(attacker.public().expect("asymmetric"), "one");
    let header = json!({ "alg": "EdDSA", "kid": "one", "jwk": own, "jku": "https://evil.example/", "x5u": "https://evil.example/" });
    let token = sign(&attacker, &header, &claims());
    assert_eq!(Setting::usual().verify(&token, &keys), Err(IdTokenRefused::BadSignature));
    for (header, why) in [
        (json!({ "alg": "EdDSA", "kid": "one", "crit": ["b64"] }), IdTokenRefused::Critical),
        (json!({ "alg": "EdDSA", "kid": "one", "typ": "at+jwt" }), IdTokenRefused::WrongType),
        (json!({ "alg": "EdDSA", "kid": "one", "typ": "logout+jwt" }), IdTokenRefused::WrongType),
        (json!({ "alg": 7 }), IdTokenRefused::Malformed),
        (json!(["EdDSA"]), IdTokenRefused::Malformed),
    ] {
        assert_eq!(Setting::usual().verify(&sign(&key, &header, &claims()), &keys), Err(why), "{header}");
    }
}

#[test]
fn without_a_name_the_only_key_counts() {
    let (one, two) = (PrivateKey::generate(Algorithm::EdDsa), PrivateKey::generate(Algorithm::EdDsa));
    let token = sign(&one, &json!({ "alg": "EdDSA" }), &claims());
    assert!(Setting::usual().verify(&token, &set(&[(&one, "one")])).is_ok());
    let several = set(&[(&one, "one"), (&two, "two")]);
    assert_eq!(Setting::usual().verify(&token, &several), Err(IdTokenRefused::AmbiguousKey));
    let twice = set(&[(&one, "one"), (&two, "one")]);
    let token = sign(&one, &header(Algorithm::EdDsa), &claims());
    assert_eq!(Setting::usual().verify(&token, &twice), Err(IdTokenRefused::AmbiguousKey));
}

#[test]
fn each_claim_must_be_right() {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let refused = |name: &str, value: Value| {
        let mut claims = claims();
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value;
        }
        Setting::usual().verify(&sign(&key, &header(Algorithm::EdDsa), &claims), &keys).err()
    };
    let now = NOW.as_seconds();
    assert_eq!(refused("email", json!(null)), None);
    assert_eq!(refused("iat", json!(now - 300)), None, "Entra ID's are dated back");
    for (name, value, why) in [
        ("iss", json!("https://accounts.example/"), IdTokenRefused::WrongIssuer),
        ("iss", json!("https://evil.example"), IdTokenRefused::WrongIssuer),
        ("iss", json!(null), IdTokenRefused::Malformed),
        ("aud", json!("other"), IdTokenRefused::WrongAudience),
        ("aud", json!([]), IdTokenRefused::WrongAudience),
        ("aud", json!(["other"]), IdTokenRefused::WrongAudience),
        ("aud", json!(["hallpass", "other"]), IdTokenRefused::WrongParty),
        ("aud", json!({ "hallpass": true }), IdTokenRefused::Malformed),
        ("aud", json!(null), IdTokenRefused::Malformed),
        ("azp", json!("other"), IdTokenRefused::WrongParty),
        ("nonce", json!("m"), IdTokenRefused::WrongNonce),
        ("nonce", json!(""), IdTokenRefused::WrongNonce),
        ("nonce", json!(null), IdTokenRefused::WrongNonce),
        ("exp", json!(now - 60), IdTokenRefused::Expired),
        ("exp", json!((now + 300).to_string()), IdTokenRefused::Malformed),
        ("exp", json!(null), IdTokenRefused::Malformed),
        ("exp", json!(i64::MAX), IdTokenRefused::Malformed),
        ("iat", json!(now + 61), IdTokenRefused::IssuedInFuture),
        ("iat", json!(now - 721), IdTokenRefused::IssuedBefore),
        ("iat", json!(null), IdTokenRefused::Malformed),
        ("iat", json!(i64::MIN), IdTokenRefused::Malformed),
        ("auth_time", json!("now"), IdTokenRefused::Malformed),
        ("sub", json!(""), IdTokenRefused::NoSubject),
        ("sub", json!("a\nb"), IdTokenRefused::NoSubject),
        ("sub", json!("\u{e4}"), IdTokenRefused::NoSubject),
        ("sub", json!("a".repeat(256)), IdTokenRefused::NoSubject),
        ("sub", json!(7), IdTokenRefused::Malformed),
        ("sub", json!(null), IdTokenRefused::Malformed),
    ] {
        assert_eq!(refused(name, value.clone()), Some(why), "{name} {value}");
    }
    // For us and others, asked for by us; and a clock that differs a little.
    let mut good = claims();
    (good["aud"], good["azp"]) = (json!(["other", "hallpass"]), json!("hallpass"));
    (good["exp"], good["iat"]) = (json!(now - 59), json!(now + 60));
    assert!(Setting::usual().verify(&sign(&key, &header(Algorithm::EdDsa), &good), &keys).is_ok());
    without(&mut good, "auth_time");
    let silent = Setting::usual().verify(&sign(&key, &header(Algorithm::EdDsa), &good), &keys).expect("good");
    assert_eq!(silent.authenticated_at(), NOW, "when we were told");
    let text = claims().to_string().replacen('{', "{\"sub\":\"admin\",", 1);
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header(Algorithm::EdDsa).to_string()), URL_SAFE_NO_PAD.encode(text));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())));
    assert_eq!(Setting::usual().verify(&token, &keys), Err(IdTokenRefused::Malformed), "two subjects");
}

#[test]
fn a_new_proof_must_be_one() {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let anew = Setting { max_age: Some(Duration::ZERO), ..Setting::usual() };
    let verify = |auth_time: Value| {
        let mut claims = claims();
        claims["auth_time"] = auth_time;
        anew.verify(&sign(&key, &header(Algorithm::EdDsa), &claims), &keys).map(|identity| identity.authenticated_at())
    };
    let now = NOW.as_seconds();
    assert_eq!(verify(json!(now)), Ok(NOW));
    assert_eq!(verify(json!(now + 3600)), Ok(NOW), "never later than now");
    assert_eq!(verify(json!(now - 181)), Err(IdTokenRefused::NotAuthenticatedAnew));
    assert_eq!(verify(json!(null)), Err(IdTokenRefused::NotAuthenticatedAnew), "silence is no proof");
}

#[test]
fn an_older_proof_is_as_old_as_was_asked_and_no_older() {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let within = |max_age: Option<u64>, auth_time: Value| {
        let mut claims = claims();
        claims["auth_time"] = auth_time;
        let setting = Setting { max_age: max_age.map(Duration::from_secs), ..Setting::usual() };
        setting.verify(&sign(&key, &header(Algorithm::EdDsa), &claims), &keys).err()
    };
    // The sign-in began two minutes ago, and clocks differ by one.
    let begun = NOW.as_seconds() - 120;
    assert_eq!(within(Some(300), json!(begun - 360)), None);
    assert_eq!(within(Some(300), json!(begun - 361)), Some(IdTokenRefused::NotAuthenticatedAnew));
    assert_eq!(within(Some(300), json!(null)), Some(IdTokenRefused::NotAuthenticatedAnew), "silence is no proof");
    assert_eq!(within(None, json!(begun - 100_000)), None, "where nothing was asked");
    assert_eq!(within(Some(u64::from(u32::MAX)), json!(0)), None, "a time that never comes");
}

#[test]
fn two_factors_are_what_the_operator_says() {
    let key = PrivateKey::generate(Algorithm::EdDsa);
    let keys = set(&[(&key, "one")]);
    let acr = |second_factor: SecondFactor| {
        let token = sign(&key, &header(Algorithm::EdDsa), &claims());
        Setting { second_factor, ..Setting::usual() }.verify(&token, &keys).expect("good").acr()
    };
    let list = |text: &str| vec![text.to_owned()];
    assert_eq!(acr(SecondFactor { acr: list("urn:strong"), amr: Vec::new() }), Acr::Aal2);
    assert_eq!(acr(SecondFactor { acr: Vec::new(), amr: list("fancy") }), Acr::Aal2);
    assert_eq!(acr(SecondFactor { acr: list("urn:other"), amr: list("mfa") }), Acr::Aal1);
}

#[test]
fn entra_id_is_tenant_and_object() {
    let key = PrivateKey::generate(Algorithm::Rs256);
    let tenant = "11111111-0000-0000-0000-000000000000";
    let template = "https://login.example/{tenantid}/v2.0";
    let own = template.replace("{tenantid}", tenant);
    let issuer = Issuer::Entra { template: template.into(), tenants: [tenant.parse().expect("one")].into() };
    let setting = Setting { issuer, ..Setting::usual() };
    let keys = |issuer: &str| {
        let mut key = jwk::write(key.public().expect("asymmetric"), "one");
        key["issuer"] = issuer.into();
        KeySet::read(json!({ "keys": [key] }).to_string().as_bytes()).expect("a set")
    };
    let verify = |keys: &KeySet, change: &dyn Fn(&mut Value)| {
        let mut claims = claims();
        (claims["iss"], claims["tid"], claims["oid"]) = (json!(own), json!(tenant), json!("0b1c"));
        change(&mut claims);
        setting.verify(&sign(&key, &header(Algorithm::Rs256), &claims), keys)
    };
    for said in [template, &*own] {
        let identity = verify(&keys(said), &|_| ()).expect("good");
        assert_eq!((identity.issuer(), identity.subject().as_str()), (&*own, "0b1c"));
    }
    let refused = |change: &dyn Fn(&mut Value)| verify(&keys(template), change).err();
    let other = "22222222-0000-0000-0000-000000000000";
    assert_eq!(refused(&|claims| claims["tid"] = json!(other)), Some(IdTokenRefused::WrongTenant));
    assert_eq!(
        refused(&|claims| {
            claims["tid"] = json!(other);
            claims["iss"] = json!(template.replace("{tenantid}", other));
        }),
        Some(IdTokenRefused::WrongTenant)
    );
    assert_eq!(
        refused(&|claims| claims["iss"] = json!(template.replace("{tenantid}", other))),
        Some(IdTokenRefused::WrongIssuer)
    );
    assert_eq!(
        refused(&|claims| drop(claims.as_object_mut().expect("one").remove("tid"))),
        Some(IdTokenRefused::WrongTenant)
    );
    assert_eq!(
        refused(&|claims| drop(claims.as_object_mut().expect("one").remove("oid"))),
        Some(IdTokenRefused::NoSubject)
    );
    let foreign = keys("https://login.example/22222222-0000-0000-0000-000000000000/v2.0");
    assert_eq!(verify(&foreign, &|_| ()), Err(IdTokenRefused::KeyOfAnother));
}
