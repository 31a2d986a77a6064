//! Sessions in memory: small, sharded, bounded. Some 80 bytes each, with the map's own.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hallpass_core::id::SessionId;
use hallpass_core::id::UserId;
use hallpass_core::session::{self, Acr, Amr, EndReason, NotLive, Session};
use hallpass_core::time::Timestamp;
use parking_lot::{Mutex, RwLock};

use super::{DenseMap, Full, Place, Shards, UserView};

/// Activity is written down once in each step of time. A step is this share of the inactivity that ends the session, so that a crash
/// shortens it by a twelfth at most; but no longer than so many seconds.
const TOUCH_SHARE: u32 = 12;
pub(crate) const TOUCH_STEP: u32 = 300;

/// The length of a step, in seconds, of a session that ends after so many without activity.
pub(crate) fn touch_step(inactivity: u32) -> u32 {
    (inactivity / TOUCH_SHARE).clamp(1, TOUCH_STEP)
}

/// Apps whose slot is below this are remembered in the session itself; beyond it, in a set.
const TOLD_BITS: usize = 63;

/// What a request needs to know of a session.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// Absolute end.
    pub expires_at: Timestamp,
    /// How strong.
    pub acr: Acr,
    amr: u8,
    inactivity: Duration,
    last_seen_at: Timestamp,
    ended: Option<EndReason>,
    /// Where it was found.
    place: Place,
    user: Option<UserView>,
}

impl SessionView {
    /// Whether it is live at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), NotLive> {
        session::check(self.ended, self.expires_at, self.last_seen_at, self.inactivity, now)
    }

    /// Its user, if that is what is kept of them still.
    pub(super) fn user(&self) -> Option<&UserView> {
        self.user.as_ref().filter(|user| user.is_current())
    }

    /// Where it was found, for [`View::session_at`](super::View::session_at).
    pub const fn place(&self) -> Place {
        self.place
    }

    /// By which authenticators.
    pub fn amr(&self) -> impl Iterator<Item = Amr> {
        let bits = self.amr;
        ALL_AMR.into_iter().enumerate().filter(move |(bit, _)| bits & (1 << bit) != 0).map(|(_, amr)| amr)
    }

    /// When nothing but inactivity speaks against it.
    pub(super) fn looks_inactive(&self, now: Timestamp) -> bool {
        self.check(now) == Err(NotLive::Inactive)
    }

    fn of(stored: &Session) -> Self {
        let bit = |amr: &Amr| ALL_AMR.iter().position(|known| known == amr).map_or(0, |bit| 1 << bit);
        Self {
            id: stored.id,
            user_id: stored.user_id,
            authenticated_at: stored.authenticated_at,
            expires_at: stored.expires_at,
            acr: stored.acr,
            amr: stored.amr.iter().map(bit).fold(0, |bits, bit| bits | bit),
            inactivity: stored.inactivity,
            last_seen_at: stored.last_seen_at,
            ended: stored.ended.map(|ended| ended.reason),
            place: Place::UNKNOWN,
            user: None,
        }
    }
}

const ALL_AMR: [Amr; 4] = [Amr::Pwd, Amr::Otp, Amr::Hwk, Amr::Pop];

/// Activity that has not been written down yet, collected for the next batch.
#[derive(Debug, Default)]
pub struct Touched {
    /// Sessions and when they were last seen.
    pub seen: Vec<(SessionId, Timestamp)>,
    /// Which app (by slot) learned of which session.
    pub told: Vec<(SessionId, usize)>,
}

/// What is kept of a session; its identifier is the map's key.
struct Entry {
    user_id: UserId,
    expires_at: Timestamp,
    /// Seconds: more of it is nowhere shown.
    authenticated_at: u32,
    /// Milliseconds.
    last_seen: AtomicI64,
    /// What of that was written down, in seconds: often enough, and half as long.
    written: AtomicU32,
    /// Seconds.
    inactivity: u32,
    told: AtomicU64,
    /// As it was found last; perhaps no longer what is kept.
    user: Option<UserView>,
    acr: Acr,
    amr: u8,
    ended: Option<EndReason>,
}

#[derive(Default)]
struct Shard {
    entries: DenseMap<Entry>,
    /// Counts invalidations: a load that began under another number is not kept.
    epoch: u64,
    full: Full,
}

/// All sessions in memory.
pub struct Sessions {
    shards: Shards<Shard>,
    touched: Mutex<Touched>,
    told_beyond: Mutex<hashbrown::HashSet<(SessionId, usize)>>,
}

