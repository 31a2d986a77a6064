//! `POST /sign-in/name`: the first of two steps where an address says at which provider its person signs in ("home realm discovery"). Protocol §10.
//!
//! The answer depends on the configuration alone, never on who is known here: nobody learns from it whether there is such a user.

use axum::response::Response;
use serde::Deserialize;

use super::{Asked, presented_flow, render, render_with};
use crate::sign_in::Problem;
use crate::upstream;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Visitor;
use crate::web::onward::OnwardPage;
use crate::web::respond::html;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    username: String,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// Leads on to the provider of the name's mail domain, or shows the form for a password.
pub async fn submit(mut call: Call<Visitor>) -> Result<Response, Error> {
    let journey = call.query::<Asked>()?.journey();
    let checked = journey.check(&*call.context.view.policy().await?)?;
    let expired =
        |call: &Call<Visitor>| render_with(call, &journey, checked.as_ref(), "", Some(Problem::Expired), true);
    let Some(flow) = presented_flow(&call) else { return Ok(expired(&call)) };
    let fields: Fields = match call.form(flow.digest().as_bytes()).await {
        Ok(fields) => fields,
        Err(error) if error.status == http::StatusCode::FORBIDDEN => {
            call.context.telemetry.csrf_refused(None);
            return Ok(expired(&call));
        }
        Err(error) => return Err(error),
    };
    let name = fields.username.trim();
    match upstream::of_address(&call.context, name, &journey) {
        // A page that leads on: browsers hold a form's policy against the redirects that follow it, and those of the provider we do not know.
        Some(there) => Ok(html(&OnwardPage { brand: call.context.config.brand.clone(), there })),
        None => Ok(render(&call, &journey, checked.as_ref(), name, None)),
    }
}
