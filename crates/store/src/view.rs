//! The live view: the in-memory copy that introspection reads, kept honest by the change feed.
//!
//! What it may be asked is always "complete to within one second": [`View::fresh`] says so, or catches up from the database,
//! or fails, and then the answer is 503. It is fed in three ways, all of which only ever *invalidate* or are idempotent, so that
//! their order does not matter: at commit in this process, by notification (PostgreSQL), and by a poll.
//!
//! Facts are read through: a session or user that is not here is loaded from the database. A load that raced with an
//! invalidation is not kept (each shard counts its invalidations), so a change can never be overwritten by an older reading.
//!
//! This is the only cache of facts in the process.

mod dense_map;
mod policy;
mod sessions;
mod shards;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hallpass_core::crypto::MasterKey;
use hallpass_core::id::{SessionId, UserId};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use tokio::sync::{Mutex, Notify, watch};

pub use self::dense_map::{DenseMap, Place, hash};
pub use self::policy::{AppEntry, Policy, PolicyGuard, RoleEntry};
pub use self::sessions::{SessionView, Touched};
pub(crate) use self::sessions::{TOUCH_STEP, touch_step};
pub use self::shards::{Full, Shards};
pub use self::users::{EnvelopeView, Standing, UserView};
use crate::{Change, Store, StoreError, changes};

/// How far behind the view may be and still answer by itself.
pub const MAXIMUM_LAG: Duration = Duration::from_secs(1);
/// How long catching up may take before the answer is "unavailable".
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);
/// Changes read at once.
const PAGE: u32 = 1000;

/// The in-memory copy. Share it by `Arc`.
pub struct View {
    store: Store,
    master: Arc<MasterKey>,
    /// Sessions in memory.
    pub sessions: sessions::Sessions,
    users: users::Users,
    /// Read by every request at once: without a lock, and without counting references in one place.
    policy: ArcSwap<Policy>,
    /// Bumped by every change of the registry or the keys; the loaded policy carries the number it was loaded under.
    policy_wanted: AtomicU32,
    policy_load: Mutex<()>,
    /// The feed has been applied up to here.
    position: watch::Sender<i64>,
    /// Milliseconds since `started` up to which the view is known to be complete.
    complete_to: AtomicI64,
    catch_up: Mutex<()>,
    wake: Notify,
    started: Instant,
}

impl View {
    /// An empty view over `store` that keeps at most `maximum_sessions` in memory, attached to the commits of this process.
    pub async fn open(store: Store, master: Arc<MasterKey>, maximum_sessions: usize) -> Result<Arc<Self>, StoreError> {
        let mut read = store.read().await?;
        let position = changes::position(&mut read).await?;
        drop(read);
        let policy = Policy::load(&store, &master, 0).await?;
        let view = Arc::new(Self {
            sessions: sessions::Sessions::new(maximum_sessions),
            users: users::Users::new(maximum_sessions),
            policy: ArcSwap::from_pointee(policy),
            policy_wanted: AtomicU32::new(0),
            policy_load: Mutex::new(()),
            position: watch::Sender::new(position),
            wake: Notify::new(),
            complete_to: AtomicI64::new(0),
            catch_up: Mutex::new(()),
            started: now(),
            store: store.clone(),
            master,
        });
        let observer = Arc::downgrade(&view);
        store.on_commit(move |committed| {
            if let Some(view) = observer.upgrade() {
                for entry in committed {
                    view.apply(&entry.change);
                }
                view.wake.notify_one();
            }
        });
        // A change committed between the first reading and the line above is caught by this.
        view.catch_up_now().await?;
        Ok(view)
    }

    /// Ensures that the view is complete to within [`MAXIMUM_LAG`]; else brings it up to date from the database.
    pub async fn fresh(&self) -> Result<(), StoreError> {
        if self.lag() <= MAXIMUM_LAG {
            return Ok(());
        }
        // Boxed, like all that is done rarely here: a future is as large as the largest thing it may wait for, and is moved as a whole.
        Box::pin(self.current()).await
    }

    /// Ensures that the view is complete to this very moment. For an answer that would otherwise be "unknown": a secret or a
    /// signing key may be so new that this node has not heard of it. Costs at most one reading of the feed at a time,
    /// however many ask.
    pub async fn current(&self) -> Result<(), StoreError> {
        let asked = now();
        let caught_up = async {
            // One reader catches up, those behind it find the work done.
            let _turn = self.catch_up.lock().await;
            if self.complete_since(asked) { Ok(()) } else { self.read_feed().await }
        };
        tokio::time::timeout(CATCH_UP_LIMIT, caught_up)
            .await
            .map_err(|_| StoreError::unavailable("the change feed does not answer"))?
    }

    /// Reads the feed to its end. The poll calls this several times a second, the listener whenever it is notified.
    pub async fn catch_up_now(&self) -> Result<(), StoreError> {
        let _turn = self.catch_up.lock().await;
        self.read_feed().await
    }

    /// How far behind the view may be.
    pub fn lag(&self) -> Duration {
        let complete_to = Duration::from_millis(u64::try_from(self.complete_to.load(Ordering::Acquire)).unwrap_or(0));
        now().duration_since(self.started).saturating_sub(complete_to)
    }

    /// The feed position up to which everything has been applied.
    pub fn position(&self) -> i64 {
        *self.position.borrow()
    }

    /// Tells whenever the position moves.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }

    /// Waits until there is reason to look at the feed: a commit of this process, or [`View::wake`].
    pub async fn committed(&self) {
        self.wake.notified().await;
    }

