//! What an app shows in `Authorization`: HTTP Basic (RFC 7617), and what it has shown before.
//!
//! An app sends the same header with every call. What it says is worked out once: the app's public name and its secret's digest. With these the registry is
//! asked each time, as if they had just been worked out, so that a secret which has ended and an app which is disabled are refused all the same. Only headers that
//! were right are remembered, and not as they are: by their fingerprints, which leaves nothing to compare and no secret to find.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_core::secret::{Digest, Secret, SecretKey};
use hashbrown::HashMap;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode_str;

use crate::fingerprints::Fingerprints;

/// Headers in memory. An app can write its own in several ways; when there is no room for another, all are worked out again.
const MOST: usize = 1024;

/// The one `Authorization` header; two are none.
pub fn only(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    Some(value)
}

/// Name and secret of a Basic header.
pub fn basic(header: &HeaderValue) -> Option<String> {
    let (scheme, mut encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > 512 {
        return None;
    }
    while let [b' ', rest @ ..] = encoded {
        encoded = rest;
    }
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

/// OAuth has each half of the pair encoded like a form before they are joined (RFC 6749 §2.3.1), and some libraries encode `-` and `_`, which every
/// secret has. No key and no secret has a `%` or a `+` of its own, so nothing is lost for those who do not encode.
pub fn decoded(half: &str) -> Cow<'_, str> {
    if half.contains('%') { percent_decode_str(half).decode_utf8_lossy() } else { Cow::Borrowed(half) }
}

/// What a header says.
#[derive(Clone)]
pub struct Credentials {
    /// Whose name is in it.
    pub client_id: String,
    /// Of the secret.
    pub digest: Digest<SecretKey>,
}

/// Headers that were right.
pub struct Remembered {
    fingerprints: Fingerprints,
    known: ArcSwap<Known>,
}

type Known = HashMap<[u8; 16], Credentials>;

impl Remembered {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "it draws a key, which is no default")]
    pub fn new() -> Self {
        Self { fingerprints: Fingerprints::new(), known: ArcSwap::default() }
    }

    /// What this header says, if it was right before.
    pub fn recall(&self, header: &HeaderValue) -> Recalled {
        Recalled { known: self.known.load(), header: self.hash(header) }
    }

    /// Remembers a header whose name and secret were just found to be an app's.
    pub fn remember(&self, header: &HeaderValue, client_id: &str, secret: &str) {
        let Some(digest) = Secret::<SecretKey>::parse(secret).map(|secret| secret.digest()) else { return };
        let (hash, credentials) = (self.hash(header), Credentials { client_id: client_id.to_owned(), digest });
        self.known.rcu(|known| {
            let mut known = if known.len() < MOST { Known::clone(known) } else { Known::new() };
            known.insert(hash, credentials.clone());
            known
        });
    }

    fn hash(&self, header: &HeaderValue) -> [u8; 16] {
        self.fingerprints.of(header.as_bytes())
    }
}

/// What was looked for, where it is kept.
pub struct Recalled {
    known: Guard<Arc<Known>>,
    header: [u8; 16],
}

impl Recalled {
    /// What the header says.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.known.get(&self.header)
    }
}

#[cfg(test)]
mod tests {
    use hallpass_core::crypto::SystemRandom;

    use super::*;

    #[test]
    fn what_is_remembered_is_this_header_and_bounded() {
        let remembered = Remembered::new();
        let secret = Secret::<SecretKey>::mint(&mut SystemRandom);
        let header = |number: usize| HeaderValue::from(number);
        for number in 0..=MOST {
            assert!(remembered.recall(&header(number)).credentials().is_none());
            remembered.remember(&header(number), "pos", &secret.expose());
            let recalled = remembered.recall(&header(number));
            let credentials = recalled.credentials().expect("remembered");
            assert!(credentials.client_id == "pos" && credentials.digest == secret.digest());
        }
        assert!(remembered.recall(&header(0)).credentials().is_none(), "there was no room for all");
        remembered.remember(&header(0), "pos", "no secret");
        assert!(remembered.recall(&header(0)).credentials().is_none());
    }

    #[test]
    fn one_basic_header_is_read() {
        let read = |text: &'static str| basic(&HeaderValue::from_static(text));
        for right in ["Basic cG9zOnM=", "bASIC cG9zOnM=", "Basic   cG9zOnM="] {
            assert_eq!(read(right).as_deref(), Some("pos:s"), "{right}");
        }
        for wrong in [
            "",
            "Basic",
            "BasiccG9zOnM=",
            "Bearer cG9zOnM=",
            "Basic cG9zOnM",
            "Basic cG9zOnN=",
            "Basic \tcG9zOnM=",
            "Basic /w==",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(only(&headers), None);
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("a"));
        assert_eq!(only(&headers), Some(&HeaderValue::from_static("a")));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("a"));
        assert_eq!(only(&headers), None);
    }
}
