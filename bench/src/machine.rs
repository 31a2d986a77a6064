//! What a figure depends on: the machine, the versions, how loaded it was.

use std::process::Command;

/// Name and value, for the report.
pub fn facts() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("Processor", format!("{}, {cores} cores for everything: server, load generator, database", processor())),
        ("Memory", memory().unwrap_or_else(unknown)),
        ("Kernel", said("uname", &["-sr"])),
        (
            "Load before the run",
            std::fs::read_to_string("/proc/loadavg").map_or_else(|_| unknown(), |text| text.trim().to_owned()),
        ),
        ("rustc", said("rustc", &["--version"])),
        ("Hallpass", commit()),
    ]
}

/// The processor's name.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    name.map_or_else(unknown, |(_, name)| name.trim().to_owned())
}

/// The processor's name as part of a file's name.
pub fn slug() -> String {
    let lower = processor().to_lowercase();
    let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.take(4).collect::<Vec<_>>().join("-")
}

fn memory() -> Option<String> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB").parse().ok()?;
    Some(format!("{} GB", kib * 1024 / 1_000_000_000))
}

fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed =
        said("git", &["status", "--porcelain", "--untracked-files=no", "--", "Cargo.lock", "crates", "bench"]);
    if changed.is_empty() { commit } else { format!("{commit} with local changes") }
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => unknown(),
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}
