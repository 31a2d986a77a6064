//! After the kill: the database against the ledger, feed and audit log against the database, the server's answers against all.

use std::collections::{HashMap, HashSet};

use hallpass_core::id::{RoleId, SessionId, UserId};
use hallpass_core::session::EndReason;
use hallpass_store::audit::{self, Filter};
use hallpass_store::changes::Entry;
use hallpass_store::{Change, Read, Store, changes, roles, sessions, users};

use crate::door::{Answer, Door, Refreshed};
use crate::furnish::Held;
use crate::kill::Mark;
use crate::ledger::{Expected, Ledger};
use crate::load::Load;
use crate::rig::Checked;

const PAGE: u32 = 1000;
/// Session cookies of ended sessions that are tried again.
const TRIED_AGAIN: usize = 8;

/// What the database says after the kill.
#[derive(Default)]
pub struct Found {
    sessions: HashMap<SessionId, Option<EndReason>>,
    started: HashSet<SessionId>,
    roles: HashMap<UserId, Vec<String>>,
    problems: Vec<String>,
}

impl Found {
    /// Sessions that have ended.
    pub fn ended(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.iter().filter(|(_, ended)| ended.is_some()).map(|(session, _)| *session)
    }

    fn demand(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(otherwise());
        }
    }
}

/// The feed after `position`: without a gap, and as long as it says it is.
pub async fn feed(read: &mut Read, position: i64) -> Checked<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let last = entries.last().map_or(position, |entry| entry.position);
        let page = changes::since(read, last, PAGE).await?;
        if page.is_empty() {
            let says = changes::position(read).await?;
            if says != last {
                return Err(format!("the feed says that it goes to {says}, and ends at {last}").into());
            }
            return Ok(entries);
        }
        for (expected, entry) in (last + 1..).zip(&page) {
            if entry.position != expected {
                return Err(format!("the feed has {} where {expected} should be", entry.position).into());
            }
        }
        entries.extend(page);
    }
}

/// The audit log of the load, by what it tells of.
#[derive(Default)]
struct Log {
    signed_in: HashSet<SessionId>,
    signed_out: HashMap<SessionId, u32>,
    signed_out_everywhere: HashMap<UserId, u32>,
    disabled: HashMap<UserId, u32>,
    role_changes: HashMap<(UserId, RoleId), u32>,
}

async fn log(read: &mut Read, mark: Mark) -> Checked<Log> {
    let filter = Filter { since: Some(mark.at), ..Filter::default() };
    let (mut log, mut before) = (Log::default(), None);
    loop {
        let page = audit::list(read, &filter, before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(log) };
        before = Some((last.at, last.id));
        for entry in page {
            match (entry.event.as_str(), entry.user_id, entry.session_id) {
                ("signed_in", _, Some(session)) => {
                    log.signed_in.insert(session);
                }
                ("signed_out", _, Some(session)) => *log.signed_out.entry(session).or_default() += 1,
                ("signed_out", Some(user), None) => *log.signed_out_everywhere.entry(user).or_default() += 1,
                ("user_disabled", Some(user), _) => *log.disabled.entry(user).or_default() += 1,
                ("role_granted" | "role_withdrawn", Some(user), _) => {
                    let role = entry.details["role"].as_str().ok_or("a role change without its role")?.parse()?;
                    *log.role_changes.entry((user, role)).or_default() += 1;
                }
                _ => {}
            }
        }
    }
}