impl Sessions {
    pub(super) fn new(maximum: usize) -> Self {
        Self { shards: Shards::new(maximum), touched: Mutex::default(), told_beyond: Mutex::default() }
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().entries.len()).sum()
    }

    /// Whether none is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that the person was here, and that the app in `slot` has learned of the session. Memory only; see [`Sessions::take_touched`].
    pub fn touch(&self, session: &SessionView, slot: usize, now: Timestamp) {
        self.touch_at(session.id, session.place, slot, now);
    }

    /// The same, of a session that was read from the database; nothing if it is not in memory.
    pub fn touch_stored(&self, id: SessionId, slot: usize, now: Timestamp) {
        self.touch_at(id, Place::UNKNOWN, slot, now);
    }

    fn touch_at(&self, id: SessionId, place: Place, slot: usize, now: Timestamp) {
        let shard = self.shard(id).read();
        let Some((entry, _)) = shard.entries.find(id.as_bytes(), place) else { return };
        let (millis, seconds) = (now.as_millis(), seconds(now));
        // Looked at first: a store would take the cache line away from whoever reads it.
        if entry.last_seen.load(Ordering::Relaxed) < millis {
            entry.last_seen.fetch_max(millis, Ordering::Relaxed);
        }
        let written = entry.written.load(Ordering::Relaxed);
        if written < seconds
            && entry.step(id, written) != entry.step(id, seconds)
            // One of those who find it due at once writes it down.
            && entry.written.compare_exchange(written, seconds, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.touched.lock().seen.push((id, now));
        }
        if slot < TOLD_BITS {
            let bit = 1 << slot;
            if entry.told.load(Ordering::Relaxed) & bit == 0 && entry.told.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                self.touched.lock().told.push((id, slot));
            }
        } else if self.told_beyond.lock().insert((id, slot)) {
            self.touched.lock().told.push((id, slot));
        }
    }

    /// Whether this process has told the app in `slot` of the session.
    pub fn has_told(&self, id: SessionId, slot: usize) -> bool {
        if slot >= TOLD_BITS {
            return self.told_beyond.lock().contains(&(id, slot));
        }
        self.shard(id)
            .read()
            .entries
            .get(id.as_bytes())
            .is_some_and(|entry| entry.told.load(Ordering::Relaxed) & (1 << slot) != 0)
    }

    /// What is to be written down. If writing fails, hand it back with [`Sessions::put_back`].
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut *self.touched.lock())
    }

    /// Returns what could not be written, so that the next batch tries again.
    pub fn put_back(&self, touched: Touched) {
        let mut waiting = self.touched.lock();
        waiting.seen.extend(touched.seen);
        waiting.told.extend(touched.told);
    }

    /// Drops entries that have been dead for so long that no pass of theirs can still be presented.
    pub fn sweep(&self, now: Timestamp) {
        for shard in self.shards.iter() {
            shard.write().entries.retain(|entry| !entry.is_over(now));
        }
        self.told_beyond.lock().retain(|(id, _)| self.shard(*id).read().entries.get(id.as_bytes()).is_some());
    }

    pub(super) fn find(&self, id: SessionId, place: Place) -> Option<SessionView> {
        let shard = self.shard(id).read();
        shard.entries.find(id.as_bytes(), place).map(|(entry, place)| entry.view(id, place))
    }

    /// Remembers whose it is.
    pub(super) fn remember_user(&self, session: &SessionView, user: &UserView) {
        let mut shard = self.shard(session.id).write();
        if let Some(entry) = shard.entries.get_mut(session.id.as_bytes()) {
            entry.user = Some(user.clone());
        }
    }

    pub(super) fn epoch(&self, id: SessionId) -> u64 {
        self.shard(id).read().epoch
    }

    /// Keeps what was read, unless something was invalidated in the meantime, and returns what the request should use.
    pub(super) fn keep(&self, stored: &Session, epoch: u64, now: Timestamp) -> SessionView {
        let mut view = SessionView::of(stored);
        let mut shard = self.shard(stored.id).write();
        if shard.epoch != epoch {
            return view;
        }
        if let Some((entry, place)) = shard.entries.find(stored.id.as_bytes(), Place::UNKNOWN) {
            entry.last_seen.fetch_max(view.last_seen_at.as_millis(), Ordering::Relaxed);
            return entry.view(stored.id, place);
        }
        let limit = self.shards.limit(stored.id.as_bytes());
        if shard.entries.len() >= limit {
            if shard.full.worth_a_look(now) {
                shard.entries.retain(|entry| !entry.is_over(now));
            }
            // Still full of live ones: let an arbitrary one go; it is read again when it is needed.
            if shard.entries.len() >= limit
                && let Some(victim) = shard.entries.any(stored.id.as_bytes())
                && let Some(entry) = shard.entries.remove(&victim)
            {
                let victim = SessionId::from_bytes(victim);
                self.touched.lock().seen.push((victim, Timestamp::from_millis(entry.last_seen.into_inner())));
            }
        }
        view.place = shard.entries.insert(*stored.id.as_bytes(), Entry::of(&view));
        view
    }

    pub(super) fn end(&self, id: SessionId, reason: EndReason) {
        let mut shard = self.shard(id).write();
        shard.epoch += 1;
        if let Some(entry) = shard.entries.get_mut(id.as_bytes()) {
            entry.ended.get_or_insert(reason);
            entry.user = None;
        }
    }

    pub(super) fn forget(&self, id: SessionId) {
        let mut shard = self.shard(id).write();
        shard.epoch += 1;
        shard.entries.remove(id.as_bytes());
    }

    pub(super) fn clear(&self) {
        for shard in self.shards.iter() {
            let mut shard = shard.write();
            shard.epoch += 1;
            shard.entries.clear();
        }
    }

    fn shard(&self, id: SessionId) -> &RwLock<Shard> {
        self.shards.of(id.as_bytes())
    }
}

