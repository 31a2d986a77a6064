//! `POST /.sso/backchannel`: the engine says that a session is over (protocol §9 number 4; OIDC Back-Channel Logout
//! 1.0 §2.5), for apps that hear no change stream at that moment.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};

use crate::csrf::field;
use crate::hallpass::Inner;
use crate::origin::SEC_FETCH_SITE;
use crate::pages;
use crate::visit::Visit;

/// A token of 8 KB and its name.
const LARGEST_BODY: usize = 9 * 1024;

pub(super) async fn answer(inner: &Arc<Inner>, visit: &Visit, headers: &HeaderMap, body: Body) -> Response {
    // The engine is no browser. A page that posts here can want nothing good.
    if headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN) {
        return pages::CROSS_ORIGIN.answer(visit.page);
    }
    let Some(session_id) = ended_session(inner, headers, body).await else {
        tracing::warn!("refused: a logout token that is malformed or not meant for this app");
        return pages::INVALID_FORM.answer(visit.page);
    };
    inner.memory.doubt(|facts| facts.session_id == session_id);
    tracing::info!("the engine reports the end of a session");
    pages::accepted()
}

async fn ended_session(inner: &Inner, headers: &HeaderMap, body: Body) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let form = to_bytes(body, LARGEST_BODY).await.ok()?;
    let token = field(&form, "logout_token").ok()??;
    inner.engine.ended_session(&token)
}
