//! People who are signed in at home and come to another root domain: by its alias, or by an app that is its own agent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::sha256;

use crate::Failure;
use crate::clock::ticks;
use crate::histogram::Histogram;
use crate::http1::{Answer, Connection};
use crate::installation::{ALIAS, HOME, TILL};
use crate::load::random;
use crate::sign_in::{Crew, sign_in};

/// The hops of both ways, in order.
pub const HOPS: [&str; 5] = ["alias: start", "alias: authorize", "alias: callback", "app: authorize", "app: token"];

/// Signs the first `people` users in, on one connection; their session cookies.
pub fn sessions(address: SocketAddr, people: usize) -> Result<Vec<String>, Failure> {
    let mut connection = Connection::open(address)?;
    (0..people).map(|number| sign_in(&mut connection, number as u64, people)).collect()
}

/// `rate` handoffs in a second for `measured`: latencies of each hop, in the order of [`HOPS`].
pub async fn steady(
    address: SocketAddr,
    sessions: Arc<Vec<String>>,
    authorization: String,
    rate: u32,
    measured: Duration,
) -> Result<[Histogram; 5], Failure> {
    const THREADS: u32 = 10;
    let period = Duration::from_secs(1) * THREADS / rate;
    let crew = Crew::start(THREADS as usize, move |thread, stop| {
        let mut connection = Connection::open(address)?;
        let mut hops: [Histogram; 5] = Default::default();
        let mut due: Instant = ticks() + period * u32::try_from(thread)? / THREADS;
        for turn in 0.. {
            std::thread::sleep(due.saturating_duration_since(ticks()));
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            let number = turn * THREADS as usize + thread;
            let cookie = &sessions[number % sessions.len()];
            if turn % 2 == 0 {
                by_alias(&mut connection, cookie, due, &mut hops)?;
            } else {
                by_app(&mut connection, cookie, &authorization, number as u64, due, &mut hops)?;
            }
            due += period;
        }
        Ok(hops)
    });
    tokio::time::sleep(measured).await;
    let mut all: [Histogram; 5] = Default::default();
    for hops in crew.stop().await? {
        all.iter_mut().zip(&hops).for_each(|(all, hops)| all.merge(hops));
    }
    Ok(all)
}

fn by_alias(connection: &mut Connection, cookie: &str, due: Instant, hops: &mut [Histogram; 5]) -> Result<(), Failure> {
    let start = "/.sso/start?app=shop&return_to=https%3A%2F%2Fshop.company2.com%2F";
    let answer = hop(connection, &get(ALIAS, start, ""), due, &mut hops[0])?;
    let transaction = cookies(&answer);
    let authorize = location(&answer)?.trim_start_matches("https://").trim_start_matches(HOME).to_owned();
    let answer = hop(connection, &get(HOME, &authorize, cookie), ticks(), &mut hops[1])?;
    let callback = location(&answer)?.trim_start_matches("https://").trim_start_matches(ALIAS).to_owned();
    let answer = hop(connection, &get(ALIAS, &callback, &transaction), ticks(), &mut hops[2])?;
    if !cookies(&answer).contains("__Secure-hallpass-pass=ey") {
        return Err(format!("no pass came of a handoff: {}", answer.head).into());
    }
    Ok(())
}

fn by_app(
    connection: &mut Connection,
    cookie: &str,
    authorization: &str,
    number: u64,
    due: Instant,
    hops: &mut [Histogram; 5],
) -> Result<(), Failure> {
    let mut seed = number;
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random(&mut seed).to_be_bytes()));
    let verifier = URL_SAFE_NO_PAD.encode(bytes);
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let callback = format!("https%3A%2F%2F{TILL}%2F.sso%2Fcallback");
    let path = format!(
        "/handoff/authorize?client_id=till&redirect_uri={callback}&state={verifier}&code_challenge={challenge}&code_challenge_method=S256&prompt=none"
    );
    let answer = hop(connection, &get(HOME, &path, cookie), due, &mut hops[3])?;
    let there = location(&answer)?;
    let code = there.split("code=").nth(1).and_then(|rest| rest.split('&').next());
    let code = code.ok_or_else(|| format!("no code in {there}"))?;
    let form = format!("code={code}&redirect_uri={callback}&code_verifier={verifier}");
    let request = format!(
        "POST /handoff/token HTTP/1.1\r\nHost: {HOME}\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = hop(connection, request.as_bytes(), ticks(), &mut hops[4])?;
    if answer.status != 200 || !answer.body.contains("__Secure-hallpass-pass=ey") {
        return Err(format!("no pass came of a code: {}{}", answer.head, answer.body).into());
    }
    Ok(())
}

fn hop(
    connection: &mut Connection,
    request: &[u8],
    due: Instant,
    latencies: &mut Histogram,
) -> Result<Answer, Failure> {
    let answer = connection.exchange(request)?;
    latencies.record(due.elapsed());
    Ok(answer)
}

fn get(host: &str, path: &str, cookie: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 10.9.9.9\r\nCookie: {cookie}\r\n\r\n").into_bytes()
}

fn location(answer: &Answer) -> Result<String, Failure> {
    let location = answer.header("location").next().filter(|_| answer.status == 303);
    location.map(str::to_owned).ok_or_else(|| format!("a hop was answered {}{}", answer.head, answer.body).into())
}

fn cookies(answer: &Answer) -> String {
    answer.header("set-cookie").filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}
