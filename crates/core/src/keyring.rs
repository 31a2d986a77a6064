//! Signing keys and their ages: which one signs, which ones still verify, when the next one is due. Protocol §15, §16.
//!
//! The life of a key:
//!
//! ```text
//! created_at ── published, verifies ──▶ signs_from ── signs ──▶ signs_until ── verifies ──▶ verifies_until
//!                    24 h                            90 d                 until its last token has died
//! ```
//!
//! The newest key of a purpose has no `signs_until`: it signs until a successor is made, however late that is. Making the
//! successor sets the predecessor's ends in the same transaction, so there is never a moment without a signer, and never
//! two open keys: of two nodes that rotate at once, the store lets one through.

use std::time::Duration;

use crate::app::App;
use crate::crypto::{Algorithm, InvalidKey, PrivateKey, Random, Sealer};
use crate::id::KeyId;
use crate::jose::{self, Kind};
use crate::jwk;
use crate::time::Timestamp;

/// What a key signs. Which purposes verify a kind of token says [`Kind::purposes`]: no other key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Passes.
    Pass,
    /// Every other token: access tokens, assertions, and the ID and logout tokens of whoever checks `EdDSA`.
    Token,
    /// ID and logout tokens of clients that check `RS256`: keys of their own, so that nothing else becomes as large and as slow as RSA.
    IdToken,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Token, Self::IdToken];

    /// `pass`, `token`, `id_token`: the text that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Token => "token",
            Self::IdToken => "id_token",
        }
    }

    /// Whether an installation with these apps cannot do without a key of this purpose. The RSA key is made for the first client that wants it.
    pub fn is_needed_by<'a>(self, apps: impl IntoIterator<Item = &'a App>) -> bool {
        match self {
            Self::Pass | Self::Token => true,
            Self::IdToken => apps.into_iter().any(|app| app.token_purpose() == self),
        }
    }

    /// From the stored text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// One key of this installation.
#[derive(Debug)]
pub struct SigningKey {
    /// Names it in tokens and in the key set.
    pub kid: KeyId,
    /// What it signs.
    pub purpose: Purpose,
    /// The key; its algorithm is part of it.
    pub private: PrivateKey,
    /// When it was made and, if public, published.
    pub created_at: Timestamp,
    /// From when it signs.
    pub signs_from: Timestamp,
    /// Until when it signs; open while it has no successor.
    pub signs_until: Option<Timestamp>,
    /// From when what it signed is refused; open while it has no successor.
    pub verifies_until: Option<Timestamp>,
}

impl SigningKey {
    /// The key's algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.private.algorithm()
    }

    /// Whether what it signed may still be accepted.
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.verifies_until.is_none_or(|end| now < end)
    }

    fn signs(&self, now: Timestamp) -> bool {
        self.signs_from <= now && self.signs_until.is_none_or(|end| now < end)
    }
}

/// How keys of one purpose age. Defaults: protocol §15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// The algorithm of new keys; a change makes a rotation due.
    pub algorithm: Algorithm,
    /// How long a new key is published before it signs, so that nobody meets an unknown `kid`.
    pub publish_ahead: Duration,
    /// How long a key signs before its successor takes over.
    pub signs_for: Duration,
    /// How long it verifies after that: the longest life of a token, and a margin for a node that learns of the change late.
    pub verifies_for: Duration,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::EdDsa,
            publish_ahead: Duration::from_hours(24),
            signs_for: Duration::from_hours(90 * 24),
            verifies_for: Duration::from_hours(1),
        }
    }
}

/// All keys of the installation at one moment; replaced as a whole when they change.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<SigningKey>,
    /// How tokens of each kind by each key begin, and which key that is.
    headers: Vec<(Kind, String, usize)>,
}

/// A successor and what it does to its predecessors; both are written in one transaction.
#[derive(Debug)]
pub struct Rotation {
    /// The new key.
    pub successor: SigningKey,
    /// Keys that now have an end, or an earlier one.
    pub closed: Vec<ClosedKey>,
}

/// The ends of a key that has a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedKey {
    /// Which key.
    pub kid: KeyId,
    /// Until when it signs.
    pub signs_until: Timestamp,
    /// From when what it signed is refused.
    pub verifies_until: Timestamp,
}

impl Keyring {
    /// A snapshot of these keys, in any order.
    pub fn new(keys: Vec<SigningKey>) -> Self {
        let headers = keys.iter().enumerate().flat_map(|(index, key)| {
            let kinds = Kind::ALL.into_iter().filter(|kind| kind.purposes().contains(&key.purpose));
            kinds.map(move |kind| (kind, jose::header(key, kind), index))
        });
        Self { headers: headers.collect(), keys }
    }

