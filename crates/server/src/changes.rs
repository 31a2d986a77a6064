//! `GET /api/v1/changes`: server-sent events that tell an app what it must not remember any longer. Protocol §5.
//!
//! At least once, resumable by cursor (`?since=` or `Last-Event-ID`), and only about sessions and users the app has been told
//! about. Payloads are shaped as CAEP events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hallpass_core::id::{AppKey, SessionId, UserId};
use hallpass_core::oidc::SubjectType;
use hallpass_store::changes::{self, Entry};
use hallpass_store::{Change, StoreError, sessions};
use http::{HeaderValue, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::context::Context;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

const HEARTBEAT: Duration = Duration::from_secs(5);
const PAGE: u32 = 500;
/// Streams of one app on one node.
const MAXIMUM_PER_APP: u32 = 64;
/// Another node may have told the app of a session this recently without having written it down yet; look again until then.
const TOLD_LATELY: Duration = Duration::from_secs(3);

/// Which apps hold a live stream here: their answers may be remembered longer.
#[derive(Default)]
pub struct Streams {
    by_app: Mutex<HashMap<AppKey, u32>>,
    /// All of them: where nobody holds one, no answer takes the lock.
    open: AtomicU32,
}

impl Streams {
    /// Whether the app holds at least one stream to this node.
    pub fn any(&self, app: &AppKey) -> bool {
        self.open() > 0 && self.by_app.lock().get(app).is_some_and(|count| *count > 0)
    }

    /// How many streams are open at this node.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

struct Open {
    context: Arc<Context>,
    app: AppKey,
}

impl Open {
    fn new(context: Arc<Context>, app: AppKey) -> Result<Self, Error> {
        let mut streams = context.streams.by_app.lock();
        let count = streams.entry(app.clone()).or_insert(0);
        if *count >= MAXIMUM_PER_APP {
            return Err(Error::too_many_requests(Duration::from_secs(10)).because("too many change streams of one app"));
        }
        *count += 1;
        context.streams.open.fetch_add(1, Ordering::Relaxed);
        drop(streams);
        Ok(Self { context, app })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(count) = self.context.streams.by_app.lock().get_mut(&self.app) {
            *count = count.saturating_sub(1);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    since: Option<i64>,
}

/// The handler.
pub async fn stream(call: Call<AppCaller>) -> Result<Response, Error> {
    let Query { since } = call.query()?;
    let resumed = call.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let entry = call.proof.app();
    if entry.app.client.subject_type == SubjectType::Pairwise {
        // The feed names people by the id that this app is not to know. It hears of sign-outs by logout tokens.
        let refused = "This app knows people by names of its own (subject_type = pairwise), and the feed has others.";
        return Err(Error::forbidden(refused).because("the feed for an app with pairwise subjects"));
    }
    let open = Open::new(call.context.clone(), entry.app.key.clone())?;
    call.context.view.fresh().await?;
    let (frames, body) = mpsc::channel(64);
    tokio::spawn(feed(open, entry.slot as usize, resumed.or(since), frames));
    let mut response = Response::new(Body::new(StreamBody::new(ReceiverStream::new(body))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

type Frames = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// Sends until the app goes away, or we cannot read the feed: then the stream ends and the app falls back to short memory.
async fn feed(open: Open, slot: usize, cursor: Option<i64>, frames: Frames) {
    let mut moved = open.context.view.watch();
    let mut stop = open.context.stopping.subscribe();
    let mut reader = Reader { open: &open, slot, cursor: 0, undecided: Vec::new() };
    let Ok(first) = reader.begin(cursor).await else { return };
    if send(&frames, first).await.is_err() {
        return;
    }
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    let mut again = tokio::time::interval(Duration::from_millis(500));
    loop {
        let text = tokio::select! {
            changed = moved.changed() => if changed.is_ok() { reader.read().await } else { return },
            _ = again.tick(), if !reader.undecided.is_empty() => reader.decide_again().await,
            _ = heartbeat.tick() => Ok(reader.heartbeat()),
            () = stopped(&mut stop) => return,
        };
        match text {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                if send(&frames, text).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(app = %open.app, %error, "a change stream ends because the feed cannot be read");
                return;
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn send(frames: &Frames, text: String) -> Result<(), ()> {
    // An app that does not read for so long is gone; it will resume by cursor.
    let sent = tokio::time::timeout(Duration::from_secs(10), frames.send(Ok(Frame::data(Bytes::from(text))))).await;
    if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(()) }
}

struct Reader<'a> {
    open: &'a Open,
    slot: usize,
    cursor: i64,
    /// Changes about sessions and users that the app is not known to have been told about, yet.
    undecided: Vec<Entry>,
}

impl Reader<'_> {
    async fn begin(&mut self, cursor: Option<i64>) -> Result<String, StoreError> {
        let mut read = self.open.context.store.read().await?;
        let (oldest, newest) = (changes::oldest(&mut read).await?, changes::position(&mut read).await?);
        drop(read);
        match cursor {
            Some(cursor) if cursor <= newest && cursor + 1 >= oldest => {
                self.cursor = cursor;
                Ok(format!(": welcome back\n\n{}", self.read().await?))
            }
            // No cursor, one from before what is kept, or one from another database: whatever is remembered is worth nothing.
            _ => {
                self.cursor = newest;
                Ok(event("reset", newest, &json!({})))
            }
        }
    }

    fn heartbeat(&self) -> String {
        // Silence is the sign of trouble: a node that does not know whether it is current must not say that all is well.
        let current = self.open.context.view.lag() <= hallpass_store::view::MAXIMUM_LAG;
        if current { event("heartbeat", self.cursor, &json!({})) } else { String::new() }
    }

    async fn read(&mut self) -> Result<String, StoreError> {
        let mut text = String::new();
        loop {
            let page = changes::since(&mut self.open.context.store.read().await?, self.cursor, PAGE).await?;
            let full = page.len() == PAGE as usize;
            for entry in page {
                self.cursor = entry.position;
                if self.concerns(&entry.change).await? {
                    text.push_str(&render(&entry));
                } else {
                    self.undecided.push(entry);
                }
            }
            if !full {
                return Ok(text);
            }
        }
    }

    async fn decide_again(&mut self) -> Result<String, StoreError> {
        let now = self.open.context.now();
        let mut text = String::new();
        for entry in std::mem::take(&mut self.undecided) {
            if self.concerns(&entry.change).await? {
                text.push_str(&render(&entry));
            } else if now.since(entry.at) < TOLD_LATELY {
                self.undecided.push(entry);
            }
        }
        Ok(text)
    }

    async fn concerns(&self, change: &Change) -> Result<bool, StoreError> {
        match change {
            Change::SessionEnded { session, .. } | Change::SessionChanged { session, .. } => {
                self.told_of_session(session).await
            }
            Change::UserChanged { user } | Change::UserDisabled { user } => self.told_of_user(user).await,
            Change::PolicyChanged { app } => Ok(app.as_ref().is_none_or(|app| *app == self.open.app)),
            Change::KeysChanged => Ok(true),
        }
    }

    async fn told_of_session(&self, session: &SessionId) -> Result<bool, StoreError> {
        if self.open.context.view.sessions.has_told(*session, self.slot) {
            return Ok(true);
        }
        let mut read = self.open.context.store.read().await?;
        Ok(sessions::told(&mut read, session).await?.contains(&self.open.app))
    }

    async fn told_of_user(&self, user: &UserId) -> Result<bool, StoreError> {
        let mut read = self.open.context.store.read().await?;
        if sessions::told_of_user(&mut read, user, &self.open.app).await? {
            return Ok(true);
        }
        let live = sessions::live_of(&mut read, user, self.open.context.now()).await?;
        Ok(live.iter().any(|session| self.open.context.view.sessions.has_told(session.id, self.slot)))
    }
}

fn render(entry: &Entry) -> String {
    let tell = |name, subject, reason| {
        let mut data = json!({ "subject": subject, "event_timestamp": entry.at.as_seconds() });
        if let Some(reason) = reason {
            data["reason"] = serde_json::Value::from(reason);
        }
        event(name, entry.position, &data)
    };
    match &entry.change {
        Change::SessionEnded { session, user, reason } => {
            tell("session-ended", json!({ "sid": session, "sub": user }), Some(reason.as_str()))
        }
        Change::SessionChanged { session, user } => {
            tell("session-changed", json!({ "sid": session, "sub": user }), None)
        }
        Change::UserChanged { user } => tell("permissions-changed", json!({ "sub": user }), None),
        Change::UserDisabled { user } => tell("user-disabled", json!({ "sub": user }), None),
        // About everybody in this app: a subject that names nobody.
        Change::PolicyChanged { .. } => tell("permissions-changed", json!({}), None),
        Change::KeysChanged => tell("keys-rotated", json!({}), None),
    }
}

fn event(name: &str, cursor: i64, data: &serde_json::Value) -> String {
    format!("id: {cursor}\nevent: {name}\ndata: {data}\n\n")
}
