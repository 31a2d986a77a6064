//! One request, in process, and its answer.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::BodyExt;
use serde_json::Value;

use super::{Caller, HOME, Site, described};

/// A request to be.
#[derive(Debug, Clone)]
pub struct Ask {
    host: String,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: IpAddr,
}

impl Ask {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let peer = "192.0.2.7".parse().expect("an address");
        let host = "auth.company.com".to_owned();
        Self { host, method, path: path.into(), headers: HeaderMap::new(), body: Vec::new(), peer }
    }

    /// To one of the engine's other hosts.
    pub fn at(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.host);
        self
    }

    /// To another path.
    pub fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// `POST /introspect` with one token.
    pub fn introspect(caller: &Caller, token: &str) -> Self {
        Self::post("/introspect").by(caller).form(&[("token", token)])
    }

    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.parse().expect("an address");
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.header("cookie", format!("{name}={value}"))
    }

    pub fn basic(self, key: &str, secret: &str) -> Self {
        self.header("authorization", format!("Basic {}", STANDARD.encode(format!("{key}:{secret}"))))
    }

    pub fn by(self, caller: &Caller) -> Self {
        self.basic(&caller.key, &caller.secret)
    }

    /// As a browser sends the form of one of our own pages.
    pub fn same_origin(self) -> Self {
        self.header("sec-fetch-site", "same-origin").header("origin", HOME)
    }

    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        self.content("application/x-www-form-urlencoded", body.finish())
    }

    pub fn json(self, value: &Value) -> Self {
        self.content("application/json", value.to_string())
    }

    pub fn content(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no Location in {self:?}"))
    }

    /// The `Set-Cookie` line for this name, if there is exactly one.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().expect("ASCII"));
        let mut lines = lines.filter(|line| line.split_once('=').is_some_and(|(found, _)| found == name));
        let first = lines.next();
        assert!(lines.next().is_none(), "{name} is set twice");
        first
    }

    /// The value that this name is set to.
    pub fn cookie(&self, name: &str) -> &str {
        let line = self.set_cookie(name).unwrap_or_else(|| panic!("{name} is not set in {self:?}"));
        let pair = line.split(';').next().unwrap_or_default();
        pair.split_once('=').expect("a pair").1
    }

    /// Whether the browser is told to forget this cookie.
    pub fn expires(&self, name: &str) -> bool {
        self.set_cookie(name).is_some_and(|line| line.contains(&format!("{name}=;")) && line.contains("Max-Age=0"))
    }

    /// The synchronizer token of the page.
    pub fn csrf_token(&self) -> &str {
        let (_, rest) =
            self.body.split_once("name=\"csrf_token\" value=\"").unwrap_or_else(|| panic!("no form in {self:?}"));
        rest.split_once('"').expect("the value ends").0
    }

    /// Whether the page has an element with this `data-testid`.
    pub fn shows(&self, id: &str) -> bool {
        self.body.contains(&format!("data-testid=\"{id}\""))
    }
}

impl Site {
    /// The answer of the router, its body unread.
    pub async fn open(&self, ask: Ask) -> Response {
        let mut request =
            Request::builder().method(ask.method).uri(&ask.path).body(Body::from(ask.body)).expect("a request");
        *request.headers_mut() = ask.headers;
        (self.sites)(&ask.host).expect("a host of the engine").answer(request, ask.peer).await
    }

    /// Whether the engine itself answers at this host and port.
    pub fn answers_at(&self, authority: &str) -> bool {
        (self.sites)(authority).is_some()
    }

    /// The answer of the router.
    pub async fn send(&self, ask: Ask) -> Answer {
        let asked = (ask.host.clone(), ask.method.clone(), ask.path.clone());
        let (parts, body) = self.open(ask).await.into_parts();
        let body = body.collect().await.expect("a body of ours").to_bytes();
        let answer = Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("text"),
        };
        described::check(&asked.0, &asked.1, &asked.2, &answer);
        answer
    }

    /// What introspection says about a token to an app.
    pub async fn introspect(&self, caller: &Caller, token: &str) -> Value {
        let answer = self.send(Ask::introspect(caller, token)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Whether introspection says "active" to an app; anything inactive must be exactly that and nothing more.
    pub async fn is_active(&self, caller: &Caller, token: &str) -> bool {
        let answer = self.send(Ask::introspect(caller, token)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let active = answer.json()["active"] == true;
        assert!(active || answer.body == r#"{"active":false}"#, "{answer:?}");
        active
    }
}
