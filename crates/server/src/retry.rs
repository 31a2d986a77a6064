//! How long to wait before something is tried again.

use std::time::Duration;

use hallpass_core::crypto::Random;

/// No wait is longer.
pub const LONGEST: Duration = Duration::from_mins(15);

/// Twice as long each time, from `first` up to [`LONGEST`]; of that a random half to whole, so that nodes and messages do not march in step.
pub fn wait(first: Duration, attempts: u32, random: &mut impl Random) -> Duration {
    let longest = first.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST);
    let mut byte = [0u8];
    random.fill(&mut byte);
    longest / 2 + longest * u32::from(byte[0]) / 510
}

#[cfg(test)]
mod tests {
    use hallpass_core::crypto::SystemRandom;

    use super::*;

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        for (attempts, longest) in [(1, 15), (2, 30), (3, 60), (6, 480), (7, 900), (8, 900), (u32::MAX, 900)] {
            for _ in 0..50 {
                let waited = wait(Duration::from_secs(15), attempts, &mut SystemRandom);
                assert!(
                    waited >= Duration::from_secs(longest) / 2 && waited <= Duration::from_secs(longest),
                    "{attempts}: {waited:?}"
                );
            }
        }
    }
}
