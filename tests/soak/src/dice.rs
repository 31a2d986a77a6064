//! Chance that can be repeated: `SplitMix64` (Steele, Lea, Flood 2014). For choosing what to do and when; never for secrets.

use std::time::Duration;

/// A source of choices.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed, and what the choices are for: other words, other choices.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut dice = Self(seed);
        for byte in purpose.bytes() {
            dice.0 ^= u64::from(byte);
            dice.next();
        }
        dice
    }

    /// Others, for somebody who chooses at the same time.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above zero.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// One of them; there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A duration from `shortest` up to `longest`.
    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let range = usize::try_from(longest.saturating_sub(shortest).as_micros()).unwrap_or(usize::MAX);
        shortest + Duration::from_micros(u64::try_from(self.below(range)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices_and_another_purpose_others() {
        let rolls = |purpose| {
            let mut dice = Dice::new(7, purpose);
            [dice.next(), dice.next(), dice.split().next()]
        };
        assert_eq!(rolls("kill 1"), rolls("kill 1"));
        assert_ne!(rolls("kill 1"), rolls("kill 2"));
        let mut dice = Dice::new(1, "");
        assert!((0..1000).all(|_| dice.below(3) < 3));
        let (short, long) = (Duration::from_millis(1), Duration::from_millis(2));
        assert!((0..1000).map(|_| dice.between(short, long)).all(|chosen| chosen >= short && chosen < long));
    }
}
