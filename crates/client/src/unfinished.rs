//! Sign-outs that the engine does not know of yet (protocol §9 number 1): tried again in the background for a day. In memory
//! only: the page has told the person that other applications may still be open.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::caller::Facts;
use crate::cookies::Pass;
use crate::crypto;
use crate::engine::{Away, Engine};
use crate::pause::Pause;
use crate::wire::{Answer, Question};

const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);
/// An engine that is away for long must not fill our memory.
const MOST_PENDING: usize = 1000;

/// Whose sign-out it is.
pub(crate) enum Whose {
    /// This session's.
    Session {
        /// Its identifier.
        session_id: String,
        /// The person's.
        user_id: String,
    },
    /// Of whoever these passes stand for; the engine could not be asked.
    Bearer(Vec<Pass>),
}

impl Whose {
    /// The session of `facts`.
    pub(crate) fn of(facts: &Facts) -> Self {
        Self::Session { session_id: facts.session_id.clone(), user_id: facts.user_id.clone() }
    }

    fn name(&self) -> [u8; 32] {
        match self {
            Self::Session { session_id, .. } => crypto::fingerprint(&[b"session", session_id.as_bytes()]),
            Self::Bearer(passes) => {
                let mut parts: Vec<&[u8]> = vec![b"passes"];
                parts.extend(passes.iter().map(|pass| pass.as_str().as_bytes()));
                crypto::fingerprint(&parts)
            }
        }
    }

    async fn end(&self, engine: &Engine) -> Result<(), Away> {
        match self {
            Self::Session { session_id, user_id } => engine.sign_out(session_id, user_id).await.map(|_| ()),
            Self::Bearer(passes) => {
                let question = Question { passes: passes.clone(), csrf: None, if_version: None };
                for answer in engine.introspect(&question).await? {
                    if let Answer::Active { facts: Some(facts), .. } = answer {
                        engine.sign_out(&facts.session_id, &facts.user_id).await?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Those under way, by name.
#[derive(Default)]
pub(crate) struct Unfinished {
    pending: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Unfinished {
    /// Tries until the engine has heard of it, unless that is being done already.
    pub(crate) fn keep_trying(&self, engine: &Arc<Engine>, whose: Whose) {
        let Some(pending) = self.enter(whose.name()) else { return };
        let engine = Arc::clone(engine);
        let whose = Arc::new(whose);
        tokio::spawn(async move {
            let attempt = || {
                let (engine, whose) = (Arc::clone(&engine), Arc::clone(&whose));
                async move { whose.end(&engine).await.is_ok() }
            };
            if persist(attempt).await {
                tracing::info!("the engine has now heard of a sign-out");
            } else {
                tracing::error!("a sign-out never reached the engine: it was away for a day");
            }
            drop(pending);
        });
    }

    /// `None` if it is under way, or too many are.
    fn enter(&self, name: [u8; 32]) -> Option<Pending> {
        let mut pending = self.pending.lock();
        if pending.len() >= MOST_PENDING {
            tracing::error!("too many sign-outs wait for the engine: it will not hear of this one");
            return None;
        }
        pending.insert(name).then(|| Pending { all: Arc::clone(&self.pending), name })
    }
}

/// Takes a sign-out off the list, also when its task panics.
struct Pending {
    all: Arc<Mutex<HashSet<[u8; 32]>>>,
    name: [u8; 32],
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.all.lock().remove(&self.name);
    }
}

/// Attempts until one succeeds; whether one did.
async fn persist<F: Future<Output = bool>>(mut attempt: impl FnMut() -> F) -> bool {
    let mut pause = Pause::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut waited = Duration::ZERO;
    while waited < GIVEN_UP_AFTER {
        let wait = pause.next();
        tokio::time::sleep(wait).await;
        waited += wait;
        if attempt().await {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn it_tries_for_a_day_and_less_and_less_often() {
        let started = Instant::now();
        let mut at = Vec::new();
        let succeeded = persist(|| {
            at.push(started.elapsed());
            std::future::ready(false)
        })
        .await;
        assert!(!succeeded);
        assert!(at[0] >= FIRST_PAUSE / 2 && at[0] <= FIRST_PAUSE, "{:?}", at[0]);
        let gaps = at.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        assert!(gaps.clone().all(|gap| gap <= LONGEST_PAUSE + Duration::from_millis(2)));
        assert!(gaps.skip(9).all(|gap| gap >= LONGEST_PAUSE / 2));
        let last = at[at.len() - 1];
        assert!(last >= GIVEN_UP_AFTER && last < GIVEN_UP_AFTER + LONGEST_PAUSE * 2, "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_first_success() {
        let mut attempts = 0;
        let succeeded = persist(|| {
            attempts += 1;
            std::future::ready(attempts == 5)
        });
        assert!(succeeded.await);
        assert_eq!(attempts, 5);
    }

    #[test]
    fn each_sign_out_is_under_way_once_and_their_number_is_bounded() {
        let unfinished = Unfinished::default();
        let name = |number: u16| crypto::fingerprint(&[&number.to_be_bytes()]);
        let mut entered: Vec<_> = (0..1000).map(|number| unfinished.enter(name(number)).expect("room")).collect();
        assert!(unfinished.enter(name(1000)).is_none(), "full");
        drop(entered.pop());
        assert!(unfinished.enter(name(1)).is_none(), "under way");
        assert!(unfinished.enter(name(1000)).is_some(), "room again");
    }
}
