//! Signing out at the provider, too: where somebody goes on to who has signed out here ([`leave`]), and the way back ([`back`]). OIDC RP-Initiated
//! Logout 1.0 §2, §3; protocol §9, §10.
//!
//! Here everything is over before anybody leaves, and the page that they were to see is reached whatever happens there. Addresses carry sealed what they
//! need: nobody can be sent anywhere by them but where a sign-out of this engine was to end.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{Random, Sealer};
use hallpass_core::id::SessionId;
use hallpass_core::time::Timestamp;
use hallpass_store::provider_sessions;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

use super::provider::Provider;
use crate::context::Context;
use crate::pass::see_other;
use crate::upstream::pages;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Visitor;
use crate::web::headers::require_navigation;
use crate::web::onward::OnwardPage;
use crate::web::respond::html;

/// The purpose of the key that the way there and the way back are sealed with.
pub const SEALER: &str = "upstream sign-out";
/// How long somebody may take, as long as the receipt can be looked at.
const LIFETIME: Duration = Duration::from_hours(1);
/// The longest ID token that is kept, in bytes. It comes back in an address, and few servers take more than eight thousand.
const ID_TOKEN_LENGTH: usize = 4096;
/// The longest address that is carried along, for the same reason.
const DESTINATION_LENGTH: usize = 2048;
/// What the way there is sealed for; the way back for its provider.
const THERE: &str = "there";

/// A sign-out under way.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    session: SessionId,
    destination: String,
    until: i64,
}

/// The ID token as it is kept with the session, if it will be needed.
pub fn kept(
    provider: &Provider,
    id_token: &str,
    session: &SessionId,
    sealer: &Sealer,
    random: &mut dyn Random,
) -> Option<Vec<u8>> {
    let needed = provider.config.sign_out && id_token.len() <= ID_TOKEN_LENGTH;
    needed.then(|| sealer.seal(id_token.as_bytes(), &associated(session), random))
}

/// Where a browser goes on to whose session has just ended: to `destination`, by way of the provider that the session came of, if it is configured so.
pub async fn by_way_of_provider(
    context: &Context,
    ended: &SessionId,
    destination: String,
    now: Timestamp,
) -> Result<String, Error> {
    let configured = context.providers.iter().any(|provider| provider.config.sign_out);
    if !configured || of_session(context, ended).await?.is_none() {
        return Ok(destination);
    }
    // Better to be signed out and end at our own page than not to be.
    let destination = if destination.len() > DESTINATION_LENGTH { "/sign-out".to_owned() } else { destination };
    let under_way = UnderWay { session: *ended, destination, until: (now + LIFETIME).as_millis() };
    Ok(format!("/upstream/oidc/sign-out?of={}", under_way.seal(context, THERE)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaving {
    of: String,
}

/// `GET /upstream/oidc/sign-out?of`: to the provider, which leads back to [`back`].
pub async fn leave(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let Leaving { of } = call.query()?;
    let Some(under_way) = UnderWay::open(&call, &of, THERE) else { return Ok(see_other("/sign-out")) };
    // Whoever has signed in since is not signed out by an address that was left lying about.
    if call.proof.session.is_some() {
        return Ok(see_other(&under_way.destination));
    }
    let Some(provider) = of_session(&call.context, &under_way.session).await? else {
        return Ok(see_other(&under_way.destination));
    };
    let end = match provider.metadata(call.now).await {
        Ok(metadata) => metadata.end_session_endpoint.clone().filter(super::provider::is_for_browsers),
        Err(_) => None,
    };
    let Some(end) = end else {
        return Ok(pages::still_signed_in_there(&call, provider.config.label(), &under_way.destination));
    };
    let mut write = call.context.store.write().await?;
    let left = provider_sessions::leave(&mut write, &under_way.session).await?;
    write.commit().await?;
    // Somebody who comes by this address once more has been there.
    let Some(id_token) = left else { return Ok(see_other(&under_way.destination)) };
    let there = logout_request(&call, &provider, end, &under_way, id_token.as_deref()).to_string();
    // A page that leads on: this may follow our own form, and browsers hold its policy against every redirect.
    Ok(html(&OnwardPage { brand: call.context.config.brand.clone(), there }))
}

/// RP-Initiated Logout §2. Without the hint a provider asks the person first.
fn logout_request(
    call: &Call<Visitor>,
    provider: &Provider,
    mut end: Url,
    under_way: &UnderWay,
    id_token: Option<&[u8]>,
) -> Url {
    let context = &call.context;
    let sealer = &context.keys.upstream_credential;
    let id_token = id_token.and_then(|sealed| sealer.open(sealed, &associated(&under_way.session)));
    let id_token = id_token.as_ref().and_then(|token| std::str::from_utf8(token).ok());
    {
        let mut query = end.query_pairs_mut();
        if let Some(token) = id_token {
            query.append_pair("id_token_hint", token);
        }
        query.append_pair("client_id", &provider.config.client_id);
        query.append_pair("post_logout_redirect_uri", &way_back(context, provider));
        query.append_pair("state", &under_way.seal(context, provider.name().as_str()));
    }
    end
}

/// What the provider leads back to, as it is registered there.
fn way_back(context: &Context, provider: &Provider) -> String {
    format!("{}/upstream/oidc/signed-out/{}", context.public_url, provider.name())
}

/// Providers say more.
#[derive(Deserialize)]
struct Returned {
    state: Option<String>,
}

/// `GET /upstream/oidc/signed-out/{name}?state`: where the sign-out here was to end.
pub async fn back(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let Returned { state } = call.query()?;
    let name = call.parts.uri.path().rsplit('/').next().unwrap_or_default();
    let under_way = state.and_then(|state| UnderWay::open(&call, &state, name));
    Ok(see_other(under_way.as_ref().map_or("/sign-out", |under_way| &under_way.destination)))
}

impl UnderWay {
    fn seal(&self, context: &Context, bound_to: &str) -> String {
        let plain = serde_json::to_vec(self).expect("an identifier, a text and a number");
        let random = &mut context.random();
        URL_SAFE_NO_PAD.encode(context.keys.upstream_sign_out.seal(&plain, bound_to.as_bytes(), random))
    }

    fn open(call: &Call<Visitor>, text: &str, bound_to: &str) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = call.context.keys.upstream_sign_out.open(&sealed, bound_to.as_bytes())?;
        let found: Self = serde_json::from_slice(&plain).ok()?;
        (call.now < Timestamp::from_millis(found.until)).then_some(found)
    }
}

/// The provider that a session came of, if people are to sign out there.
async fn of_session(context: &Context, session: &SessionId) -> Result<Option<Arc<Provider>>, Error> {
    let issuer = provider_sessions::issuer_of(&mut context.store.read().await?, session).await?;
    let Some(issuer) = issuer else { return Ok(None) };
    let mut providers = context.providers.iter().filter(|provider| provider.config.sign_out);
    Ok(providers.find(|provider| provider.issuer.may_be(&issuer)).cloned())
}

/// It opens for this session only, and as nothing else.
fn associated(session: &SessionId) -> Vec<u8> {
    [b"id token ", &session.as_bytes()[..]].concat()
}
