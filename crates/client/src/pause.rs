//! Pauses between attempts: each twice as long as the one before, up to a limit, and never quite the same for two apps.

use std::time::Duration;

use crate::crypto;

/// The pauses of one series of attempts.
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// The first, and the longest.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// How long to wait now: half to all of the pause, so that the apps of a restarted engine do not all return at once.
    pub(crate) fn next(&mut self) -> Duration {
        let jitter = f64::from(crypto::random_u32()) / f64::from(u32::MAX);
        let pause = self.next.mul_f64(0.5 + jitter / 2.0);
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pause = Pause::new(Duration::from_secs(2), Duration::from_secs(10));
        for whole in [2, 4, 8, 10, 10] {
            let waited = pause.next();
            assert!(waited >= Duration::from_secs(whole) / 2 && waited <= Duration::from_secs(whole), "{waited:?}");
        }
    }
}
