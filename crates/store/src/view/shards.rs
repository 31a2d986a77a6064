//! A map in many pieces, each behind a lock of its own, that do not all grow at once.
//!
//! A hash table doubles when it is seven eighths full. Pieces of equal size would do so together, and just after that all tables are
//! half empty. Here their shares rise evenly from one to two (by the same factor from each to the next), so that at any time some have
//! just grown and some are about to, and an entry takes as much whether there are many or few.

use std::time::Duration;

use hallpass_core::time::Timestamp;
use parking_lot::RwLock;

const SHARDS: usize = 256;
/// Identifiers are spread over so many places; a shard has 11 to 22 of them.
const PLACES: usize = 4096;
/// The 256th root of two, in units of 2⁻³².
const FACTOR: u128 = 4_306_612_133;
const SHARD_AT: [u8; PLACES] = shard_at();

/// The pieces. They are told apart by the first two bytes of an identifier, which must be evenly spread.
pub struct Shards<S> {
    shards: Box<[RwLock<S>]>,
    limits: Box<[usize]>,
}

impl<S: Default> Shards<S> {
    /// Empty ones, for `maximum` entries in all.
    pub fn new(maximum: usize) -> Self {
        let shares = shares();
        let limit = |share: usize| maximum.saturating_mul(share).div_ceil(PLACES).max(1);
        Self { shards: shares.map(|_| RwLock::default()).into(), limits: shares.map(limit).into() }
    }
}

impl<S> Shards<S> {
    /// The piece that `id` belongs to.
    pub fn of(&self, id: &[u8; 16]) -> &RwLock<S> {
        &self.shards[usize::from(SHARD_AT[place(id)])]
    }

    /// How many entries that piece may hold.
    pub fn limit(&self, id: &[u8; 16]) -> usize {
        self.limits[usize::from(SHARD_AT[place(id)])]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &RwLock<S>> {
        self.shards.iter()
    }
}

/// When a piece that is full was last looked through for what is over. That takes as long as checking a signature, and most often nothing is: whoever
/// did it for every entry that comes would be slowest when there is most to do.
#[derive(Debug, Default)]
pub struct Full(Option<Timestamp>);

impl Full {
    const PAUSE: Duration = Duration::from_secs(10);

    /// Whether it is time again; the answer is taken for a promise.
    pub fn worth_a_look(&mut self, now: Timestamp) -> bool {
        let due = self.0.is_none_or(|last| now.since(last) >= Self::PAUSE);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// How many places each piece has.
fn shares() -> [usize; SHARDS] {
    let mut shares = [0; SHARDS];
    for shard in SHARD_AT {
        shares[usize::from(shard)] += 1;
    }
    shares
}

/// Twelve bits of an identifier.
fn place(id: &[u8; 16]) -> usize {
    usize::from(u16::from_be_bytes([id[0], id[1]]) >> 4)
}

const fn shard_at() -> [u8; PLACES] {
    let mut table = [0; PLACES];
    let mut shard = 0;
    // Where the present shard ends: places are counted from 4096, the last one is 8191.
    let mut end = PLACES as u128 * FACTOR;
    let mut place = 0;
    while place < PLACES {
        if ((PLACES + place) as u128) << 32 >= end && shard < u8::MAX {
            shard += 1;
            end = (end * FACTOR) >> 32;
        }
        table[place] = shard;
        place += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_is_looked_through_once_in_a_while() {
        let (mut full, began) = (Full::default(), Timestamp::from_seconds(1_800_000_000));
        let looks = [0, 0, 9, 10, 11, 19, 20].map(|second| full.worth_a_look(began + Duration::from_secs(second)));
        assert_eq!(looks, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn shares_rise_from_one_to_two() {
        assert!(SHARD_AT.is_sorted());
        assert_eq!((SHARD_AT[0], SHARD_AT[PLACES - 1]), (0, 255));
        assert_eq!([0, 64, 128, 192, 255].map(|shard| shares()[shard]), [12, 14, 16, 19, 22]);
        assert!(shares().iter().all(|share| (11..=22).contains(share)));
    }

    #[test]
    fn limits_add_up_to_the_maximum() {
        let shards = Shards::<()>::new(1_000_000);
        let sum: usize = shards.limits.iter().sum();
        assert!((1_000_000..1_000_256).contains(&sum), "{sum}");
        assert!(shards.limit(&[255; 16]) > shards.limit(&[0; 16]));
        assert_eq!(Shards::<()>::new(1).limit(&[255; 16]), 1);
    }
}
