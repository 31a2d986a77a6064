//! From counters to alerts. Takes readings once a minute, keeps what it needs to compare, and says what began or ended. No clock, no I/O.
//!
//! The pattern of an app's answers is judged by [`hallpass_core::alert`]. The other causes are plain counts over the last five minutes: one is enough
//! for what should never happen (a panic, conflicting passes, a token that comes again, a refused address); requests from other sites happen every day, so for them it takes
//! twenty and four times the usual. An alert ends after half an hour of quiet, and lasts a day at most: then it is told again, or is the new usual.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use hallpass_core::alert::{Alert, Minute, Watch};
use hallpass_core::audit::InactiveClass;
use hallpass_core::id::AppKey;
use hallpass_core::time::Timestamp;
use hallpass_store::view::MAXIMUM_LAG;

use super::cause::{Cause, Notice, State};
use crate::telemetry::{AppTotals, Reused, Totals};

/// Minutes that are looked at together.
const RECENT: usize = 5;
/// Minutes of quiet that end an alert: longer than the longest wait between two attempts to deliver.
const CALM: u32 = 30;
/// Minutes over which the usual is learned, and that an alert lasts at most.
const DAY: u32 = 1440;
/// Requests from other sites in five minutes that are worth a word.
const LEAST_CSRF: u64 = 20;
/// Handoffs that no browser began, in five minutes, that are worth a word.
const LEAST_HANDOFFS: u64 = 20;
/// How far above the usual they have to be.
const FACTOR: f64 = 4.0;
/// A feed that is this far behind is unreadable.
const UNREADABLE: Duration = Duration::from_secs(10);
/// It is readable again when it has been for so long.
const READABLE: Duration = Duration::from_mins(1);

/// What is remembered from minute to minute. Lost with the process; what was raised is in the audit log.
#[derive(Debug)]
pub struct Watcher {
    apps: HashMap<AppKey, AppWatch>,
    before: Totals,
    csrf_own_pages: Level,
    panics: Level,
    outgoing_refused: Level,
    handoffs_refused: Level,
    sign_outs_undelivered: Level,
    feed: Feed,
}

#[derive(Debug)]
struct AppWatch {
    pattern: Watch,
    conflicts: Level,
    csrf: Level,
    codes_reused: Level,
    refresh_reused: Level,
}

#[derive(Debug, Clone, Copy)]
enum Feed {
    Readable,
    Unreadable { well_since: Option<Timestamp> },
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            apps: HashMap::new(),
            before: Totals::default(),
            csrf_own_pages: Level::above_usual(LEAST_CSRF),
            panics: Level::any(),
            outgoing_refused: Level::any(),
            handoffs_refused: Level::above_usual(LEAST_HANDOFFS),
            sign_outs_undelivered: Level::any(),
            feed: Feed::Readable,
        }
    }
}

impl Watcher {
    /// Whether there are apps that have not been seen before.
    pub fn strangers(&self, totals: &Totals) -> bool {
        totals.apps.keys().any(|app| !self.apps.contains_key(app))
    }

    /// Takes the counters as they are a minute after the last time. `worked`: of apps that have not been seen before, those that were let in
    /// at least once.
    pub fn minute(&mut self, totals: &Totals, worked: &HashSet<AppKey>, now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (key, total) in &totals.apps {
            let before = self.before.apps.get(key).copied().unwrap_or_default();
            let app = self.apps.entry(key.clone()).or_insert_with(|| AppWatch {
                pattern: Watch::new(worked.contains(key)),
                conflicts: Level::any(),
                csrf: Level::above_usual(LEAST_CSRF),
                codes_reused: Level::any(),
                refresh_reused: Level::any(),
            });
            notices
                .extend(app.pattern.minute(minute(total, &before)).into_iter().map(|alert| pattern(alert, key, now)));
            let mut level = |level: &mut Level, cause, count| {
                notices.extend(level.minute(count).map(|step| step.notice(cause, Some(key), now)));
            };
            level(&mut app.conflicts, Cause::PassConflicts, total.conflicts - before.conflicts);
            level(&mut app.csrf, Cause::CsrfRefusals, total.csrf - before.csrf);
            let reused = |what| total.reused(what) - before.reused(what);
            level(&mut app.codes_reused, Cause::CodeReused, reused(Reused::Code));
            level(&mut app.refresh_reused, Cause::RefreshReused, reused(Reused::RefreshToken));
        }
        let before = &self.before;
        for (level, cause, count) in [
            (&mut self.csrf_own_pages, Cause::CsrfRefusals, totals.csrf_own_pages - before.csrf_own_pages),
            (&mut self.panics, Cause::Panics, totals.panics - before.panics),
            (&mut self.outgoing_refused, Cause::OutgoingRefused, totals.outgoing_refused - before.outgoing_refused),
            (&mut self.handoffs_refused, Cause::HandoffsRefused, totals.handoffs_refused - before.handoffs_refused),
            (
                &mut self.sign_outs_undelivered,
                Cause::SignOutsUndelivered,
                totals.sign_outs_undelivered - before.sign_outs_undelivered,
            ),
        ] {
            notices.extend(level.minute(count).map(|step| step.notice(cause, None, now)));
        }
        self.before = totals.clone();
        notices
    }

