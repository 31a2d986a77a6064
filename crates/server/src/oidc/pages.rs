//! The pages of the authorization endpoint: who goes on, and whether an app of somebody else may know. Plain forms, without scripts. Protocol §11, §18.

use askama::Template;

use super::services::Service;
use crate::web::page::{Person, asset_path};

/// Asks whether an app may learn who the person is. Posts `csrf_token` and `decision`, `allow` or `deny`, to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "consent.html")]
pub struct ConsentPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session and of this very request.
    pub csrf_token: String,
    /// `/oauth/consent` with the request, sealed.
    pub action: String,
    /// The app's name: what its owner calls it.
    pub app: String,
    /// It is somebody else's; otherwise one of the company's own, which wants people to be asked.
    pub third_party: bool,
    /// Of one that describes itself: the host where, which nobody but its owner can choose. Its name it has chosen freely.
    pub described_at: Option<String>,
    /// Whatever runs on this device may be what asks.
    pub any_program: bool,
    /// Where the answer goes, which nobody can choose freely: the host of the redirect URI.
    pub domain: String,
    /// Who is asked.
    pub person: Person,
    /// What the app will know.
    pub learns: Vec<Learns>,
    /// What it could call in their name; may be empty.
    pub services: Vec<Service>,
    /// The sign-in page, for somebody else.
    pub another: String,
}

/// One thing that an app will know.
#[derive(Debug, Clone)]
pub struct Learns {
    /// In a few words.
    pub what: &'static str,
    /// The very thing.
    pub detail: String,
}

/// Asks who wants to go on. Posts `csrf_token` to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "select_account.html")]
pub struct SelectAccountPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session and of this very request.
    pub csrf_token: String,
    /// `/oauth/account` with the request, sealed.
    pub action: String,
    /// The app's name.
    pub app: String,
    /// Who is signed in.
    pub person: Person,
    /// The sign-in page, for somebody else.
    pub another: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::render;

    #[test]
    fn every_text_comes_out_escaped_and_every_page_has_its_landmarks() {
        let canary = || "<script>\"'&canary".to_owned();
        let person = || Person { display_name: canary(), username: canary() };
        let consent = ConsentPage {
            brand: canary(),
            csrf_token: canary(),
            action: canary(),
            app: canary(),
            third_party: true,
            described_at: None,
            any_program: false,
            domain: canary(),
            person: person(),
            learns: vec![Learns { what: "x", detail: canary() }, Learns { what: "y", detail: canary() }],
            services: vec![
                Service { name: Some(canary()), address: canary() },
                Service { name: None, address: canary() },
            ],
            another: canary(),
        };
        let ours = ConsentPage { third_party: false, any_program: true, ..consent.clone() };
        let described = ConsentPage { described_at: Some(canary()), any_program: true, ..consent.clone() };
        let select = SelectAccountPage {
            brand: canary(),
            csrf_token: canary(),
            action: canary(),
            app: canary(),
            person: person(),
            another: canary(),
        };
        for (html, shown) in
            [(render(&consent), 16), (render(&ours), 16), (render(&described), 16), (render(&select), 10)]
        {
            assert!(!html.contains("<script") && !html.contains("\"'&canary"), "{html}");
            let found = html.matches("&#60;script&#62;&#34;&#39;&#38;canary").count();
            assert_eq!(found, shown, "{html}");
            for once in ["<h1", "<main", "<header", "<form", "name=\"csrf_token\""] {
                assert_eq!(html.matches(once).count(), 1, "{once} in {html}");
            }
            for inline in ["style=", "<style", "onclick", "javascript:"] {
                assert!(!html.contains(inline), "{inline} in {html}");
            }
        }
    }
}
