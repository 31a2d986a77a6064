//! The engine's part of handoffs: it looks at what a browser brings to `/handoff/authorize`, sends it back with a code or an
//! error, and redeems codes as strictly as the real one (PKCE, redirect URI, once).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{self, HeaderMap};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::fixture::{Engine, ISSUER, ORIGIN, PASS, Script, Trouble, authenticate};

/// What it remembers of handoffs.
#[derive(Default)]
pub struct Home {
    codes: Mutex<HashMap<String, Code>>,
    redeemed: Mutex<Vec<HashMap<String, String>>>,
    breaking: AtomicUsize,
}

struct Code {
    challenge: String,
    answer: Value,
}

impl Engine {
    /// The browser comes to `location`; the person of `pass` is signed in there. `more` goes into the answer to the code.
    /// Gives the path to which the browser is sent back.
    pub fn hand_off(&self, location: &str, pass: &str, more: Value) -> String {
        let asked = asked(location);
        let line =
            format!("{PASS}={pass}; Domain=company.localhost; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax");
        let mut answer = json!({"assertion":"a.b.c","set_cookie":line,"envelope":self.envelope(pass),"return_to":null});
        let Value::Object(more) = more else { panic!("further members come as an object") };
        answer.as_object_mut().expect("an object").extend(more);
        let mut codes = self.script.home.codes.lock().expect("not poisoned");
        let code = format!("hp_hc_{}", codes.len());
        codes.insert(code.clone(), Code { challenge: asked["code_challenge"].clone(), answer });
        callback(&[("code", &code), ("state", &asked["state"]), ("iss", ISSUER)])
    }

    /// Every attempt to redeem a code.
    pub fn redeemed(&self) -> Vec<HashMap<String, String>> {
        self.script.home.redeemed.lock().expect("not poisoned").clone()
    }

    /// The next so many answers to a code break off half way.
    pub fn break_off(&self, times: usize) {
        self.script.home.breaking.store(times, Ordering::SeqCst);
    }
}

/// The browser comes to `location` and is sent back with an error. Gives the path to which it is sent.
pub fn turn_away(location: &str, error: &str) -> String {
    callback(&[("error", error), ("state", &asked(location)["state"]), ("iss", ISSUER)])
}

/// The path of a callback.
pub fn callback(query: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("/.sso/callback?{query}")
}

/// The query of a URL.
pub fn query(location: &str) -> HashMap<String, String> {
    Url::parse(location).expect("a URL").query_pairs().into_owned().collect()
}

/// What a browser asks for at `/handoff/authorize`, checked as the engine checks it.
pub fn asked(location: &str) -> HashMap<String, String> {
    assert!(location.starts_with(&format!("{ISSUER}/handoff/authorize?")), "{location}");
    let asked = query(location);
    assert_eq!(asked["client_id"], "pos");
    assert_eq!(asked["redirect_uri"], format!("{ORIGIN}/.sso/callback"));
    assert_eq!((asked["code_challenge_method"].as_str(), asked["prompt"].as_str()), ("S256", "none"));
    for name in ["state", "code_challenge"] {
        assert_eq!(URL_SAFE_NO_PAD.decode(&asked[name]).map(|bytes| bytes.len()), Ok(32), "{name}");
    }
    asked
}

/// `POST /handoff/token`.
pub async fn token(
    State(script): State<Arc<Script>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, StatusCode> {
    authenticate(&headers)?;
    script.home.redeemed.lock().expect("not poisoned").push(form.clone());
    if script.home.breaking.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        let half = [Ok("{\"assertion\":"), Err(std::io::Error::other("broken"))];
        return Ok(Body::from_stream(tokio_stream::iter(half)).into_response());
    }
    let trouble = *script.trouble.lock().expect("not poisoned");
    match trouble {
        Some(Trouble::Status(status)) => return Ok((status, [(header::RETRY_AFTER, "7")]).into_response()),
        Some(Trouble::Silence) => std::future::pending().await,
        Some(Trouble::Nonsense) => return Ok(axum::Json(json!({"envelope":{"active":true}})).into_response()),
        None => {}
    }
    let challenge = |verifier: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        URL_SAFE_NO_PAD.encode(digest)
    };
    let code = form.get("code").and_then(|code| script.home.codes.lock().expect("not poisoned").remove(code));
    let answer = code
        .filter(|code| form.get("code_verifier").is_some_and(|verifier| challenge(verifier) == code.challenge))
        .filter(|_| form.get("redirect_uri") == Some(&format!("{ORIGIN}/.sso/callback")))
        .map(|code| code.answer);
    Ok(match answer {
        Some(answer) => axum::Json(answer).into_response(),
        None => (StatusCode::BAD_REQUEST, axum::Json(json!({"error":"invalid_grant"}))).into_response(),
    })
}
