//! Counters of each app, found by its slot without a lock and without hashing: a few tables, each twice as long as the one before,
//! made when first needed and never moved.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hallpass_core::audit::{InactiveClass, InactiveReason};
use hallpass_core::id::AppKey;
use hallpass_core::oidc::GrantRefused;
use hallpass_store::view::AppEntry;

use super::Count;

/// How many reasons there are.
pub(super) const REASONS: usize = InactiveReason::ALL.len();
/// Apps in the first table.
const FIRST: usize = 64;
/// Enough for every slot there can be: 64 × (2²⁷ − 1) > 2³².
const TABLES: usize = 27;

/// What ends everything that came of it when it comes again: one of the two who showed it was not the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reused {
    /// An authorization code, or a device's.
    Code,
    /// A refresh token.
    RefreshToken,
}

impl Reused {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Code, Self::RefreshToken];

    /// What a refused grant means in this respect.
    pub fn of(refused: GrantRefused) -> Option<Self> {
        match refused {
            GrantRefused::CodeReused => Some(Self::Code),
            GrantRefused::RefreshTokenReused => Some(Self::RefreshToken),
            _ => None,
        }
    }

    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// Counters of one app. On cache lines of its own: two busy apps do not slow each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct AppCounts {
    key: OnceLock<AppKey>,
    active: Count,
    inactive: [Count; REASONS],
    /// Calls with this app's key and a wrong secret.
    pub refused: Count,
    /// Requests with passes of several sessions.
    pub conflicts: Count,
    /// Requests from elsewhere, or without their token.
    pub csrf: Count,
    /// Credentials that came again after they were used up, as [`Reused`].
    pub reused: [Count; 2],
    /// Codes, refresh tokens and other credentials that brought no tokens.
    pub grants_refused: Count,
}

impl AppCounts {
    /// One answer of introspection; `None` is an active one.
    pub fn answered(&self, inactive: Option<InactiveReason>) {
        match inactive {
            None => self.active.add(),
            Some(reason) => self.inactive[reason as usize].add(),
        }
    }
}

/// Counters of all apps.
#[derive(Debug, Default)]
pub struct Apps {
    tables: [OnceLock<Box<[AppCounts]>>; TABLES],
}

impl Apps {
    /// Those of one app. A slot is never given to another app, so whoever counts first may write the name down.
    pub fn of(&self, app: &AppEntry) -> &AppCounts {
        self.at(app.slot, &app.app.key)
    }

    fn at(&self, slot: u32, key: &AppKey) -> &AppCounts {
        let (table, place) = place(slot);
        let counts = self.tables[table].get_or_init(|| (0..FIRST << table).map(|_| AppCounts::default()).collect());
        let counts = &counts[place];
        counts.key.get_or_init(|| key.clone());
        counts
    }

    /// All apps by name. One that was removed and added again has had two slots: their sum, so that a counter never falls.
    pub fn totals(&self) -> BTreeMap<AppKey, AppTotals> {
        let mut totals: BTreeMap<AppKey, AppTotals> = BTreeMap::new();
        for counts in self.tables.iter().filter_map(OnceLock::get).flatten() {
            let Some(key) = counts.key.get() else { continue };
            let total = totals.entry(key.clone()).or_default();
            total.active += counts.active.read();
            total.inactive.iter_mut().zip(&counts.inactive).for_each(|(total, count)| *total += count.read());
            total.refused += counts.refused.read();
            total.conflicts += counts.conflicts.read();
            total.csrf += counts.csrf.read();
            total.grants_refused += counts.grants_refused.read();
            total.reused.iter_mut().zip(&counts.reused).for_each(|(total, count)| *total += count.read());
        }
        totals
    }
}

/// Which table, and where in it.
fn place(slot: u32) -> (usize, usize) {
    let number = slot as usize + FIRST;
    let table = (number.ilog2() - FIRST.ilog2()) as usize;
    (table, number - (FIRST << table))
}

/// A reading of one app's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppTotals {
    /// Active answers.
    pub active: u64,
    inactive: [u64; REASONS],
    /// Calls with this app's key and a wrong secret.
    pub refused: u64,
    /// Requests with passes of several sessions.
    pub conflicts: u64,
    /// Requests from elsewhere, or without their token.
    pub csrf: u64,
    reused: [u64; 2],
    /// Codes, refresh tokens and other credentials that brought no tokens.
    pub grants_refused: u64,
}

impl AppTotals {
    /// Inactive answers for one reason.
    pub fn inactive(&self, reason: InactiveReason) -> u64 {
        self.inactive[reason as usize]
    }

    /// Inactive answers of one class.
    pub fn of_class(&self, class: InactiveClass) -> u64 {
        let of_class = InactiveReason::ALL.iter().filter(|reason| reason.class() == class);
        of_class.map(|reason| self.inactive(*reason)).sum()
    }

    /// Credentials of one kind that came again.
    pub fn reused(&self, what: Reused) -> u64 {
        self.reused[what as usize]
    }

    /// All answers.
    pub fn answered(&self) -> u64 {
        self.active + self.inactive.iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AppKey {
        name.parse().expect("an app key")
    }

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        assert_eq!([0, 63, 64, 191, 192].map(place), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
        let (table, place) = place(u32::MAX);
        assert!(table < TABLES && place < FIRST << table);
    }

    #[test]
    fn counts_stay_with_their_app() {
        let apps = Apps::default();
        for (slot, name) in [(0, "pos"), (64, "cashier"), (5000, "stock")] {
            for _ in 0..=slot {
                apps.at(slot, &key(name)).answered(None);
            }
        }
        apps.at(0, &key("pos")).answered(Some(InactiveReason::BadSignature));
        let totals = apps.totals();
        assert_eq!(totals.values().map(|total| total.active).collect::<Vec<_>>(), [65, 1, 5001], "cashier, pos, stock");
        let pos = totals[&key("pos")];
        assert_eq!((pos.inactive(InactiveReason::BadSignature), pos.inactive(InactiveReason::Expired)), (1, 0));
        assert_eq!((pos.of_class(InactiveClass::LooksLikeTheft), pos.answered()), (1, 2));
    }

    #[test]
    fn an_app_that_came_back_is_one_app() {
        let apps = Apps::default();
        apps.at(1, &key("pos")).refused.add();
        apps.at(2, &key("pos")).refused.add();
        assert_eq!(
            apps.totals().into_iter().map(|(key, total)| (key, total.refused)).collect::<Vec<_>>(),
            [(key("pos"), 2)]
        );
    }
}
