//! From a session at an upstream to one of our own: whose it is, and everything that begins with it, in one transaction. Protocol §10.

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::UserId;
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::{Accepted, UpstreamRefused, UpstreamSession};
use hallpass_core::user::{User, Username};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::upstreams::{self, Footing};
use hallpass_store::{Read, StoreError, Write, audit, devices, users};

use super::credential::Credential;
use super::kratos::{self, Kratos};
use super::people;
use super::twice::{Attempt, twice};
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
    let browser = &browser;
    twice(context, || attempt(context, kratos, accepted, credential, browser, now)).await
}

/// Whose an identity is, or why it can be nobody's.
pub async fn whose(
    read: &mut Read,
    kratos: &Kratos,
    session: &UpstreamSession,
) -> Result<Result<Person, UpstreamRefused>, StoreError> {
    if let Some(id) = upstreams::user_of(read, kratos::NAME, session.identity.as_str()).await? {
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
        Some(identity) if identity == session.identity.as_str() => Ok(Person::Known(user)),
        None if kratos.config.link_existing_users => Ok(Person::ToLink(user)),
        // Who already is somebody there is not somebody else there as well.
        _ => Err(UpstreamRefused::UsernameTaken),
    })
}

/// One attempt.
async fn attempt(
    context: &Context,
    kratos: &Kratos,
    accepted: &Accepted,
    credential: &Credential,
    browser: &Browser,
    now: Timestamp,
) -> Result<Attempt, StoreError> {
    let random = &mut SystemRandom;
    let there = accepted.session();
    let mut write = context.store.write().await?;
    let person = match whose(&mut write, kratos, there).await? {
        Ok(person) => person,
        Err(refused) => return Ok(Some(Err(refused))),
    };
    let (known, made) = (matches!(person, Person::Known(_)), matches!(person, Person::New(_)));
    let user = match person {
        Person::Known(user) | Person::ToLink(user) => user,
        Person::New(username) => {
            people::add(&mut write, &Word(kratos::NAME), &kratos.config.traits, &there.traits, username, now).await?
        }
    };
    let Ok(authenticated) = hallpass_core::sign_in::by_upstream(&user, accepted, now) else {
        return Ok(Some(Err(UpstreamRefused::UserDisabled)));
    };
    if !known && !link(&mut write, there, &user.id, made, now).await? {
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
        let traits = &kratos.config.traits;
        people::refresh(&mut write, &Word(kratos::NAME), traits, &there.traits, &user.id, now).await?;
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

async fn link(
    write: &mut Write,
    there: &UpstreamSession,
    user: &UserId,
    made: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !upstreams::link(write, kratos::NAME, there.identity.as_str(), user, made, now).await? {
        return Ok(false);
    }
    let entry = Entry::new(Event::UpstreamLinked, Actor::System, now, &mut SystemRandom).user(*user);
    let entry = entry.with("upstream", &Word(kratos::NAME)).with("identity", &there.identity);
    audit::append(write, &(&entry).into()).await?;
    Ok(true)
}
