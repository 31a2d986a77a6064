//! The services that an app asks to call in somebody's name (RFC 8707): what people read about them, and whether they may enter them.

use std::sync::Arc;

use hallpass_core::app::App;
use hallpass_core::id::{Audience, UserId};
use hallpass_core::oidc::{Resources, is_named};
use hallpass_store::StoreError;
use hallpass_store::view::{Policy, Standing};

use crate::context::Context;

/// One of them, for a page.
#[derive(Debug, Clone)]
pub struct Service {
    /// What the app is called here that it is; none if it is no app of ours.
    pub name: Option<String>,
    /// What it is called in the tokens that are for it: an address, mostly.
    pub address: String,
}

/// As people read them: by the name that is theirs here, never by one that the app which asks has chosen.
pub fn shown(policy: &Policy, resources: &Resources) -> Vec<Service> {
    let service = |name: &Audience| Service {
        name: apps_named(policy, name).next().map(|index| policy.apps[index].app.name.clone()),
        address: name.to_string(),
    };
    resources.iter().map(service).collect()
}

/// Whether somebody may have `client` call this service in their name. The company's own apps may call what their declarations name, and the service
/// decides what it does for whom. An app of others is anybody's: it gets nobody to where they may not go themselves, even if the service only looks at
/// whom a token is for. One that is no app of ours has no such setting.
pub async fn may_enter(
    context: &Context,
    policy: &Arc<Policy>,
    client: &App,
    user: UserId,
    name: &Audience,
) -> Result<bool, StoreError> {
    if client.third_party {
        for index in apps_named(policy, name) {
            if !matches!(context.view.standing(policy, user, index).await?, Standing::Admitted(_)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The apps that a service of this name is, mostly one. What is disabled is none of them: whoever asks for it has been refused.
fn apps_named(policy: &Policy, name: &Audience) -> impl Iterator<Item = usize> {
    let apps = policy.apps.iter().enumerate();
    apps.filter(|(_, entry)| entry.app.disabled_at.is_none() && is_named(&entry.app, name.as_str()))
        .map(|(index, _)| index)
}
