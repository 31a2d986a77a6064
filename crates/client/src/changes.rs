//! Listening to what changes (protocol §5; server-sent events, WHATWG HTML §9.2): whoever signs out or loses a role is
//! forgotten within a second.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::{Away, Engine};
use crate::memory::Memory;
use crate::pause::Pause;

/// Without a sign of life for this long, the connection is given up.
const SILENCE: Duration = Duration::from_secs(12);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_LINE: usize = 64 * 1024;
const LONGEST_CURSOR: usize = 256;

/// Listens for as long as it is polled, reconnecting where it left off.
pub(crate) async fn listen(engine: Arc<Engine>, memory: Arc<Memory>) {
    let mut cursor: Option<String> = None;
    let mut pause = Pause::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match engine.changes(cursor.as_deref()).await {
            Ok(response) => {
                tracing::debug!("the change stream is open");
                pause = Pause::new(FIRST_PAUSE, LONGEST_PAUSE);
                memory.stream_opened();
                let reason = follow(response, &memory, &mut cursor).await;
                memory.stream_lost();
                tracing::info!(reason, "the change stream ended; answers are kept for ten seconds at most");
            }
            // Said in the log by whoever found out. A wrong secret is retried too: somebody may be correcting it.
            Err(Away::Unreachable { .. } | Away::Misconfigured) => memory.stream_lost(),
        }
        tokio::time::sleep(pause.next()).await;
    }
}

/// Applies events until the stream ends; says why it did.
async fn follow(mut response: reqwest::Response, memory: &Memory, cursor: &mut Option<String>) -> &'static str {
    let mut parser = Parser::default();
    loop {
        let chunk = match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return "closed by the engine",
            Ok(Err(_)) => return "connection lost",
            Err(_) => return "no heartbeat",
        };
        memory.stream_heard();
        let Ok(events) = parser.feed(&chunk) else { return "a line without end" };
        for event in events {
            apply(event, memory, cursor);
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    subject: Subject,
}

/// Whom an event concerns, as CAEP names it.
#[derive(Deserialize)]
struct Subject {
    sid: Option<String>,
    sub: Option<String>,
}

/// Forgets what `event` makes doubtful, and moves `cursor`, the position to resume from, where the event carries one.
///
/// What cannot be understood makes everything doubtful: a needless question costs less than a missed sign-out.
fn apply(event: Event, memory: &Memory, cursor: &mut Option<String>) {
    let position = event.id.filter(|id| id.len() <= LONGEST_CURSOR);
    match event.name.as_str() {
        // Passes are checked by the engine; this layer holds no keys.
        "heartbeat" | "keys-rotated" => {}
        "reset" => {
            memory.forget_where(|_| true);
            // Too old, or of another history: not to be shown again.
            *cursor = None;
        }
        name => match serde_json::from_str::<Payload>(&event.data).map(|payload| payload.subject) {
            Ok(Subject { sid: Some(sid), .. }) if matches!(name, "session-ended" | "session-changed") => {
                memory.forget_where(|facts| facts.session_id == sid);
            }
            Ok(Subject { sub: Some(sub), sid }) => {
                memory.forget_where(|facts| facts.user_id == sub || Some(&facts.session_id) == sid.as_ref());
            }
            Ok(Subject { sub: None, sid: Some(sid) }) => memory.forget_where(|facts| facts.session_id == sid),
            Ok(Subject { sub: None, sid: None }) | Err(_) => {
                tracing::info!(event = name, "a change that names nobody: everything is forgotten");
                memory.forget_where(|_| true);
            }
        },
    }
    if position.is_some() {
        *cursor = position;
    }
}

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
    id: Option<String>,
}

/// Cuts bytes into events.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    after_return: bool,
    pending: Event,
}

