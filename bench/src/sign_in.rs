//! People who sign in: the page, the form, the redirect, one after the other on each connection, each person from an address of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hallpass_core::authenticator::Workspace;
use hallpass_core::authenticator::password::{self, Argon2Cost, Password, Verdict};
use hallpass_core::crypto::SystemRandom;

use crate::Failure;
use crate::clock::ticks;
use crate::histogram::Histogram;
use crate::http1::{Answer, Connection};
use crate::installation::{HOME, PASSWORD, username};
use crate::load::exact;
use crate::passes::Introspections;

/// The session's cookie, with the sign after its name.
const SESSION: &str = "__Host-Http-hallpass=";

/// Threads that do one thing until they are told to stop.
pub struct Crew<T> {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<T, Failure>>>,
}

impl<T: Send + 'static> Crew<T> {
    /// Starts `size` threads; each is given its number and asked to stop by the flag.
    pub fn start(size: usize, work: impl Fn(usize, &AtomicBool) -> Result<T, Failure> + Send + Sync + 'static) -> Self {
        let (stop, work) = (Arc::new(AtomicBool::new(false)), Arc::new(work));
        let threads = (0..size).map(|number| {
            let (stop, work) = (stop.clone(), work.clone());
            std::thread::spawn(move || work(number, &stop))
        });
        Self { threads: threads.collect(), stop }
    }

    /// Stops them and gathers what they have.
    pub async fn stop(mut self) -> Result<Vec<T>, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let gathered = tokio::task::spawn_blocking(move || {
            let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?);
            ended.collect::<Result<Vec<T>, Failure>>()
        });
        gathered.await?
    }
}

impl<T> Drop for Crew<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What sign-ins have been counted so far.
pub type Count = Arc<AtomicU64>;

/// `connections` people at a time sign in, without pause, each of the first `people` users in turn.
pub fn flood(address: SocketAddr, connections: usize, people: usize, count: &Count) -> Crew<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let count = count.clone();
    Crew::start(connections, move |_, stop| {
        let mut connection = Connection::open(address)?;
        while !stop.load(Ordering::Relaxed) {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            sign_in(&mut connection, number, people)?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// One person signs in. Returns the session's cookie, as a `Cookie` header has it.
pub fn sign_in(connection: &mut Connection, number: u64, people: usize) -> Result<String, Failure> {
    let unexpected =
        |answer: &Answer| -> Failure { format!("sign-in was answered {}{}", answer.head, answer.body).into() };
    // Another /24 for each: otherwise the throttle would rightly take this for one guesser.
    let address = format!("10.{}.{}.7", (number >> 8) & 255, number & 255);
    let browser = format!("Host: {HOME}\r\nX-Forwarded-For: {address}\r\nUser-Agent: hallpass-bench\r\n");
    let page = connection.exchange(format!("GET /sign-in HTTP/1.1\r\n{browser}\r\n").as_bytes())?;
    let cookies = page.header("set-cookie").filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ");
    let token = page.body.split("name=\"csrf_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let (200, Some(token), false) = (page.status, token, cookies.is_empty()) else { return Err(unexpected(&page)) };
    let person = username(usize::try_from(number % people as u64)?);
    let form = format!("username={person}&password={PASSWORD}&csrf_token={token}");
    let request = format!(
        "POST /sign-in HTTP/1.1\r\n{browser}Origin: https://{HOME}\r\nCookie: {cookies}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = connection.exchange(request.as_bytes())?;
    let session =
        answer.header("set-cookie").filter_map(|line| line.split(';').next()).find(|pair| pair.starts_with(SESSION));
    match session {
        Some(session) if answer.status == 303 && answer.header("location").any(|to| to.starts_with("/continue")) => {
            Ok(session.to_owned())
        }
        _ => Err(unexpected(&answer)),
    }
}

/// Sign-ins in a second.
pub async fn rate(
    address: SocketAddr,
    connections: usize,
    people: usize,
    pace: (Duration, Duration),
) -> Result<f64, Failure> {
    let count = Count::default();
    let crew = flood(address, connections, people, &count);
    let rate = counted(&count, pace).await;
    crew.stop().await?;
    Ok(rate)
}

/// Comparisons in a second that Argon2id alone allows, with the engine's parameters, on as many threads as the engine has.
pub async fn argon2_alone(threads: usize, pace: (Duration, Duration)) -> Result<f64, Failure> {
    let cost = Argon2Cost::default();
    let typed = Password::presented(PASSWORD.to_owned())?;
    let stored = password::hash(&typed, cost, &mut Workspace::default(), &mut SystemRandom)?;
    let count = Count::default();
    let done = count.clone();
    let crew = Crew::start(threads, move |_, stop| {
        let presented = Password::presented(PASSWORD.to_owned())?;
        let mut workspace = Workspace::default();
        while !stop.load(Ordering::Relaxed) {
            if password::verify(&presented, &stored, cost, &mut workspace)? != Verdict::Right {
                return Err("the right password was found wrong".into());
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    let rate = counted(&count, pace).await;
    crew.stop().await?;
    Ok(rate)
}

async fn counted(count: &Count, (ramp, measured): (Duration, Duration)) -> f64 {
    tokio::time::sleep(ramp).await;
    let (begin, before) = (ticks(), count.load(Ordering::Relaxed));
    tokio::time::sleep(measured).await;
    exact(count.load(Ordering::Relaxed) - before) / begin.elapsed().as_secs_f64()
}

/// Introspection at a steady pace, far from the limit: each of `connections` asks every `period`, on a thread of its own.
///
/// A request that could not be sent in time because the answer before it was late counts from when it was due.
pub async fn steady(
    address: SocketAddr,
    requests: &Arc<Introspections>,
    passes: usize,
    connections: usize,
    period: Duration,
    (ramp, measured): (Duration, Duration),
) -> Result<Histogram, Failure> {
    let requests = requests.clone();
    // Until then each of our own threads touches memory for the first time, which was seen to take eight milliseconds.
    let from = ticks() + ramp;
    let crew = Crew::start(connections, move |number, stop| {
        let mut connection = Connection::open(address)?;
        let mut latencies = Histogram::default();
        // Spread over the period, so that they do not all come at once.
        let mut due: Instant = ticks() + period * u32::try_from(number)? / u32::try_from(connections)?;
        let mut late = false;
        for turn in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if !late {
                std::thread::sleep(due.saturating_duration_since(ticks()));
            }
            let sent = if late { due } else { ticks() };
            let answer = connection.exchange(&requests.about((turn * connections + number) % passes))?;
            let received = ticks();
            if answer.status != 200 || !answer.body.starts_with("{\"active\":true,\"token_type\"") {
                return Err(format!("introspection was answered {}{}", answer.head, answer.body).into());
            }
            if sent >= from {
                latencies.record(received - sent);
            }
            due += period;
            late = received > due;
        }
        Ok(latencies)
    });
    tokio::time::sleep(ramp + measured).await;
    let mut all = Histogram::default();
    crew.stop().await?.iter().for_each(|latencies| all.merge(latencies));
    Ok(all)
}
