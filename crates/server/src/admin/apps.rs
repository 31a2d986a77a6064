//! Apps and their secrets. A rotation overlaps: two secrets live side by side until the old one is seen no more. Protocol §4.

use std::time::Duration;

use hallpass_core::app::{App, AppSecret, Assertion};
use hallpass_core::audit::{Actor, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{AppKey, SecretId, UserId};
use hallpass_core::oidc::{
    ClientKind, DESCRIBED_KEY_PREFIX, REGISTERED_KEY_PREFIX, check_redirect_uri, check_subjects, may_be_open_as,
};
use hallpass_core::secret::{Secret, SecretKey};
use hallpass_core::time::Timestamp;
use hallpass_core::user::DisplayName;
use hallpass_core::zone::Zone;
use hallpass_store::{Read, Write, apps};

use super::{AdminError, ago, entry, record, span, zones};

/// A secret used within this time counts as in use. Uses are written down every half minute.
pub const IN_USE: Duration = Duration::from_mins(10);

/// By key.
pub async fn find(read: &mut Read, key: &AppKey) -> Result<App, AdminError> {
    apps::find(read, key)
        .await?
        .ok_or_else(|| AdminError::NotFound(format!("there is no app {key}; `hallpass app list` shows them")))
}

/// Registers an app. It has no secret yet.
pub async fn add(write: &mut Write, app: &App, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    if apps::find(write, &app.key).await?.is_some() {
        return Err(AdminError::Exists(format!("there is an app {} already; `hallpass apply` changes it", app.key)));
    }
    put(write, app, actor, now).await
}

/// Registers an app or gives the one of this key its new properties. Whether it is disabled stays as it was.
pub async fn put(write: &mut Write, app: &App, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    let zone = zones::find(write, &app.zone).await?.ok_or_else(|| no_zone(app))?;
    check(app, &zone)?;
    let known = apps::find(write, &app.key).await?;
    let event = if known.is_some() { Event::AppChanged } else { Event::AppAdded };
    let app = App { disabled_at: known.and_then(|known| known.disabled_at), ..app.clone() };
    apps::upsert(write, &app, now).await?;
    let mut entry = entry(event, actor, now).app(&app.key).with("zone", &app.zone).with("access", &app.access);
    if let Some(front) = app.origins.first() {
        entry = entry.with("origin", front);
    }
    record(write, entry.with("relayed_sign_in", &app.relayed_sign_in)).await
}

/// The error of an app whose zone is not there.
pub(super) fn no_zone(app: &App) -> AdminError {
    let (app, zone) = (&app.key, &app.zone);
    AdminError::NotFound(format!(
        "app {app} is to be in zone {zone}, which is not there; `hallpass zone add {zone} --cookie-domain company.com --home` adds it"
    ))
}

/// Whether the app can work in its zone: the zone's pass cookie must reach its origins.
pub(crate) fn check(app: &App, zone: &Zone) -> Result<(), AdminError> {
    if let Err(problem) = app.name.parse::<DisplayName>() {
        return Err(AdminError::Refused(format!("the name of app {} {problem}", app.key)));
    }
    if app.assertion != Assertion::None && !app.agent {
        return Err(AdminError::Refused(format!(
            "app {}: assertion says how handoffs reach an app that is its own agent; set agent = true, too",
            app.key
        )));
    }
    if app.key.as_str().starts_with(REGISTERED_KEY_PREFIX) && !app.registered {
        return Err(AdminError::Refused(format!(
            "app {}: keys that begin with {REGISTERED_KEY_PREFIX} are those of clients that register themselves; give it another one",
            app.key
        )));
    }
    if app.key.as_str().starts_with(DESCRIBED_KEY_PREFIX) && app.client_id.is_none() {
        return Err(AdminError::Refused(format!(
            "app {}: keys that begin with {DESCRIBED_KEY_PREFIX} are those of clients that describe themselves; give it another one",
            app.key
        )));
    }
    if app.forward_auth && app.origins.is_empty() {
        return Err(AdminError::Refused(format!(
            "app {}: forward_auth is for an app with addresses, by which the gateway names it; give it origins, too",
            app.key
        )));
    }
    if let Some(name) = app.open_to_third_parties.iter().find(|name| !may_be_open_as(app, name)) {
        return Err(AdminError::Refused(format!(
            "app {}: {name} in open_to_third_parties is no address of this app: it is one of its origins, or a path there, without ? and #",
            app.key
        )));
    }
    if app.client_credentials && app.audiences.is_empty() {
        return Err(AdminError::Refused(format!(
            "app {}: client_credentials is for tokens for the services that it may call; name them in audiences, too",
            app.key
        )));
    }
    if app.client_credentials && app.key.as_str().starts_with(UserId::PREFIX) {
        return Err(AdminError::Refused(format!(
            "app {}: its tokens would name it where those of people name a user, and its key reads like a user's id; give it another key",
            app.key
        )));
    }
    check_client(app)?;
    match app.origins.iter().find(|origin| !zone.covers(origin.host())) {
        None if zone.bound && !app.agent => Err(AdminError::Refused(format!(
            "app {} is in the bound zone {}: only the app itself can set a pass there, so it needs agent = true and an SDK that serves /.sso/*",
            app.key, zone.name
        ))),
        None => Ok(()),
        Some(origin) if zone.bound => Err(AdminError::Refused(format!(
            "{origin} is not {}, the one host of the bound zone {}",
            zone.cookie_domain, zone.name
        ))),
        Some(origin) => Err(AdminError::Refused(format!(
            "{origin} is not under {}, the cookie domain of zone {}: no browser would send a pass there",
            zone.cookie_domain, zone.name
        ))),
    }
}

/// Whether it can be the kind of OIDC client that it is said to be (protocol §12).
fn check_client(app: &App) -> Result<(), AdminError> {
    for uri in &app.redirect_uris {
        check_redirect_uri(app, uri).map_err(|unfit| AdminError::Refused(format!("app {}: {uri} {unfit}", app.key)))?;
    }
    if let Some(uri) = &app.initiate_login_uri {
        let refused =
            |problem: &str| Err(AdminError::Refused(format!("app {}: initiate_login_uri {problem}", app.key)));
        if app.redirect_uris.is_empty() {
            return refused("is for OIDC clients; name its redirect_uris, too");
        }
        if uri.origin().is_none() {
            return refused("must be an https address");
        }
    }
    if app.jwks.is_some() && app.client.kind.is_public() {
        return Err(AdminError::Refused(format!(
            "app {}: jwks is for clients that keep a private key to themselves; a {} client keeps nothing from whoever has it before them",
            app.key,
            app.client.kind.as_str()
        )));
    }
    check_subjects(app).map_err(|unfit| AdminError::Refused(format!("app {} {unfit}", app.key)))?;
    let native = app.client.kind == ClientKind::Native;
    match app.post_logout_redirect_uris.iter().find(|uri| uri.origin().is_none()) {
        Some(uri) if !native => Err(AdminError::Refused(format!(
            "app {}: {uri} has a scheme of its own, which is for native clients only: set client = \"native\", or use an https address",
            app.key
        ))),
        _ => Ok(()),
    }
}

/// Removes an app with its secrets, roles and everything assigned in it.
pub async fn remove(write: &mut Write, key: &AppKey, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    find(write, key).await?;
    apps::remove(write, key, now).await?;
    record(write, entry(Event::AppRemoved, actor, now).app(key)).await
}

/// Disables an app, which then gets no answers, or enables it again. Whether that changed anything.
pub async fn set_disabled(
    write: &mut Write,
    key: &AppKey,
    disabled: bool,
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, AdminError> {
    let mut app = find(write, key).await?;
    if app.disabled_at.is_some() == disabled {
        return Ok(false);
    }
    app.disabled_at = disabled.then_some(now);
    apps::upsert(write, &app, now).await?;
    let event = if disabled { Event::AppDisabled } else { Event::AppEnabled };
    record(write, entry(event, actor, now).app(key)).await?;
    Ok(true)
}

/// A secret that was just made: shown once, then known to nobody but the app.
#[derive(Debug)]
pub struct Minted {
    /// Names it in lists and in the audit log.
    pub id: SecretId,
    /// The secret itself.
    pub secret: Secret<SecretKey>,
}

/// Makes a secret for an app that has none or one.
pub async fn mint_secret(write: &mut Write, key: &AppKey, actor: &Actor, now: Timestamp) -> Result<Minted, AdminError> {
    if find(write, key).await?.client_id.is_some() {
        return Err(AdminError::Refused(format!(
            "app {key} describes itself: it shows who it is as its document says, and has no secret"
        )));
    }
    let minted = Minted { id: SecretId::mint(&mut SystemRandom), secret: Secret::mint(&mut SystemRandom) };
    let row = AppSecret {
        id: minted.id,
        app: key.clone(),
        digest: minted.secret.digest(),
        created_at: now,
        expires_at: None,
        last_used_at: None,
    };
    if !apps::add_secret(write, &row, now).await? {
        let evidence: Vec<_> =
            live_secrets(write, key, now).await?.iter().map(|secret| evidence(secret, now)).collect();
        return Err(AdminError::Refused(format!(
            "app {key} has two live secrets already: {}. Finish that rotation first: `hallpass app rotate-secret {key} --finish`",
            evidence.join("; ")
        )));
    }
    record(write, entry(Event::AppSecretMinted, actor, now).app(key).with("secret", &minted.id)).await?;
    Ok(minted)
}

/// Ends a rotation: only the newest secret stays. Refuses, unless forced, while the evidence says that an old one is still in use
/// or that the new one has not arrived. Returns the secrets that are gone.
pub async fn finish_rotation(
    write: &mut Write,
    key: &AppKey,
    force: bool,
    actor: &Actor,
    now: Timestamp,
) -> Result<Vec<AppSecret>, AdminError> {
    find(write, key).await?;
    let mut old = live_secrets(write, key, now).await?;
    let Some(new) = old.pop().filter(|_| !old.is_empty()) else {
        return Err(AdminError::Refused(format!(
            "there is nothing to finish: app {key} does not have two live secrets. `hallpass app rotate-secret {key}` makes the next one"
        )));
    };
    if let Some(problem) = old.iter().find_map(|old| still_needed(old, &new, now)).filter(|_| !force) {
        return Err(AdminError::Refused(format!(
            "{problem} Give the new secret to every instance of {key}, then try again; --force removes the old one all the same"
        )));
    }
    for secret in &old {
        remove_secret(write, secret, actor, now).await?;
    }
    Ok(old)
}

/// Replaces every secret of an app by a new one at once, without overlap.
pub async fn replace_secrets(
    write: &mut Write,
    key: &AppKey,
    actor: &Actor,
    now: Timestamp,
) -> Result<Minted, AdminError> {
    for old in apps::secrets_of(write, key).await? {
        remove_secret(write, &old, actor, now).await?;
    }
    mint_secret(write, key, actor, now).await
}

async fn remove_secret(write: &mut Write, secret: &AppSecret, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
    apps::remove_secret(write, &secret.id, now).await?;
    record(write, entry(Event::AppSecretRemoved, actor, now).app(&secret.app).with("secret", &secret.id)).await
}

/// An app's secrets that are not refused yet, the newest last.
pub async fn live_secrets(read: &mut Read, key: &AppKey, now: Timestamp) -> Result<Vec<AppSecret>, AdminError> {
    let mut secrets = apps::secrets_of(read, key).await?;
    secrets.retain(|secret| secret.expires_at.is_none_or(|end| end > now));
    Ok(secrets)
}

fn evidence(secret: &AppSecret, now: Timestamp) -> String {
    let used = secret.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", ago(at, now)));
    format!("{} (made {}, {used})", secret.id, ago(secret.created_at, now))
}

fn still_needed(old: &AppSecret, new: &AppSecret, now: Timestamp) -> Option<String> {
    let used = old.last_used_at?;
    if now.since(used) < IN_USE {
        let (evidence, span) = (evidence(old, now), span(IN_USE));
        return Some(format!("the old secret is still in use: {evidence}; it counts as unused after {span}."));
    }
    let unused = new.last_used_at.is_none();
    unused.then(|| {
        format!("the new secret has not been used yet: {}; the old one is {}.", evidence(new, now), evidence(old, now))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_goes_only_when_it_is_idle_and_the_new_one_has_arrived() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let secret = |used: Option<Duration>| AppSecret {
            id: SecretId::from_bytes([1; 16]),
            app: "pos".parse().expect("valid"),
            digest: hallpass_core::secret::Digest::from_bytes([0; 32]),
            created_at: now - Duration::from_hours(48),
            expires_at: None,
            last_used_at: used.map(|ago| now - ago),
        };
        let minutes = |minutes| Some(Duration::from_mins(minutes));
        for (old, new, needed) in [
            (minutes(0), minutes(0), true),
            (minutes(9), minutes(0), true),
            (minutes(10), minutes(0), false),
            (minutes(600), None, true),
            (None, None, false),
            (None, minutes(3), false),
        ] {
            let problem = still_needed(&secret(old), &secret(new), now);
            assert_eq!(problem.is_some(), needed, "{old:?} {new:?} {problem:?}");
        }
        let problem = still_needed(&secret(minutes(3)), &secret(None), now).expect("in use");
        assert!(problem.contains("made 2 days ago, last used 3 minutes ago"), "{problem}");
    }
}
