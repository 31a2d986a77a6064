//! Two pages that only lead on: to an address, or to an app's own one with something that is posted there. Protocol §8, §11; OAuth 2.0 Form Post
//! Response Mode.

use askama::Template;

use crate::web::page::asset_path;

/// Leads on after a click.
#[derive(Debug, Clone, Template)]
#[template(path = "onward.html")]
pub struct OnwardPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// A path of ours, or an address that is registered for an app.
    pub there: String,
}

/// Posts something to the app that it is for, by itself or by a click.
#[derive(Debug, Clone, Template)]
#[template(path = "form_post.html")]
pub struct FormPostPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// The app's name.
    pub app: String,
    /// It brings the app a person, not a refusal.
    pub signed_in: bool,
    /// The app's callback, as registered.
    pub action: String,
    /// What is posted, by name.
    pub fields: Vec<(&'static str, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::render;

    #[test]
    fn every_text_comes_out_escaped_and_every_page_has_its_landmarks() {
        let canary = || "<script>\"'&canary".to_owned();
        let onward = OnwardPage { brand: canary(), there: canary() };
        let form_post = FormPostPage {
            brand: canary(),
            app: canary(),
            signed_in: true,
            action: canary(),
            fields: vec![("code", canary()), ("state", canary())],
        };
        let refused = FormPostPage { signed_in: false, ..form_post.clone() };
        for (html, shown) in [(render(&onward), 4), (render(&form_post), 6), (render(&refused), 6)] {
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
