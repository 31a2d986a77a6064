//! From a session at an upstream to one of our own: whose it is, and everything that begins with it, in one transaction. Protocol §10.

use std::net::IpAddr;

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{AppKey, UserId};
use hallpass_core::session::EndReason;
use hallpass_core::throttle;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::{Accepted, UpstreamRefused, UpstreamSession};
use hallpass_core::user::{DisplayName, User, Username};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::upstreams::{self, Footing};
use hallpass_store::{Read, StoreError, Write, audit, devices, users};

use super::credential::Credential;
use super::kratos::{self, Kratos};
use crate::context::Context;
use crate::sign_in::start::{self, Browser, Started};
use crate::web::error::Error;

/// Whose an identity is.
pub enum Person {
    /// Somebody who has come before.
    Known(User),
    /// Somebody of the same name who was here before the identity came.
    ToLink(User),
    /// Nobody yet.
    New(Username),
}

/// Starts a session, for somebody who may be here for the first time.
pub async fn sign_in(
    context: &Context,
    kratos: &Kratos,
    accepted: &Accepted,
    credential: &Credential,
    browser: Browser,
    now: Timestamp,
) -> Result<Result<Started, UpstreamRefused>, Error> {
    for last in [false, true] {
        match attempt(context, kratos, accepted, credential, &browser, now).await {
            Ok(Some(outcome)) => {
                if outcome.is_ok() {
                    context.telemetry.signed_in();
                }
                return Ok(outcome);
            }
            // The same person came by way of another tab, or somebody took the name, between two of our statements: look again who it is.
            Ok(None) | Err(StoreError::Conflict(_)) if !last => {}
            Ok(None) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable().because("two sign-ins of one identity got in each other's way twice"))
}

/// Whose an identity is, or why it can be nobody's.
pub async fn whose(
    read: &mut Read,
    kratos: &Kratos,
    session: &UpstreamSession,
) -> Result<Result<Person, UpstreamRefused>, StoreError> {
    if let Some(id) = upstreams::user_of(read, kratos::NAME, &session.identity).await? {
        let user = users::find(read, &id).await?;
        return Ok(user.map(Person::Known).ok_or(UpstreamRefused::NoUser));
    }
    let Some(username) = kratos.config.traits.username(&session.traits) else {
        return Ok(Err(UpstreamRefused::NoUsername));
    };
    let Some(user) = users::by_username(read, &username).await? else {
        return Ok(if kratos.config.create_users { Ok(Person::New(username)) } else { Err(UpstreamRefused::NoUser) });
    };
    Ok(match upstreams::identity_of(read, kratos::NAME, &user.id).await? {
        // Came by way of another tab, between our first question and the second.
        Some(identity) if identity == session.identity => Ok(Person::Known(user)),
        None if kratos.config.link_existing_users => Ok(Person::ToLink(user)),
        // Who already is somebody there is not somebody else there as well.
        _ => Err(UpstreamRefused::UsernameTaken),
    })
}

/// Writes down why somebody could not sign in. Anybody can come here, as often as they like: the log must not fill the disk.
pub async fn record_refusal(
    context: &Context,
    refused: UpstreamRefused,
    ip: IpAddr,
    app: Option<&AppKey>,
    now: Timestamp,
) -> Result<(), Error> {
    context.telemetry.sign_in_refused();
    if context.upstream_refusals.count(throttle::address_block(ip), now) {
        return Ok(());
    }
    let entry = Entry::new(Event::SignInRefused, Actor::Anonymous, now, &mut context.random());
    let mut entry = entry.refused(refused.as_str()).ip(ip).with("upstream", &Word(kratos::NAME));
    if let Some(app) = app {
        entry = entry.app(app);
    }
    let mut write = context.store.write().await?;
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(())
}

/// `None` if somebody else tied the identity to a user meanwhile.
async fn attempt(
    context: &Context,
    kratos: &Kratos,
    accepted: &Accepted,
    credential: &Credential,
    browser: &Browser,
    now: Timestamp,
) -> Result<Option<Result<Started, UpstreamRefused>>, StoreError> {
    let random = &mut SystemRandom;
    let there = accepted.session();
    let mut write = context.store.write().await?;
    let person = match whose(&mut write, kratos, there).await? {
        Ok(person) => person,
        Err(refused) => return Ok(Some(Err(refused))),
    };
    let known = matches!(person, Person::Known(_));
    let user = match person {
        Person::Known(user) | Person::ToLink(user) => user,
        Person::New(username) => add(&mut write, kratos, there, username, now).await?,
    };
    let Ok(authenticated) = hallpass_core::sign_in::by_upstream(&user, accepted, now) else {
        return Ok(Some(Err(UpstreamRefused::UserDisabled)));
    };
    if !known && !link(&mut write, there, &user.id, now).await? {
        return Ok(None);
    }
    let beginning = start::begin(context, &authenticated, browser, now);
    if let Some(previous) = &browser.previous {
        sessions::end(&mut write, previous, EndReason::Replaced, now).await?;
    }
    let new =
        NewSession { session: beginning.session.clone(), secret: beginning.secret.digest(), device: beginning.mark };
    if !sessions::start(&mut write, &new).await? {
        return Ok(Some(Err(UpstreamRefused::UserDisabled)));
    }
    let footing = Footing {
        session: new.session.id,
        upstream: kratos::NAME.to_owned(),
        identity: there.identity.clone(),
        upstream_session: there.id.clone(),
        credential: credential.seal(&new.session.id, &context.keys.upstream_credential, random),
        ends_there: kratos.can_end(),
        checked_at: now,
        failing_since: None,
        due_at: now + kratos.config.recheck,
    };
    if !upstreams::stand(&mut write, &footing, browser.previous.as_ref()).await? {
        return Ok(Some(Err(UpstreamRefused::SessionEnding)));
    }
    if known {
        // After the session, which locks the user's row: nobody changes it between reading and writing.
        refresh(&mut write, kratos, there, &user.id, now).await?;
    }
    if let Some(mark) = &beginning.mark {
        devices::remember(&mut write, mark, &user.id, now).await?;
    }
    let entry = Entry::new(Event::SignedIn, Actor::User(user.id), now, random).user(user.id).session(new.session.id);
    let entry = entry.ip(browser.ip).with("upstream", &Word(kratos::NAME));
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(Some(Ok(beginning.started())))
}

/// Makes the user of somebody who comes for the first time.
async fn add(
    write: &mut Write,
    kratos: &Kratos,
    there: &UpstreamSession,
    username: Username,
    now: Timestamp,
) -> Result<User, StoreError> {
    let random = &mut SystemRandom;
    let traits = &kratos.config.traits;
    let shown = traits.display_name(&there.traits);
    // A user name has no more characters than a shown one may have, and none that it may not.
    let shown = shown.map_or_else(|| username.as_str().parse::<DisplayName>(), Ok).map_err(broken)?;
    let user = User {
        id: UserId::mint(random),
        username,
        display_name: shown,
        email: traits.email(&there.traits),
        attributes: std::collections::BTreeMap::new(),
        disabled_at: None,
        must_change_password: false,
        created_at: now,
    };
    users::add(write, &user).await?;
    let entry = Entry::new(Event::UserAdded, Actor::System, now, random).user(user.id).with("username", &user.username);
    audit::append(write, &(&entry.with("upstream", &Word(kratos::NAME))).into()).await?;
    Ok(user)
}

fn broken(error: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(error.to_string().into())
}

async fn link(write: &mut Write, there: &UpstreamSession, user: &UserId, now: Timestamp) -> Result<bool, StoreError> {
    if !upstreams::link(write, kratos::NAME, &there.identity, user, now).await? {
        return Ok(false);
    }
    let entry = Entry::new(Event::UpstreamLinked, Actor::System, now, &mut SystemRandom).user(*user);
    let entry = entry.with("upstream", &Word(kratos::NAME)).with("identity", &there.identity);
    audit::append(write, &(&entry).into()).await?;
    Ok(true)
}

/// Takes over what the upstream now says of the person. What it does not say stays.
async fn refresh(
    write: &mut Write,
    kratos: &Kratos,
    there: &UpstreamSession,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(before) = users::find(write, user).await? else { return Ok(()) };
    let mut after = before.clone();
    if let Some(shown) = kratos.config.traits.display_name(&there.traits) {
        after.display_name = shown;
    }
    if let Some(email) = kratos.config.traits.email(&there.traits) {
        after.email = Some(email);
    }
    if after == before {
        return Ok(());
    }
    users::update(write, &after, now).await?;
    let entry = Entry::new(Event::UserChanged, Actor::System, now, &mut SystemRandom).user(*user);
    audit::append(write, &(&entry.with("upstream", &Word(kratos::NAME))).into()).await
}
