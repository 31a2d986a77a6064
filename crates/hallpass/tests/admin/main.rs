//! The administrative verbs: the real binary on a database of its own. Every test lives in a folder that is thrown away.

mod apply;
mod backup;
mod doctor;
mod import;
mod rights;
mod secrets;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with an installation in it.
pub struct Installation {
    folder: TempDir,
}

/// What one run of the program said.
pub struct Said {
    /// Exit code 0.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Installation {
    /// Nothing in it yet.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// With a home zone, `company.localhost`.
    pub fn furnished() -> Self {
        let installation = Self::empty();
        installation.ok(&["zone", "add", "home", "--cookie-domain", "company.localhost", "--home"]);
        installation
    }

    /// A path inside the folder, beside the data.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the data is.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file and returns its path as text.
    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).expect("written");
        text(&path)
    }

    /// Runs the program with `--data` after the verb, as people do.
    pub fn run_with(&self, arguments: &[&str], stdin: &str, environment: &[(&str, &str)]) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // It may end without reading; then there is nobody to write to.
        let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { success: status.success(), out: text(stdout), err: text(stderr) }
    }

    /// Runs it, whatever comes of it.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, "", &[])
    }

    /// Runs it, and it must succeed; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert!(said.success, "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Runs it with `--json`, and it must succeed; what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Runs it, and it must fail; what it said about that.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert!(!said.success && !said.err.is_empty(), "{arguments:?}: {}", said.out);
        said.err
    }

    /// The database itself, for what no verb can do.
    pub fn store(&self) -> (tokio::runtime::Runtime, hallpass_store::Store) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = text(&self.data().join("hallpass.db")).parse().expect("a path");
        let store = runtime.block_on(hallpass_store::Store::open(&url)).expect("it opens");
        (runtime, store)
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

/// One member of every object of an array.
pub fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    let objects = list.as_array().expect("an array");
    objects.iter().map(|object| object[name].as_str().unwrap_or_else(|| panic!("no text {name} in {object}"))).collect()
}

#[test]
fn without_a_database_nothing_is_made_and_the_error_says_where_it_looked() {
    let installation = Installation::empty();
    let said = installation.fails(&["user", "list"]);
    assert!(said.contains("there is no database at") && said.contains("--data"), "{said}");
    assert!(!installation.data().exists());
}

#[test]
fn the_routes_are_printed_with_their_guards() {
    let routes = Installation::empty().json(&["routes"]);
    let introspect = routes.as_array().expect("rows").iter().find(|route| route["path"] == "/introspect");
    let introspect = introspect.expect("the route is there");
    assert_eq!(
        (&introspect["method"], &introspect["guard"], &introspect["voice"]),
        (&"POST".into(), &"client".into(), &"oauth".into())
    );
    assert!(routes.as_array().expect("rows").iter().any(|route| route["host"] == "alias"));
    let printed = Installation::empty().ok(&["routes"]);
    assert!(printed.starts_with("HOST") && printed.contains("/introspect"), "{printed}");
}
