//! Passes and access tokens: nothing verifies but, byte for byte, what was signed.

use std::sync::LazyLock;

use hallpass_core::crypto::{Algorithm, PrivateKey, Random};
use hallpass_core::id::{KeyId, SessionId, UserId};
use hallpass_core::jose::{self, Kind};
use hallpass_core::keyring::{Keyring, Purpose, SigningKey};
use hallpass_core::pass::{self, Pass};
use hallpass_core::time::Timestamp;
use hallpass_core::token;

use crate::{Target, kind, text};

pub const TARGET: Target = Target {
    name: "pass",
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
        "InR5cCI6InBhc3Mrand0In0",
        "-",
        "_",
        "+",
        "/",
    ],
};

const ISSUER: &str = "https://auth.company.com";
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Known {
    keyring: Keyring,
    genuine: Vec<String>,
}

/// The same keys in every run, so that a found input can be looked at again.
static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    // PKCS#8 (RFC 8410) around a seed of our choice.
    let mut ed25519 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    ed25519.extend([7; 32]);
    let key = |number: u8, purpose, algorithm, stored: &[u8]| SigningKey {
        kid: KeyId::mint(&mut Counting(number)),
        purpose,
        private: PrivateKey::from_stored(algorithm, stored).expect("a key"),
        created_at: NOW,
        signs_from: NOW,
        signs_until: None,
        verifies_until: None,
    };
    let keys = vec![
        key(1, Purpose::Pass, Algorithm::EdDsa, &ed25519),
        key(2, Purpose::Pass, Algorithm::Hs256, &[9; 32]),
        key(3, Purpose::Token, Algorithm::EdDsa, &ed25519),
    ];
    let zone = "home".parse().expect("a name");
    let pass = Pass {
        issuer: ISSUER,
        zone: &zone,
        user_id: UserId::mint(&mut Counting(4)),
        session_id: SessionId::mint(&mut Counting(5)),
        issued_at: NOW,
        expires_at: Timestamp::from_seconds(1_800_000_900),
        authenticated_at: NOW,
    };
    let mut genuine: Vec<String> = keys[..2].iter().map(|key| pass::mint(key, &pass)).collect();
    let claims = serde_json::json!({
        "iss": ISSUER, "sub": pass.user_id, "aud": "billing", "client_id": "pos", "iat": 1_800_000_000, "exp": 1_800_000_060,
        "jti": "t_aaaaaaaaaaaaaaaaaaaaaaaaaa", "sid": pass.session_id, "scope": "canRefund",
    });
    genuine.push(jose::sign(&keys[2], Kind::AccessToken, &claims));
    Known { keyring: Keyring::new(keys), genuine }
});

/// Not random at all.
struct Counting(u8);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

fn run(input: &[u8]) -> u64 {
    let Known { keyring, genuine } = &*KNOWN;
    let token = text(input);
    let zone = "home".parse().expect("a name");
    let as_pass = pass::verify(&token, keyring, ISSUER, &zone, NOW);
    let as_token = token::verify(&token, keyring, ISSUER, &["billing".parse().expect("an audience")], NOW);
    let passes = &genuine[..2];
    assert_eq!(
        as_pass.is_ok(),
        passes.iter().any(|known| *known == *token),
        "a pass that nobody signed, or a signed one refused"
    );
    assert_eq!(as_token.is_ok(), *genuine[2] == *token, "a token that nobody signed, or a signed one refused");
    if as_pass.is_ok() {
        assert_eq!(jose::kind_of(&token), Some(Kind::Pass));
    }
    kind(&(as_pass.err(), as_token.err(), jose::kind_of(&token)))
}

fn seeds() -> Vec<Vec<u8>> {
    let forged = |header: &str, claims: &str| {
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.AAAA", encode(header), encode(claims))
    };
    let mut seeds: Vec<String> = KNOWN.genuine.clone();
    seeds.push(forged(r#"{"alg":"none","kid":"x","typ":"pass+jwt"}"#, r#"{"ver":1}"#));
    seeds.push(forged(r#"{"alg":"EdDSA","kid":"kid_04081020g20g4081020g4081020","typ":"pass+jwt","jwk":{}}"#, "{}"));
    seeds.push(forged("[]", "[]"));
    seeds.into_iter().map(String::into_bytes).collect()
}
