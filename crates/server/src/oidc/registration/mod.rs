//! Clients that register themselves (RFC 7591), and manage that (RFC 7592). Off unless it is configured, and then for whoever has the initial access token.
//! Protocol §11; advisories T4, T5, T82, T90.
//!
//! Such a client is somebody else's: people are asked before it learns anything, its keys open the token endpoint and nothing else, and what it is allowed
//! besides is in no word that it can say (`core/oidc/registration`).

mod answer;
pub mod guard;
pub mod manage;

use axum::response::Response;
use hallpass_core::app::{App, AppSecret};
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::crypto;
use hallpass_core::id::SecretId;
use hallpass_core::oidc::registration::registered_key;
use hallpass_core::oidc::{ClientKind, ClientMetadata, RegistrationRefused};
use hallpass_core::secret::{RegistrationToken, Secret, SecretKey};
use hallpass_store::{Write, apps, audit, registrations};
use http::StatusCode;

use self::answer::Client;
use self::guard::Registrant;
use crate::admin;
use crate::config::{Config, RegistrationConfig};
use crate::context::StartError;
use crate::master_key;
use crate::oidc::json;
use crate::web::call::Call;
use crate::web::error::Error;

/// The shortest initial access token: whoever guesses it may put clients of theirs before everybody.
const SHORTEST_TOKEN: usize = 32;

/// Registration, where it is on.
pub struct Registration {
    /// As configured.
    pub config: RegistrationConfig,
    token: [u8; 32],
}

impl Registration {
    /// As the configuration says; `None` where it says nothing.
    pub async fn configured(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(config) = config.registration.clone() else { return Ok(None) };
        let what = "registration.initial_access_token";
        let token = master_key::read(&config.initial_access_token, what).await?;
        let token = token.filter(|token| token.len() >= SHORTEST_TOKEN).ok_or_else(|| {
            StartError::Other(format!(
                "{what}: name a file, env or command with a random text of at least {SHORTEST_TOKEN} characters"
            ))
        })?;
        Ok(Some(Self { token: crypto::sha256(token.as_bytes()), config }))
    }

    /// Whether this is the initial access token.
    fn opens(&self, token: &str) -> bool {
        crypto::equal(&crypto::sha256(token.as_bytes()), &self.token)
    }
}

/// `POST /oauth/register`
pub async fn register(mut call: Call<Registrant>) -> Result<Response, Error> {
    let registrable = metadata(&mut call).await?.registrable().map_err(refused)?;
    let context = &call.context;
    let Registrant { registration } = &call.proof;
    let policy = context.view.policy().await?;
    let home = policy.home.clone().ok_or_else(|| Error::unavailable().because("there is no home zone yet"))?;
    let key = registered_key(&mut context.random());
    let app = registrable.app(key, home.name.clone(), registration.config.access);
    admin::apps::check(&app, &home).map_err(unfit)?;
    let token = Secret::<RegistrationToken>::mint(&mut context.random());
    let mut write = context.store.write().await?;
    apps::upsert(&mut write, &app, call.now).await?;
    if !registrations::add(&mut write, &app.key, &token.digest(), registrable.method, registration.config.maximum)
        .await?
    {
        tracing::warn!(
            maximum = registration.config.maximum,
            "no more clients may register themselves: remove some, or raise registration.maximum"
        );
        let message = "No more clients can be registered here.";
        return Err(Error::new(StatusCode::FORBIDDEN, "access_denied", message).because("registration.maximum"));
    }
    note(&call, &mut write, Event::AppAdded, Actor::Anonymous, &app).await?;
    let secret =
        if app.client.kind == ClientKind::Confidential { Some(mint(&call, &mut write, &app).await?) } else { None };
    write.commit().await?;
    let mut told = Client { app: &app, method: registrable.method, token: token.expose() }.told(context);
    told["client_id_issued_at"] = call.now.as_seconds().into();
    if let Some(secret) = secret {
        told["client_secret"] = secret.expose().as_str().into();
        // Never.
        told["client_secret_expires_at"] = 0.into();
    }
    let mut response = json(told.to_string());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// What the client says of itself. Faults in it have a code of their own (RFC 7591 §3.2.2).
async fn metadata<P>(call: &mut Call<P>) -> Result<ClientMetadata, Error> {
    call.json().await.map_err(|error: Error| match error.code {
        "invalid_request" => Error { code: "invalid_client_metadata", ..error },
        _ => error,
    })
}

fn refused(refused: RegistrationRefused) -> Error {
    let (code, message) = match refused {
        RegistrationRefused::RedirectUri(message) => ("invalid_redirect_uri", message),
        RegistrationRefused::Metadata(message) => ("invalid_client_metadata", message),
    };
    Error::new(StatusCode::BAD_REQUEST, code, message).because(message)
}

/// What an administrator could not register either.
fn unfit(error: admin::AdminError) -> Error {
    match error {
        admin::AdminError::Store(error) => error.into(),
        other => refused(RegistrationRefused::Metadata("Such a client cannot be registered here."))
            .because(other.to_string()),
    }
}

async fn mint<P>(call: &Call<P>, write: &mut Write, app: &App) -> Result<Secret<SecretKey>, Error> {
    let secret = Secret::mint(&mut call.context.random());
    let row = AppSecret {
        id: SecretId::mint(&mut call.context.random()),
        app: app.key.clone(),
        digest: secret.digest(),
        created_at: call.now,
        expires_at: None,
        last_used_at: None,
    };
    if apps::add_secret(write, &row, call.now).await? {
        Ok(secret)
    } else {
        Err(Error::internal().because("a new app has secrets already"))
    }
}

async fn note<P>(call: &Call<P>, write: &mut Write, event: Event, actor: Actor, app: &App) -> Result<(), Error> {
    let entry = Entry::new(event, actor, call.now, &mut call.context.random()).app(&app.key).ip(call.ip);
    let entry = entry.with("zone", &app.zone).with("access", &app.access).with("registered", &true);
    Ok(audit::append(write, &(&entry).into()).await?)
}
