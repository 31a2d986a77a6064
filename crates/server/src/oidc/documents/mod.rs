//! Clients that describe themselves, at the address that is their `client_id` (draft-ietf-oauth-client-id-metadata-document). Off unless it is configured.
//!
//! Anybody can write such an address into a link. So nothing is read before somebody has signed in, who is braked like the host that is asked
//! ([`reader`]); nothing is written down before they have allowed what they were shown ([`adopt`]); and nobody is sent on to an application that nobody here
//! has allowed but by their own click. Whatever is written down is swept when nobody allows it any more.

mod reader;

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::app::App;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::UserId;
use hallpass_core::oidc::client_document::{self, DOCUMENT_GRACE, LONGEST_LIFETIME};
use hallpass_core::oidc::{ClientIdUrl, Parameters};
use hallpass_core::time::Timestamp;
use hallpass_store::{StoreError, Write, apps, audit, client_documents, consents};
use http::StatusCode;

pub use self::reader::Documents;
use crate::admin;
use crate::context::Context;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::LiveSession;

/// How long a client is kept whose document nobody has had read: nobody has come by way of it.
const KEEP_UNUSED: Duration = Duration::from_hours(90 * 24);
/// Clients that are looked at in one sweep.
const SWEPT: u32 = 200;

/// Whom an authorization request names.
pub enum Named {
    /// Whoever the registry says, or nobody.
    InRegistry,
    /// A client that describes itself, if the registry says nothing of it: nobody here has allowed it yet, or nobody does any more.
    Described(Arc<App>),
    /// One that is not asked what it is before somebody has signed in: strangers could have us ask whom they like.
    UnknownBeforeSignIn,
}

impl Named {
    /// What to go by if the registry says nothing of the client.
    pub fn described(&self) -> Option<&App> {
        match self {
            Self::Described(app) => Some(app),
            Self::InRegistry | Self::UnknownBeforeSignIn => None,
        }
    }
}

/// Whom a request names. If somebody has signed in, what the registry says of a client that describes itself is as its document says now.
pub async fn named<P>(call: &Call<P>, parameters: &Parameters, person: Option<UserId>) -> Result<Named, Error> {
    let Some(url) = parameters.client_id.as_deref().and_then(|id| id.parse::<ClientIdUrl>().ok()) else {
        return Ok(Named::InRegistry);
    };
    let context = &call.context;
    let documents = taken(context, &url).ok_or_else(|| {
        let message = "The link that led here names an application or an address that is not registered. Open the application again from its own address.";
        Error::invalid_request(message).because("no documents are taken, or none of that host")
    })?;
    let known = |policy: &hallpass_store::view::Policy| {
        policy.by_client_id(url.as_str()).map(|index| policy.apps[index].app.disabled_at.is_some())
    };
    match (known(&*context.view.policy().await?), person) {
        // Who is blocked is not asked; who nobody has signed in for, later.
        (Some(true), _) | (Some(false), None) => Ok(Named::InRegistry),
        (None, None) => Ok(Named::UnknownBeforeSignIn),
        (_, Some(person)) => Ok(Named::Described(documents.read(context, &url, Some(person), call.now).await?)),
    }
}

/// Whether the app may be a client at all: if it describes itself, that must be configured, and its host among those that are taken.
pub fn is_taken(context: &Context, app: &App) -> bool {
    app.client_id.as_ref().is_none_or(|url| taken(context, url).is_some())
}

fn taken<'c>(context: &'c Context, url: &ClientIdUrl) -> Option<&'c Arc<Documents>> {
    context.documents.as_ref().filter(|documents| documents.takes(url))
}