    /// Takes how far the view is behind; every few seconds.
    pub fn feed(&mut self, lag: Duration, now: Timestamp) -> Option<Notice> {
        let notice = |state| Notice { cause: Cause::FeedUnreadable, app: None, state, at: now, count: 0, share: None };
        match &mut self.feed {
            Feed::Readable if lag > UNREADABLE => {
                self.feed = Feed::Unreadable { well_since: None };
                Some(notice(State::Raised))
            }
            Feed::Readable => None,
            Feed::Unreadable { well_since } if lag > MAXIMUM_LAG => {
                *well_since = None;
                None
            }
            Feed::Unreadable { well_since } => {
                let well = now.since(*well_since.get_or_insert(now)) >= READABLE;
                well.then(|| {
                    self.feed = Feed::Readable;
                    notice(State::Cleared)
                })
            }
        }
    }
}

fn minute(total: &AppTotals, before: &AppTotals) -> Minute {
    let less = |of: &dyn Fn(&AppTotals) -> u64| u32::try_from(of(total) - of(before)).unwrap_or(u32::MAX);
    Minute {
        answered: less(&AppTotals::answered),
        theft: less(&|total| total.of_class(InactiveClass::LooksLikeTheft) + total.conflicts),
        misconfiguration: less(&|total| total.of_class(InactiveClass::LooksLikeMisconfiguration)),
        refused: less(&|total| total.refused),
    }
}

fn pattern(alert: Alert, app: &AppKey, now: Timestamp) -> Notice {
    let (kind, state, count, share) = match alert {
        Alert::Raised { kind, count, share, baseline } => (kind, State::Raised, count.into(), Some((share, baseline))),
        Alert::Cleared { kind } => (kind, State::Cleared, 0, None),
    };
    Notice { cause: Cause::Pattern(kind), app: Some(app.clone()), state, at: now, count, share }
}

/// One count a minute, and whether it is too high.
#[derive(Debug)]
struct Level {
    least: u64,
    factor: f64,
    recent: VecDeque<u64>,
    /// The usual count of a minute, and from how many minutes it was learned.
    usual: f64,
    learned: u32,
    raised: Option<Incident>,
}

#[derive(Debug, Clone, Copy)]
struct Incident {
    ends_below: f64,
    calm: u32,
    age: u32,
}

enum Step {
    Raised(u64),
    Cleared,
}

impl Step {
    fn notice(self, cause: Cause, app: Option<&AppKey>, at: Timestamp) -> Notice {
        let (state, count) = match self {
            Self::Raised(count) => (State::Raised, count),
            Self::Cleared => (State::Cleared, 0),
        };
        Notice { cause, app: app.cloned(), state, at, count, share: None }
    }
}

impl Level {
    /// One is too many.
    fn any() -> Self {
        Self { least: 1, factor: 0.0, recent: VecDeque::new(), usual: 0.0, learned: 0, raised: None }
    }

