//! `GET /.sso/callback`: what the engine says, for the browser that asked (protocol §8 numbers 3 to 5). Believes nothing
//! without a transaction of this browser, and leads on at once, so that no code stays in an address bar.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderValue;
use http::header::HeaderMap;
use http::request::Parts;

use super::begin::redirect_uri;
use super::{discover, parameter};
use crate::cookies;
use crate::engine::{Away, NotRedeemed};
use crate::hallpass::Inner;
use crate::identify::{Who, identify};
use crate::pages;
use crate::pass_cookie::relay;
use crate::recognise::remember;
use crate::seen::{self, LastSeen};
use crate::set_cookie::with_cookies;
use crate::transaction::{self, Transaction, Way};
use crate::visit::Visit;
use crate::wire::Redemption;

pub(super) async fn answer(inner: &Arc<Inner>, visit: &Visit, parts: &Parts) -> Response {
    let state = parameter(parts, "state").unwrap_or_default();
    let now = inner.clock.unix_seconds();
    let presented = transaction::presented(&parts.headers, &state, now, &inner.sealer);
    let answer = match presented.transaction {
        Some(transaction) => finish(inner, visit, parts, &transaction).await,
        None => stray(inner, visit, &parts.headers).await,
    };
    with_cookies(answer, presented.expiry)
}

/// Not begun in this browser, or over. Someone who went back to an old address is where they wanted to be already; for
/// everybody else this is how a code of somebody else's would arrive (login CSRF), so nothing is done with it.
async fn stray(inner: &Arc<Inner>, visit: &Visit, headers: &HeaderMap) -> Response {
    let presented = cookies::presented(headers, &inner.pass_cookie);
    if presented.count <= cookies::MOST_PASSES
        && let Ok(Who::Somebody(_)) = identify(inner, &presented.passes, None, false).await
    {
        return pages::redirect("/");
    }
    tracing::warn!("refused: the end of a handoff that was not begun in this browser, or is over");
    pages::handoff_refused(visit.page)
}

/// Why nobody is here yet.
enum Failure {
    /// Nobody is signed in at home.
    NobodyHome,
    /// The code brought nothing.
    Refused,
    /// Nobody knows.
    Away(Away),
}

async fn finish(inner: &Arc<Inner>, visit: &Visit, parts: &Parts, transaction: &Transaction) -> Response {
    // RFC 9207: an answer of another server, mixed up with ours, would have us send it our code.
    if parameter(parts, "iss").as_deref() != Some(inner.engine.public().as_str()) {
        tracing::warn!("refused: the end of a handoff in another issuer's name");
        return pages::handoff_refused(visit.page);
    }
    let outcome = match redeem(inner, parts, transaction).await {
        Ok(redemption) => arrive(inner, &parts.headers, &transaction.way, redemption),
        Err(failure) => Err(failure),
    };
    let failure = match outcome {
        Ok(answer) => return answer,
        Err(failure) => failure,
    };
    // The reason is in the log by now.
    match (&transaction.way, failure) {
        // The chain is the engine's: it goes on to the other zones, and this one is tried again on demand.
        (Way::Chain(chain), _) => pages::redirect(&inner.next_url(chain)),
        // Whoever came to an open page gets it, whatever went wrong with a look that they did not ask for.
        (Way::Path(path), _) if transaction.silent => with_cookies(pages::redirect(path), discover::nobody()),
        (Way::Path(path), Failure::NobodyHome) => pages::redirect(&inner.sign_in_at_home_url(path)),
        (Way::Journey { app, return_to }, Failure::NobodyHome) => {
            pages::redirect(&inner.engine_url("/sign-in", app, return_to))
        }
        (_, Failure::Refused) => pages::handoff_refused(visit.page),
        (way, Failure::Away(away)) => {
            let try_again = if let Way::Path(path) = way { path } else { "/" };
            pages::handoff_unavailable(visit.page, try_again, away.retry_after())
        }
    }
}

async fn redeem(inner: &Inner, parts: &Parts, transaction: &Transaction) -> Result<Redemption, Failure> {
    let code = match (parameter(parts, "code"), parameter(parts, "error").as_deref()) {
        (Some(code), None) => code,
        (None, Some("login_required")) => return Err(Failure::NobodyHome),
        (None, Some(error)) => {
            tracing::warn!(error = error.escape_debug().take(64).collect::<String>(), "the engine gave no code");
            return Err(Failure::Away(Away::Unreachable { retry_after: None }));
        }
        _ => return Err(Failure::Refused),
    };
    let redeemed = inner.engine.redeem(&code, &redirect_uri(inner), &transaction.verifier).await;
    redeemed.map_err(|not_redeemed| match not_redeemed {
        NotRedeemed::Refused => {
            tracing::warn!("the engine refused a handoff's code");
            Failure::Refused
        }
        NotRedeemed::Away(away) => Failure::Away(away),
    })
}

/// Somebody is here: their pass, and the memory that it is they.
fn arrive(inner: &Inner, headers: &HeaderMap, way: &Way, redemption: Redemption) -> Result<Response, Failure> {
    // Without it they would be sent round in circles and then be told that their cookies are blocked.
    let pass = relay(inner, &redemption.set_cookie).ok_or(Failure::Away(Away::Misconfigured))?;
    let mut cookies: Vec<HeaderValue> = vec![pass];
    if let Some(facts) = &redemption.facts {
        tracing::info!(session_id = facts.session_id, user_id = facts.user_id, "signed in by a handoff");
        // Without asking: the home session has just shown who it is.
        let clean_up = matches!(seen::read(headers, &inner.sealer), LastSeen::Nobody { clean_up: true });
        cookies.extend(remember(inner, facts, clean_up));
    }
    cookies.extend(discover::somebody(headers));
    let answer = match (way, redemption.return_to) {
        (Way::Chain(chain), _) => pages::redirect(&inner.next_url(chain)),
        (_, Some(return_to)) => pages::redirect(return_to.as_str()),
        (Way::Path(path), None) => pages::redirect(path),
        (Way::Journey { .. }, None) => pages::redirect("/"),
    };
    Ok(with_cookies(answer, cookies))
}
