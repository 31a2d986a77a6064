//! Throttling of guesses (NIST SP 800-63B §3.2.2, protocol §17): which counters one attempt touches and what their values mean.
//!
//! Counters live in one table, `attempts(key, window_started_at, count)`, shared by all nodes. For each [`Bucket`] of
//! [`buckets_for`], in order, the store adds one by a single guarded upsert and reads the result back: *before* the password is
//! verified, so that parallel guesses cannot all see the old count (advisory T73). A row whose window is over starts again at 1.
//! It stops at the first bucket that is full: someone who is already turned away at one address no longer uses up the budget that
//! other addresses have for the same user.
//!
//! - A **known device** (its mark was given when this user signed in from it) has a budget of its own and touches no other, so that
//!   nobody elsewhere can lock the owner out (advisory T76).
//! - Everybody else touches, from narrow to wide: this user from this network; this address; this network; this user from anywhere.
//! - **After a success** the attempt takes back the one that it added, everywhere, and empties its device's bucket
//!   ([`settle`]). So only failures count, and signing in to one's own account wins nothing for guessing at others.
//!
//! Counts are not moved by attempts that are turned away except in the bucket that turned them away, and windows are never prolonged: the
//! wait that is announced is the wait.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::MacKey;
use crate::id::UserId;
use crate::secret::{DeviceMark, Digest};
use crate::time::Timestamp;
use crate::user::Username;

/// How many attempts fit into one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The attempt after these is turned away.
    pub attempts: u32,
    /// Counted from the first attempt; fixed, not sliding.
    pub window: Duration,
}

/// The limits of every kind of bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A known device guessing at its own user.
    pub device: Limit,
    /// One user from one network.
    pub user_and_network: Limit,
    /// One address, whatever the users.
    pub address: Limit,
    /// One network, whatever the users.
    pub network: Limit,
    /// One user from all unknown devices together.
    pub user: Limit,
    /// Callers of our endpoints with a wrong app secret, by address.
    pub caller: Limit,
    /// One person guessing at the codes that devices show, in all their sessions.
    pub user_code: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        const QUARTER: Duration = Duration::from_mins(15);
        Self {
            device: Limit { attempts: 10, window: QUARTER },
            user_and_network: Limit { attempts: 10, window: QUARTER },
            address: Limit { attempts: 50, window: QUARTER },
            network: Limit { attempts: 200, window: QUARTER },
            // NIST allows 100 failures in a row before an authenticator is locked; this is 50 per hour and unlocks by itself.
            user: Limit { attempts: 50, window: Duration::from_hours(1) },
            caller: Limit { attempts: 30, window: Duration::from_mins(1) },
            // 34 bits, ten minutes: with ten tries a quarter of an hour nobody comes near (RFC 8628 §5.1).
            user_code: Limit { attempts: 10, window: QUARTER },
        }
    }
}

impl Limits {
    /// Counters whose window began before this can be deleted.
    pub fn stale_before(&self, now: Timestamp) -> Timestamp {
        let all =
            [self.device, self.user_and_network, self.address, self.network, self.user, self.caller, self.user_code];
        now - all.map(|limit| limit.window).into_iter().max().unwrap_or_default()
    }
}

/// One counter's name: its kind and an HMAC of what it counts. The table holds no user names and no addresses.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey(String);

impl BucketKey {
    /// What is stored: `user:` and 22 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(key: &MacKey, kind: &'static str, parts: &[&[u8]]) -> Self {
        // Lengths before contents: ("a", "bc") and ("ab", "c") are different counters.
        let mut framed = vec![kind.as_bytes().to_vec(), vec![0]];
        for part in parts {
            framed.push((part.len() as u64).to_be_bytes().to_vec());
            framed.push(part.to_vec());
        }
        let tag = key.tag(&framed.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self(format!("{kind}:{}", URL_SAFE_NO_PAD.encode(&tag[..16])))
    }
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A counter and its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The row.
    pub key: BucketKey,
    /// How much fits.
    pub limit: Limit,
    /// A success empties it instead of taking back one.
    emptied_by_success: bool,
}

/// Somebody wants to prove who they are.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// As typed, canonical; whether there is such a user makes no difference (advisory T77). `None` if it cannot be a user name.
    pub username: Option<&'a Username>,
    /// Where from.
    pub address: IpAddr,
    /// The mark of this device, if it was given to it when *this user* signed in. The caller looks that up.
    pub known_device: Option<&'a Digest<DeviceMark>>,
}

