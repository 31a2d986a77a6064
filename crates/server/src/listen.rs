//! The accept loop: one connection a task, limits before anything is parsed, a stop that lets requests finish. Protocol §14.

mod connections;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::Service;

use self::connections::{Connections, Heard};
use crate::routes::{Answer, Home};
use crate::web::guard::Alias;

const REQUEST_LINE: usize = 8 * 1024;
const HEADER_BYTES: usize = 32 * 1024;
const COOKIE_BYTES: usize = 16 * 1024;
const HEADER_COUNT: usize = 100;
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
    pub fn answer(&self, mut request: Request<Body>, peer: IpAddr) -> Answer<'_> {
        match self {
            Self::Home(home) => home.answer(request, peer),
            Self::Alias(agent, alias) => {
                request.extensions_mut().insert(alias.clone());
                agent.answer(request, peer)
            }
            Self::App(router) => {
                let mut router = router.clone();
                Box::pin(async move { router.call(request).await.unwrap_or_else(|never| match never {}) })
            }
        }
    }
}

/// Which site a `Host` is; `None` is 421. Hosts come from configuration, requests only choose among them.
pub type Dispatch = Arc<dyn Fn(&str) -> Option<Site> + Send + Sync>;

/// Serves until `stop` turns true, then finishes what is under way (at most ten seconds).
pub async fn serve(listener: TcpListener, dispatch: Dispatch, maximum_connections: u32, stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(maximum_connections as usize));
    let connections = Connections::default();
    tokio::select! {
        () = accept(listener, dispatch, &slots, &connections, stop) => {}
        () = connections.watch(|| slots.available_permits() == 0) => {}
    }
    connections.finish();
    // All slots are free when no connection is left.
    let _ = tokio::time::timeout(GRACE, slots.acquire_many(maximum_connections)).await;
}

async fn accept(
    listener: TcpListener,
    dispatch: Dispatch,
    slots: &Arc<Semaphore>,
    connections: &Connections,
    mut stop: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Our answers are small: one piece to send costs the kernel less than two.
        .writev(false)
        // `connections` sees to that.
        .header_read_timeout(None)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES + REQUEST_LINE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX));
    loop {
        let slot = tokio::select! {
            slot = slots.clone().acquire_owned() => slot,
            () = stopped(&mut stop) => return,
        };
        let Ok(slot) = slot else { return };
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
            () = stopped(&mut stop) => return,
        };
        let _ = stream.set_nodelay(true);
        let (dispatch, connection) = (dispatch.clone(), connections.open());
        let stream = Heard { stream, connection: connection.clone() };
        let this = connection.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let busy = this.begin(request.version());
            let admitted = admit(&dispatch, &request);
            async move {
                let response = match admitted {
                    Ok(site) => within_time(&site, peer, request).await,
                    Err(status) => bare(status),
                };
                Ok::<_, Infallible>(response.map(|body| busy.answering(body)))
            }
        });
        let server = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::spawn(async move {
            let _slot = slot;
            connection.serve(server, |server| server.graceful_shutdown()).await;
        });
    }
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

