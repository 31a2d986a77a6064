//! The grants of the token endpoint, and what they have in common: whom tokens may still be made for, and what they are.

pub mod authorization_code;
pub mod client_credentials;
pub mod device_code;
pub mod refresh_token;
pub mod token_exchange;

use axum::response::Response;
use hallpass_core::audit::Event;
use hallpass_core::id::{Audience, FamilyId, SessionId};
use hallpass_core::jwk::Thumbprint;
use hallpass_core::keyring::{Purpose, SigningKey};
use hallpass_core::oidc::{
    self, AccessToken, GrantRefused, IdToken, Profile, RequestedClaims, Resources, Scope, Subject, TOKEN_LIFETIME,
    TargetRefused,
};
use hallpass_core::secret::{RefreshToken, Secret};
use hallpass_core::session::Session;
use hallpass_core::time::Timestamp;
use hallpass_store::sessions::{self, Held};
use hallpass_store::tokens::{self, NewFamily};
use hallpass_store::view::Standing;
use hallpass_store::{Write, audit, consents, users};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::client::Client;
use super::dpop::token_type;
use super::{entry, json, services};
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// The session, if tokens may be made for it now: it lives, its user may sign in and enter the app. Asked at each issuance (advisory T20). Holds
/// the session, so that it cannot end before the tokens are written down, and whoever ends it afterwards sees them.
async fn judge(call: &Call<Client>, write: &mut Write, id: &SessionId) -> Result<Result<Session, GrantRefused>, Error> {
    let held = sessions::held(write, id).await?.filter(|held| held.session.check(call.now).is_ok());
    let Some(Held { session, user_may_sign_in }) = held else { return Ok(Err(GrantRefused::SessionOver)) };
    Ok(may(call, &session, user_may_sign_in).await?.map(|()| session))
}

/// Whether the session's person may still sign in, and enter the app.
async fn may(
    call: &Call<Client>,
    session: &Session,
    user_may_sign_in: bool,
) -> Result<Result<(), GrantRefused>, Error> {
    if !user_may_sign_in {
        return Ok(Err(GrantRefused::UserMayNot));
    }
    let Client { policy, index, .. } = &call.proof;
    Ok(match call.context.view.standing(policy, session.user_id, *index).await? {
        Standing::Admitted(_) => Ok(()),
        _ => Err(GrantRefused::NoAccess),
    })
}

/// What somebody granted, at the authorization endpoint or on the page for devices.
struct Granted<'a> {
    /// Under what name: the code was used up for it.
    family: FamilyId,
    scope: Scope,
    resources: &'a Resources,
    /// The one of them that the first access token is for.
    audience: Option<&'a Audience>,
    claims: RequestedClaims,
    nonce: Option<&'a str>,
}

impl Granted<'_> {
    /// The first tokens that come of it, in the transaction in which the code was used up.
    async fn begin(self, call: &Call<Client>, mut write: Write, session: &Session) -> Result<Tokens, Error> {
        let (context, app) = (&call.context, &call.proof.app().app.key);
        let offline = self.scope.offline_access;
        let (_, lifetime) = context.config.refresh.policy().lifetimes(offline);
        let refresh_token = Secret::<RefreshToken>::mint_at(call.now, &mut context.random());
        let new = NewFamily {
            id: self.family,
            app,
            session: session.id,
            scope: self.scope,
            resources: self.resources,
            claims: self.claims,
            lifetime,
            token: refresh_token.digest(),
            key: bound_to(&call.proof),
        };
        tokens::begin(&mut write, &new, call.now).await?;
        // From now on the client keeps a session of its own: it has to hear when this one ends.
        sessions::record_told_held(&mut write, &session.id, app, call.now).await?;
        let Self { scope, audience, nonce, .. } = self;
        let profile = profile(call, &mut write, session, scope, self.claims).await?;
        let grant = Grant { session, family: new.id, scope, audience, profile, nonce };
        // Looked for before the code is used up for good, and used afterwards: a signature may take longer than all the rest, and on SQLite nobody
        // else could write meanwhile.
        let signers = grant.signers(call)?;
        let entry = entry(call, Event::TokensIssued).session(session.id).user(session.user_id);
        audit::append(&mut write, &(&entry).into()).await?;
        write.commit().await?;
        context.view.sessions.touch_stored(session.id, call.proof.app().slot as usize, call.now);
        let answer = grant.answer(call, &signers, &refresh_token)?;
        let lasts =
            Lasts { offline, persistent: session.persistent, made_at: call.now, expires_at: call.now + lifetime };
        Ok(Tokens::new(call, answer, &lasts))
    }
}

