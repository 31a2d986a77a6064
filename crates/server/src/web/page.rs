//! The engine's HTML pages and the files they need (protocol.md §18): plain values in, a finished document out.
//!
//! Pages carry no inline script and no inline style (the three that need a script link to a file), so the policy sent with them needs neither a nonce nor `unsafe-inline`. Nothing
//! in them comes from a request header: a link taken from `Referer` is somebody else's link (advisory T11). Every dynamic
//! text is escaped by the template engine; no template switches that off, and a test puts a canary into each field.

mod account;
mod assets;
mod error;
mod sign_in;
mod sign_out;

use std::time::Duration;

use askama::Template;

pub use self::account::{AccountPage, AllowedLine, ChangePasswordPage, SessionLine, UpstreamLine};
pub use self::assets::{ASSETS, Asset, asset_path};
pub use self::error::{ErrorPage, Stop, error};
pub use self::sign_in::{SignInPage, SignInProblem};
pub use self::sign_out::{ReceiptLine, SignOutPage, SignedOutPage};

/// The finished document.
pub fn render(page: &impl Template) -> String {
    page.render().expect("writing text into a String cannot fail")
}

/// `/` for somebody who is signed in. Posts `csrf_token` to `/sign-out`.
#[derive(Debug, Clone, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// Who is signed in.
    pub person: Person,
    /// Apps this person may use; may be empty.
    pub apps: Vec<AppLink>,
}

/// An app on the start page.
#[derive(Debug, Clone)]
pub struct AppLink {
    /// Its name.
    pub name: String,
    /// Its address, from configuration: never from a request.
    pub url: String,
}

/// A person as pages name them.
#[derive(Debug, Clone)]
pub struct Person {
    /// "Ana Costa".
    pub display_name: String,
    /// "ana".
    pub username: String,
}

impl Person {
    /// First letters of the first and the last name, in capitals; "?" for a name without letters.
    pub fn initials(&self) -> String {
        let mut words =
            self.display_name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
        let (first, last) = (words.next(), words.next_back());
        let initials: String = first.into_iter().chain(last).flat_map(char::to_uppercase).collect();
        if initials.is_empty() { "?".to_owned() } else { initials }
    }
}

/// A link onward, never taken from a header.
#[derive(Debug, Clone)]
pub struct WayOn {
    /// What it says.
    pub label: String,
    /// A path of ours, or a destination that has been checked.
    pub url: String,
}

