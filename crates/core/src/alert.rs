//! When the pattern of introspection answers of one app deserves waking somebody (protocol §19): a baseline, and spikes above it.
//!
//! Every minute the server hands in what it answered this app in that minute and gets back which alerts began or ended. Three kinds, which
//! mean different things to whoever is woken:
//!
//! - **possible theft**: tokens that nobody was given, or carried to where they do not belong;
//! - **wrong secret**: the app itself is refused, after it used to be let in: a deploy with an old secret;
//! - **misconfiguration**: tokens that are ours, but of keys, addresses or versions that this engine does not have.
//!
//! Ordinary inactive answers never alert: on Monday morning every pass has expired.
//!
//! **The rule**, per kind, over the last five minutes: at least [`LEAST`] such answers, and at least 2 % of all, and at least four times the
//! app's own long-term share. The long-term share learns minutes only as they leave those five, and not while an alert lasts, so an incident does not
//! become its own baseline. **One incident is one alert**: it ends after 15 minutes in a row below half of the share that began it. Two exceptions, so
//! that nobody hides behind an alert that is already there: four times its height is told again, and after a day it ends as this app's new usual.

use std::collections::VecDeque;

use crate::audit::{InactiveClass, InactiveReason};

/// Fewer of a kind in the last five minutes never alert: one person with a broken browser is no incident.
pub const LEAST: u32 = 10;
/// Minutes that are looked at together.
const RECENT: u32 = 5;
/// Below this share of all answers nothing alerts.
const SHARE_FLOOR: f64 = 0.02;
/// How far above its own baseline an app has to be.
const FACTOR: f64 = 4.0;
/// Minutes of calm that end an alert.
const CALM: u32 = 15;
/// Minutes over which the baseline forgets, and after which an alert is the new usual: a day.
const DAY: u32 = 1440;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// Forged, transplanted or tossed tokens.
    PossibleTheft,
    /// The app presents a secret that is not, or no longer, one of its own.
    WrongSecret,
    /// Keys, issuer or versions do not match.
    Misconfiguration,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PossibleTheft, Self::WrongSecret, Self::Misconfiguration];

    /// For log, metrics, webhook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PossibleTheft => "possible_theft",
            Self::WrongSecret => "wrong_secret",
            Self::Misconfiguration => "misconfiguration",
        }
    }

    /// What a person reads.
    pub fn summary(self) -> &'static str {
        match self {
            Self::PossibleTheft => {
                "Looks like theft: forged passes, passes of another zone, or conflicting passes in one browser."
            }
            Self::WrongSecret => "Looks like a wrong secret: the app used to be let in and is now refused.",
            Self::Misconfiguration => {
                "Looks like a misconfiguration: tokens of keys, addresses or versions that this engine does not have."
            }
        }
    }
}

/// What one app was answered in one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Answers to the app, active or not.
    pub answered: u32,
    /// Inactive answers of [`InactiveClass::LooksLikeTheft`], and pass conflicts that the app reported.
    pub theft: u32,
    /// Inactive answers of [`InactiveClass::LooksLikeMisconfiguration`].
    pub misconfiguration: u32,
    /// Calls with this app's key and a wrong secret (401).
    pub refused: u32,
}

impl Minute {
    /// Counts one answer; `None` is an active one.
    pub fn count(&mut self, inactive: Option<InactiveReason>) {
        self.answered = self.answered.saturating_add(1);
        match inactive.map(InactiveReason::class) {
            None | Some(InactiveClass::Ordinary) => {}
            Some(InactiveClass::LooksLikeTheft) => self.theft = self.theft.saturating_add(1),
            Some(InactiveClass::LooksLikeMisconfiguration) => {
                self.misconfiguration = self.misconfiguration.saturating_add(1);
            }
        }
    }

    /// Counts one pass conflict; the answers that showed it are counted by [`Minute::count`].
    pub fn count_conflict(&mut self) {
        self.theft = self.theft.saturating_add(1);
    }

    /// Counts one call with a wrong secret.
    pub fn count_refused(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    fn of(&self, kind: AlertKind) -> u32 {
        match kind {
            AlertKind::PossibleTheft => self.theft,
            AlertKind::WrongSecret => self.refused,
            AlertKind::Misconfiguration => self.misconfiguration,
        }
    }

    fn all(&self) -> u32 {
        self.answered.saturating_add(self.refused)
    }
}

/// An alert began or ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alert {
    /// Tell somebody.
    Raised {
        /// What it looks like.
        kind: AlertKind,
        /// How many in the last five minutes.
        count: u32,
        /// Their share of all answers, 0 to 1.
        share: f64,
        /// The app's own long-term share.
        baseline: f64,
    },
    /// It is over.
    Cleared {
        /// What it looked like.
        kind: AlertKind,
    },
}

/// The memory of one app: small, kept by the process, lost with it.
#[derive(Debug, Clone)]
pub struct Watch {
    recent: VecDeque<Minute>,
    kinds: [Kind; 3],
    /// The app was let in at least once.
    worked: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    baseline: f64,
    /// From how many minutes, up to a day's.
    learned: u32,
    raised: Option<Incident>,
}

