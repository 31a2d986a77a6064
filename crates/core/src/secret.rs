//! Opaque secrets, in two types: [`Secret`] is minted or presented, [`Digest`] is what may be stored.
//!
//! A secret reads `hp_ss_` + 43 base64url characters (256 random bits) + 6 of checksum. The prefix tells its kind
//! (and lets secret scanners find leaks); the checksum refuses garbage without a look-up. The kind is part of the
//! type: looking up an app's secret among sessions does not compile.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::crypto::{self, Random};

/// A kind of secret.
pub trait Kind {
    /// What its text begins with.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {}
        impl Kind for $name {
            const PREFIX: &'static str = $prefix;
        }
    )*};
}

kinds! {
    /// The browser's session secret at the home host.
    SessionSecret = "hp_ss_";
    /// An app's secret key.
    SecretKey = "hp_sk_";
    /// One sign-in in progress.
    FlowSecret = "hp_fl_";
    /// The known-device mark.
    DeviceMark = "hp_dm_";
    /// What another root domain redeems for its pass.
    HandoffCode = "hp_hc_";
    /// What an OIDC client redeems for its tokens.
    AuthorizationCode = "hp_ac_";
    /// What an OIDC client gets the next tokens for.
    RefreshToken = "hp_rt_";
    /// What a device asks with whether somebody has allowed it.
    DeviceCode = "hp_dc_";
    /// What an authorization request goes by that its client has pushed.
    PushedRequest = "hp_pr_";
    /// What a client that has registered itself manages its registration with.
    RegistrationToken = "hp_ra_";
}

/// A secret in the clear: just minted, or just presented. Not `Clone`, not `Serialize`; `Debug` shows only its kind.
pub struct Secret<K> {
    bytes: Zeroizing<[u8; 32]>,
    kind: PhantomData<K>,
}

impl<K: Kind> Secret<K> {
    /// A new one.
    pub fn mint(random: &mut dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        random.fill(bytes.as_mut());
        Self { bytes, kind: PhantomData }
    }

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
        Digest { bytes: crypto::sha256(self.bytes.as_ref()), kind: PhantomData }
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

/// SHA-256 of a secret's random bytes: safe to store, useless to present.
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
    fn debug_shows_the_kind_and_never_the_secret() {
        let secret = Secret::<SessionSecret>::mint(&mut Seeded(5));
        assert_eq!(format!("{secret:?}"), "hp_ss_…");
        assert_eq!(format!("{:?}", secret.digest()), "digest of hp_ss_…");
    }
}