impl Entry {
    fn of(view: &SessionView) -> Self {
        Self {
            user_id: view.user_id,
            expires_at: view.expires_at,
            authenticated_at: seconds(view.authenticated_at),
            last_seen: view.last_seen_at.as_millis().into(),
            written: seconds(view.last_seen_at).into(),
            inactivity: u32::try_from(view.inactivity.as_secs()).unwrap_or(u32::MAX),
            told: 0.into(),
            user: None,
            acr: view.acr,
            amr: view.amr,
            ended: view.ended,
        }
    }

    fn view(&self, id: SessionId, place: Place) -> SessionView {
        SessionView {
            id,
            user_id: self.user_id,
            authenticated_at: Timestamp::from_seconds(i64::from(self.authenticated_at)),
            expires_at: self.expires_at,
            acr: self.acr,
            amr: self.amr,
            inactivity: self.inactivity(),
            last_seen_at: self.last_seen(),
            ended: self.ended,
            place,
            user: self.user.clone(),
        }
    }

    /// Which step of its time a moment belongs to. Each session's steps begin at another moment: those whose people came at the same time,
    /// in the morning or after a restart, would otherwise be written down at the same time ever after, and requests wait behind that.
    fn step(&self, id: SessionId, seconds: u32) -> u64 {
        let step = touch_step(self.inactivity);
        let [.., a, b] = *id.as_bytes();
        let offset = (u64::from(u16::from_be_bytes([a, b])) * u64::from(step)) >> 16;
        (u64::from(seconds) + offset) / u64::from(step)
    }

    fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.last_seen.load(Ordering::Relaxed))
    }

    fn inactivity(&self) -> Duration {
        Duration::from_secs(u64::from(self.inactivity))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        const LAST_PASS: Duration = Duration::from_mins(15);
        self.ended.is_some()
            || now >= self.expires_at + LAST_PASS
            || now.since(self.last_seen()) >= self.inactivity() + LAST_PASS
    }
}

/// Seconds since the epoch; enough until 2106.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_seconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use hallpass_core::id::UserId;

    use super::*;

    const COUNT: u64 = 2000;

    /// People who all came in the same second, and go on clicking every ten seconds.
    fn busy(inactivity: Duration, seconds: i64) -> Vec<usize> {
        let (sessions, began) = (Sessions::new(10_000), Timestamp::from_seconds(1_800_000_000));
        let ids: Vec<SessionId> = (0..COUNT).map(|number| id(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        for id in &ids {
            sessions.keep(&stored(*id, inactivity, began), 0, began);
        }
        let mut batches = Vec::new();
        for second in (10..=seconds).step_by(10) {
            let now = began + Duration::from_secs(second.unsigned_abs());
            // Twice at the same moment is written once.
            for id in ids.iter().chain(&ids) {
                sessions.touch_stored(*id, 0, now);
            }
            let touched = sessions.take_touched();
            assert!(touched.seen.iter().all(|(_, at)| *at == now));
            batches.push(touched.seen.len());
        }
        batches
    }

    #[test]
    fn activity_is_written_down_once_in_each_step_and_not_by_all_at_once() {
        // An hour: steps of five minutes, thirty batches each.
        let batches = busy(Duration::from_hours(1), 3000);
        assert_eq!(batches.iter().sum::<usize>() as u64, COUNT * 10, "ten steps");
        let even = usize::try_from(COUNT / 30).expect("small");
        assert!(batches.iter().all(|batch| (even / 2..even * 2).contains(batch)), "{batches:?}");
        // A minute: steps of five seconds.
        assert!(busy(Duration::from_mins(1), 60).iter().all(|batch| *batch as u64 == COUNT));
    }

    /// A limit of seconds is not divided away to nothing.
    #[test]
    fn shortest_inactivity() {
        assert!(busy(Duration::from_secs(1), 30).iter().all(|batch| *batch as u64 == COUNT));
    }

    fn id(number: u64) -> SessionId {
        let [high, low] = [number, number.rotate_left(32)].map(u64::to_be_bytes);
        SessionId::from_bytes([high, low].concat().try_into().expect("sixteen bytes"))
    }

    fn stored(id: SessionId, inactivity: Duration, at: Timestamp) -> Session {
        Session {
            id,
            user_id: UserId::from_bytes([1; 16]),
            acr: Acr::Aal1,
            amr: vec![Amr::Pwd],
            authenticated_at: at,
            created_at: at,
            last_seen_at: at,
            expires_at: at + Duration::from_hours(24),
            inactivity,
            persistent: false,
            ended: None,
            user_agent: String::new(),
            ip: String::new(),
        }
    }
}
