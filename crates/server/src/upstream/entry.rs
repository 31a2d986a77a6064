//! Entry points: addresses that people have bookmarked, where something else answered before. They lead to our own home page. Protocol §10, seed S14.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hallpass_core::app::Origin;
use http::{HeaderValue, Method, StatusCode, header};

use crate::pass::see_other;
use crate::web::error::Voice;
use crate::web::headers;

/// What answers at an entry point: 303 to the home page for whatever is asked for, and nothing else. No cookie is read or set.
pub fn router(home: &Origin) -> Router {
    let home = home.clone();
    Router::new().fallback(async move |method: Method| answer(&method, &home))
}

fn answer(method: &Method, home: &Origin) -> Response {
    let mut response = if matches!(*method, Method::GET | Method::HEAD) {
        see_other(&format!("{home}/"))
    } else {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        refused
    };
    headers::finish(&mut response, Voice::Page, home);
    response
}
