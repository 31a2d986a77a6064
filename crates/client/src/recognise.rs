//! Whether the person of a pass is the one whom this browser last showed to this app (protocol §2: subject switch, first
//! contact), and what is asked where that is not so.

use axum::response::Response;
use http::HeaderValue;
use http::header::HeaderMap;

use crate::caller::Facts;
use crate::hallpass::Inner;
use crate::pages;
use crate::seen::{self, LastSeen, Seen};
use crate::settings::FirstContact;
use crate::visit::Visit;

/// Whether this person may be accepted in this browser without a question.
pub(crate) enum Recognition {
    /// Yes; with the cookie that remembers it, where that changes.
    Accepted(Vec<HeaderValue>),
    /// No: this person, or nobody, was accepted before.
    Ask(Option<Seen>),
}

/// The subject-switch rule. Its point is another person: a new session of the same one is accepted in silence.
pub(crate) fn recognise(inner: &Inner, headers: &HeaderMap, facts: &Facts) -> Recognition {
    match seen::read(headers, &inner.sealer) {
        LastSeen::Somebody { seen, .. } if seen.sub != facts.user_id => Recognition::Ask(Some(seen)),
        LastSeen::Somebody { seen, by_previous } if !by_previous && seen == Seen::of(facts) => {
            Recognition::Accepted(Vec::new())
        }
        LastSeen::Nobody { .. } if inner.first_contact == FirstContact::Confirm => Recognition::Ask(None),
        LastSeen::Somebody { .. } => Recognition::Accepted(remember(inner, facts, false)),
        LastSeen::Nobody { clean_up } => Recognition::Accepted(remember(inner, facts, clean_up)),
    }
}

/// The cookie that remembers who was accepted. With `clean_up`, whatever else has its name is removed first.
pub(crate) fn remember(inner: &Inner, facts: &Facts, clean_up: bool) -> Vec<HeaderValue> {
    let mut cookies = if clean_up { seen::expiry(&inner.origin.cookie_domains()) } else { Vec::new() };
    cookies.extend(Seen::of(facts).cookie(&inner.sealer));
    cookies
}

/// The page that names both people; for what cannot show it, 409.
pub(crate) fn ask(inner: &Inner, visit: &Visit, facts: &Facts, before: Option<&Seen>) -> Response {
    tracing::info!(user_id = facts.user_id, before = before.map(|seen| seen.sub.as_str()), "another person: asking");
    if !visit.page {
        let refusal = if before.is_some() { &pages::SUBJECT_SWITCH } else { &pages::CONFIRMATION_REQUIRED };
        return refusal.answer(false);
    }
    pages::ask(&pages::Question {
        now: &facts.username,
        before: before.map(|seen| seen.username.as_str()),
        token: &seen::question(facts, inner.clock.unix_seconds(), &inner.sealer),
        destination: &visit.destination,
        refresh_url: &inner.refresh_url(&visit.destination),
        engine: inner.engine.public().as_str(),
    })
}
