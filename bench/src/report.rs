//! The report: targets with their verdicts first, then every table, as Markdown for people and JSON for comparing runs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Failure;

/// Kernel threads and clocks alone use less.
const DISTURBED: f64 = 0.05;

/// A target and what was measured.
struct Check {
    what: String,
    /// `None`: to be known, without a target.
    target: Option<String>,
    measured: String,
    passed: bool,
}

struct Table {
    title: String,
    note: String,
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// What has been measured so far.
#[derive(Default)]
pub struct Report {
    checks: Vec<Check>,
    tables: Vec<Table>,
    data: Map<String, Value>,
    disturbance: f64,
}

impl Report {
    /// Compares with a target; says so at once, because a full run takes long.
    pub fn check(&mut self, what: &str, target: &str, measured: &str, passed: bool) {
        say(&format!("   {} {what}: {measured} (target {target})", if passed { "ok    " } else { "MISSED" }));
        self.checks.push(Check {
            what: what.to_owned(),
            target: Some(target.to_owned()),
            measured: measured.to_owned(),
            passed,
        });
    }

    /// What has no target and belongs beside those that have.
    pub fn tell(&mut self, what: &str, measured: &str) {
        say(&format!("          {what}: {measured}"));
        self.checks.push(Check { what: what.to_owned(), target: None, measured: measured.to_owned(), passed: true });
    }

    /// Adds a table.
    pub fn table(&mut self, title: String, note: &str, header: Vec<&'static str>, rows: Vec<Vec<String>>) {
        self.tables.push(Table { title, note: note.to_owned(), header, rows });
    }

    /// Notes which share of the cores was used by somebody who has no part in the benchmark.
    pub fn disturbed(&mut self, share: f64) {
        self.disturbance = self.disturbance.max(share);
    }

    /// Keeps figures for the JSON file.
    pub fn keep(&mut self, name: String, value: Value) {
        self.data.insert(name, value);
    }

    /// How many targets were missed.
    pub fn missed(&self) -> usize {
        self.checks.iter().filter(|check| !check.passed).count()
    }

    /// Writes `file`, and the same name with `.json`.
    pub fn write(&self, file: &Path, headline: &str, facts: &[(&str, String)], method: &str) -> Result<(), Failure> {
        let mut text = format!("# Benchmark: {headline}\n\n");
        let targets = self.checks.iter().filter(|check| check.target.is_some()).count();
        writeln!(text, "{} of {targets} targets met.\n", targets - self.missed())?;
        if self.disturbance > DISTURBED {
            let percent = self.disturbance * 100.0;
            writeln!(
                text,
                "**Disturbed**: other work used {percent:.0} % of the machine; measure again when it is idle.\n"
            )?;
        }
        let rows = self.checks.iter().map(|check| {
            let verdict = match (&check.target, check.passed) {
                (None, _) => "",
                (_, true) => "met",
                (_, false) => "**missed**",
            };
            let target = check.target.clone().unwrap_or_default();
            vec![check.what.clone(), target, check.measured.clone(), verdict.to_owned()]
        });
        table(&mut text, &["What", "Target", "Measured", ""], &rows.collect::<Vec<_>>())?;
        writeln!(text, "\n## Machine and versions\n")?;
        let rows = facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        table(&mut text, &["", ""], &rows.collect::<Vec<_>>())?;
        writeln!(text, "\n## How it was measured\n\n{}", method.trim())?;
        for Table { title, note, header, rows } in &self.tables {
            writeln!(text, "\n## {title}\n")?;
            if !note.is_empty() {
                writeln!(text, "{note}\n")?;
            }
            table(&mut text, header, rows)?;
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, text)?;
        let check = |check: &Check| json!({ "what": check.what, "target": check.target, "measured": check.measured, "passed": check.passed });
        let facts: Map<String, Value> = facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let all = json!({ "machine": facts, "checks": self.checks.iter().map(check).collect::<Vec<_>>(), "figures": self.data, "disturbance": self.disturbance });
        std::fs::write(file.with_extension("json"), serde_json::to_string_pretty(&all)? + "\n")?;
        Ok(())
    }
}

fn table(text: &mut String, header: &[&str], rows: &[Vec<String>]) -> std::fmt::Result {
    writeln!(text, "| {} |", header.join(" | "))?;
    writeln!(text, "|{}", "---|".repeat(header.len()))?;
    rows.iter().try_for_each(|row| writeln!(text, "| {} |", row.join(" | ")))
}

/// Tells whoever waits what is going on.
#[expect(clippy::print_stderr, reason = "a command line program speaks to people by printing")]
pub fn say(line: &str) {
    eprintln!("{line}");
}
