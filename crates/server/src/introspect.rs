//! `POST /introspect`: who is this, and what may they do in *this* app? Protocol §4, RFC 7662.
//!
//! Answered from the live view: no database read and no write on the way. Every doubt about the credential is exactly
//! `{"active":false}`; every fault of ours is 503. The reason for an inactive answer goes to counters and the log only.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::audit::InactiveReason;
use hallpass_core::crypto::NonceRandom;
use hallpass_core::csrf;
use hallpass_core::id::{Audience, SessionId};
use hallpass_core::jwk::Thumbprint;
use hallpass_core::keyring::Purpose;
use hallpass_core::oidc::{self, SubjectType};
use hallpass_core::pass::{self, PassPolicy, Refused, VerifiedPass};
use hallpass_core::token::RequestToken;
use hallpass_store::view::{EnvelopeView, Place, SessionView, Standing};
use http::{HeaderValue, header};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::oidc::client::ClientClaim;
use crate::oidc::client_assertion;
use crate::oidc::introspection;
use crate::web::call::{Call, content_type, from_json};
use crate::web::error::Error;
use crate::web::guard::AppCaller;
use crate::web::parameters::parameters;

/// Tokens in one batch.
const BATCH: usize = 100;
/// Seconds an answer may be reused by an app that holds no change stream.
const CACHE_PLAIN: u32 = 10;
/// Seconds an answer may be reused by an app that holds one.
const CACHE_STREAMING: u32 = 60;

/// The members of a request, in either form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'q> {
    #[serde(borrow)]
    token: Option<Token<'q>>,
    #[serde(borrow, default, deserialize_with = "bounded")]
    tokens: Option<Vec<Token<'q>>>,
    #[serde(rename = "token_type_hint")]
    _token_type_hint: Option<String>,
    host: Option<String>,
    csrf_token: Option<String>,
    method: Option<String>,
    request_token: Option<Audience>,
    if_version: Option<String>,
    client_id: Option<String>,
    client_assertion: Option<String>,
    client_assertion_type: Option<String>,
}

/// As it stands in the body: no token of ours has anything in it that either form would write otherwise.
#[derive(Debug, Deserialize)]
struct Token<'q>(#[serde(borrow)] Cow<'q, str>);

impl Question<'_> {
    /// Who asks was read before it; see [`client_assertion`].
    const fn names_client(&self) -> bool {
        self.client_id.is_some() || self.client_assertion.is_some() || self.client_assertion_type.is_some()
    }
}

/// The handler.
pub async fn introspect(mut call: Call<ClientClaim>) -> Result<Response, Error> {
    let form = match content_type(call.headers()) {
        Some("application/x-www-form-urlencoded") => true,
        Some("application/json") => false,
        _ => return Err(Error::unsupported_media_type()),
    };
    let body = call.bytes().await?;
    let caller = client_assertion::app(&mut call, form.then_some(&body)).await?;
    let call = call.with(|_| caller);
    let mut question: Question<'_> = if form { parameters(&body)? } else { from_json(&body)? };
    if question.names_client() && call.headers().contains_key(header::AUTHORIZATION) {
        return Err(Error::invalid_request("The client is named by the Authorization header, once."));
    }
    if form && question.tokens.is_some() {
        return Err(Error::invalid_request("tokens is for the JSON form; the URL-encoded form takes one token."));
    }
    check(&question, &call.proof)?;
    if let Some(asked) = question.request_token.take() {
        question.request_token = Some(target(&call, &asked)?.clone());
    }
    call.context.view.fresh().await?;
    let mut answer = Vec::with_capacity(1024);
    match (&question.token, &question.tokens) {
        (Some(Token(token)), None) => {
            one(&call, &question, token, &mut answer).await?;
        }
        // Boxed: most ask about one.
        (None, Some(tokens)) => Box::pin(batch(&call, &question, tokens, &mut answer)).await?,
        _ => return Err(Error::invalid_request("Send either token or tokens.")),
    }
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What can be wrong with the question itself.
fn check(question: &Question<'_>, caller: &AppCaller) -> Result<(), Error> {
    let app = &caller.app().app;
    if let Some(host) = &question.host
        && !app.origins.iter().any(|origin| origin.authority() == host)
    {
        let mismatch = "host is not one of this app's hosts.";
        return Err(Error::new(http::StatusCode::BAD_REQUEST, "host_mismatch", mismatch).because("host_mismatch"));
    }
    if let Some(method) = &question.method
        && (method.is_empty()
            || method.len() > 32
            || !method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
    {
        return Err(Error::invalid_request("method is not the name of an HTTP method."));
    }
    Ok(())
}

/// The declared name of the service that a request token is asked for: by the rules of token exchange, so never the app itself, nor us.
fn target<'c>(call: &'c Call<AppCaller>, asked: &Audience) -> Result<&'c Audience, Error> {
    let registry = call.proof.policy.apps.iter().map(|entry| &entry.app);
    let issuer = call.context.public_url.as_str();
    oidc::target(&call.proof.app().app, Some(asked.as_str()), registry, issuer).map_err(|refused| {
        Error::invalid_request("request_token names an audience that this app was not granted.")
            .because(refused.as_str())
    })
}

