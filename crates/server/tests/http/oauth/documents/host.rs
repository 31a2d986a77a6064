//! A host with documents of clients, which says whatever a test wants and counts what it is asked. At a loopback address, as somebody who develops has it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Where programs of these tests have their codes sent; the port is whatever is free.
pub const LOOPBACK: &str = "http://127.0.0.1:51004/callback";

type Reply = Arc<dyn Fn() -> Response + Send + Sync>;

#[derive(Default)]
struct World {
    replies: HashMap<String, Reply>,
    asked: HashMap<String, u32>,
}

/// A running one. Clones are the same.
#[derive(Clone)]
pub struct Host {
    pub origin: String,
    world: Arc<Mutex<World>>,
}

impl Host {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("bound"));
        let host = Self { origin, world: Arc::default() };
        let router = Router::new()
            .fallback(async |State(host): State<Self>, uri: Uri| host.answer(uri.path()))
            .with_state(host.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        host
    }

    fn answer(&self, path: &str) -> Response {
        let mut world = self.world.lock();
        *world.asked.entry(path.to_owned()).or_default() += 1;
        match world.replies.get(path) {
            Some(reply) => reply(),
            None => answer(StatusCode::NOT_FOUND, &[], "not here"),
        }
    }

    /// The address of what is at this path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// What is at this path from now on.
    pub fn says(&self, path: &str, reply: impl Fn() -> Response + Send + Sync + 'static) {
        self.world.lock().replies.insert(path.to_owned(), Arc::new(reply));
    }

    /// Nothing is there any more.
    pub fn forgets(&self, path: &str) {
        self.world.lock().replies.remove(path);
    }

    /// A good document of a program, with these members changed.
    pub fn document(&self, path: &str, changes: &Value) -> Value {
        let mut document = json!({
            "client_id": self.at(path), "client_name": "Holiday planner", "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "none",
        });
        for (name, value) in changes.as_object().expect("members") {
            document[name] = value.clone();
        }
        document
    }

    /// Puts a good document there, with these members changed; its address.
    pub fn describes(&self, path: &str, changes: &Value) -> String {
        let body = self.document(path, changes).to_string();
        self.says(path, move || answer(StatusCode::OK, JSON, body.clone()));
        self.at(path)
    }

    /// How often this path was asked for.
    pub fn asked(&self, path: &str) -> u32 {
        self.world.lock().asked.get(path).copied().unwrap_or_default()
    }

    /// How often anything was.
    pub fn asked_at_all(&self) -> u32 {
        self.world.lock().asked.values().sum()
    }
}

pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

pub fn answer(status: StatusCode, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).expect("a response")
}
