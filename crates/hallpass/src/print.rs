//! How the verbs speak: aligned tables and sentences for people, JSON for scripts. Nothing else writes to standard output.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write as _, stdout};

use hallpass_core::time::Timestamp;
use serde_json::Value;

/// Rows whose columns are aligned together. Longer lists are printed in pages of so many, never held in memory.
const PAGE: usize = 200;

/// A list: a table, or one JSON array with one object a line.
pub struct Listing {
    json: bool,
    heads: &'static [&'static str],
    widths: Vec<usize>,
    page: Vec<Vec<String>>,
    count: usize,
    out: BufWriter<Stdout>,
}

impl Listing {
    /// A list with these columns.
    pub fn new(json: bool, heads: &'static [&'static str]) -> Self {
        let widths = heads.iter().map(|head| head.len()).collect();
        Self { json, heads, widths, page: Vec::new(), count: 0, out: BufWriter::new(stdout()) }
    }

    /// Adds one row: its cells for people, its object for scripts.
    pub fn row(&mut self, cells: &[String], object: &Value) -> io::Result<()> {
        self.count += 1;
        if self.json {
            let before = if self.count == 1 { "[\n" } else { ",\n" };
            return write!(self.out, "{before}{object}");
        }
        self.page.push(cells.iter().map(|cell| plain(cell)).collect());
        if self.page.len() < PAGE { Ok(()) } else { self.print_page() }
    }

    /// Prints what is left, or says that there is `nothing`.
    pub fn end(mut self, nothing: &str) -> io::Result<()> {
        if self.json {
            writeln!(self.out, "{}", if self.count == 0 { "[]" } else { "\n]" })?;
        } else if self.count == 0 {
            writeln!(self.out, "{nothing}")?;
        } else {
            self.print_page()?;
        }
        self.out.flush()
    }

    fn print_page(&mut self) -> io::Result<()> {
        let first = self.count == self.page.len();
        for row in &self.page {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if first {
            let heads: Vec<_> = self.heads.iter().map(ToString::to_string).collect();
            line(&mut self.out, &self.widths, &heads)?;
        }
        for row in std::mem::take(&mut self.page) {
            line(&mut self.out, &self.widths, &row)?;
        }
        Ok(())
    }
}

fn line(out: &mut impl io::Write, widths: &[usize], cells: &[String]) -> io::Result<()> {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', (width + 2).saturating_sub(cell.chars().count())));
    }
    writeln!(out, "{}", text.trim_end())
}

/// What was done: a sentence, or an object for scripts.
pub fn done(json: bool, sentence: impl Display, object: &Value) -> io::Result<()> {
    if json { writeln!(stdout(), "{object}") } else { writeln!(stdout(), "{sentence}") }
}

/// Names and values, one pair a line, aligned.
pub fn facts(facts: &[(&str, String)]) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in facts {
        writeln!(stdout(), "{name:<width$}  {}", plain(value))?;
    }
    Ok(())
}

/// Control characters replaced: a browser may call itself anything, and a terminal obeys escape sequences.
pub fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// `2026-11-03T08:15:00Z`: the same everywhere, whatever the machine's time zone.
pub fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_seconds()).map_or_else(|_| format!("{at:?}"), |at| at.to_string())
}

/// An instant that may not have come: its text, or `null` in JSON.
pub fn maybe(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| instant(at).into())
}

/// `one, two`, or a dash.
pub fn joined<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let text = values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".to_owned() } else { text }
}

/// `1 user`, `2 users`.
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_said_in_universal_time() {
        assert_eq!(instant(Timestamp::from_seconds(0)), "1970-01-01T00:00:00Z");
        assert_eq!(instant(Timestamp::from_millis(1_700_000_000_999)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_terminal_gets_no_commands_from_names() {
        assert_eq!(plain("\u{1b}[2Jana\n"), "\u{fffd}[2Jana\u{fffd}");
    }

    #[test]
    fn columns_are_aligned_by_characters() {
        let mut out = Vec::new();
        line(&mut out, &[4, 3], &["\u{e4}na".into(), "x".into()]).expect("written");
        assert_eq!(String::from_utf8(out).expect("text"), "\u{e4}na   x\n");
        assert_eq!((counted(1u64, "user"), counted(2usize, "user")), ("1 user".into(), "2 users".into()));
    }
}
