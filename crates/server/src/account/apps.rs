//! "Apps you have allowed": what they are, and `POST /account/apps/revoke`, which takes it back. The app's tokens end with it, in one transaction.

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::AppKey;
use hallpass_core::oidc::{Consent, RedirectUri};
use hallpass_core::time::Timestamp;
use hallpass_store::view::Policy;
use hallpass_store::{audit, consents};
use serde::Deserialize;

use crate::oidc::{consent, services};
use crate::pass::see_other;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::LiveSession;
use crate::web::page::AllowedLine;
use crate::web::words;

/// One of them, for the person's own page. The company's own apps need no leave, so there is nothing to take back from them.
pub fn line(policy: &Policy, app: &AppKey, consent: &Consent, now: Timestamp) -> Option<AllowedLine> {
    let app = &policy.apps[policy.by_key(app.as_str())?].app;
    let place = match &app.client_id {
        Some(document) => document.origin().authority(),
        None => app.redirect_uris.first().map(RedirectUri::place).unwrap_or_default(),
    };
    app.third_party.then(|| AllowedLine {
        key: app.key.to_string(),
        name: app.name.clone(),
        domain: place.to_owned(),
        learns: consent::in_short(consent.scope),
        uses: services::shown(policy, &consent.resources),
        since: words::ago(consent.given_at, now),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    app_key: AppKey,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// `POST /account/apps/revoke`. What was never allowed is "not found"; nobody can name anything but their own (advisory T41).
pub async fn revoke(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let session = call.proof.session.id;
    let Revoke { app_key: app, .. } = call.form(session.as_bytes()).await?;
    let user = call.proof.user.id;
    let mut write = call.context.store.write().await?;
    if !consents::revoke(&mut write, &user, &app, call.now).await? {
        return Err(Error::not_found());
    }
    let entry = Entry::new(Event::ConsentRevoked, Actor::User(user), call.now, &mut call.context.random());
    let entry = entry.user(user).session(session).app(&app).ip(call.ip);
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(see_other("/account?done=app"))
}
