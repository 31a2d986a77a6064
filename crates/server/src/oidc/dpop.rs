//! Requests that prove the possession of a key, in their `DPoP` header (RFC 9449 §4.3, §5, §7). A proof is used up before anything is done for it.
//!
//! The address that a proof must be about is the one that we publish, not the one in `Host`, which is the caller's word.

use hallpass_core::crypto::Algorithm;
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::{ProvenRequest, VerifiedProof, verify_proof};
use hallpass_core::time::Timestamp;
use hallpass_store::dpop_proofs;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::client::Client;
use crate::context::Context;
use crate::web::call::Call;
use crate::web::error::Error;

const HEADER: &str = "dpop";

/// The key that a client proves to hold at the token endpoint: what its tokens will be bound to. `None` if it does not, and need not.
pub async fn of_client(call: &Call<Client>) -> Result<Option<Thumbprint>, Error> {
    match judge(&call.context, &call.parts, None, call.now)? {
        Some(proof) => use_up(&call.context, &proof).await.map(|()| Some(proof.key)),
        None if call.proof.app().app.client.require_dpop => {
            let message = "This client's tokens are bound to a key: its declaration says require_dpop. Send a proof in the DPoP header.";
            Err(Error::new(StatusCode::BAD_REQUEST, "invalid_dpop_proof", message).because("no proof"))
        }
        None => Ok(None),
    }
}

/// The key that comes with a pushed request: the code that it brings is that key's alone (§10.1). Not used up yet.
pub fn of_pushed(call: &Call<Client>, named: Option<&str>) -> Result<Option<VerifiedProof>, Error> {
    let proof = judge(&call.context, &call.parts, None, call.now)?;
    match (&proof, named) {
        (Some(proof), Some(named)) if proof.key.to_string() != named => {
            Err(Error::invalid_request("dpop_jkt names another key than the proof in the DPoP header.")
                .because("two keys"))
        }
        _ => Ok(proof),
    }
}

/// The proof that a request brings, if it does. Not used up yet.
pub fn judge(
    context: &Context,
    parts: &Parts,
    access_token: Option<&str>,
    now: Timestamp,
) -> Result<Option<VerifiedProof>, Error> {
    let mut values = parts.headers.get_all(HEADER).into_iter();
    let text = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| refused("no text"))?,
        // Which of them counts would be a matter of taste (§4.3, item 1).
        (Some(_), Some(_)) => return Err(refused("two proofs")),
    };
    let url = format!("{}{}", context.public_url, parts.uri.path());
    let request = ProvenRequest { method: parts.method.as_str(), url: &url, access_token };
    verify_proof(text, &request, now).map(Some).map_err(|why| refused(why.as_str()))
}

/// Uses it up: at whichever node it comes again, it is refused.
pub async fn use_up(context: &Context, proof: &VerifiedProof) -> Result<(), Error> {
    let mut write = context.store.write().await?;
    if !dpop_proofs::redeem(&mut write, proof).await? {
        return Err(refused("a proof that was used before"));
    }
    write.commit().await?;
    Ok(())
}

/// `token_type` of a token that is bound to this key, or to none (§5).
pub const fn token_type(key: Option<Thumbprint>) -> &'static str {
    if key.is_some() { "DPoP" } else { "Bearer" }
}

/// How to come back: with a proof, by one of these algorithms (§7.1).
pub fn challenge(error: Option<&'static str>) -> HeaderValue {
    let error = error.map(|error| format!(" error=\"{error}\",")).unwrap_or_default();
    let algorithms = Algorithm::OF_STRANGERS.map(Algorithm::as_str).join(" ");
    let challenge = format!("DPoP realm=\"hallpass\",{error} algs=\"{algorithms}\"");
    HeaderValue::from_str(&challenge).expect("words of ours")
}

fn refused(because: &'static str) -> Error {
    const MESSAGE: &str = "The DPoP proof is not good. It must be a JWT of type dpop+jwt for this method and this address, be signed by the key that it brings, and be used once and within a minute.";
    Error::new(StatusCode::BAD_REQUEST, "invalid_dpop_proof", MESSAGE).because(because)
}
