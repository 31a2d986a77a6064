//! The engine's HTML pages and the files they need (protocol.md §18): plain values in, a finished document out.
//!
//! Pages carry no inline script and no inline style (the three that need a script link to a file), so the policy sent with them needs neither a nonce nor `unsafe-inline`. Nothing
//! in them comes from a request header: a link taken from `Referer` is somebody else's link (advisory T11). Every dynamic
//! text is escaped by the template engine; no template switches that off, and a test puts a canary into each field.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use hallpass_core::crypto::sha256;
use hallpass_core::logout::Told;

use crate::oidc::services::Service;
use crate::web::error::Error;

/// The finished document.
pub fn render(page: &impl Template) -> String {
    page.render().expect("writing text into a String cannot fail")
}

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

/// Asks for a new password. Posts `csrf_token`, `current_password` (unless forced), `new_password` and `new_password_again`
/// to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "change_password.html")]
pub struct ChangePasswordPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the flow or session.
    pub csrf_token: String,
    /// Where the form goes: `/account/password` with the query of the journey, if there is one.
    pub action: String,
    /// Shown so that a password manager files the new password under the right name.
    pub username: String,
    /// Part of a sign-in: the current password was given a moment ago and is not asked for again.
    pub forced: bool,
    /// Characters that a new password has at least.
    pub minimum_length: usize,
    /// What is wrong with the current password given.
    pub current_error: Option<String>,
    /// Why the new password is refused.
    pub new_error: Option<String>,
    /// The second typing differs.
    pub again_error: Option<String>,
}

/// `/account`: who I am and where I am signed in. Posts `csrf_token` and `session_id` to `/account/sessions/end`, `csrf_token`
/// to `/account/sign-out-everywhere`, `csrf_token` and `app_key` to `/account/apps/revoke`, and `csrf_token` to `/sign-out` for the browser in use.
#[derive(Debug, Clone, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// Whose sessions these are.
    pub person: Person,
    /// What has just been done, such as "That session has ended."
    pub notice: Option<String>,
    /// Live sessions in the order to show them, this browser's first.
    pub sessions: Vec<SessionLine>,
    /// What the person has allowed, by app; may be empty.
    pub allowed: Vec<AllowedLine>,
    /// Where they may sign in besides here; may be empty.
    pub upstreams: Vec<UpstreamLine>,
    /// They have just proved who they are, and may change that.
    pub fresh: bool,
}

impl AccountPage {
    /// Whether anything that they have allowed may call a service in their name.
    fn uses_services(&self) -> bool {
        self.allowed.iter().any(|app| !app.uses.is_empty())
    }
}

/// One provider on [`AccountPage`]. Its button posts `csrf_token` and `upstream` to `/account/upstreams/link` or `/account/upstreams/unlink`.
#[derive(Debug, Clone)]
pub struct UpstreamLine {
    /// What the configuration calls it, sent back to name it.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// Whether whoever signs in there with the right account is this person.
    pub linked: bool,
}

/// One app that the person has allowed to learn who they are.
#[derive(Debug, Clone)]
pub struct AllowedLine {
    /// The app's key, sent back to take it back.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Where it is; empty if it has no address any more.
    pub domain: String,
    /// What it may know, in words that follow "Knows".
    pub learns: String,
    /// What it may call in their name; may be empty.
    pub uses: Vec<Service>,
    /// When it was allowed, in words that follow "Allowed".
    pub since: String,
}

/// One line of [`AccountPage`].
#[derive(Debug, Clone)]
pub struct SessionLine {
    /// The session's id (`s_…`), sent back to end it. Not its secret.
    pub id: String,
    /// The browser in plain words: "Firefox on Windows".
    pub browser: String,
    /// Where it signed in from: an IP address.
    pub ip: String,
    /// When it signed in, in words that follow "Signed in": "3 days ago".
    pub since: String,
    /// When it was last used, in words that follow "Last active".
    pub last_active: String,
    /// It is the session this page is shown to.
    pub this_browser: bool,
}

