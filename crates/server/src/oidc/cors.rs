//! Which pages may read what the token, userinfo and revocation endpoints answer (Fetch, "CORS protocol"; OAuth 2.0 for Browser-Based Applications §6.3).
//!
//! Those of the browser client that a request is about, by their exact origins, and nobody else: never `*`, never an origin because it was sent.
//! Cookies come along only where a client keeps its refresh token in one.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::app::{App, Origin};
use hallpass_core::oidc::ClientKind;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::client::Client;
use crate::context::Context;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Anybody;

/// Headers to be.
type Headers = Vec<(HeaderName, HeaderValue)>;

/// `OPTIONS` at the token and the revocation endpoint. Which client it will be about is in the body that is not there yet.
pub async fn preflight(call: Call<Anybody>) -> Result<Response, Error> {
    let methods = HeaderValue::from_static("POST");
    allowed(&call, methods, HeaderValue::from_static("content-type, dpop"), |app| app.client.keeps_refresh_cookie())
        .await
}

/// `OPTIONS /oauth/userinfo`: an access token is all that it takes.
pub async fn preflight_of_userinfo(call: Call<Anybody>) -> Result<Response, Error> {
    let methods = HeaderValue::from_static("GET, POST");
    allowed(&call, methods, HeaderValue::from_static("authorization, content-type, dpop"), |_| false).await
}

async fn allowed(
    call: &Call<Anybody>,
    methods: HeaderValue,
    headers: HeaderValue,
    with_cookies: impl Fn(&App) -> bool,
) -> Result<Response, Error> {
    let policy = call.context.view.policy().await?;
    let theirs = || policy.apps.iter().filter_map(|entry| Some((&entry.app, own_page(&entry.app, call.headers())?)));
    let Some((_, origin)) = theirs().next() else {
        let refused = Error::forbidden("This origin is not one of a browser client.").because("a foreign origin");
        return Err(Error { headers: vec![vary()], ..refused });
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().extend(reading(origin, theirs().any(|(app, _)| with_cookies(app))));
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
    response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Ok(response)
}

/// Lets the client's own page read an answer of the token or the revocation endpoint, refusals included.
pub fn readable(client: &Client, result: Result<Response, Error>) -> Result<Response, Error> {
    let headers = match &client.origin {
        Some(origin) => reading(origin, client.refresh_cookie().is_some()),
        None => vec![vary()],
    };
    with(headers, result)
}

/// What lets a page read what the userinfo endpoint says to this client. `client_id` may be what a token merely claims: then all there is to read is
/// that the token is not good.
pub async fn of_client(context: &Context, headers: &HeaderMap, client_id: &str) -> Result<Headers, Error> {
    let policy = context.view.policy().await?;
    let app = policy.by_client_id(client_id).map(|index| &policy.apps[index].app);
    Ok(app.and_then(|app| own_page(app, headers)).map_or_else(|| vec![vary()], |origin| reading(origin, false)))
}

/// The client that a token names, unverified.
pub fn claimed_client(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        client_id: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.client_id)
}

/// Adds headers to an answer or a refusal.
pub fn with(headers: Headers, result: Result<Response, Error>) -> Result<Response, Error> {
    match result {
        Ok(mut response) => {
            response.headers_mut().extend(headers);
            Ok(response)
        }
        Err(mut error) => {
            error.headers.extend(headers);
            Err(error)
        }
    }
}

/// The origin of the page that asks, if it is one of this browser client's.
pub fn own_page<'a>(app: &'a App, headers: &HeaderMap) -> Option<&'a Origin> {
    let mut said = headers.get_all(header::ORIGIN).into_iter();
    let (Some(said), None) = (said.next(), said.next()) else { return None };
    let live = app.client.kind == ClientKind::Browser && app.disabled_at.is_none();
    app.origins.iter().filter(|_| live).find(|origin| origin.as_str().as_bytes() == said.as_bytes())
}

fn reading(origin: &Origin, with_cookies: bool) -> Headers {
    let origin = HeaderValue::from_str(origin.as_str()).expect("origins are visible ASCII");
    let mut headers = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin), vary()];
    if with_cookies {
        headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
    }
    headers
}

/// The answer depends on who asks, also where it says nothing about it.
fn vary() -> (HeaderName, HeaderValue) {
    (header::VARY, HeaderValue::from_static("Origin"))
}