/// A wait in words, rounded up so that coming back at the time said is never too early: "1 second", "5 minutes", "2 hours".
pub fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let (count, unit) = match seconds {
        0..=90 => (seconds.max(1), "second"),
        91..=5_400 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3_600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use hallpass_core::logout::Told;

    use super::assets::JAVASCRIPT;
    use super::*;
    use crate::oidc::services::Service;

    const CANARY: &str = "<script>\"'&canary";

    fn canary() -> String {
        CANARY.to_owned()
    }

    fn person() -> Person {
        Person { display_name: canary(), username: canary() }
    }

    /// Every page in every shape, a canary in each text, and how many of them must show.
    fn pages() -> Vec<(&'static str, String, usize)> {
        let sign_in = SignInPage {
            brand: canary(),
            csrf_token: canary(),
            action: canary(),
            app_name: Some(canary()),
            username: canary(),
            stay: true,
            problem: Some(SignInProblem::Wrong),
            signed_in_as: Some(person()),
            again: false,
            sign_up: true,
            upstreams: vec![WayOn { label: canary(), url: canary() }],
            asks_name: false,
        };
        let expired = SignInPage { problem: Some(SignInProblem::Expired), ..sign_in.clone() };
        let again = SignInPage { again: true, ..sign_in.clone() };
        let name = SignInPage { asks_name: true, ..sign_in.clone() };
        let throttled =
            SignInPage { problem: Some(SignInProblem::Throttled(Duration::from_secs(30))), ..sign_in.clone() };
        let change = ChangePasswordPage {
            brand: canary(),
            csrf_token: canary(),
            action: canary(),
            username: canary(),
            forced: false,
            minimum_length: 15,
            current_error: Some(canary()),
            new_error: Some(canary()),
            again_error: Some(canary()),
        };
        let forced = ChangePasswordPage { forced: true, ..change.clone() };
        let line = SessionLine {
            id: canary(),
            browser: canary(),
            ip: canary(),
            since: canary(),
            last_active: canary(),
            this_browser: false,
        };
        let account = AccountPage {
            brand: canary(),
            csrf_token: canary(),
            person: person(),
            notice: Some(canary()),
            sessions: vec![SessionLine { this_browser: true, ..line.clone() }, line],
            allowed: vec![AllowedLine {
                key: canary(),
                name: canary(),
                domain: canary(),
                learns: canary(),
                uses: vec![
                    Service { name: Some(canary()), address: canary() },
                    Service { name: None, address: canary() },
                ],
                since: canary(),
            }],
            upstreams: [true, false].map(|linked| UpstreamLine { name: canary(), label: canary(), linked }).into(),
            fresh: true,
        };
        let account_not_fresh = AccountPage { fresh: false, ..account.clone() };
        let home = HomePage {
            brand: canary(),
            csrf_token: canary(),
            person: person(),
            apps: vec![AppLink { name: canary(), url: canary() }],
        };
        let receipt = ReceiptLine { app: canary(), domain: canary(), told: Told::Retrying };
        let signed_out =
            SignedOutPage { brand: canary(), everywhere: true, apps: vec![receipt], pending: true, untold: true };
        let no_apps = HomePage { apps: Vec::new(), ..home.clone() };
        let error = ErrorPage {
            brand: canary(),
            label: canary(),
            title: canary(),
            message: canary(),
            steps: vec![canary(), canary()],
            wait: Some(canary()),
            way_on: Some(WayOn { label: canary(), url: canary() }),
            request_id: canary(),
        };
        let one_step = ErrorPage { steps: vec![canary()], ..error.clone() };
        vec![
            ("sign-in", render(&sign_in), 12),
            ("sign-in, expired", render(&expired), 12),
            ("sign-in, throttled", render(&throttled), 12),
            ("sign-in, again", render(&again), 11),
            ("sign-in, name", render(&name), 12),
            ("change password", render(&change), 8),
            ("change password, forced", render(&forced), 7),
            ("account", render(&account), 37),
            ("account, not fresh", render(&account_not_fresh), 31),
            ("sign out", render(&SignOutPage { brand: canary(), csrf_token: canary(), person: person() }), 4),
            ("signed out", render(&signed_out), 4),
            ("home", render(&home), 7),
            ("home without apps", render(&no_apps), 5),
            ("error", render(&error), 12),
            ("error, one step", render(&one_step), 11),
        ]
    }

    #[test]
    fn every_text_comes_out_escaped() {
        for (name, html, shown) in pages() {
            let without_files = html.replace("<script src=\"/assets/", "");
            assert!(!without_files.contains("<script"), "{name}: raw markup");
            assert!(!html.contains(CANARY), "{name}: raw canary");
            assert_eq!(
                html.matches("&#60;script&#62;&#34;&#39;&#38;canary").count(),
                shown,
                "{name}: a field is not shown"
            );
        }
    }

    #[test]
    fn every_page_has_a_language_a_title_one_heading_and_its_landmarks() {
        for (name, html, _) in pages() {
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
            let title =
                html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title);
            let page_title = title.and_then(|title| title.split_once(" · ")).map_or("", |(page, _)| page);
            assert!(!page_title.is_empty(), "{name}: {title:?}");
            for once in ["<h1", "<main", "<header"] {
                assert_eq!(html.matches(once).count(), 1, "{name}: {once}");
            }
            assert_eq!(html.matches("<form").count(), html.matches("name=\"csrf_token\"").count(), "{name}");
        }
    }

    #[test]
    fn pages_hold_nothing_that_a_strict_policy_would_block() {
        for (name, html, _) in pages() {
            for inline in ["style=", "<style", "onclick", "javascript:", "http://", "https://"] {
                assert!(!html.contains(inline), "{name}: {inline}");
            }
            for asset in ASSETS.iter().filter(|asset| asset.content_type != JAVASCRIPT) {
                assert!(html.contains(&format!("href=\"{}\"", asset.path)), "{name}: {}", asset.path);
            }
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        for (seconds, words) in [
            (0, "1 second"),
            (1, "1 second"),
            (90, "90 seconds"),
            (91, "2 minutes"),
            (5_400, "90 minutes"),
            (7_201, "3 hours"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
        assert_eq!(in_words(Duration::from_millis(1_001)), "2 seconds");
    }

    #[test]
    fn initials_are_of_the_first_and_the_last_name() {
        for (name, initials) in
            [("Ana Maria Costa", "AC"), ("bruno", "B"), ("Élodie 'Q' Ñu", "ÉÑ"), ("", "?"), ("—", "?")]
        {
            assert_eq!(Person { display_name: name.to_owned(), username: String::new() }.initials(), initials);
        }
    }
}
