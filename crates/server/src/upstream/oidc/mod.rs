//! Signing in at another OIDC provider: the way there ([`start`]) and the way back ([`callback`]). OIDC Core 1.0 §3.1, RFC 7636, RFC 9207, RFC 9700;
//! protocol §10.
//!
//! Each provider has a way back of its own, and what a browser left with opens on that one only: a code of one provider is never shown to another
//! (mix-up, RFC 9700 §4.4).

pub mod backchannel_logout;
pub mod link;
pub mod provider;
pub mod sign_in;
pub mod sign_out;

use std::sync::Arc;

use axum::response::Response;
use hallpass_core::id::UpstreamName;
use hallpass_core::session::Acr;
use hallpass_core::throttle;
use hallpass_core::upstream::UpstreamRefused;
use hallpass_core::upstream::oidc::{Identity, MailAddress, Metadata};
use hallpass_core::upstream::transaction::Transaction;
use hallpass_store::upstream_answers;
use http::header;
use serde::Deserialize;
use url::Url;

use self::provider::{Provider, Tokens};
use super::kratos::Away;
use super::round_trip::{self, Returned};
use super::{pages, record_refusal};
use crate::context::Context;
use crate::oidc::pending;
use crate::pass::{Journey, see_other};
use crate::sign_in::start::Browser;
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::Visitor;
use crate::web::headers::require_navigation;

/// Bytes of a code that is shown to a provider. Entra ID's have more than a thousand.
const CODE_LENGTH: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Departure {
    app: Option<String>,
    return_to: Option<String>,
    pending: Option<String>,
    /// The person is to prove anew who they are.
    again: Option<String>,
    /// Another person wants to sign in than the one who is here.
    another: Option<String>,
    /// Who they say they are, for the provider's own form.
    hint: Option<String>,
}

/// `GET /upstream/oidc/start/{name}?app&return_to`: to the provider, which leads back to [`callback`]. `again=1` asks the person to sign in anew, `another=1`
/// lets them say who they are although the provider knows somebody in this browser. What a client that waits has asked for is asked there.
pub async fn start(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let provider = named(&call)?;
    let Departure { app, return_to, pending, again, another, hint } = call.query()?;
    let journey = Journey { app, return_to, pending };
    journey.check(&*call.context.view.policy().await?)?;
    let mut transaction =
        Transaction::begin(journey.app.clone(), journey.return_to.clone(), call.now, &mut call.context.random());
    // Somebody who is here, and whose proof is too old for the client that waits, is asked for a new one, and not merely recognised.
    let stale = |live| pending::wants_sign_in(&call.context, &journey, live, call.now);
    transaction.anew = again.is_some()
        || pending::wants_login(&call.context, &journey, call.now)
        || call.proof.session.as_ref().is_some_and(stale);
    transaction.pending.clone_from(&journey.pending);
    let demands = pending::demands(&call.context, &journey, call.now);
    transaction.max_age = demands.max_age.map(|age| age.as_secs());
    // A provider of which nobody has said what its words mean cannot show two factors; the client is told that by itself.
    transaction.strong = demands.acr >= Some(Acr::Aal2) && provider.config.tells_two_factors();
    let choose = another.is_some() || demands.choice;
    // What a client hints at is a name here, and means something there only if it is an address.
    let hinted = || pending::hints(&call.context, &journey, None, call.now).username;
    let hint = hint.or_else(hinted).filter(|hint| hint.parse::<MailAddress>().is_ok());
    let Ok(metadata) = provider.metadata(call.now).await else {
        return Ok(pages::away(&call, provider.config.label(), &journey));
    };
    let mut there = authorization_request(&call.context, &provider, &metadata, &transaction, hint.as_deref());
    ask(&mut there, &provider, &metadata, &transaction, choose);
    Ok(round_trip::depart(&call, &bound_to(&provider), transaction, see_other(there.as_str())))
}

/// Where signing in there begins.
pub fn start_address(name: &UpstreamName, journey: &Journey) -> String {
    format!("/upstream/oidc/start/{name}{}", journey.query())
}

