//! `hallpass group`: groups of users, and what their members are given together.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use hallpass_core::id::{AppKey, GroupName, PermissionName};
use hallpass_server::admin::roles::Grantee;
use hallpass_server::admin::{groups as verbs, users as user_verbs};
use hallpass_store::{Store, groups, roles, users};
use serde_json::json;

use crate::print::{Listing, done, instant, joined};
use crate::shell::{ACTOR, Failure, Shell};
use crate::user::change_permissions;

/// What can be done with groups.
#[derive(Subcommand)]
pub enum Verb {
    /// Add a group
    Add {
        /// Its name
        group: GroupName,
    },
    /// List groups and the roles they give
    List,
    /// List the members of a group
    Members {
        /// Its name
        group: GroupName,
    },
    /// Remove a group; its members lose what it gave
    Remove {
        /// Its name
        group: GroupName,
    },
    /// Put a user into a group
    AddMember(Membership),
    /// Take a user out of a group
    RemoveMember(Membership),
    /// Give permissions of an app to every member, without a role
    Grant(DirectGrant),
    /// Take such permissions away
    Revoke(DirectGrant),
}

/// A group and a user.
#[derive(Args)]
pub struct Membership {
    /// The group's name
    group: GroupName,
    /// User name or user id
    #[arg(long)]
    user: String,
}

/// A group and permissions of an app.
#[derive(Args)]
pub struct DirectGrant {
    /// The group's name
    group: GroupName,
    /// The app's key
    #[arg(long)]
    app: AppKey,
    /// A permission; may be repeated
    #[arg(long = "permission", required = true, value_name = "PERMISSION")]
    permissions: Vec<PermissionName>,
}

/// Runs it.
pub async fn run(verb: Verb, shell: &Shell) -> Result<(), Failure> {
    match verb {
        Verb::Add { group } => {
            shell
                .with_new_store(async |store| {
                    let mut write = store.write().await?;
                    let group = verbs::add(&mut write, &group, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let object = json!({ "id": group.id, "name": group.name, "created_at": instant(group.created_at) });
                    Ok(done(shell.json, format!("Added group {}.", group.name), &object)?)
                })
                .await
        }
        Verb::List => shell.with_store(async |store| list(store, shell).await).await,
        Verb::Members { group } => shell.with_store(async |store| members(store, &group, shell).await).await,
        Verb::Remove { group } => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    verbs::remove(&mut write, &group, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    Ok(done(shell.json, format!("Removed group {group}."), &json!({ "removed": group }))?)
                })
                .await
        }
        Verb::AddMember(pair) => membership(pair, true, shell).await,
        Verb::RemoveMember(pair) => membership(pair, false, shell).await,
        Verb::Grant(given) => permissions(given, true, shell).await,
        Verb::Revoke(given) => permissions(given, false, shell).await,
    }
}

async fn list(store: &Store, shell: &Shell) -> Result<(), Failure> {
    let mut read = store.snapshot().await?;
    let policy = roles::policy(&mut read).await?;
    let names: BTreeMap<_, _> =
        policy.roles.iter().map(|role| (role.id, format!("{}/{}", role.app, role.name))).collect();
    let mut listing = Listing::new(shell.json, &["GROUP", "ROLES", "PERMISSIONS"]);
    for group in groups::all(&mut read).await? {
        let held = policy.group_roles.iter().filter(|(id, _)| *id == group.id);
        let held: Vec<_> = held.filter_map(|(_, role)| names.get(role)).collect();
        let single = policy.group_permissions.iter().filter(|(id, ..)| *id == group.id);
        let single: Vec<_> = single.map(|(_, app, permission)| format!("{app}/{permission}")).collect();
        let object = json!({
            "id": group.id, "name": group.name, "created_at": instant(group.created_at), "roles": held, "permissions": single,
        });
        listing.row(&[group.name.to_string(), joined(&held), joined(&single)], &object)?;
    }
    Ok(listing.end("There are no groups yet.")?)
}

async fn members(store: &Store, name: &GroupName, shell: &Shell) -> Result<(), Failure> {
    const PAGE: u32 = 500;
    let mut read = store.read().await?;
    let group = verbs::find(&mut read, name).await?;
    let mut listing = Listing::new(shell.json, &["USER", "NAME"]);
    let mut after = None;
    loop {
        let page = groups::members(&mut read, &group.id, after.as_ref(), PAGE).await?;
        for id in &page {
            if let Some(user) = users::find(&mut read, id).await? {
                let object = json!({ "id": user.id, "username": user.username, "display_name": user.display_name });
                listing.row(&[user.username.to_string(), user.display_name.to_string()], &object)?;
            }
        }
        after = page.last().copied();
        if page.len() < PAGE as usize {
            return Ok(listing.end("Nobody is in this group.")?);
        }
    }
}

async fn membership(pair: Membership, member: bool, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let group = verbs::find(&mut write, &pair.group).await?;
            let user = user_verbs::find(&mut write, &pair.user).await?;
            let changed = if member {
                verbs::add_member(&mut write, &group, &user, &ACTOR, shell.now).await?
            } else {
                verbs::remove_member(&mut write, &group, &user, &ACTOR, shell.now).await?
            };
            write.commit().await?;
            let (state, was) = (if member { "in" } else { "not in" }, if changed { "now" } else { "already" });
            let sentence = format!("{} is {was} {state} group {}.", user.username, group.name);
            Ok(done(shell.json, sentence, &json!({ "changed": changed }))?)
        })
        .await
}

async fn permissions(given: DirectGrant, grant: bool, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let holder = Grantee::Group(verbs::find(&mut write, &given.group).await?);
            change_permissions(write, &given.app, &given.permissions, &holder, grant, shell).await
        })
        .await
}
