//! What reads a stranger's bytes, as plain functions: each takes any input, panics if a promise is broken, and says in a number
//! what kind of thing happened, so that a runner without coverage can keep inputs that led somewhere new.

use hallpass_core::crypto::{Algorithm, PrivateKey};

mod cookies;
mod import;
mod introspection;
mod pass;
mod providers;
mod return_to;
mod secret;
mod strangers;

/// One function and what to begin with.
pub struct Target {
    /// Also the name of its libFuzzer target.
    pub name: &'static str,
    /// Takes any bytes; the number names the kind of outcome.
    pub run: fn(&[u8]) -> u64,
    /// Inputs that get far.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that matter to this reader.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    cookies::TARGET,
    pass::TARGET,
    introspection::TARGET,
    return_to::TARGET,
    import::TARGET,
    secret::TARGET,
    strangers::TARGET,
    providers::TARGET,
];

/// Runs the target of this name; for libFuzzer.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("one of TARGETS");
    (target.run)(input);
}

/// The same key in every run, so that a found input can be looked at again.
fn ed25519(seed: u8) -> PrivateKey {
    // PKCS#8 (RFC 8410) around a seed of our choice.
    let mut stored = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    stored.extend([seed; 32]);
    PrivateKey::from_stored(Algorithm::EdDsa, &stored).expect("a key")
}

/// A number for an outcome that can be shown.
fn kind(outcome: &impl std::fmt::Debug) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    format!("{outcome:?}").hash(&mut hasher);
    hasher.finish()
}

fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}
