//! A browser as far as these tests need one: it keeps cookies, drops expired ones, and visits addresses.

use std::collections::BTreeMap;

use axum::body::Body;
use http::Request;
use http::header::{HeaderName, HeaderValue, SET_COOKIE};

use crate::fixture::{Answer, App, submit, visit};

/// One person's browser at one app.
#[derive(Clone, Default)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Opens `path` in a window.
    pub async fn open(&mut self, app: &App, path: &str) -> Answer {
        self.open_with(app, path, &[]).await
    }

    /// The same with further headers.
    pub async fn open_with(&mut self, app: &App, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut request = visit(path, &self.pairs());
        request.headers_mut().insert("sec-fetch-dest", HeaderValue::from_static("document"));
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        self.send(app, request).await
    }

    /// Sends a form of the app's own.
    pub async fn submit(&mut self, app: &App, path: &str) -> Answer {
        self.send(app, submit(path, &self.pairs(), &[])).await
    }

    /// Somebody puts a cookie into it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// It loses the cookies whose name begins like this.
    pub fn lose(&mut self, prefix: &str) {
        self.cookies.retain(|name, _| !name.starts_with(prefix));
    }

    /// The cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// The names that begin like this.
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        self.cookies.keys().map(String::as_str).filter(|name| name.starts_with(prefix)).collect()
    }

    /// All of them, as they are sent.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.cookies.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    async fn send(&mut self, app: &App, request: Request<Body>) -> Answer {
        let answer = app.send(request).await;
        for line in answer.headers.get_all(SET_COOKIE) {
            let line = line.to_str().expect("ASCII");
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            assert!(name.len() + value.len() <= 4096, "browsers drop it: {name}");
            if line.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.set(name, value);
            }
        }
        answer
    }
}
