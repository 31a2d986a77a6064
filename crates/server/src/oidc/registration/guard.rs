//! Who may register a client, and who may manage one: bearer tokens, each good for one of the two (RFC 7591 §3, RFC 7592 §2).

use std::net::IpAddr;
use std::sync::Arc;

use hallpass_core::app::App;
use hallpass_core::oidc::AuthMethod;
use hallpass_core::secret::{RegistrationToken, Secret};
use hallpass_core::throttle;
use hallpass_core::time::Timestamp;
use hallpass_store::{apps, registrations};
use http::StatusCode;
use http::request::Parts;
use zeroize::Zeroizing;

use super::Registration;
use crate::context::Context;
use crate::oidc::bearer::bearer;
use crate::web::error::Error;
use crate::web::guard::Proof;

/// What comes before the `client_id` in the address of a registration.
pub const MANAGED: &str = "/oauth/register/";

/// Whoever has the initial access token.
pub struct Registrant {
    /// What applies to it.
    pub registration: Arc<Registration>,
}

impl Proof for Registrant {
    const NAME: &'static str = "registrant";

    async fn establish(context: &Arc<Context>, parts: &Parts, ip: IpAddr, now: Timestamp) -> Result<Self, Error> {
        let registration = context.registration.clone().ok_or_else(Error::not_found)?;
        match bearer(&parts.headers) {
            Some(token) if registration.opens(token) => Ok(Self { registration }),
            Some(_) => Err(refused(context, ip, now, "not the initial access token")),
            None => Err(missing()),
        }
    }
}

/// A client that has registered itself, and shows the token that it was given for that.
pub struct Registered {
    /// As the database has it.
    pub app: App,
    /// How it shows who it is.
    pub method: AuthMethod,
    /// What it has shown.
    pub token: Zeroizing<String>,
}

impl Proof for Registered {
    const NAME: &'static str = "registered";

    /// From the database, not from memory: what an administrator has disabled a moment ago has nothing to say any more (advisory T90).
    async fn establish(context: &Arc<Context>, parts: &Parts, ip: IpAddr, now: Timestamp) -> Result<Self, Error> {
        if context.registration.is_none() {
            return Err(Error::not_found());
        }
        let text = bearer(&parts.headers).ok_or_else(missing)?;
        let refused = |why| Err(refused(context, ip, now, why));
        let Some(token) = Secret::<RegistrationToken>::parse(text) else {
            return refused("no registration access token");
        };
        let mut read = context.store.snapshot().await?;
        let Some((key, method)) = registrations::by_token(&mut read, &token.digest()).await? else {
            return refused("nobody's registration access token");
        };
        if parts.uri.path().strip_prefix(MANAGED) != Some(key.as_str()) {
            return refused("another client's registration access token");
        }
        match apps::find(&mut read, &key).await? {
            Some(app) if app.disabled_at.is_none() => Ok(Self { app, method, token: token.expose() }),
            _ => refused("the client is disabled"),
        }
    }
}

fn missing() -> Error {
    let message = "This address takes a bearer token.";
    Error::new(StatusCode::UNAUTHORIZED, "token_required", message).because("no Bearer token")
}

/// The brake is on whoever is wrong, as with the credentials of apps.
fn refused(context: &Context, ip: IpAddr, now: Timestamp, why: &'static str) -> Error {
    let block = throttle::address_block(ip);
    if let Some(retry_after) = context.app_refusals.blocked(&block, now) {
        return Error::too_many_requests(retry_after).because("too many wrong credentials from this address");
    }
    context.app_refusals.count(block, now);
    Error::new(StatusCode::UNAUTHORIZED, "invalid_token", "The token is not good here.").because(why)
}
