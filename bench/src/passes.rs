//! Passes by the thousand, minted with the installation's own key, and the requests that ask about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hallpass_core::keyring::{Keyring, Purpose};
use hallpass_core::pass::{self, Pass, PassPolicy};
use hallpass_core::time::Timestamp;

use crate::Failure;
use crate::clock::now;
use crate::installation::{APP_HOST, HOME, session_id, user_id};
use crate::load::{Requests, pick};

/// Tokens in one batch: as many as the engine takes.
const BATCH: usize = 100;

/// One pass for each of the first so many sessions, all of one length, end to end in one piece of memory.
pub struct Passes {
    text: Vec<u8>,
    length: usize,
    /// When they were minted.
    pub minted_at: Timestamp,
}

impl Passes {
    /// Mints them, on two threads.
    pub fn mint(keyring: &Keyring, count: usize) -> Result<Self, Failure> {
        let now = now();
        let signer = keyring.signer(Purpose::Pass, now).ok_or("the installation has no key to sign passes with")?;
        let (zone, issuer) = ("home".parse()?, format!("https://{HOME}"));
        let expires_at = now + PassPolicy::default().lifetime;
        let one = |number| {
            let (user_id, session_id) = (user_id(number), session_id(number));
            pass::mint(
                signer,
                &Pass {
                    issuer: &issuer,
                    zone: &zone,
                    user_id,
                    session_id,
                    issued_at: now,
                    expires_at,
                    authenticated_at: now,
                },
            )
        };
        let length = one(0).len();
        let some = |from: usize, to: usize| (from..to).flat_map(|number| one(number).into_bytes()).collect::<Vec<u8>>();
        let mut text = Vec::new();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| some(count / 2, count));
            text = some(0, count / 2);
            text.extend_from_slice(&second.join().unwrap_or_default());
        });
        if text.len() == count * length {
            Ok(Self { text, length, minted_at: now })
        } else {
            Err("passes of different lengths".into())
        }
    }

    /// The same with signatures that are wrong in one character: the server has to compute each to find out, and keeps nothing of it.
    pub fn with_wrong_signatures(&self) -> Self {
        let mut text = self.text.clone();
        for pass in text.chunks_exact_mut(self.length) {
            let signature = pass.iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
            // In the half that is compared at the end; in the other one, some values are refused at once.
            pass[signature + 5] = if pass[signature + 5] == b'A' { b'B' } else { b'A' };
        }
        Self { text, ..*self }
    }

    /// The same with signatures that are three bytes short: the server reads as far, and has nothing to compute.
    pub fn with_short_signatures(&self) -> Self {
        let length = self.length - 4;
        let text = self.text.chunks_exact(self.length).flat_map(|pass| &pass[..length]).copied().collect();
        Self { text, length, ..*self }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.text.len() / self.length
    }

    /// The pass of session `number`.
    pub fn text(&self, number: usize) -> &[u8] {
        &self.text[number * self.length..][..self.length]
    }
}

/// `POST /introspect`, the URL-encoded form, one pass each.
pub struct Introspections {
    head: Vec<u8>,
    passes: Arc<Passes>,
    order: Order,
}

enum Order {
    Random,
    Each { next: AtomicUsize, end: usize },
}

impl Introspections {
    /// About random ones of these, for ever.
    pub fn random(authorization: &str, passes: &Arc<Passes>) -> Arc<Self> {
        Self::new(authorization, passes, Order::Random)
    }

    /// About each of those numbered `from..end`, once.
    pub fn each(authorization: &str, passes: &Arc<Passes>, from: usize, end: usize) -> Arc<Self> {
        Self::new(authorization, passes, Order::Each { next: from.into(), end })
    }

    fn new(authorization: &str, passes: &Arc<Passes>, order: Order) -> Arc<Self> {
        let form = format!("host={APP_HOST}&token=");
        let head = head(authorization, "application/x-www-form-urlencoded", form.len() + passes.length) + &form;
        Arc::new(Self { head: head.into_bytes(), passes: passes.clone(), order })
    }

    /// The request about one pass.
    pub fn about(&self, number: usize) -> Vec<u8> {
        [&self.head, self.passes.text(number)].concat()
    }
}

impl Requests for Introspections {
    fn next(&self, random: &mut u64, into: &mut Vec<u8>) -> bool {
        let number = match &self.order {
            Order::Random => pick(random, self.passes.len()),
            Order::Each { next, end } => match next.fetch_add(1, Ordering::Relaxed) {
                number if number < *end => number,
                _ => return false,
            },
        };
        into.extend_from_slice(&self.head);
        into.extend_from_slice(self.passes.text(number));
        true
    }
}

/// `POST /introspect`, the JSON form, a hundred passes at once, each once: the quick way to bring sessions and passes into memory.
pub struct Batches {
    authorization: String,
    passes: Arc<Passes>,
    next: AtomicUsize,
}

impl Batches {
    /// About all of these.
    pub fn all(authorization: &str, passes: &Arc<Passes>) -> Arc<Self> {
        Arc::new(Self { authorization: authorization.to_owned(), passes: passes.clone(), next: 0.into() })
    }
}

impl Requests for Batches {
    fn next(&self, _: &mut u64, into: &mut Vec<u8>) -> bool {
        let from = self.next.fetch_add(BATCH, Ordering::Relaxed);
        let end = self.passes.len().min(from + BATCH);
        if from >= end {
            return false;
        }
        let mut body = b"{\"tokens\":[".to_vec();
        for number in from..end {
            body.extend_from_slice(if number == from { b"\"" } else { b",\"" });
            body.extend_from_slice(self.passes.text(number));
            body.push(b'"');
        }
        body.extend_from_slice(b"]}");
        into.extend_from_slice(head(&self.authorization, "application/json", body.len()).as_bytes());
        into.extend_from_slice(&body);
        true
    }
}

/// `POST /introspect`, the JSON form, about one pass of each of the two at once, each once.
pub struct Pairs {
    authorization: String,
    passes: [Arc<Passes>; 2],
    next: AtomicUsize,
    end: usize,
}

impl Pairs {
    /// About those numbered `from..end`.
    pub fn each(authorization: &str, passes: [&Arc<Passes>; 2], from: usize, end: usize) -> Arc<Self> {
        Arc::new(Self {
            authorization: authorization.to_owned(),
            passes: passes.map(Arc::clone),
            next: from.into(),
            end,
        })
    }
}

impl Requests for Pairs {
    fn next(&self, _: &mut u64, into: &mut Vec<u8>) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.end {
            return false;
        }
        let [first, second] = &self.passes;
        let body = [&b"{\"tokens\":[\""[..], first.text(number), b"\",\"", second.text(number), b"\"]}"].concat();
        into.extend_from_slice(head(&self.authorization, "application/json", body.len()).as_bytes());
        into.extend_from_slice(&body);
        true
    }
}

fn head(authorization: &str, content_type: &str, length: usize) -> String {
    format!(
        "POST /introspect HTTP/1.1\r\nHost: {HOME}\r\nAuthorization: {authorization}\r\nContent-Type: {content_type}\r\n\
         Accept: application/json\r\nUser-Agent: hallpass-bench\r\nContent-Length: {length}\r\n\r\n"
    )
}
