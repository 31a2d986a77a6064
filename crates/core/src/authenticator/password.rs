//! Passwords: what may become one, how it is stored, whether a typed one is right. NIST SP 800-63B §3.1.1, RFC 9106 (Argon2id).
//!
//! Hashing and verifying take tens of milliseconds of one core and much memory, on purpose: callers run them on a bounded pool.
//!
//! **Preparation.** A password is prepared as an `OpaqueString` (RFC 8265 §4.2): every Unicode space becomes U+0020, then NFC. The same
//! word typed on two keyboards is then the same password. Not NFKC: it would fold characters that the person chose to tell apart.
//! Lengths are counted in code points after that preparation.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::imported::{Argon2Form, Form, InvalidHash};
use super::{Workspace, block_list};
use crate::crypto::Random;
use crate::user::Username;

/// The longest password that is looked at, in bytes of UTF-8. Hashing starts by reading all of it (advisory T81).
pub const MAX_BYTES: usize = 1024;

/// A password in the clear, as somebody typed it. Not `Clone`, not `Serialize`, redacted in `Debug`, wiped when dropped.
pub struct Password(Zeroizing<String>);

/// Why a text cannot be anybody's password. At sign-in this is answered like a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPassword {
    /// Nothing typed. An imported hash of the empty text must not let anybody in.
    #[error("Type a password.")]
    Empty,
    /// More than [`MAX_BYTES`] bytes.
    #[error("The password is too long: 1,024 bytes at most.")]
    TooLong,
}

impl Password {
    /// Takes what was typed.
    pub fn presented(typed: String) -> Result<Self, NotAPassword> {
        let typed = Zeroizing::new(typed);
        if typed.is_empty() {
            Err(NotAPassword::Empty)
        } else if typed.len() > MAX_BYTES {
            Err(NotAPassword::TooLong)
        } else {
            Ok(Self(typed))
        }
    }

    /// Prepared as an `OpaqueString`: what is counted, compared and hashed.
    fn prepared(&self) -> Zeroizing<String> {
        // NFC makes UTF-8 at most three times as long (UAX #15): with that capacity no half-written copy is left behind.
        let mut prepared = Zeroizing::new(String::with_capacity(self.0.len() * 3));
        let spaced = self.0.chars().map(|character| if is_other_space(character) { ' ' } else { character });
        prepared.extend(spaced.nfc());
        prepared
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(redacted)")
    }
}

/// What a new password must fulfil. There are no rules about kinds of characters, and passwords do not expire (NIST SP 800-63B §3.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Code points, where the password is the only factor.
    pub minimum: usize,
    /// Code points, for people who also have a second factor.
    pub minimum_with_second_factor: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { minimum: 15, minimum_with_second_factor: 8 }
    }
}

/// Why a password may not be chosen. Its text is for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// Fewer code points than the policy asks for.
    #[error("Use at least {minimum} characters. A few words in a row are easy to remember.")]
    TooShort {
        /// What the policy asks for.
        minimum: usize,
    },
    /// It holds a control character, which most forms cannot type again.
    #[error("The password contains a character that cannot be typed.")]
    ControlCharacter,
    /// It is or contains the user name.
    #[error("The password must not contain your user name.")]
    ContainsUsername,
    /// It is among the first things a guesser tries.
    #[error(
        "This password is easy to guess: it is a common password, a repetition or a row of keys. Choose another one."
    )]
    Common,
}

impl PasswordPolicy {
    /// Whether `password` may become the password of `username`.
    pub fn check(
        &self,
        password: &Password,
        username: &Username,
        has_second_factor: bool,
    ) -> Result<(), PasswordRefused> {
        let prepared = password.prepared();
        let minimum = if has_second_factor { self.minimum_with_second_factor } else { self.minimum };
        if prepared.chars().count() < minimum {
            return Err(PasswordRefused::TooShort { minimum });
        }
        if prepared.chars().any(char::is_control) {
            return Err(PasswordRefused::ControlCharacter);
        }
        // Folded as user names are: `ＡＮＡ` is `ana`.
        let folded = Zeroizing::new(Zeroizing::new(prepared.nfkc().collect::<String>()).to_lowercase());
        let comparable: Zeroizing<String> = Zeroizing::new(folded.nfkc().collect());
        if contains_name(&comparable, username.canonical()) {
            return Err(PasswordRefused::ContainsUsername);
        }
        if block_list::is_common(&comparable) {
            return Err(PasswordRefused::Common);
        }
        Ok(())
    }
}

