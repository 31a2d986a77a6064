//! Guards: who may call a route. Each hands the handler a proof; a handler that needs to know who is calling takes the proof.

use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

use hallpass_core::secret::{DeviceMark, Digest, Secret, SecretKey, SessionSecret};
use hallpass_core::session::Session;
use hallpass_core::throttle;
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_core::zone::Zone;
use hallpass_store::view::{AppEntry, PolicyGuard};
use hallpass_store::{sessions, users};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use crate::config::Config;
use crate::context::Context;
use crate::forward_auth::Gateway;
use crate::oidc::bearer::Bearer;
use crate::oidc::client::ClientClaim;
use crate::oidc::registration::guard::{Registered, Registrant};
use crate::web::cookies::{self, Presented};
use crate::web::credentials::{self, Credentials, Recalled};
use crate::web::error::Error;

/// Something that a caller must prove.
pub trait Proof: Sized + Send + 'static {
    /// What the printed route table calls it.
    const NAME: &'static str;

    /// Whether the other end of the connection itself may ask, whoever it speaks for.
    fn admits(_peer: IpAddr, _config: &Config) -> Result<(), Error> {
        Ok(())
    }

    /// Establishes it, or says why not.
    fn establish(
        context: &Arc<Context>,
        parts: &Parts,
        ip: IpAddr,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self, Error>> + Send;
}

/// Names a proof in the route table: `get("/account", SESSION, account::page)`.
pub struct By<P>(PhantomData<fn() -> P>);

/// Anybody at all.
pub const ANYBODY: By<Anybody> = By(PhantomData);
/// Anybody; the handler learns whether somebody is signed in.
pub const VISITOR: By<Visitor> = By(PhantomData);
/// Somebody signed in at the home host.
pub const SESSION: By<LiveSession> = By(PhantomData);
/// Anybody who comes to the alias of a zone.
pub const ALIAS: By<Alias> = By(PhantomData);
/// A registered app with its key pair.
pub const APP: By<AppCaller> = By(PhantomData);
/// An OIDC client: by its secret, or, if it has none, by its name.
pub const CLIENT: By<ClientClaim> = By(PhantomData);
/// Whoever may register an OIDC client.
pub const REGISTRANT: By<Registrant> = By(PhantomData);
/// A client that has registered itself, at its own registration.
pub const REGISTERED: By<Registered> = By(PhantomData);
/// A gateway in front of an app, believed by its address.
pub const GATEWAY: By<Gateway> = By(PhantomData);
/// Whoever carries an access token.
pub const BEARER: By<Bearer> = By(PhantomData);

/// No proof needed.
#[derive(Debug)]
pub struct Anybody;

impl Proof for Anybody {
    const NAME: &'static str = "anybody";

    async fn establish(_: &Arc<Context>, _: &Parts, _: IpAddr, _: Timestamp) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// Whoever comes to a host where the engine answers for a zone that is not home.
#[derive(Debug, Clone)]
pub struct Alias {
    /// The zone. Chosen among configured ones when the request's host was looked up.
    pub zone: Arc<Zone>,
}

impl Proof for Alias {
    const NAME: &'static str = "alias";

    async fn establish(_: &Arc<Context>, parts: &Parts, _: IpAddr, _: Timestamp) -> Result<Self, Error> {
        parts.extensions.get().cloned().ok_or_else(|| Error::internal().because("no zone was found for this host"))
    }
}

/// A live session of a user who is not disabled, proved by the host-only session cookie.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub user: User,
}

impl Proof for LiveSession {
    const NAME: &'static str = "session";

    async fn establish(context: &Arc<Context>, parts: &Parts, ip: IpAddr, now: Timestamp) -> Result<Self, Error> {
        let visitor = Visitor::establish(context, parts, ip, now).await?;
        visitor.session.ok_or_else(|| Error::login_required("no live session"))
    }
}

/// Whoever comes to a page of ours.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Set if the browser holds a live session.
    pub session: Option<LiveSession>,
    /// The session cookie is there but opens nothing, or is there twice: expire it.
    pub stale_cookie: bool,
}

impl Proof for Visitor {
    const NAME: &'static str = "visitor";

    async fn establish(context: &Arc<Context>, parts: &Parts, _: IpAddr, now: Timestamp) -> Result<Self, Error> {
        let value = match cookies::presented(&parts.headers, cookies::SESSION) {
            Presented::None => return Ok(Self { session: None, stale_cookie: false }),
            Presented::Several => {
                tracing::warn!(
                    cookie = cookies::SESSION,
                    "two cookies of a host-only name: a sibling may be tossing cookies"
                );
                return Ok(Self { session: None, stale_cookie: true });
            }
            Presented::One(value) => value,
        };
        let nobody = Self { session: None, stale_cookie: true };
        let Some(secret) = Secret::<SessionSecret>::parse(value) else { return Ok(nobody) };
        let mut read = context.store.read().await?;
        let Some(session) = sessions::by_secret(&mut read, &secret.digest()).await? else { return Ok(nobody) };
        if session.check(now).is_err() {
            return Ok(nobody);
        }
        match users::find(&mut read, &session.user_id).await? {
            Some(user) if user.disabled_at.is_none() => {
                Ok(Self { session: Some(LiveSession { session, user }), stale_cookie: false })
            }
            _ => Ok(nobody),
        }
    }
}

/// A registered app that presented its app key and one of its live secret keys.
pub struct AppCaller {
    /// The registry as of this request.
    pub policy: PolicyGuard,
    /// Its entry in the registry.
    pub index: usize,
}

impl AppCaller {
    /// The app.
    pub fn app(&self) -> &AppEntry {
        &self.policy.apps[self.index]
    }
}

