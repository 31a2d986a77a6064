//! What this app remembers of introspection: facts about live sessions, never decisions (advisory T34). Bounded, kept
//! no longer than told, forgotten at once when the change stream says so, asked for once however many wait.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::watch;

use crate::caller::Facts;
use crate::clock::Clock;
use crate::cookies::Pass;
use crate::crypto;
use crate::engine::Away;

/// The longest any answer is kept without a live change stream, whatever the engine says.
const LONGEST_BLIND: Duration = Duration::from_secs(10);
/// The longest with one.
const LONGEST_LIVE: Duration = Duration::from_mins(1);
/// Two heartbeats of five seconds may go missing.
const SILENCE: Duration = Duration::from_secs(12);

/// Names a pass, as introspected by this app, without holding it.
pub(crate) type Key = [u8; 32];

/// What a flight brings home: per pass, the facts and what came with them, or `None` for inactive.
pub(crate) type Landed = Result<Vec<Option<Known>>, Away>;

/// A question, and the revision at which it was asked.
type FlightName = (Key, u64);
/// Where those who asked wait for it.
type Landing = watch::Receiver<Option<Landed>>;

/// A live session, as just learned or as remembered.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) facts: Arc<Facts>,
    /// To be relayed; only with the answer that brought it.
    pub(crate) set_cookie: Option<String>,
    pub(crate) csrf_failed: bool,
}

/// One remembered answer.
#[derive(Clone)]
struct Entry {
    facts: Arc<Facts>,
    learned_at: Duration,
    keep: Duration,
    /// The stream that was live when it was learned, which therefore reports every later change.
    watched_by: Option<u64>,
}

/// What is known, and what is being asked.
pub(crate) struct Memory {
    app_key: String,
    clock: Clock,
    entries: Cache<Key, Entry>,
    flights: Mutex<HashMap<FlightName, Landing>>,
    /// Counts reported changes: an answer asked for before a change is not kept after it.
    revision: AtomicU64,
    stream: Mutex<Stream>,
}

/// The change stream's state.
#[derive(Default)]
struct Stream {
    /// Distinguishes one connection from the next.
    generation: u64,
    last_heard: Option<Duration>,
}

impl Memory {
    /// Remembers at most about `capacity` passes.
    pub(crate) fn new(app_key: &str, clock: Clock, capacity: usize) -> Self {
        Self {
            app_key: app_key.to_owned(),
            clock,
            entries: Cache::new(capacity),
            flights: Mutex::default(),
            revision: AtomicU64::new(0),
            stream: Mutex::default(),
        }
    }

    /// The key of a pass.
    pub(crate) fn key(&self, pass: &Pass) -> Key {
        crypto::fingerprint(&[self.app_key.as_bytes(), pass.as_str().as_bytes()])
    }

    /// The facts, if they may still be used without asking.
    pub(crate) fn fresh(&self, key: &Key) -> Option<Arc<Facts>> {
        let entry = self.entries.get(key)?;
        let watched = entry.watched_by.is_some() && entry.watched_by == self.live_stream();
        let keep = entry.keep.min(if watched { LONGEST_LIVE } else { LONGEST_BLIND });
        (self.age(&entry) < keep).then_some(entry.facts)
    }

    /// The facts, if they are no older than `grace`: for when the engine is away.
    pub(crate) fn within_grace(&self, key: &Key, grace: Duration) -> Option<Arc<Facts>> {
        let entry = self.entries.get(key)?;
        (!grace.is_zero() && self.age(&entry) <= grace).then_some(entry.facts)
    }

    /// The facts at any age: only to ask whether they have changed.
    pub(crate) fn last_known(&self, key: &Key) -> Option<Arc<Facts>> {
        self.entries.get(key).map(|entry| entry.facts)
    }

    fn age(&self, entry: &Entry) -> Duration {
        self.clock.monotonic().saturating_sub(entry.learned_at)
    }

    /// To be taken before asking, and shown when the answer is to be kept.
    pub(crate) fn starting_point(&self) -> StartingPoint {
        StartingPoint {
            revision: self.revision.load(Ordering::SeqCst),
            watched_by: self.live_stream(),
            asked_at: self.clock.monotonic(),
        }
    }

    /// Keeps an answer for `cache_for`, unless something changed since it was asked for.
    pub(crate) fn keep(&self, key: Key, facts: &Arc<Facts>, cache_for: Duration, start: &StartingPoint) {
        let left = Duration::from_secs(facts.expires_at.saturating_sub(self.clock.unix_seconds()));
        let entry = Entry {
            facts: Arc::clone(facts),
            // Its age counts from the question: what changed while the answer travelled is not in it.
            learned_at: start.asked_at,
            keep: cache_for.min(left),
            watched_by: start.watched_by,
        };
        self.entries.insert(key, entry);
        // Inserted first, compared second; a change counts first and sweeps second. One of the two removes it.
        if self.revision.load(Ordering::SeqCst) != start.revision {
            self.entries.remove(&key);
        }
    }

