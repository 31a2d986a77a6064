//! The verbs of administration: what `hallpass user add` and its siblings do, each in one transaction with its audit entry (protocol §19).
//!
//! A verb takes the transaction, what to do, who does it and when. The caller commits. Errors say in plain words what is wrong
//! and what to do about it.

pub mod apply;
pub mod apps;
pub mod groups;
pub mod roles;
pub mod sessions;
pub mod users;
pub mod zones;

use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::time::Timestamp;
use hallpass_store::{StoreError, Write, audit};

/// Why a verb did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// There is one of this name already.
    #[error("{0}")]
    Exists(String),
    /// It would do harm, or makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long ago something was, as people say it: `just now`, `5 minutes ago`, `3 days ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let seconds = now.since(then).as_secs();
    let Some((length, unit)) = UNITS.iter().find(|(length, _)| seconds >= *length) else {
        return "just now".to_owned();
    };
    let count = seconds / length;
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// How long, as people say it: `10 minutes`, `24 hours`.
pub fn span(duration: Duration) -> String {
    let text = ago(Timestamp::default(), Timestamp::default() + duration);
    text.trim_end_matches(" ago").to_owned()
}

fn entry(event: Event, actor: &Actor, now: Timestamp) -> Entry {
    Entry::new(event, actor.clone(), now, &mut SystemRandom)
}

async fn record(write: &mut Write, entry: Entry) -> Result<(), AdminError> {
    Ok(audit::append(write, &(&entry).into()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_said_in_the_largest_unit_that_fits() {
        let now = Timestamp::from_seconds(1_000_000);
        for (seconds, said) in [
            (0, "just now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7199, "1 hour ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(now - Duration::from_secs(seconds), now), said);
        }
        assert_eq!(ago(now + Duration::from_secs(9), now), "just now", "another node's clock is ahead");
        assert_eq!(span(Duration::from_mins(10)), "10 minutes");
    }
}
