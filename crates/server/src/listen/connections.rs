//! Connections that wait for a request, and when that has taken too long: ten seconds for the head of one that has begun, a minute for one to begin.
//! Protocol §14.
//!
//! A timer for each request costs more than finding its session. So there is none: a connection notes in which second its waiting began, and one task
//! looks at all of them once a second. Limits are kept to a second.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::Version;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::MissedTickBehavior;

/// Seconds for the head of a request, from its first byte.
const HEAD: u32 = 10;
/// Seconds without a request; [`HEAD`] if there is no room for another connection.
const IDLE: u32 = 60;

/// All that are open.
#[derive(Default)]
pub struct Connections {
    clock: Arc<Clock>,
    open: Mutex<Vec<Weak<Connection>>>,
}

/// Seconds since the start, as far as they were counted.
type Clock = AtomicU32;

impl Connections {
    /// One more.
    pub fn open(&self) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            since: self.clock.load(Ordering::Relaxed).into(),
            clock: self.clock.clone(),
            requests: 0.into(),
            head: false.into(),
            multiplexed: false.into(),
            order: Order::Stay.into(),
            waker: Mutex::default(),
        });
        self.open.lock().push(Arc::downgrade(&connection));
        connection
    }

    /// Ends those that wait for too long, for ever. `full` says whether there is no room for another one.
    pub async fn watch(&self, full: impl Fn() -> bool) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        // A second in which this process was stopped is nobody's fault.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            self.second(full());
        }
    }

    /// Lets all of them finish what is under way.
    pub fn finish(&self) {
        self.open.lock().iter().filter_map(Weak::upgrade).for_each(|connection| connection.tell(Order::Finish));
    }

    /// Another second is over.
    fn second(&self, full: bool) {
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let idle = if full { HEAD } else { IDLE };
        self.open.lock().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            // First: who sees that nothing is under way sees since when.
            if connection.requests.load(Ordering::Acquire) > 0 {
                return true;
            }
            // Longer than that: proxies that keep a connection for a minute are to give it up first, not to find it closed.
            let waited = now - connection.since.load(Ordering::Relaxed);
            match connection.head.load(Ordering::Relaxed) {
                true if waited > HEAD => connection.tell(Order::Close),
                false if waited > idle + HEAD => connection.tell(Order::Close),
                false if waited > idle => connection.tell(Order::Finish),
                _ => {}
            }
            true
        });
    }
}

/// What one of them waits for.
pub struct Connection {
    clock: Arc<Clock>,
    /// Those under way.
    requests: AtomicU32,
    /// The second in which it began to wait.
    since: AtomicU32,
    /// Whether something has come that is not a whole head yet.
    head: AtomicBool,
    /// HTTP/2: what comes between requests need not be the beginning of one.
    multiplexed: AtomicBool,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Stay,
    /// Answer what has been asked, and nothing after it.
    Finish,
    Close,
}

impl From<Order> for AtomicU8 {
    fn from(order: Order) -> Self {
        (order as u8).into()
    }
}

impl Connection {
    /// Serves it to its end: `poll` is the server's part, which `finish` tells to begin nothing new.
    pub async fn serve<C: Future>(&self, connection: C, finish: impl Fn(Pin<&mut C>)) {
        let mut connection = std::pin::pin!(connection);
        let (mut known, mut finishing) = (None::<Waker>, false);
        std::future::poll_fn(|context| {
            if !known.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                known = Some(context.waker().clone());
                self.waker.lock().clone_from(&known);
            }
            // After it has said whom to wake: an order given in between is not missed.
            let order = self.order.load(Ordering::Acquire);
            if order == Order::Close as u8 {
                return Poll::Ready(());
            }
            if order == Order::Finish as u8 && !finishing {
                finishing = true;
                finish(connection.as_mut());
            }
            // Errors here are the client's: it went away, or spoke something else than HTTP.
            connection.as_mut().poll(context).map(drop)
        })
        .await;
    }

    /// A request has come; it is under way as long as what this returns is kept.
    pub fn begin(self: &Arc<Self>, version: Version) -> Busy {
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Something has come. What comes while a request is under way may belong to it.
    fn heard(&self) {
        if !self.head.load(Ordering::Relaxed)
            && !self.multiplexed.load(Ordering::Relaxed)
            && self.requests.load(Ordering::Relaxed) == 0
        {
            self.since.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
            self.head.store(true, Ordering::Relaxed);
        }
    }

    fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}

/// A request under way on a connection.
pub struct Busy(Arc<Connection>);

impl Busy {
    /// Until all of this answer has been taken.
    pub fn answering<B>(self, body: B) -> Answering<B> {
        Answering { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(connection) = self;
        connection.since.store(connection.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        connection.head.store(false, Ordering::Relaxed);
        connection.requests.fetch_sub(1, Ordering::Release);
    }
}

/// The body of an answer to a request that is under way.
pub struct Answering<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its connection when something comes.
pub struct Heard<S> {
    /// The stream.
    pub stream: S,
    /// The connection.
    pub connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.connection.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