/// Names of up to three characters occur in ordinary words, so those count only when they are the whole password.
fn contains_name(password: &str, name: &str) -> bool {
    let local_part = name.split('@').next().unwrap_or(name);
    [name, local_part]
        .into_iter()
        .filter(|part| !part.is_empty())
        .any(|part| password == part || (part.chars().count() > 3 && password.contains(part)))
}

/// What new hashes cost. Stored with each hash, so that raising it later makes old ones be hashed again at the next sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A cost below what protocol §17 allows, or above what a stored hash may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "password hashing needs 19456 KiB and 2 passes at least; memory times passes may be 1048576 KiB, memory 262144 KiB, passes 16, lanes 16 at most"
)]
pub struct InvalidCost;

impl Argon2Cost {
    /// Memory in KiB, passes over it, lanes. Not below 19 MiB, 2, 1.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, InvalidCost> {
        let floor = Self::default();
        let enough = memory_kib >= floor.memory_kib && passes >= floor.passes && lanes >= floor.lanes;
        // A cost above the limits would make hashes that this very program refuses to read back.
        if enough && Argon2Form::affordable(memory_kib, passes, lanes) {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(InvalidCost)
        }
    }

    /// Memory in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

/// A stored password: ours (Argon2id as a PHC string) or one imported from elsewhere (see [`super::imported`]).
///
/// Its parameters were checked against limits, so verifying against it cannot exhaust the machine. `Debug` hides it.
#[derive(Clone)]
pub struct PasswordHash {
    text: Box<str>,
    form: Form,
}

impl PasswordHash {
    /// What is stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which algorithm: `argon2id`, `bcrypt`, … for counting what is left to be hashed again.
    pub fn algorithm(&self) -> &'static str {
        self.form.name()
    }

    /// A hash that nothing matches, to verify against when there is no such user: same work, same answer (advisory T77).
    pub fn dummy(cost: Argon2Cost) -> Self {
        // No password is known, or can be found, that gives 32 zero bytes.
        Self::from(Argon2Form::argon2id(cost.memory_kib, cost.passes, cost.lanes, vec![0; 16], vec![0; 32]))
    }
}

impl From<Argon2Form> for PasswordHash {
    fn from(form: Argon2Form) -> Self {
        Self { text: form.to_string().into(), form: Form::Argon2(form) }
    }
}

impl FromStr for PasswordHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        Ok(Self { text: text.into(), form: Form::parse(text)? })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PasswordHash({}, redacted)", self.algorithm())
    }
}

/// There was not enough memory to hash. A fault of ours: 503, never "wrong password".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not enough memory to hash a password")]
pub struct HashingFailed;

/// What to store for `password`.
pub fn hash(
    password: &Password,
    cost: Argon2Cost,
    workspace: &mut Workspace,
    random: &mut dyn Random,
) -> Result<PasswordHash, HashingFailed> {
    let mut salt = vec![0; 16];
    random.fill(&mut salt);
    let mut form = Argon2Form::argon2id(cost.memory_kib, cost.passes, cost.lanes, salt, vec![0; 32]);
    form.hash = form.derive(password.prepared().as_bytes(), workspace)?;
    Ok(PasswordHash::from(form))
}

/// Whether a presented password is the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is.
    Right,
    /// It is, and should be hashed again: the stored form is imported or cheaper than what new hashes cost.
    RightButRehash,
    /// It is not.
    Wrong,
}

/// Compares `password` with a stored hash. `cost` is what new hashes cost.
pub fn verify(
    password: &Password,
    stored: &PasswordHash,
    cost: Argon2Cost,
    workspace: &mut Workspace,
) -> Result<Verdict, HashingFailed> {
    let prepared = password.prepared();
    if stored.form.matches(prepared.as_bytes(), workspace)? {
        return Ok(if is_current(&stored.form, cost) { Verdict::Right } else { Verdict::RightButRehash });
    }
    // Where a hash was imported, the other system hashed what was typed, as it was typed. Tried for every hash, ours and the
    // dummy too: whether there is a second attempt depends on the password that was sent, never on the user.
    if *prepared != *password.0 && stored.form.matches(password.0.as_bytes(), workspace)? {
        return Ok(Verdict::RightButRehash);
    }
    Ok(Verdict::Wrong)
}

fn is_current(form: &Form, cost: Argon2Cost) -> bool {
    matches!(form, Form::Argon2(form) if form.is_at_least(cost.memory_kib, cost.passes))
}

