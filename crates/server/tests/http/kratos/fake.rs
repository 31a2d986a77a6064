//! Something that speaks as much of Ory Kratos' API as the engine, a browser and `tests/upstream/kratos-live` use, and writes down every request
//! with all its headers. It can fall silent, fail, talk nonsense, break off, or name somebody else.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What Kratos calls its cookies.
pub const COOKIE: &str = "ory_kratos_session";
const CSRF_COOKIE: &str = "csrf_token_fake";
/// The one-time code of everybody who has a second factor.
pub const CODE: &str = "123456";
/// Milliseconds that a session lives.
const LIFETIME: i64 = 24 * 3600 * 1000;

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// It takes the request and does not answer.
    Silent,
    /// It answers with this status.
    Status(u16),
    /// It answers 200, and then this.
    Says(String),
    /// It breaks off in the middle of the answer.
    Cut,
}

/// Somebody who has an account there.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: String,
    pub active: bool,
    pub traits: Value,
    pub password: String,
    /// They have an app that shows codes, and `whoami` asks for one.
    pub second_factor: bool,
}

/// A session there.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: String,
    pub identity: String,
    /// The value of its cookie.
    pub cookie: String,
    /// Its token.
    pub token: String,
    pub active: bool,
    pub authenticated_at: i64,
    pub expires_at: i64,
    pub aal: &'static str,
    pub methods: Vec<&'static str>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    /// With its query.
    pub path: String,
    pub headers: Vec<(String, String)>,
}

struct Flow {
    return_to: Option<String>,
    csrf: String,
    browser: bool,
}

#[derive(Default)]
struct World {
    next: u64,
    identities: HashMap<String, Identity>,
    sessions: HashMap<String, Session>,
    flows: HashMap<String, Flow>,
    wire: Vec<Recorded>,
}

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A running one. Clones are the same.
#[derive(Clone)]
pub struct Fake {
    pub public_url: String,
    pub admin_url: String,
    world: Arc<Mutex<World>>,
    clock: Arc<Mutex<Clock>>,
    public: Arc<watch::Sender<Fault>>,
    admin: Arc<watch::Sender<Fault>>,
    /// The domain of its cookies.
    domain: Arc<str>,
    /// Where a browser may be sent back to.
    allowed: Arc<str>,
}

