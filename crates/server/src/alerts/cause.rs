//! What alerts there are, and the words for them: log, audit entry, subject and text.

use std::fmt::Write as _;

use hallpass_core::alert::AlertKind;
use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::crypto::Random;
use hallpass_core::id::AppKey;
use hallpass_core::time::Timestamp;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The pattern of one app's answers.
    Pattern(AlertKind),
    /// One browser showed passes of several sessions.
    PassConflicts,
    /// Many more requests from other sites than usual.
    CsrfRefusals,
    /// A code was redeemed twice.
    CodeReused,
    /// A refresh token came again that had been replaced.
    RefreshReused,
    /// A handler panicked.
    Panics,
    /// The change feed could not be read for ten seconds.
    FeedUnreadable,
    /// A request to a configured address was not sent.
    OutgoingRefused,
    /// Many more handoffs than usual came back that their browsers did not begin.
    HandoffsRefused,
    /// An app could not be told of a sign-out for a day.
    SignOutsUndelivered,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Pattern(AlertKind::PossibleTheft),
        Self::Pattern(AlertKind::WrongSecret),
        Self::Pattern(AlertKind::Misconfiguration),
        Self::PassConflicts,
        Self::CsrfRefusals,
        Self::CodeReused,
        Self::RefreshReused,
        Self::Panics,
        Self::FeedUnreadable,
        Self::OutgoingRefused,
        Self::HandoffsRefused,
        Self::SignOutsUndelivered,
    ];

    /// For log, metrics, webhook; the name of its section in `docs/alerts/README.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pattern(kind) => kind.as_str(),
            Self::PassConflicts => "pass_conflicts",
            Self::CsrfRefusals => "csrf_refusals",
            Self::CodeReused => "code_reused",
            Self::RefreshReused => "refresh_reused",
            Self::Panics => "panics",
            Self::FeedUnreadable => "feed_unreadable",
            Self::OutgoingRefused => "outgoing_refused",
            Self::HandoffsRefused => "handoffs_refused",
            Self::SignOutsUndelivered => "sign_outs_undelivered",
        }
    }

    /// For the subject of a mail.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pattern(AlertKind::PossibleTheft) => "possible theft of passes",
            Self::Pattern(AlertKind::WrongSecret) => "wrong app secret",
            Self::Pattern(AlertKind::Misconfiguration) => "possible misconfiguration",
            Self::PassConflicts => "conflicting passes in one browser",
            Self::CsrfRefusals => "many requests from other sites",
            Self::CodeReused => "a code was used twice",
            Self::RefreshReused => "an old refresh token was used",
            Self::Panics => "a defect in the engine",
            Self::FeedUnreadable => "the change feed cannot be read",
            Self::OutgoingRefused => "an outgoing request was refused",
            Self::HandoffsRefused => "many handoffs that no browser began",
            Self::SignOutsUndelivered => "an app was not told of a sign-out",
        }
    }

    /// What a person reads.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Pattern(kind) => kind.summary(),
            Self::PassConflicts => {
                "One request carried passes of different sessions: a sibling site may be planting cookies, or two people share a browser."
            }
            Self::CsrfRefusals => {
                "Far more requests than usual came from other sites or without their token: an attack, or an app whose forms are broken."
            }
            Self::CodeReused => {
                "An authorization code was redeemed a second time, by somebody who knows its verifier. Everything that came of it has been ended: one of the two was not the app, or the app sends its requests twice."
            }
            Self::RefreshReused => {
                "A refresh token was used that had been replaced before. All tokens of that sign-in have been ended: somebody has a copy of what only the app should have, or the app loses what it is given."
            }
            Self::Panics => {
                "A handler of the engine panicked. The request got a 500; the log has the place in the source."
            }
            Self::FeedUnreadable => {
                "For ten seconds this node could not read changes from its database. Until it can, it answers from the database or 503."
            }
            Self::OutgoingRefused => {
                "A configured address is, or resolves to, an internal one. The request was not sent."
            }
            Self::HandoffsRefused => {
                "Far more handoffs than usual came back that their browser did not begin, or whose code was used or no good: somebody hands links around, or cookies do not arrive."
            }
            Self::SignOutsUndelivered => {
                "An app could not be told of a sign-out for a day. Whatever it asks is answered with \"signed out\"; what it remembers by itself is not cleared."
            }
        }
    }

    /// The same, where the order does not matter but there must be one.
    fn order(self) -> usize {
        Self::ALL.iter().position(|cause| *cause == self).unwrap_or(Self::ALL.len())
    }
}

impl PartialOrd for Cause {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cause {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// Whether it begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has begun, or has become much worse.
    Raised,
    /// It is over.
    Cleared,
}

impl State {
    /// For log, webhook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
        }
    }
}

/// An alert that began or ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// About what.
    pub cause: Cause,
    /// Which app; none if it concerns the engine.
    pub app: Option<AppKey>,
    /// Begins or ends.
    pub state: State,
    /// When.
    pub at: Timestamp,
    /// How many in the last five minutes; zero at its end.
    pub count: u64,
    /// Of an app's answers: their share and the app's usual one, 0 to 1.
    pub share: Option<(f64, f64)>,
}

impl Notice {
    /// The minute, alert and app that it is about: the same incident seen by two nodes in one minute has one name.
    pub fn id(&self) -> String {
        let app = self.app.as_ref().map_or("", AppKey::as_str);
        format!("alert:{}:{app}:{}:{}", self.cause.as_str(), self.state.as_str(), self.at.as_seconds().div_euclid(60))
    }

