//! How an answer of the authorization endpoint gets to the client: in the query of a redirect, or in a form that a page of ours posts
//! (OAuth 2.0 Form Post Response Mode). Both know one address only, that of [`Client::find`] (advisory T6).

use axum::response::Response;
use hallpass_core::oidc::ResponseMode;

use super::authorize::Client;
use crate::context::Context;
use crate::pass::see_other;
use crate::web::headers::Allowed;
use crate::web::onward::{FormPostPage, OnwardPage};
use crate::web::respond::html;

/// What is said to the client.
type Answer = Vec<(&'static str, String)>;

/// In answer to a navigation.
pub fn send(context: &Context, client: &Client<'_>, mode: ResponseMode, answer: Answer) -> Response {
    match mode {
        ResponseMode::Query => see_other(&address(client, &answer)),
        ResponseMode::FormPost => form_post(context, client, answer),
    }
}

/// In answer to a form of ours. A page leads on, not a redirect: browsers hold a form's policy against every address of a redirect, and where the
/// client sends them on to only the client knows (advisory P1).
pub fn send_after_form(context: &Context, client: &Client<'_>, mode: ResponseMode, answer: Answer) -> Response {
    match mode {
        ResponseMode::Query => {
            html(&OnwardPage { brand: context.config.brand.clone(), there: address(client, &answer) })
        }
        ResponseMode::FormPost => form_post(context, client, answer),
    }
}

fn address(client: &Client<'_>, answer: &Answer) -> String {
    let parameters: Vec<_> = answer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    client.redirect_uri.with(&parameters)
}

fn form_post(context: &Context, client: &Client<'_>, answer: Answer) -> Response {
    let mut response = html(&FormPostPage {
        brand: context.config.brand.clone(),
        app: client.app.title().to_owned(),
        signed_in: answer.iter().any(|(name, _)| *name == "code"),
        action: client.redirect_uri.to_string(),
        fields: answer,
    });
    // The client redirects to where the person wanted to go, which may be another of its own origins.
    let registered = client.app.redirect_uris.iter().map(|uri| uri.form_source(false));
    let mut forms: Vec<_> = registered.chain(client.app.origins.iter().map(ToString::to_string)).collect();
    forms.push(client.redirect_uri.form_source(false));
    forms.sort();
    forms.dedup();
    response.extensions_mut().insert(Allowed { forms, scripts: true, ..Allowed::default() });
    response
}
