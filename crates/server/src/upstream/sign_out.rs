//! Ending the session there when ours has ended: claim, tell, settle. Protocol §9 number 7, §10.
//!
//! What is to be ended was written down in the transaction that ended ours. A claim is a lease: a node that dies with one in its hands loses it, and
//! any node tells Kratos once more.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::logout::GIVE_UP;
use hallpass_store::upstream_logouts::{self, UpstreamLogout};
use hallpass_store::{StoreError, audit};
use tokio::task::JoinSet;

use super::kratos;
use crate::context::Context;
use crate::retry;

/// How often somebody looks for sessions to be ended there.
pub const PERIOD: Duration = Duration::from_millis(500);
/// How long a claim lasts. Longer than any attempt can take.
const CLAIM: Duration = Duration::from_secs(30);
/// At a time.
const PLACES: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The job.
pub async fn deliver(context: Arc<Context>) -> Result<(), StoreError> {
    let Some(kratos) = context.kratos.clone() else { return Ok(()) };
    loop {
        let now = context.now();
        if !upstream_logouts::is_any_due(&mut context.store.read().await?, now).await? {
            return Ok(());
        }
        let mut write = context.store.write().await?;
        let claimed = upstream_logouts::claim(&mut write, kratos::NAME, now + CLAIM, PLACES, now).await?;
        write.commit().await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let mut telling = JoinSet::new();
        for logout in claimed {
            let (context, kratos) = (context.clone(), kratos.clone());
            telling.spawn(async move {
                let told = kratos.end(&logout.upstream_session).await;
                settle(&context, &logout, told, kratos.can_end()).await
            });
        }
        telling.join_all().await.into_iter().collect::<Result<(), StoreError>>()?;
    }
}

async fn settle(
    context: &Context,
    logout: &UpstreamLogout,
    told: Result<(), String>,
    can_end: bool,
) -> Result<(), StoreError> {
    let now = context.now();
    let UpstreamLogout { session, attempts, .. } = logout;
    let mut write = context.store.write().await?;
    match told {
        Ok(()) => upstream_logouts::delivered(&mut write, logout, now).await?,
        Err(error) => {
            let due_at = now + retry::wait(FIRST_WAIT, *attempts, &mut context.random());
            // Without an admin_url, as it was meanwhile configured, there is nothing to wait for.
            if due_at.since(logout.created_at) > GIVE_UP || !can_end {
                tracing::error!(%session, attempts, error, "a session at Kratos could not be ended");
                upstream_logouts::give_up(&mut write, logout, now).await?;
                let entry = Entry::new(Event::UpstreamSignOutUndelivered, Actor::System, now, &mut context.random());
                let entry = entry.failed("unreachable").session(*session).user(logout.user);
                audit::append(&mut write, &(&entry.with("upstream", &Word(kratos::NAME))).into()).await?;
            } else {
                tracing::warn!(%session, attempts, error, "a session at Kratos could not be ended; it will be tried again");
                upstream_logouts::retry(&mut write, logout, due_at).await?;
            }
        }
    }
    write.commit().await.map(|_| ())
}
