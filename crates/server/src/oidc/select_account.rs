//! "Continue as Ana, or use another account", for clients that ask for it (`prompt=select_account`, OIDC Core 1.0 §3.1.2.1), and
//! `POST /oauth/account`, the click on the first. The answer travels on in the sealed request, with the session that it was given in.

use axum::response::Response;
use hallpass_store::sessions;
use serde::Deserialize;

use super::authorize::{self, Client};
use super::pages::SelectAccountPage;
use super::pending::{Pending, form_binding};
use crate::pass::Journey;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{LiveSession, Visitor};
use crate::web::onward::OnwardPage;
use crate::web::respond::{html, person};

/// What the token of the form is for.
const ASKS: &str = "account";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// Asks whoever is signed in about a request that has been understood.
pub fn page(call: &Call<Visitor>, client: &Client<'_>, pending: &Pending, live: &LiveSession) -> Response {
    let context = &call.context;
    let journey = client.journey(pending, context);
    html(&SelectAccountPage {
        brand: context.config.brand.clone(),
        csrf_token: call.page_token(&form_binding(ASKS, &live.session.id, &journey)),
        action: format!("/oauth/account{}", journey.query()),
        app: client.app.title().to_owned(),
        person: person(&live.user),
        another: format!("/sign-in{}&another=1", journey.query()),
    })
}

/// `POST /oauth/account?app&pending`: it is they who want to go on.
pub async fn submit(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let journey: Journey = call.query()?;
    let mut pending = authorize::waiting(&call, &journey)?;
    let session = call.proof.session.id;
    let _: Fields = call.form(&form_binding(ASKS, &session, &journey)).await?;
    let context = &call.context;
    let mut write = context.store.write().await?;
    sessions::record_interaction(&mut write, &session, call.now).await?;
    write.commit().await?;
    pending.chosen = Some(session);
    let onward = pending.journey(journey.app.as_deref(), &context.keys.pending, &mut context.random());
    Ok(html(&OnwardPage { brand: context.config.brand.clone(), there: authorize::way_back(&onward) }))
}
