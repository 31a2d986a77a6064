//! Who may pass: from the cookies of a request to a caller, an anonymous visitor, or an answer that ends it here.
//! The whole policy of protocol §2 (several passes, subject switch, first contact), §4 and §6, in order.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::header::{HeaderMap, SET_COOKIE};

use crate::bounce::{self, Bounces};
use crate::builder::{CsrfMode, FirstContact};
use crate::caller::{Caller, Facts};
use crate::cookies::{self, Pass};
use crate::crypto;
use crate::csrf;
use crate::engine::Away;
use crate::hallpass::Inner;
use crate::memory::{Known, Landed};
use crate::pages::{self, LoopCause};
use crate::seen::{self, LastSeen, Seen};
use crate::visit::Visit;
use crate::wire::{Answer, CsrfCheck, Question};

/// More cookies of the pass's name than this are an attack.
const MOST_PASSES: usize = 3;
/// From this age on, in seconds, the engine sends a fresh pass along (protocol §15).
const RENEWED_AFTER: u64 = 5 * 60;

/// Somebody who may pass, and the cookies that go back with the answer.
pub(crate) struct Admitted {
    /// `None` for an anonymous visitor.
    pub(crate) caller: Option<Caller>,
    pub(crate) cookies: Vec<HeaderValue>,
}

/// Decides about one request whose origin has been checked already.
pub(crate) async fn admit(
    inner: &Arc<Inner>,
    visit: &Visit,
    headers: &HeaderMap,
    method: &http::Method,
    csrf: csrf::Presented,
) -> Result<Admitted, Response> {
    let optional = visit.path_is_plain() && (inner.optional)(&visit.path);
    let anonymous = |cookies| Admitted { caller: None, cookies };
    let presented = cookies::presented(headers, &inner.pass_cookie);
    if presented.count > MOST_PASSES {
        tracing::warn!(count = presented.count, "more passes than any honest browser sends");
        let answer = pages::TOO_MANY_COOKIES.answer(visit.page);
        return Err(with_cookies(answer, pass_expiry(inner, &visit.path)));
    }
    if presented.count == 0 {
        return if optional {
            Ok(anonymous(Vec::new()))
        } else {
            Err(to_engine(inner, visit, headers, LoopCause::Missing, Vec::new()))
        };
    }
    let check = match csrf {
        csrf::Presented::Absent => None,
        csrf::Presented::Token(token) => Some(CsrfCheck { token, method: method.as_str().to_owned() }),
        csrf::Presented::Malformed => return Err(pages::CSRF_FAILED.answer(visit.page)),
    };
    let token_presented = check.is_some();
    let known = match identify(inner, &presented.passes, check, visit.may_change).await {
        Err(away) => return Err(unavailable(visit, away)),
        Ok(Who::Nobody) if optional => return Ok(anonymous(Vec::new())),
        Ok(Who::Nobody) => return Err(to_engine(inner, visit, headers, LoopCause::Refused, Vec::new())),
        Ok(Who::Conflict) => {
            tracing::warn!(path = visit.path, "pass conflict: passes of different sessions in one request");
            let expiry = pass_expiry(inner, &visit.path);
            return if optional && !visit.navigation {
                Ok(anonymous(expiry))
            } else {
                Err(to_engine(inner, visit, headers, LoopCause::Conflict, expiry))
            };
        }
        Ok(Who::Somebody(known)) => known,
    };
    let mut cookies = match recognise(inner, headers, &known.facts) {
        Recognition::Accepted(cookies) => cookies,
        Recognition::Ask(_) if optional => return Ok(anonymous(Vec::new())),
        Recognition::Ask(before) => return Err(ask(inner, visit, &known.facts, before.as_ref())),
    };
    if known.csrf_failed || (visit.may_change && inner.csrf == CsrfMode::Token && !token_presented) {
        tracing::warn!(path = visit.path, user_id = known.facts.user_id, "CSRF token missing or not valid");
        return Err(pages::CSRF_FAILED.answer(visit.page));
    }
    cookies.extend(relayed(inner, &known));
    if Bounces::read(headers, inner.clock.unix_seconds()).any() {
        cookies.extend(cookies::expiry(bounce::COOKIE, "/", &[]));
    }
    Ok(Admitted { caller: Some(Caller(known.facts)), cookies })
}

