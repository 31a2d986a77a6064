//! Everything the layer refuses, in words: as a page for people, as problem details (RFC 9457) for programs (protocol §18).

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::{escaped, html, json_response};

/// An answer that refuses, as a page for people or as problem details for programs.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The word a program looks for.
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) detail: &'static str,
}

pub(crate) const CROSS_ORIGIN: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "cross_origin",
    title: "This did not come from here",
    detail: "The request was sent by another website, so nothing was done. Open this application directly and try again.",
};

pub(crate) const CSRF_FAILED: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "csrf_failed",
    title: "This form is too old",
    detail: "The form was opened before you last signed in, so nothing was done. Go back, reload the page and send it again.",
};

pub(crate) const NOT_PERMITTED: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "not_permitted",
    title: "You may not do this",
    detail: "Your account does not have the permission that this needs. If you should have it, ask whoever manages access to this application.",
};

pub(crate) const TOO_MANY_COOKIES: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    code: "too_many_passes",
    title: "Too many sign-in cookies",
    detail: "Your browser sent several sign-in cookies at once, which another website under the same domain must have set. They have been removed. Reload the page; if this comes back, tell your administrator.",
};

pub(crate) const TOO_LARGE: Refusal = Refusal {
    status: StatusCode::PAYLOAD_TOO_LARGE,
    code: "too_large",
    title: "That was too much",
    detail: "The form is larger than this address accepts.",
};

pub(crate) const INVALID_FORM: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    code: "invalid_request",
    title: "This form cannot be read",
    detail: "A field is missing or was sent twice. Go back and try again.",
};

pub(crate) const NOT_FOUND: Refusal = Refusal {
    status: StatusCode::NOT_FOUND,
    code: "not_found",
    title: "There is nothing here",
    detail: "The address may have been mistyped.",
};

pub(crate) const METHOD_NOT_ALLOWED: Refusal = Refusal {
    status: StatusCode::METHOD_NOT_ALLOWED,
    code: "method_not_allowed",
    title: "This address takes forms only",
    detail: "Go back to the application and use the button there.",
};

pub(crate) const FOR_READING: Refusal = Refusal {
    status: StatusCode::METHOD_NOT_ALLOWED,
    code: "method_not_allowed",
    title: "This address takes no forms",
    detail: "Go back to the application and use the links there.",
};

pub(crate) const WINDOWS_ONLY: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "not_a_navigation",
    title: "This address is for browser windows only",
    detail: "It was asked for by a frame, a script, or before anybody wanted to see it, so nothing was done. Open the application itself.",
};

pub(crate) const HANDOFF_REFUSED: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "handoff_refused",
    title: "This sign-in was not begun here",
    detail: "The address that you opened finishes a sign-in which was begun in another browser or too long ago, or which is over already. Nothing was done. If this comes again and again, allow cookies for this site in your browser's settings.",
};

pub(crate) const SUBJECT_SWITCH: Refusal = Refusal {
    status: StatusCode::CONFLICT,
    code: "subject_switch",
    title: "Another person has signed in",
    detail: "Another person is now signed in in this browser. Reload the page to continue.",
};

pub(crate) const CONFIRMATION_REQUIRED: Refusal = Refusal {
    status: StatusCode::CONFLICT,
    code: "confirmation_required",
    title: "Please confirm who you are",
    detail: "This application has not been used in this browser before. Reload the page to continue.",
};

impl Refusal {
    /// The answer, as a page if `page`.
    pub(crate) fn answer(&self, page: bool) -> Response {
        if page {
            let body = format!("<h1>{}</h1><p>{}</p>", escaped(self.title), escaped(self.detail));
            return html(self.status, self.title, &body, None);
        }
        let problem = json!({
            "type": "about:blank", "title": self.title, "status": self.status.as_u16(),
            "detail": self.detail, "error": self.code,
        });
        json_response(self.status, "application/problem+json", &problem)
    }
}
