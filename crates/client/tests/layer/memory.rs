//! What is remembered, for how long, and what the change stream forgets (protocol §4, §5; advisories T34, T36).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::fixture::{App, Engine, PASS, fetch, until};

async fn remembering(cache_for: u64) -> (Engine, App) {
    let engine = Engine::start().await;
    engine.sign_in("p", "s_1", "ana", json!({"cache_for":cache_for}));
    let app = App::new(engine.builder());
    (engine, app)
}

async fn ask(app: &App) -> String {
    app.send(fetch("/", &[(PASS, "p")])).await.body
}

#[tokio::test]
async fn a_hundred_at_once_are_one_question() {
    let (engine, app) = remembering(0).await;
    engine.hold();
    let started = Arc::new(AtomicUsize::new(0));
    let mut visitors = JoinSet::new();
    for _ in 0..100 {
        let (app, started) = (app.clone(), Arc::clone(&started));
        visitors.spawn(async move {
            started.fetch_add(1, Ordering::SeqCst);
            ask(&app).await
        });
    }
    until("all are waiting", async || started.load(Ordering::SeqCst) == 100 && !engine.asked().is_empty()).await;
    engine.release();
    let answers = visitors.join_all().await;
    assert!(answers.iter().all(|body| body == "ana canCreateOrder"), "{answers:?}");
    assert_eq!(engine.asked().len(), 1);
    ask(&app).await;
    assert_eq!(engine.asked().len(), 2, "what was not to be kept is asked for again");
}

#[tokio::test]
async fn different_passes_are_different_questions() {
    let (engine, app) = remembering(10).await;
    engine.sign_in("q", "s_2", "bob", json!({"cache_for":10}));
    for _ in 0..3 {
        assert_eq!(ask(&app).await, "ana canCreateOrder");
        assert_eq!(app.send(fetch("/", &[(PASS, "q")])).await.body, "bob canCreateOrder");
    }
    assert_eq!(engine.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_is_used_for_as_long_as_told_and_then_compared_by_version() {
    let (engine, app) = remembering(5).await;
    ask(&app).await;
    app.clock.advance(Duration::from_millis(4_999));
    ask(&app).await;
    assert_eq!(engine.asked().len(), 1);
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&app).await, "ana canCreateOrder", "unchanged");
    assert_eq!(engine.asked()[1]["if_version"], "1");
    engine.sign_in("p", "s_1", "ana", json!({"version":"2","permissions":[]}));
    app.clock.advance(Duration::from_secs(5));
    assert_eq!(ask(&app).await, "ana ", "changed");
    app.clock.advance(Duration::from_mins(5));
    ask(&app).await;
    assert_eq!(engine.asked()[3].get("if_version"), None, "an old pass is asked about in full: it may be renewed");
    engine.end("p");
    assert_eq!(app.send(fetch("/", &[(PASS, "p")])).await.status, 401);
}

#[tokio::test]
async fn without_a_stream_nothing_is_kept_for_longer_than_ten_seconds() {
    let (engine, app) = remembering(60).await;
    ask(&app).await;
    let stream = engine.next_stream().await;
    until("the stream is open", async || app.hallpass.hears_changes()).await;
    ask(&app).await;
    engine.refuse_streams();
    drop(stream);
    until("the stream is lost", async || !app.hallpass.hears_changes()).await;
    ask(&app).await;
    let asked = engine.asked().len();
    app.clock.advance(Duration::from_secs(10));
    ask(&app).await;
    assert_eq!(engine.asked().len(), asked + 1);
}

#[tokio::test]
async fn with_a_stream_answers_are_kept_until_something_changes() {
    let (engine, app) = remembering(60).await;
    let stream = engine.next_stream().await;
    assert_eq!(stream.since, None);
    until("the stream is open", async || app.hallpass.hears_changes()).await;
    ask(&app).await;
    app.clock.advance(Duration::from_secs(11));
    ask(&app).await;
    assert_eq!(engine.asked().len(), 1, "eleven seconds, and no question");

    engine.sign_in("p", "s_1", "ana", json!({"version":"2","cache_for":60,"permissions":["canRefund"]}));
    stream.say("id: 41\nevent: permissions-changed\ndata: {\"subject\":{\"sub\":\"u_ana\"},\"event_timestamp\":1}\n\n");
    until("the change is heard", async || ask(&app).await == "ana canRefund").await;
    assert_eq!(engine.asked().len(), 2);

    engine.end("p");
    stream.say("id: 42\nevent: session-ended\ndata: {\"subject\":{\"sid\":\"s_1\",\"sub\":\"u_ana\"},\"event_timestamp\":2}\n\n");
    until("the end is heard", async || app.send(fetch("/", &[(PASS, "p")])).await.status == 401).await;

    drop(stream);
    assert_eq!(engine.next_stream().await.since.as_deref(), Some("42"), "resumed where it left off");
}

#[tokio::test]
async fn other_people_s_changes_cost_nothing_and_a_reset_forgets_everything() {
    let (engine, app) = remembering(60).await;
    let stream = engine.next_stream().await;
    until("the stream is open", async || app.hallpass.hears_changes()).await;
    ask(&app).await;
    stream.say("id: 1\nevent: session-ended\ndata: {\"subject\":{\"sid\":\"s_9\",\"sub\":\"u_bob\"},\"event_timestamp\":1}\n\n");
    engine.sign_in("p", "s_1", "ana", json!({"version":"2","permissions":[]}));
    stream.say("id: 2\nevent: keys-rotated\ndata: {}\n\n: heartbeat\n\n");
    assert_eq!(ask(&app).await, "ana canCreateOrder");
    assert_eq!(engine.asked().len(), 1);
    stream.say("event: reset\ndata: {}\n\n");
    until("everything is forgotten", async || ask(&app).await == "ana ").await;
    drop(stream);
    assert_eq!(engine.next_stream().await.since, None, "the old position is gone");
}

#[tokio::test]
async fn silence_on_the_stream_is_noticed() {
    let (engine, app) = remembering(60).await;
    let stream = engine.next_stream().await;
    until("the stream is open", async || app.hallpass.hears_changes()).await;
    ask(&app).await;
    app.clock.advance(Duration::from_secs(12));
    assert!(!app.hallpass.hears_changes());
    ask(&app).await;
    assert_eq!(engine.asked().len(), 2);
    stream.say(": heartbeat\n\n");
    until("it speaks again", async || app.hallpass.hears_changes()).await;
}

#[tokio::test]
async fn listening_ends_with_the_last_layer() {
    let (engine, app) = remembering(60).await;
    let stream = engine.next_stream().await;
    drop(app);
    stream.closed().await;
}
