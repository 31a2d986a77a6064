//! What other providers say and anybody may bring: ID tokens and logout tokens, of which nothing is taken but, byte for byte, what was signed, each as what
//! it is; and their documents.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_core::jwk;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::oidc::{Issuer, KeySet, Metadata, SecondFactor, id_token, logout_token};
use serde_json::{Value, json};

use crate::{Target, ed25519, kind, text};

pub const TARGET: Target = Target {
    name: "providers",
    run,
    seeds,
    words: &[
        ".",
        "..",
        "=",
        "eyJhbGciOiJub25lIn0",
        "e30",
        "eyJ",
        "bm9uZQ",
        "\"kid\":\"one\"",
        "\"kty\":\"OKP\"",
        "\"kty\":\"RSA\",\"n\":\"",
        "\"keys\":[",
        "null",
        "1e999",
        "https://",
        "{tenantid}",
        "\\u0000",
        "-",
        "_",
        "/",
    ],
};

const ISSUER: &str = "https://accounts.example";
const CLIENT: &str = "hallpass";
const ALGORITHMS: &[Algorithm] = &[Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps256];
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Known {
    issuer: Issuer,
    keys: KeySet,
    key_set: String,
    metadata: String,
    id_token: String,
    logout_token: String,
}

/// The same key in every run, so that a found input can be looked at again.
static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let key = ed25519(8);
    let key_set = json!({ "keys": [jwk::write(key.public().expect("asymmetric"), "one")] }).to_string();
    let now = NOW.as_seconds();
    let id_token = json!({
        "iss": ISSUER, "sub": "mia", "aud": [CLIENT], "iat": now, "exp": now + 300, "nonce": "n", "sid": "s-1", "auth_time": now,
    });
    let logout_token = json!({
        "iss": ISSUER, "sub": "mia", "aud": CLIENT, "iat": now, "exp": now + 120, "jti": "j", "sid": "s-1",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let at = |path: &str| format!("{ISSUER}{path}");
    let metadata = json!({
        "issuer": ISSUER, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"), "jwks_uri": at("/keys"),
        "end_session_endpoint": at("/end"), "id_token_signing_alg_values_supported": ["EdDSA"],
    });
    Known {
        issuer: Issuer::Exact(ISSUER.into()),
        keys: KeySet::read(key_set.as_bytes()).expect("keys"),
        key_set,
        metadata: metadata.to_string(),
        // No type, so that nothing but the claims tells them apart.
        id_token: signed(&key, &id_token),
        logout_token: signed(&key, &logout_token),
    }
});

fn signed(key: &PrivateKey, claims: &Value) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", text(&json!({ "alg": "EdDSA", "kid": "one" })), text(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn run(input: &[u8]) -> u64 {
    let known = &*KNOWN;
    let text = text(input);
    let as_id_token = as_id_token(&text, &known.keys);
    let as_logout_token = as_logout_token(&text, &known.keys);
    assert_eq!(
        as_id_token.is_ok(),
        *text == *known.id_token,
        "an ID token that nobody signed, or a signed one refused"
    );
    assert_eq!(
        as_logout_token.is_ok(),
        *text == *known.logout_token,
        "a logout token that nobody signed, or a signed one refused"
    );
    let keys = KeySet::read(input);
    // Whatever keys somebody publishes: what is not signed is not taken.
    let by_their_keys = keys.as_ref().map(|keys| {
        let unsigned = format!("{}.", known.id_token.rsplit_once('.').expect("parts").0);
        assert!(self::as_id_token(&unsigned, keys).is_err(), "an unsigned token by somebody's keys");
        (self::as_id_token(&known.id_token, keys).err(), self::as_logout_token(&known.logout_token, keys).err())
    });
    let metadata = Metadata::read(input, &known.issuer);
    if let Ok(metadata) = &metadata {
        let end = metadata.end_session_endpoint.iter();
        for url in
            [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri].into_iter().chain(end)
        {
            assert!(matches!(url.scheme(), "https" | "http") && url.has_host(), "{url} is no address of the web");
            assert!(url.username().is_empty() && url.password().is_none(), "{url} has a secret in it");
        }
    }
    kind(&(as_id_token.err(), as_logout_token.err(), by_their_keys, metadata.err()))
}

fn as_id_token(token: &str, keys: &KeySet) -> Result<(), id_token::IdTokenRefused> {
    let second_factor = SecondFactor::default();
    let expected = id_token::Expected {
        issuer: &KNOWN.issuer,
        client_id: CLIENT,
        nonce: "n",
        algorithms: ALGORITHMS,
        begun_at: NOW,
        max_age: Some(std::time::Duration::ZERO),
        second_factor: &second_factor,
    };
    id_token::verify(token, keys, &expected, NOW).map(drop)
}

fn as_logout_token(token: &str, keys: &KeySet) -> Result<(), logout_token::LogoutTokenRefused> {
    let expected = logout_token::Expected { issuer: &KNOWN.issuer, client_id: CLIENT, algorithms: ALGORITHMS };
    logout_token::verify(token, keys, &expected, NOW).map(drop)
}

fn seeds() -> Vec<Vec<u8>> {
    let Known { key_set, metadata, id_token, logout_token, .. } = &*KNOWN;
    [id_token, logout_token, key_set, metadata].map(|text| text.clone().into_bytes()).into()
}
