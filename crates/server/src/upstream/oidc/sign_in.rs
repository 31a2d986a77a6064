//! From an identity at a provider to a session of ours: whose it is, which groups they are in, and everything that begins with it, in one transaction.
//! Protocol §10; advisories T50, T53, T54, T56, T58.

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::UserId;
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamRefused;
use hallpass_core::upstream::oidc::{Identity, MailAddress};
use hallpass_core::user::{User, Username};
use hallpass_store::provider_sessions::{self, ProviderSession};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::{Read, StoreError, Write, audit, devices, upstreams, users, verified_emails};

use super::provider::Provider;
use super::sign_out;
use crate::context::Context;
use crate::sign_in::start::{self, Browser, Started};
use crate::upstream::people;
use crate::upstream::twice::{Attempt, twice};
use crate::web::error::Error;

/// Whose an identity is.
enum Person {
    /// Somebody who has come before.
    Known(User),
    /// Somebody who was here before the identity came, and whose verified address it verifiably has.
    ToLink(User),
    /// Nobody yet.
    New(Username),
}

/// Starts a session, for somebody who may be here for the first time.
pub async fn sign_in(
    context: &Context,
    provider: &Provider,
    identity: &Identity,
    id_token: &str,
    browser: Browser,
    now: Timestamp,
) -> Result<Result<Started, UpstreamRefused>, Error> {
    let browser = &browser;
    twice(context, || attempt(context, provider, identity, id_token, browser, now)).await
}