#[derive(Debug, Clone, Copy)]
struct Incident {
    /// Below this share it is calm.
    ends_below: f64,
    /// For how many minutes it has been.
    calm: u32,
    /// The highest share since it was told.
    peak: f64,
    /// Minutes since it was told.
    told: u32,
    /// Minutes since it began.
    age: u32,
}

impl Watch {
    /// `worked`: whether one of the app's secrets was ever used. Without that, refusals are somebody setting up a new app.
    pub fn new(worked: bool) -> Self {
        Self { recent: VecDeque::new(), kinds: [Kind::default(); 3], worked }
    }

    /// Takes one minute, quiet ones too, and says what changed.
    pub fn minute(&mut self, minute: Minute) -> Vec<Alert> {
        let worked_before = self.worked;
        self.worked |= minute.answered > 0;
        self.recent.push_back(minute);
        let leaving = if self.recent.len() > RECENT as usize { self.recent.pop_front() } else { None };
        let sum = |count: &dyn Fn(&Minute) -> u32| self.recent.iter().map(count).fold(0, u32::saturating_add);
        let all = sum(&Minute::all);
        let mut changes = Vec::new();
        for (kind, state) in AlertKind::ALL.into_iter().zip(&mut self.kinds) {
            let count = sum(&|minute| minute.of(kind));
            let share = share(count, all);
            if let Some(leaving) = leaving.filter(|leaving| state.raised.is_none() && leaving.all() > 0) {
                state.learn(self::share(leaving.of(kind), leaving.all()));
            }
            let threshold = SHARE_FLOOR.max(FACTOR * state.baseline);
            let told = Alert::Raised { kind, count, share, baseline: state.baseline };
            match &mut state.raised {
                None => {
                    let counts = kind != AlertKind::WrongSecret || worked_before;
                    if counts && count >= LEAST && share >= threshold {
                        state.raised =
                            Some(Incident { ends_below: threshold / 2.0, calm: 0, peak: share, told: 0, age: 0 });
                        changes.push(told);
                    }
                }
                Some(incident) => {
                    incident.age += 1;
                    incident.told += 1;
                    incident.calm =
                        if count < LEAST / 2 || share < incident.ends_below { incident.calm + 1 } else { 0 };
                    if incident.calm >= CALM || incident.age >= DAY {
                        if incident.calm == 0 {
                            state.baseline = share;
                        }
                        state.raised = None;
                        changes.push(Alert::Cleared { kind });
                    } else if incident.told <= RECENT {
                        // The five minutes are still filling with it.
                        incident.peak = incident.peak.max(share);
                    } else if count >= LEAST && share >= FACTOR * incident.peak {
                        (incident.peak, incident.told) = (share, 0);
                        changes.push(told);
                    }
                }
            }
        }
        changes
    }
}

impl Kind {
    /// The plain mean of the first day's minutes, then one that forgets.
    fn learn(&mut self, share: f64) {
        self.learned = (self.learned + 1).min(DAY);
        self.baseline += (share - self.baseline) / f64::from(self.learned);
    }
}

