//! `hallpass user`: people, their passwords, and permissions they hold without a role.

mod import;

use clap::{Args, Subcommand};
use hallpass_core::id::{AppKey, GroupName, PermissionName};
use hallpass_core::user::{User, Username};
use hallpass_core::user_import;
use hallpass_server::admin::ago;
use hallpass_server::admin::roles::{self as role_verbs, Grantee};
use hallpass_server::admin::users::{self as verbs, Details};
use hallpass_store::{Store, Write, users};
use serde_json::{Value, json};

use crate::password::Source;
use crate::print::{Listing, counted, done, facts, instant, joined, maybe};
use crate::shell::{ACTOR, Failure, Shell};
use crate::which::Which;

/// What can be done with users.
#[derive(Subcommand)]
pub enum Verb {
    /// Add a user
    Add(Add),
    /// List users
    List {
        /// Only those whose user name begins so
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Show one user: groups, roles, permissions, sessions
    Show(Which),
    /// Set a user's password and end their sessions
    SetPassword(SetPassword),
    /// Make a user choose a new password before going on
    RequirePasswordChange(RequirePasswordChange),
    /// Say that a user's mail address is theirs, so that a provider that gives these addresses may sign them in
    VerifyEmail(Which),
    /// Lock a user out and end their sessions
    Disable(Which),
    /// Let a disabled user sign in again
    Enable(Which),
    /// Remove a user with everything assigned to them; the audit log stays
    Remove(Which),
    /// Add many users from a CSV or JSON Lines file, with the password hashes of another system
    Import(import::Arguments),
    /// Give permissions of an app without a role
    Grant(DirectGrant),
    /// Take such permissions away
    Revoke(DirectGrant),
}

/// What `user add` takes.
#[derive(Args)]
pub struct Add {
    /// What the person types to sign in
    username: Username,
    /// What pages and apps show; the user name if not given
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// For mail from us
    #[arg(long)]
    email: Option<String>,
    /// Put the user into this group; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<GroupName>,
    #[command(flatten)]
    password: Source,
    /// Add the user without a password: they cannot sign in until one is set
    #[arg(long, conflicts_with_all = ["password_stdin", "generate", "permanent"])]
    no_password: bool,
}

/// What `user set-password` takes.
#[derive(Args)]
pub struct SetPassword {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    password: Source,
}

/// What `user require-password-change` takes.
#[derive(Args)]
pub struct RequirePasswordChange {
    #[command(flatten)]
    which: Which,
    /// Take the requirement back
    #[arg(long)]
    withdraw: bool,
}

/// A user and permissions of an app.
#[derive(Args)]
pub struct DirectGrant {
    #[command(flatten)]
    which: Which,
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
        Verb::Add(new) => add(&new, shell).await,
        Verb::List { prefix } => shell.with_store(async |store| list(store, &prefix, shell).await).await,
        Verb::Show(which) => shell.with_store(async |store| show(store, &which, shell).await).await,
        Verb::SetPassword(set) => set_password(&set, shell).await,
        Verb::RequirePasswordChange(RequirePasswordChange { which, withdraw }) => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    let user = which.find(&mut write).await?;
                    let changed =
                        verbs::require_password_change(&mut write, &user, !withdraw, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let must = if withdraw {
                        "need not choose a new password"
                    } else {
                        "must choose a new password before going on"
                    };
                    let sentence = format!("{} {must}{}.", user.username, if changed { "" } else { ", as before" });
                    Ok(done(shell.json, sentence, &json!({ "changed": changed }))?)
                })
                .await
        }
        Verb::VerifyEmail(which) => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    let user = which.find(&mut write).await?;
                    verbs::verify_email(&mut write, &user, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let email = user.email.unwrap_or_default();
                    let sentence = format!("{email} is the address of {}.", user.username);
                    Ok(done(shell.json, sentence, &json!({ "user": user.username, "email": email }))?)
                })
                .await
        }
        Verb::Disable(which) => set_disabled(&which, true, shell).await,
        Verb::Enable(which) => set_disabled(&which, false, shell).await,
        Verb::Remove(which) => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    let user = which.find(&mut write).await?;
                    verbs::remove(&mut write, &user, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let object = json!({ "removed": user.id, "username": user.username });
                    Ok(done(shell.json, format!("Removed user {}.", user.username), &object)?)
                })
                .await
        }
        Verb::Import(import) => import::run(import, shell).await,
        Verb::Grant(given) => permissions(&given, true, shell).await,
        Verb::Revoke(given) => permissions(&given, false, shell).await,
    }
}

