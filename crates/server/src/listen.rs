//! The accept loop: one connection a task, limits before anything is parsed, a stop that lets requests finish. Protocol §14.

mod alarm;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::Service;

use self::alarm::ConnectionTimer;
use crate::routes::Home;
use crate::web::guard::Alias;

const REQUEST_LINE: usize = 8 * 1024;
const HEADER_BYTES: usize = 32 * 1024;
const COOKIE_BYTES: usize = 16 * 1024;
const HEADER_COUNT: usize = 100;
const HEADER_TIME: Duration = Duration::from_secs(10);
const REQUEST_TIME: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);

/// What answers at one host.
#[derive(Clone)]
pub enum Site {
    /// The engine.
    Home(Arc<Home>),
    /// The engine, at the alias of a zone that is not home.
    Alias(Arc<Home>, Alias),
    /// Anything else that shares the port: an app of the demo, health and metrics.
    App(Router),
}

impl Site {
    /// The answer to a request. `peer` is the other end of its connection.
    pub async fn answer(self, mut request: Request<Body>, peer: IpAddr) -> Response {
        match self {
            Self::Home(home) => home.answer(request, peer).await,
            Self::Alias(agent, alias) => {
                request.extensions_mut().insert(alias);
                agent.answer(request, peer).await
            }
            Self::App(mut router) => router.call(request).await.unwrap_or_else(|never| match never {}),
        }
    }
}

/// Which site a `Host` is; `None` is 421. Hosts come from configuration, requests only choose among them.
pub type Dispatch = Arc<dyn Fn(&str) -> Option<Site> + Send + Sync>;

/// Serves until `stop` turns true, then finishes what is under way (at most ten seconds).
pub async fn serve(
    listener: TcpListener,
    dispatch: Dispatch,
    maximum_connections: usize,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(maximum_connections));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Our answers are small: one piece to send costs the kernel less than two.
        .writev(false)
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES + REQUEST_LINE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: existing connections will free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopped(&mut stop) => break,
        };
        let _ = stream.set_nodelay(true);
        let (dispatch, timer) = (dispatch.clone(), ConnectionTimer::default());
        let service = hyper::service::service_fn(move |request| {
            let admitted = admit(&dispatch, &request);
            answer(admitted, timer.clone(), peer, request)
        });
        // A timer of its own, which waits for headers while the other one rests.
        builder.http1().timer(ConnectionTimer::default());
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            let _slot = slot;
            // Errors here are the client's: it went away, or spoke something else than HTTP.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Waits until it is time to stop. Its own function, so that no guard of the channel is held over an await: a server can be spawned.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The site that a request is for, or why it is not looked at.
fn admit(dispatch: &Dispatch, request: &Request<Incoming>) -> Result<Site, StatusCode> {
    within_limits(request)?;
    host(request).and_then(|host| dispatch(host)).ok_or(StatusCode::MISDIRECTED_REQUEST)
}

async fn answer(
    admitted: Result<Site, StatusCode>,
    timer: ConnectionTimer,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let site = match admitted {
        Ok(site) => site,
        Err(status) => return Ok(bare(status)),
    };
    let request = request.map(Body::new);
    let stream = request.uri().path() == "/api/v1/changes";
    let answered = site.answer(request, peer.ip());
    if stream {
        return Ok(answered.await);
    }
    tokio::select! {
        biased;
        response = answered => Ok(response),
        () = timer.after(REQUEST_TIME) => Ok(bare(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// The host a request is for: `:authority` in HTTP/2, `Host` in HTTP/1. Two `Host` headers are none.
fn host(request: &Request<Incoming>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

fn within_limits(request: &Request<Incoming>) -> Result<(), StatusCode> {
    let uri = request.uri();
    if uri.path_and_query().map_or(0, |path| path.as_str().len()) > REQUEST_LINE {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let headers = request.headers();
    let size =
        |headers: &HeaderMap| headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    let cookies: usize = headers.get_all(header::COOKIE).iter().map(http::HeaderValue::len).sum();
    if headers.len() > HEADER_COUNT || size(headers) > HEADER_BYTES || cookies > COOKIE_BYTES {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    Ok(())
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
