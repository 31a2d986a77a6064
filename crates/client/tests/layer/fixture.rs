//! The pieces of every test: an engine that speaks the protocol and answers from a script, an application behind the
//! layer, and requests as browsers send them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_client::{Builder, Caller, Hallpass, ManualClock, SignIn, require};
use http::header::{self, HeaderMap, HeaderName};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::ServiceExt;

use crate::home::{self, Home};

/// Where people reach the application under test.
pub const ORIGIN: &str = "http://pos.company.localhost:7070";
/// The pass's cookie.
pub const PASS: &str = "__Secure-hallpass-pass";
/// The layer's memory of whom it accepted.
pub const SEEN: &str = "__Host-Http-hallpass-seen";

/// The app's live secret keys: the one in use, and the next.
pub const SECRETS: [&str; 2] = ["hp_sk_test", "hp_sk_next"];

/// Its public name; where it really listens is told with `connect_to`.
pub const ISSUER: &str = "http://auth.company.localhost:7000";

/// What the engine does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It answers with this status.
    Status(StatusCode),
    /// It never answers.
    Silence,
    /// It answers with something that is no introspection answer.
    Nonsense,
}

/// An engine on loopback.
#[derive(Clone)]
pub struct Engine {
    pub script: Arc<Script>,
    address: SocketAddr,
}

pub struct Script {
    pub home: Home,
    pub trouble: Mutex<Option<Trouble>>,
    answers: Mutex<HashMap<String, Value>>,
    asked: Mutex<Vec<Value>>,
    signed_out: Mutex<Vec<Value>>,
    continue_at: Mutex<Option<String>>,
    gate: Semaphore,
    streams: mpsc::UnboundedSender<Stream>,
    opened: tokio::sync::Mutex<mpsc::UnboundedReceiver<Stream>>,
    streams_refused: AtomicBool,
}

/// One open change stream, as the engine holds it.
pub struct Stream {
    /// The position that the app asked for.
    pub since: Option<String>,
    events: mpsc::UnboundedSender<Result<Bytes, std::io::Error>>,
}

impl Stream {
    /// Says something.
    pub fn say(&self, text: &'static str) {
        self.events.send(Ok(Bytes::from_static(text.as_bytes()))).expect("the app listens");
    }

    /// Whether the app still listens.
    pub async fn closed(&self) {
        self.events.closed().await;
    }
}

impl Engine {
    /// Starts one in which nobody is signed in.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (streams, opened) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            home: Home::default(),
            answers: Mutex::default(),
            asked: Mutex::default(),
            signed_out: Mutex::default(),
            continue_at: Mutex::default(),
            trouble: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            streams,
            opened: opened.into(),
            streams_refused: AtomicBool::new(false),
        });
        let router = Router::new()
            .route("/introspect", post(introspect))
            .route("/api/v1/sign-out", post(sign_out))
            .route("/api/v1/changes", get(changes))
            .route("/handoff/token", post(home::token))
            .with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { script, address }
    }

    /// Says who `pass` stands for, with further members of the answer.
    pub fn sign_in(&self, pass: &str, sid: &str, name: &str, more: Value) {
        let mut answer = json!({"active":true,"token_type":"pass","iss":ISSUER,"client_id":"pos","sub":format!("u_{name}"),
            "sid":sid,"username":name,"auth_time":1_800_000_000,"acr":"aal1","amr":["pwd"],"iat":1_800_000_000,
            "exp":1_800_000_900,"roles":["cashier"],"permissions":["canCreateOrder"],"scope":"canCreateOrder",
            "attributes":{},"version":"1","cache_for":0,"csrf_token":"good","set_cookie":null,"request_token":null});
        let members = answer.as_object_mut().expect("an object");
        let Value::Object(more) = more else { panic!("further members come as an object") };
        members.extend(more);
        self.script.answers.lock().expect("not poisoned").insert(pass.to_owned(), answer);
    }

    /// `pass` no longer stands for anybody.
    pub fn end(&self, pass: &str) {
        self.script.answers.lock().expect("not poisoned").remove(pass);
    }

    /// What introspection says about `pass`.
    pub fn envelope(&self, pass: &str) -> Value {
        self.script.answers.lock().expect("not poisoned")[pass].clone()
    }

    /// Names the page at which people go on after a sign-out.
    pub fn continue_at(&self, address: &str) {
        *self.script.continue_at.lock().expect("not poisoned") = Some(address.to_owned());
    }

    /// Gets into trouble, or out of it.
    pub fn trouble(&self, trouble: impl Into<Option<Trouble>>) {
        *self.script.trouble.lock().expect("not poisoned") = trouble.into();
    }

    /// Every introspection request so far.
    pub fn asked(&self) -> Vec<Value> {
        self.script.asked.lock().expect("not poisoned").clone()
    }

    /// Every sign-out so far.
    pub fn signed_out(&self) -> Vec<Value> {
        self.script.signed_out.lock().expect("not poisoned").clone()
    }

    /// Holds back introspection answers until [`Engine::release`].
    pub fn hold(&self) {
        self.script.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets them go.
    pub fn release(&self) {
        self.script.gate.add_permits(1000);
    }

    /// The next change stream that the app opens.
    pub async fn next_stream(&self) -> Stream {
        self.script.opened.lock().await.recv().await.expect("the engine lives")
    }

    /// Opens no further change stream.
    pub fn refuse_streams(&self) {
        self.script.streams_refused.store(true, Ordering::SeqCst);
    }

    /// The application's settings for this engine.
    pub fn builder(&self) -> Builder {
        self.builder_with(SECRETS[0])
    }

    /// The same with another of its secrets.
    pub fn builder_with(&self, secret: &str) -> Builder {
        Hallpass::builder(ISSUER, "pos", secret).origin(ORIGIN).connect_to(self.address)
    }
}

