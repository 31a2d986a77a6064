//! The pages of the device grant. Protocol §18.

use askama::Template;

use crate::oidc::pages::Learns;
use crate::web::page::{Person, asset_path};

/// Asks for the code that a device shows. Posts `csrf_token` and `user_code` to `/device`.
#[derive(Debug, Clone, Template)]
#[template(path = "device_enter.html")]
pub struct EnterPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// Who is signed in.
    pub person: Person,
    /// Of the address that led here.
    pub code: String,
    /// Why the page is shown again.
    pub problem: Option<String>,
}

/// Asks whether the device may. Posts `csrf_token` and `decision`, `allow` or `deny`, to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "device_ask.html")]
pub struct AskPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session and this code.
    pub csrf_token: String,
    /// `/device/decide` with the code.
    pub action: String,
    /// In whose name the device would act.
    pub person: Person,
    /// What people call the app.
    pub app: String,
    /// It would go on when its person has signed out.
    pub offline: bool,
    /// It is somebody else's.
    pub third_party: bool,
    /// What it will know, if it is.
    pub learns: Vec<Learns>,
    /// What the device has to show.
    pub code: String,
    /// Where the request came from.
    pub ip: String,
    /// Which is not where this browser is.
    pub elsewhere: bool,
    /// When it came: "2 minutes ago".
    pub asked: String,
}

/// That is all.
#[derive(Debug, Clone, Template)]
#[template(path = "device_done.html")]
pub struct DonePage {
    /// Name of the product, as configured.
    pub brand: String,
    /// What was decided.
    pub allowed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::render;

    const CANARY: &str = "<script>\"'&canary";

    fn canary() -> String {
        CANARY.to_owned()
    }

    #[test]
    fn every_text_comes_out_escaped_and_every_form_has_its_token() {
        let person = || Person { display_name: canary(), username: canary() };
        let enter = EnterPage {
            brand: canary(),
            csrf_token: canary(),
            person: person(),
            code: canary(),
            problem: Some(canary()),
        };
        let ask = AskPage {
            brand: canary(),
            csrf_token: canary(),
            action: canary(),
            person: person(),
            app: canary(),
            offline: true,
            third_party: true,
            learns: vec![Learns { what: "x", detail: canary() }],
            code: canary(),
            ip: canary(),
            elsewhere: true,
            asked: canary(),
        };
        let done = DonePage { brand: canary(), allowed: true };
        for (name, html, shown, forms) in
            [("enter", render(&enter), 6, 1), ("ask", render(&ask), 13, 2), ("done", render(&done), 2, 0)]
        {
            assert!(!html.contains("<script"), "{name}: raw markup");
            assert_eq!(html.matches("&#60;script&#62;&#34;&#39;&#38;canary").count(), shown, "{name}");
            assert_eq!(html.matches("<form method=\"post\"").count(), forms, "{name}");
            assert_eq!(html.matches("name=\"csrf_token\"").count(), forms, "{name}");
            for once in ["<h1", "<main", "<header"] {
                assert_eq!(html.matches(once).count(), 1, "{name}: {once}");
            }
            for inline in ["style=", "<style", "onclick", "javascript:", "http://", "https://"] {
                assert!(!html.contains(inline), "{name}: {inline}");
            }
        }
    }
}
