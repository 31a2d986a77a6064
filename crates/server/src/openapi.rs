//! `GET /openapi.json`: what programs may ask of us, as `OpenAPI` 3.1 has it.
//!
//! Written by hand, in the file beside this one, and kept true by tests: each route for programs is described and nothing else is, and every answer that
//! any test gets from one is as described there. Members that are not named there do not exist: a token that slips into some answer is found (advisory T40).

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};

use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Anybody;

/// The description.
pub const DESCRIPTION: &str = include_str!("openapi.json");

/// The handler.
pub async fn description(_: Call<Anybody>) -> Result<Response, Error> {
    let mut response = Response::new(Body::from(DESCRIPTION));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}