/// White space other than U+0020 (general category Zs), which RFC 8265 §4.2.2 maps to it.
fn is_other_space(character: char) -> bool {
    matches!(character, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::crypto::tests::Seeded;

    /// Cheaper than any installation may configure.
    pub(crate) const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };

    pub(crate) fn verify(
        password: &Password,
        stored: &PasswordHash,
        cost: Argon2Cost,
    ) -> Result<Verdict, HashingFailed> {
        super::verify(password, stored, cost, &mut Workspace::default())
    }

    fn hash(password: &Password, cost: Argon2Cost, random: &mut Seeded) -> Result<PasswordHash, HashingFailed> {
        super::hash(password, cost, &mut Workspace::default(), random)
    }

    pub(crate) fn password(text: &str) -> Password {
        Password::presented(text.to_owned()).expect("short enough")
    }

    fn refused(text: &str) -> Option<PasswordRefused> {
        let name = "ana.maria@company.com".parse().expect("valid");
        PasswordPolicy::default().check(&password(text), &name, false).err()
    }

    #[test]
    fn only_the_password_itself_is_right() {
        let stored = hash(&password("an ordinary evening"), CHEAP, &mut Seeded(0)).expect("hashes");
        assert_eq!(verify(&password("an ordinary evening"), &stored, CHEAP), Ok(Verdict::Right));
        for wrong in ["an ordinary evening ", "An ordinary evening", "an ordinary evenin", "an ordinary evening\0"] {
            assert_eq!(verify(&password(wrong), &stored, CHEAP), Ok(Verdict::Wrong), "{wrong:?}");
        }
        let read: PasswordHash = stored.as_str().parse().expect("reads its own text");
        assert_eq!(verify(&password("an ordinary evening"), &read, CHEAP), Ok(Verdict::Right));
        assert_eq!(read.as_str(), stored.as_str());
    }

    /// What an earlier hash left behind, of whatever size, makes no difference.
    #[test]
    fn a_workspace_can_be_used_again() {
        let mut used = Workspace::default();
        for memory_kib in [64, 256, 64, 64, 128] {
            let cost = Argon2Cost { memory_kib, ..CHEAP };
            let [fresh, again] = [&mut Workspace::default(), &mut used]
                .map(|workspace| super::hash(&password("an ordinary evening"), cost, workspace, &mut Seeded(1)))
                .map(|hash| hash.expect("hashes").as_str().to_owned());
            assert_eq!(fresh, again);
        }
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let mut random = Seeded(0);
        let [first, second] = [(); 2].map(|()| hash(&password("x"), CHEAP, &mut random).expect("hashes"));
        assert_ne!(first.as_str(), second.as_str());
    }

    #[test]
    fn a_raised_cost_asks_for_a_new_hash_and_a_lowered_one_does_not() {
        let dear = Argon2Cost { memory_kib: 128, passes: 2, lanes: 1 };
        let stored = hash(&password("x"), dear, &mut Seeded(0)).expect("hashes");
        assert_eq!(verify(&password("x"), &stored, CHEAP), Ok(Verdict::Right));
        for higher in [Argon2Cost { memory_kib: 129, ..dear }, Argon2Cost { passes: 3, ..dear }] {
            assert_eq!(verify(&password("x"), &stored, higher), Ok(Verdict::RightButRehash));
        }
    }

    #[test]
    fn the_default_cost_is_what_the_protocol_asks_for_and_the_floor() {
        let stored = hash(&password("x"), Argon2Cost::default(), &mut Seeded(0)).expect("hashes");
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.as_str());
        assert_eq!(Argon2Cost::new(19_456, 2, 1), Ok(Argon2Cost::default()));
        assert!(Argon2Cost::new(262_144, 4, 16).is_ok());
        for (memory, passes, lanes) in [
            (19_455, 2, 1),
            (19_456, 1, 1),
            (19_456, 2, 0),
            (262_145, 2, 1),
            (262_144, 5, 1),
            (19_456, 17, 1),
            (19_456, 2, 17),
        ] {
            assert_eq!(Argon2Cost::new(memory, passes, lanes), Err(InvalidCost), "{memory} {passes} {lanes}");
        }
    }

    /// T77: an unknown user costs the same and is never let in.
    #[test]
    fn nothing_matches_the_dummy_and_it_costs_what_a_real_hash_costs() {
        let dummy = PasswordHash::dummy(CHEAP);
        for guess in ["\0", "password", "hp_ss_"] {
            assert_eq!(verify(&password(guess), &dummy, CHEAP), Ok(Verdict::Wrong));
        }
        let real = hash(&password("x"), CHEAP, &mut Seeded(0)).expect("hashes");
        let parameters = |hash: &PasswordHash| hash.as_str().split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(&dummy), parameters(&real));
        assert_eq!(dummy.as_str().len(), real.as_str().len());
    }

    #[test]
    fn one_word_from_two_keyboards_is_one_password() {
        let stored = hash(&password("gr\u{fc}\u{df}e aus k\u{f6}ln"), CHEAP, &mut Seeded(0)).expect("hashes");
        for same in ["gru\u{308}\u{df}e aus ko\u{308}ln", "gr\u{fc}\u{df}e\u{a0}aus\u{3000}k\u{f6}ln"] {
            assert_eq!(verify(&password(same), &stored, CHEAP), Ok(Verdict::Right), "{same}");
        }
        // NFKC would make these two the same.
        assert_eq!(verify(&password("gr\u{fc}sse aus k\u{f6}ln"), &stored, CHEAP), Ok(Verdict::Wrong));
        assert_eq!(verify(&password("\u{ff47}r\u{fc}\u{df}e aus k\u{f6}ln"), &stored, CHEAP), Ok(Verdict::Wrong));
    }

    /// T81: nothing beyond 1,024 bytes is hashed.
    #[test]
    fn the_empty_and_the_endless_are_not_passwords() {
        assert_eq!(Password::presented(String::new()).err(), Some(NotAPassword::Empty));
        assert!(Password::presented("a".repeat(1024)).is_ok());
        assert_eq!(Password::presented("a".repeat(1025)).err(), Some(NotAPassword::TooLong));
        assert_eq!(Password::presented("\u{e9}".repeat(513)).err(), Some(NotAPassword::TooLong));
    }

    /// The assumption behind the capacity in `prepared`: a wiped buffer must be the only one.
    #[test]
    fn preparing_never_reallocates() {
        for worst in ["\u{1d160}".repeat(256), "\u{fb2c}".repeat(300), "\u{390}".repeat(500), "\u{1f82}".repeat(341)] {
            let password = password(&worst);
            let prepared = password.prepared();
            assert!(prepared.len() <= worst.len() * 3, "{} from {}", prepared.len(), worst.len());
            assert!(unicode_normalization::is_nfc(&prepared));
        }
    }

    #[test]
    fn length_counts_code_points_after_preparation() {
        assert_eq!(refused("vierzehn zeich"), Some(PasswordRefused::TooShort { minimum: 15 }));
        assert_eq!(refused("vierzehn zeiche"), None);
        // Fifteen code points as typed, fourteen letters.
        assert_eq!(refused("vierzehn zeio\u{308}h"), Some(PasswordRefused::TooShort { minimum: 15 }));
        assert_eq!(refused("дождь в четверг"), None);
        let policy = PasswordPolicy::default();
        let name = "ana.maria@company.com".parse().expect("valid");
        assert_eq!(policy.check(&password("vierzehn"), &name, true), Ok(()));
        let short = Err(PasswordRefused::TooShort { minimum: 8 });
        assert_eq!(policy.check(&password("vierzeh"), &name, true), short);
    }

    #[test]
    fn the_user_name_is_no_password_in_any_width_or_case() {
        for bad in [
            "ana.maria@company.com",
            "my ANA.Maria@company.com!",
            "\u{ff41}na.maria is my name",
            "xxANA.MARIAxx2026 ok",
        ] {
            assert_eq!(refused(bad), Some(PasswordRefused::ContainsUsername), "{bad}");
        }
        let policy = PasswordPolicy { minimum: 3, minimum_with_second_factor: 3 };
        let short: Username = "ana".parse().expect("valid");
        assert_eq!(policy.check(&password("ana"), &short, false), Err(PasswordRefused::ContainsUsername));
        assert_eq!(policy.check(&password("bananas ripen slowly"), &short, false), Ok(()));
    }

    #[test]
    fn common_and_untypable_passwords_are_refused() {
        assert_eq!(refused("Password1234567!"), Some(PasswordRefused::Common));
        assert_eq!(refused("a quiet\u{7} afternoon"), Some(PasswordRefused::ControlCharacter));
        assert_eq!(refused("all lower case is fine"), None);
    }

    #[test]
    fn debug_shows_neither_password_nor_hash() {
        let stored = hash(&password("quiet afternoon"), CHEAP, &mut Seeded(0)).expect("hashes");
        assert_eq!(
            format!("{:?} {stored:?}", password("quiet")),
            "Password(redacted) PasswordHash(argon2id, redacted)"
        );
    }
}
