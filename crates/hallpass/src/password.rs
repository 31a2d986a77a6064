//! Where a password comes from: typed twice at the terminal, one line of standard input, or generated. Never an argument: those
//! are seen by everybody on the machine and kept in the shell's history.

use std::io::{IsTerminal as _, Read as _, stdin};

use clap::Args;
use hallpass_core::authenticator::Workspace;
use hallpass_core::authenticator::password::{self, Argon2Cost, MAX_BYTES, Password, PasswordHash, PasswordPolicy};
use hallpass_core::crypto::{Random as _, SystemRandom};
use hallpass_core::user::Username;
use hallpass_server::config::PasswordConfig;

use crate::shell::Failure;

/// How the password is given.
#[derive(Args)]
pub struct Source {
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "generate")]
    pub password_stdin: bool,
    /// Make a password and show it once
    #[arg(long)]
    pub generate: bool,
    /// The user may keep this password; otherwise the next sign-in asks for a new one
    #[arg(long)]
    pub permanent: bool,
}

/// A password that was chosen, hashed.
pub struct Chosen {
    /// What is stored.
    pub hash: PasswordHash,
    /// The password itself, if it was made here and nobody knows it yet.
    pub generated: Option<String>,
    /// The next sign-in asks for a new one.
    pub must_change: bool,
}

impl Source {
    /// Gets it, checks it against the rules, and hashes it.
    pub fn choose(&self, username: &Username, config: &PasswordConfig) -> Result<Chosen, Failure> {
        let mut generated = None;
        let password = if self.generate {
            let text = generate();
            generated = Some(text.clone());
            Password::presented(text)?
        } else {
            let typed = if self.password_stdin { one_line()? } else { ask(username)? };
            let password = Password::presented(typed)?;
            PasswordPolicy::default().check(&password, username, false)?;
            password
        };
        let cost = Argon2Cost::new(config.memory_kib, config.passes, 1)?;
        let hash = password::hash(&password, cost, &mut Workspace::default(), &mut SystemRandom)?;
        Ok(Chosen { hash, generated, must_change: !self.permanent })
    }
}

fn ask(username: &Username) -> Result<String, Failure> {
    if !stdin().is_terminal() {
        return Err("this is no terminal to ask for a password at: say --password-stdin or --generate".into());
    }
    let first = rpassword::prompt_password(format!("New password of {username}: "))?;
    if rpassword::prompt_password("Once more: ")? == first { Ok(first) } else { Err("the two do not match".into()) }
}

fn one_line() -> Result<String, Failure> {
    // One byte more than is allowed, and the end of the line: too long stays too long.
    let mut text = String::new();
    stdin().take(MAX_BYTES as u64 + 3).read_to_string(&mut text)?;
    let line = text.lines().next().unwrap_or_default();
    Ok(line.to_owned())
}

/// 120 random bits in an alphabet without look-alikes.
fn generate() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 24];
    SystemRandom.fill(&mut bytes);
    let characters: Vec<char> = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect();
    characters.chunks(6).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_fulfils_the_rules_and_is_never_the_same() {
        let (first, second) = (generate(), generate());
        assert_eq!(first.len(), 27);
        assert_ne!(first, second);
        let password = Password::presented(first).expect("not empty");
        assert_eq!(PasswordPolicy::default().check(&password, &"ana".parse().expect("valid"), false), Ok(()));
    }
}
