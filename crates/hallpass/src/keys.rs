//! `hallpass keys`: the keys that sign passes and tokens. Protocol §16.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hallpass_core::keyring::{Purpose, SealedKey};
use hallpass_core::time::Timestamp;
use hallpass_server::jobs;
use hallpass_store::{Read, StoreError, apps, keys};
use serde_json::json;

use crate::print::{Listing, done, instant, maybe};
use crate::shell::{ACTOR, Failure, Shell};

/// What can be done with signing keys.
#[derive(Subcommand)]
pub enum Verb {
    /// List signing keys: which signs, which still verify
    List,
    /// Make the next signing key
    Rotate(Rotate),
}

/// What `keys rotate` takes.
#[derive(Args)]
pub struct Rotate {
    /// Sign with it at once instead of publishing it a day ahead; for a key that may have leaked
    #[arg(long)]
    now: bool,
    /// Only keys of this purpose
    #[arg(long)]
    purpose: Option<PurposeName>,
}

/// What a key signs, as it is written on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub enum PurposeName {
    /// Passes
    Pass,
    /// Every other token
    Token,
    /// ID and logout tokens of OIDC clients that check RS256
    IdToken,
}

/// Runs it.
pub async fn run(verb: Verb, shell: &Shell) -> Result<(), Failure> {
    match verb {
        Verb::List => {
            shell
                .with_store(async |store| {
                    let mut listing = Listing::new(
                        shell.json,
                        &["KEY", "PURPOSE", "ALGORITHM", "STATE", "SIGNS FROM", "SIGNS UNTIL"],
                    );
                    for key in keys::all(&mut store.read().await?).await? {
                        let object = json!({
                            "kid": key.kid,
                            "purpose": key.purpose.as_str(),
                            "algorithm": key.algorithm.as_str(),
                            "state": state(&key, shell.now),
                            "created_at": instant(key.created_at),
                            "signs_from": instant(key.signs_from),
                            "signs_until": maybe(key.signs_until),
                            "verifies_until": maybe(key.verifies_until),
                        });
                        let cells = vec![
                            key.kid.to_string(),
                            key.purpose.as_str().to_owned(),
                            key.algorithm.as_str().to_owned(),
                            state(&key, shell.now).to_owned(),
                            instant(key.signs_from),
                            key.signs_until.map_or_else(|| "-".to_owned(), instant),
                        ];
                        listing.row(&cells, &object)?;
                    }
                    Ok(listing.end("There are no keys yet; `hallpass serve` makes the first ones.")?)
                })
                .await
        }
        Verb::Rotate(rotate) => {
            shell
                .with_store(async |store| {
                    let config = shell.config()?;
                    let master = hallpass_server::master_key::load(&config).await?;
                    let purposes = match rotate.purpose {
                        None => in_use(&mut store.snapshot().await?).await?,
                        Some(PurposeName::Pass) => vec![Purpose::Pass],
                        Some(PurposeName::Token) => vec![Purpose::Token],
                        Some(PurposeName::IdToken) => vec![Purpose::IdToken],
                    };
                    let (mut made, mut sentences) = (Vec::new(), Vec::new());
                    for purpose in purposes {
                        let policy = config.key_policy(purpose);
                        let ahead = if rotate.now { Duration::ZERO } else { policy.publish_ahead };
                        let kid = jobs::rotate(store, &master, purpose, &policy, ahead, ACTOR, shell.now).await?;
                        let kid =
                            kid.ok_or("somebody else made a key at this very moment; look at `hallpass keys list`")?;
                        // The very first key of a purpose does not wait.
                        let keys = keys::all(&mut store.read().await?).await?;
                        let from = keys.iter().find(|key| key.kid == kid).map_or(shell.now, |key| key.signs_from);
                        let when = if from > shell.now { format!("from {}", instant(from)) } else { "now".to_owned() };
                        sentences.push(format!("Made {kid}; it signs {} {when}.", signed(purpose)));
                        made.push(json!({ "kid": kid, "purpose": purpose.as_str(), "signs_from": instant(from) }));
                    }
                    sentences.push("What older keys signed stays valid until it expires.".to_owned());
                    Ok(done(shell.json, sentences.join("\n"), &made.into())?)
                })
                .await
        }
    }
}

fn signed(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Pass => "passes",
        Purpose::Token => "other tokens",
        Purpose::IdToken => "ID tokens",
    }
}

/// Those that there is a key of, or that some app needs one of.
async fn in_use(read: &mut Read) -> Result<Vec<Purpose>, StoreError> {
    let (apps, keys) = (apps::all(read).await?, keys::all(read).await?);
    let in_use = |purpose: &Purpose| purpose.is_needed_by(&apps) || keys.iter().any(|key| key.purpose == *purpose);
    Ok(Purpose::ALL.into_iter().filter(in_use).collect())
}

fn state(key: &SealedKey, now: Timestamp) -> &'static str {
    if key.verifies_until.is_some_and(|end| end <= now) {
        "refused"
    } else if now < key.signs_from {
        "published"
    } else if key.signs_until.is_none_or(|end| now < end) {
        "signs"
    } else {
        "verifies"
    }
}
