//! What a refresh token is worth: the newest of its family is exchanged, the one before it repeats the last answer for ten seconds, and any
//! other was stolen or its successor was. Protocol §11; RFC 9700 §4.14.2. Generations are counted, not timed (advisory T18).

use std::time::Duration;

use crate::time::Timestamp;

/// How long whoever lost a race, or an answer, gets the same answer again.
const RETRY: Duration = Duration::from_secs(10);

/// How long refresh tokens are good for (protocol §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// One that nobody has used for so long is good no longer.
    pub inactivity: Duration,
    /// What came of one code ends after this, however often it was refreshed.
    pub absolute: Duration,
    /// `inactivity` with `offline_access`.
    pub offline_inactivity: Duration,
    /// `absolute` with `offline_access`.
    pub offline_absolute: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            inactivity: Duration::from_hours(24),
            absolute: Duration::from_hours(7 * 24),
            offline_inactivity: Duration::from_hours(30 * 24),
            offline_absolute: Duration::from_hours(180 * 24),
        }
    }
}

impl RefreshPolicy {
    /// Inactivity and absolute lifetime.
    pub fn lifetimes(&self, offline: bool) -> (Duration, Duration) {
        if offline { (self.offline_inactivity, self.offline_absolute) } else { (self.inactivity, self.absolute) }
    }
}

/// What to do about a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// It is the newest: exchange it.
    Current,
    /// Its successor was made a moment ago and has not been used: answer the same again.
    JustReplaced,
    /// Somebody uses an old one: end the family.
    Reused,
}

/// Judges a token by its generation and that of its family, whose newest token was made at `rotated_at`.
pub fn presented(token: i64, family: i64, rotated_at: Timestamp, now: Timestamp) -> Presented {
    if token == family {
        Presented::Current
    } else if token + 1 == family && now.since(rotated_at) < RETRY {
        // Once its successor is used the family is a generation further.
        Presented::JustReplaced
    } else {
        Presented::Reused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_before_is_repeated_and_for_ten_seconds_only() {
        let at = Timestamp::from_seconds(1_800_000_000);
        let soon = at + Duration::from_millis(9_999);
        assert_eq!(presented(3, 3, at, soon), Presented::Current);
        assert_eq!(presented(2, 3, at, soon), Presented::JustReplaced);
        assert_eq!(presented(2, 3, at, at + RETRY), Presented::Reused);
        assert_eq!(presented(1, 3, at, at), Presented::Reused);
        assert_eq!(presented(4, 3, at, at), Presented::Reused, "of a database that was set back");
    }
}