    /// All keys, also those that verify no longer.
    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// The key that signs at `now`. `None` only if there is no usable key of this purpose at all.
    ///
    /// Outside every window (this node has not learned of the successor, or its clock is behind) the one that signed last
    /// goes on, or the first one begins early: a token by a key that verifies is better than none.
    pub fn signer(&self, purpose: Purpose, now: Timestamp) -> Option<&SigningKey> {
        let usable = || self.keys.iter().filter(|key| key.purpose == purpose && key.verifies(now));
        let in_window = usable().filter(|key| key.signs(now)).max_by_key(|key| (key.signs_from, key.kid));
        let last = || usable().filter(|key| key.signs_from <= now).max_by_key(|key| (key.signs_from, key.kid));
        let first = || usable().min_by_key(|key| (key.signs_from, key.kid));
        in_window.or_else(last).or_else(first)
    }

    /// The key that checks a token naming `kid`, if it is ours, of this purpose, and not yet too old.
    pub fn verifier(&self, purpose: Purpose, kid: KeyId, now: Timestamp) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.kid == kid && key.purpose == purpose && key.verifies(now))
    }

    /// The key that checks a token of `kind` with this header, if it is one of ours as we write it.
    pub fn by_header(&self, kind: Kind, header: &str, now: Timestamp) -> Option<&SigningKey> {
        let (_, _, index) = self.headers.iter().find(|(of, known, _)| *of == kind && known == header)?;
        Some(&self.keys[*index]).filter(|key| key.verifies(now))
    }

    /// The JWK set (RFC 7517 §5) for `/.well-known/jwks.json`: public keys, with those that do not sign yet. Never an HS256 key.
    pub fn jwks(&self, now: Timestamp) -> serde_json::Value {
        let public = |key: &SigningKey| Some(jwk::write(key.private.public()?, &key.kid.to_string()));
        let keys: Vec<_> = self.keys.iter().filter(|key| key.verifies(now)).filter_map(public).collect();
        serde_json::json!({ "keys": keys })
    }

    /// Whether a successor should be made now: there is no key, the algorithm was changed, or the newest key has to be replaced in
    /// `publish_ahead` from now.
    pub fn rotation_due(&self, purpose: Purpose, now: Timestamp, policy: &KeyPolicy) -> bool {
        let open = |key: &&SigningKey| key.purpose == purpose && key.signs_until.is_none();
        self.keys.iter().find(open).is_none_or(|newest| {
            newest.algorithm() != policy.algorithm || now + policy.publish_ahead >= newest.signs_from + policy.signs_for
        })
    }

    /// Plans the step to `private`, a key that was just made. It signs `publish_ahead` from now (zero: at once), or at once if it
    /// is the first; until then every other key goes on as it was. What does not fit any more is closed at that moment.
    pub fn rotate(
        &self,
        purpose: Purpose,
        kid: KeyId,
        private: PrivateKey,
        publish_ahead: Duration,
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Rotation {
        let signs_from = if self.signer(purpose, now).is_some() { now + publish_ahead } else { now };
        let closed = self
            .keys
            .iter()
            .filter(|key| key.purpose == purpose && key.signs_until.is_none_or(|end| end > signs_from))
            .map(|key| ClosedKey {
                kid: key.kid,
                signs_until: signs_from,
                verifies_until: signs_from + policy.verifies_for,
            })
            .collect();
        let successor =
            SigningKey { kid, purpose, private, created_at: now, signs_from, signs_until: None, verifies_until: None };
        Rotation { successor, closed }
    }
}

/// A signing key as it is stored: everything in the clear but the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Names it.
    pub kid: KeyId,
    /// What it signs.
    pub purpose: Purpose,
    /// What kind of key `sealed` holds.
    pub algorithm: Algorithm,
    /// The private key, sealed for this row.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub signs_from: Timestamp,
    /// Until when it signs.
    pub signs_until: Option<Timestamp>,
    /// From when what it signed is refused.
    pub verifies_until: Option<Timestamp>,
}

impl SealedKey {
    /// The purpose of the sealer: `master_key.sealer(SealedKey::SEALER)`.
    pub const SEALER: &'static str = "signing-key";

    /// Seals `key`. The seal is bound to `kid`, purpose and algorithm: with any of them changed in the database it does not open.
    pub fn seal(key: &SigningKey, sealer: &Sealer, random: &mut dyn Random) -> Self {
        let associated = associated_data(key.kid, key.purpose, key.algorithm());
        Self {
            kid: key.kid,
            purpose: key.purpose,
            algorithm: key.algorithm(),
            sealed: sealer.seal(&key.private.to_stored(), associated.as_bytes(), random),
            created_at: key.created_at,
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            verifies_until: key.verifies_until,
        }
    }

