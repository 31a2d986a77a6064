//! The tower layer: what happens to every request, in order (protocol §2, §4, §6, §7), and to its answer (§18).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http::header::{CACHE_CONTROL, HeaderMap, SET_COOKIE, VARY};
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

use crate::admit;
use crate::agent;
use crate::caller::{Caller, SignIn};
use crate::csrf;
use crate::hallpass::Inner;
use crate::origin::is_same_origin;
use crate::own;
use crate::pages;
use crate::visit::{self, OWN_PATHS, Visit};

/// Puts [`HallpassService`] around a service; [`crate::Hallpass::layer`] makes one.
#[derive(Clone)]
pub struct HallpassLayer {
    pub(crate) inner: Arc<Inner>,
}

/// Lets through who may pass, with a [`Caller`] in the request's extensions, and answers everybody else itself.
#[derive(Clone)]
pub struct HallpassService<S> {
    inner: Arc<Inner>,
    service: S,
}

impl<S> Layer<S> for HallpassLayer {
    type Service = HallpassService<S>;

    fn layer(&self, service: S) -> Self::Service {
        HallpassService { inner: Arc::clone(&self.inner), service }
    }
}

impl<S, B, R> Service<Request<B>> for HallpassService<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone that was polled ready is the one to call.
        let spare = self.service.clone();
        let service = std::mem::replace(&mut self.service, spare);
        Box::pin(pass(Arc::clone(&self.inner), service, request.map(Body::new)))
    }
}

async fn pass<S, R>(inner: Arc<Inner>, mut service: S, request: Request<Body>) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<R>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    inner.ensure_listening();
    let (mut parts, mut body) = request.into_parts();
    visit::strip_identity(&mut parts.headers);
    parts.extensions.remove::<Caller>();
    let visit = Visit::read(&parts, &inner.origin);
    // Before the origin rule: the engine, which is no browser, posts to one of them.
    if let Some(endpoint) = agent::Endpoint::at(&inner, &visit.path) {
        return Ok(varied(agent::answer(&inner, endpoint, &visit, &parts, body).await));
    }
    if visit.may_change && !is_same_origin(&parts.headers, &inner.origin) {
        tracing::warn!(method = %parts.method, path = visit.path, "refused: sent by a page of another origin");
        return Ok(varied(pages::CROSS_ORIGIN.answer(visit.page)));
    }
    if visit.path.starts_with(OWN_PATHS) {
        return Ok(varied(own::answer(&inner, &visit, &parts, body).await));
    }
    let mut token = csrf::Presented::Absent;
    if visit.may_change {
        (token, body) = match csrf::presented(&parts.headers, body).await {
            Ok(found) => found,
            Err(refusal) => return Ok(varied(refusal.answer(visit.page))),
        };
    }
    let admitted = match admit::admit(&inner, &visit, &parts.headers, &parts.method, token).await {
        Ok(admitted) => admitted,
        Err(answer) => return Ok(varied(answer)),
    };
    parts.extensions.insert(SignIn {
        url: inner.sign_in_url(&visit.destination),
        navigation: visit.navigation,
        realm: Arc::clone(&inner.app_key),
    });
    let personal = admitted.caller.is_some() || !admitted.cookies.is_empty();
    if let Some(caller) = admitted.caller {
        parts.extensions.insert(caller);
    }
    let response = service.call(Request::from_parts(parts, body)).await?.map(Body::new);
    Ok(varied(finished(response, personal, admitted.cookies)))
}

/// What was made for one person is not kept for others; where the application says that it may be, no cookie goes
/// along with it.
fn finished(mut response: Response<Body>, personal: bool, cookies: Vec<HeaderValue>) -> Response<Body> {
    let headers = response.headers_mut();
    if personal && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
    if lists(headers, &CACHE_CONTROL, &["private", "no-store"]) {
        for cookie in cookies {
            headers.append(SET_COOKIE, cookie);
        }
    }
    response
}

/// Every answer depends on who asks.
fn varied(mut response: Response<Body>) -> Response<Body> {
    if !lists(response.headers(), &VARY, &["cookie", "*"]) {
        response.headers_mut().append(VARY, HeaderValue::from_static("Cookie"));
    }
    response
}

fn lists(headers: &HeaderMap, name: &http::HeaderName, words: &[&str]) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| words.iter().any(|expected| word.trim().eq_ignore_ascii_case(expected)))
}
