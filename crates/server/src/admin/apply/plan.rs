//! The comparison: what is there, what the file says, and the steps from one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hallpass_core::app::App;
use hallpass_core::id::{AppKey, GroupId, GroupName, PermissionName, RoleId, RoleName, UserId, ZoneName};
use hallpass_core::oidc::ClientSettings;
use hallpass_core::user::User;
use hallpass_core::zone::Zone;
use hallpass_store::roles::{Policy, UserFacts};
use hallpass_store::{Read, groups, roles, users};

use super::file::{AppEntry, File};
use super::words::{app_differences, listed, said_of, zone_differences};
use super::{Action, Held, Sign, Step, Who};
use crate::admin::{AdminError, apps};

const PAGE: u32 = 1000;

type Roles = Option<BTreeMap<AppKey, Vec<RoleName>>>;
type Permissions = Option<BTreeMap<AppKey, Vec<PermissionName>>>;

/// The steps that bring the registry to what `file` says, in an order in which they can be taken. With `prune`, also those that
/// remove what its sections do not name. From a snapshot or a `Write`, so that they fit together.
pub async fn plan(read: &mut Read, file: &File, prune: bool) -> Result<Vec<Step>, AdminError> {
    let policy = roles::policy(read).await?;
    let groups = groups::all(read).await?.into_iter().map(|group| (group.name, group.id)).collect();
    let mut planner = Planner { policy, groups, prune, steps: Vec::new(), removals: Vec::new(), ends: Vec::new() };
    let zones = planner.zones(file)?;
    let apps = planner.apps(file, &zones)?;
    planner.groups(file);
    let roles = planner.roles(file, &apps);
    planner.holdings(read, file, &Known { apps: &apps, roles: &roles }).await?;
    let Planner { mut steps, removals, ends, .. } = planner;
    steps.extend(removals);
    // Roles and groups before the apps they belong to, apps before their zones.
    steps.extend(ends.into_iter().rev());
    Ok(steps)
}

struct Planner {
    policy: Policy,
    groups: BTreeMap<GroupName, GroupId>,
    prune: bool,
    steps: Vec<Step>,
    /// What is taken from somebody who stays.
    removals: Vec<Step>,
    /// What goes altogether, zones first.
    ends: Vec<Step>,
}

/// What there will be once the steps are taken.
struct Known<'a> {
    apps: &'a BTreeSet<AppKey>,
    roles: &'a BTreeSet<(AppKey, RoleName)>,
}

impl Planner {
    fn zones(&mut self, file: &File) -> Result<Vec<Zone>, AdminError> {
        let mut zones: BTreeMap<_, _> =
            self.policy.zones.iter().map(|zone| (zone.name.clone(), zone.clone())).collect();
        let Some(entries) = &file.zones else { return Ok(zones.into_values().collect()) };
        let mut steps = Vec::new();
        for (name, entry) in entries {
            let zone = Zone {
                name: name.clone(),
                cookie_domain: entry.cookie_domain.clone(),
                cookie_name: entry.cookie_name.clone(),
                home: entry.home,
                alias: entry.alias.clone(),
                bound: entry.bound,
                at_sign_in: entry.at_sign_in,
            };
            zone.check().map_err(|error| AdminError::Refused(format!("zone {name}: {error}")))?;
            let known = zones.insert(name.clone(), zone.clone());
            let differences = known.as_ref().map(|known| zone_differences(known, &zone));
            if differences.as_ref().is_none_or(|differences| !differences.is_empty()) {
                let sign = if known.is_some() { Sign::Change } else { Sign::Add };
                let home = if zone.home {
                    ", home"
                } else if zone.bound {
                    ", bound"
                } else {
                    ""
                };
                let text = match differences {
                    Some(differences) => format!("zone {name}: {differences}"),
                    None => format!("zone {name}: {}{home}", zone.cookie_domain),
                };
                steps.push((zone.home, Step { sign, text, action: Action::PutZone(zone) }));
            }
        }
        if self.prune {
            for zone in self.policy.zones.iter().filter(|zone| !entries.contains_key(&zone.name)) {
                zones.remove(&zone.name);
                self.ends.push(step(
                    Sign::Remove,
                    format!("zone {}", zone.name),
                    Action::RemoveZone(zone.name.clone()),
                ));
            }
        }
        if zones.values().filter(|zone| zone.home).count() > 1 {
            return Err(AdminError::Refused(
                "only one zone can be home: set home = false for the other one".to_owned(),
            ));
        }
        // The old home has to step down before the new one steps up.
        steps.sort_by_key(|(home, _)| *home);
        self.steps.extend(steps.into_iter().map(|(_, step)| step));
        Ok(zones.into_values().collect())
    }

