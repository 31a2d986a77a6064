//! The sample app of this SDK for `sdk/contract`, whose README says what it must do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Json, Router};
use hallpass_client::{Caller, CsrfMode, FirstContact, Hallpass, SecretKey, SignIn, require};
use serde_json::json;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let set = |name: &str| std::env::var(format!("CONTRACT_{name}")).unwrap_or_default();
    let secret = |name: &str| SecretKey::from_file(set(name));
    let mut builder = Hallpass::builder(set("ENGINE"), set("APP_KEY"), secret("SECRET_FILE")?)
        .origin(set("ORIGIN"))
        .connect_to(set("CONNECT_TO").parse()?)
        .grace(Duration::from_millis(set("GRACE_MS").parse()?))
        .first_contact(if set("FIRST_CONTACT") == "confirm" { FirstContact::Confirm } else { FirstContact::Trust })
        .csrf(if set("CSRF") == "token" { CsrfMode::Token } else { CsrfMode::OriginOnly })
        .optional(|path| path == "/public" || path.starts_with("/public/"));
    if !set("PREVIOUS_SECRET_FILE").is_empty() {
        builder = builder.previous_secret(secret("PREVIOUS_SECRET_FILE")?);
    }
    match set("AGENT").as_str() {
        "on" => builder = builder.agent(),
        "bound" => builder = builder.bound(),
        _ => {}
    }
    let hallpass = builder.build()?;
    let refunds = any(answer).layer(require("canRefund"));
    let app = Router::new()
        .route("/refunds", refunds.clone())
        .route("/public/refunds", refunds)
        .fallback(answer)
        .with_state(Arc::new(AtomicU64::new(0)))
        .layer(hallpass.layer());
    let address = SocketAddr::from(([127, 0, 0, 1], set("PORT").parse()?));
    let listener = tokio::net::TcpListener::bind(address).await?;
    say("listening");
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

async fn answer(
    State(acted): State<Arc<AtomicU64>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    caller: Option<Caller>,
    Extension(sign_in): Extension<SignIn>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        acted.fetch_add(1, Ordering::SeqCst);
    }
    match uri.path() {
        "/public/acted" => Json(json!({ "acted": acted.load(Ordering::SeqCst) })).into_response(),
        "/headers" => {
            let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
            Json(json!({ "headers": names })).into_response()
        }
        "/kept" => ([(header::CACHE_CONTROL, "public, max-age=60")], Json(json!({}))).into_response(),
        _ => {
            let known = caller.map(|caller| {
                json!({
                    "username": caller.username(),
                    "user_id": caller.user_id(),
                    "session_id": caller.session_id(),
                    "permissions": caller.permissions(),
                    "csrf_token": caller.csrf_token(),
                })
            });
            let body = String::from_utf8_lossy(&body);
            Json(json!({ "caller": known, "sign_in_url": sign_in.url(), "body": body })).into_response()
        }
    }
}

#[expect(clippy::print_stdout, reason = "that is how the contract learns that it may begin")]
fn say(line: &str) {
    println!("{line}");
}
