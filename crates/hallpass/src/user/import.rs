//! `hallpass user import`: users of another system with their password hashes. The file is read twice: once to check every line,
//! so that nothing is written when line 900,000 is wrong, and once to write.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hallpass_core::id::{GroupId, GroupName};
use hallpass_core::user_import::{Header, ImportError, ImportedUser, json_line};
use hallpass_server::admin::{groups as group_verbs, users as verbs};
use hallpass_store::{Store, groups, users};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::print::{counted, done, joined};
use crate::shell::{ACTOR, Failure, Shell};

/// Users in one transaction.
const BATCH: usize = 500;
/// A line longer than this is no user.
const MAXIMUM_LINE: u64 = 1 << 20;
/// So many faults are told in full.
const TOLD: usize = 20;

/// What `user import` takes.
#[derive(Args)]
pub struct Arguments {
    /// The file: CSV with a header line, or JSON Lines
    file: PathBuf,
    /// Its format, where the name does not end in .csv, .jsonl or .ndjson
    #[arg(long)]
    format: Option<Format>,
    /// Check everything and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave out users that are there already instead of refusing the file
    #[arg(long)]
    skip_existing: bool,
    /// Add groups that the file names and that are not there
    #[arg(long)]
    create_groups: bool,
}

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// RFC 4180, with a header line
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// Runs it.
pub async fn run(arguments: Arguments, shell: &Shell) -> Result<(), Failure> {
    let format = arguments.format.or_else(|| format_of(&arguments.file));
    let format = format.ok_or("the name of the file does not say what it is: say --format csv or --format jsonl")?;
    let checked = check(&arguments.file, format)?;
    shell.with_new_store(async |store| {
        let plan = compare(store, checked, &arguments).await?;
        let object = |imported: u64| {
            json!({ "imported": imported, "skipped": plan.existing.len(), "groups_added": plan.new_groups, "dry_run": arguments.dry_run })
        };
        let mut also = String::new();
        if !plan.existing.is_empty() {
            _ = write!(also, " Left out {} already there.", counted(plan.existing.len(), "user"));
        }
        if arguments.dry_run {
            if !plan.new_groups.is_empty() {
                _ = write!(also, " New groups: {}.", joined(&plan.new_groups));
            }
            let sentence = format!("{} can be imported.{also} Nothing was written.", counted(plan.importable, "user"));
            return Ok(done(shell.json, sentence, &object(0))?);
        }
        let imported = write(store, &arguments.file, format, &plan, shell).await?;
        if !plan.new_groups.is_empty() {
            _ = write!(also, " Added groups: {}.", joined(&plan.new_groups));
        }
        Ok(done(shell.json, format!("Imported {}.{also}", counted(imported, "user")), &object(imported))?)
    }).await
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

/// What the first reading learns.
struct Checked {
    /// Canonical user names and their lines.
    names: HashMap<Box<str>, u64>,
    /// Group names, and the first line of each.
    groups: BTreeMap<GroupName, u64>,
}

fn check(path: &Path, format: Format) -> Result<Checked, Failure> {
    let mut checked = Checked { names: HashMap::new(), groups: BTreeMap::new() };
    let mut faults = Faults::default();
    for (line, user) in Users::open(path, format, "Checking")? {
        let user = match user {
            Ok(user) => user,
            Err(error) => {
                faults.add(error);
                continue;
            }
        };
        for group in user.groups {
            checked.groups.entry(group).or_insert(line);
        }
        if let Some(earlier) = checked.names.insert(user.username.canonical().into(), line) {
            faults.add(format!("line {line}: the user name of line {earlier} again, perhaps in another case or width"));
        }
    }
    faults.none()?;
    Ok(checked)
}

/// What will be done.
struct Plan {
    importable: u64,
    /// Canonical names to leave out.
    existing: HashSet<Box<str>>,
    new_groups: BTreeSet<GroupName>,
}

async fn compare(store: &Store, checked: Checked, arguments: &Arguments) -> Result<Plan, Failure> {
    const PAGE: u32 = 1000;
    let mut read = store.read().await?;
    let mut faults = Faults::default();
    let known: BTreeSet<_> = groups::all(&mut read).await?.into_iter().map(|group| group.name).collect();
    let mut new_groups = BTreeSet::new();
    for (group, line) in checked.groups {
        if known.contains(&group) {
            continue;
        }
        if arguments.create_groups {
            new_groups.insert(group);
        } else {
            faults.add(format!("line {line}: there is no group {group}; add it, or say --create-groups"));
        }
    }
    let mut existing = HashSet::new();
    let mut after = String::new();
    loop {
        let page = users::list(&mut read, "", &after, PAGE).await?;
        for user in &page {
            let Some(line) = checked.names.get(user.username.canonical()) else { continue };
            if arguments.skip_existing {
                existing.insert(user.username.canonical().into());
            } else {
                faults.add(format!(
                    "line {line}: there is a user {} already; --skip-existing leaves such lines out",
                    user.username
                ));
            }
        }
        if page.len() < PAGE as usize {
            break;
        }
        after = page.last().map(|user| user.username.canonical().to_owned()).unwrap_or_default();
    }
    faults.none()?;
    let importable = (checked.names.len() - existing.len()) as u64;
    Ok(Plan { importable, existing, new_groups })
}

async fn write(store: &Store, path: &Path, format: Format, plan: &Plan, shell: &Shell) -> Result<u64, Failure> {
    let mut transaction = store.write().await?;
    for group in &plan.new_groups {
        group_verbs::add(&mut transaction, group, &ACTOR, shell.now).await?;
    }
    transaction.commit().await?;
    let group_ids: BTreeMap<_, _> =
        groups::all(&mut store.read().await?).await?.into_iter().map(|group| (group.name, group.id)).collect();
    let mut imported = 0;
    let mut batch = Vec::with_capacity(BATCH);
    let interrupted = |imported: u64, error: &dyn std::fmt::Display| {
        format!("{error}. {} are imported; run it again with --skip-existing for the rest", counted(imported, "user"))
    };
    for (_, user) in Users::open(path, format, "Importing")? {
        let user = user.map_err(|error| interrupted(imported, &format!("the file was changed meanwhile: {error}")))?;
        if plan.existing.contains(user.username.canonical()) {
            continue;
        }
        batch.push(user);
        if batch.len() == BATCH {
            imported +=
                flush(store, &mut batch, &group_ids, shell).await.map_err(|error| interrupted(imported, &error))?;
        }
    }
    imported += flush(store, &mut batch, &group_ids, shell).await.map_err(|error| interrupted(imported, &error))?;
    let mut transaction = store.write().await?;
    verbs::imported(&mut transaction, imported, &ACTOR, shell.now).await?;
    transaction.commit().await?;
    Ok(imported)
}

async fn flush(
    store: &Store,
    batch: &mut Vec<ImportedUser>,
    group_ids: &BTreeMap<GroupName, GroupId>,
    shell: &Shell,
) -> Result<u64, Failure> {
    let mut write = store.write().await?;
    let added = verbs::import(&mut write, batch, group_ids, &ACTOR, shell.now).await?;
    write.commit().await?;
    batch.clear();
    Ok(added.len() as u64)
}

/// What is wrong with a file: the first faults in full, the number of the rest.
#[derive(Default)]
struct Faults {
    told: Vec<String>,
    more: u64,
}

impl Faults {
    fn add(&mut self, fault: impl std::fmt::Display) {
        if self.told.len() < TOLD {
            self.told.push(fault.to_string());
        } else {
            self.more += 1;
        }
    }

    fn none(mut self) -> Result<(), Failure> {
        if self.told.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        Err(format!("nothing was imported:\n{}", self.told.join("\n")).into())
    }
}

/// The users of a file, one by one, each with its line; with a progress bar at a terminal.
struct Users {
    rows: Rows,
    line: u64,
}

enum Rows {
    Csv {
        reader: Box<csv::Reader<Bar>>,
        header: Option<Header>,
        record: csv::StringRecord,
    },
    Jsonl {
        reader: BufReader<Bar>,
        text: String,
    },
    /// After a fault that cannot be read past.
    Over,
}

type Bar = indicatif::ProgressBarIter<File>;

impl Users {
    fn open(path: &Path, format: Format, what: &'static str) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        let bar = ProgressBar::new(file.metadata().map_err(failed)?.len()).with_message(what);
        bar.set_style(ProgressStyle::with_template("{msg:>9} {wide_bar} {bytes}/{total_bytes} {eta}")?);
        let reader = bar.wrap_read(file);
        let rows = match format {
            Format::Csv => {
                let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
                Rows::Csv { reader: Box::new(reader), header: None, record: csv::StringRecord::new() }
            }
            Format::Jsonl => Rows::Jsonl { reader: BufReader::new(reader), text: String::new() },
        };
        Ok(Self { rows, line: 0 })
    }

    fn csv_row(&mut self) -> Option<Result<ImportedUser, String>> {
        let Rows::Csv { reader, header, record } = &mut self.rows else { return None };
        loop {
            match reader.read_record(record) {
                Ok(false) => return None,
                Ok(true) => {}
                Err(error) => {
                    let line = error.position().map_or(self.line + 1, csv::Position::line);
                    self.line = line;
                    // The next row may be well, unless the file itself cannot be read any more.
                    let over = error.is_io_error();
                    let fault = if over { error.to_string() } else { "is not UTF-8".to_owned() };
                    if over {
                        self.rows = Rows::Over;
                    }
                    return Some(Err(format!("line {line}: {fault}")));
                }
            }
            self.line = record.position().map_or(self.line + 1, csv::Position::line);
            let Some(header) = &*header else {
                match Header::parse(record.iter()) {
                    Ok(parsed) => *header = Some(parsed),
                    Err(error) => {
                        self.rows = Rows::Over;
                        return Some(Err(error.to_string()));
                    }
                }
                continue;
            };
            return Some(header.user(record.iter(), self.line).map_err(told));
        }
    }

    fn json_row(&mut self) -> Option<Result<ImportedUser, String>> {
        let Rows::Jsonl { reader, text } = &mut self.rows else { return None };
        loop {
            text.clear();
            self.line += 1;
            match reader.by_ref().take(MAXIMUM_LINE).read_line(text) {
                Ok(0) => return None,
                Ok(_) if text.len() as u64 == MAXIMUM_LINE => {
                    self.rows = Rows::Over;
                    return Some(Err(format!("line {}: is too long", self.line)));
                }
                Ok(_) if text.trim().is_empty() => {}
                Ok(_) => return Some(json_line(text, self.line).map_err(told)),
                Err(error) => {
                    self.rows = Rows::Over;
                    return Some(Err(format!("line {}: {error}", self.line)));
                }
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn told(error: ImportError) -> String {
    error.to_string()
}

impl Iterator for Users {
    type Item = (u64, Result<ImportedUser, String>);

    fn next(&mut self) -> Option<Self::Item> {
        let row = match &self.rows {
            Rows::Csv { .. } => self.csv_row(),
            Rows::Jsonl { .. } => self.json_row(),
            Rows::Over => None,
        };
        row.map(|row| (self.line, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let format = format_of(&path).expect("a known name");
        let users = Users::open(&path, format, "Checking").expect("readable");
        users.map(|(line, user)| (line, user.map(|user| user.username.to_string()))).collect()
    }

    #[test]
    fn both_formats_are_read_line_by_line_and_go_on_after_a_fault() {
        let ok = |line, name: &str| (line, Ok(name.to_owned()));
        let csv = read("a.csv", b"username,attributes\nana,\"{\"\"a\"\":\n1}\"\nb b,\nben,\n");
        assert_eq!((&csv[0], &csv[2]), (&ok(2, "ana"), &ok(5, "ben")));
        assert!(matches!(&csv[1], (4, Err(fault)) if fault.starts_with("line 4: username")), "{csv:?}");
        let jsonl = read("a.jsonl", b"{\"username\":\"ana\"}\n\n{\n{\"username\":\"ben\"}");
        assert_eq!((&jsonl[0], &jsonl[2]), (&ok(1, "ana"), &ok(4, "ben")));
        assert!(matches!(&jsonl[1], (3, Err(fault)) if fault.starts_with("line 3: ")), "{jsonl:?}");
    }

    #[test]
    fn a_broken_file_is_a_fault_and_not_an_end_or_a_panic() {
        for (name, text) in [
            ("a.csv", &b"username\n\xff\xfe\n"[..]),
            ("a.csv", b"user\nana\n"),
            ("a.jsonl", b"\xff\n"),
            ("a.jsonl", &vec![b'{'; 2 << 20]),
        ] {
            let rows = read(name, text);
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert!(rows[0].1.is_err());
        }
        assert_eq!(format_of(Path::new("users.xlsx")), None);
    }

    #[test]
    fn many_faults_are_counted_not_told() {
        let mut faults = Faults::default();
        (0..100).for_each(|line| faults.add(format!("line {line}")));
        let told = faults.none().expect_err("faults").to_string();
        assert!(told.ends_with("line 19\nand 80 more"), "{told}");
    }
}