    fn apps(&mut self, file: &File, zones: &[Zone]) -> Result<BTreeSet<AppKey>, AdminError> {
        let mut keys: BTreeSet<_> = self.policy.apps.iter().map(|(app, _)| app.key.clone()).collect();
        let Some(entries) = &file.apps else { return Ok(keys) };
        for (key, entry) in entries {
            let known = self.policy.apps.iter().find(|(app, _)| app.key == *key).map(|(app, _)| app);
            let app = app(key, entry, zones, known);
            let zone = zones.iter().find(|zone| zone.name == app.zone).ok_or_else(|| apps::no_zone(&app))?;
            apps::check(&app, zone)?;
            let differences = known.map(|known| app_differences(known, &app));
            match differences {
                None => {
                    let text = format!("app {key}: {:?}, zone {}{}", app.name, app.zone, said_of(&app));
                    self.steps.push(step(Sign::Add, text, Action::PutApp(Box::new(app))));
                }
                Some(differences) if !differences.is_empty() => {
                    self.steps.push(step(
                        Sign::Change,
                        format!("app {key}: {differences}"),
                        Action::PutApp(Box::new(app)),
                    ));
                }
                Some(_) => {}
            }
            let disabled = known.is_some_and(|known| known.disabled_at.is_some());
            if let Some(wanted) = entry.disabled.filter(|wanted| *wanted != disabled) {
                let text = format!("app {key}: {}", if wanted { "disabled" } else { "enabled" });
                self.steps.push(step(Sign::Change, text, Action::DisableApp(key.clone(), wanted)));
            }
            keys.insert(key.clone());
        }
        if self.prune {
            // What has registered itself is in nobody's file.
            let gone = |(app, _): &&(App, u32)| !app.registered && !entries.contains_key(&app.key);
            for (app, _) in self.policy.apps.iter().filter(gone) {
                keys.remove(&app.key);
                let text = format!("app {}, with its secrets, its roles and what is held in it", app.key);
                self.ends.push(step(Sign::Remove, text, Action::RemoveApp(app.key.clone())));
            }
        }
        Ok(keys)
    }

    fn groups(&mut self, file: &File) {
        let Some(entries) = &file.groups else { return };
        for name in entries.keys().filter(|name| !self.groups.contains_key(*name)) {
            self.steps.push(step(Sign::Add, format!("group {name}"), Action::AddGroup(name.clone())));
        }
        if self.prune {
            for name in self.groups.keys().filter(|name| !entries.contains_key(*name)) {
                self.ends.push(step(Sign::Remove, format!("group {name}"), Action::RemoveGroup(name.clone())));
            }
        }
    }

    fn roles(&mut self, file: &File, apps: &BTreeSet<AppKey>) -> BTreeSet<(AppKey, RoleName)> {
        let stays = |app: &AppKey| apps.contains(app);
        let mut names: BTreeSet<_> =
            self.policy.roles.iter().map(|role| (role.app.clone(), role.name.clone())).collect();
        names.retain(|(app, _)| stays(app));
        for (app, entry) in file.apps.iter().flatten() {
            let Some(entries) = &entry.roles else { continue };
            for (name, permissions) in entries {
                names.insert((app.clone(), name.clone()));
                let wanted: BTreeSet<_> = permissions.iter().cloned().collect();
                let known = self.policy.roles.iter().find(|role| role.app == *app && role.name == *name);
                let action = Action::PutRole(app.clone(), name.clone(), wanted.iter().cloned().collect());
                match known {
                    None => {
                        let text = format!("role {name} of app {app}: {}", listed(&wanted));
                        self.steps.push(step(Sign::Add, text, action));
                    }
                    Some(known) => {
                        let before: BTreeSet<_> = known.permissions.iter().cloned().collect();
                        let mut differences = String::new();
                        wanted.difference(&before).for_each(|added| _ = write!(differences, " +{added}"));
                        before.difference(&wanted).for_each(|gone| _ = write!(differences, " -{gone}"));
                        if !differences.is_empty() {
                            self.steps.push(step(
                                Sign::Change,
                                format!("role {name} of app {app}:{differences}"),
                                action,
                            ));
                        }
                    }
                }
            }
            if self.prune {
                let gone =
                    self.policy.roles.iter().filter(|role| role.app == *app && !entries.contains_key(&role.name));
                for role in gone {
                    names.remove(&(app.clone(), role.name.clone()));
                    let action = Action::RemoveRole(app.clone(), role.name.clone());
                    self.ends.push(step(Sign::Remove, format!("role {} of app {app}", role.name), action));
                }
            }
        }
        names
    }