/// Whom the passes stand for.
pub(crate) enum Who {
    /// No live session.
    Nobody,
    /// Several live sessions at once.
    Conflict,
    /// One.
    Somebody(Known),
}

/// Asks memory, else the engine, about all passes in one call.
pub(crate) async fn identify(
    inner: &Arc<Inner>,
    passes: &[Pass],
    check: Option<CsrfCheck>,
    may_change: bool,
) -> Result<Who, Away> {
    if passes.is_empty() {
        return Ok(Who::Nobody);
    }
    let remembered = |recall: &dyn Fn(&crate::memory::Key) -> Option<Arc<Facts>>| -> Option<Vec<Option<Known>>> {
        let known = |facts| Some(Known { facts, set_cookie: None, csrf_failed: false });
        passes.iter().map(|pass| recall(&inner.memory.key(pass)).map(known)).collect()
    };
    // A token is judged for this request alone: such a question is always asked.
    if check.is_none()
        && let Some(fresh) = remembered(&|key| inner.memory.fresh(key))
    {
        return Ok(decide(fresh));
    }
    let unchecked = check.is_none();
    match ask_engine(inner, passes, check).await {
        Ok(known) => Ok(decide(known)),
        Err(away @ Away::Unreachable { .. }) if unchecked && !may_change => {
            let in_grace = remembered(&|key| inner.memory.within_grace(key, inner.grace)).ok_or(away)?;
            tracing::warn!("the engine is away: answering from memory, within the declared grace");
            Ok(decide(in_grace))
        }
        Err(away) => Err(away),
    }
}

async fn ask_engine(inner: &Arc<Inner>, passes: &[Pass], csrf: Option<CsrfCheck>) -> Landed {
    let mut parts: Vec<&[u8]> = vec![inner.app_key.as_bytes()];
    parts.extend(passes.iter().map(|pass| pass.as_str().as_bytes()));
    if let Some(check) = &csrf {
        // An empty part separates: no pass is empty.
        parts.extend([b"".as_slice(), check.token.as_bytes(), check.method.as_bytes()]);
    }
    let flight = crypto::fingerprint(&parts);
    let start = inner.memory.starting_point();
    let engine = Arc::clone(&inner.engine);
    let memory = Arc::clone(&inner.memory);
    let passes = passes.to_vec();
    let now = inner.clock.unix_seconds();
    let asking = || async move {
        let keys: Vec<_> = passes.iter().map(|pass| memory.key(pass)).collect();
        let held = if let [key] = keys.as_slice() { memory.last_known(key) } else { None };
        // Not for a pass that may be renewed, nor beside a token to be judged: `unchanged` need not say either.
        let if_version = held
            .as_ref()
            .filter(|facts| csrf.is_none() && now < facts.issued_at + RENEWED_AFTER)
            .and_then(|facts| facts.version.clone());
        let answers = engine.introspect(&Question { passes, csrf, if_version }).await?;
        let mut known = Vec::with_capacity(answers.len());
        for (key, answer) in keys.into_iter().zip(answers) {
            known.push(match answer {
                Answer::Inactive => {
                    memory.forget(&key);
                    None
                }
                Answer::Active { facts, extras } => {
                    // `unchanged` is accepted only where a version was named, and then it was this one's.
                    let facts = facts.or_else(|| held.clone()).ok_or(Away::Misconfigured)?;
                    memory.keep(key, &facts, extras.cache_for, &start);
                    Some(Known { facts, set_cookie: extras.set_cookie, csrf_failed: extras.csrf_failed })
                }
            });
        }
        Ok(known)
    };
    inner.memory.fly(flight, asking).await
}

