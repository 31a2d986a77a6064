//! Stored password hashes: reads the forms that other systems write, limits what they may cost, and verifies against them.
//!
//! Argon2 (RFC 9106), scrypt (RFC 7914), PBKDF2 (RFC 8018), bcrypt (Provos and Mazières, 1999). Accepted texts:
//!
//! | Algorithm | Text | Written by |
//! |---|---|---|
//! | Argon2 | `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, also `argon2i`, `argon2d`, also after Django's `argon2` | nearly everybody |
//! | bcrypt | `$2a$`, `$2b$`, `$2y$`, 60 characters, also after Django's `bcrypt$` | nearly everybody |
//! | scrypt | `$scrypt$ln=…,r=…,p=…$salt$hash` (`ln` as log2 of N, or N itself) | passlib, PHC, Ory Kratos |
//! | scrypt | `scrypt:N:r:p$salt$hex` | Werkzeug (Flask) |
//! | PBKDF2 | `$pbkdf2-sha256$i=…[,l=…]$salt$hash`, `$pbkdf2-sha256$rounds$salt$hash`, also `sha512` | PHC, Kratos, passlib |
//! | PBKDF2 | `pbkdf2_sha256$rounds$salt$hash`, also `sha512` | Django |
//! | PBKDF2 | `pbkdf2:sha256:rounds$salt$hex`, also `sha512` | Werkzeug (Flask) |

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::alphabet::{self, Alphabet};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD_NO_PAD};
use data_encoding::HEXLOWER_PERMISSIVE;

use super::Workspace;
use super::password::HashingFailed;
use crate::crypto;

/// Why a text is no password hash we can verify against. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    /// Nothing we know begins like that.
    #[error(
        "not a known form; known are Argon2 ($argon2id$…, $argon2i$…, $argon2d$…), bcrypt ($2a$…, $2b$…, $2y$…), scrypt ($scrypt$ln=…, \
         scrypt:N:r:p$…) and PBKDF2 ($pbkdf2-sha256$…, $pbkdf2-sha512$…, pbkdf2_sha256$…, pbkdf2:sha256:…)"
    )]
    UnknownForm,
    /// It begins like one, but a part is missing, doubled or not readable.
    #[error("looks like {0}, but is cut off or damaged")]
    Malformed(&'static str),
    /// Verifying against it would take too much memory or time.
    #[error("{0} with a higher cost than is accepted ({1})")]
    TooCostly(&'static str, &'static str),
    /// So short that a wrong password may match, or that equal passwords show.
    #[error("{0} with a salt of fewer than 8 bytes or a hash of fewer than 16")]
    TooShort(&'static str),
}

/// A stored hash, taken apart. Everything in it is within the limits.
#[derive(Clone)]
pub(super) enum Form {
    Argon2(Argon2Form),
    Bcrypt { cost: u32, salt: [u8; 16], hash: [u8; 23] },
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8>, hash: Vec<u8> },
    Pbkdf2 { sha512: bool, rounds: u32, salt: Vec<u8>, hash: Vec<u8> },
}

