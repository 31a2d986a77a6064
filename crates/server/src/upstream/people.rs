//! What an upstream says of a person, written down here: a new user, names that have changed, groups that belong to it. Protocol §10.

use hallpass_core::audit::{Actor, Entry, Event, Loggable};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{GroupName, UserId};
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::traits::TraitPaths;
use hallpass_core::user::{DisplayName, User, Username};
use hallpass_store::{StoreError, Write, audit, groups, users};
use serde_json::Value;

use crate::config::GroupMapping;

/// Makes the user of somebody who comes for the first time.
pub async fn add(
    write: &mut Write,
    upstream: &impl Loggable,
    paths: &TraitPaths,
    said: &Value,
    username: Username,
    now: Timestamp,
) -> Result<User, StoreError> {
    let random = &mut SystemRandom;
    let shown = paths.display_name(said);
    // A user name has no more characters than a shown one may have, and none that it may not.
    let shown = shown.map_or_else(|| username.as_str().parse::<DisplayName>(), Ok).map_err(broken)?;
    let user = User {
        id: UserId::mint(random),
        username,
        display_name: shown,
        email: paths.email(said),
        attributes: std::collections::BTreeMap::new(),
        disabled_at: None,
        must_change_password: false,
        created_at: now,
    };
    users::add(write, &user).await?;
    let entry = Entry::new(Event::UserAdded, Actor::System, now, random).user(user.id).with("username", &user.username);
    audit::append(write, &(&entry.with("upstream", upstream)).into()).await?;
    Ok(user)
}

/// Takes over what the upstream now says of the person. What it does not say stays.
pub async fn refresh(
    write: &mut Write,
    upstream: &impl Loggable,
    paths: &TraitPaths,
    said: &Value,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(before) = users::find(write, user).await? else { return Ok(()) };
    let mut after = before.clone();
    if let Some(shown) = paths.display_name(said) {
        after.display_name = shown;
    }
    if let Some(email) = paths.email(said) {
        after.email = Some(email);
    }
    if after == before {
        return Ok(());
    }
    users::update(write, &after, now).await?;
    let entry = Entry::new(Event::UserChanged, Actor::System, now, &mut SystemRandom).user(*user);
    audit::append(write, &(&entry.with("upstream", upstream)).into()).await
}

/// Puts a user into the groups that what the upstream has `said` means, and takes them out of the others that belong to it. No other group is touched.
pub async fn put_into_groups(
    write: &mut Write,
    upstream: &impl Loggable,
    mapping: &GroupMapping,
    said: &[&str],
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let means =
        |name: &GroupName| mapping.map.iter().any(|(value, group)| group == name && said.contains(&value.as_str()));
    let mut names: Vec<&GroupName> = mapping.map.values().collect();
    names.sort();
    names.dedup();
    for name in names {
        let Some(group) = groups::by_name(write, name).await? else {
            tracing::warn!(group = %name, "an upstream's groups are mapped to a group that is not there: add it with `hallpass group add`");
            continue;
        };
        let (event, changed) = if means(name) {
            (Event::GroupMemberAdded, groups::add_member(write, &group.id, user, now).await?)
        } else {
            (Event::GroupMemberRemoved, groups::remove_member(write, &group.id, user, now).await?)
        };
        if changed {
            let entry = Entry::new(event, Actor::System, now, &mut SystemRandom).user(*user).with("group", &group.name);
            audit::append(write, &(&entry.with("upstream", upstream)).into()).await?;
        }
    }
    Ok(())
}

fn broken(error: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(error.to_string().into())
}
