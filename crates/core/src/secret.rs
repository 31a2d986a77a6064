//! Opaque secrets, in two types: [`Secret`] is minted or presented, [`Digest`] is what may be stored.
//!
//! A secret reads `hp_ss_` + 43 base64url characters (256 random bits) + 6 of checksum. The prefix tells its kind
//! (and lets secret scanners find leaks); the checksum refuses garbage without a look-up. The kind is part of the
//! type: looking up an app's secret among sessions does not compile.
//!
//! Secrets of which very many are made begin with the time instead (48 bits, milliseconds; 208 random bits follow), and so do their digests:
//! the rows of one moment then lie together on a few pages of an index, instead of each on a page of its own that has to be read and written for it.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::crypto;
use crate::time::Timestamp;

/// A kind of secret.
pub trait Kind {
    /// What its text begins with.
    const PREFIX: &'static str;
    /// How many of its bytes tell when it was made.
    const TIME: usize;
}

/// A kind of which nothing can be told by looking at one.
pub trait Random: Kind {}

/// A kind of which those of one moment begin alike.
pub trait ByTime: Kind {}

macro_rules! kinds {
    ($order:ident, $time:literal: $($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {}
        impl Kind for $name {
            const PREFIX: &'static str = $prefix;
            const TIME: usize = $time;
        }
        impl $order for $name {}
    )*};
}

kinds! { Random, 0:
    /// The browser's session secret at the home host.
    SessionSecret = "hp_ss_";
    /// An app's secret key.
    SecretKey = "hp_sk_";
    /// One sign-in in progress.
    FlowSecret = "hp_fl_";
    /// The known-device mark.
    DeviceMark = "hp_dm_";
    /// What a device asks with whether somebody has allowed it.
    DeviceCode = "hp_dc_";
    /// What a client that has registered itself manages its registration with.
    RegistrationToken = "hp_ra_";
}

kinds! { ByTime, 6:
    /// What another root domain redeems for its pass.
    HandoffCode = "hp_hc_";
    /// What an OIDC client redeems for its tokens.
    AuthorizationCode = "hp_ac_";
    /// What an OIDC client gets the next tokens for.
    RefreshToken = "hp_rt_";
    /// What an authorization request goes by that its client has pushed.
    PushedRequest = "hp_pr_";
}

/// A secret in the clear: just minted, or just presented. Not `Clone`, not `Serialize`; `Debug` shows only its kind.
pub struct Secret<K> {
    bytes: Zeroizing<[u8; 32]>,
    kind: PhantomData<K>,
}

impl<K: Random> Secret<K> {
    /// A new one.
    pub fn mint(random: &mut dyn crypto::Random) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        random.fill(bytes.as_mut());
        Self { bytes, kind: PhantomData }
    }
}

impl<K: ByTime> Secret<K> {
    /// A new one.
    pub fn mint_at(now: Timestamp, random: &mut dyn crypto::Random) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        bytes[..6].copy_from_slice(&now.to_bytes());
        random.fill(&mut bytes[6..]);
        Self { bytes, kind: PhantomData }
    }
}

impl<K: Kind> Secret<K> {
    /// Reads a presented text; `None` for any text that `mint` could not have produced.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(K::PREFIX)?;
        if rest.len() != 49 || !rest.is_ascii() {
            return None;
        }
        let (encoded, checksum) = rest.split_at(43);
        let mut bytes = Zeroizing::new([0u8; 32]);
        let written = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut()).ok()?;
        let secret = Self { bytes, kind: PhantomData };
        (written == 32 && crypto::equal(&secret.checksum(), checksum.as_bytes())).then_some(secret)
    }

    /// The text to hand out, once.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(K::PREFIX.len() + 49));
        text.push_str(K::PREFIX);
        URL_SAFE_NO_PAD.encode_string(self.bytes.as_ref(), &mut text);
        text.push_str(std::str::from_utf8(&self.checksum()).expect("base64 is ASCII"));
        text
    }

    /// What may be stored and looked up.
    pub fn digest(&self) -> Digest<K> {
        let hash = crypto::sha256(self.bytes.as_ref());
        let mut bytes = [0; 32];
        let (time, rest) = bytes.split_at_mut(K::TIME);
        time.copy_from_slice(&self.bytes[..K::TIME]);
        rest.copy_from_slice(&hash[..32 - K::TIME]);
        Digest { bytes, kind: PhantomData }
    }

    /// Every call of an app comes past here, so nothing goes to the heap.
    fn checksum(&self) -> [u8; 6] {
        let mut framed = Zeroizing::new([0; 48]);
        let length = K::PREFIX.len() + self.bytes.len();
        framed[..K::PREFIX.len()].copy_from_slice(K::PREFIX.as_bytes());
        framed[K::PREFIX.len()..length].copy_from_slice(self.bytes.as_ref());
        let mut text = [0; 6];
        // Four of 32 hash bytes of 256 random bits: says nothing useful about the rest.
        let written = URL_SAFE_NO_PAD.encode_slice(&crypto::sha256(&framed[..length])[..4], &mut text);
        assert_eq!(written, Ok(6), "four bytes are six characters");
        text
    }
}