/// Reads the database in one snapshot and compares it with the ledger, the feed and the audit log.
pub async fn found(store: &Store, load: &Load, mark: Mark, ledger: &Ledger) -> Checked<Found> {
    let mut read = store.snapshot().await?;
    let entries = feed(&mut read, mark.position).await?;
    let log = log(&mut read, mark).await?;
    let mut found = Found { problems: ledger.problems.clone(), started: log.signed_in.clone(), ..Found::default() };

    let mut ended = HashMap::new();
    let (mut user_changes, mut disabled_in_feed) = (HashMap::<UserId, u32>::new(), HashSet::new());
    for entry in entries {
        match entry.change {
            Change::SessionEnded { session, reason, .. } => {
                let twice = ended.insert(session, reason).is_some();
                found.demand(!twice, || format!("the feed ends {session} twice"));
            }
            Change::UserChanged { user } => *user_changes.entry(user).or_default() += 1,
            Change::UserDisabled { user } => {
                disabled_in_feed.insert(user);
            }
            _ => {}
        }
    }

    // Every session, as stored and as told.
    let known: Vec<SessionId> =
        load.cast.held().map(|held| held.session).chain(found.started.iter().copied()).collect();
    for session in known {
        let Some(stored) = sessions::find(&mut read, &session).await? else {
            found.problems.push(format!("{session} is in the audit log or was there before, and is not in the table"));
            continue;
        };
        let reason = stored.ended.map(|ended| ended.reason);
        found.demand(reason == ended.get(&session).copied(), || {
            format!("{session} ended: the table says {reason:?}, the feed says {:?}", ended.get(&session))
        });
        found.sessions.insert(session, reason);
    }
    sign_ins(&mut read, load, ledger, &mut found).await?;
    sign_outs(load, ledger, &log, &mut found);
    for (user, sessions) in load.cast.to_disable.iter().map(|sessions| (sessions[0].user, sessions)) {
        let disabled = users::find(&mut read, &user).await?.is_some_and(|user| user.disabled_at.is_some());
        let logged = log.disabled.get(&user).copied().unwrap_or_default();
        all_or_nothing(&mut found, "disabling", user, sessions, ledger.disabled.expects(&user), logged);
        let ended = found.sessions.get(&sessions[0].session).copied().flatten().is_some();
        found.demand(disabled == ended && disabled == disabled_in_feed.contains(&user), || {
            format!("{user} is half disabled: {disabled}, sessions ended: {ended}")
        });
    }
    for held in &load.cast.changing {
        let user = held.user;
        let holds = roles::assignments_of(&mut read, &user).await?.role_ids;
        let mut in_log = 0;
        for (role, name) in &load.furnished.roles {
            let key = (user, *role);
            let acknowledged = ledger.role_changes.get(&key).copied().unwrap_or_default();
            let logged = log.role_changes.get(&key).copied().unwrap_or_default();
            let one_more = ledger.changing_roles.contains(&key) && logged == acknowledged + 1;
            found.demand(logged == acknowledged || one_more, || {
                format!("{name} of {user} was changed {acknowledged} times, the audit log tells of {logged}")
            });
            found.demand(holds.contains(role) == (logged % 2 == 1), || {
                format!("{user} holds {name}: {}, after {logged} changes in the audit log", holds.contains(role))
            });
            in_log += logged;
        }
        let in_feed = user_changes.get(&user).copied().unwrap_or_default();
        found.demand(in_feed == in_log, || {
            format!("{user} was changed {in_feed} times by the feed, {in_log} times by the audit log")
        });
        let mut names: Vec<String> = load
            .furnished
            .roles
            .iter()
            .filter(|(role, _)| holds.contains(role))
            .map(|(_, name)| name.clone())
            .collect();
        names.sort_unstable();
        found.roles.insert(user, names);
    }
    Ok(found)
}

async fn sign_ins(read: &mut Read, load: &Load, ledger: &Ledger, found: &mut Found) -> Checked<()> {
    for signed_in in &ledger.signed_in {
        let session = signed_in.session;
        let there = found.started.contains(&session);
        found.demand(there, || format!("the acknowledged sign-in {session} is lost"));
    }
    let unasked = found.started.len().saturating_sub(ledger.signed_in.len());
    found.demand(unasked <= ledger.signing_in.len(), || format!("{unasked} sessions that nobody asked for"));
    for (user, _) in &load.cast.arriving {
        for session in sessions::live_of(read, user, crate::furnish::instant()).await? {
            let told = found.started.contains(&session.id);
            found.demand(told, || format!("{} of {user} is not in the audit log", session.id));
        }
    }
    Ok(())
}

