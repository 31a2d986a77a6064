//! `/.well-known/jwks.json`: the public halves of the signing keys (RFC 7517 §5). A valid signature is never the answer to "still signed in?".

use axum::body::Body;
use axum::response::Response;
use hallpass_core::keyring::Purpose;
use http::{HeaderValue, header};

use crate::jobs;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Anybody;

/// `GET /.well-known/jwks.json`
pub async fn jwks(call: Call<Anybody>) -> Result<Response, Error> {
    // A client may read them once, as soon as it is declared, and then never again.
    for purpose in Purpose::ALL {
        jobs::first_key(&call.context, purpose).await?;
    }
    let policy = call.context.view.policy().await?;
    let mut response = Response::new(Body::from(policy.keyring.jwks(call.now).to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    // Keys are published a day before use, so ten minutes cost nobody anything.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}
