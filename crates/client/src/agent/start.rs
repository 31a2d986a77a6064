//! `GET /.sso/start`: somebody, or the engine's chain, wants this browser to be known here (protocol §8 number 1).

use std::sync::Arc;

use axum::response::Response;
use http::header::HeaderMap;
use http::request::Parts;

use super::{begin, chain, parameter};
use crate::cookies;
use crate::destination::local;
use crate::engine::Away;
use crate::hallpass::Inner;
use crate::identify::{Who, identify};
use crate::pages::{self, LoopCause};
use crate::recognise::{Recognition, recognise};
use crate::transaction::Way;
use crate::visit::Visit;

const LONGEST: usize = 2000;

pub(super) async fn answer(inner: &Arc<Inner>, visit: &Visit, parts: &Parts) -> Response {
    let way = way(parts);
    if !matches!(way, Way::Journey { .. }) {
        match (is_here(inner, &parts.headers).await, &way) {
            (Ok(true), Way::Path(path)) => return pages::redirect(path),
            (Ok(true) | Err(_), Way::Chain(chain)) => return pages::redirect(&inner.next_url(chain)),
            // The code could not be redeemed either.
            (Err(away), _) => return pages::unavailable(visit.page, away.retry_after()),
            _ => {}
        }
    }
    let try_again = if let Way::Path(path) = &way { path.clone() } else { "/".to_owned() };
    begin(inner, &parts.headers, way, false).unwrap_or_else(|| pages::stuck(LoopCause::Missing, &try_again))
}

/// What the query asks for: exactly one of three things, else to be brought to the front page.
fn way(parts: &Parts) -> Way {
    let asked = |name| parameter(parts, name);
    let short = |text: &String| text.len() <= LONGEST;
    match (asked("r"), chain(parts), asked("app").filter(short), asked("return_to").filter(short)) {
        (None, Some(chain), None, None) => Way::Chain(chain),
        (None, None, Some(app), Some(return_to)) => Way::Journey { app, return_to },
        (Some(path), None, None, None) => Way::Path(local(&path)),
        _ => Way::Path("/".to_owned()),
    }
}

/// Whether this browser's pass would be accepted here as it is. Not so with another person's: then the handoff has to
/// show who is signed in at home.
async fn is_here(inner: &Arc<Inner>, headers: &HeaderMap) -> Result<bool, Away> {
    let presented = cookies::presented(headers, &inner.pass_cookie);
    if presented.count > cookies::MOST_PASSES {
        return Ok(false);
    }
    match identify(inner, &presented.passes, None, false).await? {
        Who::Somebody(known) => Ok(matches!(recognise(inner, headers, &known.facts), Recognition::Accepted(_))),
        Who::Nobody | Who::Conflict => Ok(false),
    }
}
