//! What has happened in an app since the start: the last few entries, in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries kept.
const KEPT: usize = 8;

/// Money, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Amount(pub(crate) u32);

impl Amount {
    /// The most that is refunded at once.
    const MOST: Self = Self(100_000);

    /// Reads "12.50", "12,5" or "12". `None` for anything else, for nothing, and for more than 1,000.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.trim().split_once(['.', ',']).unwrap_or((text.trim(), ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 4 || part.len() > 2 || !digits(whole) || !digits(part) {
            return None;
        }
        let hundredths = format!("{part:0<2}").parse::<u32>().ok()?;
        let amount = Self(whole.parse::<u32>().ok()? * 100 + hundredths);
        (amount > Self(0) && amount <= Self::MOST).then_some(amount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Something that can be bought.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) price: Amount,
}

/// All that can be bought, in both apps.
pub(crate) const GOODS: [Good; 6] = [
    Good { key: "espresso", name: "Espresso", price: Amount(220) },
    Good { key: "cappuccino", name: "Cappuccino", price: Amount(340) },
    Good { key: "croissant", name: "Croissant", price: Amount(190) },
    Good { key: "sandwich", name: "Sandwich", price: Amount(580) },
    Good { key: "juice", name: "Orange juice", price: Amount(410) },
    Good { key: "beans", name: "Beans, 250 g", price: Amount(1250) },
];

/// The good with this key.
pub(crate) fn good(key: &str) -> Option<&'static Good> {
    GOODS.iter().find(|good| good.key == key)
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) user_id: String,
    pub(crate) by: String,
    pub(crate) what: String,
}

/// What has happened, newest first, and what is in the till.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    last: u64,
    entries: VecDeque<Entry>,
    till: Amount,
}

impl Ledger {
    /// Writes down that `by` did `what`, and gives its number.
    pub(crate) fn add(&self, user_id: &str, by: &str, what: String) -> u64 {
        let mut books = self.books();
        books.last += 1;
        let number = books.last;
        books.entries.push_front(Entry { number, user_id: user_id.to_owned(), by: by.to_owned(), what });
        books.entries.truncate(KEPT);
        number
    }

    /// The last few, newest first.
    pub(crate) fn recent(&self) -> Vec<Entry> {
        self.books().entries.iter().cloned().collect()
    }

    /// What is in the till.
    pub(crate) fn till(&self) -> Amount {
        self.books().till
    }

    /// Puts `amount` into the till.
    pub(crate) fn take(&self, amount: Amount) {
        let mut books = self.books();
        books.till = Amount(books.till.0.saturating_add(amount.0));
    }

    /// Empties the till and says what was in it.
    pub(crate) fn close_till(&self) -> Amount {
        std::mem::take(&mut self.books().till)
    }

    /// A panic elsewhere while the lock was held leaves the books usable: each change is a whole one.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, hundredths) in
            [("12.50", 1250), ("12,5", 1250), (" 12 ", 1200), ("0.01", 1), ("1000", 100_000), ("7.", 700)]
        {
            assert_eq!(Amount::parse(text), Some(Amount(hundredths)), "{text:?}");
        }
        for text in [
            "",
            ".",
            "0",
            "0.00",
            "-1",
            "+1",
            "1.005",
            "1000.01",
            "99999999999",
            "1e3",
            "1 000",
            "１２",
            "twelve",
            "1.2.3",
        ] {
            assert_eq!(Amount::parse(text), None, "{text:?}");
        }
        assert_eq!((Amount(1250).to_string(), Amount(5).to_string()), ("12.50".to_owned(), "0.05".to_owned()));
    }

    #[test]
    fn only_the_last_few_entries_are_kept_and_numbers_go_on() {
        let ledger = Ledger::default();
        for number in 1..=20 {
            assert_eq!(ledger.add("u_1", "ana", format!("Sold {number}")), number);
        }
        let recent = ledger.recent();
        assert_eq!((recent.len(), recent[0].number, recent[KEPT - 1].number), (KEPT, 20, 13));
    }

    #[test]
    fn a_till_is_emptied_once() {
        let ledger = Ledger::default();
        ledger.take(Amount(220));
        ledger.take(Amount(580));
        assert_eq!((ledger.till(), ledger.close_till(), ledger.close_till()), (Amount(800), Amount(800), Amount(0)));
    }
}
