//! The only file that reads a clock. Everything else is told what time it is, so tests can stand anywhere in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the layer reads the time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { started: Instant },
    Manual(ManualClock),
}

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the clock")]
    pub(crate) fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// Time since some fixed moment; never steps back. For ages.
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the clock")]
    pub(crate) fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { started } => Instant::now().duration_since(*started),
            Source::Manual(manual) => manual.elapsed(),
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z. For what outlives the process: cookies and tokens.
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the clock")]
    pub(crate) fn unix_seconds(&self) -> u64 {
        match &self.0 {
            Source::System { .. } => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since_epoch| since_epoch.as_secs())
            }
            Source::Manual(manual) => ManualClock::STARTS_AT + manual.elapsed().as_secs(),
        }
    }
}

/// A clock that moves only when told to: for tests of an application's own behaviour around cached answers.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    milliseconds: Arc<AtomicU64>,
}

impl ManualClock {
    /// What it shows before it is first moved, in seconds since 1970-01-01T00:00:00Z.
    pub const STARTS_AT: u64 = 1_800_000_000;

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.milliseconds.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.milliseconds.load(Ordering::SeqCst))
    }
}

impl From<ManualClock> for Clock {
    fn from(manual: ManualClock) -> Self {
        Self(Source::Manual(manual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_its_copies_with_it() {
        let manual = ManualClock::default();
        let clock = Clock::from(manual.clone());
        let before = (clock.monotonic(), clock.unix_seconds());
        assert_eq!((clock.monotonic(), clock.unix_seconds()), before);
        manual.advance(Duration::from_millis(1500));
        assert_eq!(clock.monotonic(), before.0 + Duration::from_millis(1500));
        assert_eq!(clock.unix_seconds() - before.1, 1);
    }

    #[test]
    fn the_system_clock_is_past_the_year_2026() {
        assert!(Clock::system().unix_seconds() > 1_780_000_000);
    }
}
