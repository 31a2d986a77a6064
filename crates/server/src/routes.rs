//! The map: every URL, who may call it, and the room behind it. `hallpass routes` prints it; a test walks it.

use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hashbrown::HashMap;
use http::{HeaderValue, Method, Request, header};
use sync_wrapper::SyncWrapper;

use crate::context::Context;
use crate::telemetry::{Stopwatch, Times};
use crate::web::call::Call;
use crate::web::caller_ip::caller_ip;
use crate::web::error::{Error, Voice};
use crate::web::guard::{
    ALIAS, ANYBODY, APP, BEARER, By, CLIENT, GATEWAY, Proof, REGISTERED, REGISTRANT, SESSION, VISITOR,
};
use crate::web::headers;
use crate::{
    account, changes, forward_auth, handoff, home, introspect, oidc, openapi, pass, sign_in, sign_out, upstream,
    well_known,
};

/// Where a client manages its registration.
const REGISTRATION: &str = "/oauth/register/{client_id}";

/// The table. `get` and `form` are pages for people; `post` and `read` are for machines and speak problem details, `oauth` RFC 6749.
pub fn table() -> Vec<Route> {
    vec![
        get("/", VISITOR, home::page),
        get("/apps", VISITOR, home::page),
        get("/assets/{name}", ANYBODY, home::asset),
        get("/favicon.ico", ANYBODY, home::icon),
        get("/sign-in", VISITOR, sign_in::page),
        form("/sign-in", VISITOR, sign_in::submit),
        form("/sign-in/name", VISITOR, sign_in::name::submit),
        get("/upstream/kratos/start", VISITOR, upstream::start),
        get("/upstream/kratos/callback", VISITOR, upstream::callback),
        get("/upstream/oidc/start/{name}", VISITOR, upstream::oidc::start),
        get("/upstream/oidc/callback/{name}", VISITOR, upstream::oidc::callback),
        get("/upstream/oidc/sign-out", VISITOR, upstream::oidc::sign_out::leave),
        get("/upstream/oidc/signed-out/{name}", VISITOR, upstream::oidc::sign_out::back),
        oauth("/upstream/oidc/backchannel-logout/{name}", ANYBODY, upstream::oidc::backchannel_logout::logout),
        get("/continue", SESSION, upstream::current::next),
        get("/sign-out", VISITOR, sign_out::page),
        form("/sign-out", SESSION, sign_out::submit),
        get("/sign-out/receipt", VISITOR, sign_out::receipt::page),
        get("/pass/refresh", VISITOR, upstream::current::refresh_by_navigation),
        cross_origin("/pass/refresh", Method::POST, VISITOR, upstream::current::refresh_by_fetch),
        cross_origin("/pass/refresh", Method::OPTIONS, ANYBODY, pass::preflight),
        get("/sign-out/next", VISITOR, handoff::chain::next),
        get("/handoff/authorize", VISITOR, upstream::current::authorize),
        form("/handoff/continue", SESSION, handoff::authorize::continue_),
        oauth("/handoff/token", APP, handoff::token::token),
        get("/handoff/next", VISITOR, handoff::chain::next),
        get("/account", SESSION, account::page),
        form("/account/sessions/end", SESSION, account::end_session),
        form("/account/sign-out-everywhere", SESSION, account::sign_out_everywhere),
        form("/account/apps/revoke", SESSION, account::apps::revoke),
        form("/account/upstreams/link", SESSION, upstream::oidc::link::begin),
        form("/account/upstreams/unlink", SESSION, upstream::oidc::link::undo),
        get("/account/password", SESSION, account::password::page),
        form("/account/password", SESSION, account::password::submit),
        read("/.well-known/jwks.json", ANYBODY, well_known::jwks),
        read("/openapi.json", ANYBODY, openapi::description),
        read("/.well-known/openid-configuration", ANYBODY, oidc::discovery::metadata),
        read("/.well-known/oauth-authorization-server", ANYBODY, oidc::discovery::metadata),
        get("/oauth/authorize", VISITOR, upstream::current::authorize_client),
        // Any client's page may post here: it is answered with the same request as a GET, and does nothing else.
        row(Method::POST, "/oauth/authorize", VISITOR, Voice::Page, false, oidc::authorize::authorize_by_form),
        form("/oauth/account", SESSION, oidc::select_account::submit),
        form("/oauth/consent", SESSION, oidc::consent::submit),
        get("/oauth/continue", VISITOR, upstream::current::resume_client),
        oauth("/oauth/par", CLIENT, oidc::pushed::push),
        cross_origin("/oauth/par", Method::OPTIONS, ANYBODY, oidc::cors::preflight),
        oauth("/oauth/token", CLIENT, oidc::token::token),
        cross_origin("/oauth/token", Method::OPTIONS, ANYBODY, oidc::cors::preflight),
        oauth("/oauth/device_authorization", CLIENT, oidc::device::authorization::authorize),
        oauth("/oauth/register", REGISTRANT, oidc::registration::register),
        row(Method::GET, REGISTRATION, REGISTERED, Voice::OAuth, false, oidc::registration::manage::read),
        row(Method::PUT, REGISTRATION, REGISTERED, Voice::OAuth, false, oidc::registration::manage::update),
        row(Method::DELETE, REGISTRATION, REGISTERED, Voice::OAuth, false, oidc::registration::manage::remove),
        get("/device", VISITOR, oidc::device::page::enter),
        read("/device/qr", ANYBODY, oidc::device::qr::image),
        form("/device", SESSION, oidc::device::page::look),
        form("/device/decide", SESSION, upstream::current::decide_device),
        row(Method::GET, "/oauth/userinfo", BEARER, Voice::OAuth, false, oidc::userinfo::userinfo),
        oauth("/oauth/userinfo", BEARER, oidc::userinfo::userinfo),
        cross_origin("/oauth/userinfo", Method::OPTIONS, ANYBODY, oidc::cors::preflight_of_userinfo),
        oauth("/oauth/revoke", CLIENT, oidc::revoke::revoke),
        cross_origin("/oauth/revoke", Method::OPTIONS, ANYBODY, oidc::cors::preflight),
        get("/oauth/logout", VISITOR, oidc::logout::logout),
        oauth("/introspect", CLIENT, introspect::introspect),
        read("/forward-auth", GATEWAY, forward_auth::answer),
        post("/api/v1/sign-in", APP, sign_in::relayed::sign_in),
        post("/api/v1/sign-out", APP, sign_out::by_app),
        read("/api/v1/changes", APP, changes::stream),
    ]
}

