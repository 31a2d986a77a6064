//! The page that asks who somebody is.

use std::time::Duration;

use askama::Template;

use super::{Person, WayOn, asset_path, in_words};

/// Asks for username and password. Posts `csrf_token`, `username`, `password` and, if ticked, `stay=1` to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the flow.
    pub csrf_token: String,
    /// Where the form goes: `/sign-in` with the query of the journey.
    pub action: String,
    /// Name of the app that the person wants to reach.
    pub app_name: Option<String>,
    /// What was typed before, so that it need not be typed again.
    pub username: String,
    /// "Stay signed in" was ticked before.
    pub stay: bool,
    /// Why the page is shown again.
    pub problem: Option<SignInProblem>,
    /// Who is signed in in this browser already.
    pub signed_in_as: Option<Person>,
    /// They are to prove anew that it is they: for an app, which has asked for it.
    pub again: bool,
    /// The app thinks that people sign up here.
    pub sign_up: bool,
    /// Where somebody may sign in besides here.
    pub upstreams: Vec<WayOn>,
    /// Ask for the name alone: where its person signs in depends on it. Posts `csrf_token` and `username` to `/sign-in/name`.
    pub asks_name: bool,
}

impl SignInPage {
    /// The fields themselves are to be corrected.
    fn is_wrong(&self) -> bool {
        self.problem == Some(SignInProblem::Wrong)
    }

    /// None of the ways stands out, because none is more right than the others.
    fn is_one_of_several(&self) -> bool {
        self.upstreams.len() > 1 || self.asks_name
    }

    /// How long to wait, in words; empty when there is nothing to wait for.
    fn wait(&self) -> String {
        match self.problem {
            Some(SignInProblem::Throttled(wait)) => in_words(wait),
            _ => String::new(),
        }
    }
}

/// Why the sign-in page is shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInProblem {
    /// The form was too old, or its cookie did not come back; nothing was tried.
    Expired,
    /// Refused, in the same words whether or not there is such a user.
    Wrong,
    /// Too many attempts; nothing was tried. How long to wait.
    Throttled(Duration),
}

#[cfg(test)]
mod tests {
    use super::super::render;
    use super::*;

    #[test]
    fn the_sign_in_page_says_what_happened() {
        let page = |problem| {
            let (brand, csrf_token, action) = ("Hallpass".to_owned(), "t".to_owned(), "/sign-in".to_owned());
            let username = "ana".to_owned();
            render(&SignInPage {
                brand,
                csrf_token,
                action,
                app_name: None,
                username,
                stay: false,
                problem,
                signed_in_as: None,
                again: false,
                sign_up: false,
                upstreams: Vec::new(),
                asks_name: false,
            })
        };
        assert!(!page(None).contains("role=\"alert\""));
        assert!(page(Some(SignInProblem::Wrong)).contains("Username or password is wrong."));
        assert!(page(Some(SignInProblem::Expired)).contains("open for too long"));
        assert!(page(Some(SignInProblem::Throttled(Duration::from_mins(2)))).contains("wait 2 minutes"));
    }
}
