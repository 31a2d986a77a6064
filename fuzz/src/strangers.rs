//! What others sign with keys of their own, client assertions and proofs of possession: nothing is taken but, byte for byte, what was signed. And what they say
//! of themselves: keys, documents of clients, the addresses of those.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::PrivateKey;
use hallpass_core::id::AppKey;
use hallpass_core::jwk;
use hallpass_core::oidc::{
    ClientAssertion, ClientIdUrl, ClientKeys, ProvenRequest, RedirectUri, client_document, verify_proof,
};
use hallpass_core::time::Timestamp;
use serde_json::{Value, json};

use crate::{Target, ed25519, kind, text};

pub const TARGET: Target = Target {
    name: "strangers",
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
        "SFMyNTY",
        "ImV4cCI6",
        "ImQiOi",
        "-",
        "_",
        "+",
        "/",
    ],
};

const ISSUER: &str = "https://auth.company.com";
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const REQUEST: ProvenRequest<'_> =
    ProvenRequest { method: "POST", url: "https://auth.company.com/oauth/token", access_token: None };

struct Known {
    keys: ClientKeys,
    assertion: String,
    proof: String,
}

/// The same key in every run, so that a found input can be looked at again.
static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let key = ed25519(7);
    let jwk = jwk::write(key.public().expect("asymmetric"), "k1");
    let keys = json!({ "keys": [jwk] }).to_string().parse().expect("keys");
    let now = NOW.as_seconds();
    let claims = json!({ "iss": "crm", "sub": "crm", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "one" });
    let assertion = signed(&key, &json!({ "alg": "EdDSA", "kid": "k1" }), &claims);
    let claims = json!({ "jti": "one", "htm": REQUEST.method, "htu": REQUEST.url, "iat": now });
    let proof = signed(&key, &json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk }), &claims);
    Known { keys, assertion, proof }
});

fn signed(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", text(header), text(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn run(input: &[u8]) -> u64 {
    let Known { keys, assertion, proof } = &*KNOWN;
    let text = text(input);
    let as_assertion = ClientAssertion::read(&text).and_then(|read| read.verify(keys, ISSUER, NOW));
    let as_proof = verify_proof(&text, &REQUEST, NOW);
    assert_eq!(as_assertion.is_ok(), *text == **assertion, "an assertion that nobody signed, or a signed one refused");
    assert_eq!(as_proof.is_ok(), *text == **proof, "a proof that nobody signed, or a signed one refused");
    // A declaration is somebody's text, too: whatever is taken reads back as the same.
    let declared = text.parse::<ClientKeys>();
    if let Ok(declared) = &declared {
        assert_eq!(declared.to_string().parse().as_ref(), Ok(declared), "keys that do not read back");
    }
    // So is what a client says of itself, and where: it is somebody else's whatever it says, and its codes go to its own origin or its person's computer.
    let described = client_document::read(&AT, input, "home".parse().expect("a name"));
    if let Ok(app) = &described {
        let own = ["https://planner.example/", "http://127.0.0.1", "http://[::1]", "example.planner"];
        let stays = |uri: &RedirectUri| own.iter().any(|own| uri.as_str().starts_with(own));
        assert!(app.redirect_uris.iter().all(stays) && !app.redirect_uris.is_empty(), "{app:?}");
        assert!(
            app.third_party && app.registered && app.client_id() == AT.as_str() && app.origins.is_empty(),
            "{app:?}"
        );
        assert!(!(app.client_credentials || app.device || app.client.offline_access), "{app:?}");
    }
    let address = text.parse::<ClientIdUrl>();
    if let Ok(address) = &address {
        assert!(address.as_str() == text && text.parse::<AppKey>().is_err(), "{address}");
    }
    kind(&(as_assertion.err(), as_proof.err(), declared.err(), described.err(), address.is_ok()))
}

static AT: LazyLock<ClientIdUrl> = LazyLock::new(|| "https://planner.example/client.json".parse().expect("an address"));

fn seeds() -> Vec<Vec<u8>> {
    let Known { keys, assertion, proof } = &*KNOWN;
    let document = json!({
        "client_id": AT.as_str(), "client_name": "Planner", "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
        "redirect_uris": ["https://planner.example/cb", "http://127.0.0.1/cb", "example.planner:/cb", "https://evil.example/cb"],
    });
    [assertion, proof, &keys.to_string(), &document.to_string(), AT.as_str()]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
