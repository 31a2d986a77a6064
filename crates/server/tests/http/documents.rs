//! What the documents promise about the tests is true of the tree: `docs/security-tests.md` has every row, and each test that it names is there.

use std::path::Path;

/// Texts in backquotes that name a test: `path::name`.
fn named(row: &str) -> Vec<(&str, &str)> {
    row.split('`').skip(1).step_by(2).filter_map(|text| text.split_once("::")).collect()
}

/// A function of that name, or a journey that is called so.
fn has(source: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let called = [format!("\"{name}\""), format!("`{name}`")];
    source.contains(&function) || called.iter().any(|title| source.contains(title))
}

#[test]
fn every_test_that_the_document_names_is_there_and_no_row_is_missing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let document = read("docs/security-tests.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| T")).collect();
    for number in 1..=32 {
        let mark = format!("| T{number} |");
        let found: Vec<_> = rows.iter().filter(|row| row.starts_with(&mark)).collect();
        assert_eq!(found.len(), 1, "rows that begin with {mark}");
        assert!(!named(found[0]).is_empty(), "{mark} names no test");
        let removed = found[0].trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        assert!(!removed.is_empty(), "{mark} does not say what was taken out");
    }
    let missing: Vec<_> = rows
        .iter()
        .flat_map(|row| named(row))
        .filter(|(path, name)| !has(&read(path), name))
        .map(|(path, name)| format!("{path}::{name}"))
        .collect();
    assert!(missing.is_empty(), "not in the tree: {missing:#?}");
}
