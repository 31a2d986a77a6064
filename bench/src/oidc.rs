//! What a client does with people who are signed in: codes made beforehand, each exchanged once; refresh tokens, each used once, one giving the next.
//! The same for both servers; where they differ is in [`Side`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hallpass_core::crypto::sha256;

use crate::Failure;
use crate::http1::{Answer, Connection};
use crate::load::Requests;

/// Where codes are sent. Nothing ever looks it up.
pub const REDIRECT_URI: &str = "https://bench.company.com/callback";
/// The client's secret at `oidc-provider`, as long as one of ours.
pub const SECRET: &str = "hp_sk_as_long_as_a_secret_key_of_Hallpass_000000000000";
/// One for all: what it costs to compare it does not depend on what it says.
const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";
/// Requests at a time while codes are made.
const THREADS: usize = 8;

/// A token endpoint and what leads there.
#[derive(Debug, Clone)]
pub struct Side {
    /// The server.
    pub address: SocketAddr,
    /// The host that it goes by.
    pub host: String,
    /// The path of the authorization endpoint.
    pub authorize: &'static str,
    /// The path of the token endpoint.
    pub token: &'static str,
    /// The `Cookie` header of everybody who is signed in there.
    pub people: Arc<Vec<String>>,
}

/// A client at a token endpoint.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its name.
    pub id: String,
    /// Its `Authorization` header.
    pub authorization: String,
}

impl Client {
    /// By HTTP Basic.
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), authorization: format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))) }
    }
}

impl Side {
    /// So many codes, of everybody in turn.
    pub async fn codes(&self, client: &Client, count: usize) -> Result<Vec<String>, Failure> {
        let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
        let path = Arc::new(format!(
            "{}?response_type=code&client_id={}&redirect_uri={}&scope=openid&state=state&nonce=nonce&code_challenge={challenge}&code_challenge_method=S256",
            self.authorize,
            client.id,
            encoded(REDIRECT_URI)
        ));
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (side, path) = (self.clone(), path.clone());
                tokio::task::spawn_blocking(move || {
                    let mut connection = Connection::open(side.address)?;
                    (thread..count)
                        .step_by(THREADS)
                        .map(|number| {
                            let cookie = &side.people[number % side.people.len()];
                            code(&get(&mut connection, &side.host, &path, cookie)?)
                        })
                        .collect::<Result<Vec<String>, Failure>>()
                })
            })
            .collect();
        let mut codes = Vec::with_capacity(count);
        for worker in workers {
            codes.extend(worker.await??);
        }
        Ok(codes)
    }

    /// `POST` to the token endpoint, less the form.
    fn head(&self, client: &Client) -> String {
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Accept: application/json\r\nUser-Agent: hallpass-bench\r\nContent-Length: ",
            self.token, self.host, client.authorization
        )
    }
}

/// Everybody signs in at `oidc-provider`: there and back, by its own redirects. Their session cookies.
pub fn people_of_oidc_provider(address: SocketAddr, client: &Client, count: usize) -> Result<Vec<String>, Failure> {
    let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
    let path = format!(
        "/auth?response_type=code&client_id={}&redirect_uri={}&scope=openid&code_challenge={challenge}&code_challenge_method=S256",
        client.id,
        encoded(REDIRECT_URI)
    );
    let (host, mut connection) = (address.to_string(), Connection::open(address)?);
    let mut person = || {
        let mut cookies: Vec<(String, String)> = Vec::new();
        let mut next = path.clone();
        loop {
            let cookie = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let answer = get(&mut connection, &host, &next, &cookie)?;
            for line in answer.header("set-cookie") {
                let pair = line.split(';').next().unwrap_or_default();
                let (name, value) = pair.split_once('=').ok_or("a cookie without a name")?;
                cookies.retain(|(kept, _)| kept != name);
                cookies.push((name.to_owned(), value.to_owned()));
            }
            let location = answer.header("location").next().ok_or_else(|| unexpected(&answer))?;
            if location.starts_with(REDIRECT_URI) {
                cookies.retain(|(name, _)| name.starts_with("_session"));
                return Ok(cookies
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join("; "));
            }
            location.trim_start_matches("http://").trim_start_matches(&host).clone_into(&mut next);
        }
    };
    (0..count).map(|_| person()).collect()
}

/// Requests that are there from the beginning, each for one credential, and the refresh tokens that their answers bring.
pub struct Grants {
    head: String,
    form: String,
    credentials: Mutex<VecDeque<String>>,
    /// Whether an answer's refresh token is the next credential, or kept for later.
    chained: bool,
    brought: Mutex<Vec<String>>,
}

impl Grants {
    /// Each code once.
    pub fn exchanges(side: &Side, client: &Client, codes: Vec<String>) -> Arc<Self> {
        let form = format!(
            "grant_type=authorization_code&redirect_uri={}&code_verifier={VERIFIER}&code=",
            encoded(REDIRECT_URI)
        );
        Arc::new(Self::new(side, client, form, codes, false))
    }

    /// Each refresh token once, and each that comes of it.
    pub fn refreshes(side: &Side, client: &Client, tokens: Vec<String>) -> Arc<Self> {
        Arc::new(Self::new(side, client, "grant_type=refresh_token&refresh_token=".to_owned(), tokens, true))
    }

    fn new(side: &Side, client: &Client, form: String, credentials: Vec<String>, chained: bool) -> Self {
        Self {
            head: side.head(client),
            form,
            credentials: Mutex::new(credentials.into()),
            chained,
            brought: Mutex::default(),
        }
    }

    /// The refresh tokens of the answers.
    pub fn brought(&self) -> Vec<String> {
        std::mem::take(&mut self.brought.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Requests for Grants {
    fn next(&self, _: &mut u64, into: &mut Vec<u8>) -> bool {
        let Some(credential) = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
            return false;
        };
        into.extend_from_slice(self.head.as_bytes());
        into.extend_from_slice((self.form.len() + credential.len()).to_string().as_bytes());
        into.extend_from_slice(b"\r\n\r\n");
        into.extend_from_slice(self.form.as_bytes());
        into.extend_from_slice(credential.as_bytes());
        true
    }

    fn answered(&self, body: &[u8]) {
        // Neither server escapes anything in a token: looking for the quotation mark is enough.
        let text = std::str::from_utf8(body).unwrap_or_default();
        let token = text.split("\"refresh_token\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let Some(token) = token.map(str::to_owned) else { return };
        if self.chained {
            self.credentials.lock().unwrap_or_else(PoisonError::into_inner).push_back(token);
        } else {
            self.brought.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        }
    }
}

fn get(connection: &mut Connection, host: &str, path: &str, cookie: &str) -> Result<Answer, Failure> {
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 10.9.9.9\r\n{cookie}\r\n");
    connection.exchange(request.as_bytes())
}

fn code(answer: &Answer) -> Result<String, Failure> {
    let location = answer.header("location").next().filter(|location| location.starts_with(REDIRECT_URI));
    let code = location.and_then(|location| location.split("code=").nth(1)).and_then(|rest| rest.split('&').next());
    code.map(str::to_owned).ok_or_else(|| unexpected(answer))
}

fn unexpected(answer: &Answer) -> Failure {
    format!("the authorization endpoint answered {}{}", answer.head, answer.body).into()
}

fn encoded(address: &str) -> String {
    address.replace(':', "%3A").replace('/', "%2F")
}
