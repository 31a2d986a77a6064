//! Instants as plain values: milliseconds since the Unix epoch, handed in by the caller.
//!
//! `core` never reads a clock. The server reads it once per request and passes `now` down, so that every
//! decision of one request is made at the same instant and tests can stand anywhere in time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. Stored as `BIGINT`; on the wire (JWT `NumericDate`, RFC 7519 §2) as whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch as six bytes in the order of time, as UUIDs of version 7 begin. Whatever lies beyond them is their first or last.
    pub fn to_bytes(self) -> [u8; 6] {
        let [_, _, bytes @ ..] = self.0.clamp(0, (1 << 48) - 1).to_be_bytes();
        bytes
    }

    /// Whole seconds since the epoch, rounded down: what a JWT carries.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Time passed since `earlier`; zero when the clock was stepped back, never negative.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stepped_back_never_gives_a_negative_age() {
        let later = Timestamp::from_seconds(100);
        assert_eq!(Timestamp::from_seconds(90).since(later), Duration::ZERO);
        assert_eq!(later.since(Timestamp::from_seconds(90)), Duration::from_secs(10));
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::from_millis(i64::MAX) + Duration::from_secs(1), Timestamp::from_millis(i64::MAX));
        assert_eq!(Timestamp::from_millis(i64::MIN) - Duration::MAX, Timestamp::from_millis(i64::MIN));
    }

    #[test]
    fn seconds_round_towards_the_past() {
        assert_eq!(Timestamp::from_millis(1999).as_seconds(), 1);
        assert_eq!(Timestamp::from_millis(-1).as_seconds(), -1);
    }
}
