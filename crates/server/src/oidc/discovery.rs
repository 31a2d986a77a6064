//! `GET /.well-known/openid-configuration` (OIDC Discovery 1.0 §4) and `GET /.well-known/oauth-authorization-server` (RFC 8414 §3).

use axum::response::Response;
use hallpass_core::oidc::metadata;
use hallpass_core::session::Acr;
use http::{HeaderValue, header};

use super::json;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Anybody;

/// The handler of both.
pub async fn metadata(call: Call<Anybody>) -> Result<Response, Error> {
    let mut document = metadata::metadata(call.context.public_url.as_str());
    // Two factors are known only of people who have shown them to an upstream.
    let context = &call.context;
    let elsewhere =
        context.kratos.is_some() || context.providers.iter().any(|provider| provider.config.tells_two_factors());
    let reachable = if elsewhere { &[Acr::Aal1, Acr::Aal2][..] } else { &[Acr::Aal1] };
    document["acr_values_supported"] = reachable.iter().map(|acr| acr.as_str()).collect();
    if call.context.registration.is_some() {
        document["registration_endpoint"] = format!("{}/oauth/register", call.context.public_url).into();
    }
    if call.context.documents.is_some() {
        document["client_id_metadata_document_supported"] = true.into();
    }
    let mut response = json(document.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}
