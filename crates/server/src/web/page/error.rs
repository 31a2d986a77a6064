//! The page that says what went wrong and what to do (protocol.md §6, §18).

use askama::Template;

use super::{WayOn, asset_path, in_words, render};
use crate::web::error::Error;

/// What went wrong, in plain words, and what to do. The reason in detail is for the log; the request id leads there.
#[derive(Debug, Clone, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Short line above the title: "Error 404".
    pub label: String,
    /// What happened, in a few words.
    pub title: String,
    /// What it means, in a sentence or two.
    pub message: String,
    /// What to do, in order; may be empty.
    pub steps: Vec<String>,
    /// How long to wait before trying again, in words.
    pub wait: Option<String>,
    /// Where to go from here; none where trying again is all there is to do.
    pub way_on: Option<WayOn>,
    /// Joins this page to the log.
    pub request_id: String,
}

/// Why sign-in was stopped before it could go round in circles (protocol §6, number 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The browser came back without the cookie it had just been given.
    CookiesBlocked,
    /// The pass arrives, but the app does not accept it.
    Loop,
    /// The pass counts as run out, or as not yet valid, the moment it is given.
    ClockWrong,
}

/// The document for any error that a handler reports.
pub fn error(error: &Error, brand: &str, request_id: &str) -> String {
    render(&ErrorPage::of(error, brand, request_id))
}

impl ErrorPage {
    /// The page for `error`: a title by its status, and its own message.
    pub fn of(error: &Error, brand: &str, request_id: &str) -> Self {
        let status = error.status.as_u16();
        let (title, step) = match status {
            400 => ("That link does not work", Some("Go to the app you wanted and open it from its own start page.")),
            401 => ("Please sign in first", None),
            403 => ("Nothing was done", None),
            404 => ("There is no such page", None),
            413 | 414 | 431 => ("That was too much", None),
            429 => ("Too many attempts", None),
            500 => ("That went wrong, and it is our fault", None),
            503 => ("Not available for a moment", None),
            _ => ("That did not work", None),
        };
        Self {
            brand: brand.to_owned(),
            label: format!("Error {status}"),
            title: title.to_owned(),
            message: error.message.clone().into_owned(),
            steps: step.into_iter().map(str::to_owned).collect(),
            wait: error.retry_after.map(in_words),
            way_on: (status != 503).then(|| WayOn { label: "Go to the start page".to_owned(), url: "/".to_owned() }),
            request_id: request_id.to_owned(),
        }
    }

    /// The page for `stop`. `destination` is where the person wanted to go, already checked.
    pub fn stopped(stop: Stop, destination: &str, brand: &str, request_id: &str) -> Self {
        let (title, message, steps): (_, _, &[&str]) = match stop {
            Stop::CookiesBlocked => (
                "Your browser does not keep our cookie",
                "You are signed in, but the app cannot know: the cookie that would show it does not come back.",
                &[
                    "Allow cookies for this site and for the app in your browser's settings.",
                    "Pause extensions that block or delete cookies, for both.",
                ],
            ),
            Stop::Loop => (
                "We were going round in circles",
                "You are signed in, but the app keeps sending you back here. The cause lies with the app or with us, not with you.",
                &[
                    "Delete the cookies of the app's site.",
                    "If that does not help, tell your support, with the number below.",
                ],
            ),
            Stop::ClockWrong => (
                "A clock is wrong",
                "You are signed in, but the proof of it counts as run out when it reaches the app: the clock of a server is wrong.",
                &["Tell your support, with the number below. Nothing needs changing on your device."],
            ),
        };
        Self {
            brand: brand.to_owned(),
            label: "Sign-in stopped".to_owned(),
            title: title.to_owned(),
            message: message.to_owned(),
            steps: steps.iter().map(|&step| step.to_owned()).collect(),
            wait: None,
            way_on: Some(WayOn { label: "Try again".to_owned(), url: destination.to_owned() }),
            request_id: request_id.to_owned(),
        }
    }

    /// The page for a handoff that this browser did not begin. `home` is where the apps are listed.
    pub fn handoff_refused(home: &str, brand: &str, request_id: &str) -> Self {
        let steps = [
            "Open the application again from its own address.",
            "If that leads here again, allow cookies for this site in your browser's settings.",
        ];
        Self {
            brand: brand.to_owned(),
            label: "Sign-in stopped".to_owned(),
            title: "That link does not work here".to_owned(),
            message: "It was not begun in this browser, or it is too old, or it has been used. Nothing was done."
                .to_owned(),
            steps: steps.map(str::to_owned).into(),
            wait: None,
            way_on: Some(WayOn { label: "Go to my applications".to_owned(), url: home.to_owned() }),
            request_id: request_id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_error_has_a_title_and_the_number_that_leads_to_the_log() {
        let page = |error: &Error| ErrorPage::of(error, "Hallpass", "r_1");
        for known in [
            Error::invalid_request("Words."),
            Error::forbidden("Words."),
            Error::not_found(),
            Error::too_large(),
            Error::internal(),
        ] {
            let page = page(&known);
            assert_ne!(page.title, "That did not work", "{known:?}");
            assert_eq!((page.message.as_str(), page.wait.is_none()), (&*known.message, true));
            assert_eq!(page.way_on.as_ref().map(|way| way.url.as_str()), Some("/"));
            assert!(render(&page).contains("<code data-testid=\"request-id\">r_1</code>"), "{known:?}");
        }
        assert_eq!(page(&Error::method_not_allowed()).title, "That did not work");
        assert_eq!(page(&Error::too_many_requests(Duration::from_secs(30))).wait.as_deref(), Some("30 seconds"));
        let unavailable = page(&Error::unavailable());
        assert!(unavailable.way_on.is_none() && unavailable.wait.is_some());
        let because = Error::internal().because("the reason");
        assert!(!error(&because, "Hallpass", "r_1").contains("the reason"), "the reason is for the log only");
    }

    #[test]
    fn each_stop_names_its_cause_and_leads_back_to_where_the_person_wanted_to_go() {
        let page = |stop| ErrorPage::stopped(stop, "https://pos.company.com/", "Hallpass", "r_1");
        let (cookies, circle, clock) = (page(Stop::CookiesBlocked), page(Stop::Loop), page(Stop::ClockWrong));
        assert!(cookies.title.contains("cookie") && circle.title.contains("circles") && clock.title.contains("clock"));
        for page in [cookies, circle, clock] {
            assert!(!page.steps.is_empty());
            assert!(render(&page).contains("<a class=\"button big\" href=\"https://pos.company.com/\""));
        }
    }
}