/// `GET /sign-out` without an intent: asks first, so that a link or an image elsewhere signs nobody out. Posts `csrf_token`.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_out.html")]
pub struct SignOutPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// Who would be signed out.
    pub person: Person,
}

/// Signed out, or nobody was signed in.
#[derive(Debug, Clone, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Every session of the person has ended, not only this browser's.
    pub everywhere: bool,
    /// The apps that had learned of it; may be empty.
    pub apps: Vec<ReceiptLine>,
    /// Not all of them know: the page looks again by itself.
    pub pending: bool,
    /// There are some that cannot be told.
    pub untold: bool,
}

impl SignedOutPage {
    /// Without a receipt.
    pub fn plain(brand: String) -> Self {
        Self { brand, everywhere: false, apps: Vec::new(), pending: false, untold: false }
    }
}

/// One app on a sign-out receipt.
#[derive(Debug, Clone)]
pub struct ReceiptLine {
    /// Its name.
    pub app: String,
    /// Its zone's domain.
    pub domain: String,
    /// Whether it knows.
    pub told: Told,
}

impl ReceiptLine {
    fn state(&self) -> &'static str {
        match self.told {
            Told::SignedOut => "signed_out",
            Told::Untold => "untold",
            Told::Retrying => "retrying",
            Told::Unreachable => "unreachable",
        }
    }

    fn words(&self) -> &'static str {
        match self.told {
            Told::SignedOut => "Signed out",
            Told::Untold => "Not told",
            Told::Retrying => "Being told",
            Told::Unreachable => "Not reached",
        }
    }
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

/// A link onward, never taken from a header.
#[derive(Debug, Clone)]
pub struct WayOn {
    /// What it says.
    pub label: String,
    /// A path of ours, or a destination that has been checked.
    pub url: String,
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

/// A file that pages link to. Its address contains a digest of its content, so it may be cached for ever.
#[derive(Debug)]
pub struct Asset {
    /// `/assets/<name>-<digest>.<extension>`.
    pub path: String,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    /// Name in the source tree.
    pub name: &'static str,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them. Serve with `Cache-Control: public, max-age=31536000, immutable`.
pub static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        Asset::new("style.css", "text/css; charset=utf-8", include_bytes!("../../assets/style.css")),
        Asset::new("emblem.svg", "image/svg+xml", include_bytes!("../../assets/emblem.svg")),
        Asset::new("chain.js", JAVASCRIPT, include_bytes!("../../assets/chain.js")),
        Asset::new("receipt.js", JAVASCRIPT, include_bytes!("../../assets/receipt.js")),
        Asset::new("submit.js", JAVASCRIPT, include_bytes!("../../assets/submit.js")),
    ]
});

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        let (stem, extension) = name.split_once('.').expect("names above have an extension");
        let mut path = format!("/assets/{stem}-");
        for byte in &sha256(bytes)[..8] {
            write!(path, "{byte:02x}").expect("writing text into a String cannot fail");
        }
        path.push('.');
        path.push_str(extension);
        Self { path, content_type, bytes, name }
    }
}

/// Where the file called `name` in the source tree is served.
pub fn asset_path(name: &str) -> &'static str {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .expect("templates name files of ASSETS; a test renders every template");
    &asset.path
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn an_asset_is_found_at_an_address_that_changes_only_with_its_content() {
        let asset = |bytes| Asset::new("style.css", "text/css", bytes).path;
        assert_eq!(asset(b"a{}"), "/assets/style-5f546eb4606b5c2b.css");
        assert_ne!(asset(b"a{}"), asset(b"a{} "));
        for file in ASSETS.iter() {
            assert_eq!(asset_path(file.name), file.path);
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

    #[test]
    fn initials_are_of_the_first_and_the_last_name() {
        for (name, initials) in
            [("Ana Maria Costa", "AC"), ("bruno", "B"), ("Élodie 'Q' Ñu", "ÉÑ"), ("", "?"), ("—", "?")]
        {
            assert_eq!(Person { display_name: name.to_owned(), username: String::new() }.initials(), initials);
        }
    }
}
