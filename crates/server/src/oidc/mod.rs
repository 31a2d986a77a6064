//! The OIDC provider: the standard door to the same sessions, for programs that know nothing of passes. Protocol §11; OIDC Core 1.0, RFC 6749.
//!
//! [`authorize`] sends a code through the browser, for what its address asks or what [`pushed`] was asked before, when [`select_account`] and [`consent`] have asked what must be asked, [`services`] by name; [`token`] gives tokens for it ([`grant`] by grant) to whoever [`client`]
//! finds out is asking, [`device`] lets people allow what has no browser, [`documents`] reads what clients say of themselves, [`userinfo`] and introspection say what an access token is still worth, [`revoke`] and [`logout`] end it. [`cors`] says which
//! pages may read that.

mod access;
pub mod authorize;
pub mod bearer;
pub mod client;
pub mod client_assertion;
pub mod consent;
pub mod cors;
pub mod device;
pub mod discovery;
pub mod documents;
mod dpop;
pub mod grant;
pub mod introspection;
pub mod logout;
mod pages;
pub mod pending;
pub mod pushed;
pub mod registration;
mod response_mode;
pub mod revoke;
pub mod select_account;
pub mod services;
pub mod token;
pub mod userinfo;

use axum::body::Body;
use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::id::FamilyId;
use hallpass_store::tokens::Family;
use hallpass_store::{StoreError, Write, audit, tokens};
use http::{HeaderValue, header};

use self::client::{Asking, Client};
use crate::web::call::Call;

/// Ends what came of one code, and writes down why.
async fn revoke_family(
    call: &Call<Client>,
    write: &mut Write,
    id: &FamilyId,
    because: &'static str,
) -> Result<(), StoreError> {
    if !tokens::revoke(write, id, call.now).await? {
        return Ok(());
    }
    let entry = entry(call, Event::TokensRevoked).with("because", &hallpass_core::audit::Word(because));
    let entry = match tokens::find(write, id).await? {
        Some(Family { session, .. }) => entry.session(session),
        None => entry,
    };
    audit::append(write, &(&entry).into()).await
}

/// What the audit log says of something that a client did.
fn entry<P: Asking>(call: &Call<P>, event: Event) -> Entry {
    let app = &call.proof.app().app.key;
    Entry::new(event, Actor::App(app.clone()), call.now, &mut call.context.random()).app(app).ip(call.ip)
}

fn json(answer: impl Into<Body>) -> Response {
    let mut response = Response::new(answer.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