impl Fake {
    /// On these addresses; port 0 is any. Cookies are for `domain`, browsers are sent back to addresses that begin with `allowed`.
    pub async fn start(public: &str, admin: &str, domain: &str, allowed: &str) -> Self {
        let listeners = [public, admin].map(TcpListener::bind);
        let [public, admin] = listeners;
        let (public, admin) = (public.await.expect("a port"), admin.await.expect("a port"));
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("bound"));
        let fake = Self {
            public_url: url(&public),
            admin_url: url(&admin),
            world: Arc::default(),
            clock: Arc::new(Mutex::new(Arc::new(|| jiff::Timestamp::UNIX_EPOCH.as_millisecond()))),
            public: Arc::new(watch::Sender::new(Fault::Nothing)),
            admin: Arc::new(watch::Sender::new(Fault::Nothing)),
            domain: domain.into(),
            allowed: allowed.into(),
        };
        let routes = Router::new()
            .route("/self-service/login/browser", get(begin_in_browser))
            .route("/self-service/login/api", get(begin_without_browser))
            .route("/self-service/login", post(submit))
            .route("/sessions/whoami", get(whoami))
            .route("/health/ready", get(ready))
            .layer(axum::middleware::from_fn_with_state((fake.clone(), fake.public.subscribe()), record))
            .with_state(fake.clone());
        let administration = Router::new()
            .route("/admin/identities", post(create_identity))
            .route("/admin/identities/{id}", delete(delete_identity))
            .route("/admin/sessions", get(list_sessions))
            .route("/admin/sessions/{id}", delete(disable_session))
            .route("/admin/health/ready", get(ready))
            .route("/health/ready", get(below_admin))
            .layer(axum::middleware::from_fn_with_state((fake.clone(), fake.admin.subscribe()), record))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(public, routes).await });
        tokio::spawn(async move { axum::serve(admin, administration).await });
        fake
    }

    /// Takes the time from somewhere else.
    pub fn keep_time(&self, clock: impl Fn() -> i64 + Send + Sync + 'static) {
        *self.clock.lock() = Arc::new(clock);
    }

    pub fn now(&self) -> i64 {
        let clock = self.clock.lock().clone();
        clock()
    }

    /// Breaks the public API, or mends it.
    pub fn break_public(&self, fault: Fault) {
        self.public.send_replace(fault);
    }

    /// Breaks the admin API, or mends it.
    pub fn break_admin(&self, fault: Fault) {
        self.admin.send_replace(fault);
    }

    /// Makes an account.
    pub fn identity(&self, traits: Value, change: impl FnOnce(&mut Identity)) -> Identity {
        let id = self.mint();
        let password = "kratos password".to_owned();
        let mut identity = Identity { id, active: true, traits, password, second_factor: false };
        change(&mut identity);
        self.world.lock().identities.insert(identity.id.clone(), identity.clone());
        identity
    }

    /// Changes an account.
    pub fn change_identity(&self, id: &str, change: impl FnOnce(&mut Identity)) {
        change(self.world.lock().identities.get_mut(id).expect("there"));
    }

    /// Signs somebody in without any page.
    pub fn session(&self, identity: &Identity) -> Session {
        let (id, now) = (self.mint(), self.now());
        let unique = id.replace('-', "");
        let session = Session {
            identity: identity.id.clone(),
            cookie: format!("MTc{unique}fDE2-kratos-cookie_{unique}=="),
            token: format!("ory_st_{unique}"),
            active: true,
            authenticated_at: now,
            expires_at: now + LIFETIME,
            aal: "aal1",
            methods: vec!["password"],
            id,
        };
        self.world.lock().sessions.insert(session.id.clone(), session.clone());
        session
    }

    /// Changes a session.
    pub fn change_session(&self, id: &str, change: impl FnOnce(&mut Session)) {
        change(self.world.lock().sessions.get_mut(id).expect("there"));
    }

    /// Whether a session is live.
    pub fn is_live(&self, id: &str) -> bool {
        self.world.lock().sessions.get(id).is_some_and(|session| session.active)
    }

    /// Every session that was ever made, by whomever.
    pub fn sessions(&self) -> Vec<Session> {
        self.world.lock().sessions.values().cloned().collect()
    }

    /// Everything that was asked of it since the last time.
    pub fn heard(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.world.lock().wire)
    }

    fn mint(&self) -> String {
        let mut world = self.world.lock();
        world.next += 1;
        format!("0b9f5d8e-2f1a-4c55-9c43-{:012x}", world.next)
    }

    fn by_credential(&self, headers: &HeaderMap) -> Option<Session> {
        let token = headers.get("x-session-token").and_then(|value| value.to_str().ok());
        let cookie = cookie(headers, COOKIE);
        let now = self.now();
        let world = self.world.lock();
        let fits = |session: &&Session| match token {
            Some(token) => session.token == token,
            None => cookie.as_deref() == Some(&session.cookie),
        };
        world.sessions.values().find(fits).filter(|session| session.active && session.expires_at > now).cloned()
    }

    /// As Kratos writes it.
    fn written(&self, session: &Session) -> Value {
        let identity = self.world.lock().identities.get(&session.identity).cloned().expect("of somebody");
        let instant = |millis| jiff::Timestamp::from_millisecond(millis).expect("in range").to_string();
        let methods = session.methods.iter().map(
            |method| json!({ "method": method, "aal": session.aal, "completed_at": instant(session.authenticated_at) }),
        );
        json!({
            "id": session.id,
            "active": session.active,
            "expires_at": instant(session.expires_at),
            "authenticated_at": instant(session.authenticated_at),
            "authenticator_assurance_level": session.aal,
            "authentication_methods": methods.collect::<Vec<_>>(),
            "issued_at": instant(session.authenticated_at),
            "identity": written_identity(&identity),
            "devices": [],
        })
    }
}

