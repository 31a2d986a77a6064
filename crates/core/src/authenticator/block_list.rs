//! Passwords that are guessed first (NIST SP 800-63B §3.1.1.2, "blocklist").
//!
//! Published lists hold few passwords of 15 characters and more; those they hold are built from a short word, a repetition or a
//! row of keys. So this refuses the construction instead of the instances: at most two words of `block_list.txt` with digits and signs
//! around them, one unit repeated, a walk over the keyboard or through the alphabet, or hardly any different characters.

use std::collections::HashSet;
use std::sync::LazyLock;

use zeroize::Zeroizing;

/// Words that passwords are built from: lower case, 3 letters at least, separated by white space; `#` begins a comment line.
static WORDS: LazyLock<Vec<Vec<char>>> = LazyLock::new(|| {
    let lines = include_str!("block_list.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|word| word.chars().collect()).collect()
});

/// Neighbours on a keyboard or in an alphabet.
const ROWS: [&str; 17] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "yxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "\u{439}\u{446}\u{443}\u{43a}\u{435}\u{43d}\u{433}\u{448}\u{449}\u{437}\u{445}\u{44a}",
];

/// Whether a guesser would try `password` early. Lower case expected, at most 1,024 bytes before folding.
pub fn is_common(password: &str) -> bool {
    let characters = Zeroizing::new(password.chars().collect::<Vec<char>>());
    has_few_different(&characters)
        || is_repetition(&characters)
        || is_walk(&characters)
        || is_built_from_words(&characters)
}

fn has_few_different(characters: &[char]) -> bool {
    characters.iter().collect::<HashSet<_>>().len() < 5
}

/// The whole is one unit, at most half as long, again and again; the last one may be cut off.
fn is_repetition(characters: &[char]) -> bool {
    (1..=(characters.len() / 2).min(12)).any(|unit| characters.iter().zip(&characters[unit..]).all(|(a, b)| a == b))
}

/// Three of four steps go to a neighbour or stay. Ordinary sentences stay below one of four.
fn is_walk(characters: &[char]) -> bool {
    let adjacent = |a: char, b: char| {
        a == b
            || ROWS.iter().any(|row| row.chars().zip(row.chars().skip(1)).any(|pair| pair == (a, b) || pair == (b, a)))
    };
    let steps = characters.len().saturating_sub(1);
    let near = characters.windows(2).filter(|pair| adjacent(pair[0], pair[1])).count();
    steps > 0 && near * 4 >= steps * 3
}

/// At most two different listed words; everything else is digits and signs. Read as typed and with `0` for `o`, `@` for `a` and so on undone.
fn is_built_from_words(characters: &[char]) -> bool {
    // Longer ones are out of reach of such guesses, and the time this takes stays small.
    if characters.len() > 64 {
        return false;
    }
    let unfolded = Zeroizing::new(characters.iter().copied().map(unfold).collect::<Vec<char>>());
    let occurs = |word: &&Vec<char>| (0..characters.len()).any(|at| stands_at(word, characters, &unfolded, at));
    let found: Vec<&Vec<char>> = WORDS.iter().filter(occurs).collect();
    found.iter().any(|first| found.iter().any(|second| covered(characters, &unfolded, [first, second])))
}

/// Whether `words` and filler cover everything, with at least one word used.
fn covered(typed: &[char], unfolded: &[char], words: [&[char]; 2]) -> bool {
    // For each place: whether it can be reached by filler alone, and whether with a word. Places are visited once, so there is no
    // input that makes this slow.
    let mut reached = vec![[false; 2]; typed.len() + 1];
    reached[0][0] = true;
    for at in 0..typed.len() {
        let [by_filler, by_word] = reached[at];
        if !typed[at].is_alphabetic() {
            reached[at + 1][0] |= by_filler;
            reached[at + 1][1] |= by_word;
        }
        for word in words {
            if (by_filler || by_word) && stands_at(word, typed, unfolded, at) {
                reached[at + word.len()][1] = true;
            }
        }
    }
    reached[typed.len()][1]
}

fn stands_at(word: &[char], typed: &[char], unfolded: &[char], at: usize) -> bool {
    typed[at..].starts_with(word) || unfolded[at..].starts_with(word)
}

/// The letter that a digit or sign often stands for.
fn unfold(character: char) -> char {
    match character {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' | '\u{20ac}' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guessers_try_first_is_common() {
        for common in [
            "password1234567",
            "p@ssw0rd!2024!!!",
            "passwordpassword",
            "xkcdvxkcdvxkcdvx",
            "the password 2026",
            "adminpassword123",
            "admin@password.1",
            "welcome summer 2026",
            "iloveyouiloveyou",
            "letmeinletmein123",
            "aaaaaaaaaaaaaaa",
            "121212121212121",
            "abababababababab",
            "123456789012345",
            "987654321098765",
            "qwertyuiopasdfgh",
            "qwertzuiopasdfgh",
            "1qaz2wsx3edc4rfv",
            "1q2w3e4r5t6y7u8i",
            "abcdefghijklmnop",
            "qwerty123456789",
            "summer2026summer",
            "7357 7357 7357 !",
            "changemechangeme",
            "hallpass hallpass",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn sentences_and_random_texts_are_not() {
        for fine in [
            "correct horse battery",
            "the secret garden opens in spring",
            "my dragon eats pancakes",
            "bananas ripen slowly",
            "vier alte koffer im flur",
            "\u{434}\u{43e}\u{436}\u{434}\u{44c} \u{432} \u{447}\u{435}\u{442}\u{432}\u{435}\u{440}\u{433}",
            "\u{96e8}\u{306e}\u{65e5}\u{306f}\u{5bb6}\u{3067}\u{672c}\u{3092}\u{8aad}\u{3080}\u{306e}\u{304c}\u{597d}\u{304d}",
            "h7k2m9x4q8w3z5v",
            "8302957146620394",
            "xk9 vtr2 mlq8 wpz",
            "first defenders stuffed hijacked opqrst",
        ] {
            assert!(!is_common(fine), "{fine}");
        }
    }

    #[test]
    fn the_list_is_as_its_comment_says() {
        assert!(WORDS.len() > 250);
        let mut seen = HashSet::new();
        for word in WORDS.iter() {
            let fits = |character: &char| character.is_alphabetic() && !character.is_uppercase();
            assert!(word.len() >= 3 && word.iter().all(fits), "{word:?}");
            assert!(seen.insert(word), "twice: {word:?}");
        }
    }

    /// A check that runs on what anybody may send has to stay fast whatever that is.
    #[test]
    fn many_ways_to_read_a_password_do_not_make_it_slow() {
        for unit in ["7357", "pass", "passw0rd", "te5", "l0l1"] {
            for times in [0, 1, 2, 3, 5, 8, 12, 16, 20, 256] {
                // Digits that may be filler or words, and an end that is neither: a search that goes back would never finish.
                assert!(!is_common(&format!("{}zgk kayak jq", unit.repeat(times))), "{unit} {times}");
            }
        }
    }
}
