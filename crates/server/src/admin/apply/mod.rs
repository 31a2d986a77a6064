//! `hallpass apply`: brings the registry (zones, apps, roles, groups, who holds what) to what one TOML file says.
//!
//! [`plan`] compares and changes nothing; [`execute`] takes the steps of a plan, each with its own audit entry, in one transaction.
//! Running it twice takes no second step. Nothing is removed unless pruning is asked for, and even then only from sections that
//! the file has.

mod file;
mod plan;
mod words;

use hallpass_core::app::App;
use hallpass_core::audit::{Actor, Event};
use hallpass_core::id::{AppKey, GroupName, PermissionName, RoleName, UserId, ZoneName};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_store::{Read, Write};

pub use file::{AppEntry, File, GroupEntry, UserEntry, ZoneEntry};
pub use plan::plan;

use super::roles::Grantee;
use super::{AdminError, apps, entry, groups, record, roles, users, zones};

/// One difference between what is and what the file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What kind of difference.
    pub sign: Sign,
    /// For people.
    pub text: String,
    action: Action,
}

/// How a step begins in a printed plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Add,
    /// `~`
    Change,
    /// `-`
    Remove,
}

impl Sign {
    /// `+`, `~`, `-`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Remove => "-",
        }
    }
}

/// Names, not identifiers: what it names may be made by an earlier step.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    PutZone(Zone),
    RemoveZone(ZoneName),
    PutApp(Box<App>),
    DisableApp(AppKey, bool),
    RemoveApp(AppKey),
    PutRole(AppKey, RoleName, Vec<PermissionName>),
    RemoveRole(AppKey, RoleName),
    AddGroup(GroupName),
    RemoveGroup(GroupName),
    AddMember(GroupName, UserId),
    RemoveMember(GroupName, UserId),
    Grant(Who, Held),
    Withdraw(Who, Held),
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    User(UserId),
    Group(GroupName),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Role(AppKey, RoleName),
    Permission(AppKey, PermissionName),
}

/// Takes every step of a plan that was made in this very transaction. The caller commits: all of them, or none.
pub async fn execute(write: &mut Write, steps: &[Step], actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    for step in steps {
        take(write, &step.action, actor, now).await?;
    }
    if steps.is_empty() {
        return Ok(());
    }
    let count = u64::try_from(steps.len()).unwrap_or(u64::MAX);
    record(write, entry(Event::ConfigurationApplied, actor, now).with("steps", &count)).await
}

async fn take(write: &mut Write, action: &Action, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    match action {
        Action::PutZone(zone) => zones::put(write, zone, actor, now).await,
        Action::RemoveZone(name) => zones::remove(write, name, actor, now).await,
        Action::PutApp(app) => apps::put(write, app, actor, now).await,
        Action::DisableApp(key, disabled) => apps::set_disabled(write, key, *disabled, actor, now).await.map(drop),
        Action::RemoveApp(key) => apps::remove(write, key, actor, now).await,
        Action::PutRole(app, name, permissions) => {
            roles::put(write, app, name, permissions.clone(), actor, now).await.map(drop)
        }
        Action::RemoveRole(app, name) => roles::remove(write, app, name, actor, now).await,
        Action::AddGroup(name) => groups::add(write, name, actor, now).await.map(drop),
        Action::RemoveGroup(name) => groups::remove(write, name, actor, now).await,
        Action::AddMember(group, user) => {
            let (group, user) = (groups::find(write, group).await?, users::find(write, &user.to_string()).await?);
            groups::add_member(write, &group, &user, actor, now).await.map(drop)
        }
        Action::RemoveMember(group, user) => {
            let (group, user) = (groups::find(write, group).await?, users::find(write, &user.to_string()).await?);
            groups::remove_member(write, &group, &user, actor, now).await.map(drop)
        }
        Action::Grant(who, held) => {
            let to = grantee(write, who).await?;
            match held {
                Held::Role(app, name) => {
                    let role = roles::find(write, app, name).await?;
                    roles::grant(write, &role, &to, actor, now).await.map(drop)
                }
                Held::Permission(app, name) => {
                    roles::grant_permission(write, app, name, &to, actor, now).await.map(drop)
                }
            }
        }
        Action::Withdraw(who, held) => {
            let from = grantee(write, who).await?;
            match held {
                Held::Role(app, name) => {
                    let role = roles::find(write, app, name).await?;
                    roles::withdraw(write, &role, &from, actor, now).await.map(drop)
                }
                Held::Permission(app, name) => {
                    roles::withdraw_permission(write, app, name, &from, actor, now).await.map(drop)
                }
            }
        }
    }
}

async fn grantee(read: &mut Read, who: &Who) -> Result<Grantee, AdminError> {
    Ok(match who {
        Who::User(id) => Grantee::User(users::find(read, &id.to_string()).await?),
        Who::Group(name) => Grantee::Group(groups::find(read, name).await?),
    })
}