/// One attempt.
async fn attempt(
    context: &Context,
    provider: &Provider,
    identity: &Identity,
    id_token: &str,
    browser: &Browser,
    now: Timestamp,
) -> Result<Attempt, StoreError> {
    let name = provider.name();
    let mut write = context.store.write().await?;
    let person = match whose(&mut write, provider, identity).await? {
        Ok(person) => person,
        Err(refused) => return Ok(Some(Err(refused))),
    };
    let (known, made) = (matches!(person, Person::Known(_)), matches!(person, Person::New(_)));
    let user = match person {
        Person::Known(user) | Person::ToLink(user) => user,
        Person::New(username) => {
            people::add(&mut write, name, &provider.config.paths(), identity.claims(), username, now).await?
        }
    };
    let Ok(authenticated) = hallpass_core::sign_in::by_identity(&user, identity) else {
        return Ok(Some(Err(UpstreamRefused::UserDisabled)));
    };
    if !known && !link(&mut write, provider, identity, &user.id, made, Actor::System, now).await? {
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
    let came_of = ProviderSession {
        session: new.session.id,
        issuer: identity.issuer().to_owned(),
        there: identity.there().clone(),
        id_token: sign_out::kept(
            provider,
            id_token,
            &new.session.id,
            &context.keys.upstream_credential,
            &mut SystemRandom,
        ),
    };
    provider_sessions::record(&mut write, &came_of).await?;
    // After the session, which locks the user's row: nobody changes it between reading and writing.
    if made || upstreams::has_made(&mut write, identity.issuer(), &user.id).await? {
        people::refresh(&mut write, name, &provider.config.paths(), identity.claims(), &user.id, now).await?;
        remember_address(&mut write, provider, identity, &user.id, now).await?;
    }
    if let Some(groups) = &provider.config.groups {
        people::put_into_groups(&mut write, name, groups, &identity.texts(&groups.claim), &user.id, now).await?;
    }
    if let Some(mark) = &beginning.mark {
        devices::remember(&mut write, mark, &user.id, now).await?;
    }
    let entry = Entry::new(Event::SignedIn, Actor::User(user.id), now, &mut SystemRandom).user(user.id);
    let entry = entry.session(new.session.id).ip(browser.ip).with("upstream", name);
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    // They may have signed out there since: whoever told us so meanwhile did not see this session, which nobody has yet.
    if provider_sessions::is_overtaken(&mut context.store.read().await?, &came_of).await? {
        let mut write = context.store.write().await?;
        if sessions::end(&mut write, &new.session.id, EndReason::UpstreamEnded, now).await? {
            let entry = Entry::new(Event::SessionEnded, Actor::System, now, &mut SystemRandom).user(user.id);
            let entry = entry.session(new.session.id).with("reason", &EndReason::UpstreamEnded);
            let entry = entry.with("found", &Word("upstream_signed_out")).with("upstream", name);
            audit::append(&mut write, &(&entry).into()).await?;
        }
        write.commit().await?;
        return Ok(Some(Err(UpstreamRefused::SessionEnding)));
    }
    Ok(Some(Ok(beginning.started())))
}

/// Whose an identity is, or why it can be nobody's. Never by a name, and by an address only where both sides have shown that it is theirs.
async fn whose(
    read: &mut Read,
    provider: &Provider,
    identity: &Identity,
) -> Result<Result<Person, UpstreamRefused>, StoreError> {
    let (issuer, subject) = (identity.issuer(), identity.subject().as_str());
    if let Some(id) = upstreams::user_of(read, issuer, subject).await? {
        let user = users::find(read, &id).await?;
        return Ok(user.map(Person::Known).ok_or(UpstreamRefused::NoUser));
    }
    if let Some(address) = authoritative_address(provider, identity)
        && let [id] = verified_emails::users_of(read, &address).await?[..]
        && let Some(user) = users::find(read, &id).await?
    {
        return Ok(match upstreams::identity_of(read, issuer, &id).await? {
            // Came by way of another tab, between our first question and this one.
            Some(known) if known == subject => Ok(Person::Known(user)),
            None => Ok(Person::ToLink(user)),
            Some(_) => Err(UpstreamRefused::IdentityTaken),
        });
    }
    if !provider.config.create_users {
        return Ok(Err(UpstreamRefused::NoUser));
    }
    let Some(username) = provider.config.paths().username(identity.claims()) else {
        return Ok(Err(UpstreamRefused::NoUsername));
    };
    if !may_be_called(provider, identity, &username) {
        return Ok(Err(UpstreamRefused::UsernameNotTheirs));
    }
    match users::by_username(read, &username).await? {
        None => Ok(Ok(Person::New(username))),
        Some(user) => Ok(match upstreams::identity_of(read, issuer, &user.id).await? {
            Some(known) if known == subject => Ok(Person::Known(user)),
            _ => Err(UpstreamRefused::UsernameTaken),
        }),
    }
}

/// Ties an identity to a user. `false` if either has been tied already.
pub async fn link(
    write: &mut Write,
    provider: &Provider,
    identity: &Identity,
    user: &UserId,
    made: bool,
    by: Actor,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (issuer, subject) = (identity.issuer(), identity.subject());
    if !upstreams::link(write, issuer, subject.as_str(), user, made, now).await? {
        return Ok(false);
    }
    let entry = Entry::new(Event::UpstreamLinked, by, now, &mut SystemRandom).user(*user);
    let entry = entry.with("upstream", provider.name()).with("identity", subject);
    audit::append(write, &(&entry).into()).await?;
    Ok(true)
}

/// The address, if the provider says that it has been verified and is believed.
fn verified_address(provider: &Provider, identity: &Identity) -> Option<MailAddress> {
    let (address, verified) = identity.email()?;
    let believed = provider.config.trust_email || provider.config.is_authoritative_for(address.domain());
    (verified && believed).then_some(address)
}

/// The address, if the provider is moreover the one who gives the people of that domain theirs. Anybody may verify an address elsewhere while it is
/// theirs, and keep the account when it is not any more.
fn authoritative_address(provider: &Provider, identity: &Identity) -> Option<MailAddress> {
    verified_address(provider, identity).filter(|address| provider.config.is_authoritative_for(address.domain()))
}

/// Whether a provider may name somebody so. A name that is a mail address would be taken for its owner by every app and every administrator (advisory
/// T58): it must be theirs.
fn may_be_called(provider: &Provider, identity: &Identity, username: &Username) -> bool {
    if !username.canonical().contains('@') {
        return true;
    }
    let Ok(address) = username.canonical().parse::<MailAddress>() else { return false };
    provider.config.is_authoritative_for(address.domain()) || verified_address(provider, identity) == Some(address)
}

/// Writes down that the user's address is verified, if the provider is the one who gives it to them. Another one may have seen it long ago, when it was
/// somebody else's, whose user this is: then whoever has it now would be let into theirs (advisory T53).
async fn remember_address(
    write: &mut Write,
    provider: &Provider,
    identity: &Identity,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(address) = authoritative_address(provider, identity) else { return Ok(()) };
    let Some(email) = users::find(write, user).await?.and_then(|user| user.email) else { return Ok(()) };
    if email.parse::<MailAddress>().is_ok_and(|own| own == address) {
        verified_emails::record(write, user, &email, &address, identity.issuer(), now).await?;
    }
    Ok(())
}
