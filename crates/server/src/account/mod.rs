//! `/account`: a person's own sessions, "end this one", "sign out everywhere"; and the apps of others that they have allowed. Guarded by the host-only session only; a pass never opens it.

pub mod apps;
pub mod password;

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::SessionId;
use hallpass_core::session::{EndReason, Session};
use hallpass_core::time::Timestamp;
use hallpass_store::{audit, consents, sessions, upstreams};
use serde::Deserialize;

use crate::pass::see_other;
use crate::sign_out::{self, receipt};
use crate::upstream::oidc::link;
use crate::upstream::oidc::provider::Provider;
use crate::upstream::oidc::sign_out::by_way_of_provider;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::LiveSession;
use crate::web::page::{AccountPage, SessionLine, UpstreamLine};
use crate::web::respond::{html, person};
use crate::web::words;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    done: Option<String>,
}

/// `GET /account`
pub async fn page(call: Call<LiveSession>) -> Result<Response, Error> {
    let Query { done } = call.query()?;
    let LiveSession { session: own, user } = &call.proof;
    let mut read = call.context.store.read().await?;
    let mut live = sessions::live_of(&mut read, &user.id, call.now).await?;
    let allowed = consents::of_user(&mut read, &user.id).await?;
    let linked =
        if call.context.providers.is_empty() { Vec::new() } else { upstreams::of_user(&mut read, &user.id).await? };
    drop(read);
    let policy = call.context.view.policy().await?;
    live.sort_by_key(|session| session.id != own.id);
    // Fixed sentences by fixed codes: nothing of the query is ever shown.
    let notice = match done.as_deref() {
        Some("ended") => Some("That session has ended.".to_owned()),
        Some("password") => Some("Your password is changed. You are signed out everywhere but here.".to_owned()),
        Some("linked") => Some("That account is connected: whoever signs in with it is you here.".to_owned()),
        Some("unlinked") => Some("That account is not connected any more.".to_owned()),
        Some("stale") => {
            Some("Please sign in again first: for this you must have done so in the last five minutes.".to_owned())
        }
        Some("only") => {
            Some("You have no password here, so that account is your only way in. It stays connected.".to_owned())
        }
        Some("app") => Some("That app learns nothing more about you.".to_owned()),
        _ => None,
    };
    Ok(html(&AccountPage {
        brand: call.context.config.brand.clone(),
        csrf_token: call.page_token(own.id.as_bytes()),
        person: person(user),
        notice,
        sessions: live.iter().map(|session| line(session, own, call.now)).collect(),
        allowed: allowed.iter().filter_map(|(app, consent)| apps::line(&policy, app, consent, call.now)).collect(),
        upstreams: call.context.providers.iter().map(|provider| upstream_line(provider, &linked)).collect(),
        fresh: link::is_fresh(own, call.now),
    }))
}

fn upstream_line(provider: &Provider, linked: &[(String, String)]) -> UpstreamLine {
    UpstreamLine {
        name: provider.name().to_string(),
        label: provider.config.label().to_owned(),
        linked: linked.iter().any(|(upstream, _)| provider.issuer.may_be(upstream)),
    }
}

fn line(session: &Session, own: &Session, now: Timestamp) -> SessionLine {
    SessionLine {
        id: session.id.to_string(),
        browser: words::browser(&session.user_agent),
        ip: session.ip.clone(),
        since: words::ago(session.created_at, now),
        last_active: if session.id == own.id { "now".to_owned() } else { words::ago(session.last_seen_at, now) },
        this_browser: session.id == own.id,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndOne {
    session_id: SessionId,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `POST /account/sessions/end`: ends one of the person's own sessions. Somebody else's is "not found", like one that never was (advisory T41).
pub async fn end_session(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let own = call.proof.session.id;
    let EndOne { session_id: id, .. } = call.form(own.as_bytes()).await?;
    let user = call.proof.user.id;
    let mut write = call.context.store.write().await?;
    let theirs = sessions::find(&mut write, &id).await?.is_some_and(|session| session.user_id == user);
    if !theirs {
        return Err(Error::not_found());
    }
    if sessions::end(&mut write, &id, EndReason::EndedByUser, call.now).await? {
        let entry = Entry::new(Event::SessionEnded, Actor::User(user), call.now, &mut call.context.random())
            .user(user)
            .session(id)
            .ip(call.ip);
        audit::append(&mut write, &(&entry).into()).await?;
    }
    write.commit().await?;
    if id == own {
        let there = receipt::path(&call.context.keys.receipt, &[id], call.now, &mut call.context.random());
        let mut response = see_other(&there);
        sign_out::forget(&call.context, &mut response).await?;
        return Ok(response);
    }
    Ok(see_other("/account?done=ended"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `POST /account/sign-out-everywhere`: ends all of them, this one too.
pub async fn sign_out_everywhere(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let binding = *call.proof.session.id.as_bytes();
    let _: Confirmed = call.form(&binding).await?;
    let user = call.proof.user.id;
    let mut write = call.context.store.write().await?;
    let ended = sessions::end_all_of(&mut write, &user, None, EndReason::SignedOutEverywhere, call.now).await?;
    let entry = Entry::new(Event::SignedOut, Actor::User(user), call.now, &mut call.context.random())
        .user(user)
        .ip(call.ip)
        .with("sessions", &(ended.len() as u64));
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    let there = receipt::path(&call.context.keys.receipt, &ended, call.now, &mut call.context.random());
    let there = by_way_of_provider(&call.context, &call.proof.session.id, there, call.now).await?;
    let mut response = see_other(&there);
    sign_out::forget(&call.context, &mut response).await?;
    Ok(response)
}