impl Proof for AppCaller {
    const NAME: &'static str = "app";

    async fn establish(context: &Arc<Context>, parts: &Parts, ip: IpAddr, now: Timestamp) -> Result<Self, Error> {
        if !parts.headers.contains_key(header::AUTHORIZATION) && by_browser(&parts.headers) {
            return Err(not_for_browsers());
        }
        Self::by_header(context, &parts.headers, ip, now).await?.declared()
    }
}

impl AppCaller {
    /// Only an app that somebody has declared. Passes are no business of a client that has registered itself, nor is who has what rights: its secret is
    /// for the token endpoint.
    pub fn declared(self) -> Result<Self, Error> {
        if self.app().app.registered {
            let refused = "A client that has registered itself cannot call this address.";
            return Err(Error::forbidden(refused).because("a client that has registered itself"));
        }
        Ok(self)
    }

    /// The app that shows its key pair by HTTP Basic.
    pub async fn by_header(
        context: &Arc<Context>,
        headers: &HeaderMap,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let header = credentials::only(headers);
        let recalled = header.map(|header| context.credentials.recall(header));
        if let Some(Credentials { client_id, digest }) = recalled.as_ref().and_then(Recalled::credentials) {
            let policy = current_policy(context).await?;
            let index = policy.caller(digest, now).filter(|index| policy.apps[*index].app.client_id() == client_id);
            if let Some(index) = index.filter(|index| policy.apps[*index].app.disabled_at.is_none()) {
                return Ok(Self { policy, index });
            }
            // No longer: why, is found out like for any other.
        }
        // Boxed: nearly all come with what they came with before.
        Box::pin(Self::by_new_header(context, header, ip, now)).await
    }

    async fn by_new_header(
        context: &Arc<Context>,
        header: Option<&HeaderValue>,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let basic = header.and_then(credentials::basic);
        let pair = match &basic {
            Some(basic) => basic.split_once(':').ok_or("credentials without a colon"),
            None => Err("no credentials, or not one Basic header"),
        };
        let pair = pair.map(|(key, secret)| (credentials::decoded(key), credentials::decoded(secret)));
        let pair = pair.as_ref().map(|(key, secret)| (&**key, &**secret)).map_err(|why| *why);
        let caller = Self::by_secret(context, pair, ip, now).await?;
        if let (Some(header), Ok((client_id, secret))) = (header, pair) {
            context.credentials.remember(header, client_id, secret);
        }
        Ok(caller)
    }

    /// The app whose key and secret key these are, wherever in the request they were; or why there are none.
    pub async fn by_secret(
        context: &Arc<Context>,
        credentials: Result<(&str, &str), &'static str>,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut policy = current_policy(context).await?;
        let refused = |why| Err(client_refused(context, ip, now, why));
        let (key, secret) = match credentials {
            Ok(pair) => pair,
            Err(why) => return refused(why),
        };
        // Digest and look-up happen for every parsable secret, whether or not the app exists: the work tells nothing.
        let digest = Secret::<SecretKey>::parse(secret).map(|secret| secret.digest());
        let mut found = digest.and_then(|digest| policy.caller(&digest, now));
        if let (Some(digest), None) = (digest, found)
            && context.app_refusals.blocked(&throttle::address_block(ip), now).is_none()
        {
            // It may have been minted a moment ago, by a command or at another node: ask the database before saying "wrong".
            let current = Box::pin(context.view.current()).await;
            current.map_err(|error| Error::unavailable().because(error.to_string()))?;
            policy = current_policy(context).await?;
            found = policy.caller(&digest, now);
        }
        let Some(index) = found.filter(|index| policy.apps[*index].app.client_id() == key) else {
            context.telemetry.app_credentials_refused(policy.by_client_id(key).map(|index| &policy.apps[index]));
            return refused("wrong app key or secret key");
        };
        if policy.apps[index].app.disabled_at.is_some() {
            return refused("app is disabled");
        }
        Ok(Self { policy, index })
    }
}

/// A brake on whoever is wrong, never on whoever is right: apps behind one gateway share an address, and one of them with an old
/// secret must not turn the others away. Nothing is lost by looking first: a secret has 256 random bits.
pub fn client_refused(context: &Context, ip: IpAddr, now: Timestamp, why: &'static str) -> Error {
    let block = throttle::address_block(ip);
    if let Some(retry_after) = context.app_refusals.blocked(&block, now) {
        return Error::too_many_requests(retry_after).because("too many wrong app credentials from this address");
    }
    context.app_refusals.count(block, now);
    Error::invalid_client().because(why)
}

/// What a page gets that comes where only the backends of apps do. Any page can make its visitor's browser come here: a challenge would open the
/// browser's own password prompt, in our name and over that page, and the visitor's address must not be braked for it.
pub fn not_for_browsers() -> Error {
    Error::forbidden("This address is for the backends of apps, not for browsers.")
        .because("a browser without credentials")
}

/// Whether a browser sent this; every current one adds one of these, to any address that matters (Fetch Metadata; Fetch, "Origin").
pub fn by_browser(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN)
}

/// The registry, which must be known to be current before it may say "wrong": a fault of ours is 503, never 401.
async fn current_policy(context: &Context) -> Result<PolicyGuard, Error> {
    context.view.policy().await.map_err(|error| Error::unavailable().because(error.to_string()))
}

/// The known-device mark that a browser presents, if any. Good for throttling only.
pub fn device_mark(headers: &HeaderMap) -> Option<Digest<DeviceMark>> {
    match cookies::presented(headers, cookies::DEVICE) {
        Presented::One(value) => Secret::<DeviceMark>::parse(value).map(|mark| mark.digest()),
        Presented::None | Presented::Several => None,
    }
}
