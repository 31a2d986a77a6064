//! PostgreSQL for tests: an own database for each test on one server for the whole run.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Starts a server without network on a socket in a directory of its own, prints the directory, and takes everything away
/// again when its standard input closes, which it does however the test process ends.
const SERVER: &str = r#"
    newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    PATH="${newest:-/usr/bin}:$PATH"
    command -v initdb >/dev/null || exit 1
    directory=$(mktemp -d /tmp/hallpass-postgres-XXXXXX)
    trap 'rm -rf "$directory"' EXIT
    initdb --pgdata "$directory/data" --username postgres --auth trust --encoding UTF8 --no-locale >"$directory/log" 2>&1 &&
    pg_ctl --pgdata "$directory/data" --log "$directory/log" --wait start --options \
        "-c listen_addresses= -c unix_socket_directories=$directory -c fsync=off -c max_connections=400" >/dev/null ||
        { cat "$directory/log" >&2; exit 1; }
    echo "$directory"
    exec >/dev/null
    cat >/dev/null
    pg_ctl --pgdata "$directory/data" --mode immediate stop
"#;

/// Creates an empty database; its URL and name.
pub async fn create() -> (String, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("hallpass_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    administrate(format!("CREATE DATABASE {name}")).await;
    (with_database(&name), name)
}

/// Drops it, whoever is still connected.
pub async fn drop(name: &str) {
    administrate(format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

async fn administrate(statement: String) {
    let mut connection = PgConnection::connect(&with_database("postgres")).await.expect("connects");
    connection.execute(AssertSqlSafe(statement)).await.expect("succeeds");
    connection.close().await.expect("closes");
}

/// The server's URL for one of its databases.
fn with_database(name: &str) -> String {
    if let Ok(url) = std::env::var("HALLPASS_TEST_POSTGRES") {
        let (base, options) =
            url.split_once('?').map_or((&*url, String::new()), |(base, rest)| (base, format!("?{rest}")));
        let server = match base.splitn(4, '/').collect::<Vec<_>>()[..] {
            [scheme, empty, server, ..] => [scheme, empty, server].join("/"),
            _ => panic!("HALLPASS_TEST_POSTGRES must read postgres://user:password@host/database"),
        };
        return format!("{server}/{name}{options}");
    }
    format!("postgres://postgres@localhost/{name}?host={}", own_server())
}

/// The directory of the server started for this run.
fn own_server() -> &'static str {
    static SERVER_OF_THIS_RUN: OnceLock<(String, Child)> = OnceLock::new();
    let (directory, _) = SERVER_OF_THIS_RUN.get_or_init(|| {
        // PostgreSQL refuses to run as root.
        let id = Command::new("id").arg("-u").output().expect("id runs");
        let mut command = if id.stdout == b"0\n" {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh", "-c", SERVER]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", SERVER]);
            command
        };
        // In a process group of its own: a Ctrl-C for the tests must not reach the shell before it has cleaned up.
        let started = command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut server = started.expect("sh (as root: runuser) starts");
        let mut directory = String::new();
        let output = server.stdout.take().expect("was piped");
        BufReader::new(output).read_line(&mut directory).expect("reads");
        assert!(
            !directory.is_empty(),
            "no PostgreSQL server: install postgresql (15 or later) or name one in HALLPASS_TEST_POSTGRES"
        );
        (directory.trim().to_owned(), server)
    });
    directory
}
