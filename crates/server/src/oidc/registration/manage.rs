//! `GET`, `PUT`, `DELETE /oauth/register/{client_id}`: a client looks at its registration, replaces it, ends it (RFC 7592 §2).

use axum::body::Body;
use axum::response::Response;
use hallpass_core::app::App;
use hallpass_core::audit::{Actor, Event};
use hallpass_core::oidc::registration::looks_different;
use hallpass_core::oidc::{ClientMetadata, RegistrationRefused};
use hallpass_core::secret::{Secret, SecretKey};
use hallpass_store::{Write, apps, consents, registrations};
use http::StatusCode;

use super::answer::Client;
use super::guard::Registered;
use super::{metadata, note, refused, unfit};
use crate::admin;
use crate::oidc::json;
use crate::web::call::Call;
use crate::web::error::Error;

/// What it is. Its secret nobody here knows.
pub async fn read(call: Call<Registered>) -> Result<Response, Error> {
    let Registered { app, method, token } = &call.proof;
    Ok(json(Client { app, method: *method, token: token.clone() }.told(&call.context).to_string()))
}

/// Replaces all that it says of itself, by the rules of the registration. If people would be shown something else now than when they allowed it, they are
/// asked anew, and what it has of them ends: otherwise whoever steals this token could have their codes sent elsewhere in its name.
pub async fn update(mut call: Call<Registered>) -> Result<Response, Error> {
    let said = metadata(&mut call).await?;
    let known = &call.proof.app;
    if said.client_id.as_deref() != Some(known.client_id()) || said.says_what_is_ours() {
        let message = "An update says client_id, the one in its address, and none of what the server says.";
        return Err(refused(RegistrationRefused::Metadata(message)));
    }
    let registrable = said.registrable().map_err(refused)?;
    let mut write = call.context.store.write().await?;
    let known = held(&call, &mut write).await?;
    if !has_this_secret(&call, &mut write, &said).await? {
        return Err(refused(RegistrationRefused::Metadata("client_secret is not the one that this client has.")));
    }
    let app = registrable.update(&known).map_err(refused)?;
    let zone = call.context.view.policy().await?.zones.iter().find(|zone| zone.name == app.zone).cloned();
    let zone = zone.ok_or_else(|| Error::unavailable().because("the zone of an app is not there"))?;
    admin::apps::check(&app, &zone).map_err(unfit)?;
    apps::upsert(&mut write, &app, call.now).await?;
    registrations::set_method(&mut write, &app.key, registrable.method).await?;
    if looks_different(&known, &app) {
        consents::revoke_all(&mut write, &app.key, call.now).await?;
    }
    note(&call, &mut write, Event::AppChanged, Actor::App(app.key.clone()), &app).await?;
    write.commit().await?;
    let token = call.proof.token.clone();
    Ok(json(Client { app: &app, method: registrable.method, token }.told(&call.context).to_string()))
}

/// Ends it, with all that it has.
pub async fn remove(call: Call<Registered>) -> Result<Response, Error> {
    let mut write = call.context.store.write().await?;
    let app = held(&call, &mut write).await?;
    apps::remove(&mut write, &app.key, call.now).await?;
    note(&call, &mut write, Event::AppRemoved, Actor::App(app.key.clone()), &app).await?;
    write.commit().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// The client, kept as it is until the transaction is over: what an administrator disables meanwhile must not be written back as it was before (advisory T90).
async fn held(call: &Call<Registered>, write: &mut Write) -> Result<App, Error> {
    let key = &call.proof.app.key;
    let there = apps::hold(write, key).await?;
    let app = if there { apps::find(write, key).await? } else { None };
    let gone = || {
        Error::new(StatusCode::UNAUTHORIZED, "invalid_token", "The token is not good here.")
            .because("disabled a moment ago")
    };
    app.filter(|app| app.disabled_at.is_none()).ok_or_else(gone)
}

/// Whether the secret that an update repeats, if it does, is one of the client's (RFC 7592 §2.2).
async fn has_this_secret(call: &Call<Registered>, write: &mut Write, said: &ClientMetadata) -> Result<bool, Error> {
    let Some(text) = &said.client_secret else { return Ok(true) };
    let Some(secret) = Secret::<SecretKey>::parse(text) else { return Ok(false) };
    let found = apps::by_secret(write, &secret.digest()).await?;
    let live = found.filter(|found| found.expires_at.is_none_or(|end| end > call.now));
    Ok(live.is_some_and(|found| found.app == call.proof.app.key))
}