/// An Argon2 hash; its `Display` is the PHC string.
#[derive(Clone)]
pub(super) struct Argon2Form {
    algorithm: Algorithm,
    version: Version,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

const ARGON2_LIMIT: &str = "m 262144, t 16, p 16, m times t 1048576";
const SCRYPT_LIMIT: &str = "256 MiB; 512 MiB times p";
const PBKDF2_LIMIT: &str = "5000000 rounds";
const BCRYPT_LIMIT: &str = "cost 15";

impl Form {
    /// Reads a stored text.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidHash> {
        // No form is longer; nothing below looks at more.
        if text.len() > 512 || !text.is_ascii() {
            return Err(InvalidHash::UnknownForm);
        }
        // Django names the algorithm and then writes its usual text.
        let plain = text.strip_prefix("argon2$argon2").map(|_| &text["argon2".len()..]);
        let text = plain.or_else(|| text.strip_prefix("bcrypt$")).unwrap_or(text);
        let fields: Vec<&str> = text.split('$').collect();
        let form = match fields[..] {
            ["", "argon2id" | "argon2i" | "argon2d", ..] => Self::Argon2(argon2(&fields)?),
            ["", "2a" | "2b" | "2y", cost, rest] => bcrypt(cost, rest).ok_or(InvalidHash::Malformed("bcrypt"))?,
            ["", "scrypt", parameters, salt, hash] => {
                let salt = base64(salt);
                let [n, r, p] = named(parameters, ["ln", "r", "p"]).ok_or(InvalidHash::Malformed("scrypt"))?;
                // Kratos writes N where others write its logarithm. No logarithm reaches 32 within the limits and no N is below it.
                let log_n = if n < 32 { Some(n) } else { logarithm(n) };
                scrypt(log_n, r, p, salt, base64(hash)).ok_or(InvalidHash::Malformed("scrypt"))?
            }
            ["", digest @ ("pbkdf2-sha256" | "pbkdf2-sha512"), parameters, salt, hash] => {
                let rounds =
                    parameters.strip_prefix("i=").map_or(parameters, |rest| rest.split(',').next().unwrap_or(""));
                let length = parameters.split_once(",l=").map(|(_, length)| length);
                let hash = base64(hash);
                if length.is_some_and(|length| {
                    hash.as_ref().is_none_or(|hash| number(length) != u32::try_from(hash.len()).ok())
                }) {
                    return Err(InvalidHash::Malformed("PBKDF2"));
                }
                pbkdf2(digest.ends_with("512"), rounds, base64(salt), hash)?
            }
            [digest @ ("pbkdf2_sha256" | "pbkdf2_sha512"), rounds, salt, hash] => {
                pbkdf2(digest.ends_with("512"), rounds, Some(salt.into()), base64(hash))?
            }
            [method, salt, hash] if method.starts_with("pbkdf2:") => match method.split(':').collect::<Vec<_>>()[..] {
                [_, digest @ ("sha256" | "sha512"), rounds] => {
                    pbkdf2(digest == "sha512", rounds, Some(salt.into()), hexadecimal(hash))?
                }
                _ => return Err(InvalidHash::UnknownForm),
            },
            [method, salt, hash] if method.starts_with("scrypt:") => match method.split(':').collect::<Vec<_>>()[..] {
                [_, n, r, p] => number(n)
                    .zip(number(r))
                    .zip(number(p))
                    .and_then(|((n, r), p)| scrypt(logarithm(n), r, p, Some(salt.into()), hexadecimal(hash)))
                    .ok_or(InvalidHash::Malformed("scrypt"))?,
                _ => return Err(InvalidHash::Malformed("scrypt")),
            },
            _ => return Err(unknown_or_damaged(text)),
        };
        form.check_limits()?;
        Ok(form)
    }