fn written_identity(identity: &Identity) -> Value {
    json!({
        "id": identity.id,
        "schema_id": "default",
        "schema_url": "https://login.company.com/schemas/default",
        "state": if identity.active { "active" } else { "inactive" },
        "traits": identity.traits,
    })
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// Writes the request down, and does what is wrong.
async fn record(
    State((fake, mut fault)): State<(Fake, watch::Receiver<Fault>)>,
    request: Request,
    next: Next,
) -> Response {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let recorded = Recorded {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
    };
    fake.world.lock().wire.push(recorded);
    let now = fault.borrow_and_update().clone();
    match now {
        Fault::Nothing => next.run(request).await,
        Fault::Silent => {
            let _ = fault.wait_for(|fault| *fault != Fault::Silent).await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Fault::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Fault::Says(text) => text.into_response(),
        Fault::Cut => {
            let pieces = [Ok(Bytes::from_static(b"{\"id\":")), Err(std::io::Error::other("cut"))];
            Body::from_stream(tokio_stream::iter(pieces)).into_response()
        }
    }
}

fn problem(status: StatusCode, id: &str) -> Response {
    let said = json!({ "error": { "id": id, "code": status.as_u16(), "message": id } });
    (status, axum::Json(said)).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json")
}

fn redirect(there: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, there.to_owned())]).into_response()
}

async fn ready() -> Response {
    axum::Json(json!({ "status": "ok" })).into_response()
}

/// Whoever asks the admin API for a path that does not begin with `/admin` is sent there, as by Kratos 1.3.
async fn below_admin() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/admin/health/ready")]).into_response()
}

async fn whoami(State(fake): State<Fake>, headers: HeaderMap) -> Response {
    let Some(session) = fake.by_credential(&headers) else {
        return problem(StatusCode::UNAUTHORIZED, "session_inactive");
    };
    let second_factor = fake.world.lock().identities.get(&session.identity).is_some_and(|found| found.second_factor);
    if second_factor && session.aal == "aal1" {
        return problem(StatusCode::FORBIDDEN, "session_aal2_required");
    }
    axum::Json(fake.written(&session)).into_response()
}

async fn begin_in_browser(
    State(fake): State<Fake>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let return_to = query.get("return_to").cloned();
    if return_to.as_deref().is_some_and(|there| !there.starts_with(&*fake.allowed)) {
        return problem(StatusCode::BAD_REQUEST, "self_service_flow_return_to_forbidden");
    }
    let asked = query.get("aal").map_or("aal1", String::as_str);
    match fake.by_credential(&headers) {
        None if asked != "aal1" => return problem(StatusCode::BAD_REQUEST, "session_aal1_required"),
        Some(session) if session.aal >= asked && query.get("refresh").is_none_or(|refresh| refresh != "true") => {
            if wants_json(&headers) {
                return problem(StatusCode::BAD_REQUEST, "session_already_available");
            }
            return redirect(&return_to.unwrap_or_else(|| fake.allowed.to_string()));
        }
        _ => {}
    }
    let (id, csrf) = (fake.mint(), format!("csrf-{}", fake.mint()));
    fake.world.lock().flows.insert(id.clone(), Flow { return_to, csrf: csrf.clone(), browser: true });
    let mut response = if wants_json(&headers) {
        axum::Json(flow(&fake, &id, &csrf)).into_response()
    } else {
        redirect(&format!("https://login.company.com/login?flow={id}"))
    };
    let line = format!("{CSRF_COOKIE}={csrf}; Domain={}; Path=/; HttpOnly; SameSite=Lax", fake.domain);
    response.headers_mut().append(header::SET_COOKIE, line.parse().expect("valid"));
    response
}

async fn begin_without_browser(State(fake): State<Fake>) -> Response {
    let id = fake.mint();
    fake.world.lock().flows.insert(id.clone(), Flow { return_to: None, csrf: String::new(), browser: false });
    axum::Json(flow(&fake, &id, "")).into_response()
}

