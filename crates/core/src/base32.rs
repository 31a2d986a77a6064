//! Sixteen bytes in base32, lower case, without padding: 26 characters. RFC 4648 §6.
//!
//! By hand: every answer of introspection writes two identifiers and every new pass has two to be read, and a library for any alphabet and length takes twice
//! as long (19 ns instead of 9 in a loop of its own).

/// Characters of sixteen bytes.
pub(crate) const LENGTH: usize = 26;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What a character stands for; [`NONE`] is nothing.
const VALUES: [u8; 256] = values();
const NONE: u8 = 0xff;

/// The text of `bytes`, ASCII.
pub(crate) fn encode(bytes: &[u8; 16]) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    // Five bytes are eight characters; of the last byte there are two.
    for (characters, bytes) in text.chunks_mut(8).zip(bytes.chunks(5)) {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_be_bytes(eight);
        for (index, character) in characters.iter_mut().enumerate() {
            let [.., five] = ((bits >> (59 - 5 * index)) & 31).to_be_bytes();
            *character = ALPHABET[usize::from(five)];
        }
    }
    text
}

/// The bytes of `text`, if they have exactly this one.
pub(crate) fn decode(text: &[u8; LENGTH]) -> Option<[u8; 16]> {
    let (mut bytes, mut all) = ([0; 16], 0);
    for (bytes, characters) in bytes.chunks_mut(5).zip(text.chunks(8)) {
        let mut bits = 0;
        for (index, character) in characters.iter().enumerate() {
            let value = VALUES[usize::from(*character)];
            all |= value;
            bits |= u64::from(value & 31) << (59 - 5 * index);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[..bytes.len()]);
    }
    // The last character says three bits: with another one behind them it would be a second text of the same bytes.
    let canonical = VALUES[usize::from(text[LENGTH - 1])].is_multiple_of(4);
    (all < 32 && canonical).then_some(bytes)
}

const fn values() -> [u8; 256] {
    let (mut values, mut value) = ([NONE; 256], 0);
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The library's, whose alphabet is in capitals.
    fn standard(text: &[u8]) -> Option<Vec<u8>> {
        let capitals = text.to_ascii_uppercase();
        data_encoding::BASE32_NOPAD
            .decode(&capitals)
            .ok()
            .filter(|_| text.iter().all(|byte| !byte.is_ascii_uppercase()))
    }

    proptest! {
        #[test]
        fn it_is_the_standards(bytes: [u8; 16], place in 0..LENGTH, character in "[a-z2-7]|\\PC|[\\x00-\\x7f]") {
            let mut text = encode(&bytes);
            prop_assert_eq!(standard(&text), Some(bytes.to_vec()));
            prop_assert_eq!(decode(&text), Some(bytes));
            text[place] = character.as_bytes()[0];
            prop_assert_eq!(decode(&text).map(Vec::from), standard(&text));
        }
    }
}