async fn add(new: &Add, shell: &Shell) -> Result<(), Failure> {
    // Checked by the rules of an import, so that there is one set of rules.
    let line = json!({
        "username": new.username,
        "display_name": new.display_name,
        "email": new.email,
        "groups": new.groups,
    });
    let mut user = user_import::json_line(&line.to_string(), 1).map_err(|error| error.reason.to_string())?;
    let mut generated = None;
    if !new.no_password {
        let chosen = new.password.choose(&new.username, &shell.config()?.password)?;
        (user.password_hash, user.must_change_password) = (Some(chosen.hash), chosen.must_change);
        generated = chosen.generated;
    }
    shell
        .with_new_store(async |store| {
            let mut write = store.write().await?;
            let user = verbs::add(&mut write, &user, &ACTOR, shell.now).await?;
            write.commit().await?;
            let mut object = object(&user);
            let sentence =
                with_password(format!("Added user {} ({}).", user.username, user.id), generated, &mut object);
            Ok(done(shell.json, sentence, &object)?)
        })
        .await
}

async fn set_password(set: &SetPassword, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            // Asked for, and hashed, outside of the transaction: both take their time.
            let user = set.which.find(&mut store.read().await?).await?;
            let chosen = set.password.choose(&user.username, &shell.config()?.password)?;
            let mut write = store.write().await?;
            let user = verbs::find(&mut write, &user.id.to_string()).await?;
            let ended =
                verbs::set_password(&mut write, &user, &chosen.hash, chosen.must_change, &ACTOR, shell.now).await?;
            write.commit().await?;
            let mut object =
                json!({ "user": user.username, "sessions_ended": ended, "must_change_password": chosen.must_change });
            let sentence = format!("The password of {} is set; ended {}.", user.username, counted(ended, "session"));
            let sentence = with_password(sentence, chosen.generated, &mut object);
            Ok(done(shell.json, sentence, &object)?)
        })
        .await
}

/// The only place that prints a password: one that was made here, once.
fn with_password(sentence: String, generated: Option<String>, object: &mut Value) -> String {
    let Some(password) = generated else { return sentence };
    let text = format!(
        "{sentence}\n\n  password  {password}\n\nIt is shown this once. Hand it over on a way that nobody else reads."
    );
    object["password"] = password.into();
    text
}

async fn list(store: &Store, prefix: &str, shell: &Shell) -> Result<(), Failure> {
    const PAGE: u32 = 500;
    // The order and the prefix are those of canonical names.
    let prefix = match prefix {
        "" => String::new(),
        text => text.parse::<Username>().map_err(|why| format!("--prefix {why}"))?.canonical().to_owned(),
    };
    let mut read = store.read().await?;
    let mut listing = Listing::new(shell.json, &["USER", "NAME", "E-MAIL", "STATE", "ADDED"]);
    let mut after = String::new();
    loop {
        let page = users::list(&mut read, &prefix, &after, PAGE).await?;
        for user in &page {
            let cells = vec![
                user.username.to_string(),
                user.display_name.to_string(),
                user.email.clone().unwrap_or_else(|| "-".to_owned()),
                state(user).to_owned(),
                instant(user.created_at),
            ];
            listing.row(&cells, &object(user))?;
        }
        if page.len() < PAGE as usize {
            return Ok(listing.end("There are no such users; `hallpass user add` adds one.")?);
        }
        after = page.last().map(|user| user.username.canonical().to_owned()).unwrap_or_default();
    }
}

