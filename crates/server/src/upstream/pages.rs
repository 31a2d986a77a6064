//! What somebody reads whose way by an upstream ends before its end: one page for each kind of cause. The reason itself is for the audit log.

use axum::response::Response;
use hallpass_core::upstream::UpstreamRefused;
use http::{HeaderValue, StatusCode, header};

use crate::pass::Journey;
use crate::web::call::Call;
use crate::web::page::{ErrorPage, WayOn};
use crate::web::respond::html_with;

/// When to come back while it cannot be asked.
const AWAY_SECONDS: u32 = 10;

/// The page for a refusal. `start` is where signing in there begins.
pub fn refused<P>(call: &Call<P>, label: &str, refused: UpstreamRefused, start: &str, journey: &Journey) -> Response {
    let again = || WayOn { label: "Start again".to_owned(), url: start.to_owned() };
    let otherwise = || WayOn { label: "Sign in another way".to_owned(), url: super::local_form(journey) };
    let (title, message, steps, way_on): (_, _, &[&str], _) = match refused {
        UpstreamRefused::NoTransaction | UpstreamRefused::TransactionExpired | UpstreamRefused::AnswerUsed => (
            "That link does not work here",
            "It was not begun in this browser, it is too old, or it has been used. Nothing was done.",
            &["Start again.", "If that leads here again, allow cookies for this site in your browser's settings."],
            again(),
        ),
        UpstreamRefused::NoCredential
        | UpstreamRefused::SeveralCredentials
        | UpstreamRefused::MalformedCredential
        | UpstreamRefused::NotSignedIn
        | UpstreamRefused::SessionInactive
        | UpstreamRefused::SessionExpired
        | UpstreamRefused::SessionEnding
        | UpstreamRefused::NotAuthenticatedAnew
        | UpstreamRefused::AuthenticatedInFuture
        | UpstreamRefused::Denied
        | UpstreamRefused::AnswerOfAnother
        | UpstreamRefused::CodeRefused
        | UpstreamRefused::IdToken(_)
        | UpstreamRefused::UserinfoOfAnother => (
            "We could not see that you signed in",
            "You came back, but without a sign-in that we can use.",
            &[
                "Start again.",
                "If that leads here again, delete the cookies of this site and of the page where you signed in.",
            ],
            again(),
        ),
        UpstreamRefused::AssuranceTooLow => (
            "A second step is needed",
            "Your sign-in was not strong enough for this. It takes a second factor, such as an app that shows codes.",
            &["Set up a second factor in the settings of your account, then start again."],
            again(),
        ),
        UpstreamRefused::UsernameTaken => (
            "That name is taken here",
            "Somebody here already has the user name of your account, so you were not signed in.",
            &["Tell whoever manages accounts in your company, with the number below."],
            otherwise(),
        ),
        UpstreamRefused::IdentityTaken => (
            "That account belongs to somebody else here",
            "It is tied to another user, or you have another account there. Nothing was changed.",
            &["Tell whoever manages accounts in your company, with the number below."],
            otherwise(),
        ),
        UpstreamRefused::SessionNotFresh => (
            "You are not signed in any more",
            "The account was not connected: that takes the session in which you began.",
            &["Sign in, then connect it again on your account page."],
            WayOn { label: "Go to your account".to_owned(), url: "/account".to_owned() },
        ),
        UpstreamRefused::IdentityInactive
        | UpstreamRefused::ClaimNotAsRequired
        | UpstreamRefused::UsernameNotTheirs
        | UpstreamRefused::NoUser
        | UpstreamRefused::NoUsername
        | UpstreamRefused::UserDisabled => (
            "Your account cannot be used here",
            "You signed in, but this account has no entry here, or may not be used.",
            &["Tell whoever manages accounts in your company, with the number below."],
            otherwise(),
        ),
    };
    let page = page(call, label, title, message.to_owned(), steps, way_on);
    html_with(StatusCode::FORBIDDEN, &page)
}

/// 503: it cannot be asked. Whoever can sign in here need not wait for it.
pub fn away<P>(call: &Call<P>, label: &str, journey: &Journey) -> Response {
    let message = format!(
        "Signing in by “{label}” does not work right now. Nothing was changed. Other ways to sign in work as usual, and whoever is signed in stays so for a while."
    );
    let way_on = WayOn { label: "Sign in another way".to_owned(), url: super::local_form(journey) };
    let page = page(call, "Error 503", "Not available for a moment", message, &["Try again in a moment."], way_on);
    let mut response = html_with(StatusCode::SERVICE_UNAVAILABLE, &page);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(AWAY_SECONDS));
    response
}

/// 503: whoever has signed out here could not be led there, or it does not say where one signs out. At a computer that others use they have to know.
pub fn still_signed_in_there<P>(call: &Call<P>, label: &str, onward: &str) -> Response {
    let message = format!(
        "You are signed out here. You may still be signed in at “{label}”: we could not take you there to sign out."
    );
    let steps = &[
        "If others use this computer, open that page yourself and sign out there, or close every window of this browser.",
    ];
    let way_on = WayOn { label: "Go on".to_owned(), url: onward.to_owned() };
    let page = page(call, "Error 503", "Not signed out everywhere", message, steps, way_on);
    html_with(StatusCode::SERVICE_UNAVAILABLE, &page)
}

fn page<P>(call: &Call<P>, label: &str, title: &str, message: String, steps: &[&str], way_on: WayOn) -> ErrorPage {
    ErrorPage {
        brand: call.context.config.brand.clone(),
        label: label.to_owned(),
        title: title.to_owned(),
        message,
        steps: steps.iter().map(|&step| step.to_owned()).collect(),
        wait: None,
        way_on: Some(way_on),
        request_id: call.request_id.to_string(),
    }
}