/// The counters that `attempt` touches, in the order in which they are to be touched.
pub fn buckets_for(attempt: &Attempt<'_>, limits: &Limits, key: &MacKey) -> Vec<Bucket> {
    let bucket = |kind, parts: &[&[u8]], limit| Bucket {
        key: BucketKey::new(key, kind, parts),
        limit,
        emptied_by_success: false,
    };
    let user = attempt.username.map(|username| username.canonical().as_bytes());
    if let Some((device, user)) = attempt.known_device.zip(user) {
        let own = bucket("device", &[device.as_bytes(), user], limits.device);
        return vec![Bucket { emptied_by_success: true, ..own }];
    }
    let address = address_block(attempt.address).to_string();
    let network = network(attempt.address).to_string();
    let mut buckets = vec![
        bucket("address", &[address.as_bytes()], limits.address),
        bucket("network", &[network.as_bytes()], limits.network),
    ];
    if let Some(user) = user {
        buckets.insert(0, bucket("pair", &[user, network.as_bytes()], limits.user_and_network));
        buckets.push(bucket("user", &[user], limits.user));
    }
    buckets
}

/// The counter for callers with a wrong app secret. By address, never by app key: otherwise anybody could lock an app out.
///
/// Touched *after* the secret was found wrong. App secrets have 256 random bits, so counting first would stop no guess, and it would let one
/// misconfigured app turn away every other app behind the same address.
pub fn bucket_for_caller(address: IpAddr, limits: &Limits, key: &MacKey) -> Bucket {
    let address = address_block(address).to_string();
    let key = BucketKey::new(key, "caller", &[address.as_bytes()]);
    Bucket { key, limit: limits.caller, emptied_by_success: false }
}

/// The counters for a code that somebody typed from a device's screen, to be touched before it is looked up. By person, not by session: signing
/// in again must not bring new tries. Kinds of their own: who mistypes such a code is not kept from signing in.
pub fn buckets_for_user_code(user: &UserId, address: IpAddr, limits: &Limits, key: &MacKey) -> Vec<Bucket> {
    let address = address_block(address).to_string();
    let bucket =
        |kind, part: &[u8], limit| Bucket { key: BucketKey::new(key, kind, &[part]), limit, emptied_by_success: false };
    vec![
        bucket("code-user", user.as_bytes(), limits.user_code),
        bucket("code-address", address.as_bytes(), limits.address),
    ]
}

/// A counter after this attempt was added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Including this attempt.
    pub count: i64,
    /// When its window began.
    pub window_started_at: Timestamp,
}

/// Whether an attempt may go on to be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Verify.
    Allowed,
    /// Answer 429 (pages: "try again in …"), without verifying.
    Throttled {
        /// For `Retry-After`; whole seconds, at least one, at most the window.
        retry_after: Duration,
    },
}

impl Limit {
    /// What one counter says.
    pub fn decide(&self, counted: Counted, now: Timestamp) -> Decision {
        if counted.count <= i64::from(self.attempts) {
            return Decision::Allowed;
        }
        // A node whose clock is behind must not announce more than a whole window.
        let left = (counted.window_started_at + self.window).since(now).min(self.window);
        let seconds = left.as_millis().div_ceil(1000).max(1);
        Decision::Throttled { retry_after: Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)) }
    }
}

/// What all counters say together: the longest wait of any that is full.
pub fn decide<'a>(counted: impl IntoIterator<Item = (&'a Bucket, Counted)>, now: Timestamp) -> Decision {
    counted.into_iter().map(|(bucket, counted)| bucket.limit.decide(counted, now)).fold(
        Decision::Allowed,
        |longest, next| match (longest, next) {
            (Decision::Throttled { retry_after: a }, Decision::Throttled { retry_after: b }) => {
                Decision::Throttled { retry_after: a.max(b) }
            }
            (Decision::Allowed, other) | (other, Decision::Allowed) => other,
        },
    )
}

/// What to do with a counter after the attempt succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveBack {
    /// Subtract one, if `window_started_at` is still the one that was counted in and the count is above zero.
    One,
    /// Delete the row.
    All,
}

/// After a success: for each bucket of the attempt, what is given back.
pub fn settle(buckets: &[Bucket]) -> impl Iterator<Item = (&BucketKey, GiveBack)> {
    buckets.iter().map(|bucket| (&bucket.key, if bucket.emptied_by_success { GiveBack::All } else { GiveBack::One }))
}

/// What one subscriber usually has: an IPv4 address, an IPv6 /64. IPv4 written as IPv6 (`::ffff:…`, RFC 4291 §2.5.5.2) is IPv4.
pub fn address_block(address: IpAddr) -> IpAddr {
    masked(address, 32, 64)
}

/// What one attacker can easily rent: an IPv4 /24, an IPv6 /48.
pub fn network(address: IpAddr) -> IpAddr {
    masked(address, 24, 48)
}

