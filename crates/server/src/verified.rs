//! Signatures already verified: a memory of computations, keyed by the token's digest.
//!
//! It spares the second check of a signature and nothing else. It can never say that somebody is signed in: time, zone, key and
//! session are looked at for every request.
//!
//! There is one entry for every pass in use, so entries are small: 48 bytes. They lie in the hash table itself, which makes it a third larger than a
//! [`DenseMap`](hallpass_store::view::DenseMap) would be, and spares each request an access to memory.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use hallpass_core::id::{KeyId, SessionId, ZoneName};
use hallpass_core::pass::VerifiedPass;
use hallpass_core::time::Timestamp;
use hallpass_store::view::{Full, Place, Shards, hash};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::fingerprints::Fingerprints;

/// Passes of one session that are good at the same time: each lives for fifteen minutes and is renewed after five.
const PASSES: usize = 3;

/// Keys and zones that passes in memory come from. Beyond that a pass is verified each time, which is slower and as right.
const SOURCES: usize = 1024;

/// What a token is known by in this process: its fingerprint.
#[derive(Debug, Clone, Copy)]
pub struct TokenDigest([u8; 16]);

/// What passes of one key in one zone share.
type Source = (KeyId, ZoneName);

struct Known {
    digest: [u8; 16],
    session_id: SessionId,
    /// Where its session was found.
    session_place: Place,
    /// Seconds; enough until 2106.
    issued_at: u32,
    /// Seconds.
    lifetime: u16,
    source: u16,
}

#[derive(Default)]
struct Shard {
    known: HashTable<Known>,
    full: Full,
}

/// The memory; bounded.
pub struct Verified {
    fingerprints: Fingerprints,
    shards: Shards<Shard>,
    sources: Box<[OnceLock<Source>]>,
}

impl Verified {
    /// Remembers the passes of at most so many sessions.
    pub fn new(maximum_sessions: usize) -> Self {
        Self {
            fingerprints: Fingerprints::new(),
            shards: Shards::new(maximum_sessions.saturating_mul(PASSES)),
            sources: (0..SOURCES).map(|_| OnceLock::new()).collect(),
        }
    }

    /// A token's digest.
    pub fn digest(&self, token: &str) -> TokenDigest {
        TokenDigest(self.fingerprints.of(token.as_bytes()))
    }

    /// What a pass says whose signature has been checked, and where its session was then. The caller checks that it is current.
    pub fn recall(&self, TokenDigest(digest): TokenDigest) -> Option<(VerifiedPass<'_>, Place)> {
        let shard = self.shards.of(&digest).read();
        let known = shard.known.find(hash(&digest), |known| known.digest == digest)?;
        let (kid, zone) = self.sources[usize::from(known.source)].get()?;
        let pass = VerifiedPass {
            user_id: None,
            session_id: known.session_id,
            zone: Cow::Borrowed(zone),
            kid: *kid,
            issued_at: known.issued_at(),
            expires_at: known.expires_at(),
        };
        Some((pass, known.session_place))
    }

    /// Remembers a pass whose signature the caller has checked, and that it names its session's user.
    pub fn remember(&self, TokenDigest(digest): TokenDigest, pass: &VerifiedPass<'_>, session: Place, now: Timestamp) {
        let Some(source) = self.source(pass) else { return };
        let lifetime = pass.expires_at.since(pass.issued_at).as_secs();
        let (Ok(issued_at), Ok(lifetime)) = (u32::try_from(pass.issued_at.as_seconds()), u16::try_from(lifetime))
        else {
            return;
        };
        let mut shard = self.shards.of(&digest).write();
        let Shard { known: all, full } = &mut *shard;
        let limit = self.shards.limit(&digest);
        if all.len() >= limit {
            if full.worth_a_look(now) {
                all.retain(|known| now < known.expires_at());
            }
            // Still full: let an arbitrary one go; it is verified again when it is needed.
            if all.len() >= limit
                && let Some(victim) = all.iter().next().map(|known| known.digest)
                && let Ok(victim) = all.find_entry(hash(&victim), |known| known.digest == victim)
            {
                victim.remove();
            }
        }
        let known = Known { digest, session_id: pass.session_id, session_place: session, issued_at, lifetime, source };
        match all.entry(hash(&digest), |known| known.digest == digest, |known| hash(&known.digest)) {
            Entry::Occupied(mut before) => *before.get_mut() = known,
            Entry::Vacant(free) => drop(free.insert(known)),
        }
    }

    /// Drops what has expired, and gives the room back that a rush hour took.
    pub fn sweep(&self, now: Timestamp) {
        for shard in self.shards.iter() {
            let all = &mut shard.write().known;
            all.retain(|known| now < known.expires_at());
            if all.capacity() > 4 * all.len() {
                let twice = all.len() * 2;
                all.shrink_to(twice, |known| hash(&known.digest));
            }
        }
    }

