//! What runs beside requests: keeping the view current, writing down activity, rotating keys, deleting what has had its day.
//!
//! Several nodes may run the same jobs at once: each is idempotent, or guarded by its statement or a lease.

mod sweep;

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::crypto::{Algorithm, MasterKey, PrivateKey, Sealer, SystemRandom};
use hallpass_core::id::{AppKey, KeyId};
use hallpass_core::keyring::{KeyPolicy, Keyring, Purpose, SealedKey};
use hallpass_core::oidc::IdTokenAlgorithm;
use hallpass_core::time::Timestamp;
use hallpass_store::view::Policy;
use hallpass_store::{Store, StoreError, apps, audit, keys, sessions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::sweep::sweep;
use crate::alerts;
use crate::context::Context;
use crate::sign_out::deliver;
use crate::upstream::{recheck, sign_out};

const POLL: Duration = Duration::from_millis(250);
const WRITE_DOWN: Duration = Duration::from_millis(500);
const SECRETS_USED: Duration = Duration::from_secs(30);
const KEYS: Duration = Duration::from_mins(1);
/// How soon the first key is there that somebody has come to need.
const FIRST_KEYS: Duration = Duration::from_millis(500);
const SWEEP: Duration = Duration::from_mins(10);
/// How long after the one before it a job begins. Those that begin together each call for a thread, and every thread takes memory of its own.
const STAGGER: Duration = Duration::from_millis(20);
/// Rows in one transaction: others wait for the writer meanwhile.
const BATCH: usize = 200;

/// Starts all of them; they end when `stop` turns true.
pub fn start(context: &Arc<Context>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    jobs.spawn(until(stop.clone(), keep_current(context.clone())));
    jobs.spawn(until(stop.clone(), hear_other_nodes(context.clone())));
    every(&mut jobs, context, stop, WRITE_DOWN, "writing down activity", write_down);
    every(&mut jobs, context, stop, SECRETS_USED, "writing down the use of secrets", secrets_used);
    every(&mut jobs, context, stop, KEYS, "rotating keys", rotate_keys);
    every(&mut jobs, context, stop, FIRST_KEYS, "making the first key of its kind", first_keys);
    every(&mut jobs, context, stop, SWEEP, "deleting old rows", sweep);
    every(&mut jobs, context, stop, deliver::PERIOD, "telling apps of sign-outs", deliver::deliver);
    if context.kratos.is_some() {
        every(&mut jobs, context, stop, recheck::PERIOD, "looking at sessions at Kratos", recheck::recheck);
        every(&mut jobs, context, stop, sign_out::PERIOD, "ending sessions at Kratos", sign_out::deliver);
    }
    every(&mut jobs, context, stop, alerts::MINUTE, "looking for alerts", alerts::minute);
    every(&mut jobs, context, stop, alerts::FEED, "watching the change feed", alerts::feed);
    every(&mut jobs, context, stop, alerts::DELIVER, "delivering alerts", alerts::deliver);
    jobs
}

async fn until(mut stop: watch::Receiver<bool>, job: impl Future<Output = ()>) {
    tokio::select! {
        () = job => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

fn every<F: Future<Output = Result<(), StoreError>> + Send + 'static>(
    jobs: &mut JoinSet<()>,
    context: &Arc<Context>,
    stop: &watch::Receiver<bool>,
    period: Duration,
    what: &'static str,
    job: impl Fn(Arc<Context>) -> F + Send + Sync + 'static,
) {
    let context = context.clone();
    let first = Instant::now() + STAGGER * u32::try_from(jobs.len()).unwrap_or_default();
    jobs.spawn(until(stop.clone(), async move {
        let mut ticks = tokio::time::interval_at(first, period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = job(context.clone()).await {
                tracing::warn!(%error, "{what} failed; it will be tried again");
            }
        }
    }));
}

/// Reads the feed a few times a second, and at once after a commit of this process.
async fn keep_current(context: Arc<Context>) {
    let mut failing = false;
    loop {
        let current = async {
            context.view.catch_up_now().await?;
            // Which hosts are ours is looked up without waiting: a new alias must not wait for somebody to ask for something else.
            context.view.policy().await.map(drop)
        };
        match current.await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the change feed cannot be read; until it can, answers come from the database or are 503");
            }
            Err(_) => {}
        }
        let _ = tokio::time::timeout(POLL, context.view.committed()).await;
    }
}