    /// Drops what the engine no longer confirms.
    pub(crate) fn forget(&self, key: &Key) {
        self.entries.remove(key);
    }

    /// Drops everything about sessions for which `concerned` says so.
    pub(crate) fn forget_where(&self, concerned: impl Fn(&Facts) -> bool) {
        self.revision.fetch_add(1, Ordering::SeqCst);
        self.entries.retain(|_, entry| !concerned(&entry.facts));
    }

    /// Forgets what is concerned by a hint that anybody can give. Answers that are under way stay worth keeping, otherwise whoever gives hints
    /// without end could make every request a question to the engine.
    pub(crate) fn doubt(&self, concerned: impl Fn(&Facts) -> bool) {
        self.entries.retain(|_, entry| !concerned(&entry.facts));
    }

    /// A change stream is open: from now on it reports every change.
    pub(crate) fn stream_opened(&self) {
        let mut stream = self.stream.lock();
        stream.generation += 1;
        stream.last_heard = Some(self.clock.monotonic());
    }

    /// It said something.
    pub(crate) fn stream_heard(&self) {
        let mut stream = self.stream.lock();
        // A voice after too long a silence does not make the silence undone.
        if stream.last_heard.is_some_and(|heard| self.clock.monotonic().saturating_sub(heard) >= SILENCE) {
            stream.generation += 1;
        }
        stream.last_heard = Some(self.clock.monotonic());
    }

    /// It is gone; what it watched over is now kept for ten seconds at most, for ever.
    pub(crate) fn stream_lost(&self) {
        let mut stream = self.stream.lock();
        stream.generation += 1;
        stream.last_heard = None;
    }

    /// The generation of the stream, if it is live.
    fn live_stream(&self) -> Option<u64> {
        let stream = self.stream.lock();
        let silent_for = self.clock.monotonic().saturating_sub(stream.last_heard?);
        (silent_for < SILENCE).then_some(stream.generation)
    }

    /// Whether changes are being reported.
    pub(crate) fn is_live(&self) -> bool {
        self.live_stream().is_some()
    }

    /// Whether the engine was listened to in vain, or no longer answers: not merely not yet heard.
    pub(crate) fn is_deaf(&self) -> bool {
        let tried = self.stream.lock().generation > 0;
        tried && !self.is_live()
    }

    /// Joins the flight of the same question, or starts it. It runs on its own, so that a visitor who gives up
    /// does not take the others' answer along; and nobody joins a question asked before the latest change.
    pub(crate) async fn fly<F>(self: &Arc<Self>, question: Key, ask: impl FnOnce() -> F) -> Landed
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let name = (question, self.revision.load(Ordering::SeqCst));
        let mut landed = {
            let mut flights = self.flights.lock();
            if let Some(under_way) = flights.get(&name) {
                under_way.clone()
            } else {
                let (land, landed) = watch::channel(None);
                flights.insert(name, landed.clone());
                let flight = Flight { memory: Arc::clone(self), name };
                let asking = ask();
                tokio::spawn(async move {
                    let answer = asking.await;
                    drop(flight);
                    land.send_replace(Some(answer));
                });
                landed
            }
        };
        let answer = landed.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| {
            tracing::error!("introspection ended without an answer");
            Err(Away::Unreachable { retry_after: None })
        })
    }
}

/// The moment at which a question was asked.
pub(crate) struct StartingPoint {
    revision: u64,
    watched_by: Option<u64>,
    asked_at: Duration,
}

/// Takes the flight off the list, also when it panics.
struct Flight {
    memory: Arc<Memory>,
    name: FlightName,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.memory.flights.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const KEY: Key = [1; 32];

    fn memory() -> (Arc<Memory>, ManualClock) {
        let manual = ManualClock::default();
        (Arc::new(Memory::new("pos", manual.clone().into(), 100)), manual)
    }

