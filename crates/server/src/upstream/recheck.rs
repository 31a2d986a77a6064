//! Whether what a session stands on is still there: asked again and again while the session is used. Protocol §10.
//!
//! Kratos says no, and ours ends. Kratos cannot be asked, and ours lives on for the grace, counted from the last time that it could.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::{Required, UpstreamId, accept};
use hallpass_store::upstreams::{self, Footing};
use hallpass_store::{StoreError, audit, sessions};
use tokio::task::JoinSet;

use super::credential::Credential;
use super::kratos::{self, Away, Kratos, Whoami};
use crate::context::Context;

/// How often somebody looks for sessions to be looked at.
pub const PERIOD: Duration = Duration::from_secs(2);
/// How long a claim lasts. Longer than a whole batch can take.
const CLAIM: Duration = Duration::from_mins(1);
/// Questions at a time.
const PLACES: usize = 8;
/// Sessions claimed at a time.
const BATCH: u32 = 64;
/// What could not be asked is asked again after so long.
const AGAIN: Duration = Duration::from_secs(30);

/// What Kratos says of what a session stands on.
pub enum Verdict {
    /// It is live, and called so.
    Alive(UpstreamId),
    /// It is over, for this reason.
    Over(&'static str),
    /// Nobody knows.
    Unknown(Away),
}

/// The job.
pub async fn recheck(context: Arc<Context>) -> Result<(), StoreError> {
    let Some(kratos) = context.kratos.clone() else { return Ok(()) };
    loop {
        let now = context.now();
        if !upstreams::is_any_due(&mut context.store.read().await?, kratos::NAME, now).await? {
            return Ok(());
        }
        let mut write = context.store.write().await?;
        let claimed = upstreams::claim(&mut write, kratos::NAME, now + CLAIM, BATCH, now).await?;
        write.commit().await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let mut away = None;
        for batch in claimed.chunks(PLACES) {
            let mut asked = JoinSet::new();
            for footing in batch {
                let (context, kratos, known) = (context.clone(), kratos.clone(), away.clone());
                let footing = footing.clone();
                asked.spawn(async move {
                    let now = context.now();
                    let verdict = match known {
                        Some(away) => Verdict::Unknown(away),
                        None => ask(&context, &kratos, &footing, now).await,
                    };
                    let unknown = if let Verdict::Unknown(away) = &verdict { Some(away.clone()) } else { None };
                    settle(&context, &kratos, &footing, verdict, now).await.map(|_| unknown)
                });
            }
            let answers: Result<Vec<Option<Away>>, StoreError> = asked.join_all().await.into_iter().collect();
            let mut answers = answers?;
            // That it cannot be asked is a fact about Kratos, not about a session: whoever stands in line need not wait for each time-out.
            if answers.len() == PLACES && answers.iter().all(Option::is_some) {
                away = answers.pop().flatten();
            }
        }
    }
}

/// Puts the question.
pub async fn ask(context: &Context, kratos: &Kratos, footing: &Footing, now: Timestamp) -> Verdict {
    let sealer = &context.keys.upstream_credential;
    let Some(credential) = Credential::open(&footing.credential, &footing.session, sealer) else {
        return Verdict::Unknown(Away("the credential does not open".to_owned()));
    };
    match kratos.whoami(&credential, now).await {
        Err(away) => Verdict::Unknown(away),
        Ok(Whoami::Nobody) => Verdict::Over("upstream_not_signed_in"),
        Ok(Whoami::SecondFactor) => Verdict::Over("upstream_assurance_too_low"),
        Ok(Whoami::Session(session)) if session.identity != footing.identity => {
            Verdict::Over("upstream_other_identity")
        }
        Ok(Whoami::Session(session)) => {
            match accept(*session, Required { acr: kratos.config.minimum_aal, since: None }, now) {
                Ok(accepted) => Verdict::Alive(accepted.session().id.clone()),
                Err(refused) => Verdict::Over(refused.as_str()),
            }
        }
    }
}

/// Writes down what was said, and ends the session if it has lost its footing. Whether it lives on.
pub async fn settle(
    context: &Context,
    kratos: &Kratos,
    footing: &Footing,
    verdict: Verdict,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let session = &footing.session;
    let end_of_grace = footing.checked_at + kratos.config.grace;
    let (reason, found) = match verdict {
        Verdict::Alive(upstream_session) => {
            let mut write = context.store.write().await?;
            upstreams::found_alive(&mut write, session, &upstream_session, now + kratos.config.recheck, now).await?;
            write.commit().await?;
            return Ok(true);
        }
        Verdict::Unknown(_) if now < end_of_grace => {
            let mut write = context.store.write().await?;
            upstreams::not_reached(&mut write, session, end_of_grace.min(now + AGAIN), now).await?;
            write.commit().await?;
            return Ok(true);
        }
        Verdict::Unknown(_) => (EndReason::UpstreamAway, "upstream_away"),
        Verdict::Over(found) => (EndReason::UpstreamEnded, found),
    };
    let mut write = context.store.write().await?;
    let user = sessions::find(&mut write, session).await?.map(|session| session.user_id);
    if sessions::end(&mut write, session, reason, now).await? {
        let entry = Entry::new(Event::SessionEnded, Actor::System, now, &mut context.random()).session(*session);
        let mut entry = entry.with("reason", &reason).with("found", &Word(found)).with("upstream", &Word(kratos::NAME));
        if let Some(user) = user {
            entry = entry.user(user);
        }
        audit::append(&mut write, &(&entry).into()).await?;
    }
    write.commit().await?;
    Ok(false)
}
