//! `require("canRefund")`: a layer for routes that need a permission (NIST RBAC). Refuses unless it finds a caller
//! who holds it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use tower::{Layer, Service};

use crate::caller::{Caller, refuse_anonymous};
use crate::pages;
use crate::visit::wants_page;

/// Demands that the caller holds `permission` in this app. Goes on routes inside [`crate::Hallpass::layer`]; without
/// it, nobody passes.
pub fn require(permission: impl Into<Arc<str>>) -> RequireLayer {
    RequireLayer { permission: permission.into() }
}

/// Made by [`require`].
#[derive(Debug, Clone)]
pub struct RequireLayer {
    permission: Arc<str>,
}

/// Lets through callers who hold the permission: others get 403, anonymous visitors are asked to sign in.
#[derive(Debug, Clone)]
pub struct Require<S> {
    permission: Arc<str>,
    service: S,
}

impl<S> Layer<S> for RequireLayer {
    type Service = Require<S>;

    fn layer(&self, service: S) -> Require<S> {
        Require { permission: Arc::clone(&self.permission), service }
    }
}

impl<S, B, R> Service<Request<B>> for Require<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
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
        let (parts, body) = request.into_parts();
        let refusal = match parts.extensions.get::<Caller>() {
            Some(caller) if caller.may(&self.permission) => {
                let spare = self.service.clone();
                let mut service = std::mem::replace(&mut self.service, spare);
                let answering = service.call(Request::from_parts(parts, body));
                return Box::pin(async move { Ok(answering.await?.map(Body::new)) });
            }
            Some(caller) => {
                tracing::info!(user_id = caller.user_id(), permission = %self.permission, "permission missing");
                pages::NOT_PERMITTED.answer(wants_page(&parts.headers))
            }
            None => refuse_anonymous(&parts),
        };
        Box::pin(async move { Ok(refusal) })
    }
}