fn share(count: u32, all: u32) -> f64 {
    // Conflicts are counted beside answers, so more than all is possible.
    if all == 0 { 0.0 } else { (f64::from(count) / f64::from(all)).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Minute = Minute { answered: 1000, theft: 0, misconfiguration: 0, refused: 0 };

    /// A watch after a day of `minute`, which must have been quiet.
    fn after_a_day_of(minute: Minute) -> Watch {
        let mut watch = Watch::new(false);
        for _ in 0..1440 {
            assert_eq!(watch.minute(minute), []);
        }
        watch
    }

    fn kinds(alerts: &[Alert]) -> Vec<(bool, AlertKind)> {
        alerts
            .iter()
            .map(|alert| match alert {
                Alert::Raised { kind, .. } => (true, *kind),
                Alert::Cleared { kind } => (false, *kind),
            })
            .collect()
    }

    fn run(watch: &mut Watch, minute: Minute, times: usize) -> Vec<(bool, AlertKind)> {
        (0..times).flat_map(|_| kinds(&watch.minute(minute))).collect()
    }

    #[test]
    fn expired_passes_never_alert_not_even_all_at_once() {
        let mut watch = after_a_day_of(BUSY);
        let mut monday = Minute::default();
        let ordinary = InactiveReason::ALL.iter().filter(|reason| reason.class() == InactiveClass::Ordinary);
        for reason in ordinary {
            (0..500).for_each(|_| monday.count(Some(*reason)));
        }
        assert_eq!(monday, Minute { answered: monday.answered, ..Minute::default() });
        assert!(monday.answered > BUSY.answered);
        assert_eq!(run(&mut watch, monday, 60), []);
    }

    #[test]
    fn a_burst_of_forged_or_transplanted_passes_or_conflicts_looks_like_theft() {
        for reason in [Some(InactiveReason::BadSignature), Some(InactiveReason::WrongZone), None] {
            let mut watch = after_a_day_of(BUSY);
            let mut minute = BUSY;
            for _ in 0..50 {
                if reason.is_none() {
                    minute.count_conflict();
                }
                minute.count(reason);
            }
            assert_eq!(run(&mut watch, minute, 5), [(true, AlertKind::PossibleTheft)], "{reason:?}");
        }
    }

    #[test]
    fn a_wrong_secret_after_it_worked_is_an_alert_of_its_own() {
        let mut refused = Minute::default();
        (0..LEAST).for_each(|_| refused.count_refused());
        let mut watch = after_a_day_of(BUSY);
        // In the first minute the answers of the last four are still in sight; every call since is refused.
        assert_eq!(run(&mut watch, refused, 10), [(true, AlertKind::WrongSecret)]);
        assert_eq!(run(&mut Watch::new(false), refused, 60), [], "an app that is being set up");
        assert_eq!(
            run(&mut Watch::new(true), refused, 60),
            [(true, AlertKind::WrongSecret)],
            "the engine was restarted"
        );
    }

    #[test]
    fn foreign_keys_and_versions_look_like_a_misconfiguration() {
        let mut watch = after_a_day_of(BUSY);
        let mut minute = Minute::default();
        (0..100).for_each(|_| minute.count(Some(InactiveReason::UnknownKey)));
        assert_eq!(run(&mut watch, minute, 5), [(true, AlertKind::Misconfiguration)]);
    }

    #[test]
    fn few_or_usual_ones_do_not_alert() {
        let mut watch = after_a_day_of(BUSY);
        let few = Minute { answered: 3, theft: 1, ..Minute::default() };
        assert_eq!(run(&mut watch, few, 5), [], "five in five minutes, though a third of all");
        // 3 % have always been odd at this app: three times that is no spike, five times is.
        // 3 % have been odd at this app from the first minute: told once, and after a day that is its usual.
        let mut watch = Watch::new(true);
        let usual = run(&mut watch, Minute { theft: 30, ..BUSY }, 3000);
        assert_eq!(usual, [(true, AlertKind::PossibleTheft), (false, AlertKind::PossibleTheft)]);
        assert_eq!(run(&mut watch, Minute { theft: 90, ..BUSY }, 20), [], "three times that is no spike");
        assert_eq!(run(&mut watch, Minute { theft: 200, ..BUSY }, 20), [(true, AlertKind::PossibleTheft)]);
    }

    #[test]
    fn nobody_hides_behind_an_alert_that_is_already_there() {
        let mut watch = after_a_day_of(BUSY);
        assert_eq!(run(&mut watch, Minute { theft: 30, ..BUSY }, 60), [(true, AlertKind::PossibleTheft)]);
        assert_eq!(run(&mut watch, Minute { theft: 60, ..BUSY }, 60), []);
        assert_eq!(run(&mut watch, Minute { theft: 400, ..BUSY }, 60), [(true, AlertKind::PossibleTheft)]);
        assert_eq!(run(&mut watch, BUSY, 20), [(false, AlertKind::PossibleTheft)], "and it ends once");
    }

    #[test]
    fn one_incident_is_one_alert_however_it_flickers() {
        let mut watch = after_a_day_of(BUSY);
        let attack = Minute { theft: 200, ..BUSY };
        let mut alerts = Vec::new();
        for _ in 0..40 {
            alerts.extend(run(&mut watch, attack, 2));
            alerts.extend(run(&mut watch, BUSY, 12));
        }
        assert_eq!(alerts, [(true, AlertKind::PossibleTheft)]);
        // Five minutes until the last of it is out of sight (four of them above the end), then fifteen of calm.
        assert_eq!(run(&mut watch, attack, 1), []);
        assert_eq!(run(&mut watch, BUSY, 18), []);
        assert_eq!(run(&mut watch, BUSY, 1), [(false, AlertKind::PossibleTheft)]);
        assert_eq!(run(&mut watch, attack, 1), [(true, AlertKind::PossibleTheft)], "the next one is a new one");
    }

    #[test]
    fn an_incident_does_not_become_its_own_baseline() {
        let mut watch = after_a_day_of(BUSY);
        let attack = Minute { theft: 500, ..BUSY };
        assert_eq!(run(&mut watch, attack, 1000), [(true, AlertKind::PossibleTheft)]);
        assert_eq!(
            run(&mut watch, Minute::default(), 30),
            [(false, AlertKind::PossibleTheft)],
            "also when nobody calls"
        );
        assert_eq!(run(&mut watch, attack, 1), [(true, AlertKind::PossibleTheft)]);
    }

    #[test]
    fn counts_at_the_end_of_their_type_do_not_wrap() {
        let most = Minute { answered: u32::MAX, theft: u32::MAX, misconfiguration: u32::MAX, refused: u32::MAX };
        let mut minute = most;
        minute.count(Some(InactiveReason::BadSignature));
        minute.count_conflict();
        minute.count_refused();
        assert_eq!(minute, most);
        assert_eq!(run(&mut Watch::new(true), most, 10).len(), 3);
    }
}