/// What the engine answers at the alias of a zone that is not home.
pub fn agent_table() -> Vec<Route> {
    vec![
        get("/", ANYBODY, handoff::alias::home),
        get("/assets/{name}", ANYBODY, home::asset),
        get("/favicon.ico", ANYBODY, home::icon),
        get("/.sso/start", ALIAS, handoff::alias::start),
        get("/.sso/callback", ALIAS, handoff::alias::callback),
        get("/.sso/sync", ALIAS, handoff::alias::sync),
        read("/.well-known/sso-agent", ALIAS, handoff::alias::about),
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
    handler: Handler,
}

type Handler = Box<dyn for<'h> Fn(&'h Arc<Context>, &'h Times, Request<Body>, IpAddr) -> Answer<'h> + Send + Sync>;

/// An answer to come. What leads to one is no `async fn` on the way: each keeps the request twice, and copies it once more.
pub type Answer<'h> = Pin<Box<dyn Future<Output = Response> + Send + 'h>>;

/// What answers at the home host: the table, by path. Ours rather than a framework's router because all it has to do is one look-up, and
/// introspection pays for every layer in between (`bench/`).
pub struct Home {
    context: Arc<Context>,
    exact: HashMap<&'static str, Vec<Route>>,
    /// Paths that end in a parameter, by what comes before it.
    prefixes: Vec<(&'static str, Vec<Route>)>,
}

impl Home {
    /// The table at work.
    pub fn new(context: Arc<Context>) -> Self {
        Self::with(context, table())
    }

    /// The agents' table at work; the host that a request came to is found before.
    pub fn agent(context: Arc<Context>) -> Self {
        Self::with(context, agent_table())
    }

    fn with(context: Arc<Context>, table: Vec<Route>) -> Self {
        let mut home = Self { context, exact: HashMap::new(), prefixes: Vec::new() };
        for route in table {
            home.context.telemetry.time_route(&route.method, route.path, route.times.clone());
            match route.path.split_once('{') {
                None => home.exact.entry(route.path).or_default().push(route),
                Some((prefix, _)) => match home.prefixes.iter_mut().find(|(known, _)| *known == prefix) {
                    Some((_, routes)) => routes.push(route),
                    None => home.prefixes.push((prefix, vec![route])),
                },
            }
        }
        home
    }

    /// The answer to any request. `peer` is the other end of its connection.
    pub fn answer(&self, request: Request<Body>, peer: IpAddr) -> Answer<'_> {
        let Some(routes) = self.at(request.uri().path()) else { return self.refuse(&Error::not_found(), Voice::Page) };
        // HEAD is GET without the body, which the connection leaves out.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let Some(route) = routes.iter().find(|route| route.method == *method) else {
            let mut refused = Error::method_not_allowed();
            refused.headers.push((header::ALLOW, allowed(routes)));
            return self.refuse(&refused, Voice::Problem);
        };
        (route.handler)(&self.context, &route.times, request, peer)
    }

    fn at(&self, path: &str) -> Option<&[Route]> {
        if let Some(routes) = self.exact.get(path) {
            return Some(routes);
        }
        let fits = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
        self.prefixes.iter().find(|(prefix, _)| fits(prefix)).map(|(_, routes)| &routes[..])
    }

    fn refuse(&self, error: &Error, voice: Voice) -> Answer<'_> {
        let request_id = self.context.request_id().to_string();
        let mut response = error.render(voice, &self.context.config.brand, &request_id);
        headers::finish(&mut response, voice, &self.context.public_url);
        Box::pin(std::future::ready(response))
    }
}

