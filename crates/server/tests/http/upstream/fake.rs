//! A provider that says whatever a test wants: discovery, keys, tokens, userinfo. Its back channel is real; what browsers would see of it the tests write
//! themselves. It can lie in every claim, and fail at every address.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{Algorithm, PrivateKey};
use hallpass_core::jwk;
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::NOW;

/// What is asked of it, by path.
pub type Counts = HashMap<&'static str, u32>;

struct World {
    metadata: Value,
    keys: Value,
    /// What the token endpoint gives for any code but those that were used.
    id_token: String,
    userinfo: Value,
    status: HashMap<&'static str, StatusCode>,
    used: Vec<String>,
    asked: Counts,
    /// The latest at the token endpoint.
    form: HashMap<String, String>,
    headers: HeaderMap,
}

/// A running one. Clones are the same.
#[derive(Clone)]
pub struct Fake {
    pub issuer: String,
    pub key: Arc<PrivateKey>,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("bound"));
        let at = |path: &str| format!("{issuer}{path}");
        let metadata = json!({
            "issuer": issuer, "authorization_endpoint": at("/authorize?tenant=x"), "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"), "userinfo_endpoint": at("/userinfo"),
            "id_token_signing_alg_values_supported": ["EdDSA", "none", "HS256"],
        });
        let key = PrivateKey::generate(Algorithm::EdDsa);
        let world = World {
            metadata,
            keys: key_set(&[(&key, "one")]),
            id_token: String::new(),
            userinfo: json!({}),
            status: HashMap::new(),
            used: Vec::new(),
            asked: Counts::new(),
            form: HashMap::new(),
            headers: HeaderMap::new(),
        };
        let fake = Self { issuer, key: Arc::new(key), world: Arc::new(Mutex::new(world)) };
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async |State(fake): State<Self>| fake.says("discovery", |world| world.metadata.clone())),
            )
            .route(
                "/organizations/v2.0/.well-known/openid-configuration",
                get(async |State(fake): State<Self>| fake.says("discovery", |world| world.metadata.clone())),
            )
            .route("/keys", get(async |State(fake): State<Self>| fake.says("keys", |world| world.keys.clone())))
            .route(
                "/userinfo",
                get(async |State(fake): State<Self>| fake.says("userinfo", |world| world.userinfo.clone())),
            )
            .route(
                "/token",
                post(async |State(fake): State<Self>, headers: HeaderMap, body: Bytes| fake.token(headers, &body)),
            )
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    /// Claims that are good for this sign-in.
    pub fn claims(&self, nonce: &str) -> Value {
        json!({
            "iss": self.issuer, "sub": "mia-there", "aud": "hallpass", "iat": NOW, "exp": NOW + 300, "nonce": nonce,
            "preferred_username": "mia", "name": "Mia Berg", "email": "mia@company.com", "email_verified": true,
        })
    }

    /// Says from now on that it is this person.
    pub fn gives(&self, claims: &Value) {
        self.gives_token(sign(&self.key, &json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" }), claims));
        let mut world = self.world.lock();
        world.userinfo = json!({ "sub": claims["sub"] });
    }

    pub fn gives_token(&self, token: String) {
        self.world.lock().id_token = token;
    }

    /// The ID token that it gives.
    pub fn gave(&self) -> String {
        self.world.lock().id_token.clone()
    }

    pub fn userinfo(&self, userinfo: Value) {
        self.world.lock().userinfo = userinfo;
    }

    pub fn metadata(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.world.lock().metadata);
    }

    pub fn keys(&self, keys: Value) {
        self.world.lock().keys = keys;
    }

    /// Answers so at an address, or well again.
    pub fn fails(&self, address: &'static str, status: Option<u16>) {
        let mut world = self.world.lock();
        match status {
            Some(status) => world.status.insert(address, StatusCode::from_u16(status).expect("a status")),
            None => world.status.remove(address),
        };
    }

    /// How often it was asked at an address.
    pub fn asked(&self, address: &str) -> u32 {
        self.world.lock().asked.get(address).copied().unwrap_or_default()
    }

    /// What the token endpoint was told the last time.
    pub fn told(&self, name: &str) -> String {
        self.world.lock().form.get(name).cloned().unwrap_or_default()
    }

    /// How the client showed who it is.
    pub fn authorization(&self) -> Option<String> {
        let world = self.world.lock();
        world.headers.get(header::AUTHORIZATION).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    fn says(&self, address: &'static str, what: impl FnOnce(&World) -> Value) -> Response {
        let mut world = self.world.lock();
        *world.asked.entry(address).or_default() += 1;
        match world.status.get(address) {
            Some(status) if status.is_redirection() => {
                let there = format!("{}/elsewhere", self.issuer);
                (*status, [(header::LOCATION, there)], what(&world).to_string()).into_response()
            }
            Some(status) => (*status, "{}").into_response(),
            None => ([(header::CONTENT_TYPE, "application/json")], what(&world).to_string()).into_response(),
        }
    }

    fn token(&self, headers: HeaderMap, body: &[u8]) -> Response {
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let code = form.get("code").cloned().unwrap_or_default();
        let fresh = {
            let mut world = self.world.lock();
            (world.form, world.headers) = (form, headers);
            let fresh = !world.used.contains(&code) && !code.starts_with("bad");
            world.used.push(code);
            fresh
        };
        if !fresh {
            return (StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant" }).to_string()).into_response();
        }
        self.says("token", |world| json!({ "id_token": world.id_token, "access_token": "at", "token_type": "Bearer" }))
    }
}

pub fn key_set(keys: &[(&PrivateKey, &str)]) -> Value {
    let keys: Vec<_> = keys.iter().map(|(key, kid)| jwk::write(key.public().expect("asymmetric"), kid)).collect();
    json!({ "keys": keys })
}

pub fn sign(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
