//! What a pass's claims are in JSON, and how they are read. Protocol §3.

use std::str;

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
        let mut rest = Rest(str::from_utf8(text).ok()?);
        let claims = Self {
            ver: rest.number("{\"ver\":")?,
            iss: rest.text(",\"iss\":\"")?,
            aud: rest.text(",\"aud\":\"")?,
            sub: rest.text(",\"sub\":\"")?.parse().ok()?,
            sid: rest.text(",\"sid\":\"")?.parse().ok()?,
            iat: rest.number(",\"iat\":")?,
            exp: rest.number(",\"exp\":")?,
            auth_time: rest.number(",\"auth_time\":")?,
        };
        (rest.0 == "}").then_some(claims)
    }
}

/// What is still to be read.
struct Rest<'c>(&'c str);

impl<'c> Rest<'c> {
    /// A text after `before`, which ends with its first quote. With a backslash it would mean something else than it says; JSON allows no control characters.
    fn text(&mut self, before: &str) -> Option<&'c str> {
        let (text, rest) = self.0.strip_prefix(before)?.split_once('"')?;
        self.0 = rest;
        text.bytes().all(|byte| byte >= b' ' && byte != b'\\').then_some(text)
    }

    /// A number after `before`: a moment of our time has ten digits. JSON allows no zero in front.
    fn number(&mut self, before: &str) -> Option<i64> {
        let rest = self.0.strip_prefix(before)?;
        let (number, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        self.0 = rest;
        (number.len() <= 10 && (number == "0" || !number.starts_with('0'))).then(|| number.parse().ok())?
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