async fn batch(
    call: &Call<AppCaller>,
    question: &Question<'_>,
    tokens: &[Token<'_>],
    answer: &mut Vec<u8>,
) -> Result<(), Error> {
    answer.extend_from_slice(b"{\"results\":[");
    let mut first: Option<SessionId> = None;
    let mut conflict = false;
    for (index, Token(token)) in tokens.iter().enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        if let Some(session) = one(call, question, token, answer).await? {
            conflict |= *first.get_or_insert(session) != session;
        }
    }
    answer.extend_from_slice(b"]}");
    if conflict {
        call.context.telemetry.pass_conflict(call.proof.app());
    }
    Ok(())
}

/// Writes the answer about one token, and returns its session if it is an active pass.
async fn one(
    call: &Call<AppCaller>,
    question: &Question<'_>,
    token: &str,
    answer: &mut Vec<u8>,
) -> Result<Option<SessionId>, Error> {
    let app = &call.proof.app().app;
    match judge(call, token).await? {
        Ok((pass, session, envelope)) => {
            call.context.telemetry.introspected(call.proof.app(), None);
            call.context.view.sessions.touch(&session, call.proof.app().slot as usize, call.now);
            write_active(call, question, &pass, &session, &envelope, answer)?;
            Ok(Some(session.id))
        }
        Err(reason) => {
            // No pass, but perhaps a token that OAuth gave out, and that this app may ask about. Boxed: most questions are about passes.
            if reason == InactiveReason::WrongType
                && let Some(active) = Box::pin(introspection::active(call, token)).await?
            {
                call.context.telemetry.introspected(call.proof.app(), None);
                answer.extend_from_slice(active.as_bytes());
                return Ok(None);
            }
            call.context.telemetry.introspected(call.proof.app(), Some(reason));
            tracing::debug!(app = %app.key, reason = reason.as_str(), request_id = %call.request_id, "inactive");
            answer.extend_from_slice(b"{\"active\":false}");
            Ok(None)
        }
    }
}

/// What a presented pass is worth, or why it is worth nothing.
pub type Judgement<'c> = Result<(VerifiedPass<'c>, SessionView, EnvelopeView), InactiveReason>;

