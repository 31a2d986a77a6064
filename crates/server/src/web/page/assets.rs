//! The files that pages link to.

use std::fmt::Write as _;
use std::sync::LazyLock;

use hallpass_core::crypto::sha256;

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

pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them. Serve with `Cache-Control: public, max-age=31536000, immutable`.
pub static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        Asset::new("style.css", "text/css; charset=utf-8", include_bytes!("../../../assets/style.css")),
        Asset::new("emblem.svg", "image/svg+xml", include_bytes!("../../../assets/emblem.svg")),
        Asset::new("chain.js", JAVASCRIPT, include_bytes!("../../../assets/chain.js")),
        Asset::new("receipt.js", JAVASCRIPT, include_bytes!("../../../assets/receipt.js")),
        Asset::new("submit.js", JAVASCRIPT, include_bytes!("../../../assets/submit.js")),
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

    #[test]
    fn an_asset_is_found_at_an_address_that_changes_only_with_its_content() {
        let asset = |bytes| Asset::new("style.css", "text/css", bytes).path;
        assert_eq!(asset(b"a{}"), "/assets/style-5f546eb4606b5c2b.css");
        assert_ne!(asset(b"a{}"), asset(b"a{} "));
        for file in ASSETS.iter() {
            assert_eq!(asset_path(file.name), file.path);
        }
    }
}
