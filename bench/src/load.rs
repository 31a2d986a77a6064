//! The load generator: a fixed number of connections, each with one request at a time under way, prepared bytes out, cheap parsing in.
//!
//! One thread for all of them, and the same code for every server that is compared.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;
use crate::clock::ticks;
use crate::histogram::Histogram;
use crate::http1;

/// Where requests come from.
pub trait Requests: Send + Sync + 'static {
    /// Writes the next request into the empty buffer; `false` if there are no more. `random` is the connection's own state.
    fn next(&self, random: &mut u64, into: &mut Vec<u8>) -> bool;

    /// Takes from the body of a 200 what a later request needs.
    fn answered(&self, _: &[u8]) {}
}

/// One run.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Connections.
    pub connections: usize,
    /// Not counted: until connections are open and caches warm.
    pub ramp: Duration,
    /// Counted. The run ends earlier if there are no more requests; then only what was used counts.
    pub measured: Duration,
    /// Lengths of a right answer's body; an answer of another length or status is counted as wrong.
    pub length: RangeInclusive<usize>,
}

/// What one run gave.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Seconds that were counted.
    pub seconds: f64,
    /// From sending a request to the end of its answer.
    pub latencies: Histogram,
    /// Answers with another status or length.
    pub wrong: u64,
    /// The first of them, for the error message.
    pub sample: Option<String>,
}

impl Measured {
    /// Answers in a second.
    pub fn rate(&self) -> f64 {
        exact(self.latencies.total()) / self.seconds.max(1e-9)
    }

    /// Fails if an answer was wrong: a rate of refusals is no result.
    pub fn checked(self) -> Result<Self, Failure> {
        match &self.sample {
            None => Ok(self),
            Some(sample) => {
                Err(format!("{} of {} answers were not as expected: {sample}", self.wrong, self.latencies.total())
                    .into())
            }
        }
    }
}

/// A count as a float; counts here are far below the 2^53 where that loses anything.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub fn exact(count: u64) -> f64 {
    count as f64
}

/// A small, fast generator (SplitMix64): which pass is asked for next is no secret.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A random index below `below`.
pub fn pick(state: &mut u64, below: usize) -> usize {
    usize::try_from(random(state) % below.max(1) as u64).unwrap_or(0)
}

/// Runs it on a thread of its own.
pub async fn run(load: Load, requests: Arc<impl Requests>) -> Result<Measured, Failure> {
    let (done, finished) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(all(&load, &requests)));
        // Nobody waits any more if the benchmark was interrupted.
        let _ = done.send(outcome);
    })?;
    finished.await?
}

/// Opened so far, in all runs.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

async fn all(load: &Load, requests: &Arc<impl Requests>) -> Result<Measured, Failure> {
    let mut streams = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begin = ticks() + load.ramp;
    let mut connections = JoinSet::new();
    for stream in streams {
        // Every connection of every run picks others: rounds that ask about the same ones find them in the caches.
        let state = CONNECTIONS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x5851_f42d_4c95_7f2d);
        connections.spawn(converse(stream, load.clone(), requests.clone(), begin, state));
    }
    let mut total = Measured::default();
    let mut last = begin;
    while let Some(connection) = connections.join_next().await {
        let (measured, ended) = connection??;
        total.latencies.merge(&measured.latencies);
        total.wrong += measured.wrong;
        total.sample = total.sample.or(measured.sample);
        last = last.max(ended);
    }
    total.seconds = (last.min(begin + load.measured) - begin).as_secs_f64();
    Ok(total)
}

async fn converse(
    mut stream: TcpStream,
    load: Load,
    requests: Arc<impl Requests>,
    begin: Instant,
    mut random: u64,
) -> Result<(Measured, Instant), Failure> {
    let end = begin + load.measured;
    let mut measured = Measured::default();
    let mut request = Vec::with_capacity(2048);
    let mut answer = vec![0; 256 * 1024];
    let mut sent = ticks();
    while sent < end && requests.next(&mut random, &mut request) {
        stream.write_all(&request).await?;
        request.clear();
        let mut read = 0;
        let frame = loop {
            match stream.read(&mut answer[read..]).await? {
                0 => return Err("the server closed a connection, or sent more than expected".into()),
                more => read += more,
            }
            if let Some(frame) = http1::frame(&answer[..read])
                && read >= frame.head + frame.body
            {
                break frame;
            }
        };
        let received = ticks();
        if frame.status == 200 {
            requests.answered(&answer[frame.head..frame.head + frame.body]);
        }
        if sent >= begin && received <= end {
            measured.latencies.record(received - sent);
            if frame.status != 200 || !load.length.contains(&frame.body) {
                measured.wrong += 1;
                measured.sample.get_or_insert_with(|| String::from_utf8_lossy(&answer[..read]).into_owned());
            }
        }
        sent = received;
    }
    Ok((measured, sent))
}