    /// Opens it; fails when the row was altered or sealed under another master key.
    pub fn open(&self, sealer: &Sealer) -> Result<SigningKey, InvalidKey> {
        let associated = associated_data(self.kid, self.purpose, self.algorithm);
        let stored = sealer.open(&self.sealed, associated.as_bytes()).ok_or(InvalidKey)?;
        Ok(SigningKey {
            kid: self.kid,
            purpose: self.purpose,
            private: PrivateKey::from_stored(self.algorithm, &stored)?,
            created_at: self.created_at,
            signs_from: self.signs_from,
            signs_until: self.signs_until,
            verifies_until: self.verifies_until,
        })
    }
}

/// No part contains a space, so no two triples give the same text.
fn associated_data(kid: KeyId, purpose: Purpose, algorithm: Algorithm) -> String {
    format!("{kid} {} {}", purpose.as_str(), algorithm.as_str())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::crypto::tests::Seeded;

    /// A keyring with one key that signs from the epoch on.
    pub(crate) fn keyring(purpose: Purpose, algorithm: Algorithm) -> Keyring {
        Keyring::new(vec![key(1, purpose, PrivateKey::generate(algorithm))])
    }

    pub(crate) fn key(number: u64, purpose: Purpose, private: PrivateKey) -> SigningKey {
        SigningKey {
            kid: KeyId::mint(&mut Seeded(number)),
            purpose,
            private,
            created_at: Timestamp::default(),
            signs_from: Timestamp::default(),
            signs_until: None,
            verifies_until: None,
        }
    }

    #[test]
    fn a_header_stands_for_its_key_in_its_own_kinds_and_while_it_verifies() {
        let now = START;
        let mut old = key(1, Purpose::Token, PrivateKey::generate(Algorithm::EdDsa));
        old.verifies_until = Some(now + DAY);
        let keyring = Keyring::new(vec![old, key(2, Purpose::Pass, PrivateKey::generate(Algorithm::Hs256))]);
        for key in keyring.keys() {
            for kind in Kind::ALL {
                let found = |now| keyring.by_header(kind, &jose::header(key, kind), now).map(|key| key.kid);
                let expected = kind.purposes().contains(&key.purpose).then_some(key.kid);
                assert_eq!(found(now), expected, "{kind:?} {:?}", key.purpose);
                assert_eq!(found(now + DAY), expected.filter(|_| key.verifies_until.is_none()));
            }
        }
        let [first, second] = [0, 1].map(|index| jose::header(&keyring.keys()[index], Kind::Pass));
        assert_eq!(keyring.by_header(Kind::AccessToken, &second, now).map(|key| key.kid), None, "of another kind");
        assert_eq!(
            keyring.by_header(Kind::Pass, &first, now).map(|key| key.kid),
            None,
            "by a key that signs no passes"
        );
        assert_eq!(keyring.by_header(Kind::Pass, "", now).map(|key| key.kid), None);
    }

    const DAY: Duration = Duration::from_hours(24);
    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn rotate(keyring: &mut Keyring, number: u64, ahead: Duration, now: Timestamp) -> KeyId {
        let kid = KeyId::mint(&mut Seeded(number));
        let private = PrivateKey::generate(Algorithm::EdDsa);
        let plan = keyring.rotate(Purpose::Pass, kid, private, ahead, &KeyPolicy::default(), now);
        for closed in plan.closed {
            let key = keyring.keys.iter_mut().find(|key| key.kid == closed.kid).expect("it is ours");
            key.signs_until = Some(closed.signs_until);
            key.verifies_until = Some(closed.verifies_until);
        }
        keyring.keys.push(plan.successor);
        kid
    }

    fn signer(keyring: &Keyring, now: Timestamp) -> KeyId {
        keyring.signer(Purpose::Pass, now).expect("there is always a signer").kid
    }

    #[test]
    fn by_schedule_a_key_is_published_for_a_day_signs_for_ninety_and_verifies_until_its_tokens_are_dead() {
        let policy = KeyPolicy::default();
        let mut ring = Keyring::default();
        assert!(ring.signer(Purpose::Pass, START).is_none());
        assert!(ring.rotation_due(Purpose::Pass, START, &policy));
        let first = rotate(&mut ring, 1, policy.publish_ahead, START);
        assert_eq!(signer(&ring, START), first, "the very first key signs at once");
        let tick = Duration::from_millis(1);
        let due = START + 89 * DAY;
        assert!(!ring.rotation_due(Purpose::Pass, due - tick, &policy));
        assert!(ring.rotation_due(Purpose::Pass, due, &policy));
        assert!(ring.rotation_due(Purpose::Token, START, &policy), "purposes age apart");

        let second = rotate(&mut ring, 2, policy.publish_ahead, due);
        assert!(!ring.rotation_due(Purpose::Pass, due, &policy));
        let takes_over = due + DAY;
        assert_eq!(ring.jwks(due)["keys"].as_array().map(Vec::len), Some(2), "published ahead");
        assert_eq!((signer(&ring, takes_over - tick), signer(&ring, takes_over)), (first, second));
        let dead = takes_over + policy.verifies_for;
        assert!(ring.verifier(Purpose::Pass, first, dead - tick).is_some());
        assert!(ring.verifier(Purpose::Pass, first, dead).is_none());
        assert!(ring.verifier(Purpose::Token, second, dead).is_none(), "a pass key checks passes only");
        assert_eq!(ring.jwks(dead)["keys"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_late_successor_and_a_slow_clock_never_leave_a_moment_without_a_signer() {
        let policy = KeyPolicy::default();
        let mut ring = Keyring::default();
        let first = rotate(&mut ring, 1, policy.publish_ahead, START);
        assert_eq!(signer(&ring, START + 1000 * DAY), first, "nobody rotated for years");
        assert_eq!(signer(&ring, START - Duration::from_secs(2)), first, "this node's clock is behind");
        let late = START + 1000 * DAY;
        let second = rotate(&mut ring, 2, policy.publish_ahead, late);
        assert_eq!((signer(&ring, late), signer(&ring, late + DAY)), (first, second));
        // A node that cannot open the successor's row goes on with what it has, while that verifies.
        ring.keys.pop();
        assert_eq!(signer(&ring, late + DAY), first);
    }

    #[test]
    fn rotation_by_command_may_be_immediate_repeated_and_overtake_one_that_is_scheduled() {
        let policy = KeyPolicy::default();
        let mut ring = Keyring::default();
        let first = rotate(&mut ring, 1, policy.publish_ahead, START);
        let now = START + DAY;
        let scheduled = rotate(&mut ring, 2, policy.publish_ahead, now);
        let immediate = rotate(&mut ring, 3, Duration::ZERO, now);
        assert_eq!(signer(&ring, now), immediate);
        assert_eq!(signer(&ring, now + DAY), immediate, "the overtaken key never signs");
        for kid in [first, scheduled] {
            assert!(ring.verifier(Purpose::Pass, kid, now).is_some());
            assert!(ring.verifier(Purpose::Pass, kid, now + policy.verifies_for).is_none());
        }
        assert_eq!(ring.keys.iter().filter(|key| key.signs_until.is_none()).count(), 1, "exactly one open key");
    }

    #[test]
    fn a_new_algorithm_makes_a_rotation_due_at_once() {
        let ring = keyring(Purpose::Pass, Algorithm::EdDsa);
        let policy = KeyPolicy { algorithm: Algorithm::Es256, ..KeyPolicy::default() };
        assert!(!ring.rotation_due(Purpose::Pass, Timestamp::default(), &KeyPolicy::default()));
        assert!(ring.rotation_due(Purpose::Pass, Timestamp::default(), &policy));
    }

    #[test]
    fn the_key_set_never_shows_a_secret() {
        for algorithm in Algorithm::ALL {
            let ring = keyring(Purpose::Pass, algorithm);
            let set = ring.jwks(START);
            let keys = set["keys"].as_array().expect("an array");
            assert_eq!(keys.len(), usize::from(algorithm != Algorithm::Hs256));
            for jwk in keys {
                assert_eq!(jwk["kid"], ring.keys()[0].kid.to_string());
                assert!(jwk::read(jwk, algorithm).is_ok(), "the reader refuses private members");
            }
        }
    }

    #[test]
    fn a_sealed_key_opens_in_its_own_row_only() {
        let sealer = MasterKey::new([3; 32]).sealer(SealedKey::SEALER);
        let original = key(1, Purpose::Pass, PrivateKey::generate(Algorithm::Ps256));
        let sealed = SealedKey::seal(&original, &sealer, &mut Seeded(9));
        let opened = sealed.open(&sealer).expect("its own row");
        assert!(original.private.verify(b"message", &opened.private.sign(b"message")));
        let other_kid = KeyId::mint(&mut Seeded(2));
        for altered in [
            SealedKey { kid: other_kid, ..sealed.clone() },
            SealedKey { purpose: Purpose::Token, ..sealed.clone() },
            SealedKey { algorithm: Algorithm::Rs256, ..sealed.clone() },
            SealedKey { sealed: sealed.sealed[1..].to_vec(), ..sealed.clone() },
        ] {
            assert!(altered.open(&sealer).is_err());
        }
        assert!(sealed.open(&MasterKey::new([4; 32]).sealer(SealedKey::SEALER)).is_err());
    }
}