    async fn holdings(&mut self, read: &mut Read, file: &File, known: &Known<'_>) -> Result<(), AdminError> {
        for (name, entry) in file.groups.iter().flatten() {
            let id = self.groups.get(name).copied();
            if let Some(members) = &entry.members {
                self.members(read, name, id, members).await?;
            }
            let before = self.held_by_group(id);
            let who = format!("group {name}");
            self.compare(&who, &Who::Group(name.clone()), &before, &entry.roles, &entry.permissions, known)?;
        }
        for (name, entry) in file.users.iter().flatten() {
            let user = crate::admin::users::find(read, name).await?;
            let before = self.held_by_user(roles::assignments_of(read, &user.id).await?);
            let who = format!("user {name}");
            self.compare(&who, &Who::User(user.id), &before, &entry.roles, &entry.permissions, known)?;
        }
        Ok(())
    }

    async fn members(
        &mut self,
        read: &mut Read,
        group: &GroupName,
        id: Option<GroupId>,
        names: &[String],
    ) -> Result<(), AdminError> {
        let mut before = BTreeSet::new();
        if let Some(id) = id {
            let mut after = None;
            loop {
                let page = groups::members(read, &id, after.as_ref(), PAGE).await?;
                after = page.last().copied();
                let full = page.len() == PAGE as usize;
                before.extend(page);
                if !full {
                    break;
                }
            }
        }
        let mut wanted: BTreeMap<UserId, User> = BTreeMap::new();
        for name in names {
            let user = crate::admin::users::find(read, name).await?;
            wanted.insert(user.id, user);
        }
        for user in wanted.values().filter(|user| !before.contains(&user.id)) {
            let text = format!("user {} into group {group}", user.username);
            self.steps.push(step(Sign::Add, text, Action::AddMember(group.clone(), user.id)));
        }
        if self.prune {
            for id in before.iter().filter(|id| !wanted.contains_key(id)) {
                let name =
                    users::find(read, id).await?.map_or_else(|| id.to_string(), |user| user.username.to_string());
                let text = format!("user {name} out of group {group}");
                self.removals.push(step(Sign::Remove, text, Action::RemoveMember(group.clone(), *id)));
            }
        }
        Ok(())
    }

    fn role(&self, id: &RoleId) -> Option<Held> {
        let role = self.policy.roles.iter().find(|role| role.id == *id)?;
        Some(Held::Role(role.app.clone(), role.name.clone()))
    }

    fn held_by_group(&self, id: Option<GroupId>) -> BTreeSet<Held> {
        let roles = self.policy.group_roles.iter().filter(|(group, _)| Some(*group) == id);
        let roles = roles.filter_map(|(_, role)| self.role(role));
        let permissions = self.policy.group_permissions.iter().filter(|(group, ..)| Some(*group) == id);
        roles.chain(permissions.map(|(_, app, name)| Held::Permission(app.clone(), name.clone()))).collect()
    }

    fn held_by_user(&self, facts: UserFacts) -> BTreeSet<Held> {
        let roles = facts.role_ids.iter().filter_map(|id| self.role(id));
        roles.chain(facts.permissions.into_iter().map(|(app, name)| Held::Permission(app, name))).collect()
    }

