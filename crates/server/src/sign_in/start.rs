//! Starting a session, once somebody has proved who they are: one transaction, then the cookies. Protocol §2, §6.

use std::net::IpAddr;

use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::SessionId;
use hallpass_core::secret::{DeviceMark, Digest, Secret, SessionSecret};
use hallpass_core::session::{EndReason, Session, SessionPolicy};
use hallpass_core::sign_in::{Authenticated, renewed};
use hallpass_core::throttle::{self, GiveBack};
use hallpass_core::time::Timestamp;

use hallpass_store::sessions::{self, NewSession};
use hallpass_store::{StoreError, Write, attempts, audit, devices};
use http::{HeaderMap, HeaderValue, header};

use crate::context::Context;
use crate::sign_in::password::Proved;
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::{Visitor, device_mark};

/// Seconds a known-device mark lives.
const DEVICE_AGE: u64 = 400 * 24 * 3600;
/// Bytes of a browser's name for itself that are kept.
const USER_AGENT_LENGTH: usize = 256;

/// The browser that a session starts in.
pub struct Browser {
    /// Where it is.
    pub ip: IpAddr,
    /// What it calls itself.
    pub user_agent: String,
    /// "Stay signed in" was ticked.
    pub persistent: bool,
    /// The mark it already carries.
    pub device: Option<Digest<DeviceMark>>,
    /// We answer the browser itself and can give it a mark; behind an app that relays, nobody would receive it.
    pub takes_mark: bool,
    /// The session that it held until now: it ends (advisory T46, T47).
    pub previous: Option<SessionId>,
    /// The secret of that session, if the same person may go on in it: they were asked to prove anew who they are, and nothing else is to end for it.
    pub keeps: Option<Digest<SessionSecret>>,
}

impl Browser {
    /// The browser of a request to one of our own pages.
    pub fn of(call: &Call<Visitor>, persistent: bool) -> Self {
        Self {
            ip: call.ip,
            user_agent: user_agent(call.headers()),
            persistent,
            device: device_mark(call.headers()),
            takes_mark: true,
            previous: call.proof.session.as_ref().map(|live| live.session.id),
            keeps: None,
        }
    }
}

/// What a browser calls itself, shortened to what we keep.
pub fn user_agent(headers: &HeaderMap) -> String {
    let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.chars().take(USER_AGENT_LENGTH).collect()
}

/// A session that has just started.
pub struct Started {
    /// The session.
    pub session: Session,
    /// For the browser's host-only cookie.
    pub secret: Secret<SessionSecret>,
    /// A new known-device mark, if the browser had none.
    pub device: Option<Secret<DeviceMark>>,
}

impl Started {
    /// Adds the session cookie and, for a new device, its mark.
    pub fn set_cookies(&self, headers: &mut HeaderMap) {
        headers.append(header::SET_COOKIE, session_cookie(&self.session, &self.secret));
        if let Some(mark) = &self.device {
            headers.append(header::SET_COOKIE, cookies::host_only(cookies::DEVICE, &mark.expose(), Some(DEVICE_AGE)));
        }
    }
}

/// The session cookie: kept when the browser closes only with "stay signed in".
pub fn session_cookie(session: &Session, secret: &Secret<SessionSecret>) -> HeaderValue {
    let maximum_age = session.persistent.then(|| session.expires_at.since(session.created_at).as_secs());
    cookies::host_only(cookies::SESSION, &secret.expose(), maximum_age)
}

/// A session to be, with what the browser will hold of it. Nothing of it is stored yet.
pub struct Beginning {
    /// The session.
    pub session: Session,
    /// For the browser's host-only cookie.
    pub secret: Secret<SessionSecret>,
    /// The browser's known-device mark, to be remembered.
    pub mark: Option<Digest<DeviceMark>>,
    new_mark: Option<Secret<DeviceMark>>,
}

impl Beginning {
    /// It has been stored.
    pub fn started(self) -> Started {
        Started { session: self.session, secret: self.secret, device: self.new_mark }
    }
}