    /// Another node says that it has committed something.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The registry and the keys, current to within [`MAXIMUM_LAG`].
    pub async fn policy(&self) -> Result<PolicyGuard, StoreError> {
        self.fresh().await?;
        let policy = self.policy.load();
        if policy.generation == self.policy_wanted.load(Ordering::Acquire) {
            return Ok(policy);
        }
        Box::pin(self.load_policy()).await
    }

    /// The zone that the engine answers for at this host and port, as far as is known without waiting.
    pub fn alias(&self, authority: &str) -> Option<Arc<Zone>> {
        let policy = self.policy.load();
        let is = |zone: &&Arc<Zone>| zone.alias.as_ref().is_some_and(|alias| alias.authority() == authority);
        policy.zones.iter().find(is).cloned()
    }

    async fn load_policy(&self) -> Result<PolicyGuard, StoreError> {
        let _turn = self.policy_load.lock().await;
        let wanted = self.policy_wanted.load(Ordering::Acquire);
        let policy = self.policy.load();
        if policy.generation == wanted {
            return Ok(policy);
        }
        // A change that lands while we load bumps the number again, and the next reader loads again.
        let loaded = Arc::new(Policy::load(&self.store, &self.master, wanted).await?);
        self.policy.store(loaded.clone());
        Ok(PolicyGuard::from_inner(loaded))
    }

    /// A session as the view knows it, read through; `None` if there is no such session.
    ///
    /// One that looks inactive is read again: another node may have seen its person more recently.
    pub async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<SessionView>, StoreError> {
        self.session_at(id, Place::UNKNOWN, now).await
    }

    /// The same, looked for first where it was.
    pub async fn session_at(
        &self,
        id: SessionId,
        place: Place,
        now: Timestamp,
    ) -> Result<Option<SessionView>, StoreError> {
        if let Some(found) = self.sessions.find(id, place)
            && !found.looks_inactive(now)
        {
            return Ok(Some(found));
        }
        Box::pin(self.load_session(id, now)).await
    }

    async fn load_session(&self, id: SessionId, now: Timestamp) -> Result<Option<SessionView>, StoreError> {
        let epoch = self.sessions.epoch(id);
        let mut read = self.store.read().await?;
        let Some(stored) = crate::sessions::find(&mut read, &id).await? else { return Ok(None) };
        Ok(Some(self.sessions.keep(&stored, epoch, now)))
    }

    /// Where a user stands towards one app: the envelope, or why there is none. Read through.
    pub async fn standing(&self, policy: &Arc<Policy>, user: UserId, app: usize) -> Result<Standing, StoreError> {
        Ok(self.user(user).await?.map_or(Standing::Unknown, |user| user.standing(policy, app)))
    }

    /// Where the user of a session stands towards one app. The session remembers its user, so that nobody has to be looked for.
    pub async fn standing_in(
        &self,
        policy: &Arc<Policy>,
        session: &SessionView,
        app: usize,
    ) -> Result<Standing, StoreError> {
        if let Some(user) = session.user() {
            return Ok(user.standing(policy, app));
        }
        let Some(user) = self.user(session.user_id).await? else { return Ok(Standing::Unknown) };
        self.sessions.remember_user(session, &user);
        Ok(user.standing(policy, app))
    }

    async fn user(&self, id: UserId) -> Result<Option<UserView>, StoreError> {
        if let Some(found) = self.users.find(id) {
            return Ok(Some(found));
        }
        Box::pin(self.load_user(id)).await
    }

    async fn load_user(&self, user: UserId) -> Result<Option<UserView>, StoreError> {
        let epoch = self.users.epoch(user);
        let mut read = self.store.read().await?;
        let Some(stored) = crate::users::find(&mut read, &user).await? else { return Ok(None) };
        let facts = crate::roles::assignments_of(&mut read, &user).await?;
        let loaded = UserView::new(&stored, self.users.share(facts));
        self.users.keep(user, &loaded, epoch);
        Ok(Some(loaded))
    }

    /// Applies one change. Idempotent, never fails, never waits: it only marks what is known to be out of date.
    pub fn apply(&self, change: &Change) {
        match change {
            Change::SessionEnded { session, reason, .. } => self.sessions.end(*session, *reason),
            Change::SessionChanged { session, .. } => self.sessions.forget(*session),
            Change::UserChanged { user } | Change::UserDisabled { user } => self.users.forget(*user),
            Change::PolicyChanged { .. } | Change::KeysChanged => {
                self.policy_wanted.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    async fn read_feed(&self) -> Result<(), StoreError> {
        let mut read = self.store.read().await?;
        loop {
            // Taken before the reading: what is committed later is not covered by it.
            let asked = now();
            let position = self.position();
            let page = changes::since(&mut read, position, PAGE).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else {
                self.complete_to.fetch_max(millis(asked.duration_since(self.started)), Ordering::AcqRel);
                return Ok(());
            };
            if first.position != position + 1 {
                // The rows in between were pruned while we were cut off: we no longer know what changed, so forget everything.
                tracing::warn!(
                    position,
                    "the change feed no longer reaches back far enough; forgetting everything in memory"
                );
                self.sessions.clear();
                self.users.clear();
                self.policy_wanted.fetch_add(1, Ordering::AcqRel);
            }
            for entry in &page {
                self.apply(&entry.change);
            }
            self.position.send_replace(last.position);
        }
    }

    fn complete_since(&self, instant: Instant) -> bool {
        self.complete_to.load(Ordering::Acquire) >= millis(instant.duration_since(self.started))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how far this process is behind is measured by its own monotonic clock, not decided at a request's instant"
)]
fn now() -> Instant {
    Instant::now()
}
