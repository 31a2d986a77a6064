//! The map: every URL, who may call it, and the room behind it. `hallpass routes` prints it; a test walks it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::Method;
use sync_wrapper::SyncWrapper;

use crate::context::Context;
use crate::telemetry::{Stopwatch, Times};
use crate::web::call::{Call, Peer};
use crate::web::caller_ip::caller_ip;
use crate::web::error::{Error, Voice};
use crate::web::guard::{ANYBODY, APP, By, Proof, SESSION, VISITOR};
use crate::web::headers;
use crate::{account, changes, home, introspect, pass, sign_in, sign_out, well_known};

/// The table. `get` and `form` are pages for people; `post` and `read` are for machines and speak problem details, `oauth` RFC 6749.
pub fn table() -> Vec<Route> {
    vec![
        get("/", VISITOR, home::page),
        get("/assets/{name}", ANYBODY, home::asset),
        get("/sign-in", VISITOR, sign_in::page),
        form("/sign-in", VISITOR, sign_in::submit),
        get("/continue", SESSION, sign_in::next::next),
        get("/sign-out", VISITOR, sign_out::page),
        form("/sign-out", SESSION, sign_out::submit),
        get("/pass/refresh", VISITOR, pass::refresh_by_navigation),
        cross_origin("/pass/refresh", Method::POST, VISITOR, pass::refresh_by_fetch),
        cross_origin("/pass/refresh", Method::OPTIONS, ANYBODY, pass::preflight),
        get("/account", SESSION, account::page),
        form("/account/sessions/end", SESSION, account::end_session),
        form("/account/sign-out-everywhere", SESSION, account::sign_out_everywhere),
        get("/account/password", SESSION, account::password::page),
        form("/account/password", SESSION, account::password::submit),
        read("/.well-known/jwks.json", ANYBODY, well_known::jwks),
        oauth("/introspect", APP, introspect::introspect),
        post("/api/v1/sign-in", APP, sign_in::relayed::sign_in),
        post("/api/v1/sign-out", APP, sign_out::by_app),
        read("/api/v1/changes", APP, changes::stream),
    ]
}

/// One row of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, axum's notation.
    pub path: &'static str,
    /// Who may call it, by the name of the proof.
    pub guard: &'static str,
    /// How it reports errors.
    pub voice: Voice,
    times: Arc<Times>,
    handler: MethodRouter<Arc<Context>>,
}

/// The router that answers at the home host.
pub fn router(context: Arc<Context>) -> Router {
    let mut router = Router::new();
    for route in table() {
        context.telemetry.time_route(&route.method, route.path, route.times);
        router = router.route(route.path, route.handler);
    }
    router.fallback(nothing_here).method_not_allowed_fallback(wrong_method).with_state(context)
}

fn get<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::GET, path, guard, Voice::Page, false, handler)
}

/// A form of one of our own pages: same origin only, and the handler reads it with its synchronizer token.
fn form<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::POST, path, guard, Voice::Page, true, handler)
}

fn read<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::GET, path, guard, Voice::Problem, false, handler)
}

fn post<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::POST, path, guard, Voice::Problem, false, handler)
}

fn oauth<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::POST, path, guard, Voice::OAuth, false, handler)
}

/// For scripts of the zone's apps: the handler itself checks the exact origin (CORS).
fn cross_origin<P: Proof, F>(
    path: &'static str,
    method: Method,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(method, path, guard, Voice::Problem, false, handler)
}

fn row<P: Proof, F>(
    method: Method,
    path: &'static str,
    _: By<P>,
    voice: Voice,
    same_origin: bool,
    handler: impl Fn(Call<P>) -> F + Clone + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("a method that axum knows");
    let times = Arc::new(Times::default());
    let recorded = times.clone();
    let service = move |axum::extract::State(context): axum::extract::State<Arc<Context>>, request: Request| {
        let (times, handler) = (recorded.clone(), handler.clone());
        async move {
            let began = Stopwatch::start();
            let response = answer(context, request, voice, same_origin, handler).await;
            times.answered(&began, response.status());
            response
        }
    };
    Route { method, path, guard: P::NAME, voice, times, handler: axum::routing::on(filter, service) }
}

/// Guard, handler, error, headers: what every request goes through.
async fn answer<P: Proof, F>(
    context: Arc<Context>,
    request: Request,
    voice: Voice,
    same_origin: bool,
    handler: impl Fn(Call<P>) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    let request_id = context.request_id();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let now = context.now();
    let ip = caller_ip(peer, &parts.headers, &context.config.trusted_proxies);
    let path = parts.uri.path().to_owned();
    let handled = async {
        if same_origin {
            headers::require_same_origin(&parts.headers, &context.public_url)
                .inspect_err(|_| context.telemetry.csrf_refused(None))?;
        }
        let proof = P::establish(&context, &parts, ip, now).await?;
        handler(Call { context: context.clone(), proof, now, ip, request_id, parts, body: SyncWrapper::new(body) })
            .await
    };
    let result = catching_panics(AssertUnwindSafe(handled)).await.unwrap_or_else(|()| {
        context.telemetry.panicked();
        Err(Error::internal())
    });
    let mut response = result.unwrap_or_else(|error| {
        report(&error, &path, request_id);
        if error.code == "login_required" && voice == Voice::Page {
            return sign_in::redirect_here(&context);
        }
        error.render(voice, &context.config.brand, &request_id.to_string())
    });
    headers::finish(&mut response, voice, &context.public_url);
    response
}

fn report(error: &Error, path: &str, request_id: crate::web::call::RequestId) {
    if error.status.is_server_error() {
        tracing::error!(%request_id, path, status = error.status.as_u16(), code = error.code, because = %error.because, "request failed");
    } else {
        tracing::debug!(%request_id, path, status = error.status.as_u16(), code = error.code, because = %error.because, "request refused");
    }
}

async fn nothing_here(axum::extract::State(context): axum::extract::State<Arc<Context>>) -> Response {
    let mut response = Error::not_found().render(Voice::Page, &context.config.brand, &context.request_id().to_string());
    headers::finish(&mut response, Voice::Page, &context.public_url);
    response
}

async fn wrong_method(axum::extract::State(context): axum::extract::State<Arc<Context>>) -> Response {
    let mut response =
        Error::method_not_allowed().render(Voice::Problem, &context.config.brand, &context.request_id().to_string());
    headers::finish(&mut response, Voice::Problem, &context.public_url);
    response
}

/// A panic in a handler becomes a 500 for that request alone.
async fn catching_panics<T>(future: AssertUnwindSafe<impl Future<Output = T>>) -> Result<T, ()> {
    let mut future = std::pin::pin!(future.0);
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}