fn flow(fake: &Fake, id: &str, csrf: &str) -> Value {
    json!({
        "id": id,
        "type": "browser",
        "ui": {
            "action": format!("{}/self-service/login?flow={id}", fake.public_url),
            "method": "POST",
            "nodes": [
                { "type": "input", "group": "default",
                  "attributes": { "name": "csrf_token", "type": "hidden", "value": csrf, "node_type": "input" } },
                { "type": "input", "group": "password", "attributes": { "name": "password", "type": "password", "node_type": "input" } },
            ],
        },
    })
}

async fn submit(
    State(fake): State<Fake>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = body.collect().await.expect("a body").to_bytes();
    let fields: HashMap<String, String> =
        if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
            serde_json::from_slice(&body).unwrap_or_default()
        } else {
            form_urlencoded::parse(&body).into_owned().collect()
        };
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let Some(flow) = query.get("flow").and_then(|id| fake.world.lock().flows.remove(id)) else {
        return problem(StatusCode::GONE, "self_service_flow_expired");
    };
    let csrf = cookie(&headers, CSRF_COOKIE).unwrap_or_default();
    if flow.browser && (csrf != flow.csrf || field("csrf_token") != flow.csrf) {
        return problem(StatusCode::FORBIDDEN, "security_csrf_violation");
    }
    let session = if field("method") == "totp" {
        let Some(session) = fake.by_credential(&headers).filter(|_| field("totp_code") == CODE) else {
            return problem(StatusCode::BAD_REQUEST, "wrong code");
        };
        let now = fake.now();
        fake.change_session(&session.id, |session| {
            (session.aal, session.authenticated_at) = ("aal2", now);
            session.methods.push("totp");
        });
        session
    } else {
        let named = |identity: &&Identity| {
            [&identity.traits["username"], &identity.traits["email"]]
                .into_iter()
                .any(|name| *name == field("identifier"))
        };
        let found = fake.world.lock().identities.values().find(named).cloned();
        let right = found.filter(|identity| field("method") == "password" && identity.password == field("password"));
        let Some(identity) = right else { return problem(StatusCode::BAD_REQUEST, "wrong password") };
        fake.session(&identity)
    };
    let line = format!("{COOKIE}={}; Domain={}; Path=/; HttpOnly; SameSite=Lax", session.cookie, fake.domain);
    let mut response = match &flow.return_to {
        Some(there) if !wants_json(&headers) => redirect(there),
        _ if flow.browser => axum::Json(json!({ "session": fake.written(&session) })).into_response(),
        _ => {
            let said = json!({ "session_token": session.token, "session": fake.written(&session) });
            return axum::Json(said).into_response();
        }
    };
    response.headers_mut().append(header::SET_COOKIE, line.parse().expect("valid"));
    response
}

async fn create_identity(State(fake): State<Fake>, axum::Json(said): axum::Json<Value>) -> Response {
    let password = said["credentials"]["password"]["config"]["password"].as_str().unwrap_or_default().to_owned();
    let identity = fake.identity(said["traits"].clone(), |identity| identity.password = password);
    (StatusCode::CREATED, axum::Json(written_identity(&identity))).into_response()
}

async fn delete_identity(State(fake): State<Fake>, Path(id): Path<String>) -> Response {
    let mut world = fake.world.lock();
    world.sessions.retain(|_, session| session.identity != id);
    match world.identities.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => problem(StatusCode::NOT_FOUND, "not found"),
    }
}

async fn list_sessions() -> Response {
    axum::Json(json!([])).into_response()
}

async fn disable_session(State(fake): State<Fake>, Path(id): Path<String>) -> Response {
    match fake.world.lock().sessions.get_mut(&id) {
        Some(session) if session.active => {
            session.active = false;
            StatusCode::NO_CONTENT.into_response()
        }
        _ => problem(StatusCode::NOT_FOUND, "not found"),
    }
}