    fn facts(sid: &str) -> Arc<Facts> {
        Arc::new(Facts { session_id: sid.into(), expires_at: ManualClock::STARTS_AT + 900, ..Facts::default() })
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn learn(memory: &Memory, cache_for: u64) {
        memory.keep(KEY, &facts("s_1"), seconds(cache_for), &memory.starting_point());
    }

    #[test]
    fn an_answer_is_kept_as_long_as_told_and_ten_seconds_without_a_stream() {
        let (memory, clock) = memory();
        learn(&memory, 5);
        clock.advance(Duration::from_millis(4_999));
        assert!(memory.fresh(&KEY).is_some());
        clock.advance(Duration::from_millis(1));
        assert!(memory.fresh(&KEY).is_none());
        learn(&memory, 60);
        clock.advance(seconds(10));
        assert!(memory.fresh(&KEY).is_none());
        assert!(memory.last_known(&KEY).is_some(), "still good for asking what changed");
        learn(&memory, 0);
        assert!(memory.fresh(&KEY).is_none());
    }

    #[test]
    fn with_a_live_stream_it_is_kept_for_sixty_seconds_at_most() {
        let (memory, clock) = memory();
        memory.stream_opened();
        learn(&memory, 600);
        for _ in 0..11 {
            clock.advance(seconds(5));
            memory.stream_heard();
        }
        assert!(memory.fresh(&KEY).is_some(), "55 s");
        clock.advance(seconds(5));
        memory.stream_heard();
        assert!(memory.fresh(&KEY).is_none(), "60 s");
    }

    #[test]
    fn silence_and_reconnection_shorten_what_was_learned_before() {
        let (memory, clock) = memory();
        memory.stream_opened();
        learn(&memory, 60);
        clock.advance(seconds(11));
        assert!(memory.fresh(&KEY).is_some());
        clock.advance(seconds(1));
        assert!(!memory.is_live());
        assert!(memory.fresh(&KEY).is_none(), "twelve seconds of silence");
        memory.stream_heard();
        assert!(memory.is_live());
        assert!(memory.fresh(&KEY).is_none(), "the silence is not undone");

        learn(&memory, 60);
        clock.advance(seconds(11));
        memory.stream_lost();
        assert!(memory.fresh(&KEY).is_none());
        memory.stream_opened();
        assert!(memory.fresh(&KEY).is_none(), "the new stream did not see what happened in between");
    }

    #[test]
    fn an_answer_learned_without_a_stream_is_not_watched_by_a_later_one() {
        let (memory, clock) = memory();
        let start = memory.starting_point();
        memory.stream_opened();
        memory.keep(KEY, &facts("s_1"), seconds(60), &start);
        clock.advance(seconds(10));
        memory.stream_heard();
        assert!(memory.fresh(&KEY).is_none());
    }

    #[test]
    fn an_answer_asked_for_before_a_change_is_not_kept_after_it() {
        let (memory, _) = memory();
        let start = memory.starting_point();
        memory.forget_where(|facts| facts.session_id == "s_other");
        memory.keep(KEY, &facts("s_1"), seconds(10), &start);
        assert!(memory.last_known(&KEY).is_none());
    }

    #[test]
    fn an_answer_is_not_kept_beyond_the_pass() {
        let (memory, clock) = memory();
        clock.advance(seconds(897));
        learn(&memory, 10);
        clock.advance(seconds(2));
        assert!(memory.fresh(&KEY).is_some());
        clock.advance(seconds(1));
        assert!(memory.fresh(&KEY).is_none());
    }

    #[test]
    fn grace_is_off_unless_declared_and_ends() {
        let (memory, clock) = memory();
        learn(&memory, 0);
        assert!(memory.within_grace(&KEY, Duration::ZERO).is_none());
        clock.advance(seconds(30));
        assert!(memory.within_grace(&KEY, seconds(30)).is_some());
        clock.advance(Duration::from_millis(1));
        assert!(memory.within_grace(&KEY, seconds(30)).is_none());
        learn(&memory, 0);
        memory.forget_where(|facts| facts.session_id == "s_1");
        assert!(memory.within_grace(&KEY, seconds(30)).is_none(), "an ended session has no grace");
    }

    /// T32: what attackers can fill is bounded.
    #[test]
    fn memory_is_bounded() {
        let (memory, _) = memory();
        for number in 0..10_000_u64 {
            let key = crypto::fingerprint(&[&number.to_be_bytes()]);
            memory.keep(key, &facts("s_1"), seconds(10), &memory.starting_point());
        }
        assert!(memory.entries.len() <= 200, "{}", memory.entries.len());
    }

    #[tokio::test]
    async fn a_flight_that_panics_is_a_fault_and_leaves_no_trace() {
        let (memory, _) = memory();
        let landed = memory.fly(KEY, || async { panic!("on purpose") }).await;
        assert!(matches!(landed, Err(Away::Unreachable { .. })));
        assert!(memory.flights.lock().is_empty());
        assert!(memory.fly(KEY, || async { Ok(vec![None]) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_visitor_who_gives_up_does_not_take_the_answer_along() {
        let (memory, _) = memory();
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(memory.fly(KEY, || async {
            gate.await.expect("opened");
            Ok(vec![None])
        }));
        let mut second = Box::pin(memory.fly(KEY, || async { panic!("a second question") }));
        tokio::select! {
            biased;
            _ = &mut first => panic!("the gate is closed"),
            _ = &mut second => panic!("the gate is closed"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        open.send(()).expect("the flight is under way");
        assert!(second.await.is_ok());
    }
}
