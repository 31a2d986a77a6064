//! `GET /device/qr?user_code`: the complete address of the page for devices as a picture, for whatever can show one but not draw one (RFC 8628 §3.3.1, ISO/IEC 18004).
//!
//! It draws addresses of ours and nothing else: what is no code by its letters is refused, and nothing is looked up, so that nobody learns from it which
//! devices wait. The picture decides as little as the address in it.

use axum::body::Body;
use axum::response::Response;
use hallpass_core::oidc::UserCode;
use http::{HeaderName, HeaderValue, header};
use qrcode::render::svg::Color;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;

use super::address;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Anybody;

/// Pixels of each side at least, where nobody says how large it is to be.
const SIZE: u32 = 240;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    user_code: String,
}

/// The handler.
pub async fn image(call: Call<Anybody>) -> Result<Response, Error> {
    let Query { user_code } = call.query()?;
    let code: UserCode = user_code.parse().map_err(|_| {
        Error::invalid_request("user_code is not one of ours: eight letters, like BCDF-GHJK.").because("no user code")
    })?;
    let there = format!("{}{}", call.context.public_url, address(Some(&code)));
    let drawn = QrCode::with_error_correction_level(&there, EcLevel::M)
        .map_err(|error| Error::internal().because(error.to_string()))?;
    let picture = drawn.render::<Color<'_>>().min_dimensions(SIZE, SIZE).build();
    let mut response = Response::new(Body::from(picture));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    // A device's page may be anywhere. In a window of its own the picture can do nothing.
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    Ok(response)
}