    /// The number of a pass's key and zone.
    fn source(&self, pass: &VerifiedPass<'_>) -> Option<u16> {
        let is = |known: &Source| known.0 == pass.kid && known.1 == *pass.zone;
        let place = self
            .sources
            .iter()
            .position(|place| is(place.get_or_init(|| (pass.kid, pass.zone.clone().into_owned()))))?;
        u16::try_from(place).ok()
    }
}

impl Known {
    fn issued_at(&self) -> Timestamp {
        Timestamp::from_seconds(i64::from(self.issued_at))
    }

    fn expires_at(&self) -> Timestamp {
        self.issued_at() + Duration::from_secs(u64::from(self.lifetime))
    }
}

#[cfg(test)]
mod tests {
    use hallpass_store::view::DenseMap;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_001);

    fn pass(number: u8, zone: &str) -> VerifiedPass<'static> {
        VerifiedPass {
            user_id: None,
            session_id: SessionId::from_bytes([number; 16]),
            zone: Cow::Owned(zone.parse().expect("a zone")),
            kid: KeyId::from_bytes([number; 16]),
            issued_at: Timestamp::from_seconds(1_800_000_000),
            expires_at: Timestamp::from_seconds(1_800_000_900),
        }
    }

    #[test]
    fn what_was_remembered_is_recalled_as_it_was() {
        let verified = Verified::new(1000);
        let mut sessions = DenseMap::default();
        for (number, zone) in [(1, "home"), (2, "home"), (1, "shop")] {
            let (pass, token) = (pass(number, zone), format!("{number}{zone}"));
            let place = sessions.insert([number; 16], ());
            verified.remember(verified.digest(&token), &pass, place, NOW);
            assert_eq!(verified.recall(verified.digest(&token)), Some((pass, place)));
            assert_eq!(verified.recall(verified.digest(&format!("{token} "))), None);
        }
    }

    /// T32: what attackers can fill is bounded, and what has expired goes.
    #[test]
    fn memory_is_bounded() {
        const MOST: usize = 333 * PASSES;
        let verified = Verified::new(333);
        for number in 0..MOST * 10 {
            verified.remember(verified.digest(&number.to_string()), &pass(1, "home"), Place::UNKNOWN, NOW);
        }
        let held = || verified.shards.iter().map(|shard| shard.read().known.len()).sum::<usize>();
        assert!(held() > MOST / 2 && held() < MOST + 256, "{}", held());
        let room = || verified.shards.iter().map(|shard| shard.read().known.capacity()).sum::<usize>();
        verified.sweep(Timestamp::from_seconds(1_800_000_900));
        assert_eq!((held(), room()), (0, 0));
    }

    /// What is over makes room for what comes, but is not looked for each time that something does.
    #[test]
    fn a_full_memory_lets_go_of_what_has_expired() {
        let verified = Verified::new(100);
        let soon = NOW + Duration::from_secs(9);
        let held = || verified.shards.iter().map(|shard| shard.read().known.len()).sum::<usize>();
        let remember = |tokens: std::ops::Range<usize>, now: Timestamp| {
            for number in tokens {
                let pass = VerifiedPass { expires_at: now + Duration::from_mins(15), ..pass(1, "home") };
                verified.remember(verified.digest(&number.to_string()), &pass, Place::UNKNOWN, now);
            }
        };
        remember(0..10_000, NOW);
        let full = held();
        remember(10_000..20_000, soon);
        assert_eq!(held(), full, "as many come as go");
        remember(20_000..20_256, soon + Duration::from_mins(15));
        assert!(held() < full, "{} of {full}", held());
    }

    #[test]
    fn room_that_is_given_back_is_not_that_of_passes_in_use() {
        const LATER: Timestamp = Timestamp::from_seconds(1_800_000_900);
        let verified = Verified::new(1000);
        let lasting = VerifiedPass { expires_at: LATER + Duration::from_mins(1), ..pass(2, "home") };
        for number in 0..1000 {
            let pass = if number % 50 == 0 { lasting.clone() } else { pass(1, "home") };
            verified.remember(verified.digest(&number.to_string()), &pass, Place::UNKNOWN, NOW);
        }
        let known = || (0..1000).filter(|number| verified.recall(verified.digest(&number.to_string())).is_some());
        let room = || verified.shards.iter().map(|shard| shard.read().known.capacity()).sum::<usize>();
        let lasting: Vec<_> = known().filter(|number| number % 50 == 0).collect();
        let before = room();
        verified.sweep(LATER);
        assert!(!lasting.is_empty());
        assert_eq!(known().collect::<Vec<_>>(), lasting);
        assert!(room() < before / 2, "{} of {before}", room());
    }

    #[test]
    fn more_keys_than_there_is_room_for_are_verified_each_time() {
        let verified = Verified::new(1000);
        for number in 0..=SOURCES {
            let source = verified.source(&pass(1, &format!("zone-{number}")));
            assert_eq!(source.is_some(), number < SOURCES);
        }
    }
}