const TARGET: &str = "Name one service that this app may call: one of the audiences of its declaration, or of those that the authorization request named.";

/// The service that an access token is to be for, of those that were granted; `None` for one for our own endpoints. Judged anew each time.
fn chosen<'c>(call: &'c Call<Client>, granted: &Resources, asked: Option<&str>) -> Result<Option<&'c Audience>, Error> {
    let Client { policy, .. } = &call.proof;
    let registry = policy.apps.iter().map(|entry| &entry.app);
    let found = granted.choose(asked, &call.proof.app().app, registry, call.context.public_url.as_str());
    found.map_err(invalid_target)
}

fn invalid_target(refused: TargetRefused) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_target", TARGET).because(refused.as_str())
}

/// The key that a client's refresh tokens are bound to. Of a public client: it has nothing else that shows who uses them (RFC 9449 §5). One that shows who
/// it is may come with another key each time.
fn bound_to(client: &Client) -> Option<Thumbprint> {
    client.key.filter(|_| client.is_public())
}

/// The service that a token is to be for. `resource` and `audience` say the same thing in the words of two standards.
fn target<'c>(
    call: &'c Call<AppCaller>,
    resource: Option<&str>,
    audience: Option<&str>,
) -> Result<&'c Audience, Error> {
    const MESSAGE: &str = "Name one service that this app may call, as resource or audience: one of the audiences of its declaration. Without either there must be exactly one.";
    let refused = |because| Error::new(StatusCode::BAD_REQUEST, "invalid_target", MESSAGE).because(because);
    let policy = &call.proof.policy;
    let registry = policy.apps.iter().map(|entry| &entry.app);
    let of = |asked| {
        let found = oidc::target(&call.proof.app().app, asked, registry.clone(), call.context.public_url.as_str());
        found.map_err(|because| refused(because.as_str()))
    };
    let found = of(resource.or(audience))?;
    // A token for one of two would be a guess.
    if resource.is_some() && audience.is_some() && of(audience)? != found {
        return Err(refused("two_targets"));
    }
    Ok(found)
}

/// A scope where there is none to be had: silence would look like consent (RFC 6749 §3.3, advisory T25).
fn no_scope(scope: Option<&str>) -> Result<(), Error> {
    if scope.is_none_or(str::is_empty) {
        return Ok(());
    }
    Err(Error::new(StatusCode::BAD_REQUEST, "invalid_scope", "This grant takes no scope."))
}

/// Whether the person allows this client so much, and the service that a token is to be for. An app of the company's own needs no leave. Held, so that
/// whoever takes it back next sees the tokens that are made meanwhile (advisories T20, T25).
async fn is_allowed(
    call: &Call<Client>,
    write: &mut Write,
    session: &Session,
    scope: Scope,
    claims: RequestedClaims,
    audience: Option<&Audience>,
) -> Result<bool, Error> {
    let Client { policy, .. } = &call.proof;
    let app = &call.proof.app().app;
    if !app.third_party {
        return Ok(true);
    }
    let given = consents::hold(write, &session.user_id, &app.key).await?;
    let Some(given) = given.filter(|given| scope.with(claims.as_scope()).is_within(given.scope)) else {
        return Ok(false);
    };
    if let Some(service) = audience {
        if !given.resources.contains(service) {
            return Err(invalid_target(TargetRefused::NotAllowed));
        }
        if !services::may_enter(&call.context, policy, app, session.user_id, service).await? {
            return Err(invalid_target(TargetRefused::NoAccess));
        }
    }
    Ok(true)
}

/// What the ID token is to say of the session's person (OIDC Core 1.0 §5.4, §5.5). As it is now, at each refresh too.
async fn profile(
    call: &Call<Client>,
    write: &mut Write,
    session: &Session,
    scope: Scope,
    claims: RequestedClaims,
) -> Result<Profile, Error> {
    let asked = claims.in_id_token(&call.proof.app().app.client, scope);
    if asked.is_empty() {
        return Ok(Profile::default());
    }
    let user = users::find(write, &session.user_id).await?;
    Ok(user.map(|user| Profile::of(&user, asked)).unwrap_or_default())
}

/// What a grant brings.
pub struct Tokens {
    /// The token response, as JSON.
    answer: Vec<u8>,
    /// How long a cookie with its refresh token may be kept; none when it ends with the browser, as the session does.
    maximum_age: Option<u64>,
}

impl Tokens {
    /// Of a family that ends at `expires_at` and whose newest refresh token was made at `made_at`.
    fn new(call: &Call<Client>, answer: Vec<u8>, lasts: &Lasts) -> Self {
        let (inactivity, _) = call.context.config.refresh.policy().lifetimes(lasts.offline);
        let age = inactivity.min(lasts.expires_at.since(lasts.made_at));
        Self { answer, maximum_age: (lasts.offline || lasts.persistent).then_some(age.as_secs()) }
    }

