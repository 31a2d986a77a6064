//! The chain: one page after another of the browser's way through several root domains, to give each its pass after a sign-in, or to have each
//! take its cookie away after a sign-out. Protocol §8 "chain page", §9 number 5.
//!
//! The whole plan travels in the address, sealed: no row to write, nothing to clean up, any node can go on with it. Where the browser is in it
//! is what stands behind the dot, a letter for each zone that is over, so asking twice for the same place shows the same place.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::app::Origin;
use crate::crypto::{Random, Sealer};
use crate::id::{SessionId, ZoneName};
use crate::time::Timestamp;

/// The purpose of the key that chains are sealed with: `master_key.sealer(chain::SEALER)`.
pub const SEALER: &str = "handoff chain";
/// Zones that one chain visits. Browsers take a site that sends them through many others for a tracker.
pub const MAXIMUM_STEPS: usize = 5;
/// After so long a chain goes to its end, wherever it is.
pub const MAXIMUM_TIME: Duration = Duration::from_secs(6);
/// How long its address can still be opened, if only to go to the end.
const OPENS_FOR: Duration = Duration::from_mins(10);
/// The longest text that is looked at.
pub const MAXIMUM_LENGTH: usize = 2000;

/// What a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Each zone fetches its pass.
    SignIn,
    /// Each zone takes its cookie away.
    SignOut,
}

/// One zone on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The zone.
    pub zone: ZoneName,
    /// Who answers there for `/.sso/*`.
    pub agent: Origin,
}

/// How a zone was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// By its agent.
    Visited,
    /// Without it: it did not answer, or the person would not wait.
    Skipped,
}

impl Passage {
    const fn letter(self) -> char {
        match self {
            Self::Visited => 'v',
            Self::Skipped => 's',
        }
    }

    fn read(letter: char) -> Option<Self> {
        [Self::Visited, Self::Skipped].into_iter().find(|passage| passage.letter() == letter)
    }
}

/// A plan that has been begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// What for.
    pub purpose: Purpose,
    /// Whose session it is about.
    pub session: SessionId,
    /// The zones, in order.
    pub steps: Vec<Step>,
    /// Where it ends: an address that was checked when the chain was planned.
    pub destination: String,
    /// When it began, in milliseconds since the epoch.
    pub began_at: i64,
}

impl Chain {
    /// The text of its beginning. `None` if it would be longer than one that is looked at.
    pub fn seal(&self, sealer: &Sealer, random: &mut dyn Random) -> Option<String> {
        let plain = serde_json::to_vec(self).expect("texts and numbers");
        let text = format!("{}.", URL_SAFE_NO_PAD.encode(sealer.seal(&plain, b"", random)));
        (text.len() + self.steps.len() <= MAXIMUM_LENGTH).then_some(text)
    }

    /// Reads a text of [`seal`](Self::seal), and which steps are over by it.
    pub fn open(text: &str, sealer: &Sealer, now: Timestamp) -> Option<(Self, Vec<Passage>)> {
        if text.len() > MAXIMUM_LENGTH {
            return None;
        }
        let (sealed, over) = text.split_once('.')?;
        let chain: Self = serde_json::from_slice(&sealer.open(&URL_SAFE_NO_PAD.decode(sealed).ok()?, b"")?).ok()?;
        let over: Vec<Passage> = over.chars().map(Passage::read).collect::<Option<_>>()?;
        let ours = over.len() <= chain.steps.len() && now < Timestamp::from_millis(chain.began_at) + OPENS_FOR;
        ours.then_some((chain, over))
    }

    /// What is left of the time that all stops together have.
    pub fn left(&self, now: Timestamp) -> Duration {
        (Timestamp::from_millis(self.began_at) + MAXIMUM_TIME).since(now)
    }

    /// The step that comes when `over` are over; `None` when it is time to arrive.
    pub fn next(&self, over: usize, now: Timestamp) -> Option<&Step> {
        let late = now >= Timestamp::from_millis(self.began_at) + MAXIMUM_TIME;
        self.steps.get(over).filter(|_| !late)
    }
}

/// The same chain, one step on.
pub fn moved_on(text: &str, passage: Passage) -> String {
    format!("{text}{}", passage.letter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::crypto::tests::Seeded;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn chain(steps: usize) -> Chain {
        let step = |number: usize| Step {
            zone: format!("zone{number}").parse().expect("a name"),
            agent: format!("https://sso.company{number}.com").parse().expect("an origin"),
        };
        Chain {
            purpose: Purpose::SignIn,
            session: SessionId::from_bytes([1; 16]),
            steps: (0..steps).map(step).collect(),
            destination: format!("https://shop.company2.com/{}", "x".repeat(700)),
            began_at: NOW.as_millis(),
        }
    }

    #[test]
    fn a_chain_opens_whole_and_for_its_time_only() {
        let sealer = MasterKey::new([1; 32]).sealer(SEALER);
        let whole = chain(MAXIMUM_STEPS);
        let text = whole.seal(&sealer, &mut Seeded(1)).expect("fits");
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)));
        assert_eq!(Chain::open(&text, &sealer, NOW), Some((whole.clone(), vec![])));
        assert_eq!(Chain::open(&text, &sealer, NOW + OPENS_FOR), None);
        assert_eq!(Chain::open(&text, &MasterKey::new([2; 32]).sealer(SEALER), NOW), None);
        for cut in 0..text.len() {
            assert_eq!(Chain::open(&text[..cut], &sealer, NOW), None);
        }
        let (mut on, mut over) = (text.clone(), Vec::new());
        for passage in [Passage::Visited, Passage::Skipped, Passage::Skipped, Passage::Visited, Passage::Skipped] {
            on = moved_on(&on, passage);
            over.push(passage);
            assert_eq!(Chain::open(&on, &sealer, NOW), Some((whole.clone(), over.clone())));
        }
        for bad in [moved_on(&on, Passage::Visited), format!("{text}x"), format!("{text}1"), format!("{text}v.")] {
            assert_eq!(Chain::open(&bad, &sealer, NOW), None, "{bad}");
        }
    }

    #[test]
    fn a_chain_is_no_longer_at_its_end_than_what_is_looked_at() {
        let sealer = MasterKey::new([1; 32]).sealer(SEALER);
        let mut longest = chain(MAXIMUM_STEPS);
        while longest.seal(&sealer, &mut Seeded(1)).is_some() {
            longest.destination.push('x');
        }
        longest.destination.pop();
        let begun = longest.seal(&sealer, &mut Seeded(1)).expect("fits");
        let ended = (0..MAXIMUM_STEPS).fold(begun, |text, _| moved_on(&text, Passage::Visited));
        assert!(Chain::open(&ended, &sealer, NOW).is_some(), "{}", ended.len());
    }

    #[test]
    fn a_chain_ends_after_its_steps_or_after_six_seconds() {
        let two = chain(2);
        let zone = |position, now| two.next(position, now).map(|step| step.zone.to_string());
        assert_eq!(zone(0, NOW).as_deref(), Some("zone0"));
        let last = NOW + MAXIMUM_TIME - Duration::from_millis(1);
        assert_eq!(zone(1, last).as_deref(), Some("zone1"));
        assert_eq!((zone(2, NOW), zone(1, NOW + MAXIMUM_TIME)), (None, None));
        assert_eq!(two.left(NOW + Duration::from_secs(5)), Duration::from_secs(1));
        assert_eq!(two.left(NOW + Duration::from_secs(7)), Duration::ZERO);
    }
}
