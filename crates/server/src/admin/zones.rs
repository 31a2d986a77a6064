//! Zones: sets of hosts that share one pass cookie. Protocol §1.

use hallpass_core::audit::{Actor, Event};
use hallpass_core::id::ZoneName;
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_store::{Read, StoreError, Write, zones};

use super::{AdminError, entry, record};

/// By name.
pub async fn find(read: &mut Read, name: &ZoneName) -> Result<Option<Zone>, AdminError> {
    Ok(zones::all(read).await?.into_iter().find(|zone| zone.name == *name))
}

/// Adds a zone.
pub async fn add(write: &mut Write, zone: &Zone, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    if find(write, &zone.name).await?.is_some() {
        return Err(AdminError::Exists(format!("there is a zone {} already; `hallpass apply` changes it", zone.name)));
    }
    put(write, zone, actor, now).await
}

/// Adds a zone or gives the one of this name its new properties.
pub async fn put(write: &mut Write, zone: &Zone, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    let event = if find(write, &zone.name).await?.is_some() { Event::ZoneChanged } else { Event::ZoneAdded };
    zone.check().map_err(|error| AdminError::Refused(format!("zone {}: {error}", zone.name)))?;
    zones::upsert(write, zone, now).await.map_err(|error| match error {
        error if error.conflicts_on("zones(alias)") => {
            AdminError::Refused("another zone has this alias already".to_owned())
        }
        error if error.conflicts_on("zones(home)") => {
            AdminError::Refused("another zone is home already; only one zone can be".to_owned())
        }
        error => error.into(),
    })?;
    record(write, entry(event, actor, now).with("zone", &zone.name).with("home", &zone.home)).await
}

/// Removes a zone without apps.
pub async fn remove(write: &mut Write, name: &ZoneName, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    let Some(zone) = find(write, name).await? else {
        return Err(AdminError::NotFound(format!("there is no zone {name}; `hallpass zone list` shows them")));
    };
    if zone.home {
        return Err(AdminError::Refused(format!("{name} is the home zone: the engine cannot be without one")));
    }
    zones::remove(write, name, now).await.map_err(|error| match error {
        StoreError::Dangling => AdminError::Refused(format!(
            "there are apps in zone {name}; move or remove them first (`hallpass app list`)"
        )),
        error => error.into(),
    })?;
    record(write, entry(Event::ZoneRemoved, actor, now).with("zone", name)).await
}