/// Several passes of one session are that session, by the newest; of different sessions, a conflict.
fn decide(known: Vec<Option<Known>>) -> Who {
    let mut decided: Option<Known> = None;
    for candidate in known.into_iter().flatten() {
        match &decided {
            Some(held) if held.facts.session_id != candidate.facts.session_id => return Who::Conflict,
            Some(held) if held.facts.issued_at >= candidate.facts.issued_at => {}
            _ => decided = Some(candidate),
        }
    }
    decided.map_or(Who::Nobody, Who::Somebody)
}

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

/// The fresh pass that came with the answer, to be relayed to the browser.
pub(crate) fn relayed(inner: &Inner, known: &Known) -> Option<HeaderValue> {
    let line = known.set_cookie.as_deref()?;
    let relayed = cookies::relayable(line, &inner.pass_cookie);
    if relayed.is_none() {
        tracing::error!("the engine asked to relay a cookie that is not the pass; is the pass's name the same there?");
    }
    relayed
}

/// Removes every pass that this request could have carried.
pub(crate) fn pass_expiry(inner: &Inner, path: &str) -> Vec<HeaderValue> {
    cookies::expiry(&inner.pass_cookie, path, &inner.origin.cookie_domains())
}

/// Sends a navigation to the engine, unless that has been tried often enough; answers anything else with 401.
fn to_engine(
    inner: &Inner,
    visit: &Visit,
    headers: &HeaderMap,
    cause: LoopCause,
    mut cookies: Vec<HeaderValue>,
) -> Response {
    if !visit.navigation && visit.page {
        // A form: its answer fills the window, but what was typed cannot be carried along. Say so, and lead back by one click.
        let url = match cause {
            LoopCause::Missing => inner.sign_in_url(&visit.destination),
            LoopCause::Refused | LoopCause::Conflict => inner.refresh_url(&visit.destination),
        };
        return with_cookies(pages::sign_in_first(&url), cookies);
    }
    if !visit.navigation {
        let answer = pages::login_required(&inner.sign_in_url(&visit.destination), &inner.app_key);
        return with_cookies(answer, cookies);
    }
    let now = inner.clock.unix_seconds();
    let Some(counted) = Bounces::read(headers, now).next(&visit.destination, now) else {
        tracing::warn!(?cause, "this browser keeps being sent to the engine and back");
        return with_cookies(pages::stuck(cause, &visit.destination), cookies);
    };
    cookies.push(counted);
    let url = match cause {
        LoopCause::Missing => inner.sign_in_url(&visit.destination),
        LoopCause::Refused | LoopCause::Conflict => inner.refresh_url(&visit.destination),
    };
    with_cookies(pages::redirect(&url), cookies)
}

/// 503, and when to come back.
pub(crate) fn unavailable(visit: &Visit, away: Away) -> Response {
    let retry_after = match away {
        Away::Unreachable { retry_after } => retry_after,
        Away::Misconfigured => Some(60),
    };
    pages::unavailable(visit.page, retry_after)
}

/// Adds cookies to an answer of our own.
pub(crate) fn with_cookies(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_passes_are_one_session_or_a_conflict() {
        let known = |(session_id, issued_at): (&str, u64)| {
            let facts = Facts { session_id: session_id.into(), issued_at, ..Facts::default() };
            Known { facts: Arc::new(facts), set_cookie: None, csrf_failed: false }
        };
        let decided = |passes: &[Option<(&str, u64)>]| match decide(passes.iter().map(|pass| pass.map(known)).collect())
        {
            Who::Nobody => "nobody".to_owned(),
            Who::Conflict => "conflict".to_owned(),
            Who::Somebody(known) => known.facts.issued_at.to_string(),
        };
        assert_eq!(decided(&[None, None]), "nobody");
        assert_eq!(decided(&[None, Some(("a", 1))]), "1");
        assert_eq!(decided(&[Some(("a", 1)), Some(("a", 3)), Some(("a", 2))]), "3");
        assert_eq!(decided(&[Some(("a", 1)), None, Some(("b", 3))]), "conflict");
    }
}
