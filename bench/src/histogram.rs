//! Latencies in buckets that are at most 1.6 % wide, from a nanosecond to centuries, at the cost of one increment.

use std::time::Duration;

/// Buckets for each power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// How often each latency was seen.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Adds one latency.
    pub fn record(&mut self, latency: Duration) {
        let index = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.total += 1;
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency in microseconds that `per_mille` thousandths of all stay at or below; zero if there are none.
    pub fn quantile_us(&self, per_mille: u64) -> f64 {
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        index.map_or(0.0, |index| Duration::from_nanos(middle(index)).as_secs_f64() * 1e6)
    }
}

/// Below [`STEPS`] a bucket for each value; above, [`STEPS`] buckets for each power of two.
fn bucket(nanos: u64) -> usize {
    let shift = nanos.max(1).ilog2().saturating_sub(STEP_BITS);
    usize::try_from(u64::from(shift) * STEPS + (nanos >> shift)).unwrap_or(usize::MAX)
}

/// The middle of a bucket.
fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    ((index - shift * STEPS) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_within_the_width_of_its_bucket() {
        let mut last = 0;
        for nanos in (0..2000).chain((0..60).map(|power| 3 << power)).chain([u64::MAX / 2]) {
            let middle = middle(bucket(nanos));
            assert!(middle.abs_diff(nanos) <= nanos / 100, "{nanos} became {middle}");
        }
        for nanos in 0..100_000 {
            let index = bucket(nanos);
            assert!(index == last || index == last + 1, "no bucket is skipped at {nanos}");
            last = index;
        }
    }

    #[test]
    fn quantiles_count_from_below() {
        let mut histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        assert!((histogram.quantile_us(500) / 500.0 - 1.0).abs() < 0.02);
        assert!((histogram.quantile_us(990) / 990.0 - 1.0).abs() < 0.02);
        assert_eq!(Histogram::default().quantile_us(990).to_bits(), 0.0f64.to_bits());
    }
}
