//! What a pass's claims are in JSON, and how they are read. Protocol §3.

use std::str::{self, FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, UserId};
use crate::jose::{self, Refused};

/// Exactly these, all of them, with these types: a date in a text or with a fraction is refused (advisory T28).
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims<'c> {
    pub(super) ver: i64,
    pub(super) iss: &'c str,
    pub(super) aud: &'c str,
    pub(super) sub: UserId,
    pub(super) sid: SessionId,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) auth_time: i64,
}

impl<'c> Claims<'c> {
    /// Of a pass whose signature has been checked.
    pub(super) fn read(text: &'c [u8]) -> Result<Self, Refused> {
        Self::as_written(text).map_or_else(|| jose::read_object(text), Ok)
    }

    /// Letter by letter as we write them, which nearly every pass has, without a look for any order, spaces and escapes. Nothing of anything else, which
    /// may be right all the same.
    fn as_written(text: &'c [u8]) -> Option<Self> {
        let mut rest = Rest(text);
        let claims = Self {
            ver: rest.after(b"{\"ver\":")?.number()?,
            iss: rest.after(b",\"iss\":\"")?.text()?,
            aud: rest.after(b",\"aud\":\"")?.text()?,
            sub: rest.after(b",\"sub\":\"")?.identifier()?,
            sid: rest.after(b",\"sid\":\"")?.identifier()?,
            iat: rest.after(b",\"iat\":")?.number()?,
            exp: rest.after(b",\"exp\":")?.number()?,
            auth_time: rest.after(b",\"auth_time\":")?.number()?,
        };
        (rest.0 == b"}").then_some(claims)
    }
}

/// What is still to be read.
struct Rest<'c>(&'c [u8]);

impl<'c> Rest<'c> {
    /// Behind these bytes, whose number the compiler knows: comparing them is an instruction or two, and no call.
    fn after<const LENGTH: usize>(&mut self, before: &[u8; LENGTH]) -> Option<&mut Self> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        (head == before).then_some(self)
    }

    /// A text, which ends with its first quote. With a backslash it would mean something else than it says; JSON allows no control characters.
    fn text(&mut self) -> Option<&'c str> {
        let length = self.0.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest.strip_prefix(b"\"")?;
        str::from_utf8(text).ok()
    }

    /// An identifier with a prefix of two characters, which has no quote in it: nothing is looked for.
    fn identifier<I: FromStr>(&mut self) -> Option<I> {
        let (text, rest) = self.0.split_first_chunk::<28>()?;
        self.0 = rest.strip_prefix(b"\"")?;
        str::from_utf8(text).ok()?.parse().ok()
    }

    /// A number: a moment of our time has ten digits. JSON allows no zero in front.
    fn number(&mut self) -> Option<i64> {
        let (mut number, mut length) = (0, 0);
        while let Some(digit) = self.0.get(length).filter(|byte| byte.is_ascii_digit()) {
            if length == 10 {
                return None;
            }
            number = 10 * number + i64::from(digit - b'0');
            length += 1;
        }
        let zero_in_front = self.0.first() == Some(&b'0') && length > 1;
        self.0 = &self.0[length..];
        (length > 0 && !zero_in_front).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::tests::Seeded;

    fn claims(issuer: &str, number: i64) -> Claims<'_> {
        let (sub, sid) = (UserId::mint(&mut Seeded(1)), SessionId::mint(&mut Seeded(2)));
        Claims { ver: 1, iss: issuer, aud: "home", sub, sid, iat: number, exp: number, auth_time: number }
    }

    #[test]
    fn what_we_write_is_read_as_written() {
        for number in [0, 7, 1_800_000_000, 9_999_999_999] {
            let claims = claims("https://auth.company.com:8443", number);
            let text = serde_json::to_vec(&claims).expect("JSON");
            assert_eq!(Claims::as_written(&text).as_ref(), Some(&claims));
        }
        for number in [-1, 10_000_000_000, i64::MAX] {
            let claims = claims("https://auth.company.com", number);
            let text = serde_json::to_vec(&claims).expect("JSON");
            assert_eq!(Claims::as_written(&text), None);
            assert_eq!(Claims::read(&text).as_ref(), Ok(&claims));
        }
    }

    #[test]
    fn what_json_would_read_otherwise_or_not_at_all_is_left_to_it() {
        let written = serde_json::to_string(&claims("https://auth.company.com", 1_800_000_000)).expect("JSON");
        for (ours, theirs) in [
            (":1,", ":01,"),
            (":1,", ":1.0,"),
            (":1,", ":1e0,"),
            (":1,", ":-0,"),
            (":1,", ":,"),
            (":1,", ": 1,"),
            ("home", "ho\\u006de"),
            ("home", "ho\\me"),
            ("home", "ho\tme"),
            (":1800000000,", ":01800000000,"),
            ("\"aud\":\"home\",", ""),
            ("}", ",\"nbf\":0}"),
            ("}", "} "),
            ("}", ""),
        ] {
            let text = written.replacen(ours, theirs, 1);
            assert_ne!(text, written);
            assert_eq!(Claims::as_written(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        /// There is one grammar, JSON's, and one meaning: the short way knows less of it, and nothing more.
        #[test]
        fn what_the_short_way_reads_json_reads_alike(
            issuer in "\\PC{0,12}",
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, "[\\x00-\\x7f]|[0-9]|[\"\\\\}{,:.eE+ -]"), 0..3),
        ) {
            let mut text = serde_json::to_string(&claims(&issuer, 1_800_000_000)).expect("JSON").into_bytes();
            for (place, change, by) in changes {
                let (place, by) = (place.index(text.len()), by.as_bytes()[0]);
                match change {
                    0 => text[place] = by,
                    1 => text.insert(place, by),
                    _ => drop(text.remove(place)),
                }
            }
            if let Some(read) = Claims::as_written(&text) {
                prop_assert_eq!(jose::read_object::<Claims<'_>>(&text), Ok(read));
            }
        }
    }
}