/// OIDC Core 1.0 §3.1.2.1, RFC 7636 §4.3.
fn authorization_request(
    context: &Context,
    provider: &Provider,
    metadata: &Metadata,
    transaction: &Transaction,
    hint: Option<&str>,
) -> Url {
    let mut there = metadata.authorization_endpoint.clone();
    {
        let mut query = there.query_pairs_mut();
        query.append_pair("response_type", "code");
        query.append_pair("client_id", &provider.config.client_id);
        query.append_pair("redirect_uri", &redirect_uri(context, provider));
        query.append_pair("scope", &provider.config.scopes.join(" "));
        query.append_pair("state", &transaction.state());
        query.append_pair("nonce", &transaction.nonce());
        query.append_pair("code_challenge", &transaction.code_challenge());
        query.append_pair("code_challenge_method", "S256");
        if let Some(hint) = hint {
            query.append_pair("login_hint", hint);
        }
    }
    there
}

/// What is asked of the sign-in there besides who it is. What can be seen in the answer is held against it: `auth_time` by [`Provider::identify`], `acr` by
/// [`identify`].
fn ask(there: &mut Url, provider: &Provider, metadata: &Metadata, transaction: &Transaction, choose: bool) {
    // Whoever offers no choice shows its form, where another person can type another name.
    let prompt = match (transaction.anew, choose) {
        (true, true) if metadata.lets_choose => "select_account login",
        (false, true) if metadata.lets_choose => "select_account",
        (true, _) | (_, true) => "login",
        (false, false) => "",
    };
    let mut query = there.query_pairs_mut();
    if !prompt.is_empty() {
        query.append_pair("prompt", prompt);
    }
    if let Some(age) = transaction.oldest_proof() {
        // With it `auth_time` must be in the ID token.
        query.append_pair("max_age", &age.as_secs().to_string());
    }
    if transaction.strong && !provider.config.second_factor.acr.is_empty() {
        query.append_pair("acr_values", &provider.config.second_factor.acr.join(" "));
    }
}

/// What the provider leads back to, as it is registered there.
pub fn redirect_uri(context: &Context, provider: &Provider) -> String {
    format!("{}/upstream/oidc/callback/{}", context.public_url, provider.name())
}

/// What a provider sends back (RFC 6749 §4.1.2, RFC 9207 §2). Some say more.
#[derive(Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// `GET /upstream/oidc/callback/{name}?state&code`: redeems the code, if this browser began it, and starts a session.
pub async fn callback(call: Call<Visitor>) -> Result<Response, Error> {
    require_navigation(call.headers())?;
    let provider = named(&call)?;
    let answer: Answer = call.query()?;
    // Each answer is a question to the provider, and whoever makes them up has them asked in our name.
    if let Some(after) = call.context.upstream_refusals.blocked(&throttle::address_block(call.ip), call.now) {
        call.context.telemetry.sign_in_throttled();
        return Err(Error::too_many_requests(after));
    }
    let returned = Returned::with(&call, &bound_to(&provider), answer.state.as_deref().unwrap_or_default());
    let mut response = match &returned.transaction {
        Ok(transaction) => arrive(&call, &provider, transaction, answer).await?,
        Err(refused) => refuse(&call, &provider, *refused, &Journey::default()).await?,
    };
    returned.put_away(&mut response);
    Ok(response)
}

/// From a transaction of this browser's to its end.
async fn arrive(
    call: &Call<Visitor>,
    provider: &Provider,
    transaction: &Transaction,
    answer: Answer,
) -> Result<Response, Error> {
    let Transaction { app, return_to, pending, .. } = transaction.clone();
    let journey = Journey { app, return_to, pending };
    // Checked when it began; the registry may have changed since.
    journey.check(&*call.context.view.policy().await?)?;
    let (identity, tokens) = match identify(call, provider, transaction, answer).await? {
        Ok(arrived) => arrived,
        Err(Failed::Refused(refused)) => return refuse(call, provider, refused, &journey).await,
        Err(Failed::Away(Away(why))) => {
            tracing::error!(upstream = %provider.name(), %why, request_id = %call.request_id, "a sign-in could not be finished at its provider");
            return Ok(pages::away(call, provider.config.label(), &journey));
        }
    };
    if let Some(session) = &transaction.links {
        return link::finish(call, provider, &identity, session).await;
    }
    let browser = Browser::of(call, false);
    match sign_in::sign_in(&call.context, provider, &identity, tokens.id_token(), browser, call.now).await? {
        Ok(started) => {
            let mut response = see_other(&format!("/continue{}", journey.query()));
            started.set_cookies(response.headers_mut());
            response.headers_mut().append(header::SET_COOKIE, cookies::expire(cookies::FLOW));
            Ok(response)
        }
        Err(refused) => refuse(call, provider, refused, &journey).await,
    }
}

