//! The question whether an app of somebody else may learn who the person is, and call services in their name, and `POST /oauth/consent`, its answer. OIDC Core 1.0 §3.1.2.4, RFC 8707,
//! protocol §11.
//!
//! The form is bound to the session and to the very request that the page showed: its token is good for nothing else. The page cannot be framed, so
//! nobody clicks "Allow" without seeing it (advisory T52). That it was allowed travels on in the sealed request, too: a program that could be any
//! is let through by the answer to its own request only (advisory T3).

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::oidc::{Asks, AuthorizationRequest, Resources, Scope};
use hallpass_store::view::Policy;
use hallpass_store::{audit, consents, sessions};
use serde::Deserialize;

use super::authorize::{self, Client};
use super::documents;
use super::pages::{ConsentPage, Learns};
use super::pending::{Pending, form_binding};
use super::services::{self, Service};
use crate::pass::Journey;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::onward::OnwardPage;
use crate::web::respond::{html, person};

/// What the token of the form is for: a question about what the page called by these names. A client may change its own meanwhile, and somebody else
/// may have a service's address by then.
fn asks(client: &Client<'_>, services: &[Service]) -> String {
    format!("consent {:?} {services:?}", client.app.name)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    decision: Decision,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Allow,
    Deny,
}

/// Asks whoever is signed in about a request that has been understood.
pub fn page(
    call: &Call<Visitor>,
    policy: &Policy,
    client: &Client<'_>,
    pending: &Pending,
    request: &AuthorizationRequest,
    live: &LiveSession,
) -> Response {
    let context = &call.context;
    let services = services::shown(policy, &request.resources);
    let journey = client.journey(pending, context);
    html(&ConsentPage {
        brand: context.config.brand.clone(),
        csrf_token: call.page_token(&form_binding(&asks(client, &services), &live.session.id, &journey)),
        action: format!("/oauth/consent{}", journey.query()),
        app: client.app.name.clone(),
        third_party: client.app.third_party,
        described_at: client.app.client_id.as_ref().map(|url| url.origin().authority().to_owned()),
        any_program: Asks::of(client.app, &client.redirect_uri) == Asks::EachTime,
        domain: client.redirect_uri.place().to_owned(),
        person: person(&live.user),
        learns: learns(request.learns(), live),
        services,
        another: format!("/sign-in{}&another=1", journey.query()),
    })
}

/// `POST /oauth/consent?app&pending`: allows or denies what was shown.
pub async fn submit(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let journey: Journey = call.query()?;
    let mut pending = authorize::waiting(&call, &journey)?;
    let (session, user) = (call.proof.session.id, call.proof.user.id);
    // Again: registry and document may have changed since the page was shown.
    let named = documents::named(&call, &pending.parameters, Some(user)).await?;
    let policy = call.context.view.policy().await?;
    let client = Client::find(&policy, named.described(), &pending.parameters)?;
    // The names of services that were shown travel in the sealed request; what they are called here is looked up again.
    let request = AuthorizationRequest::read(&pending.parameters);
    let resources = request.as_ref().map(|request| request.resources.clone()).unwrap_or_default();
    let asked = asks(&client, &services::shown(&policy, &resources));
    let Fields { decision, .. } = call.form(&form_binding(&asked, &session, &journey)).await?;
    let context = &call.context;
    let request = match request {
        Ok(request) => request,
        Err(refused) => return Ok(client.refuse_after_form(&call, refused.code, refused.because)),
    };
    let Decision::Allow = decision else {
        return Ok(client.refuse_after_form(&call, "access_denied", "the person does not want to"));
    };
    let app = &client.app.key;
    let mut write = context.store.write().await?;
    sessions::record_interaction(&mut write, &session, call.now).await?;
    // The registry's too: one that nobody allows any more may be swept away at this moment.
    if client.app.client_id.is_some() {
        documents::adopt(&call, &mut write, client.app).await?;
    }
    let allowed = client.grantable(request.learns());
    consents::give(&mut write, &user, app, allowed, &resources, call.now).await?;
    let entry = Entry::new(Event::ConsentGiven, Actor::User(user), call.now, &mut context.random());
    let entry = entry.user(user).session(session).app(app).ip(call.ip);
    audit::append(&mut write, &(&self::entry(entry, allowed, &resources)).into()).await?;
    write.commit().await?;
    pending.allowed = Some(session);
    let onward = pending.journey(Some(app.as_str()), &context.keys.pending, &mut context.random());
    Ok(html(&OnwardPage { brand: context.config.brand.clone(), there: authorize::way_back(&onward) }))
}

/// With what was allowed.
pub fn entry(entry: Entry, scope: Scope, resources: &Resources) -> Entry {
    let entry = entry.with("profile", &scope.profile).with("email", &scope.email);
    if resources.is_empty() { entry } else { entry.with("services", resources) }
}

/// What a scope means to the person who is asked.
pub fn learns(scope: Scope, live: &LiveSession) -> Vec<Learns> {
    let user = &live.user;
    let nothing = || "You have none here.".to_owned();
    let mut learns =
        vec![Learns { what: "That it is you", detail: "It recognises you each time you come back.".to_owned() }];
    if scope.profile {
        learns.push(Learns {
            what: "Your name and user name",
            detail: format!("{}, {}", user.display_name, user.username),
        });
    }
    if scope.email {
        let email = user.email.clone().unwrap_or_else(nothing);
        learns.push(Learns { what: "Your e-mail address", detail: email });
    }
    if scope.offline_access {
        let detail = "It goes on when you have signed out, until you take it back on your account page.".to_owned();
        learns.push(Learns { what: "All that while you are away", detail });
    }
    learns
}

/// The same in half a sentence, for the list of what has been allowed.
pub fn in_short(scope: Scope) -> String {
    let words =
        [Some("that it is you"), scope.profile.then_some("your name"), scope.email.then_some("your e-mail address")];
    let words: Vec<_> = words.into_iter().flatten().collect();
    match words.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_reads_like_a_sentence() {
        let said = |profile, email| in_short(Scope { profile, email, offline_access: false });
        assert_eq!(said(false, false), "that it is you");
        assert_eq!(said(false, true), "that it is you and your e-mail address");
        assert_eq!(said(true, true), "that it is you, your name and your e-mail address");
    }
}