/// Writes a client down that somebody has just allowed, in the transaction in which they did. Not over what is there already: if that is another one than
/// they were shown, they have to be asked again.
pub async fn adopt(call: &Call<LiveSession>, write: &mut Write, app: &App) -> Result<(), Error> {
    let context = &call.context;
    // Held: it must not be swept away before this is committed.
    if apps::hold(write, &app.key).await?
        && let Some(known) = apps::find(write, &app.key).await?
    {
        if client_document::is_another(&known, app) || known.disabled_at.is_some() {
            let message =
                "The application has just changed what it says of itself. Open it again from its own address.";
            return Err(Error::invalid_request(message).because("another version is in the registry"));
        }
        return Ok(());
    }
    let zone = context.view.policy().await?.zones.iter().find(|zone| zone.name == app.zone).cloned();
    let zone = zone.ok_or_else(|| Error::unavailable().because("the zone of an app is not there"))?;
    admin::apps::check(app, &zone).map_err(|error| {
        Error::invalid_request("Such an application cannot be allowed here.").because(error.to_string())
    })?;
    apps::upsert(write, app, call.now).await?;
    let maximum = context.config.client_metadata_documents.maximum;
    if !client_documents::add(write, &app.key, maximum, call.now).await? {
        tracing::warn!(
            maximum,
            "no more clients that describe themselves are taken: remove some, or raise client_metadata_documents.maximum"
        );
        let message = "No more applications can be allowed here. Ask whoever manages them in your company.";
        return Err(
            Error::new(StatusCode::FORBIDDEN, "access_denied", message).because("client_metadata_documents.maximum")
        );
    }
    let entry = Entry::new(Event::AppAdded, Actor::User(call.proof.user.id), call.now, &mut context.random());
    let entry = entry.app(&app.key).ip(call.ip).with("zone", &app.zone).with("access", &app.access);
    Ok(audit::append(write, &(&entry.with("registered", &true)).into()).await?)
}

/// Writes down what a document says that has just been read, if its client is known. If it has become another one, what people have allowed and all its tokens
/// end: they were shown something else, and an address that it has taken out gets nothing any more.
async fn keep(context: &Context, said: &App, now: Timestamp) -> Result<(), StoreError> {
    if context.view.policy().await?.by_client_id(said.client_id()).is_none() {
        return Ok(());
    }
    let mut write = context.store.write().await?;
    // Held: what an administrator disables meanwhile must not be written back as it was before (advisory T90).
    if !apps::hold(&mut write, &said.key).await? || !client_documents::seen(&mut write, &said.key, now).await? {
        return Ok(());
    }
    let Some(known) = apps::find(&mut write, &said.key).await? else { return Ok(()) };
    let after = client_document::update(&known, said);
    if after != known {
        apps::upsert(&mut write, &after, now).await?;
        let another = client_document::is_another(&known, &after);
        if another {
            consents::revoke_all(&mut write, &after.key, now).await?;
        }
        let entry = Entry::new(Event::AppChanged, Actor::App(after.key.clone()), now, &mut context.random());
        let entry = entry.app(&after.key).with("zone", &after.zone).with("access", &after.access);
        audit::append(&mut write, &(&entry.with("registered", &true)).into()).await?;
    }
    write.commit().await.map(drop)
}

/// Whether what a client was given is good for tokens: its document was there in the last week. Every other app is described by somebody else.
pub async fn is_current(context: &Context, app: &App, now: Timestamp) -> Result<bool, Error> {
    if app.client_id.is_none() {
        return Ok(true);
    }
    let seen = client_documents::seen_at(&mut context.store.read().await?, &app.key).await?;
    Ok(seen.is_some_and(|at| now.since(at) <= DOCUMENT_GRACE))
}

/// Reads the document of a client again that has just been given tokens, if that was last done a day ago. Nobody waits for it.
pub async fn look_again(context: &Arc<Context>, app: &App, now: Timestamp) -> Result<(), Error> {
    let Some(url) = &app.client_id else { return Ok(()) };
    let Some(documents) = taken(context, url).cloned() else { return Ok(()) };
    let seen = client_documents::seen_at(&mut context.store.read().await?, &app.key).await?;
    if seen.is_some_and(|at| now.since(at) > LONGEST_LIFETIME) {
        let (context, url) = (context.clone(), url.clone());
        tokio::spawn(async move {
            if let Err(error) = documents.read(&context, &url, None, now).await {
                tracing::info!(%url, because = ?error.because, "the document of a client could not be read again");
            }
        });
    }
    Ok(())
}

/// Removes clients that nobody allows any more, or has come by way of for a long time.
pub async fn sweep(context: &Context) -> Result<(), StoreError> {
    let now = context.now();
    let before = now - KEEP_UNUSED;
    let unused = client_documents::unused(&mut context.store.read().await?, before, SWEPT).await?;
    for app in unused {
        let mut write = context.store.write().await?;
        if client_documents::remove_unused(&mut write, &app, before, now).await? {
            let entry = Entry::new(Event::AppRemoved, Actor::System, now, &mut context.random()).app(&app);
            audit::append(&mut write, &(&entry).into()).await?;
        }
        write.commit().await?;
    }
    Ok(())
}
