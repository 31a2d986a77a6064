//! Times: the monotonic clock, waiting with an end, and the three numbers that tell how long something took.

use std::fmt;
use std::time::{Duration, Instant};

use crate::rig::Checked;

/// How long to wait before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "measuring is what this program does")]
pub fn now() -> Instant {
    Instant::now()
}

/// Looks again and again until there is something, for at most `limit`; how long that took, and what it is.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Checked<Option<T>>,
) -> Checked<(Duration, T)> {
    let began = now();
    loop {
        if let Some(found) = look().await? {
            return Ok((now().duration_since(began), found));
        }
        if now().duration_since(began) > limit {
            return Err(format!("waited {limit:?} for {what}").into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Many durations of the same kind.
#[derive(Debug, Default, Clone)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// One more.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The longest; zero of none.
    pub fn longest(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    /// The value that so many percent do not exceed (nearest rank); zero of none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        write!(
            formatter,
            "p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            millis(self.percentile(50)),
            millis(self.percentile(99)),
            millis(self.longest())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut spread = Spread::default();
        assert_eq!(spread.percentile(50), Duration::ZERO);
        (1..=200).rev().for_each(|millis| spread.add(Duration::from_millis(millis)));
        assert_eq!(spread.percentile(50), Duration::from_millis(100));
        assert_eq!(spread.percentile(99), Duration::from_millis(198));
        assert_eq!(spread.longest(), Duration::from_millis(200));
    }
}