fn within_time(site: &Site, peer: SocketAddr, request: Request<Incoming>) -> impl Future<Output = Response> + Send {
    let stream = request.uri().path() == "/api/v1/changes";
    let mut answered = site.answer(request.map(Body::new), peer.ip());
    async move {
        if stream {
            return answered.await;
        }
        // Most are answered at once, and need no timer.
        let at_once = std::future::poll_fn(|context| {
            Poll::Ready(match answered.as_mut().poll(context) {
                Poll::Ready(response) => Some(response),
                Poll::Pending => None,
            })
        });
        match at_once.await {
            Some(response) => response,
            None => {
                tokio::time::timeout(REQUEST_TIME, answered).await.unwrap_or_else(|_| bare(StatusCode::REQUEST_TIMEOUT))
            }
        }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::Instant;
    use tokio_stream::StreamExt as _;

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: any\r\n\r\n";

    /// `/slow` answers after 25 seconds, `/never` never, `/stream` sends something every half minute for two minutes.
    fn site() -> Dispatch {
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(25)).await;
            "slow"
        };
        let stream = || async {
            let pieces = tokio_stream::iter(0..4).then(|_| async {
                tokio::time::sleep(Duration::from_secs(30)).await;
                Ok::<_, Infallible>("piece")
            });
            Body::from_stream(pieces)
        };
        let router = Router::new()
            .route("/", axum::routing::get(|| async { "here" }))
            .route("/slow", axum::routing::get(slow))
            .route("/never", axum::routing::get(std::future::pending::<()>))
            .route("/stream", axum::routing::get(stream));
        Arc::new(move |_| Some(Site::App(router.clone())))
    }

    struct Running {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        ended: tokio::task::JoinHandle<()>,
    }

    async fn start(maximum_connections: u32) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(false);
        let ended = tokio::spawn(serve(listener, site(), maximum_connections, stopped));
        Running { address, stop, ended }
    }

    impl Running {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.expect("connects")
        }
    }

    /// What comes before the connection ends, and after how many seconds it does.
    async fn to_the_end(stream: &mut TcpStream) -> (String, u64) {
        let (began, mut all) = (Instant::now(), Vec::new());
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut all).await;
        (String::from_utf8(all).expect("text"), began.elapsed().as_secs())
    }

    async fn answer_to(stream: &mut TcpStream, request: &[u8]) -> String {
        stream.write_all(request).await.expect("writes");
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.expect("reads");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// Slow Loris: many heads that never end hold connections, not more.
    #[tokio::test(start_paused = true)]
    async fn a_head_has_ten_seconds_however_it_trickles() {
        let server = start(10).await;
        let mut stream = server.connect().await;
        let began = Instant::now();
        let trickle = async {
            for byte in GET.iter().take(GET.len() - 1).cycle() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let (mut end, sent) = ([0], stream.write_all(&[*byte]).await);
                if sent.is_err() || stream.try_read(&mut end).is_ok_and(|read| read == 0) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), trickle).await.expect("it is ended");
        let seconds = began.elapsed().as_secs();
        // From the first byte; and a second for each of those who only look once in a second.
        assert!((11..=14).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_is_a_minute() {
        let server = start(10).await;
        let mut stream = server.connect().await;
        for pause in [0, 50, 50] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let answer = answer_to(&mut stream, GET).await;
            assert!(answer.ends_with("here"), "{answer}");
        }
        let (rest, seconds) = to_the_end(&mut stream).await;
        assert!(rest.is_empty() && (60..=62).contains(&seconds), "{rest} {seconds}");
        let mut stream = server.connect().await;
        answer_to(&mut stream, GET).await;
        tokio::time::sleep(Duration::from_secs(50)).await;
        stream.write_all(&GET[..20]).await.expect("writes");
        let (rest, seconds) = to_the_end(&mut stream).await;
        assert!(rest.is_empty() && (10..=12).contains(&seconds), "a head after a pause: {rest} {seconds}");
    }

    /// Whoever holds all connections without a word does not hold them for a minute.
    #[tokio::test(start_paused = true)]
    async fn without_room_for_another_it_is_ten_seconds() {
        let server = start(2).await;
        let (mut silent, mut waiting) = (server.connect().await, server.connect().await);
        answer_to(&mut waiting, GET).await;
        let began = Instant::now();
        let mut third = server.connect().await;
        let answer = answer_to(&mut third, GET).await;
        assert!(answer.ends_with("here"), "{answer}");
        let seconds = began.elapsed().as_secs();
        assert!((10..=12).contains(&seconds), "{seconds}");
        assert_eq!(to_the_end(&mut silent).await.0, "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_not_idle() {
        let server = start(10).await;
        let mut stream = server.connect().await;
        let answer = answer_to(&mut stream, b"GET /slow HTTP/1.1\r\nHost: any\r\n\r\n").await;
        assert!(answer.ends_with("slow"), "{answer}");
        let answer = answer_to(&mut stream, b"GET /never HTTP/1.1\r\nHost: any\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let mut stream = server.connect().await;
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: any\r\n\r\n").await.expect("writes");
        let (all, seconds) = to_the_end(&mut stream).await;
        assert_eq!(all.matches("piece").count(), 4, "two minutes, and half a minute between them: {all}");
        assert!((180..=182).contains(&seconds), "then a minute without a word: {seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_who_is_idle_and_waits_for_who_is_not() {
        let server = start(10).await;
        let (mut idle, mut slow, mut late) = (server.connect().await, server.connect().await, server.connect().await);
        answer_to(&mut idle, GET).await;
        answer_to(&mut late, GET).await;
        slow.write_all(b"GET /slow HTTP/1.1\r\nHost: any\r\n\r\n").await.expect("writes");
        tokio::time::sleep(Duration::from_secs(17)).await;
        server.stop.send_replace(true);
        let (slow, idle) = tokio::join!(to_the_end(&mut slow), to_the_end(&mut idle));
        assert!(slow.0.ends_with("slow") && (7..=9).contains(&slow.1), "{slow:?}");
        assert!(idle.0.is_empty() && idle.1 == 0, "{idle:?}");
        server.ended.await.expect("ends");
        TcpStream::connect(server.address).await.expect_err("nobody listens");
        let server = start(10).await;
        let mut never = server.connect().await;
        never.write_all(b"GET /never HTTP/1.1\r\nHost: any\r\n\r\n").await.expect("writes");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        server.stop.send_replace(true);
        server.ended.await.expect("ends");
        assert_eq!(began.elapsed().as_secs(), 10, "no longer than that");
    }
}
