//! How long requests took, per route: a few buckets and a sum. Two additions a request.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::Count;

/// Upper ends of the buckets in microseconds: introspection lies in the first ones, sign-in with its hashing in the later ones.
pub(super) const ENDS: [u64; 7] = [250, 1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000];

/// The times of one route.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Times {
    buckets: [Count; ENDS.len() + 1],
    nanoseconds: Count,
    /// Answers of 500 and above.
    server_errors: Count,
}

impl Times {
    /// A request that began then has been answered.
    pub fn answered(&self, began: &Stopwatch, status: StatusCode) {
        self.record(began.elapsed());
        if status.is_server_error() {
            self.server_errors.add();
        }
    }

    pub(super) fn record(&self, took: Duration) {
        let bucket = ENDS.iter().position(|end| took.as_nanos() <= u128::from(*end) * 1000).unwrap_or(ENDS.len());
        self.buckets[bucket].add();
        self.nanoseconds.add_many(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            buckets: std::array::from_fn(|index| self.buckets[index].read()),
            nanoseconds: self.nanoseconds.read(),
            server_errors: self.server_errors.read(),
        }
    }
}

/// A reading of [`Times`]; readings of routers of one engine add up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    pub buckets: [u64; ENDS.len() + 1],
    pub nanoseconds: u64,
    pub server_errors: u64,
}

impl Reading {
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.nanoseconds = self.nanoseconds.wrapping_add(other.nanoseconds);
        self.server_errors += other.server_errors;
    }
}

/// Measures our own work. Nothing is decided by it.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins.
    #[expect(clippy::disallowed_methods, reason = "measures how long our own work takes; nothing is decided by it")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// So long so far.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_bucket_belongs_to_it() {
        let times = Times::default();
        for micros in [0, 250, 251, 2_500_000, 2_500_001] {
            times.record(Duration::from_micros(micros));
        }
        let reading = times.read();
        assert_eq!(reading.buckets, [2, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(reading.nanoseconds, (250 + 251 + 2_500_000 + 2_500_001) * 1000);
    }
}