    /// Whether `password` has this hash; compared in constant time.
    pub(super) fn matches(&self, password: &[u8], workspace: &mut Workspace) -> Result<bool, HashingFailed> {
        Ok(match self {
            Self::Argon2(form) => crypto::equal(&form.derive(password, workspace)?, &form.hash),
            Self::Bcrypt { cost, salt, hash } => {
                // bcrypt reads a C string: at most 72 bytes, with its NUL if there is room. What else stands after a NUL would
                // be ignored by the systems these hashes come from, so a password with a NUL in it is never right.
                let mut key = zeroize::Zeroizing::new([0u8; 72]);
                let length = password.len().min(72);
                key[..length].copy_from_slice(&password[..length]);
                let derived = bcrypt::bcrypt(*cost, *salt, &key[..(length + 1).min(72)]);
                crypto::equal(&derived[..23], hash) && !password.contains(&0)
            }
            Self::Scrypt { log_n, r, p, salt, hash } => {
                let parameters = scrypt::Params::new(*log_n, *r, *p).expect("checked when the hash was read");
                let mut derived = vec![0; hash.len()];
                scrypt::scrypt(password, salt, &parameters, &mut derived).expect("16 to 64 bytes is a legal length");
                crypto::equal(&derived, hash)
            }
            Self::Pbkdf2 { sha512, rounds, salt, hash } => {
                let mut derived = vec![0; hash.len()];
                if *sha512 {
                    pbkdf2::pbkdf2_hmac::<sha2::Sha512>(password, salt, *rounds, &mut derived);
                } else {
                    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password, salt, *rounds, &mut derived);
                }
                crypto::equal(&derived, hash)
            }
        })
    }

    /// `argon2id`, `bcrypt`, …
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Argon2(form) => form.algorithm.as_str(),
            Self::Bcrypt { .. } => "bcrypt",
            Self::Scrypt { .. } => "scrypt",
            Self::Pbkdf2 { .. } => "pbkdf2",
        }
    }

    /// An imported file must not be able to make one sign-in take the machine's memory or a core for many seconds.
    fn check_limits(&self) -> Result<(), InvalidHash> {
        let (name, limit, affordable, salt, hash) = match self {
            Self::Argon2(form) => {
                let affordable = Argon2Form::affordable(form.memory_kib, form.passes, form.lanes);
                ("Argon2", ARGON2_LIMIT, affordable, form.salt.len(), form.hash.len())
            }
            Self::Bcrypt { cost, .. } => ("bcrypt", BCRYPT_LIMIT, *cost <= 15, 16, 23),
            Self::Scrypt { log_n, r, p, salt, hash } => {
                // 128·N·r bytes of memory, filled p times (RFC 7914 §2). In KiB.
                let memory =
                    1u64.checked_shl(u32::from(*log_n)).and_then(|n| n.checked_mul(u64::from(*r))).map(|n| n / 8);
                let fits = |memory: u64| memory <= 256 << 10 && memory.saturating_mul(u64::from(*p)) <= 512 << 10;
                (
                    "scrypt",
                    SCRYPT_LIMIT,
                    *log_n < 32 && *r <= 64 && *p <= 64 && memory.is_some_and(fits),
                    salt.len(),
                    hash.len(),
                )
            }
            Self::Pbkdf2 { sha512, rounds, salt, hash } => {
                let blocks = hash.len().div_ceil(if *sha512 { 64 } else { 32 }) as u64;
                ("PBKDF2", PBKDF2_LIMIT, u64::from(*rounds) * blocks <= 5_000_000, salt.len(), hash.len())
            }
        };
        if salt < 8 || hash < 16 {
            Err(InvalidHash::TooShort(name))
        } else if salt > 128 || hash > 128 {
            Err(InvalidHash::Malformed(name))
        } else if affordable {
            Ok(())
        } else {
            Err(InvalidHash::TooCostly(name, limit))
        }
    }
}

impl Argon2Form {
    /// What we write: Argon2id, version 19 (0x13). `hash` also says how long the hash is to be.
    pub(super) fn argon2id(memory_kib: u32, passes: u32, lanes: u32, salt: Vec<u8>, hash: Vec<u8>) -> Self {
        Self { algorithm: Algorithm::Argon2id, version: Version::V0x13, memory_kib, passes, lanes, salt, hash }
    }

    /// Whether these parameters are within the limits for stored hashes.
    pub(super) fn affordable(memory_kib: u32, passes: u32, lanes: u32) -> bool {
        let work = u64::from(memory_kib) * u64::from(passes);
        memory_kib <= 256 << 10 && passes <= 16 && (1..=16).contains(&lanes) && work <= 1 << 20
    }

    /// The hash of `password` with these parameters and this salt.
    pub(super) fn derive(&self, password: &[u8], workspace: &mut Workspace) -> Result<Vec<u8>, HashingFailed> {
        let mut derived = vec![0; self.hash.len()];
        let parameters = Params::new(self.memory_kib, self.passes, self.lanes, Some(derived.len()));
        let parameters = parameters.map_err(|_| HashingFailed)?;
        let blocks = workspace.blocks(parameters.block_count())?;
        let argon2 = Argon2::new(self.algorithm, self.version, parameters);
        argon2.hash_password_into_with_memory(password, &self.salt, &mut derived, blocks).map_err(|_| HashingFailed)?;
        Ok(derived)
    }

