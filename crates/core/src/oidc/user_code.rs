//! What somebody types from the screen of a device into a browser (RFC 8628 §6.1): eight consonants, shown as `BCDF-GHJK`.
//!
//! Without vowels no words come about; without digits nothing looks like something else. 20⁸ are 34 bits: enough for ten minutes behind a throttle,
//! and for nothing else.

use std::fmt;
use std::str::FromStr;

use crate::crypto::Random;

const ALPHABET: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS: usize = 8;
/// What is typed is at most so long, dashes and spaces included.
const LONGEST: usize = 32;

/// A code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserCode([u8; LETTERS]);

/// Not eight letters of our alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not eight letters of the alphabet of user codes")]
pub struct InvalidUserCode;

impl UserCode {
    /// A new one. Each letter is as likely as any other: bytes that would favour some are thrown away.
    pub fn mint(random: &mut dyn Random) -> Self {
        const FAIR: u8 = 240;
        let mut letters = [0; LETTERS];
        for letter in &mut letters {
            let mut byte = [u8::MAX];
            while byte[0] >= FAIR {
                random.fill(&mut byte);
            }
            *letter = ALPHABET[usize::from(byte[0]) % ALPHABET.len()];
        }
        Self(letters)
    }

    /// The letters alone, for what is computed over them.
    pub const fn as_bytes(&self) -> &[u8; LETTERS] {
        &self.0
    }
}

/// As people type: with or without the dash, in small letters, with a space at the end (RFC 8628 §6.1).
impl FromStr for UserCode {
    type Err = InvalidUserCode;

    fn from_str(text: &str) -> Result<Self, InvalidUserCode> {
        if text.len() > LONGEST {
            return Err(InvalidUserCode);
        }
        let typed = text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).map(|byte| byte.to_ascii_uppercase());
        let typed: Vec<u8> = typed.collect();
        let letters: [u8; LETTERS] = typed.try_into().map_err(|_| InvalidUserCode)?;
        if letters.iter().all(|letter| ALPHABET.contains(letter)) { Ok(Self(letters)) } else { Err(InvalidUserCode) }
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in self.0.iter().enumerate() {
            if index == LETTERS / 2 {
                formatter.write_str("-")?;
            }
            write!(formatter, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

/// Without the letters: for ten minutes they are worth something.
impl fmt::Debug for UserCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UserCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::crypto::SystemRandom;

    #[test]
    fn a_code_is_read_however_it_is_typed_and_nothing_else_is_one() {
        let code: UserCode = "WDJB-MJHT".parse().expect("a code");
        assert_eq!(code.to_string(), "WDJB-MJHT");
        for typed in ["wdjbmjht", "WDJB MJHT", " w-d-j-b-m-j-h-t ", "WDJBMJHT"] {
            assert_eq!(typed.parse(), Ok(code), "{typed}");
        }
        let long = format!("WDJBMJHT{}", " ".repeat(25));
        for wrong in
            ["", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH1", "WDJB_MJHT", "WDJB\u{2013}MJHT", "<script>", &long]
        {
            assert_eq!(wrong.parse::<UserCode>(), Err(InvalidUserCode), "{wrong}");
        }
        assert_eq!(format!("{code:?}"), "UserCode(…)");
    }

    #[test]
    fn every_letter_of_the_alphabet_comes_up_at_every_place() {
        let mut seen: [BTreeSet<u8>; LETTERS] = Default::default();
        for _ in 0..2000 {
            let code = UserCode::mint(&mut SystemRandom);
            assert_eq!(code.to_string().parse(), Ok(code));
            seen.iter_mut().zip(code.as_bytes()).for_each(|(seen, letter)| _ = seen.insert(*letter));
        }
        assert!(seen.iter().all(|letters| letters.len() == ALPHABET.len()));
    }
}
