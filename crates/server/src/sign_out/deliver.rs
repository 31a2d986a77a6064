//! Telling apps that a session has ended (OIDC Back-Channel Logout 1.0 §2.5): claim, post a fresh logout token, settle. Protocol §9
//! number 4.
//!
//! A claim is a lease. A node that dies with one in its hands loses it, and any node tells the app once more. Each app has places of its own,
//! so that one that is slow delays nobody else.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::AppKey;
use hallpass_core::logout::{GIVE_UP, LogoutToken};
use hallpass_core::oidc::Subject;
use hallpass_store::logouts::{self, Logout};
use hallpass_store::{StoreError, audit};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::context::Context;
use crate::outgoing::{Outgoing, OutgoingError};
use crate::retry;
use crate::telemetry::Delivery;

/// How often somebody looks for apps to be told.
pub const PERIOD: Duration = Duration::from_millis(250);
/// How long a claim lasts. Longer than any attempt can take.
const CLAIM: Duration = Duration::from_secs(30);
/// Deliveries to one app at a time.
const PLACES: usize = 8;
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The client for it, and each app's places.
pub struct Deliveries {
    client: Outgoing,
    places: Mutex<HashMap<AppKey, Arc<Semaphore>>>,
}

impl Deliveries {
    /// By this client.
    pub fn new(client: Outgoing) -> Self {
        Self { client, places: Mutex::default() }
    }

    fn places(&self, app: &AppKey) -> Arc<Semaphore> {
        self.places.lock().entry(app.clone()).or_insert_with(|| Arc::new(Semaphore::new(PLACES))).clone()
    }
}

/// The job. It waits for no app.
pub async fn deliver(context: Arc<Context>) -> Result<(), StoreError> {
    let now = context.now();
    let due = logouts::apps_due(&mut context.store.read().await?, now).await?;
    for app in due {
        let places = context.deliveries.places(&app);
        let free: Vec<OwnedSemaphorePermit> =
            std::iter::from_fn(|| places.clone().try_acquire_owned().ok()).take(PLACES).collect();
        let Ok(limit @ 1..) = u32::try_from(free.len()) else { continue };
        let mut write = context.store.write().await?;
        let claimed = logouts::claim(&mut write, &app, now + CLAIM, limit, now).await?;
        write.commit().await?;
        for (logout, place) in claimed.into_iter().zip(free) {
            let context = context.clone();
            tokio::spawn(async move {
                let sent = send(&context, &logout).await;
                if let Err(error) = settle(&context, &logout, sent).await {
                    tracing::warn!(app = %logout.app, %error, "whether an app was told of a sign-out could not be written down; it will be told again");
                }
                drop(place);
            });
        }
    }
    Ok(())
}

/// One attempt; why it failed, in words without anything secret.
async fn send(context: &Context, logout: &Logout) -> Result<(), String> {
    let now = context.now();
    let policy = context.view.policy().await.map_err(|error| error.to_string())?;
    // With what signs its ID tokens, if it gets any (Back-Channel Logout §2.6).
    let app = policy.by_key(logout.app.as_str()).map(|index| &policy.apps[index].app);
    let app = app.ok_or("it is not registered")?;
    let signer = policy.keyring.signer(app.token_purpose(), now).ok_or("no key to sign with")?;
    let token = LogoutToken {
        issuer: context.public_url.as_str(),
        client_id: app.client_id(),
        subject: Subject::of(app, logout.user, &context.keys.pairwise),
        session_id: logout.session,
        issued_at: now,
    };
    let token = token.mint(signer, &mut context.random());
    let url: Url = logout.url.as_str().parse().map_err(|_| "not an address")?;
    match context.deliveries.client.post_form(&url, &[("logout_token", &token)]).await {
        // §2.8: 200, and by RFC 9110 as well 204.
        Ok(answer) if matches!(answer.status.as_u16(), 200 | 204) => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.status.as_u16())),
        Err(error @ OutgoingError::Refused(_)) => {
            context.telemetry.outgoing_refused();
            Err(error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn settle(context: &Context, logout: &Logout, sent: Result<(), String>) -> Result<(), StoreError> {
    let now = context.now();
    let Logout { app, session, attempts, .. } = logout;
    let mut write = context.store.write().await?;
    let how = match sent {
        Ok(()) => {
            logouts::delivered(&mut write, logout, now).await?;
            Delivery::Delivered
        }
        Err(error) => {
            let due_at = now + retry::wait(FIRST_WAIT, *attempts, &mut context.random());
            if due_at.since(logout.created_at) > GIVE_UP {
                tracing::error!(%app, %session, attempts, error, "an app could not be told of a sign-out for a day");
                logouts::give_up(&mut write, logout, now).await?;
                let entry = Entry::new(Event::SignOutUndelivered, Actor::System, now, &mut context.random());
                let entry = entry.failed("unreachable").app(app).session(*session).user(logout.user);
                audit::append(&mut write, &(&entry).into()).await?;
                Delivery::Dead
            } else {
                tracing::warn!(%app, %session, attempts, error, "an app could not be told of a sign-out; it will be tried again");
                logouts::retry(&mut write, logout, due_at).await?;
                Delivery::Failed
            }
        }
    };
    write.commit().await?;
    context.telemetry.logout(how);
    Ok(())
}