    /// The answer. Of a client that keeps its refresh token in a cookie the body says nothing of it: no script can read it, none can lose it.
    pub fn response(self, call: &Call<Client>) -> Result<Response, Error> {
        let Some(name) = call.proof.refresh_cookie() else { return Ok(json(self.answer)) };
        let broken = |why: &'static str| Error::internal().because(why);
        let mut answer: Value =
            serde_json::from_slice(&self.answer).map_err(|_| broken("an answer that is no JSON"))?;
        let token = answer.as_object_mut().and_then(|answer| answer.remove("refresh_token"));
        let token = token.as_ref().and_then(Value::as_str).ok_or_else(|| broken("an answer without refresh token"))?;
        let mut response = json(answer.to_string());
        let line = refresh_cookie(call, &name, token, self.maximum_age);
        response.headers_mut().append(header::SET_COOKIE, line);
        Ok(response)
    }
}

/// How long a refresh token lasts.
struct Lasts {
    offline: bool,
    persistent: bool,
    made_at: Timestamp,
    expires_at: Timestamp,
}

/// The line that sets a client's refresh cookie, or with no value and no age takes it away. `Lax`, as all of ours, for pages of our own site; for those
/// of another one, where browsers would ignore that, a partition of their own.
pub fn refresh_cookie(call: &Call<Client>, name: &str, value: &str, maximum_age: Option<u64>) -> HeaderValue {
    let same_site = call.proof.origin.as_ref().is_none_or(|origin| origin.is_same_site(&call.context.public_url));
    if same_site {
        cookies::host_only(name, value, maximum_age)
    } else {
        cookies::host_only_elsewhere(name, value, maximum_age)
    }
}

/// What tokens are made of.
struct Grant<'a> {
    session: &'a Session,
    family: FamilyId,
    scope: Scope,
    /// The service that the access token is for; none for ourselves.
    audience: Option<&'a Audience>,
    /// What the ID token says of the person, besides who it is.
    profile: Profile,
    /// Of the authorization request; none after a refresh.
    nonce: Option<&'a str>,
}

/// What tokens are signed with.
struct Signers<'c> {
    access_token: &'c SigningKey,
    /// None for an answer without ID token. It says who is signed in; with offline access that may be nobody (OIDC Core 1.0 §12.2: none is needed).
    id_token: Option<&'c SigningKey>,
}

impl Grant<'_> {
    fn signers<'c>(&self, call: &'c Call<Client>) -> Result<Signers<'c>, Error> {
        let signer = |purpose: Purpose| {
            let signer = call.proof.policy.keyring.signer(purpose, call.now);
            signer.ok_or_else(|| Error::unavailable().because(format!("no {} key to sign with", purpose.as_str())))
        };
        let access_token = signer(Purpose::Token)?;
        let is_signed_in = self.session.check(call.now).is_ok();
        let id_token = is_signed_in.then(|| signer(call.proof.app().app.token_purpose())).transpose()?;
        Ok(Signers { access_token, id_token })
    }

    /// The token response (RFC 6749 §5.1, OIDC Core 1.0 §3.1.3.3).
    fn answer(
        &self,
        call: &Call<Client>,
        signers: &Signers<'_>,
        refresh_token: &Secret<RefreshToken>,
    ) -> Result<Vec<u8>, Error> {
        let Call { context, proof, now, .. } = call;
        let client = &proof.app().app;
        let (issuer, client_id) = (context.public_url.as_str(), client.client_id());
        let subject = Subject::of(client, self.session.user_id, &context.keys.pairwise);
        let access_token = AccessToken {
            issuer,
            audience: self.audience,
            client_id,
            subject,
            session_id: self.session.id,
            family: self.family,
            scope: self.scope,
            issued_at: *now,
            key: proof.key,
        };
        let id_token = IdToken {
            issuer,
            client_id,
            subject,
            session: self.session,
            nonce: self.nonce,
            issued_at: *now,
            profile: &self.profile,
        };
        let mut answer = json!({
            "access_token": access_token.mint(signers.access_token, &mut context.random()),
            "token_type": token_type(proof.key),
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "refresh_token": refresh_token.expose().as_str(),
            "scope": self.scope.to_string(),
        });
        if let Some(signer) = signers.id_token {
            answer["id_token"] = id_token.mint(signer).into();
        }
        serde_json::to_vec(&answer).map_err(|error| Error::internal().because(error.to_string()))
    }
}