/// Whether the app shows its key pair.
pub fn authenticate(headers: &HeaderMap) -> Result<(), StatusCode> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = SECRETS.map(|secret| format!("Basic {}", STANDARD.encode(format!("pos:{secret}"))));
    if !known.iter().any(|credentials| credentials == text(header::AUTHORIZATION)) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if format!("http://{}", text(header::HOST)) != ISSUER {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    Ok(())
}

async fn introspect(
    State(script): State<Arc<Script>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, StatusCode> {
    authenticate(&headers)?;
    let request: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let known = ["token", "tokens", "host", "csrf_token", "method", "if_version"];
    if request.as_object().is_none_or(|members| members.keys().any(|name| !known.contains(&name.as_str())))
        || request["host"] != "pos.company.localhost:7070"
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    script.asked.lock().expect("not poisoned").push(request.clone());
    let trouble = *script.trouble.lock().expect("not poisoned");
    match trouble {
        Some(Trouble::Status(status)) => return Ok((status, [(header::RETRY_AFTER, "7")]).into_response()),
        Some(Trouble::Silence) => std::future::pending().await,
        Some(Trouble::Nonsense) => return Ok(axum::Json(json!({"active":true})).into_response()),
        None => {}
    }
    drop(script.gate.acquire().await);
    let answers = script.answers.lock().expect("not poisoned");
    let answer = |token: &Value| {
        let Some(answer) = token.as_str().and_then(|token| answers.get(token)) else { return json!({"active":false}) };
        let mut answer = answer.clone();
        if answer["active"] == true && request["if_version"].is_string() && request["if_version"] == answer["version"] {
            answer = json!({"active":true,"unchanged":true,"cache_for":answer["cache_for"]});
        }
        if request["csrf_token"].is_string() && request["csrf_token"] != "good" {
            answer["csrf"] = json!("failed");
        }
        answer
    };
    let body = match request["tokens"].as_array() {
        Some(tokens) => json!({"results": tokens.iter().map(answer).collect::<Vec<_>>()}),
        None => answer(&request["token"]),
    };
    Ok(axum::Json(body).into_response())
}

async fn sign_out(State(script): State<Arc<Script>>, headers: HeaderMap, body: Bytes) -> Result<Response, StatusCode> {
    authenticate(&headers)?;
    if let Some(Trouble::Status(status)) = *script.trouble.lock().expect("not poisoned") {
        return Err(status);
    }
    let request: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    script.answers.lock().expect("not poisoned").retain(|_, answer| answer["sid"] != request["sid"]);
    script.signed_out.lock().expect("not poisoned").push(request);
    Ok(match &*script.continue_at.lock().expect("not poisoned") {
        Some(address) => axum::Json(json!({"signed_out":true,"continue_at":address})).into_response(),
        // As older engines do.
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn changes(
    State(script): State<Arc<Script>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    authenticate(&headers)?;
    if script.streams_refused.load(Ordering::SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let (events, body) = mpsc::unbounded_channel();
    script.streams.send(Stream { since: query.get("since").cloned(), events }).expect("the engine lives");
    let body = Body::from_stream(UnboundedReceiverStream::new(body));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

/// An application behind the layer.
#[derive(Clone)]
pub struct App {
    /// Its connection to the engine.
    pub hallpass: Hallpass,
    /// Moves its clock.
    pub clock: ManualClock,
    router: Router,
    acted: Arc<AtomicUsize>,
}

impl App {
    /// With `/public` and what is below it open to anonymous visitors.
    pub fn new(builder: Builder) -> Self {
        let clock = ManualClock::default();
        let is_public = |path: &str| path == "/public" || path.starts_with("/public/");
        let hallpass = builder.clock(clock.clone()).optional(is_public).build().expect("valid settings");
        let acted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&acted);
        let act = async move |body: String| {
            counter.fetch_add(1, Ordering::SeqCst);
            body
        };
        let router = Router::new()
            .route("/", get(greet).post(act.clone()))
            .route("/orders/{id}", get(greet))
            .route("/public", get(greet).post(act.clone()))
            .route(
                "/public/sign-in-link",
                get(async |axum::Extension(sign_in): axum::Extension<SignIn>| sign_in.url().to_owned()),
            )
            .route("/public/strict", get(async |caller: Caller| caller.username().to_owned()))
            .route("/public/refunds", get(async || "refunds").layer(require("canRefund")))
            .route("/refunds", get(async || "refunds").layer(require("canRefund")))
            .route("/logo.svg", get(async || ([(header::CACHE_CONTROL, "public, max-age=60")], "logo")))
            .route("/headers", get(async |headers: HeaderMap| format!("{headers:?}")))
            .nest("/nested", Router::new().route("/page", get(greet)).layer(hallpass.layer()))
            .layer(hallpass.layer());
        Self { hallpass, clock, router, acted }
    }

    /// Sends a request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1_000_000).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    /// How often the application has done something.
    pub fn acted(&self) -> usize {
        self.acted.load(Ordering::SeqCst)
    }
}

async fn greet(caller: Option<Caller>) -> String {
    match caller {
        Some(caller) => format!("{} {}", caller.username(), caller.permissions().join(",")),
        None => "anonymous".to_owned(),
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// A header's text, or nothing.
    pub fn header(&self, name: impl Into<HeaderName>) -> &str {
        self.headers.get(name.into()).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where it leads.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.header(header::LOCATION)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The `Set-Cookie` lines for cookies named `name`.
    pub fn set_cookies(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|line| line.to_str().expect("ASCII"))
            .filter(|line| line.split('=').next() == Some(name))
            .collect()
    }

    /// The value of the one cookie `name` that is set.
    pub fn cookie(&self, name: &str) -> String {
        let lines: Vec<&str> = self.set_cookies(name).into_iter().filter(|line| !line.contains("Max-Age=0;")).collect();
        let [line] = lines.as_slice() else { panic!("one {name}, not {lines:?}") };
        line.split(['=', ';']).nth(1).expect("a value").to_owned()
    }

    /// The value of a hidden field of the page.
    pub fn field(&self, name: &str) -> String {
        let after = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1).expect("the field");
        after.split('"').next().expect("a value").replace("&amp;", "&")
    }
}

/// A navigation: somebody follows a link.
pub fn visit(path: &str, cookies: &[(&str, &str)]) -> Request<Body> {
    with_cookies(Request::get(path).header("sec-fetch-mode", "navigate").header("sec-fetch-site", "none"), cookies)
        .body(Body::empty())
        .expect("a request")
}

/// A script's request.
pub fn fetch(path: &str, cookies: &[(&str, &str)]) -> Request<Body> {
    with_cookies(Request::get(path).header("sec-fetch-mode", "cors").header("sec-fetch-site", "same-origin"), cookies)
        .body(Body::empty())
        .expect("a request")
}

/// A form of the application's own, sent.
pub fn submit(path: &str, cookies: &[(&str, &str)], form: &[(&str, &str)]) -> Request<Body> {
    submit_from("same-origin", path, cookies, form)
}

/// A form sent from somewhere.
pub fn submit_from(site: &str, path: &str, cookies: &[(&str, &str)], form: &[(&str, &str)]) -> Request<Body> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(path)
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", site)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", body.len());
    with_cookies(request, cookies).body(Body::from(body)).expect("a request")
}

fn with_cookies(request: http::request::Builder, cookies: &[(&str, &str)]) -> http::request::Builder {
    if cookies.is_empty() {
        return request;
    }
    let line = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    request.header(header::COOKIE, line)
}

/// Waits until `condition` holds; fails after ten seconds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}
