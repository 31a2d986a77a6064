//! What people and programs see who are not signed in (yet): 401, a handoff that came to nothing, one redirect too many
//! (protocol §6, §8).

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::{HANDOFF_REFUSED, escaped, html, json_response, unavailable};

/// 401 for whatever cannot follow a redirect (protocol §6).
pub(crate) fn login_required(sign_in_url: &str, realm: &str) -> Response {
    let body = json!({"error": "login_required", "sign_in_url": sign_in_url});
    let mut response = json_response(StatusCode::UNAUTHORIZED, "application/json", &body);
    if let Ok(challenge) = HeaderValue::from_str(&format!("Hallpass realm=\"{realm}\"")) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// 401 for a form that somebody sent without being signed in (any more): nothing was done, and how to go on.
pub(crate) fn sign_in_first(url: &str) -> Response {
    let body = format!(
        "<h1>Please sign in again</h1><p>Your sign-in had to be renewed, so what you sent was <strong>not</strong> carried out. Go on, \
         then do it once more.</p><p><a class=\"button\" href=\"{}\">Go on</a></p>",
        escaped(url)
    );
    html(StatusCode::UNAUTHORIZED, "Please sign in again", &body, None)
}

/// The end of a handoff that was not begun in this browser, or is over: 403, and how to begin anew.
pub(crate) fn handoff_refused(page: bool) -> Response {
    if !page {
        return HANDOFF_REFUSED.answer(false);
    }
    let body = format!(
        "<h1>{}</h1><p>{}</p><p><a class=\"button\" href=\"/\">Start again</a></p>",
        escaped(HANDOFF_REFUSED.title),
        escaped(HANDOFF_REFUSED.detail)
    );
    without_referrer(html(HANDOFF_REFUSED.status, HANDOFF_REFUSED.title, &body, None))
}

/// The engine could not be asked at the end of a handoff. Reloading cannot help, as the transaction is over: a link does.
pub(crate) fn handoff_unavailable(page: bool, try_again: &str, retry_after: Option<u64>) -> Response {
    if !page {
        return unavailable(false, retry_after);
    }
    let title = "You cannot be signed in right now";
    let body = format!(
        "<h1>{title}</h1><p>The sign-in service does not answer. Wait a moment and try again.</p>\
         <p><a class=\"button\" href=\"{}\">Try again</a></p>",
        escaped(try_again)
    );
    let mut response = without_referrer(html(StatusCode::SERVICE_UNAVAILABLE, title, &body, None));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(5)));
    response
}

/// Why a browser keeps coming back without a pass that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopCause {
    /// The pass does not arrive. (Where no cookie at all arrives, neither does our count: the engine notices that.)
    Missing,
    /// A pass arrives, and the engine does not accept it.
    Refused,
    /// Passes of different sessions arrive.
    Conflict,
    /// The pass is not that of whom this app last saw here, and what the handoff showed is not remembered.
    Unrecognised,
}

/// Shown instead of one redirect too many.
pub(crate) fn stuck(cause: LoopCause, try_again: &str) -> Response {
    let (why, what) = match cause {
        LoopCause::Missing => (
            "You were signed in, but your browser did not bring the sign-in cookie to this address.",
            "Allow cookies for this website. If they are allowed, tell your administrator that this application’s address may lie outside its sign-in zone.",
        ),
        LoopCause::Refused => (
            "Your browser brought a sign-in cookie that is not accepted here.",
            "Your account may have no access to this application, or the clock of one of the servers is wrong. Tell your administrator.",
        ),
        LoopCause::Conflict => (
            "Your browser keeps bringing sign-in cookies of different people.",
            "Another website under the same domain keeps setting them. Tell your administrator; until then, a fresh private window may help.",
        ),
        LoopCause::Unrecognised => (
            "Your browser brought another person’s sign-in cookie, or does not keep this application’s own.",
            "Allow cookies for this website. If they are allowed, another website under the same domain may be changing them: tell your administrator.",
        ),
    };
    let title = "Signing in goes round in circles";
    let body = format!(
        "<h1>{title}</h1><p>{why}</p><p>{what}</p><p><a class=\"button\" href=\"{}\">Try again</a></p>",
        escaped(try_again)
    );
    html(StatusCode::BAD_REQUEST, title, &body, None)
}

/// For pages whose address may hold a code: the links on them must not carry it on, not even to ourselves.
fn without_referrer(mut response: Response) -> Response {
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