fn masked(address: IpAddr, bits_v4: u32, bits_v6: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - bits_v4))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits_v6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::crypto::tests::Seeded;
    use crate::secret::Secret;

    /// The table, with the store's two statements. Enough to run the rules; the real ones are raced in the store's tests.
    #[derive(Default)]
    struct Table(HashMap<BucketKey, Counted>);

    impl Table {
        fn add(&mut self, bucket: &Bucket, now: Timestamp) -> Counted {
            let fresh = Counted { count: 0, window_started_at: now };
            let row = self.0.entry(bucket.key.clone()).or_insert(fresh);
            if now >= row.window_started_at + bucket.limit.window {
                *row = fresh;
            }
            row.count += 1;
            *row
        }

        fn attempt(&mut self, attempt: &Attempt<'_>, right: bool, now: Timestamp) -> Decision {
            let buckets = buckets_for(attempt, &Limits::default(), &key());
            for bucket in &buckets {
                let decision = bucket.limit.decide(self.add(bucket, now), now);
                if decision != Decision::Allowed {
                    return decision;
                }
            }
            if right {
                for (key, give_back) in settle(&buckets) {
                    match give_back {
                        GiveBack::One => self.0.get_mut(key).expect("counted").count -= 1,
                        GiveBack::All => drop(self.0.remove(key)),
                    }
                }
            }
            Decision::Allowed
        }
    }

    fn key() -> MacKey {
        MacKey::new(&[7; 32])
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn name(text: &str) -> Username {
        text.parse().expect("a user name")
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    /// T76: ten thousand guesses from everywhere, and the owner signs in on the device they know.
    #[test]
    fn a_guesser_cannot_lock_the_owner_out_of_a_known_device() {
        let (mut table, ana) = (Table::default(), name("ana"));
        let mark = Secret::<DeviceMark>::mint(&mut Seeded(1)).digest();
        let mut verified = 0;
        for guess in 0..10_000u32 {
            let from = Ipv4Addr::from_bits(0x0a00_0000 + guess * 256).into();
            let attempt = Attempt { username: Some(&ana), address: from, known_device: None };
            verified += u32::from(table.attempt(&attempt, false, NOW) == Decision::Allowed);
        }
        assert_eq!(verified, Limits::default().user.attempts, "and no more than the budget is verified");
        let stranger = Attempt { username: Some(&ana), address: address("192.0.2.1"), known_device: None };
        assert_eq!(table.attempt(&stranger, true, NOW), Decision::Throttled { retry_after: Duration::from_hours(1) });
        let owner = Attempt { known_device: Some(&mark), ..stranger };
        assert_eq!(table.attempt(&owner, true, NOW), Decision::Allowed);
    }

    #[test]
    fn one_network_cannot_use_up_a_users_budget() {
        let (mut table, ana) = (Table::default(), name("ana"));
        let guesser = Attempt { username: Some(&ana), address: address("203.0.113.9"), known_device: None };
        let verified = (0..1000).filter(|_| table.attempt(&guesser, false, NOW) == Decision::Allowed).count();
        assert_eq!(verified, 10);
        let neighbour = Attempt { address: address("203.0.113.200"), ..guesser };
        assert_ne!(table.attempt(&neighbour, true, NOW), Decision::Allowed, "the same network");
        let elsewhere = Attempt { address: address("198.51.100.1"), ..guesser };
        assert_eq!(table.attempt(&elsewhere, true, NOW), Decision::Allowed);
    }

    #[test]
    fn one_address_cannot_try_one_password_on_everybody() {
        let mut table = Table::default();
        let users: Vec<Username> = (0..500).map(|number| name(&format!("user{number}"))).collect();
        let from = |user, address| Attempt { username: Some(user), address, known_device: None };
        let verified = users
            .iter()
            .filter(|user| table.attempt(&from(user, address("203.0.113.9")), false, NOW) == Decision::Allowed);
        assert_eq!(verified.count(), 50);
        // Nor a rented /48, one /64 after the other.
        let verified = users.iter().enumerate().filter(|(subnet, user)| {
            let address = address(&format!("2001:db8:1:{subnet:x}::1"));
            table.attempt(&from(user, address), false, NOW) == Decision::Allowed
        });
        assert_eq!(verified.count(), 200);
        let gibberish = Attempt { username: None, address: address("203.0.113.9"), known_device: None };
        assert_ne!(table.attempt(&gibberish, false, NOW), Decision::Allowed, "what cannot be a name counts too");
    }

    #[test]
    fn successes_are_free_and_win_nothing() {
        let (mut table, ana, eve) = (Table::default(), name("ana"), name("eve"));
        let office = address("203.0.113.9");
        let eve = Attempt { username: Some(&eve), address: office, known_device: None };
        for _ in 0..1000 {
            assert_eq!(table.attempt(&eve, true, NOW), Decision::Allowed, "an office behind one address");
        }
        let guess = Attempt { username: Some(&ana), ..eve };
        let mut verified = 0;
        for _ in 0..100 {
            verified += u32::from(table.attempt(&guess, false, NOW) == Decision::Allowed);
            let _ = table.attempt(&eve, true, NOW);
        }
        assert_eq!(verified, 10, "signing in to her own account does not reset the count of guesses");
    }

    #[test]
    fn a_success_empties_the_devices_own_bucket_only() {
        let (mut table, ana, bo) = (Table::default(), name("ana"), name("bo"));
        let mark = Secret::<DeviceMark>::mint(&mut Seeded(1)).digest();
        let on_device = Attempt { username: Some(&ana), address: address("203.0.113.9"), known_device: Some(&mark) };
        for _ in 0..9 {
            assert_eq!(table.attempt(&on_device, false, NOW), Decision::Allowed);
        }
        assert_eq!(table.attempt(&on_device, true, NOW), Decision::Allowed);
        assert!(table.0.is_empty(), "and no other bucket was touched");
        for _ in 0..10 {
            assert_eq!(table.attempt(&on_device, false, NOW), Decision::Allowed);
        }
        assert_ne!(table.attempt(&on_device, true, NOW), Decision::Allowed, "a stolen mark has a budget too");
        let other = Attempt { username: Some(&bo), ..on_device };
        assert_eq!(table.attempt(&other, false, NOW), Decision::Allowed);
    }

    /// T64: to the millisecond.
    #[test]
    fn the_announced_wait_is_the_wait() {
        let limit = Limit { attempts: 2, window: Duration::from_mins(1) };
        let counted = |count| Counted { count, window_started_at: NOW };
        assert_eq!(limit.decide(counted(2), NOW), Decision::Allowed);
        let wait = |now| match limit.decide(counted(3), now) {
            Decision::Throttled { retry_after } => retry_after.as_secs(),
            Decision::Allowed => 0,
        };
        assert_eq!(wait(NOW), 60);
        assert_eq!(wait(NOW + Duration::from_millis(1)), 60);
        assert_eq!(wait(NOW + Duration::from_millis(59_999)), 1);
        assert_eq!(wait(NOW - Duration::from_secs(500)), 60, "a clock that is behind");
        assert_eq!(wait(NOW + Duration::from_secs(90)), 1, "a clock that is ahead");
        assert_eq!(limit.decide(counted(i64::MAX), NOW), Decision::Throttled { retry_after: Duration::from_mins(1) });
    }

    #[test]
    fn the_longest_wait_of_all_counters_is_announced() {
        let buckets: Vec<Bucket> = [60, 600, 6000]
            .map(|seconds| Bucket {
                limit: Limit { attempts: 1, window: Duration::from_secs(seconds) },
                ..bucket_for_caller(address("::1"), &Limits::default(), &key())
            })
            .into();
        let counted = [2, 2, 1].map(|count| Counted { count, window_started_at: NOW });
        let decision = decide(buckets.iter().zip(counted), NOW);
        assert_eq!(decision, Decision::Throttled { retry_after: Duration::from_mins(10) });
        assert_eq!(decide([], NOW), Decision::Allowed);
        assert_eq!(Limits::default().stale_before(NOW), NOW - Duration::from_hours(1));
    }

    /// T74: one counter per user, whatever is typed; and nothing readable in the table.
    #[test]
    fn counters_are_one_per_canonical_name_and_say_nothing() {
        let keys = |username: &str, from: &str| -> Vec<BucketKey> {
            let attempt = Attempt { username: Some(&name(username)), address: address(from), known_device: None };
            buckets_for(&attempt, &Limits::default(), &key()).into_iter().map(|bucket| bucket.key).collect()
        };
        let plain = keys("ana", "203.0.113.9");
        assert_eq!(keys("\u{ff21}NA", "::ffff:203.0.113.9"), plain);
        assert_eq!(
            plain.iter().map(|key| &key.as_str()[..5]).collect::<Vec<_>>(),
            ["pair:", "addre", "netwo", "user:"]
        );
        assert!(plain.iter().all(|key| !key.as_str().contains("ana") && !key.as_str().contains("203")));
        let other = MacKey::new(&[8; 32]);
        let attempt = Attempt { username: None, address: address("203.0.113.9"), known_device: None };
        assert_ne!(buckets_for(&attempt, &Limits::default(), &other)[0].key, plain[1], "not without the key");
        assert_ne!(bucket_for_caller(address("203.0.113.9"), &Limits::default(), &key()).key, plain[1]);
    }

    #[test]
    fn blocks_of_addresses() {
        for (from, block, wide) in [
            ("203.0.113.9", "203.0.113.9", "203.0.113.0"),
            ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
            ("::1", "::", "::"),
        ] {
            assert_eq!(address_block(address(from)), address(block));
            assert_eq!(network(address(from)), address(wide));
        }
    }
}
