//! Choosing a new password, freely or because it has to be replaced. Protocol §17.
//!
//! Ends every other session of the person and gives this one a new secret, so that whoever held the old password or an old
//! cookie is out (advisory T46, T48).

use std::time::Duration;

use axum::response::Response;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::authenticator::password::{Password, PasswordPolicy, Verdict};
use hallpass_core::secret::{Secret, SessionSecret};
use hallpass_core::session::EndReason;
use hallpass_store::{audit, authenticators, sessions, upstreams, users};
use http::{StatusCode, header};
use serde::Deserialize;

use crate::pass::{Checked, Journey, see_other};
use crate::sign_in;
use crate::sign_in::password::{self as attempt, Attempt, Outcome};
use crate::sign_in::start::session_cookie;
use crate::web::call::Call;
use crate::web::cookies::{self, Presented};
use crate::web::error::Error;
use crate::web::guard::{LiveSession, device_mark};
use crate::web::page::ChangePasswordPage;
use crate::web::respond::html_with;

/// How long after a sign-in its password need not be typed again for a forced change.
const JUST_PROVED: Duration = Duration::from_mins(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    current_password: Option<String>,
    new_password: String,
    new_password_again: String,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

#[derive(Default)]
struct Wrong {
    current: Option<String>,
    new: Option<String>,
    again: Option<String>,
}

/// `GET /account/password`
pub async fn page(call: Call<LiveSession>) -> Result<Response, Error> {
    let journey: Journey = call.query()?;
    let checked = journey.check(&*call.context.view.policy().await?)?;
    let forced = just_proved(&call).await?;
    Ok(render(&call, &journey, checked.as_ref(), forced, Wrong::default()))
}

/// `POST /account/password`
pub async fn submit(mut call: Call<LiveSession>) -> Result<Response, Error> {
    let journey: Journey = call.query()?;
    let checked = journey.check(&*call.context.view.policy().await?)?;
    let binding = *call.proof.session.id.as_bytes();
    let fields: Fields = call.form(&binding).await?;
    let LiveSession { session, user } = call.proof.clone();
    let forced = just_proved(&call).await?;
    if !forced {
        let attempt = Attempt {
            username: user.username.as_str(),
            password: fields.current_password.unwrap_or_default(),
            ip: call.ip,
            device: device_mark(call.headers()),
            app: None,
        };
        match attempt::attempt(&call.context, attempt, call.now).await? {
            Outcome::Proved(_) => {}
            Outcome::Refused => {
                let current = Some("That is not your current password.".to_owned());
                return Ok(render(&call, &journey, checked.as_ref(), forced, Wrong { current, ..Wrong::default() }));
            }
            Outcome::Throttled(after) => return Err(Error::too_many_requests(after)),
        }
    }
    if fields.new_password != fields.new_password_again {
        let again = Some("The two do not match. Type the new password once more.".to_owned());
        return Ok(render(&call, &journey, checked.as_ref(), forced, Wrong { again, ..Wrong::default() }));
    }
    let new = match Password::presented(fields.new_password) {
        Ok(new) => new,
        Err(problem) => {
            return Ok(render(
                &call,
                &journey,
                checked.as_ref(),
                forced,
                Wrong { new: Some(problem.to_string()), ..Wrong::default() },
            ));
        }
    };
    if let Err(problem) = PasswordPolicy::default().check(&new, &user.username, false) {
        return Ok(render(
            &call,
            &journey,
            checked.as_ref(),
            forced,
            Wrong { new: Some(problem.to_string()), ..Wrong::default() },
        ));
    }
    let stored = authenticators::find_password(&mut call.context.store.read().await?, &user.id).await?;
    let (verdict, new) = call.context.passwords.verify(new, stored.map(|stored| stored.hash)).await?;
    if verdict != Verdict::Wrong {
        let same = Some("That is the password you have now. Choose another one.".to_owned());
        return Ok(render(&call, &journey, checked.as_ref(), forced, Wrong { new: same, ..Wrong::default() }));
    }
    let hash = call.context.passwords.hash(new).await?;
    let secret = Secret::<SessionSecret>::mint(&mut call.context.random());
    let old = match cookies::presented(call.headers(), cookies::SESSION) {
        Presented::One(value) => Secret::<SessionSecret>::parse(value).map(|old| old.digest()),
        Presented::None | Presented::Several => None,
    };
    let old = old.ok_or_else(|| Error::login_required("the session cookie went away"))?;

    let mut write = call.context.store.write().await?;
    sessions::end_all_of(&mut write, &user.id, Some(&session.id), EndReason::PasswordChanged, call.now).await?;
    if !sessions::renew_secret(&mut write, &session.id, &old, &secret.digest(), call.now).await? {
        return Err(Error::login_required("the session ended meanwhile"));
    }
    authenticators::set_password(&mut write, &user.id, hash.as_str(), call.now).await?;
    users::set_must_change_password(&mut write, &user.id, false, call.now).await?;
    let entry = Entry::new(Event::PasswordChanged, Actor::User(user.id), call.now, &mut call.context.random())
        .user(user.id)
        .session(session.id)
        .ip(call.ip);
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;

    let next = if user.must_change_password {
        format!("/continue{}", journey.query())
    } else {
        "/account?done=password".to_owned()
    };
    let mut response = see_other(&next);
    response.headers_mut().append(header::SET_COOKIE, session_cookie(&session, &secret));
    Ok(response)
}

/// Whether this is part of a sign-in: the current password was typed a moment ago, and asking again would ask twice. In a session
/// that has been open for longer it is asked for even if the change is forced: whoever finds an open browser does not know it. Nor does whoever has
/// come by way of an upstream, where it was never typed: with a session of theirs alone nobody may give themselves a password here.
async fn just_proved(call: &Call<LiveSession>) -> Result<bool, Error> {
    let LiveSession { session, user } = &call.proof;
    if !user.must_change_password || call.now.since(session.authenticated_at) >= JUST_PROVED {
        return Ok(false);
    }
    Ok(upstreams::footing(&mut call.context.store.read().await?, &session.id).await?.is_none())
}

fn render(
    call: &Call<LiveSession>,
    journey: &Journey,
    checked: Option<&Checked>,
    forced: bool,
    wrong: Wrong,
) -> Response {
    let LiveSession { session, user } = &call.proof;
    let refused = wrong.current.is_some() || wrong.new.is_some() || wrong.again.is_some();
    let status = if refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = ChangePasswordPage {
        brand: call.context.config.brand.clone(),
        csrf_token: call.page_token(session.id.as_bytes()),
        action: format!("/account/password{}", journey.query()),
        username: user.username.to_string(),
        forced,
        minimum_length: PasswordPolicy::default().minimum,
        current_error: wrong.current,
        new_error: wrong.new,
        again_error: wrong.again,
    };
    let mut response = html_with(status, &page);
    sign_in::allow_destination(checked, &mut response);
    response
}
