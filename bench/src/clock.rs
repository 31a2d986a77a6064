//! The two clocks of a benchmark: instants that go into passes and rows, and the monotonic one that measures.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hallpass_core::time::Timestamp;

/// The present instant, for rows and passes.
#[expect(clippy::disallowed_methods, reason = "a benchmark is its own caller: nobody could hand it an instant")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The monotonic clock, for measuring.
#[expect(clippy::disallowed_methods, reason = "measuring durations is what this program is for")]
pub fn ticks() -> Instant {
    Instant::now()
}
