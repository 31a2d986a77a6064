//! `hallpass zone`: the domains whose hosts share one pass.

use clap::{Args, Subcommand};
use hallpass_core::app::Origin;
use hallpass_core::id::ZoneName;
use hallpass_core::zone::{CookieDomain, CookieName, Zone};
use hallpass_server::admin::zones as verbs;
use hallpass_store::zones;
use serde_json::json;

use crate::print::{Listing, done};
use crate::shell::{ACTOR, Failure, Shell};

/// What can be done with zones.
#[derive(Subcommand)]
pub enum Verb {
    /// Add a zone
    Add(Add),
    /// List zones
    List,
    /// Remove a zone that no app is in
    Remove {
        /// Its name
        zone: ZoneName,
    },
}

/// What `zone add` takes.
#[derive(Args)]
pub struct Add {
    /// Its name: `home`
    zone: ZoneName,
    /// The domain whose hosts share the pass: `apps.company.com`. Every host under it receives the pass.
    #[arg(long, value_name = "DOMAIN")]
    cookie_domain: CookieDomain,
    /// The pass cookie's name; begins with `__Secure-`
    #[arg(long, value_name = "NAME")]
    cookie_name: Option<CookieName>,
    /// The engine itself lives in this zone
    #[arg(long)]
    home: bool,
    /// Where the engine also answers, for a zone that is not home: `https://sso.company2.com`. Point its DNS name here.
    #[arg(long, value_name = "URL")]
    alias: Option<Origin>,
    /// A zone of one host, whose pass no other host can read or write; its app must be its own agent
    #[arg(long, conflicts_with_all = ["home", "alias"])]
    bound: bool,
    /// Fetch its pass in a chain right after sign-in instead of on demand
    #[arg(long, conflicts_with = "home")]
    at_sign_in: bool,
}

/// Runs it.
pub async fn run(verb: Verb, shell: &Shell) -> Result<(), Failure> {
    match verb {
        Verb::Add(add) => {
            shell
                .with_new_store(async |store| {
                    let zone = Zone {
                        name: add.zone,
                        cookie_domain: add.cookie_domain,
                        cookie_name: add.cookie_name.unwrap_or_default(),
                        home: add.home,
                        alias: add.alias,
                        bound: add.bound,
                        at_sign_in: add.at_sign_in,
                    };
                    let mut write = store.write().await?;
                    verbs::add(&mut write, &zone, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let sentence = format!("Added zone {}: {}.", zone.name, zone.cookie_domain);
                    Ok(done(shell.json, sentence, &object(&zone))?)
                })
                .await
        }
        Verb::List => {
            shell
                .with_store(async |store| {
                    let mut listing = Listing::new(shell.json, &["ZONE", "COOKIE DOMAIN", "COOKIE", "KIND", "ALIAS"]);
                    for zone in zones::all(&mut store.read().await?).await? {
                        let cells = vec![
                            zone.name.to_string(),
                            zone.cookie_domain.to_string(),
                            zone.pass_cookie().to_owned(),
                            kind(&zone).to_owned(),
                            zone.alias.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                        ];
                        listing.row(&cells, &object(&zone))?;
                    }
                    Ok(listing.end("There are no zones yet.")?)
                })
                .await
        }
        Verb::Remove { zone } => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    verbs::remove(&mut write, &zone, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    Ok(done(shell.json, format!("Removed zone {zone}."), &json!({ "removed": zone }))?)
                })
                .await
        }
    }
}

fn kind(zone: &Zone) -> &'static str {
    match (zone.home, zone.bound, zone.at_sign_in) {
        (true, ..) => "home",
        (_, true, false) => "bound",
        (_, true, true) => "bound, at sign-in",
        (_, false, true) => "at sign-in",
        (_, false, false) => "on demand",
    }
}

fn object(zone: &Zone) -> serde_json::Value {
    json!({
        "name": zone.name,
        "cookie_domain": zone.cookie_domain.as_str(),
        "cookie_name": zone.pass_cookie(),
        "home": zone.home,
        "alias": zone.alias,
        "bound": zone.bound,
        "at_sign_in": zone.at_sign_in,
    })
}