/// A line longer than any event.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            // A line ends with CR, LF or both.
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    events.extend(self.end_of_line());
                }
                other => {
                    self.after_return = false;
                    self.line.push(*other);
                    if self.line.len() + self.pending.data.len() > LONGEST_LINE {
                        return Err(TooLong);
                    }
                }
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.pending);
            // An id alone moves the position, too.
            return (!event.data.is_empty() || !event.name.is_empty() || event.id.is_some()).then(|| Event {
                name: if event.name.is_empty() && event.data.is_empty() { "heartbeat".to_owned() } else { event.name },
                ..event
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.pending.name),
            "data" => {
                if !self.pending.data.is_empty() {
                    self.pending.data.push('\n');
                }
                self.pending.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.pending.id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            // Comments, which begin with a colon, and fields of the future.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Facts;
    use crate::clock::ManualClock;
    use proptest::prelude::*;

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event { name: name.into(), data: data.into(), id: id.map(Into::into) }
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text =
            b": hello\n\nid: 7\nevent: session-ended\ndata: {\"a\":\ndata: 1}\r\n\r\nid:8\r\revent: heartbeat\n\n";
        let expected = vec![
            event("session-ended", "{\"a\":\n1}", Some("7")),
            event("heartbeat", "", Some("8")),
            event("heartbeat", "", None),
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let read: Vec<Event> = text.chunks(size).flat_map(|chunk| parser.feed(chunk).expect("short")).collect();
            assert_eq!(read, expected, "cut every {size}");
        }
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; LONGEST_LINE + 1]), Err(TooLong));
    }

    /// Remembers three sessions of two people and gives those left after `event`.
    fn left_after(event: Event) -> Vec<&'static str> {
        let clock = ManualClock::default();
        let memory = Memory::new("pos", clock.into(), 100);
        let sessions = [("s_1", "u_ana"), ("s_2", "u_ana"), ("s_3", "u_bob")];
        for (index, (sid, sub)) in (0..).zip(sessions) {
            let facts = Facts {
                session_id: sid.into(),
                user_id: sub.into(),
                expires_at: ManualClock::STARTS_AT + 900,
                ..Facts::default()
            };
            memory.keep([index; 32], &Arc::new(facts), Duration::from_secs(10), &memory.starting_point());
        }
        apply(event, &memory, &mut None);
        (0..)
            .zip(sessions)
            .filter(|(index, _)| memory.fresh(&[*index; 32]).is_some())
            .map(|(_, (sid, _))| sid)
            .collect()
    }

    #[test]
    fn each_event_forgets_what_it_concerns() {
        let both = r#"{"subject":{"sid":"s_1","sub":"u_ana"},"event_timestamp":1}"#;
        let user = r#"{"subject":{"sub":"u_ana"},"event_timestamp":1}"#;
        assert_eq!(left_after(event("session-ended", both, None)), ["s_2", "s_3"]);
        assert_eq!(left_after(event("session-changed", both, None)), ["s_2", "s_3"]);
        assert_eq!(left_after(event("session-ended", user, None)), ["s_3"]);
        assert_eq!(left_after(event("permissions-changed", user, None)), ["s_3"]);
        assert_eq!(left_after(event("permissions-changed", both, None)), ["s_3"]);
        assert_eq!(left_after(event("user-disabled", user, None)), ["s_3"]);
        assert_eq!(left_after(event("keys-rotated", "{}", None)), ["s_1", "s_2", "s_3"]);
        assert_eq!(left_after(event("heartbeat", "", None)), ["s_1", "s_2", "s_3"]);
        assert_eq!(left_after(event("an-event-of-the-future", user, None)), ["s_3"]);
    }

    #[test]
    fn what_is_not_understood_forgets_everything() {
        for (name, data) in [
            ("reset", "{}"),
            ("session-ended", "{}"),
            ("session-ended", "not JSON"),
            ("session-ended", r#"{"subject":{}}"#),
            ("permissions-changed", r#"{"subject":{"sub":7}}"#),
            ("", "x"),
        ] {
            assert!(left_after(event(name, data, None)).is_empty(), "{name} {data}");
        }
    }

    #[test]
    fn the_position_follows_the_ids() {
        let memory = Memory::new("pos", ManualClock::default().into(), 100);
        let mut cursor = None;
        let mut after = |event| {
            apply(event, &memory, &mut cursor);
            cursor.clone()
        };
        assert_eq!(after(event("heartbeat", "", Some("9"))).as_deref(), Some("9"));
        assert_eq!(after(event("heartbeat", "", None)).as_deref(), Some("9"));
        assert_eq!(after(event("heartbeat", "", Some(&"1".repeat(300)))).as_deref(), Some("9"));
        assert_eq!(after(event("reset", "", None)), None);
        assert_eq!(after(event("reset", "", Some("12"))).as_deref(), Some("12"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut parser = Parser::default();
            let memory = Memory::new("pos", ManualClock::default().into(), 10);
            for event in parser.feed(&bytes).expect("short") {
                apply(event, &memory, &mut None);
            }
        }
    }
}