    /// To the log, for whoever collects it.
    pub fn log(&self) {
        let (alert, app) = (self.cause.as_str(), self.app.as_ref().map(tracing::field::display));
        match self.state {
            State::Raised => {
                let (share, baseline) = self.share.unzip();
                tracing::warn!(
                    alert,
                    app,
                    count = self.count,
                    share,
                    baseline,
                    "alert raised: {}",
                    self.cause.summary()
                );
            }
            State::Cleared => tracing::warn!(alert, app, "alert cleared"),
        }
    }

    /// For the audit log.
    pub fn entry(&self, random: &mut dyn Random) -> Entry {
        let event = match self.state {
            State::Raised => Event::AlertRaised,
            State::Cleared => Event::AlertCleared,
        };
        let mut entry = Entry::new(event, Actor::System, self.at, random).with("alert", &Word(self.cause.as_str()));
        if let Some(app) = &self.app {
            entry = entry.app(app);
        }
        if self.state == State::Raised {
            entry = entry.with("count", &self.count);
        }
        if let Some((share, baseline)) = self.share {
            entry = entry
                .with("share_per_thousand", &per_thousand(share))
                .with("baseline_per_thousand", &per_thousand(baseline));
        }
        entry
    }

    /// One line: what, and which app.
    pub fn subject(&self) -> String {
        let over = if self.state == State::Cleared { "over: " } else { "" };
        let app = self.app.as_ref().map(|app| format!(" at {app}")).unwrap_or_default();
        format!("Hallpass: {over}{}{app}", self.cause.title())
    }

    /// Plain text for a mail. `engine` is the public address.
    pub fn text(&self, engine: &str) -> String {
        let mut text = match self.state {
            State::Raised => format!("{}\n\n", self.cause.summary()),
            State::Cleared => format!("It is over: {}.\n\n", self.cause.title()),
        };
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<10}{value}");
        };
        line("Engine:", engine);
        if let Some(app) = &self.app {
            line("App:", app.as_str());
        }
        line("Alert:", self.cause.as_str());
        line("When:", &written(self.at));
        if self.state == State::Raised {
            line("How many:", &format!("{} in the last five minutes", self.count));
        }
        if let Some((share, baseline)) = self.share {
            line("Share:", &format!("{:.1} % of its answers; usually {:.1} %", share * 100.0, baseline * 100.0));
        }
        text.push_str("\nThe audit log has the same entry. What to do is in docs/alerts/README.md.\n");
        text
    }

    /// For a webhook. `text` is there for receivers that show one line.
    pub fn json(&self, engine: &str) -> serde_json::Value {
        let (share, baseline) = self.share.unzip();
        serde_json::json!({
            "id": self.id(),
            "alert": self.cause.as_str(),
            "state": self.state.as_str(),
            "app": self.app.as_ref().map(AppKey::as_str),
            "at": written(self.at),
            "count": self.count,
            "share": share,
            "baseline": baseline,
            "engine": engine,
            "summary": self.cause.summary(),
            "text": self.subject(),
        })
    }
}

fn per_thousand(share: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let rounded = (share.clamp(0.0, 1.0) * 1000.0).round() as u32;
    rounded
}

/// RFC 3339.
fn written(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| at.as_millis().to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hallpass_core::crypto::SystemRandom;

    use super::*;

    fn notice(state: State) -> Notice {
        Notice {
            cause: Cause::Pattern(AlertKind::PossibleTheft),
            app: Some("pos".parse().expect("an app key")),
            state,
            at: Timestamp::from_seconds(1_700_000_000),
            count: 41,
            share: (state == State::Raised).then_some((0.25, 0.001)),
        }
    }

    #[test]
    fn every_cause_has_words_of_its_own_and_a_section_in_the_manual() {
        let manual = include_str!("../../../../docs/alerts/README.md");
        for cause in Cause::ALL {
            assert!(manual.contains(&format!("## `{}`", cause.as_str())), "{} is not explained", cause.as_str());
        }
        for words in [Cause::as_str, Cause::title, Cause::summary] {
            assert_eq!(Cause::ALL.map(words).into_iter().collect::<HashSet<_>>().len(), Cause::ALL.len());
        }
    }

    #[test]
    fn a_mail_says_what_and_which_app() {
        let raised = notice(State::Raised);
        assert_eq!(raised.subject(), "Hallpass: possible theft of passes at pos");
        assert_eq!(notice(State::Cleared).subject(), "Hallpass: over: possible theft of passes at pos");
        let text = raised.text("https://auth.company.com");
        for line in [
            "App:      pos",
            "When:     2023-11-14T22:13:20Z",
            "How many: 41 in the last five minutes",
            "Share:    25.0 % of its answers; usually 0.1 %",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn a_webhook_and_the_audit_log_get_the_numbers() {
        let raised = notice(State::Raised);
        let json = raised.json("https://auth.company.com");
        assert_eq!(
            (&json["alert"], &json["state"], &json["app"], &json["share"]),
            (&"possible_theft".into(), &"raised".into(), &"pos".into(), &0.25.into())
        );
        assert_eq!(json["id"], "alert:possible_theft:pos:raised:28333333");
        let entry = raised.entry(&mut SystemRandom);
        assert_eq!(entry.event, Event::AlertRaised);
        assert_eq!(
            entry.detail,
            serde_json::json!({ "alert": "possible_theft", "count": 41, "share_per_thousand": 250, "baseline_per_thousand": 1 })
        );
        assert_eq!(notice(State::Cleared).entry(&mut SystemRandom).event, Event::AlertCleared);
    }
}