/// The verdict: signature, time, zone, session, user, access. The outer error is a fault of ours.
pub async fn judge<'c>(call: &'c Call<AppCaller>, token: &str) -> Result<Judgement<'c>, Error> {
    let Call { context, proof, now, .. } = call;
    let entry = proof.app();
    let newer;
    let mut keyring = &proof.policy.keyring;
    let digest = context.verified.digest(token);
    let known = context.verified.recall(digest);
    let place = known.as_ref().map(|(_, place)| *place);
    let here = &entry.zone.name;
    let verify = |keyring| pass::verify_signature(token, keyring, context.public_url.as_str(), here, *now);
    let mut verified = known.map_or_else(|| verify(keyring), |(pass, _)| Ok(pass));
    if verified.as_ref().is_err_and(|refused| *refused == Refused::UnknownKey) {
        // Another node may have made the key a moment ago and signed with it: ask the database before saying "not signed in".
        Box::pin(context.view.current()).await?;
        newer = context.view.policy().await?;
        keyring = &newer.keyring;
        verified = verify(keyring);
    }
    let pass = match verified {
        Ok(pass) => pass,
        Err(refused) => return Ok(Err(refused.into())),
    };
    if let Err(refused) = pass.check(here, keyring, *now) {
        return Ok(Err(refused.into()));
    }
    if entry.app.client.subject_type == SubjectType::Pairwise {
        // It knows people by names of its own; what is said about a pass has the other one.
        return Ok(Err(InactiveReason::NoAccess));
    }
    let session = context.view.session_at(pass.session_id, place.unwrap_or(Place::UNKNOWN), *now).await?;
    let Some(session) = session else { return Ok(Err(InactiveReason::SessionUnknown)) };
    if pass.user_id.is_some_and(|user_id| user_id != session.user_id) {
        return Ok(Err(InactiveReason::SessionUnknown));
    }
    if place.is_none() {
        context.verified.remember(digest, &pass, session.place(), *now);
    }
    if let Err(reason) = session.check(*now) {
        return Ok(Err(reason.into()));
    }
    Ok(match context.view.standing_in(&proof.policy, &session, proof.index).await? {
        Standing::Admitted(envelope) => Ok((pass, session, envelope)),
        Standing::Unknown => Err(InactiveReason::UserUnknown),
        Standing::Disabled => Err(InactiveReason::UserDisabled),
        Standing::MustChangePassword => Err(InactiveReason::PasswordChangeRequired),
        Standing::NoAccess => Err(InactiveReason::NoAccess),
    })
}

/// The members of an active answer. Written by hand, piece after piece: the parts that do not change are kept as JSON already, and `write!` takes four times
/// as long for the others. No text among them needs an escape: they are identifiers, names and numbers of ours, a URL and base64.
fn write_active(
    call: &Call<AppCaller>,
    question: &Question<'_>,
    pass: &VerifiedPass<'_>,
    session: &SessionView,
    envelope: &EnvelopeView,
    answer: &mut Vec<u8>,
) -> Result<(), Error> {
    let Call { context, proof, .. } = call;
    let entry = proof.app();
    let mut version = [0; 16];
    let version = written(&envelope.version, &mut version);
    let cache_for = match (entry.app.sensitive, context.streams.any(&entry.app.key)) {
        (true, _) => 0,
        (false, true) => CACHE_STREAMING,
        (false, false) => CACHE_PLAIN,
    };
    let mut numbers = [itoa::Buffer::new(); 4];
    let [cache_for_text, authenticated_at, issued_at, expires_at] = &mut numbers;
    let cache_for = cache_for_text.format(cache_for).as_bytes();
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| answer.extend_from_slice(part));
    let failed_csrf = csrf_failed(call, question, session);
    let renewed = renewed(call, pass, session)?;
    // "Unchanged" has no room for a new pass, and without one the person would be signed out in the middle of their work.
    if question.if_version.as_deref() == Some(version) && !failed_csrf && renewed.is_none() {
        put(&[b"{\"active\":true,\"unchanged\":true,\"cache_for\":", cache_for, b"}"]);
        return Ok(());
    }
    put(&[b"{\"active\":true,\"token_type\":\"pass\",\"iss\":\"", context.public_url.as_str().as_bytes()]);
    put(&[b"\",\"client_id\":\"", entry.app.key.as_str().as_bytes()]);
    put(&[b"\",\"sub\":\"", session.user_id.text().as_bytes(), b"\",\"sid\":\"", session.id.text().as_bytes()]);
    put(&[b"\",\"auth_time\":", authenticated_at.format(session.authenticated_at.as_seconds()).as_bytes()]);
    put(&[b",\"acr\":\"", session.acr.as_str().as_bytes()]);
    put(&[b"\",\"iat\":", issued_at.format(pass.issued_at.as_seconds()).as_bytes()]);
    put(&[b",\"exp\":", expires_at.format(pass.expires_at.as_seconds()).as_bytes()]);
    put(&[b",\"cache_for\":", cache_for, b",\"amr\":["]);
    for (index, method) in session.amr().enumerate() {
        put(&[if index == 0 { b"\"" } else { b",\"" }, method.as_str().as_bytes(), b"\""]);
    }
    let csrf = csrf::issue(&context.keys.csrf, session.id, &entry.app.key, &mut NonceRandom);
    put(&[b"],", envelope.user.members_json(), b",", envelope.rights.members_json.as_bytes()]);
    put(&[b",\"version\":\"", version.as_bytes(), b"\",\"csrf_token\":\"", csrf.as_bytes(), b"\""]);
    match renewed {
        Some(line) => put(&[b",\"set_cookie\":", serde_json::Value::from(line).to_string().as_bytes()]),
        None => put(&[b",\"set_cookie\":null"]),
    }
    match &question.request_token {
        Some(audience) => {
            let token = request_token(call, session, audience, envelope, None)?;
            put(&[b",\"request_token\":\"", token.as_bytes(), b"\""]);
        }
        None => put(&[b",\"request_token\":null"]),
    }
    put(if failed_csrf { &[b",\"csrf\":\"failed\"}"] } else { &[b"}"] });
    Ok(())
}

