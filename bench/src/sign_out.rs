//! Apps that are told of sign-outs: one that answers at once, and some that take the connection and never answer.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Failure;
use crate::clock::ticks;
use crate::histogram::Histogram;
use crate::http1::Connection;
use crate::installation::{HOME, session_id, user_id};

/// When each session's logout token came, by `sid`.
pub type Received = Arc<Mutex<HashMap<String, Instant>>>;

/// Connections that have been taken and are not answered.
pub type Held = Arc<Mutex<Vec<TcpStream>>>;

/// A receiver that answers at once. Its threads end with the process.
pub fn fast() -> Result<(SocketAddr, Received), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let received = Received::default();
    let notes = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let notes = notes.clone();
            std::thread::spawn(move || {
                if let Some(sid) = take(stream) {
                    notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(sid).or_insert_with(ticks);
                }
            });
        }
    });
    Ok((address, received))
}

/// A receiver that never answers, and what it has taken.
pub fn slow() -> Result<(SocketAddr, Held), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let held = Held::default();
    let holding = held.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            holding.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(stream);
        }
    });
    Ok((address, held))
}

/// Ends these sessions, `rate` in a second, and tells how long the receiver waited for each, from the answer that acknowledged it.
pub fn ended(
    address: SocketAddr,
    authorization: &str,
    sessions: std::ops::Range<usize>,
    rate: u32,
    received: &Received,
) -> Result<Histogram, Failure> {
    let mut connection = Connection::open(address)?;
    let mut acknowledged = Vec::new();
    let mut due = ticks();
    for number in sessions {
        std::thread::sleep(due.saturating_duration_since(ticks()));
        end(&mut connection, authorization, number)?;
        acknowledged.push((session_id(number).to_string(), ticks()));
        due += Duration::from_secs(1) / rate;
    }
    let deadline = ticks() + Duration::from_secs(20);
    let mut latencies = Histogram::default();
    for (sid, at) in acknowledged {
        loop {
            let came = received.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&sid).copied();
            if let Some(came) = came {
                latencies.record(came.saturating_duration_since(at));
                break;
            }
            if ticks() > deadline {
                return Err("an app was not told of a sign-out in twenty seconds".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(latencies)
}

/// Ends one session, as an app does for its visitor.
pub fn end(connection: &mut Connection, authorization: &str, number: usize) -> Result<(), Failure> {
    let body = serde_json::json!({ "sid": session_id(number), "sub": user_id(number) }).to_string();
    let request = format!(
        "POST /api/v1/sign-out HTTP/1.1\r\nHost: {HOME}\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = connection.exchange(request.as_bytes())?;
    if answer.status == 200 { Ok(()) } else { Err(format!("a sign-out was answered {}", answer.head).into()) }
}

/// Reads one delivery, answers it, and tells whose session it is about.
fn take(mut stream: TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let form = loop {
        let text = std::str::from_utf8(&bytes).ok()?;
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                break body.to_owned();
            }
        }
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    let claims = URL_SAFE_NO_PAD.decode(form.strip_prefix("logout_token=")?.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["sid"].as_str().map(str::to_owned)
}