impl<K: Kind> fmt::Debug for Secret<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}…", K::PREFIX)
    }
}

/// SHA-256 of a secret's bytes, after the time that it was made, of kinds that tell it: safe to store, useless to present.
pub struct Digest<K> {
    bytes: [u8; 32],
    kind: PhantomData<K>,
}

impl<K> Digest<K> {
    /// As read from the database.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, kind: PhantomData }
    }

    /// As written to the database.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl<K> Clone for Digest<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Digest<K> {}

impl<K> PartialEq for Digest<K> {
    fn eq(&self, other: &Self) -> bool {
        crypto::equal(&self.bytes, &other.bytes)
    }
}

impl<K> Eq for Digest<K> {}

impl<K> std::hash::Hash for Digest<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<K: Kind> fmt::Debug for Digest<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "digest of {}…", K::PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::tests::Seeded;

    #[test]
    fn a_minted_secret_is_recognised_and_digests_the_same() {
        let secret = Secret::<SessionSecret>::mint(&mut Seeded(0));
        let text = secret.expose();
        let presented = Secret::<SessionSecret>::parse(&text).expect("recognised");
        assert_eq!(presented.digest(), secret.digest());
        assert!(Secret::<SecretKey>::parse(&text).is_none(), "the kind is part of the text");
    }

    /// T22: a truncated or altered opaque token must never be accepted.
    #[test]
    fn every_prefix_suffix_and_changed_character_is_refused() {
        let text = Secret::<SecretKey>::mint(&mut Seeded(3)).expose().to_string();
        for cut in 0..text.len() {
            assert!(Secret::<SecretKey>::parse(&text[..cut]).is_none());
            assert!(cut == 0 || Secret::<SecretKey>::parse(&text[cut..]).is_none());
        }
        for index in 0..text.len() {
            for replacement in ['A', 'b', '-', '_', '=', '+', '\u{e9}'] {
                let altered: String =
                    text.chars().enumerate().map(|(at, old)| if at == index { replacement } else { old }).collect();
                assert!(altered == text || Secret::<SecretKey>::parse(&altered).is_none(), "{altered}");
            }
        }
        assert!(Secret::<SecretKey>::parse(&format!("{text} ")).is_none());
        assert!(Secret::<SecretKey>::parse(&format!(" {text}")).is_none());
    }

    #[test]
    fn those_that_tell_their_time_and_their_digests_are_in_its_order() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let mint = |at| Secret::<RefreshToken>::mint_at(at, &mut Seeded(7));
        let (earlier, later) = (mint(now), mint(now + std::time::Duration::from_millis(1)));
        assert!(*earlier.expose() < *later.expose());
        assert!(earlier.digest().as_bytes() < later.digest().as_bytes());
        let presented = Secret::<RefreshToken>::parse(&earlier.expose()).expect("recognised");
        assert_eq!(presented.digest(), earlier.digest());
    }

    /// What a digest gives away of its secret is the time, and not one byte more.
    #[test]
    fn two_secrets_of_one_moment_have_nothing_else_in_common() {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let [one, other] = [8, 9].map(|seed| Secret::<AuthorizationCode>::mint_at(now, &mut Seeded(seed)));
        let (digest, secret) = (one.digest(), one.bytes.as_ref());
        assert_eq!(digest.as_bytes()[..6], secret[..6]);
        assert_eq!(digest.as_bytes()[6..], crypto::sha256(secret)[..26]);
        assert_eq!(secret[..6], other.bytes[..6]);
        assert_ne!(secret[6..], other.bytes[6..]);
        assert_ne!(digest.as_bytes()[6..], other.digest().as_bytes()[6..]);
    }

    #[test]
    fn debug_shows_the_kind_and_never_the_secret() {
        let secret = Secret::<SessionSecret>::mint(&mut Seeded(5));
        assert_eq!(format!("{secret:?}"), "hp_ss_…");
        assert_eq!(format!("{:?}", secret.digest()), "digest of hp_ss_…");
    }
}