/// An envelope's version, as text.
fn written<'t>(version: &[u8; 12], text: &'t mut [u8; 16]) -> &'t str {
    URL_SAFE_NO_PAD.encode_slice(version, text).expect("twelve bytes are sixteen characters");
    std::str::from_utf8(text).expect("base64 is ASCII")
}

/// The envelope of a session that has just started, as introspection of its pass would answer.
pub async fn envelope_of(call: &Call<AppCaller>, line: &str) -> Result<serde_json::Value, Error> {
    let (_, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
    let mut answer = Vec::with_capacity(1024);
    one(call, &Question::default(), value, &mut answer).await?;
    serde_json::from_slice(&answer).map_err(|error| Error::internal().because(error.to_string()))
}

fn csrf_failed(call: &Call<AppCaller>, question: &Question<'_>, session: &SessionView) -> bool {
    let Some(method) = &question.method else { return false };
    if ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&method.as_str()) {
        return false;
    }
    let key = &call.context.keys.csrf;
    let valid = |token: &String| csrf::check(key, session.id, &call.proof.app().app.key, token);
    let failed = !question.csrf_token.as_ref().is_some_and(valid);
    if failed {
        call.context.telemetry.csrf_refused(Some(call.proof.app()));
    }
    failed
}

/// A fresh pass of the same session for a pass older than five minutes, as the complete line to relay.
pub fn renewed(
    call: &Call<AppCaller>,
    pass: &VerifiedPass<'_>,
    session: &SessionView,
) -> Result<Option<String>, Error> {
    if !pass.renewal_due(&PassPolicy::default(), call.now) {
        return Ok(None);
    }
    let zone = &call.proof.app().zone;
    let context = &call.context;
    crate::pass::line(context, &call.proof.policy, zone, session, call.now).map(Some)
}

/// A token for another service, in the name of whoever is at the app: the one place where they are made.
pub fn request_token(
    call: &Call<AppCaller>,
    session: &SessionView,
    audience: &Audience,
    envelope: &EnvelopeView,
    key: Option<Thumbprint>,
) -> Result<String, Error> {
    let Call { context, proof, now, .. } = call;
    let signer = proof.policy.keyring.signer(Purpose::Token, *now);
    let signer = signer.ok_or_else(|| Error::unavailable().because("no key to sign request tokens with"))?;
    let token = RequestToken {
        issuer: context.public_url.as_str(),
        audience,
        user_id: session.user_id,
        session_id: session.id,
        app_key: &proof.app().app.key,
        permissions: &envelope.rights.rights.permissions,
        issued_at: *now,
        key,
    };
    token.mint(signer, &mut context.random()).map_err(|error| {
        Error::invalid_request("The person has too many permissions for a token.").because(error.to_string())
    })
}

/// At most [`BATCH`] tokens, refused while they are being read.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Token<'de>>>, D::Error> {
    struct Tokens;

    impl<'de> Visitor<'de> for Tokens {
        type Value = Vec<Token<'de>>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "1 to {BATCH} tokens")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Token<'de>>, A::Error> {
            let mut tokens = Vec::new();
            while let Some(token) = sequence.next_element()? {
                if tokens.len() == BATCH {
                    return Err(de::Error::invalid_length(BATCH + 1, &self));
                }
                tokens.push(token);
            }
            if tokens.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(tokens) }
        }
    }

    deserializer.deserialize_seq(Tokens).map(Some)
}
