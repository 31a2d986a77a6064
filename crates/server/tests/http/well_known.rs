//! `/.well-known/jwks.json`: public keys only, and the one that signs among them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::Algorithm;
use hallpass_core::jwk;
use serde_json::Value;

use crate::support::{Ask, Site};

#[tokio::test]
async fn the_pass_can_be_checked_with_what_is_published() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let site = Site::start_with(|config| config.pass.algorithm = algorithm).await;
        let pass = site.signed_in(&site.ana).await.pass;
        let (signed, signature) = pass.rsplit_once('.').expect("a signature");
        let header: Value = {
            let header = signed.split('.').next().expect("a header");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON")
        };
        assert_eq!((&header["alg"], &header["typ"]), (&algorithm.as_str().into(), &"pass+jwt".into()));
        let answer = site.send(Ask::get("/.well-known/jwks.json")).await;
        assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=600"));
        let keys = answer.json()["keys"].as_array().expect("keys").clone();
        let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("published");
        for key in &keys {
            for private in ["d", "p", "q", "k"] {
                assert_eq!(key.get(private), None, "{private} is private");
            }
        }
        let key = jwk::read(key, algorithm).expect("a key");
        assert!(key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64url")));
        assert!(site.is_active(&site.pos, &pass).await);
    }
}

/// An HS256 key checks and signs alike: published, it would let anybody mint passes.
#[tokio::test]
async fn a_shared_key_is_never_published() {
    let site = Site::start_with(|config| config.pass.algorithm = Algorithm::Hs256).await;
    let pass = site.signed_in(&site.ana).await.pass;
    assert!(site.is_active(&site.pos, &pass).await);
    let keys = site.send(Ask::get("/.well-known/jwks.json")).await.json()["keys"].as_array().expect("keys").clone();
    assert!(!keys.is_empty() && keys.iter().all(|key| key["kty"] != "oct"), "request tokens only: {keys:?}");
}