    /// Whether it is what we would write, at this cost or a higher one.
    pub(super) fn is_at_least(&self, memory_kib: u32, passes: u32) -> bool {
        matches!((self.algorithm, self.version), (Algorithm::Argon2id, Version::V0x13))
            && self.memory_kib >= memory_kib
            && self.passes >= passes
            && self.salt.len() >= 16
            && self.hash.len() >= 32
    }
}

impl fmt::Display for Argon2Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            Version::V0x10 => 16,
            Version::V0x13 => 19,
        };
        let Self { algorithm, memory_kib, passes, lanes, salt, hash, .. } = self;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        write!(formatter, "${algorithm}$v={version}$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

fn argon2(fields: &[&str]) -> Result<Argon2Form, InvalidHash> {
    let damaged = InvalidHash::Malformed("Argon2");
    let algorithm = Algorithm::new(fields[1]).map_err(|_| damaged)?;
    let (version, [parameters, salt, hash]) = match fields[2..] {
        ["v=19", parameters, salt, hash] => (Version::V0x13, [parameters, salt, hash]),
        // The first encoding had no version field; it was version 16 (0x10).
        ["v=16", parameters, salt, hash] | [parameters, salt, hash] => (Version::V0x10, [parameters, salt, hash]),
        _ => return Err(damaged),
    };
    let [memory_kib, passes, lanes] = named(parameters, ["m", "t", "p"]).ok_or(damaged)?;
    let (salt, hash) = base64(salt).zip(base64(hash)).ok_or(damaged)?;
    if passes == 0 || lanes == 0 || u64::from(memory_kib) < 8 * u64::from(lanes) {
        return Err(damaged);
    }
    Ok(Argon2Form { algorithm, version, memory_kib, passes, lanes, salt, hash })
}

fn bcrypt(cost: &str, rest: &str) -> Option<Form> {
    if cost.len() != 2 || rest.len() != 53 {
        return None;
    }
    let (salt, hash) = rest.split_at_checked(22)?;
    let decode = |text: &str| lenient(&alphabet::BCRYPT).decode(text).ok();
    let cost = number(cost).filter(|cost| *cost >= 4)?;
    Some(Form::Bcrypt { cost, salt: decode(salt)?.try_into().ok()?, hash: decode(hash)?.try_into().ok()? })
}

fn scrypt(log_n: Option<u32>, r: u32, p: u32, salt: Option<Vec<u8>>, hash: Option<Vec<u8>>) -> Option<Form> {
    let log_n = u8::try_from(log_n?).ok().filter(|log_n| *log_n > 0)?;
    (r > 0 && p > 0).then_some(Form::Scrypt { log_n, r, p, salt: salt?, hash: hash? })
}

fn pbkdf2(sha512: bool, rounds: &str, salt: Option<Vec<u8>>, hash: Option<Vec<u8>>) -> Result<Form, InvalidHash> {
    let rounds = number(rounds).filter(|rounds| *rounds > 0);
    let parts = rounds.zip(salt).zip(hash).ok_or(InvalidHash::Malformed("PBKDF2"))?;
    let ((rounds, salt), hash) = parts;
    Ok(Form::Pbkdf2 { sha512, rounds, salt, hash })
}

/// Tells a cut-off text from one that nobody here knows, for the message.
fn unknown_or_damaged(text: &str) -> InvalidHash {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    if begins(&["$2a$", "$2b$", "$2y$"]) {
        InvalidHash::Malformed("bcrypt")
    } else if begins(&["$scrypt$", "scrypt:"]) {
        InvalidHash::Malformed("scrypt")
    } else if begins(&["$pbkdf2-sha256$", "$pbkdf2-sha512$", "pbkdf2_sha256$", "pbkdf2_sha512$", "pbkdf2:sha"]) {
        InvalidHash::Malformed("PBKDF2")
    } else {
        InvalidHash::UnknownForm
    }
}

/// `a=1,b=2,c=3` with exactly these names in this order.
fn named<const N: usize>(text: &str, names: [&str; N]) -> Option<[u32; N]> {
    let mut parts = text.split(',');
    let mut values = [0; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = number(parts.next()?.strip_prefix(name)?.strip_prefix('=')?)?;
    }
    parts.next().is_none().then_some(values)
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn logarithm(n: u32) -> Option<u32> {
    n.is_power_of_two().then(|| n.trailing_zeros())
}

/// The standard alphabet with or without padding; passlib writes `.` for `+`.
fn base64(text: &str) -> Option<Vec<u8>> {
    lenient(&alphabet::STANDARD).decode(text.replace('.', "+")).ok()
}

/// The last character may carry bits that stand for nothing; some bcrypt programs leave them set, and every one ignores them.
fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let padding = DecodePaddingMode::Indifferent;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding).with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::password::tests::{CHEAP, password, verify};
    use crate::authenticator::password::{PasswordHash, Verdict};

    const TYPED: &str = "correct horse battery";

    /// Hashes of `correct horse battery`, made with Python 3.11: `bcrypt` 5.0.0, `crypt.crypt` (libxcrypt), `argon2-cffi` 25.1.0,
    /// `passlib` 1.7.4, and `hashlib.scrypt` and `hashlib.pbkdf2_hmac` put into the named projects' formats.
    const VECTORS: [(&str, &str); 18] = [
        ("bcrypt", "$2b$04$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS"),
        ("bcrypt", "$2a$04$ry5JMNSxcRC4Mdjw5mxuYOdpcdmmG35RS.0Qmqdeqki6qqxCr0F.a"),
        // crypt(3)
        ("bcrypt", "$2y$05$UO6Zzzbyt8180I4Ma7MPnOcO8uFZPUTzLOv3UXCXW8rIlfsLvWoGW"),
        // Django
        ("bcrypt", "bcrypt$$2b$04$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS"),
        ("scrypt", "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xXt6EAFzAOlee5Hgl8R5+kLA6sDARjRcMGtm6fZJsa8"),
        // Kratos
        ("scrypt", "$scrypt$ln=1024,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg==$xXt6EAFzAOlee5Hgl8R5+kLA6sDARjRcMGtm6fZJsa8="),
        // passlib
        ("scrypt", "$scrypt$ln=8,r=8,p=1$1ForBQDgPOdcC4HwHuM8Jw$33W3PlwMuC+Xi1V05vk2SbhLzeCecm2nPIclW3DhdkA"),
        // Werkzeug
        (
            "scrypt",
            "scrypt:1024:8:2$saltsaltsalt$365e2ccdd496e2b1e9653ba2a98e646c73d60d416a53a1e03ad90bb3973bbfff18a77c39bb031570db9554d3949aba61b80c89b17eb6f432a9af970aaaa073cb",
        ),
        // passlib
        ("pbkdf2", "$pbkdf2-sha256$1000$QWgt5XzPOYewFmKsda5Vqg$w/VgWFvaEtyku8HEnIarSMZGldGFRg.SqLTkHkvxJkg"),
        (
            "pbkdf2",
            "$pbkdf2-sha512$1000$PSckBMAYg3CudY4RQkgJIQ$9Hv3CT/lQBj8cbtEGxoNwKpw/7aW5SwLPfZ/.fB0DczL3ofgLixAYnqr..NaJ9K0I8ng59QtMaBnQ2ytZElPhQ",
        ),
        ("pbkdf2", "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$BVALGMmC/K/8ELErc5VgJxyPFApArIZRCQsqjEgZWJ4"),
        (
            "pbkdf2",
            "$pbkdf2-sha512$i=1000$MDEyMzQ1Njc4OWFiY2RlZg$7F/Y1rnWXXurLCfFvAmyjyXtbABhgzBTBNcm//wlnvGBOz7OExlgRFs5qwaY5PzB3/WjR7P4yv/ACDQZpDXIfQ",
        ),
        // Django
        ("pbkdf2", "pbkdf2_sha256$1000$gs7Dk2pQwX1z$Oezjx9TMcDoHNEityrazimkcIMHWG3pbkNs8pXUMq5A="),
        // Werkzeug
        ("pbkdf2", "pbkdf2:sha256:1000$gs7Dk2pQwX1z$39ece3c7d4cc703a073448adcab6b38a691c20c1d61b7a5b90db3ca5750cab90"),
        ("argon2i", "$argon2i$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$bukGots0Xf8mxkjU25MkzQ7vtG60buuSq4XGaXpsw9U"),
        ("argon2d", "$argon2d$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$chU8VYx4mlF39mRO8B/2TbOSJWpfPRS3IwMAQuzzfDc"),
        ("argon2i", "$argon2i$v=16$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$GT1FCDFY1cuYlf0Ys7l5xP7ZJmeSIlwHEjLHLGf4DVU"),
        // The first encoding, without a version.
        ("argon2i", "$argon2i$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$GT1FCDFY1cuYlf0Ys7l5xP7ZJmeSIlwHEjLHLGf4DVU"),
    ];

    /// Our own algorithm, by `argon2-cffi`; also as Django writes it.
    const ARGON2ID: &str =
        "$argon2id$v=19$m=64,t=2,p=2$MDEyMzQ1Njc4OWFiY2RlZg$G5iTPk9xLQp91Yo/sedCY4bRzyxkmXY9s22NT9T/DCg";

    fn stored(text: &str) -> PasswordHash {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn hashes_made_by_others_are_verified_and_then_hashed_again() {
        for (name, text) in VECTORS {
            let hash = stored(text);
            assert_eq!(hash.algorithm(), name);
            assert_eq!(verify(&password(TYPED), &hash, CHEAP), Ok(Verdict::RightButRehash), "{text}");
            for wrong in ["correct horse batterx", "Correct horse battery", "correct horse battery ", "x"] {
                assert_eq!(verify(&password(wrong), &hash, CHEAP), Ok(Verdict::Wrong), "{text}");
            }
        }
        for text in [ARGON2ID.to_owned(), format!("argon2{ARGON2ID}")] {
            assert_eq!(verify(&password(TYPED), &stored(&text), CHEAP), Ok(Verdict::Right));
        }
    }

    /// The other system hashed `lösung und grüße ✓` as a Macintosh sent it (NFD); `argon2-cffi`.
    #[test]
    fn a_hash_of_an_unprepared_password_still_lets_its_owner_in_once() {
        let nfd = "$argon2id$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$8ND7RJeplEbmG60WR+DjqWL/xCIoy1ckz9TVA2xH5ts";
        let nfc = "$argon2id$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$vGER30imcu/Kv1MRBFBDhrse3vxaQo6k3dx2BLNP+1I";
        let typed = password("lo\u{308}sung und gru\u{308}\u{df}e \u{2713}");
        assert_eq!(verify(&typed, &stored(nfd), CHEAP), Ok(Verdict::RightButRehash));
        assert_eq!(verify(&typed, &stored(nfc), CHEAP), Ok(Verdict::Right));
    }

    /// The hash is of the first 72 bytes of `01234567890…`, made with Python `bcrypt`.
    #[test]
    fn bcrypt_reads_72_bytes_and_no_nul() {
        let hash = stored("$2b$04$mZyFw.3TjWpGiEpn9gaFsOBBvToUcftW4TLDO8BOhJhwUwBkggzay");
        let long = "0123456789".repeat(8);
        assert_eq!(verify(&password(&long[..72]), &hash, CHEAP), Ok(Verdict::RightButRehash));
        assert_eq!(verify(&password(&long), &hash, CHEAP), Ok(Verdict::RightButRehash));
        assert_eq!(verify(&password(&long[..71]), &hash, CHEAP), Ok(Verdict::Wrong));
        let (_, short) = VECTORS[0];
        assert_eq!(verify(&password("correct horse battery\0x"), &stored(short), CHEAP), Ok(Verdict::Wrong));
        assert_eq!(verify(&password("correct horse battery\0"), &stored(short), CHEAP), Ok(Verdict::Wrong));
        // A password that fills the buffer exactly must not lose its NUL check either.
        let mut filled = long[..71].to_owned();
        filled.push('\0');
        assert_eq!(verify(&password(&filled), &hash, CHEAP), Ok(Verdict::Wrong));
    }

    #[test]
    fn bits_that_stand_for_nothing_are_ignored_in_bcrypt_salts() {
        let (_, text) = VECTORS[0];
        // The 22nd character of the salt carries four spare bits: `e` is 32 in bcrypt's alphabet, `h` is 35.
        let odd = text.replacen("Mxe", "Mxh", 1);
        assert_ne!(odd, text);
        assert_eq!(verify(&password(TYPED), &stored(&odd), CHEAP), Ok(Verdict::RightButRehash));
    }

    /// RUSTSEC-2026-0199: slicing a hash in the middle of a character. Also non-ASCII passwords (hash by Python `bcrypt`).
    #[test]
    fn characters_beyond_ascii_are_verified_in_passwords_and_refused_in_hashes() {
        let hash = stored("$2b$04$yfTGWb6W4oweyKHJbRwnCOg6sPBxebVaVWicRV35AWxb6t5SIOzc2");
        assert_eq!(
            verify(&password("l\u{f6}sung und gr\u{fc}\u{df}e \u{2713}"), &hash, CHEAP),
            Ok(Verdict::RightButRehash)
        );
        // 72 falls into the middle of a character.
        assert_eq!(verify(&password(&"\u{2713}x".repeat(60)), &hash, CHEAP), Ok(Verdict::Wrong));
        for (_, text) in VECTORS {
            for at in 0..text.len() {
                for wide in ["\u{e9}", "\u{2713}", "\u{1f600}"] {
                    // Same length in bytes where it fits, so that only the character boundary is odd.
                    let end = (at + wide.len()).min(text.len());
                    let altered = format!("{}{wide}{}", &text[..at], &text[end..]);
                    assert_eq!(altered.parse::<PasswordHash>().err(), Some(InvalidHash::UnknownForm), "{altered}");
                }
            }
        }
    }

    /// A shorter scrypt or PBKDF2 hash is the beginning of the longer one, so those still match; with 16 bytes they are still safe.
    #[test]
    fn a_cut_off_hash_is_refused_or_lets_nobody_else_in() {
        for (name, text) in VECTORS {
            for cut in 0..text.len() {
                let Ok(hash) = text[..cut].parse::<PasswordHash>() else { continue };
                assert_eq!(verify(&password("x"), &hash, CHEAP), Ok(Verdict::Wrong), "{}", &text[..cut]);
                assert_ne!(name, "bcrypt", "{}", &text[..cut]);
                if name.starts_with("argon2") {
                    assert_eq!(verify(&password(TYPED), &hash, CHEAP), Ok(Verdict::Wrong), "{}", &text[..cut]);
                }
            }
        }
    }

    #[test]
    fn unknown_forms_are_told_apart_from_damaged_ones() {
        let long = format!("$argon2id${}", "a".repeat(600));
        for unknown in
            ["", "secret", "$1$abc$def", "$6$abc$def", "{SSHA}abc", "$2x$04$abc", "md5$a$b", "pbkdf2:md5:1$a$b", &long]
        {
            assert_eq!(unknown.parse::<PasswordHash>().err(), Some(InvalidHash::UnknownForm), "{unknown}");
        }
        let message = InvalidHash::UnknownForm.to_string();
        for named in ["Argon2", "bcrypt", "scrypt", "PBKDF2"] {
            assert!(message.contains(named), "{message}");
        }
        for (damaged, name) in [
            ("$2b$04$tQyNoJmcrax", "bcrypt"),
            ("$2b$03$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS", "bcrypt"),
            ("$2b$+4$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS", "bcrypt"),
            ("$scrypt$ln=10,r=8$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "scrypt"),
            ("$scrypt$ln=1000,r=8,p=1$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "scrypt"),
            ("$scrypt$ln=0,r=8,p=1$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "scrypt"),
            ("$scrypt$ln=10,r=0,p=1$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "scrypt"),
            ("pbkdf2_sha256$0$gs7Dk2pQwX1z$Oezjx9TMcDoHNEityrazimkcIMHWG3pbkNs8pXUMq5A=", "PBKDF2"),
            ("$pbkdf2-sha256$i=1000,l=64$MDEyMzQ1Njc4OWFiY2RlZg$BVALGMmC/K/8ELErc5VgJxyPFApArIZRCQsqjEgZWJ4", "PBKDF2"),
            ("$argon2id$v=19$m=64,t=2$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "Argon2"),
            ("$argon2id$v=18$m=64,t=2,p=1$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "Argon2"),
            ("$argon2id$v=19$m=64,t=0,p=1$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "Argon2"),
            ("$argon2id$v=19$m=7,t=1,p=1$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "Argon2"),
            ("$argon2id$v=19$m=64,t=1,p=1,keyid=abc$YWFhYWFhYWE$xXt6EAFzAOlee5Hgl8R5", "Argon2"),
        ] {
            assert_eq!(damaged.parse::<PasswordHash>().err(), Some(InvalidHash::Malformed(name)), "{damaged}");
        }
    }

    /// One imported row must not take the machine down at sign-in.
    #[test]
    fn hashes_that_cost_too_much_are_refused_when_read() {
        let tail = "MDEyMzQ1Njc4OWFiY2RlZg$xXt6EAFzAOlee5Hgl8R5+kLA6sDARjRcMGtm6fZJsa8";
        for (head, fits) in [
            ("$argon2id$v=19$m=65536,t=3,p=4$", true),
            ("$argon2id$v=19$m=262144,t=4,p=1$", true),
            ("$argon2id$v=19$m=262145,t=1,p=1$", false),
            ("$argon2id$v=19$m=262144,t=5,p=1$", false),
            ("$argon2id$v=19$m=64,t=17,p=1$", false),
            ("$argon2id$v=19$m=4294967295,t=4294967295,p=1$", false),
            ("$argon2id$v=19$m=4294967295,t=1,p=16777215$", false),
            ("$scrypt$ln=17,r=8,p=1$", true),
            ("$scrypt$ln=18,r=8,p=2$", true),
            ("$scrypt$ln=18,r=8,p=3$", false),
            ("$scrypt$ln=19,r=8,p=1$", false),
            ("$scrypt$ln=31,r=1,p=1$", false),
            ("$scrypt$ln=1,r=4294967295,p=4294967295$", false),
            ("$pbkdf2-sha256$5000000$", true),
            ("$pbkdf2-sha256$5000001$", false),
            ("$pbkdf2-sha256$4294967295$", false),
        ] {
            let read = format!("{head}{tail}").parse::<PasswordHash>();
            assert_eq!(matches!(read, Err(InvalidHash::TooCostly(..))), !fits, "{head}");
            assert_eq!(read.is_ok(), fits, "{head}");
        }
        let bcrypt = |cost: u32| format!("$2b${cost:02}$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS");
        assert!(bcrypt(15).parse::<PasswordHash>().is_ok());
        assert_eq!(bcrypt(16).parse::<PasswordHash>().err(), Some(InvalidHash::TooCostly("bcrypt", BCRYPT_LIMIT)));
    }

    #[test]
    fn a_hash_so_short_that_guesses_may_match_is_refused() {
        for short in [
            "$argon2id$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xXt6EA",
            "$argon2id$v=19$m=64,t=2,p=1$MDEy$xXt6EAFzAOlee5Hgl8R5+kLA6sDARjRcMGtm6fZJsa8",
            "pbkdf2_sha256$1000$gs7Dk2pQwX1z$",
            "pbkdf2_sha256$1000$salt$Oezjx9TMcDoHNEityrazimkcIMHWG3pbkNs8pXUMq5A=",
            "scrypt:1024:8:1$saltsaltsalt$",
        ] {
            assert!(matches!(short.parse::<PasswordHash>(), Err(InvalidHash::TooShort(_))), "{short}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(\\$|pbkdf2|scrypt|argon2id|bcrypt|2b|v=19|m=64,t=1,p=1|ln=4,r=1,p=1|:|[0-9]{1,10}|.){0,12}") {
            if let Ok(hash) = text.parse::<PasswordHash>() {
                proptest::prop_assert_eq!(hash.as_str(), text.as_str());
            }
        }
    }
}
