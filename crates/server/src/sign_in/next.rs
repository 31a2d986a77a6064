//! `/continue`: the one place that decides what comes after a factor has succeeded. No step knows the next one; the rule itself is
//! [`hallpass_core::sign_in::next_step`].

use axum::response::Response;
use hallpass_core::sign_in::{Destination, Step, next_step};
use hallpass_store::view::Standing;
use http::header;

use crate::handoff::{self, chain};
use crate::oidc::{authorize, device, pending};
use crate::pass::{self, Journey, see_other};
use crate::web::call::Call;
use crate::web::cookies;
use crate::web::error::Error;
use crate::web::guard::LiveSession;
use crate::web::page::ErrorPage;
use crate::web::respond::html_with;

/// Looks at what is stored and sends the browser on.
pub async fn next(call: Call<LiveSession>) -> Result<Response, Error> {
    let journey: Journey = call.query()?;
    let policy = call.context.view.policy().await?;
    let checked = journey.check(&policy)?;
    let destination = match &checked {
        None => Destination::Account,
        // Whether they may enter, the authorization endpoint tells the client itself.
        Some(_) if journey.pending.is_some() => Destination::App { admitted: true },
        Some(checked) => {
            let standing = call.context.view.standing(&policy, call.proof.user.id, checked.index).await?;
            Destination::App { admitted: matches!(standing, Standing::Admitted(_)) }
        }
    };
    match next_step(call.proof.user.must_change_password, destination) {
        Step::ChangePassword => Ok(see_other(&format!("/account/password{}", journey.query()))),
        Step::NoAccess => {
            let error = Error::forbidden(
                "You are signed in, but your account has no access to this application. If you think it should, ask whoever manages accounts in your company.",
            );
            Ok(html_with(
                error.status,
                &ErrorPage::of(&error, &call.context.config.brand, &call.request_id.to_string()),
            ))
        }
        Step::Return | Step::Account => {
            let line = pass::home_line(&call.context, &call.proof, call.now).await?;
            let there = match &checked {
                None if pending::waits(&call.context, &journey, call.now) => authorize::way_back(&journey),
                None => device::way_back(&journey).unwrap_or_else(|| "/".to_owned()),
                Some(_) if journey.pending.is_some() => authorize::way_back(&journey),
                Some(checked) => {
                    match chain::after_sign_in(&call.context, &policy, &call.proof, checked, call.now).await? {
                        Some(chain) => chain,
                        None => handoff::way_to(&policy, checked)?,
                    }
                }
            };
            let mut response = see_other(&there);
            response.headers_mut().append(header::SET_COOKIE, cookies::line(&line));
            Ok(response)
        }
    }
}
