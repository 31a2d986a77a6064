//! `hallpass audit`: who did what, on whom, when. The newest first.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use hallpass_core::audit::{Actor, Event};
use hallpass_core::id::{AppKey, AuditId, UserId};
use hallpass_core::time::Timestamp;
use hallpass_server::admin::users as user_verbs;
use hallpass_store::audit::{self, Entry, Filter};
use hallpass_store::{Read, Store, users};
use serde_json::{Value, json};

use crate::print::{Listing, instant};
use crate::shell::{Failure, Shell};

const PAGE: u32 = 200;

/// What `audit` takes.
#[derive(Args)]
pub struct Arguments {
    /// On this user; the id of a user who was removed works too
    #[arg(long)]
    user: Option<String>,
    /// In this app
    #[arg(long)]
    app: Option<AppKey>,
    /// This event only: `signed_in`, `role_granted`, …
    #[arg(long, value_parser = event)]
    event: Option<Event>,
    /// Done by `cli`, `system`, `user:u_…` or `app:pos`
    #[arg(long)]
    actor: Option<Actor>,
    /// Not older than this: `90s`, `15m`, `1h`, `7d`, or an instant such as `2026-11-03T08:00:00Z`
    #[arg(long, value_name = "AGE", value_parser = when)]
    since: Option<When>,
    /// Older than this
    #[arg(long, value_name = "AGE", value_parser = when)]
    until: Option<When>,
    /// At most so many entries; 0 for all
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on after this entry: the `cursor` of the last one in JSON
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    before: Option<(Timestamp, AuditId)>,
}

/// An instant, or how long before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before now.
    Ago(Duration),
    /// In itself.
    At(Timestamp),
}

impl When {
    fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(age) => now - age,
            Self::At(at) => at,
        }
    }
}

/// Runs it.
pub async fn run(arguments: Arguments, shell: &Shell) -> Result<(), Failure> {
    shell.with_store(async |store| list(store, arguments, shell).await).await
}

async fn list(store: &Store, arguments: Arguments, shell: &Shell) -> Result<(), Failure> {
    let mut read = store.read().await?;
    let user_id = match &arguments.user {
        None => None,
        Some(text) => Some(match text.parse() {
            Ok(id) => id,
            Err(_) => user_verbs::find(&mut read, text).await?.id,
        }),
    };
    let filter = Filter {
        user_id,
        app: arguments.app,
        actor: arguments.actor.map(|actor| actor.to_string()),
        event: arguments.event.map(|event| event.as_str().to_owned()),
        since: arguments.since.map(|when| when.instant(shell.now)),
        until: arguments.until.map(|when| when.instant(shell.now)),
    };
    let mut listing = Listing::new(shell.json, &["WHEN", "EVENT", "BY", "ON", "APP", "OUTCOME", "MORE"]);
    let mut names = Names::default();
    let (mut before, mut left) = (arguments.before, if arguments.limit == 0 { u32::MAX } else { arguments.limit });
    while left > 0 {
        let page = audit::list(&mut read, &filter, before, left.min(PAGE)).await?;
        let Some(last) = page.last() else { break };
        before = Some((last.at, last.id));
        left -= u32::try_from(page.len()).unwrap_or(left).min(left);
        for entry in &page {
            let cells = names.cells(&mut read, entry).await?;
            listing.row(&cells, &object(entry))?;
        }
    }
    Ok(listing.end("Nothing of that kind is in the audit log.")?)
}

/// User names of this listing, each looked up once.
#[derive(Default)]
struct Names(HashMap<UserId, String>);

impl Names {
    async fn cells(&mut self, read: &mut Read, entry: &Entry) -> Result<Vec<String>, Failure> {
        let dash = || "-".to_owned();
        let by = match entry.actor.parse() {
            Ok(Actor::User(id)) => self.name(read, id).await?,
            _ => entry.actor.clone(),
        };
        let on = match entry.user_id {
            Some(id) => self.name(read, id).await?,
            None => dash(),
        };
        let outcome =
            entry.reason.as_ref().map_or_else(|| entry.outcome.clone(), |why| format!("{} ({why})", entry.outcome));
        let app = entry.app.as_ref().map_or_else(dash, ToString::to_string);
        Ok(vec![instant(entry.at), entry.event.clone(), by, on, app, outcome, details(entry)])
    }

    async fn name(&mut self, read: &mut Read, id: UserId) -> Result<String, Failure> {
        if let Some(name) = self.0.get(&id) {
            return Ok(name.clone());
        }
        let name = users::find(read, &id).await?.map_or_else(|| id.to_string(), |user| user.username.to_string());
        self.0.insert(id, name.clone());
        Ok(name)
    }
}

fn details(entry: &Entry) -> String {
    let mut parts: Vec<_> = entry.ip.iter().map(|ip| format!("from {ip}")).collect();
    for (name, value) in entry.details.as_object().into_iter().flatten() {
        parts.push(value.as_str().map_or_else(|| format!("{name} {value}"), |text| format!("{name} {text}")));
    }
    parts.join(", ")
}

fn object(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "at": instant(entry.at),
        "event": entry.event,
        "actor": entry.actor,
        "user_id": entry.user_id,
        "app": entry.app,
        "session_id": entry.session_id,
        "ip": entry.ip,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "details": entry.details,
        "cursor": format!("{}.{}", entry.at.as_millis(), entry.id),
    })
}

fn event(text: &str) -> Result<Event, String> {
    Event::parse(text).ok_or_else(|| {
        let known: Vec<_> = Event::ALL.iter().map(|event| event.as_str()).collect();
        format!("there is no such event; known are {}", known.join(", "))
    })
}

fn cursor(text: &str) -> Result<(Timestamp, AuditId), &'static str> {
    let parse = || {
        let (at, id) = text.split_once('.')?;
        Some((Timestamp::from_millis(at.parse().ok()?), id.parse().ok()?))
    };
    parse().ok_or("is not a cursor of this list")
}

fn when(text: &str) -> Result<When, &'static str> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(When::At(Timestamp::from_millis(at.as_millisecond())));
    }
    let age = || {
        let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
        let seconds = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(seconds)
    };
    let age = age().ok_or("write an age such as 90s, 15m, 1h or 7d, or an instant such as 2026-11-03T08:00:00Z")?;
    Ok(When::Ago(Duration::from_secs(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_instants_are_told_apart() {
        for (text, meant) in [
            ("90s", Some(When::Ago(Duration::from_secs(90)))),
            ("15m", Some(When::Ago(Duration::from_mins(15)))),
            ("1h", Some(When::Ago(Duration::from_hours(1)))),
            ("7d", Some(When::Ago(Duration::from_hours(7 * 24)))),
            ("1970-01-01T00:00:09Z", Some(When::At(Timestamp::from_seconds(9)))),
            ("1", None),
            ("h", None),
            ("-1h", None),
            ("1 h", None),
            ("99999999999999999999w", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(when(text).ok(), meant, "{text}");
        }
    }

    #[test]
    fn a_cursor_survives_its_text() {
        let id = AuditId::from_bytes([7; 16]);
        assert_eq!(cursor(&format!("123.{id}")), Ok((Timestamp::from_millis(123), id)));
        for bad in ["", "123", ".", "x.e_", "123.e_short"] {
            assert!(cursor(bad).is_err(), "{bad}");
        }
    }
}