fn sign_outs(load: &Load, ledger: &Ledger, log: &Log, found: &mut Found) {
    for held in &load.cast.leaving {
        let session = held.session;
        let ended = found.sessions.get(&session).copied().flatten();
        let expected = ledger.signed_out.expects(&session);
        found.demand(expected.fits(ended.is_some()), || {
            format!("sign-out of {session}: expected {expected:?}, found {ended:?}")
        });
        let logged = log.signed_out.get(&session).copied().unwrap_or_default();
        found.demand(logged == u32::from(ended.is_some()), || {
            format!("{session} ended: {ended:?}, and the audit log tells of it {logged} times")
        });
    }
    for sessions in &load.cast.leaving_everywhere {
        let user = sessions[0].user;
        let logged = log.signed_out_everywhere.get(&user).copied().unwrap_or_default();
        let expected = ledger.signed_out_everywhere.expects(&user);
        all_or_nothing(found, "sign-out everywhere", user, sessions, expected, logged);
    }
    for held in load.cast.changing.iter().chain(&load.cast.staying) {
        let ended = found.sessions.get(&held.session).copied().flatten();
        found.demand(ended.is_none(), || format!("{} ended by itself: {ended:?}", held.session));
    }
}

/// All of a person's sessions have ended, with one entry in the audit log, or none has, with none.
fn all_or_nothing(found: &mut Found, what: &str, user: UserId, held: &[Held], expected: Expected, logged: u32) {
    let ended = held.iter().filter(|held| found.sessions.get(&held.session).copied().flatten().is_some()).count();
    let whole = ended == 0 || ended == held.len();
    found.demand(whole, || format!("{what} of {user} is half done: {ended} of {} sessions ended", held.len()));
    found.demand(expected.fits(ended > 0), || format!("{what} of {user}: expected {expected:?}, {ended} ended"));
    found.demand(logged == u32::from(ended > 0), || {
        format!("{what} of {user}: {ended} sessions ended, the audit log tells of it {logged} times")
    });
}

/// Asks the server about every session, and lists everything that is wrong, there and in the database.
pub async fn problems(door: &Door, load: &Load, ledger: &Ledger, found: &Found) -> Checked<Vec<String>> {
    let mut problems = found.problems.clone();
    let arrived = ledger.signed_in.iter().map(|signed_in| (signed_in.session, &signed_in.pass, &[][..]));
    let held = load.cast.held().map(|held| {
        let roles = found.roles.get(&held.user).map_or(&[][..], Vec::as_slice);
        (held.session, &held.pass, roles)
    });
    for (session, pass, roles) in held.chain(arrived) {
        let answer = door.introspect(&load.furnished.secret, pass).await?;
        let ended = found.sessions.get(&session).copied().flatten();
        let right = match &ended {
            Some(_) => answer == Answer::Inactive,
            None => answer == Answer::Active { session, roles: roles.to_vec() },
        };
        if !right {
            problems.push(format!("{session} (ended: {ended:?}, roles: {roles:?}): the server says {answer:?}"));
        }
    }
    let ended = |held: &&Held| found.sessions.get(&held.session).copied().flatten().is_some();
    for held in load.cast.held().filter(ended).take(TRIED_AGAIN) {
        let refreshed = door.refresh(&held.secret).await?;
        if !matches!(refreshed, Refreshed::NoSession) {
            problems.push(format!("{} has ended, and its cookie gets {refreshed:?}", held.session));
        }
    }
    for held in &load.cast.staying {
        let refreshed = door.refresh(&held.secret).await?;
        if !matches!(refreshed, Refreshed::Pass(_)) {
            problems.push(format!("{} has not ended, and its cookie gets {refreshed:?}", held.session));
        }
    }
    Ok(problems)
}
