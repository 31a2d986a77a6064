//! The apps that `hallpass demo` serves: a cashier and a point of sale in one zone, an outlet at another root domain, a back office, bound, at a
//! third, each with its own permissions.
//!
//! They are ordinary users of the Rust SDK and show what an app needs: one layer around everything, `require` on what takes a
//! permission, and a [`Caller`] where a page names the person. Nothing is stored; what happened is kept in memory, bounded.

mod cashier;
mod ledger;
mod office;
mod page;
mod pos;

pub use cashier::cashier;
pub use office::office;
pub use pos::{outlet, pos};

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hallpass_client::Hallpass;

/// Addresses that an app links to, each an origin without a slash at the end: `https://auth.company.com`.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The engine.
    pub engine: String,
    /// The other app.
    pub other_app: String,
}

/// Puts the layer around `app`, and beside it what needs nobody signed in.
fn guarded(app: Router, hallpass: &Hallpass, icon: &'static str) -> Router {
    app.layer(hallpass.layer())
        .route("/demo.css", get(async || file("text/css; charset=utf-8", include_str!("../assets/demo.css"))))
        .route("/icon.svg", get(async move || file("image/svg+xml", icon)))
        // Browsers ask for it beside an answer that is no page, such as a refusal.
        .route("/favicon.ico", get(async move || file("image/svg+xml", icon)))
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "public, max-age=300"),
        ],
        content,
    )
        .into_response()
}

/// A finished page. Forms may lead to the engine besides the app itself: browsers hold a policy's `form-action` against the
/// redirects that follow a form, and signing out leads there.
fn document(html: String, engine: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {engine}"
    );
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&policy).expect("the engine's address is an origin, visible ASCII only");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
