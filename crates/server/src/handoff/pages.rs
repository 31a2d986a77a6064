//! The pages of handoffs: the chain, and "Continue as". Protocol §8, §18.

use askama::Template;

use crate::web::page::{Person, asset_path};

/// One stop of a chain. Works without JavaScript; with it, a zone that does not answer is passed by.
#[derive(Debug, Clone, Template)]
#[template(path = "chain.html")]
pub struct ChainPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Cookies are taken away instead of fetched.
    pub signing_out: bool,
    /// Where the browser goes next: `company2.com`.
    pub domain: String,
    /// All stops.
    pub stages: Vec<Stage>,
    /// What is asked first, by script.
    pub check: String,
    /// The stop itself.
    pub go: String,
    /// This page once more, for a browser without scripts: the engine asks, and leads to one of the two.
    pub plain: String,
    /// The stop after this one.
    pub skip: String,
    /// After so many milliseconds the script goes there at the latest.
    pub left: u128,
}

/// One zone of a chain.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its domain.
    pub domain: String,
    /// `done`, `now`, `waiting`, `later` (on demand) or `skipped`.
    pub state: &'static str,
}

impl Stage {
    fn words(&self) -> &'static str {
        match self.state {
            "done" => "done",
            "now" => "under way",
            "later" => "on your next visit",
            "skipped" => "skipped",
            _ => "next",
        }
    }
}

/// Asks for a click, because nobody has clicked here for weeks. Posts `csrf_token` to `action`.
#[derive(Debug, Clone, Template)]
#[template(path = "continue.html")]
pub struct ContinuePage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// `/handoff/continue` with the query of the request that is waiting.
    pub action: String,
    /// Who is signed in.
    pub person: Person,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::render;

    #[test]
    fn every_text_comes_out_escaped_and_every_page_has_its_landmarks() {
        let canary = || "<script>\"'&canary".to_owned();
        let stage = |state| Stage { domain: canary(), state };
        let chain = ChainPage {
            brand: canary(),
            signing_out: false,
            domain: canary(),
            stages: vec![stage("done"), stage("now"), stage("waiting"), stage("later")],
            check: canary(),
            go: canary(),
            plain: canary(),
            skip: canary(),
            left: 6000,
        };
        let person = || Person { display_name: canary(), username: canary() };
        let continue_ = ContinuePage { brand: canary(), csrf_token: canary(), action: canary(), person: person() };
        let signing_out = ChainPage { signing_out: true, ..chain.clone() };
        for (html, shown) in [(render(&chain), 13), (render(&signing_out), 13), (render(&continue_), 6)] {
            assert!(!html.contains("<script>"), "{html}");
            let found = html.matches("&#60;script&#62;&#34;&#39;&#38;canary").count();
            assert_eq!(found, shown, "{html}");
            for once in ["<h1", "<main", "<header"] {
                assert_eq!(html.matches(once).count(), 1, "{once} in {html}");
            }
            for inline in ["style=", "<style", "onclick", "javascript:"] {
                assert!(!html.contains(inline), "{inline} in {html}");
            }
        }
    }
}
