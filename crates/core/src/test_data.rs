//! Facts from elsewhere that tests run against where they are present: Wycheproof vectors, strings that fooled redirect checks.

/// The file of this name, or `None` after saying that the test skips it. `HALLPASS_TEST_DATA` names the directory; without it, it is
/// `../shared/data` beside the workspace.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub(crate) fn read(name: &str) -> Option<String> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let directory = std::env::var("HALLPASS_TEST_DATA").unwrap_or_else(|_| default.to_owned());
    let text = std::fs::read_to_string(std::path::Path::new(&directory).join(name)).ok();
    if text.is_none() {
        eprintln!("skipped: no {name} in {directory}");
    }
    text
}