/// Why nobody has arrived.
enum Failed {
    Refused(UpstreamRefused),
    Away(Away),
}

impl From<Away> for Failed {
    fn from(away: Away) -> Self {
        Self::Away(away)
    }
}

/// Who has come back, and with what.
async fn identify(
    call: &Call<Visitor>,
    provider: &Provider,
    transaction: &Transaction,
    answer: Answer,
) -> Result<Result<(Identity, Tokens), Failed>, Error> {
    let metadata = match provider.metadata(call.now).await {
        Ok(metadata) => metadata,
        Err(away) => return Ok(Err(away.into())),
    };
    // Before anything of it is believed, the error included: an answer of another provider's is a mix-up (RFC 9207 §2.4).
    let refused = match &answer.iss {
        Some(iss) if !provider.issuer.may_be(iss) => Some(UpstreamRefused::AnswerOfAnother),
        None if metadata.names_itself => Some(UpstreamRefused::AnswerOfAnother),
        _ => None,
    };
    if let Some(refused) = refused {
        return Ok(Err(Failed::Refused(refused)));
    }
    // Once, on whichever node (advisory T23); from here on this answer is used up, whatever comes of it.
    let mut write = call.context.store.write().await?;
    let first = upstream_answers::take(&mut write, &transaction.answered(), call.now).await?;
    write.commit().await?;
    if !first {
        return Ok(Err(Failed::Refused(UpstreamRefused::AnswerUsed)));
    }
    let code = answer.code.filter(|code| answer.error.is_none() && (1..=CODE_LENGTH).contains(&code.len()));
    let Some(code) = code else { return Ok(Err(Failed::Refused(UpstreamRefused::Denied))) };
    let asked = async {
        let redirect_uri = redirect_uri(&call.context, provider);
        let tokens = provider.redeem(&code, transaction, &redirect_uri, call.now).await?.map_err(Failed::Refused)?;
        let identity = provider.identify(&tokens, transaction, call.context.now()).await?.map_err(Failed::Refused)?;
        // Of a provider with several issuers the answer and the token must mean the same one.
        if answer.iss.as_deref().is_some_and(|iss| iss != identity.issuer()) {
            return Err(Failed::Refused(UpstreamRefused::AnswerOfAnother));
        }
        if transaction.strong && identity.acr() < Acr::Aal2 {
            return Err(Failed::Refused(UpstreamRefused::AssuranceTooLow));
        }
        if !provider.config.admits(&identity) {
            return Err(Failed::Refused(UpstreamRefused::ClaimNotAsRequired));
        }
        Ok((identity, tokens))
    };
    Ok(asked.await)
}

/// The page for everything that cannot be a sign-in, and the entry that says which of them it was.
async fn refuse(
    call: &Call<Visitor>,
    provider: &Provider,
    refused: UpstreamRefused,
    journey: &Journey,
) -> Result<Response, Error> {
    let app = journey.app.as_deref().and_then(|app| app.parse().ok());
    record_refusal(&call.context, provider.name(), refused, call.ip, app.as_ref(), call.now).await?;
    let again = start_address(provider.name(), journey);
    Ok(pages::refused(call, provider.config.label(), refused, &again, journey))
}

/// The one that the path names; one that is not configured, or not any more, is not there (advisory T50).
fn named<P>(call: &Call<P>) -> Result<Arc<Provider>, Error> {
    let name = call.parts.uri.path().rsplit('/').next().unwrap_or_default();
    call.context.provider(name).ok_or_else(Error::not_found)
}

/// What transactions of this provider's are sealed for.
fn bound_to(provider: &Provider) -> String {
    format!("oidc {}", provider.name())
}
