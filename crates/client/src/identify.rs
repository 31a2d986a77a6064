//! Whom the passes of a request stand for: from memory, else by one question to the engine (protocol §2, §4).

use std::sync::Arc;

use crate::caller::Facts;
use crate::cookies::Pass;
use crate::crypto;
use crate::engine::Away;
use crate::hallpass::Inner;
use crate::memory::{Known, Landed};
use crate::wire::{Answer, CsrfCheck, Question};

/// From this age on, in seconds, the engine sends a fresh pass along (protocol §15).
const RENEWED_AFTER: u64 = 5 * 60;

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
