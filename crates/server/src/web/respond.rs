//! Turning a page's values into an answer.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use hallpass_core::user::User;
use http::{HeaderValue, StatusCode, header};

use crate::web::page::{self, Person};

/// 200 with a page.
pub fn html(page: &impl Template) -> Response {
    html_with(StatusCode::OK, page)
}

/// Any status with a page.
pub fn html_with(status: StatusCode, page: &impl Template) -> Response {
    let mut response = Response::new(Body::from(page::render(page)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// How pages name a user.
pub fn person(user: &User) -> Person {
    Person { display_name: user.display_name.to_string(), username: user.username.to_string() }
}
