//! The sign-in page and its form. People type passwords at the home host only. Protocol §6, §7, §17.

pub mod name;
pub mod next;
pub mod password;
pub mod relayed;
pub mod start;

use axum::response::Response;
use hallpass_core::secret::{Digest, FlowSecret, Secret, SessionSecret};
use hallpass_core::user::Username;
use http::{StatusCode, header};
use serde::Deserialize;

use crate::context::Context;
use crate::oidc::{device, pending};
use crate::pass::{Checked, Journey, see_other};
use crate::upstream;
use crate::web::call::Call;
use crate::web::cookies::{self, Presented};
use crate::web::error::Error;
use crate::web::guard::{Visitor, device_mark};
use crate::web::headers::Allowed;
use crate::web::page::{SignInPage, SignInProblem as Problem};
use crate::web::parameters::parameters;
use crate::web::respond::{html_with, person};

use self::password::{Attempt, Outcome};
use self::start::Browser;

/// Seconds a sign-in page stays usable.
const FLOW_AGE: u64 = 1800;

/// The form's fields. The user name comes back into the page after a wrong password; the password never does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    username: String,
    password: String,
    stay: Option<String>,
    #[serde(rename = "csrf_token")]
    _csrf_token: String,
}

/// What the page is asked for with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    app: Option<String>,
    return_to: Option<String>,
    pending: Option<String>,
    /// Show the form, also where the page leads straight to somewhere else: for users of our own, administrators among them.
    local: Option<String>,
    /// Show the form although somebody is signed in: another person wants to go on.
    another: Option<String>,
}

impl Asked {
    fn journey(self) -> Journey {
        Journey { app: self.app, return_to: self.return_to, pending: self.pending }
    }
}

/// `GET /sign-in?app&return_to`. Somebody who is signed in already goes straight on.
pub async fn page(call: Call<Visitor>) -> Result<Response, Error> {
    let asked: Asked = call.query()?;
    let (local, another) = (asked.local.is_some(), asked.another.is_some());
    let journey = asked.journey();
    let checked = journey.check(&*call.context.view.policy().await?)?;
    // Without a destination somebody has come here on purpose, perhaps to sign in as another person: show who is here, and the form.
    // So does whoever has to prove again who they are.
    let goes_on = |live| !another && !pending::wants_sign_in(&call.context, &journey, live, call.now);
    if call.proof.session.as_ref().is_some_and(goes_on) && leads_on(&call, &journey, checked.as_ref()) {
        return Ok(see_other(&format!("/continue{}", journey.query())));
    }
    if !local
        && call.proof.session.is_none()
        && let Some(elsewhere) = upstream::leads_straight_to(&call.context, &journey)
    {
        let mut response = see_other(&elsewhere);
        if call.proof.stale_cookie {
            response.headers_mut().append(header::SET_COOKIE, cookies::expire(cookies::SESSION));
        }
        return Ok(response);
    }
    let live = call.proof.session.as_ref().filter(|_| !another);
    let hints = pending::hints(&call.context, &journey, live, call.now);
    let username = match live.filter(|_| hints.again) {
        Some(live) => live.user.username.to_string(),
        None => hints.username.filter(|_| !another).unwrap_or_default(),
    };
    let asks_name = !local && username.is_empty() && upstream::asks_name(&call.context);
    Ok(render_with(&call, &journey, checked.as_ref(), &username, None, asks_name))
}

/// Whether the journey leads somewhere after the sign-in.
fn leads_on(call: &Call<Visitor>, journey: &Journey, checked: Option<&Checked>) -> bool {
    checked.is_some() || device::way_back(journey).is_some() || pending::waits(&call.context, journey, call.now)
}

/// `POST /sign-in?app&return_to`.
pub async fn submit(mut call: Call<Visitor>) -> Result<Response, Error> {
    let journey = call.query::<Asked>()?.journey();
    let checked = journey.check(&*call.context.view.policy().await?)?;
    // Without the flow cookie that came with the page there is nothing to check the form against: somebody else's form, or a
    // browser without cookies. Show a fresh page rather than an error.
    let Some(flow) = presented_flow(&call) else {
        if leads_on(&call, &journey, checked.as_ref()) && is_here_already(&mut call).await? {
            return Ok(see_other(&format!("/continue{}", journey.query())));
        }
        return Ok(render(&call, &journey, checked.as_ref(), "", Some(Problem::Expired)));
    };
    let fields: Fields = match call.form(flow.digest().as_bytes()).await {
        Ok(fields) => fields,
        Err(error) if error.status == StatusCode::FORBIDDEN => {
            call.context.telemetry.csrf_refused(None);
            return Ok(render(&call, &journey, checked.as_ref(), "", Some(Problem::Expired)));
        }
        Err(error) => return Err(error),
    };
    let attempt = Attempt {
        username: &fields.username,
        password: fields.password,
        ip: call.ip,
        device: device_mark(call.headers()),
        app: checked.as_ref().map(|checked| checked.app.as_str()),
    };
    let problem = match password::attempt(&call.context, attempt, call.now).await? {
        Outcome::Proved(proved) => {
            let mut browser = Browser::of(&call, fields.stay.is_some());
            if pending::waits(&call.context, &journey, call.now) {
                browser.keeps = presented_session(&call);
            }
            if let Some(started) = start::start(&call.context, *proved, browser, call.now).await? {
                let mut response = see_other(&format!("/continue{}", journey.query()));
                started.set_cookies(response.headers_mut());
                response.headers_mut().append(header::SET_COOKIE, cookies::expire(cookies::FLOW));
                return Ok(response);
            }
            Problem::Wrong
        }
        Outcome::Refused => Problem::Wrong,
        Outcome::Throttled(after) => Problem::Throttled(after),
    };
    Ok(render(&call, &journey, checked.as_ref(), &fields.username, Some(problem)))
}