/// PostgreSQL tells of other nodes' commits; without it the poll finds them a moment later.
async fn hear_other_nodes(context: Arc<Context>) {
    loop {
        match context.store.listen().await {
            Ok(None) => return,
            Ok(Some(mut listener)) => {
                while listener.recv().await.is_ok() {
                    context.view.wake();
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen for other nodes' commits; polling"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Last-seen times and which app has been told of which session, in batches. What cannot be written is tried again.
pub async fn write_down(context: Arc<Context>) -> Result<(), StoreError> {
    let touched = context.view.sessions.take_touched();
    if touched.seen.is_empty() && touched.told.is_empty() {
        return Ok(());
    }
    let written = async {
        for seen in touched.seen.chunks(BATCH) {
            let mut write = context.store.write().await?;
            sessions::touch(&mut write, seen).await?;
            write.commit().await?;
        }
        let policy = context.view.policy().await?;
        let key = |slot: usize| {
            policy.apps.iter().find(|entry| entry.slot as usize == slot).map(|entry| entry.app.key.clone())
        };
        let told: Vec<(_, AppKey)> =
            touched.told.iter().filter_map(|(session, slot)| Some((*session, key(*slot)?))).collect();
        for told in told.chunks(BATCH) {
            let mut write = context.store.write().await?;
            sessions::record_told(&mut write, told, context.now()).await?;
            write.commit().await?;
        }
        Ok(())
    };
    let result = written.await;
    if result.is_err() {
        context.view.sessions.put_back(touched);
    }
    result
}

/// Evidence that an app's old secret is not used any more.
pub async fn secrets_used(context: Arc<Context>) -> Result<(), StoreError> {
    let used: Vec<_> = context.view.policy().await?.secrets_used().collect();
    if used.is_empty() {
        return Ok(());
    }
    let mut write = context.store.write().await?;
    apps::record_use(&mut write, &used).await?;
    write.commit().await.map(|_| ())
}

/// Makes the next signing key when it is due: published a day before use.
pub async fn rotate_keys(context: Arc<Context>) -> Result<(), StoreError> {
    for purpose in Purpose::ALL {
        rotate_if_due(&context, purpose).await?;
    }
    Ok(())
}

/// Makes keys for what nobody needed until now: a client was registered whose ID tokens have to be signed with RSA. Looks into memory only.
pub async fn first_keys(context: Arc<Context>) -> Result<(), StoreError> {
    for purpose in Purpose::ALL {
        first_key(&context, purpose).await?;
    }
    Ok(())
}

/// The first key of one purpose, if somebody needs it, for whoever cannot wait for the job.
pub async fn first_key(context: &Context, purpose: Purpose) -> Result<(), StoreError> {
    let policy = context.view.policy().await?;
    if policy.keyring.signer(purpose, context.now()).is_none() && is_needed(context, &policy, purpose) {
        rotate_if_due(context, purpose).await?;
        // Another node may have been sooner.
        context.view.catch_up_now().await?;
    }
    Ok(())
}

fn is_needed(context: &Context, policy: &Policy, purpose: Purpose) -> bool {
    // A client that describes itself is in the registry when somebody allows it, and comes with its code in the same second.
    let foreseen = context.documents.is_some() && purpose == IdTokenAlgorithm::default().purpose();
    foreseen || purpose.is_needed_by(policy.apps.iter().map(|entry| &entry.app))
}

/// Makes the next key of one purpose if it is due, or the first one if somebody needs it.
async fn rotate_if_due(context: &Context, purpose: Purpose) -> Result<(), StoreError> {
    // One at a time: an RSA key takes long to find, and many may ask for it at once. And of two that wrote at once in this process, the one who came too
    // late would know it before the other's transaction was committed, which may share its COMMIT, and would then look for the key in vain.
    let _turn = context.rotation.lock().await;
    let policy = context.view.policy().await?;
    let (key_policy, now) = (context.config.key_policy(purpose), context.now());
    // What is there is kept in order, needed or not: nobody must meet a key of years ago.
    let missed = is_needed(context, &policy, purpose) || policy.keyring.signer(purpose, now).is_some();
    if !missed || !policy.keyring.rotation_due(purpose, now, &key_policy) {
        return Ok(());
    }
    let stored = Stored::read(&context.store, &context.master, purpose).await?;
    // Asked again of what is stored: another node may have rotated a moment ago, and its key is not in our view yet.
    if stored.keyring.rotation_due(purpose, now, &key_policy) {
        stored.rotate(&context.store, &key_policy, key_policy.publish_ahead, Actor::System, now).await?;
    }
    Ok(())
}

/// Makes the next key of one purpose, used from `publish_ahead` from now. `None` if somebody else made one at the same time.
pub async fn rotate(
    store: &Store,
    master: &MasterKey,
    purpose: Purpose,
    policy: &KeyPolicy,
    publish_ahead: Duration,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<KeyId>, StoreError> {
    Stored::read(store, master, purpose).await?.rotate(store, policy, publish_ahead, actor, now).await
}

/// The keys as they are stored, which a rotation is planned on.
struct Stored {
    keyring: Keyring,
    purpose: Purpose,
    generation: i64,
    sealer: Sealer,
}

impl Stored {
    async fn read(store: &Store, master: &MasterKey, purpose: Purpose) -> Result<Self, StoreError> {
        let sealer = master.sealer(SealedKey::SEALER);
        let mut read = store.snapshot().await?;
        let (sealed, generation) = (keys::all(&mut read).await?, keys::generation(&mut read, purpose).await?);
        drop(read);
        let opened: Result<Vec<_>, _> = sealed.iter().map(|key| key.open(&sealer)).collect();
        let keyring =
            Keyring::new(opened.map_err(|_| {
                StoreError::Broken("a signing key does not open: is this the right master key?".into())
            })?);
        Ok(Self { keyring, purpose, generation, sealer })
    }

    async fn rotate(
        &self,
        store: &Store,
        policy: &KeyPolicy,
        publish_ahead: Duration,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<KeyId>, StoreError> {
        let algorithm = policy.algorithm;
        let private = match algorithm {
            // Made in no time; a thread for it would keep two megabytes of its own in every new installation.
            Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Hs256 => PrivateKey::generate(algorithm),
            // An RSA key takes long to find: on a thread where no request waits behind it.
            Algorithm::Ps256 | Algorithm::Rs256 => {
                let made = tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm)).await;
                made.map_err(|error| StoreError::Broken(format!("no key was made: {error}").into()))?
            }
        };
        let random = &mut SystemRandom;
        let kid = KeyId::mint(random);
        let plan = self.keyring.rotate(self.purpose, kid, private, publish_ahead, policy, now);
        let successor = SealedKey::seal(&plan.successor, &self.sealer, random);
        let mut write = store.write().await?;
        if !keys::rotate(&mut write, self.generation, &successor, &plan.closed, now).await? {
            return Ok(None);
        }
        let entry = Entry::new(Event::KeyAdded, actor, now, random)
            .with("kid", &kid)
            .with("purpose", &Word(self.purpose.as_str()));
        audit::append(&mut write, &(&entry).into()).await?;
        write.commit().await?;
        Ok(Some(kid))
    }
}
