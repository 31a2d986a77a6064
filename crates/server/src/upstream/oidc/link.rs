//! Tying an identity at a provider to the person who is signed in here, and undoing that: asked for on `/account`. Protocol §10; advisories T54, T55.
//!
//! It takes a form of ours with its token, and somebody who has proved a moment ago who they are: otherwise a link, or an unlocked screen, would be
//! enough to leave a second way in. What comes back is tied to the session in which it was asked for, and to no other.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::{SessionId, UpstreamName};
use hallpass_core::session::Session;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamRefused;
use hallpass_core::upstream::oidc::Identity;
use hallpass_core::upstream::transaction::Transaction;
use hallpass_store::{audit, authenticators, sessions, upstreams};
use serde::Deserialize;

use super::provider::Provider;
use super::{authorization_request, bound_to, refuse, sign_in};
use crate::pass::{Journey, see_other};
use crate::upstream::{pages, people, round_trip};
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::onward::OnwardPage;
use crate::web::respond::html;

/// How long ago somebody may have proved who they are.
const FRESH: Duration = Duration::from_mins(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    upstream: UpstreamName,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// Whether its person has just proved who they are.
pub fn is_fresh(session: &Session, now: Timestamp) -> bool {
    now.since(session.authenticated_at) < FRESH
}

/// `POST /account/upstreams/link`: to the provider, to come back with an identity.
pub async fn begin(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let provider = asked_for(&mut call).await?;
    if !is_fresh(&call.proof.session, call.now) {
        return Ok(see_other("/account?done=stale"));
    }
    let Ok(metadata) = provider.metadata(call.now).await else {
        return Ok(pages::away(&call, provider.config.label(), &Journey::default()));
    };
    let mut transaction = Transaction::begin(None, None, call.now, &mut call.context.random());
    transaction.links = Some(call.proof.session.id);
    let there = authorization_request(&call.context, &provider, &metadata, &transaction, None).to_string();
    // A page that leads on: browsers hold a form's policy against the redirects that follow it, and those of the provider we do not know.
    let onward = html(&OnwardPage { brand: call.context.config.brand.clone(), there });
    Ok(round_trip::depart(&call, &bound_to(&provider), transaction, onward))
}

/// The way back: ties the identity, if the session in which it was asked for is still the one here.
pub(super) async fn finish(
    call: &Call<Visitor>,
    provider: &Provider,
    identity: &Identity,
    session: &SessionId,
) -> Result<Response, Error> {
    let journey = Journey::default();
    let Some(live) = call.proof.session.as_ref().filter(|live| live.session.id == *session) else {
        return refuse(call, provider, UpstreamRefused::SessionNotFresh, &journey).await;
    };
    let user = live.user.id;
    let mut write = call.context.store.write().await?;
    // It cannot end between the look and the writing: whoever signs out everywhere wants nobody to be let in any more.
    if !sessions::hold(&mut write, session).await? {
        drop(write);
        return refuse(call, provider, UpstreamRefused::SessionNotFresh, &journey).await;
    }
    let by = Actor::User(user);
    if !sign_in::link(&mut write, provider, identity, &user, false, by, call.now).await? {
        let known = upstreams::user_of(&mut write, identity.issuer(), identity.subject().as_str()).await?;
        drop(write);
        if known == Some(user) {
            return Ok(see_other("/account?done=linked"));
        }
        return refuse(call, provider, UpstreamRefused::IdentityTaken, &journey).await;
    }
    if let Some(groups) = &provider.config.groups {
        let said = identity.texts(&groups.claim);
        people::put_into_groups(&mut write, provider.name(), groups, &said, &user, call.now).await?;
    }
    write.commit().await?;
    Ok(see_other("/account?done=linked"))
}

/// `POST /account/upstreams/unlink`. Somebody without a password keeps their only way in.
pub async fn undo(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let provider = asked_for(&mut call).await?;
    if !is_fresh(&call.proof.session, call.now) {
        return Ok(see_other("/account?done=stale"));
    }
    let user = call.proof.user.id;
    let mut write = call.context.store.write().await?;
    if authenticators::find_password(&mut write, &user).await?.is_none() {
        return Ok(see_other("/account?done=only"));
    }
    let linked = upstreams::of_user(&mut write, &user).await?;
    let linked = linked.into_iter().find(|(upstream, _)| provider.issuer.may_be(upstream));
    let Some((upstream, _)) = linked else { return Err(Error::not_found()) };
    if !upstreams::unlink(&mut write, &upstream, &user).await? {
        return Err(Error::not_found());
    }
    if let Some(groups) = &provider.config.groups {
        people::put_into_groups(&mut write, provider.name(), groups, &[], &user, call.now).await?;
    }
    let entry = Entry::new(Event::UpstreamUnlinked, Actor::User(user), call.now, &mut call.context.random());
    let entry = entry.user(user).session(call.proof.session.id).ip(call.ip).with("upstream", provider.name());
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(see_other("/account?done=unlinked"))
}

/// The provider that a form of `/account` names.
async fn asked_for(call: &mut Call<LiveSession>) -> Result<Arc<Provider>, Error> {
    let session = call.proof.session.id;
    let Fields { upstream, .. } = call.form(session.as_bytes()).await?;
    call.context.provider(upstream.as_str()).ok_or_else(Error::not_found)
}