/// Whether the person who is named in a form that came too late is signed in: another tab was first, and its answer has taken away what this one's form
/// was bound to. Nothing of the form is believed but the name, which is compared.
async fn is_here_already(call: &mut Call<Visitor>) -> Result<bool, Error> {
    let Some(here) = call.proof.session.as_ref().map(|live| live.user.username.canonical().to_owned()) else {
        return Ok(false);
    };
    let body = call.bytes().await?;
    let named = parameters::<Fields>(&body).ok().and_then(|fields| fields.username.parse::<Username>().ok());
    Ok(named.is_some_and(|named| named.canonical() == here))
}

/// Sends a visitor without a session to the sign-in page; a session cookie that opens nothing is expired on the way.
pub fn redirect(journey: &Journey, visitor: &Visitor) -> Response {
    let mut response = see_other(&format!("/sign-in{}", journey.query()));
    if visitor.stale_cookie {
        response.headers_mut().append(header::SET_COOKIE, cookies::expire(cookies::SESSION));
    }
    response
}

/// Where our own pages send somebody who is not signed in.
pub fn redirect_here(_: &Context) -> Response {
    let mut response = see_other("/sign-in");
    response.headers_mut().append(header::SET_COOKIE, cookies::expire(cookies::SESSION));
    response
}

fn presented_session(call: &Call<Visitor>) -> Option<Digest<SessionSecret>> {
    match cookies::presented(call.headers(), cookies::SESSION) {
        Presented::One(value) => Secret::<SessionSecret>::parse(value).map(|secret| secret.digest()),
        Presented::None | Presented::Several => None,
    }
}

fn presented_flow(call: &Call<Visitor>) -> Option<Secret<FlowSecret>> {
    match cookies::presented(call.headers(), cookies::FLOW) {
        Presented::One(value) => Secret::parse(value),
        Presented::None | Presented::Several => None,
    }
}

fn render(
    call: &Call<Visitor>,
    journey: &Journey,
    checked: Option<&Checked>,
    username: &str,
    problem: Option<Problem>,
) -> Response {
    render_with(call, journey, checked, username, problem, false)
}

fn render_with(
    call: &Call<Visitor>,
    journey: &Journey,
    checked: Option<&Checked>,
    username: &str,
    problem: Option<Problem>,
    asks_name: bool,
) -> Response {
    // Several tabs share one flow cookie, so a page that is still open stays usable when another one is opened.
    let flow = presented_flow(call).unwrap_or_else(|| Secret::mint(&mut call.context.random()));
    let token = call.page_token(flow.digest().as_bytes());
    let status = match problem {
        None | Some(Problem::Expired) => StatusCode::OK,
        Some(Problem::Wrong) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(Problem::Throttled(_)) => StatusCode::TOO_MANY_REQUESTS,
    };
    let live = call.proof.session.as_ref();
    let hints = pending::hints(&call.context, journey, live, call.now);
    let page = SignInPage {
        brand: call.context.config.brand.clone(),
        csrf_token: token,
        action: format!("{}{}", if asks_name { "/sign-in/name" } else { "/sign-in" }, journey.query()),
        app_name: checked.map(|checked| checked.name.clone()),
        username: username.to_owned(),
        stay: false,
        problem,
        signed_in_as: live.map(|live| person(&live.user)),
        again: hints.again,
        sign_up: hints.sign_up,
        // The page says that somebody is here, and that it ends when somebody else signs in.
        upstreams: upstream::ways(&call.context, journey, live.is_some() && !hints.again),
        asks_name,
    };
    let mut response = html_with(status, &page);
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookies::host_only(cookies::FLOW, &flow.expose(), Some(FLOW_AGE)));
    if call.proof.stale_cookie {
        headers.append(header::SET_COOKIE, cookies::expire(cookies::SESSION));
    }
    allow_destination(checked, &mut response);
    response
}

/// Lets the page's form lead to the app that the journey came from, by way of whoever fetches its zone's pass.
pub fn allow_destination(checked: Option<&Checked>, response: &mut Response) {
    if let Some(checked) = checked {
        response.extensions_mut().insert(Allowed { forms: checked.stations.clone(), ..Allowed::default() });
    }
}