/// `Allow` (RFC 9110 §10.2.1).
fn allowed(routes: &[Route]) -> HeaderValue {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    HeaderValue::from_str(&methods.join(", ")).expect("methods are tokens")
}

fn get<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
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
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::POST, path, guard, Voice::Page, true, handler)
}

fn read<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::GET, path, guard, Voice::Problem, false, handler)
}

fn post<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::POST, path, guard, Voice::Problem, false, handler)
}

fn oauth<P: Proof, F>(
    path: &'static str,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    row(Method::POST, path, guard, Voice::OAuth, false, handler)
}

/// For scripts of apps: the handler itself checks the exact origin (CORS).
fn cross_origin<P: Proof, F>(
    path: &'static str,
    method: Method,
    guard: By<P>,
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
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
    handler: impl Fn(Call<P>) -> F + Copy + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    let about = About { path, voice, same_origin };
    let handler: Handler =
        Box::new(move |context, times, request, peer| answer(context, times, request, peer, about, handler));
    Route { method, path, guard: P::NAME, voice, times: Arc::default(), handler }
}

/// What [`answer`] has to know of a row.
#[derive(Clone, Copy)]
struct About {
    path: &'static str,
    voice: Voice,
    same_origin: bool,
}

/// Guard, handler, error, headers: what every request goes through.
fn answer<'h, P: Proof, F>(
    context: &'h Arc<Context>,
    times: &'h Times,
    request: Request<Body>,
    peer: IpAddr,
    About { path, voice, same_origin }: About,
    handler: impl Fn(Call<P>) -> F + Send + Sync + 'h,
) -> Answer<'h>
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    Box::pin(async move {
        let began = Stopwatch::start();
        let request_id = context.request_id();
        let now = context.now();
        let ip = caller_ip(peer, &parts.headers, &context.config.trusted_proxies);
        let handled = std::pin::pin!(async {
            if same_origin {
                headers::require_same_origin(&parts.headers, &context.public_url)
                    .inspect_err(|_| context.telemetry.csrf_refused(None))?;
            }
            P::admits(peer, &context.config)?;
            let proof = P::establish(context, &parts, ip, now).await?;
            handler(Call { context: context.clone(), proof, now, ip, request_id, parts, body: SyncWrapper::new(body) })
                .await
        });
        let result = catching_panics(handled).await.unwrap_or_else(|()| {
            context.telemetry.panicked();
            Err(Error::internal())
        });
        let mut response = result.unwrap_or_else(|error| {
            report(&error, path, request_id);
            if error.code == "login_required" && voice == Voice::Page {
                return sign_in::redirect_here(context);
            }
            error.render(voice, &context.config.brand, &request_id.to_string())
        });
        headers::finish(&mut response, voice, &context.public_url);
        times.answered(&began, response.status());
        response
    })
}

/// `path` is the table's, not the request's: what somebody asked for may hold a secret, or lines of their own.
fn report(error: &Error, path: &'static str, request_id: crate::web::call::RequestId) {
    if error.status.is_server_error() {
        tracing::error!(%request_id, path, status = error.status.as_u16(), code = error.code, because = %error.because, "request failed");
    } else {
        tracing::debug!(%request_id, path, status = error.status.as_u16(), code = error.code, because = %error.because, "request refused");
    }
}

/// A panic in a handler becomes a 500 for that request alone. Pinned by the caller: handed over as it is, a future of two kilobytes would be kept twice and
/// copied once more for each request.
async fn catching_panics<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Result<T, ()> {
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}
