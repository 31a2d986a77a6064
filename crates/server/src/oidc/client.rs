//! Which client asks at the token and the revocation endpoint, and how that is known: RFC 6749 §2.3, §3.2.1.
//!
//! A confidential client shows its secret, in the `Authorization` header or in the body, never in both and never in the address; or, if it has declared
//! keys, an assertion and never a secret. A public one has none: naming itself proves nothing, so only grants that bring a proof of their own are open to it; and one that runs in browsers is listened to
//! from its own pages only. Advisories T14, T16.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hallpass_core::app::Origin;
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::{ClientAuthentication, ClientKind};
use hallpass_core::time::Timestamp;
use hallpass_store::view::{AppEntry, PolicyGuard};
use http::request::Parts;
use http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sync_wrapper::SyncWrapper;

use super::client_assertion::Shown;
use super::{cors, documents};
use crate::context::Context;
use crate::web::call::{Call, content_type, from_json};
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::{AppCaller, Proof, by_browser, client_refused, not_for_browsers};
use crate::web::parameters::parameters;

/// What the headers say of who asks; [`identify`] reads the rest.
pub enum ClientClaim {
    /// An app that showed its secret there.
    BySecret(AppCaller),
    /// Nothing: it is in the body, if anywhere.
    InTheBody,
}

impl Proof for ClientClaim {
    const NAME: &'static str = "client";

    async fn establish(context: &Arc<Context>, parts: &Parts, ip: IpAddr, now: Timestamp) -> Result<Self, Error> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self::InTheBody);
        }
        AppCaller::by_header(context, &parts.headers, ip, now).await.map(Self::BySecret)
    }
}

/// A client that is known: a confidential one by its secret, a public one by nothing but its name.
pub struct Client {
    /// The registry as of this request.
    pub policy: PolicyGuard,
    /// Its entry in the registry.
    pub index: usize,
    /// Of a browser client: where the page is that asks, one of its own.
    pub origin: Option<Origin>,
    /// The key that it has proved to hold: what its tokens are bound to. The token endpoint finds that out.
    pub key: Option<Thumbprint>,
    /// The body is JSON, which no form of another site can send.
    json: bool,
}

/// Whoever asks for tokens, however it was found out who that is.
pub trait Asking {
    /// The app.
    fn app(&self) -> &AppEntry;
}

impl Asking for Client {
    fn app(&self) -> &AppEntry {
        &self.policy.apps[self.index]
    }
}

impl Asking for AppCaller {
    fn app(&self) -> &AppEntry {
        AppCaller::app(self)
    }
}

impl Client {
    /// The app.
    pub fn app(&self) -> &AppEntry {
        Asking::app(self)
    }

    /// As the app that it is. Of a client that has shown its secret, as every client has that is given a grant for apps.
    pub fn into_caller(self) -> AppCaller {
        AppCaller { policy: self.policy, index: self.index }
    }

    /// It has no secret, so nobody knows that it is who it says.
    pub fn is_public(&self) -> bool {
        self.app().app.client.kind.is_public()
    }

    /// The cookie that its refresh token is in; `None` for clients that get theirs in the answer.
    pub fn refresh_cookie(&self) -> Option<String> {
        let app = &self.app().app;
        app.client.keeps_refresh_cookie().then(|| cookies::refresh(&app.key))
    }

    /// Whether the body is JSON.
    pub fn sent_json(&self) -> bool {
        self.json
    }
}

#[derive(Deserialize)]
struct Credentials {
    client_secret: Option<String>,
    #[serde(flatten)]
    shown: Shown,
}

/// Finds out who asks, and for what.
pub async fn identify<T: DeserializeOwned>(mut call: Call<ClientClaim>) -> Result<(Call<Client>, T), Error> {
    let json = match content_type(call.headers()) {
        Some("application/x-www-form-urlencoded") => false,
        Some("application/json") => true,
        _ => return Err(Error::unsupported_media_type()),
    };
    let body = call.bytes().await?;
    let Credentials { client_secret, shown } = read(json, &body)?;
    let client_id = shown.client_id.as_deref();
    let Call { context, proof, now, ip, request_id, parts, .. } = call;
    let (policy, index) = match proof {
        ClientClaim::BySecret(AppCaller { policy, index }) => {
            // One way of saying who asks, and one answer to it.
            let other = client_id.is_some_and(|id| id != policy.apps[index].app.client_id());
            if client_secret.is_some() || shown.is_assertion() || other {
                return Err(Error::invalid_request("The client is named by the Authorization header, once."));
            }
            (policy, index)
        }
        ClientClaim::InTheBody if by_browser(&parts.headers) && (client_secret.is_some() || shown.is_assertion()) => {
            return Err(not_for_browsers().because("a secret in a browser"));
        }
        ClientClaim::InTheBody if client_secret.is_some() && shown.is_assertion() => {
            return Err(Error::invalid_request("A client shows a secret or an assertion, not both."));
        }
        ClientClaim::InTheBody if shown.is_assertion() => {
            let AppCaller { policy, index } = Box::pin(shown.establish(&context, ip, now)).await?;
            (policy, index)
        }
        ClientClaim::InTheBody if client_secret.is_some() => {
            let pair = client_id.zip(client_secret.as_deref()).ok_or("a secret without a client_id");
            let AppCaller { policy, index } = AppCaller::by_secret(&context, pair, ip, now).await?;
            (policy, index)
        }
        ClientClaim::InTheBody => {
            let policy = context.view.policy().await?;
            let public = |index: &usize| {
                let app = &policy.apps[*index].app;
                app.client.kind.is_public() && app.disabled_at.is_none()
            };
            match client_id.and_then(|id| policy.by_client_id(id)).filter(public) {
                Some(index) => (policy, index),
                None if by_browser(&parts.headers) => return Err(not_for_browsers()),
                None => return Err(client_refused(&context, ip, now, "no credentials, and no client without")),
            }
        }
    };
    let app = &policy.apps[index].app;
    if !documents::is_taken(&context, app) {
        return Err(client_refused(&context, ip, now, "clients of that address are not taken any more"));
    }
    let way = match (shown.is_assertion(), client_secret.is_some() || parts.headers.contains_key(header::AUTHORIZATION))
    {
        (true, _) => ClientAuthentication::PrivateKeyJwt,
        (false, true) => ClientAuthentication::Secret,
        (false, false) => ClientAuthentication::None,
    };
    if ClientAuthentication::of(app) != way {
        // A secret in a program that everybody can read is none; whoever shows it has taken it out of there (RFC 8252 §8.5). And who signs assertions
        // does so in order that no secret opens anything.
        return Err(client_refused(&context, ip, now, "not the way in which this client shows who it is"));
    }
    let origin = match app.client.kind {
        ClientKind::Browser => Some(cors::own_page(app, &parts.headers).cloned().ok_or_else(foreign)?),
        _ if json => return Err(Error::unsupported_media_type()),
        _ => None,
    };
    let request = read(json, &body)?;
    let proof = Client { policy, index, origin, key: None, json };
    Ok((Call { context, proof, now, ip, request_id, parts, body: SyncWrapper::default() }, request))
}

fn read<T: DeserializeOwned>(json: bool, body: &Bytes) -> Result<T, Error> {
    if json { from_json(body) } else { parameters::<T>(body) }
}

/// Another page could have its visitor signed in as somebody else by bringing a code, or end their tokens.
fn foreign() -> Error {
    let message = "This client's requests come from its own pages.";
    Error::new(StatusCode::FORBIDDEN, "invalid_request", message).because("not from one of the client's origins")
}
