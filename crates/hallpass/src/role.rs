//! `hallpass role`: the roles of an app, what they give, and who holds them.

use clap::{Args, Subcommand};
use hallpass_core::id::{AppKey, PermissionName, RoleName};
use hallpass_server::admin::roles::{self as verbs, Grantee};
use hallpass_store::roles::{self, Role};
use serde_json::json;

use crate::print::{Listing, done, joined};
use crate::shell::{ACTOR, Failure, Shell};
use crate::which::WhichHolder;

/// What can be done with roles.
#[derive(Subcommand)]
pub enum Verb {
    /// Add a role to an app
    Add(Definition),
    /// Give a role these permissions and no others
    Change(Definition),
    /// List roles
    List {
        /// Of this app only
        #[arg(long)]
        app: Option<AppKey>,
    },
    /// Remove a role; whoever held it loses it
    Remove(Named),
    /// Give a role to a user or a group
    Grant(Assignment),
    /// Take a role from a user or a group
    Revoke(Assignment),
}

/// A role and what it gives.
#[derive(Args)]
pub struct Definition {
    #[command(flatten)]
    named: Named,
    /// A permission it gives; may be repeated
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<PermissionName>,
}

/// One role of one app.
#[derive(Args)]
pub struct Named {
    /// The app's key
    #[arg(long)]
    app: AppKey,
    /// The role's name
    #[arg(long)]
    role: RoleName,
}

/// A role and who holds it.
#[derive(Args)]
pub struct Assignment {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    holder: WhichHolder,
}

/// Runs it.
pub async fn run(verb: Verb, shell: &Shell) -> Result<(), Failure> {
    match verb {
        Verb::Add(definition) => define(definition, false, shell).await,
        Verb::Change(definition) => define(definition, true, shell).await,
        Verb::List { app } => {
            shell
                .with_store(async |store| {
                    let mut read = store.snapshot().await?;
                    if let Some(app) = &app {
                        hallpass_server::admin::apps::find(&mut read, app).await?;
                    }
                    let mut listing = Listing::new(shell.json, &["APP", "ROLE", "PERMISSIONS"]);
                    let roles = roles::all(&mut read).await?;
                    for role in roles.iter().filter(|role| app.as_ref().is_none_or(|app| role.app == *app)) {
                        let cells = vec![role.app.to_string(), role.name.to_string(), joined(&role.permissions)];
                        listing.row(&cells, &object(role))?;
                    }
                    Ok(listing.end("There are no roles yet.")?)
                })
                .await
        }
        Verb::Remove(Named { app, role }) => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    verbs::remove(&mut write, &app, &role, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    Ok(done(
                        shell.json,
                        format!("Removed role {role} of app {app}."),
                        &json!({ "app": app, "removed": role }),
                    )?)
                })
                .await
        }
        Verb::Grant(assignment) => assign(assignment, true, shell).await,
        Verb::Revoke(assignment) => assign(assignment, false, shell).await,
    }
}

async fn define(definition: Definition, change: bool, shell: &Shell) -> Result<(), Failure> {
    let Definition { named: Named { app, role }, permissions } = definition;
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let role = if change {
                verbs::change(&mut write, &app, &role, permissions, &ACTOR, shell.now).await?
            } else {
                verbs::add(&mut write, &app, &role, permissions, &ACTOR, shell.now).await?
            };
            write.commit().await?;
            let sentence = format!("Role {} of app {app} gives: {}.", role.name, joined(&role.permissions));
            Ok(done(shell.json, sentence, &object(&role))?)
        })
        .await
}

async fn assign(assignment: Assignment, grant: bool, shell: &Shell) -> Result<(), Failure> {
    let Assignment { named: Named { app, role }, holder } = assignment;
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let role = verbs::find(&mut write, &app, &role).await?;
            let holder = holder.find(&mut write).await?;
            let changed = if grant {
                verbs::grant(&mut write, &role, &holder, &ACTOR, shell.now).await?
            } else {
                verbs::withdraw(&mut write, &role, &holder, &ACTOR, shell.now).await?
            };
            // "Revoked" must not be read as "cannot any more" while a group still gives it.
            let still = match &holder {
                Grantee::User(user) if !grant => verbs::groups_that_give(&mut write, &role, user).await?,
                _ => Vec::new(),
            };
            write.commit().await?;
            let role_of_app = format!("role {} of app {app}", role.name);
            let sentence = match (grant, changed) {
                (true, true) => format!("{holder} holds {role_of_app} now."),
                (true, false) => format!("{holder} holds {role_of_app} already."),
                (false, _) if !still.is_empty() => {
                    format!("{holder} still holds {role_of_app}, though not directly: through {}.", joined(&still))
                }
                (false, true) => format!("{holder} no longer holds {role_of_app}."),
                (false, false) => format!("{holder} did not hold {role_of_app}."),
            };
            let object = json!({ "changed": changed, "still_through_groups": still });
            Ok(done(shell.json, sentence, &object)?)
        })
        .await
}

fn object(role: &Role) -> serde_json::Value {
    json!({ "id": role.id, "app": role.app, "name": role.name, "permissions": role.permissions })
}