async fn show(store: &Store, which: &Which, shell: &Shell) -> Result<(), Failure> {
    let mut read = store.snapshot().await?;
    let user = which.find(&mut read).await?;
    let Details { user, groups, roles, permissions, password, sessions } =
        verbs::details(&mut read, user, shell.now).await?;
    if shell.json {
        let mut object = object(&user);
        object["groups"] = groups.iter().map(|group| json!(group.name)).collect();
        object["roles"] =
            roles.iter().map(|(app, role, via)| json!({ "app": app, "role": role, "group": via })).collect();
        let held = permissions.iter().map(|(app, name, via)| json!({ "app": app, "permission": name, "group": via }));
        object["permissions"] = held.collect();
        object["password"] =
            json!(password.map(|(algorithm, at)| json!({ "algorithm": algorithm, "changed_at": instant(at) })));
        object["sessions"] = json!(sessions);
        return Ok(done(true, "", &object)?);
    }
    let via = |group: &Option<GroupName>| {
        group.as_ref().map_or_else(String::new, |group| format!(" (through group {group})"))
    };
    let mut shown = vec![
        ("user", user.username.to_string()),
        ("id", user.id.to_string()),
        ("name", user.display_name.to_string()),
        ("e-mail", user.email.clone().unwrap_or_else(|| "-".to_owned())),
        ("state", state(&user).to_owned()),
        ("added", instant(user.created_at)),
        (
            "password",
            password.map_or_else(
                || "none".to_owned(),
                |(algorithm, at)| format!("{algorithm}, set {}", ago(at, shell.now)),
            ),
        ),
        ("sessions", sessions.to_string()),
        ("groups", joined(groups.iter().map(|group| &group.name))),
    ];
    shown.extend(roles.iter().map(|(app, role, group)| ("role", format!("{app}/{role}{}", via(group)))));
    shown.extend(permissions.iter().map(|(app, name, group)| ("permission", format!("{app}/{name}{}", via(group)))));
    shown.extend(user.attributes.iter().map(|(name, value)| ("attribute", format!("{name} {value}"))));
    Ok(facts(&shown)?)
}

async fn set_disabled(which: &Which, disabled: bool, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let user = which.find(&mut write).await?;
            let changed = verbs::set_disabled(&mut write, &user, disabled, &ACTOR, shell.now).await?;
            write.commit().await?;
            let state = if disabled { "disabled" } else { "enabled" };
            let sentence = format!("{} is {state}{}.", user.username, if changed { " now" } else { " already" });
            Ok(done(shell.json, sentence, &json!({ "changed": changed }))?)
        })
        .await
}

async fn permissions(given: &DirectGrant, grant: bool, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let holder = Grantee::User(given.which.find(&mut write).await?);
            change_permissions(write, &given.app, &given.permissions, &holder, grant, shell).await
        })
        .await
}

/// Gives permissions to a user or group, or takes them away.
pub async fn change_permissions(
    mut write: Write,
    app: &AppKey,
    permissions: &[PermissionName],
    holder: &Grantee,
    grant: bool,
    shell: &Shell,
) -> Result<(), Failure> {
    let mut changed = false;
    for permission in permissions {
        changed |= if grant {
            role_verbs::grant_permission(&mut write, app, permission, holder, &ACTOR, shell.now).await?
        } else {
            role_verbs::withdraw_permission(&mut write, app, permission, holder, &ACTOR, shell.now).await?
        };
    }
    // "Revoked" must not be read as "cannot any more" while a role or a group still gives it.
    let still = match holder {
        Grantee::User(user) if !grant => verbs::what_gives(&mut write, user, app, permissions, shell.now).await?,
        _ => Vec::new(),
    };
    write.commit().await?;
    let named = format!("{} of app {app}", joined(permissions));
    let sentence = match (grant, changed) {
        (true, true) => format!("{holder} holds {named} now."),
        (true, false) => format!("{holder} holds {named} already."),
        (false, _) if !still.is_empty() => {
            format!("{holder} does not hold {named} directly, but still has it, or some of it, by {}.", joined(&still))
        }
        (false, true) => format!("{holder} no longer holds {named}."),
        (false, false) => format!("{holder} did not hold {named}."),
    };
    let mut object = json!({ "changed": changed });
    if !grant {
        object["still_through"] = json!(still);
    }
    Ok(done(shell.json, sentence, &object)?)
}

fn state(user: &User) -> &'static str {
    match (user.disabled_at, user.must_change_password) {
        (Some(_), _) => "disabled",
        (None, true) => "must change password",
        (None, false) => "enabled",
    }
}

fn object(user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "display_name": user.display_name,
        "email": user.email,
        "attributes": user.attributes,
        "disabled_at": maybe(user.disabled_at),
        "must_change_password": user.must_change_password,
        "created_at": instant(user.created_at),
    })
}