    fn compare(
        &mut self,
        name: &str,
        who: &Who,
        before: &BTreeSet<Held>,
        roles: &Roles,
        permissions: &Permissions,
        known: &Known,
    ) -> Result<(), AdminError> {
        let mut wanted = BTreeSet::new();
        for (app, role) in pairs(roles.as_ref()) {
            if !known.roles.contains(&(app.clone(), role.clone())) {
                return Err(AdminError::NotFound(format!(
                    "{name} is to hold role {role} of app {app}, which is neither in the file nor in the database"
                )));
            }
            wanted.insert(Held::Role(app.clone(), role.clone()));
        }
        for (app, permission) in pairs(permissions.as_ref()) {
            if !known.apps.contains(app) {
                return Err(AdminError::NotFound(format!(
                    "{name} is to hold {permission} in app {app}, which is neither in the file nor in the database"
                )));
            }
            wanted.insert(Held::Permission(app.clone(), permission.clone()));
        }
        for held in wanted.difference(before) {
            self.steps.push(step(Sign::Add, format!("{held} to {name}"), Action::Grant(who.clone(), held.clone())));
        }
        if self.prune {
            // What belongs to something that goes altogether goes with it.
            let pruned = before.difference(&wanted).filter(|held| match held {
                Held::Role(app, role) => roles.is_some() && known.roles.contains(&(app.clone(), role.clone())),
                Held::Permission(app, _) => permissions.is_some() && known.apps.contains(app),
            });
            for held in pruned {
                let action = Action::Withdraw(who.clone(), held.clone());
                self.removals.push(step(Sign::Remove, format!("{held} from {name}"), action));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(app, name) => write!(formatter, "role {name} of app {app}"),
            Self::Permission(app, name) => write!(formatter, "permission {name} of app {app}"),
        }
    }
}

fn step(sign: Sign, text: String, action: Action) -> Step {
    Step { sign, text, action }
}

fn pairs<T>(held: Option<&BTreeMap<AppKey, Vec<T>>>) -> impl Iterator<Item = (&AppKey, &T)> {
    held.into_iter().flatten().flat_map(|(app, names)| names.iter().map(move |name| (app, name)))
}

fn app(key: &AppKey, entry: &AppEntry, zones: &[Zone], known: Option<&App>) -> App {
    let home = || zones.iter().find(|zone| zone.home).map(|zone| zone.name.clone());
    let fallback = || "home".parse::<ZoneName>().expect("a valid zone name");
    let audiences: BTreeSet<_> = entry.audiences.iter().cloned().collect();
    let open: BTreeSet<_> = entry.open_to_third_parties.iter().cloned().collect();
    App {
        key: key.clone(),
        client_id: known.and_then(|known| known.client_id.clone()),
        name: entry.name.as_deref().unwrap_or(key.as_str()).trim().to_owned(),
        zone: entry.zone.clone().or_else(home).unwrap_or_else(fallback),
        origins: entry.origins.clone(),
        access: entry.access,
        first_contact: entry.first_contact,
        sensitive: entry.sensitive,
        relayed_sign_in: entry.relayed_sign_in,
        registered: known.is_some_and(|known| known.registered),
        forward_auth: entry.forward_auth,
        agent: entry.agent,
        assertion: entry.assertion,
        client: ClientSettings {
            kind: entry.client,
            refresh_cookie: entry.refresh_cookie.unwrap_or(true),
            offline_access: entry.offline_access,
            require_pushed: entry.require_pushed_authorization_requests,
            subject_type: entry.subject_type,
            sector_identifier: entry.sector_identifier.clone(),
            require_dpop: entry.require_dpop,
            claims_in_id_token: entry.claims_in_id_token,
        },
        audiences: audiences.into_iter().collect(),
        open_to_third_parties: open.into_iter().collect(),
        client_credentials: entry.client_credentials,
        device: entry.device,
        logout_urls: entry.logout_urls.clone(),
        redirect_uris: entry.redirect_uris.clone(),
        post_logout_redirect_uris: entry.post_logout_redirect_uris.clone(),
        initiate_login_uri: entry.initiate_login_uri.clone(),
        id_token_alg: entry.id_token_alg,
        third_party: entry.third_party,
        jwks: entry.jwks.clone(),
        disabled_at: known.and_then(|known| known.disabled_at),
    }
}
