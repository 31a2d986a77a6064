//! `GET /api/v1/changes`: what an app must not remember any longer, as soon as that is so. Protocol §5.

use std::time::Duration;

use axum::body::Body;
use hallpass_core::audit::Actor;
use hallpass_core::keyring::Purpose;
use hallpass_server::jobs;
use hallpass_store::users;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::{Ask, Caller, Site};

/// A stream that says nothing for so long is broken; heartbeats come every 5 s.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: i64,
    name: String,
    data: Value,
}

struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn open(site: &Site, caller: &Caller, query: &str) -> Self {
        Self::of(site, Ask::get(format!("/api/v1/changes{query}")).by(caller)).await
    }

    async fn of(site: &Site, ask: Ask) -> Self {
        let (parts, body) = site.open(ask).await.into_parts();
        assert_eq!(parts.status, 200);
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        assert_eq!(parts.headers["cache-control"], "no-store");
        Self { body, text: String::new() }
    }

    /// The next event, heartbeats included; comments are passed over.
    async fn any(&mut self) -> Event {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                let Some(name) = field("event") else { continue };
                let id = field("id").and_then(|id| id.parse().ok()).expect("every event has a cursor");
                let data = serde_json::from_str(field("data").expect("data")).expect("JSON");
                return Event { id, name: name.to_owned(), data };
            }
            let frame = tokio::time::timeout(LIMIT, self.body.frame())
                .await
                .expect("something in time")
                .expect("open")
                .expect("fine");
            self.text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8"));
        }
    }

    /// Reads until this was told of this subject. What comes in between (order between two of one commit is not promised) must not
    /// be about anybody else.
    async fn tells(&mut self, name: &str, subject: Value) -> Value {
        loop {
            let event = self.next().await;
            if event.name == name && event.data["subject"] == subject {
                return event.data;
            }
            assert!(
                event.data["subject"]["sub"] == subject["sub"] || subject == json!({}),
                "{event:?} before {name} of {subject}"
            );
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            let event = self.any().await;
            if event.name != "heartbeat" {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn begins_with_reset_and_goes_on_with_heartbeats() {
    let site = Site::start().await;
    let mut stream = Stream::open(&site, &site.pos, "").await;
    let reset = stream.any().await;
    assert_eq!((&*reset.name, &reset.data), ("reset", &json!({})));
    for _ in 0..2 {
        let heartbeat = stream.any().await;
        assert_eq!((&*heartbeat.name, heartbeat.id), ("heartbeat", reset.id));
    }
}

#[tokio::test]
async fn tells_of_a_sign_out_whoever_was_told_of_the_session() {
    let site = Site::start().await;
    let (told, untold) = (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await);
    assert!(site.is_active(&site.pos, &told.pass).await);
    let (mut pos, mut wiki) = (Stream::open(&site, &site.pos, "").await, Stream::open(&site, &site.wiki, "").await);
    assert_eq!((&*pos.next().await.name, &*wiki.next().await.name), ("reset", "reset"));
    site.end(&untold.session).await;
    site.wait(7);
    site.end(&told.session).await;
    let event = pos.next().await;
    assert_eq!(event.name, "session-ended");
    assert_eq!(
        event.data,
        json!({
            "subject": { "sid": told.session.id, "sub": site.ana.id },
            "event_timestamp": site.now().as_seconds(), "reason": "ended_by_admin",
        })
    );
    // What wiki hears next is about wiki: it was never told of anybody.
    site.role("wiki", "author", &["write"]).await;
    let event = wiki.next().await;
    assert_eq!((&*event.name, &event.data["subject"]), ("permissions-changed", &json!({})));
}

#[tokio::test]
async fn resumes_where_it_was_cut() {
    let site = Site::start().await;
    let (first, second) = (site.signed_in(&site.ana).await, site.signed_in(&site.ana).await);
    assert!(site.is_active(&site.pos, &first.pass).await && site.is_active(&site.pos, &second.pass).await);
    let cursor = Stream::open(&site, &site.pos, "").await.next().await.id;
    site.end(&first.session).await;
    site.end(&second.session).await;
    let mut stream = Stream::open(&site, &site.pos, &format!("?since={cursor}")).await;
    let ended = stream.next().await;
    assert_eq!((&*ended.name, &ended.data["subject"]["sid"]), ("session-ended", &json!(first.session.id)));
    assert_eq!(stream.next().await.data["subject"]["sid"], json!(second.session.id));
    let again = Ask::get("/api/v1/changes").by(&site.pos).header("last-event-id", ended.id.to_string());
    let after = Stream::of(&site, again).await.next().await;
    assert_eq!(after.data["subject"]["sid"], json!(second.session.id), "by Last-Event-ID, as browsers do it");
}

#[tokio::test]
async fn a_cursor_that_means_nothing_here_starts_anew() {
    let site = Site::start().await;
    for query in ["?since=-5", "?since=999999", "?since=9223372036854775807"] {
        assert_eq!(Stream::open(&site, &site.pos, query).await.any().await.name, "reset", "{query}");
    }
    for query in ["?since=x", "?since=1&since=2", "?cursor=1"] {
        assert_eq!(site.send(Ask::get(format!("/api/v1/changes{query}")).by(&site.pos)).await.status, 400, "{query}");
    }
    // What was swept away cannot be told any more.
    let cursor = Stream::open(&site, &site.pos, "").await.next().await.id;
    site.role("pos", "manager", &["x"]).await;
    site.role("pos", "manager", &["y"]).await;
    site.wait(25 * 3600);
    jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
    assert_eq!(Stream::open(&site, &site.pos, &format!("?since={cursor}")).await.any().await.name, "reset");
}

#[tokio::test]
async fn tells_of_everything_that_makes_an_answer_wrong() {
    let site = Site::start().await;
    let (bob, eve) = (site.user("bob").await, site.user("eve").await);
    for user in [&bob, &eve] {
        site.cashier(user, true).await;
    }
    let (bobs, eves) = (site.signed_in(&bob).await, site.signed_in(&eve).await);
    let ana = site.signed_in(&site.ana).await;
    for person in [&bobs, &eves, &ana] {
        assert!(site.is_active(&site.pos, &person.pass).await);
    }
    let mut stream = Stream::open(&site, &site.pos, "").await;
    assert_eq!(stream.next().await.name, "reset");
    site.cashier(&bob, false).await;
    stream.tells("permissions-changed", json!({ "sub": bob.id })).await;
    site.role("pos", "cashier", &["canRefund"]).await;
    stream.tells("permissions-changed", json!({})).await;
    site.disable(&bob).await;
    let ended = stream.tells("session-ended", json!({ "sid": bobs.session.id, "sub": bob.id })).await;
    assert_eq!(ended["reason"], "user_disabled");
    stream.tells("user-disabled", json!({ "sub": bob.id })).await;
    let mut write = site.store().write().await.expect("writes");
    assert!(users::remove(&mut write, &eve.id, site.now()).await.expect("writes"));
    write.commit().await.expect("commits");
    let ended = stream.tells("session-ended", json!({ "sid": eves.session.id, "sub": eve.id })).await;
    assert_eq!(ended["reason"], "user_removed");
    let context = &site.engine.context;
    let policy = context.config.key_policy(Purpose::Pass);
    let rotated =
        jobs::rotate(site.store(), &context.master, Purpose::Pass, &policy, Duration::ZERO, Actor::System, site.now());
    rotated.await.expect("rotates").expect("alone");
    stream.tells("keys-rotated", json!({})).await;
    assert!(site.is_active(&site.pos, &ana.pass).await, "a pass by the old key still verifies");
}

#[tokio::test]
async fn answers_may_be_remembered_longer_while_a_stream_is_held() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let remembered = async |caller| site.introspect(caller, &ana.pass).await["cache_for"].as_u64();
    assert_eq!(remembered(&site.pos).await, Some(10));
    let mut stream = Stream::open(&site, &site.pos, "").await;
    stream.next().await;
    assert_eq!((remembered(&site.pos).await, remembered(&site.wiki).await), (Some(60), Some(10)));
    drop(stream);
    let let_go = async {
        while remembered(&site.pos).await != Some(10) {
            // The engine notices when it next has something to say.
            site.role("pos", "manager", &[]).await;
        }
    };
    tokio::time::timeout(LIMIT, let_go).await.expect("in time");
}

#[tokio::test]
async fn one_app_holds_64_streams_at_most() {
    let site = Site::start().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(Stream::open(&site, &site.pos, "").await);
    }
    let answer = site.send(Ask::get("/api/v1/changes").by(&site.pos)).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(Stream::open(&site, &site.wiki, "").await.any().await.name, "reset", "another app has its own");
}