    /// So many in five minutes, and four times the usual.
    fn above_usual(least: u64) -> Self {
        Self { least, factor: FACTOR, ..Self::any() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of five minutes is far below 2^52")]
    fn minute(&mut self, count: u64) -> Option<Step> {
        self.recent.push_back(count);
        let leaving = if self.recent.len() > RECENT { self.recent.pop_front() } else { None };
        let sum: u64 = self.recent.iter().sum();
        let Some(incident) = &mut self.raised else {
            // Learned as it leaves the five minutes, and not in an incident: that would become its own measure.
            if let Some(leaving) = leaving {
                self.learned = (self.learned + 1).min(DAY);
                self.usual += (leaving as f64 - self.usual) / f64::from(self.learned);
            }
            let threshold = (self.least as f64).max(self.factor * self.usual * RECENT as f64);
            if (sum as f64) < threshold {
                return None;
            }
            self.raised = Some(Incident { ends_below: (threshold / 2.0).max(1.0), calm: 0, age: 0 });
            return Some(Step::Raised(sum));
        };
        incident.age += 1;
        incident.calm = if (sum as f64) < incident.ends_below { incident.calm + 1 } else { 0 };
        if incident.calm < CALM && incident.age < DAY {
            return None;
        }
        if incident.calm == 0 {
            self.usual = sum as f64 / RECENT as f64;
        }
        self.raised = None;
        Some(Step::Cleared)
    }
}

#[cfg(test)]
mod tests {
    use hallpass_core::alert::AlertKind;
    use hallpass_core::audit::InactiveReason;
    use hallpass_store::view::AppEntry;

    use super::*;
    use crate::telemetry::{Delivery, Telemetry};

    const CSRF: &str = "csrf_refusals";

    struct World {
        telemetry: Telemetry,
        watcher: Watcher,
        pos: AppEntry,
        worked: HashSet<AppKey>,
        minutes: i64,
    }

    impl World {
        fn new(worked: bool) -> Self {
            let pos = crate::telemetry::tests::app("pos", 3);
            let worked = worked.then(|| pos.app.key.clone()).into_iter().collect();
            let telemetry = Telemetry::new(Timestamp::default());
            telemetry.know(std::slice::from_ref(&pos));
            Self { telemetry, watcher: Watcher::default(), pos, worked, minutes: 0 }
        }

        /// So many minutes in each of which the same happens; what changed, as `raised pos possible_theft`.
        fn minutes(&mut self, number: u32, happens: impl Fn(&Telemetry, &AppEntry)) -> Vec<String> {
            let mut changes = Vec::new();
            for _ in 0..number {
                happens(&self.telemetry, &self.pos);
                self.minutes += 1;
                let notices = self.watcher.minute(
                    &self.telemetry.totals(),
                    &self.worked,
                    Timestamp::from_seconds(self.minutes * 60),
                );
                let app = |notice: &Notice| notice.app.as_ref().map_or("engine", |app| app.as_str()).to_owned();
                changes.extend(
                    notices
                        .iter()
                        .map(|notice| format!("{} {} {}", notice.state.as_str(), app(notice), notice.cause.as_str())),
                );
            }
            changes
        }
    }

    fn answers(telemetry: &Telemetry, pos: &AppEntry, inactive: Option<InactiveReason>, number: u32) {
        (0..number).for_each(|_| telemetry.introspected(pos, inactive));
    }

    fn busy(telemetry: &Telemetry, pos: &AppEntry) {
        answers(telemetry, pos, None, 200);
        answers(telemetry, pos, Some(InactiveReason::Expired), 60);
    }

    #[test]
    fn theft_and_a_wrong_secret_are_different_alerts() {
        let mut world = World::new(true);
        assert!(world.watcher.strangers(&world.telemetry.totals()));
        assert_eq!(world.minutes(30, busy), [""; 0]);
        assert!(!world.watcher.strangers(&world.telemetry.totals()));
        let stolen = world.minutes(3, |telemetry, pos| {
            busy(telemetry, pos);
            answers(telemetry, pos, Some(InactiveReason::BadSignature), 20);
        });
        assert_eq!(stolen, ["raised pos possible_theft"]);
        assert_eq!(world.minutes(25, busy), ["cleared pos possible_theft"]);
        let deployed =
            world.minutes(5, |telemetry, pos| (0..30).for_each(|_| telemetry.app_credentials_refused(Some(pos))));
        assert_eq!(deployed, ["raised pos wrong_secret"]);
        let (kind, share) = (AlertKind::PossibleTheft, 0.5);
        let notice =
            pattern(Alert::Raised { kind, count: 9, share, baseline: 0.1 }, &world.pos.app.key, Timestamp::default());
        assert_eq!((notice.count, notice.share), (9, Some((0.5, 0.1))));
    }

    #[test]
    fn an_app_that_never_worked_is_being_set_up() {
        let refused =
            |telemetry: &Telemetry, pos: &AppEntry| (0..30).for_each(|_| telemetry.app_credentials_refused(Some(pos)));
        assert_eq!(World::new(false).minutes(10, refused), [""; 0]);
        assert_eq!(World::new(true).minutes(10, refused), ["raised pos wrong_secret"]);
    }

    #[test]
    fn a_single_conflict_or_panic_or_refused_address_is_told_once() {
        for (happens, told) in [
            ((|telemetry, pos| telemetry.pass_conflict(pos)) as fn(&Telemetry, &AppEntry), "pos pass_conflicts"),
            (|telemetry, pos| telemetry.reused(pos, Reused::Code), "pos code_reused"),
            (|telemetry, pos| telemetry.reused(pos, Reused::RefreshToken), "pos refresh_reused"),
            (|telemetry, _| telemetry.panicked(), "engine panics"),
            (|telemetry, _| telemetry.outgoing_refused(), "engine outgoing_refused"),
            (|telemetry, _| telemetry.logout(Delivery::Dead), "engine sign_outs_undelivered"),
            (|telemetry, _| (0..20).for_each(|_| telemetry.handoff_refused()), "engine handoffs_refused"),
        ] {
            let mut world = World::new(true);
            world.minutes(10, busy);
            assert_eq!(world.minutes(1, happens), [format!("raised {told}")]);
            assert_eq!(world.minutes(20, busy), [""; 0]);
            assert_eq!(world.minutes(1, happens), [""; 0], "again within half an hour: the same incident");
            // It stays in sight for four more minutes; then thirty of quiet.
            assert_eq!(world.minutes(33, busy), [""; 0]);
            assert_eq!(world.minutes(1, busy), [format!("cleared {told}")]);
            assert_eq!(world.minutes(1, happens), [format!("raised {told}")]);
        }
    }

    #[test]
    fn what_goes_on_for_ever_is_told_once_a_day() {
        let mut world = World::new(true);
        let told = world.minutes(2 * DAY, |telemetry, _| telemetry.panicked());
        assert_eq!(told, ["raised engine panics", "cleared engine panics", "raised engine panics"]);
    }

    #[test]
    fn requests_from_elsewhere_alert_above_their_own_usual() {
        let refused = |number: u32| {
            move |telemetry: &Telemetry, _: &AppEntry| (0..number).for_each(|_| telemetry.csrf_refused(None))
        };
        let mut world = World::new(true);
        assert_eq!(world.minutes(600, refused(3)), [""; 0], "fifteen in five minutes are few");
        assert_eq!(world.minutes(20, refused(10)), [""; 0], "and three times that is no spike");
        assert_eq!(world.minutes(5, refused(40)), [format!("raised engine {CSRF}")]);
        assert_eq!(world.minutes(60, refused(3)), [format!("cleared engine {CSRF}")]);
        let at_the_app = world.minutes(2, |telemetry, pos| (0..15).for_each(|_| telemetry.csrf_refused(Some(pos))));
        assert_eq!(at_the_app, [format!("raised pos {CSRF}")]);
    }

    #[test]
    fn a_feed_that_cannot_be_read_for_ten_seconds_is_told_and_flicker_is_not() {
        let mut watcher = Watcher::default();
        let mut at = |second: i64, lag: u64| {
            let notice = watcher.feed(Duration::from_secs(lag), Timestamp::from_seconds(second));
            notice.map(|notice| notice.state)
        };
        assert_eq!(
            [at(0, 0), at(5, 5), at(10, 10), at(15, 11), at(20, 16)],
            [None, None, None, Some(State::Raised), None]
        );
        assert_eq!([at(25, 0), at(80, 0), at(82, 4), at(90, 0), at(149, 0)], [None; 5]);
        assert_eq!([at(150, 0), at(155, 0)], [Some(State::Cleared), None]);
    }
}
