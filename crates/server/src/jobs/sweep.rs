//! Deletes what nobody can ask for any more: all of it, in small transactions, so that whoever signs in meanwhile waits for one of them at most.
//!
//! Whoever can make rows makes them faster than a fixed number in ten minutes would be deleted; so it goes on until nothing is left, or its time is over.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::oidc::PENDING_LIFETIME;
use hallpass_core::time::Timestamp;
use hallpass_store::{
    StoreError, Write, attempts, changes, client_assertions, codes, device_codes, devices, dpop_proofs, handoffs,
    logouts, outbox, provider_sessions, pushed_requests, sessions, tokens, upstream_answers, upstream_logouts,
    upstreams,
};
use tokio::time::Instant;

use crate::context::Context;
use crate::oidc::documents;

/// How long the feed reaches back: an app that was away for longer starts anew.
const KEEP_CHANGES: Duration = Duration::from_hours(24);
/// How long ended sessions are kept, for questions.
const KEEP_SESSIONS: Duration = Duration::from_hours(30 * 24);
/// How long delivered alerts are kept; those that were given up stay.
const KEEP_DELIVERED: Duration = Duration::from_hours(7 * 24);
/// How long used codes are kept, so that a second use is known for what it is; and what was used once and is refused for its age by now, since a
/// node whose clock is behind must still find what it would take.
const KEEP_CODES: Duration = Duration::from_mins(10);
/// How long it is known which answers of other providers have come: longer than the sign-ins that they are for.
const KEEP_ANSWERS: Duration = Duration::from_hours(1);
const KEEP_DEVICES: Duration = Duration::from_hours(400 * 24);

/// Rows in one transaction: others wait for the writer meanwhile.
const BATCH: u32 = 500;
/// The same of what takes other rows along: a family has a refresh token for each answer that it ever gave.
const BATCH_OF_TREES: u32 = 100;
/// After so long the rest waits for the next time.
const LONGEST: Duration = Duration::from_mins(1);

/// What there is to delete.
#[derive(Debug, Clone, Copy)]
enum Rows {
    Changes,
    Sessions,
    Attempts,
    Handoffs,
    Codes,
    DeviceCodes,
    PushedRequests,
    Families,
    Devices,
    Logouts,
    Upstreams,
    UpstreamAnswers,
    ProviderSessions,
    UpstreamLogouts,
    Outbox,
    ClientAssertions,
    DpopProofs,
}

impl Rows {
    const ALL: [Self; 17] = [
        Self::Changes,
        Self::Sessions,
        Self::Attempts,
        Self::Handoffs,
        Self::Codes,
        Self::DeviceCodes,
        Self::PushedRequests,
        Self::Families,
        Self::Devices,
        Self::Logouts,
        Self::Upstreams,
        Self::UpstreamAnswers,
        Self::ProviderSessions,
        Self::UpstreamLogouts,
        Self::Outbox,
        Self::ClientAssertions,
        Self::DpopProofs,
    ];

    /// Deletes some of them. Whether there may be more.
    async fn prune(self, write: &mut Write, now: Timestamp) -> Result<bool, StoreError> {
        let limit = match self {
            Self::Sessions | Self::Families => BATCH_OF_TREES,
            _ => BATCH,
        };
        let gone = match self {
            Self::Changes => changes::prune(write, now - KEEP_CHANGES, limit).await,
            Self::Sessions => sessions::prune(write, now - KEEP_SESSIONS, limit).await,
            Self::Attempts => attempts::prune(write, now, limit).await,
            Self::Handoffs => handoffs::prune(write, now - KEEP_CODES, limit).await,
            Self::Codes => codes::prune(write, now - KEEP_CODES, limit).await,
            Self::DeviceCodes => device_codes::prune(write, now - KEEP_CODES, limit).await,
            // Whoever came with one may be signing in since then.
            Self::PushedRequests => pushed_requests::prune(write, now - PENDING_LIFETIME, limit).await,
            Self::Families => tokens::prune(write, now, limit).await,
            Self::Devices => devices::prune(write, now - KEEP_DEVICES, limit).await,
            Self::Logouts => logouts::prune(write, now - KEEP_SESSIONS, limit).await,
            Self::Upstreams => upstreams::prune(write, now, limit).await,
            Self::UpstreamAnswers => upstream_answers::prune(write, now - KEEP_ANSWERS, limit).await,
            // Longer than anybody would take the token again, or the ID token of a sign-in that it overtook.
            Self::ProviderSessions => provider_sessions::prune(write, now - KEEP_ANSWERS, limit).await,
            Self::UpstreamLogouts => upstream_logouts::prune(write, now - KEEP_SESSIONS, limit).await,
            Self::Outbox => outbox::prune(write, now - KEEP_DELIVERED, limit).await,
            Self::ClientAssertions => client_assertions::prune(write, now - KEEP_CODES, limit).await,
            Self::DpopProofs => dpop_proofs::prune(write, now - KEEP_CODES, limit).await,
        };
        Ok(gone? >= limit.into())
    }
}

/// The job.
pub async fn sweep(context: Arc<Context>) -> Result<(), StoreError> {
    let (now, began) = (context.now(), Instant::now());
    context.view.sessions.sweep(now);
    context.verified.sweep(now);
    documents::sweep(&context).await?;
    // In turn, so that one table that is full of dead rows does not keep the others from being swept.
    let mut left = Rows::ALL.to_vec();
    while !left.is_empty() {
        let mut full = Vec::new();
        for rows in left {
            let mut write = context.store.write().await?;
            if rows.prune(&mut write, now).await? {
                full.push(rows);
            }
            write.commit().await?;
            if began.elapsed() >= LONGEST {
                tracing::warn!(?rows, "there are more old rows than can be deleted in a minute; the rest is next");
                return Ok(());
            }
        }
        left = full;
    }
    Ok(())
}