/// Draws it up, for somebody who has proved who they are.
pub fn begin(context: &Context, authenticated: &Authenticated, browser: &Browser, now: Timestamp) -> Beginning {
    let random = &mut SystemRandom;
    let (absolute, inactivity) = context.session_policy().lifetimes(browser.persistent);
    let session = Session {
        id: SessionId::mint(random),
        user_id: authenticated.user_id(),
        acr: authenticated.acr(),
        amr: authenticated.amr().to_vec(),
        authenticated_at: authenticated.at(),
        created_at: now,
        last_seen_at: now,
        expires_at: now + absolute,
        inactivity,
        persistent: browser.persistent,
        ended: None,
        user_agent: browser.user_agent.clone(),
        ip: browser.ip.to_string(),
    };
    let new_mark = (browser.takes_mark && browser.device.is_none()).then(|| Secret::<DeviceMark>::mint(random));
    let mark = browser.device.or_else(|| new_mark.as_ref().map(Secret::digest));
    Beginning { session, secret: Secret::mint(random), mark, new_mark }
}

/// Starts it. `None` if the user was disabled, or their password changed, between the proof and now.
pub async fn start(
    context: &Context,
    proved: Proved,
    browser: Browser,
    now: Timestamp,
) -> Result<Option<Started>, Error> {
    let random = &mut SystemRandom;
    let Proved { user, authenticated, password_changed_at, counted } = proved;
    let mut beginning = begin(context, &authenticated, &browser, now);

    let mut write = context.store.write().await?;
    let (policy, secret) = (context.session_policy(), beginning.secret.digest());
    let renewed = renew(&mut write, &policy, &browser, &authenticated, &secret, password_changed_at, now).await?;
    let again = renewed.is_some();
    if let Some(renewed) = renewed {
        beginning.session = renewed;
    } else if let Some(previous) = browser.previous {
        sessions::end(&mut write, &previous, EndReason::Replaced, now).await?;
    }
    if let Some(mark) = &beginning.mark {
        devices::remember(&mut write, mark, &user.id, now).await?;
    }
    let mut taken_back = Vec::new();
    for (key, give_back) in throttle::settle(&counted.buckets) {
        match give_back {
            GiveBack::One => taken_back.push((key.as_str(), counted.window_start(key))),
            GiveBack::All => attempts::clear(&mut write, key.as_str()).await?,
        }
    }
    attempts::take_back(&mut write, &taken_back).await?;
    let entry = Entry::new(Event::SignedIn, Actor::User(user.id), now, random)
        .user(user.id)
        .session(beginning.session.id)
        .ip(browser.ip);
    let entry = if again { entry.with("again", &true) } else { entry };
    audit::append(&mut write, &(&entry).into()).await?;
    if again {
        write.commit().await?;
    } else {
        // Last, so that what was put off goes to the database together with it.
        let new = NewSession { session: beginning.session.clone(), secret, device: beginning.mark };
        if !sessions::start_by_password(write, &new, password_changed_at).await? {
            return Ok(None);
        }
    }
    context.telemetry.signed_in();
    Ok(Some(beginning.started()))
}

/// The browser's session as it goes on with the new secret, if its own person has just proved anew who they are (protocol §11, step-up). Whoever knew the
/// old secret is out (advisory T46).
async fn renew(
    write: &mut Write,
    policy: &SessionPolicy,
    browser: &Browser,
    proof: &Authenticated,
    secret: &Digest<SessionSecret>,
    password_changed_at: Timestamp,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let (Some(previous), Some(old)) = (&browser.previous, &browser.keeps) else { return Ok(None) };
    let before = sessions::find(write, previous).await?.filter(|session| session.check(now).is_ok());
    let Some(renewed) = before.and_then(|before| renewed(&before, proof, browser.persistent, policy, now)) else {
        return Ok(None);
    };
    let goes_on = sessions::renew_by_password(write, &renewed, old, secret, password_changed_at).await?;
    Ok(goes_on.then_some(renewed))
}
