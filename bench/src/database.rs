//! Databases to measure on: a file in a directory of its own, or a PostgreSQL server of its own, both gone afterwards.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hallpass_core::time::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};

use crate::Failure;
use crate::process::DatabaseProcesses;

/// Starts a server on a socket in a directory of its own, prints the directory, and takes everything away again when its standard
/// input closes, which it does however this process ends. Durability is as delivered: `fsync` stays on.
const SERVER: &str = r#"
    newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    PATH="${newest:-/usr/bin}:$PATH"
    command -v initdb >/dev/null || exit 1
    directory=$(mktemp -d "${TMPDIR:-/tmp}/hallpass-bench-postgres-XXXXXX")
    trap 'rm -rf "$directory"' EXIT
    trap '' INT
    initdb --pgdata "$directory/data" --username postgres --auth trust --encoding UTF8 --no-locale >"$directory/log" 2>&1 &&
    pg_ctl --pgdata "$directory/data" --log "$directory/log" --wait start --options \
        "-c listen_addresses= -c unix_socket_directories=$directory -c shared_buffers=256MB -c max_wal_size=2GB" >/dev/null ||
        { cat "$directory/log" >&2; exit 1; }
    echo "$directory"
    cat >/dev/null
    pg_ctl --pgdata "$directory/data" --mode immediate stop >/dev/null
"#;

/// The settings of [`SERVER`] that differ from a fresh PostgreSQL, for the report.
pub const SETTINGS: &str =
    "shared_buffers=256MB, max_wal_size=2GB, everything else as installed (fsync and synchronous_commit on)";

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The embedded one.
    Sqlite,
    /// A server.
    Postgres,
}

impl Kind {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A PostgreSQL server of this run, or somebody else's in `HALLPASS_TEST_POSTGRES`.
pub struct Postgres {
    own: Option<(Child, String)>,
    given: Option<String>,
    created: Vec<String>,
}

impl Postgres {
    /// Starts one, as user `postgres` if this is root, because PostgreSQL refuses to run as root.
    pub fn start() -> Result<Self, Failure> {
        if let Ok(url) = std::env::var("HALLPASS_TEST_POSTGRES") {
            return Ok(Self { own: None, given: Some(url), created: Vec::new() });
        }
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh", "-c", SERVER]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", SERVER]);
            command
        };
        let mut server = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut directory = String::new();
        BufReader::new(server.stdout.as_mut().ok_or("was piped")?).read_line(&mut directory)?;
        if directory.is_empty() {
            return Err("no PostgreSQL server: install postgresql (15 or later), name one in HALLPASS_TEST_POSTGRES, or use --database sqlite".into());
        }
        Ok(Self { own: Some((server, directory.trim().to_owned())), given: None, created: Vec::new() })
    }

    /// Makes an empty database; its URL.
    pub async fn create(&mut self, purpose: &str) -> Result<String, Failure> {
        let name = format!("hallpass_bench_{}_{purpose}", std::process::id());
        administrate(&self.url("postgres")?, format!("CREATE DATABASE {name}")).await?;
        let url = self.url(&name)?;
        self.created.push(name);
        Ok(url)
    }

    /// The processes of our own server.
    pub fn processes(&self) -> Result<DatabaseProcesses, Failure> {
        let Some((_, directory)) = &self.own else { return Ok(DatabaseProcesses::Elsewhere) };
        let file = std::fs::read_to_string(format!("{directory}/data/postmaster.pid"))?;
        Ok(DatabaseProcesses::Of(file.lines().next().unwrap_or_default().trim().parse()?))
    }

    /// Drops what was created, and ends the server if it is our own.
    pub async fn stop(mut self) -> Result<(), Failure> {
        for name in std::mem::take(&mut self.created) {
            administrate(&self.url("postgres")?, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        if let Some((mut server, _)) = self.own.take() {
            drop(server.stdin.take());
            server.wait()?;
        }
        Ok(())
    }

    fn url(&self, database: &str) -> Result<String, Failure> {
        if let Some((_, directory)) = &self.own {
            return Ok(format!("postgres://postgres@localhost/{database}?host={directory}"));
        }
        let given = self.given.as_deref().unwrap_or_default();
        let (base, options) =
            given.split_once('?').map_or((given, String::new()), |(base, rest)| (base, format!("?{rest}")));
        match base.splitn(4, '/').collect::<Vec<_>>()[..] {
            [scheme, empty, server, ..] => Ok(format!("{scheme}/{empty}/{server}/{database}{options}")),
            _ => Err("HALLPASS_TEST_POSTGRES must read postgres://user:password@host/database".into()),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((mut server, _)) = self.own.take() {
            drop(server.stdin.take());
            // The script prints nothing more; its output closes when it has cleaned up.
            let _ = server.stdout.take().map(|mut output| output.read_to_end(&mut Vec::new()));
            let _ = server.wait();
        }
    }
}

async fn administrate(url: &str, statement: String) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(connection.close().await?)
}

/// A connection for what the store has no batch function for, and must not have to.
pub enum Direct {
    /// To a file.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(PgConnection),
}

impl Direct {
    /// Opens `sqlite:PATH` or `postgres://…`.
    pub async fn open(url: &str) -> Result<Self, Failure> {
        match url.strip_prefix("sqlite:") {
            Some(path) => Ok(Self::Sqlite(sqlite(Path::new(path)).await?)),
            None => Ok(Self::Postgres(PgConnection::connect(url).await?)),
        }
    }

    /// Runs one statement of our own making.
    pub async fn execute(&mut self, statement: String) -> Result<u64, Failure> {
        Ok(match self {
            Self::Sqlite(connection) => connection.execute(AssertSqlSafe(statement)).await?.rows_affected(),
            Self::Postgres(connection) => connection.execute(AssertSqlSafe(statement)).await?.rows_affected(),
        })
    }

    /// How many sessions have been written down as active since then.
    pub async fn active_since(&mut self, then: Timestamp) -> Result<u64, Failure> {
        let count = format!("SELECT count(*) FROM sessions WHERE last_seen_at >= {}", then.as_millis());
        let count: i64 = match self {
            Self::Sqlite(connection) => connection.fetch_one(AssertSqlSafe(count)).await?.try_get(0)?,
            Self::Postgres(connection) => connection.fetch_one(AssertSqlSafe(count)).await?.try_get(0)?,
        };
        Ok(u64::try_from(count)?)
    }

    /// What the database calls itself.
    pub async fn version(&mut self) -> Result<String, Failure> {
        Ok(match self {
            Self::Sqlite(connection) => {
                format!("SQLite {}", connection.fetch_one("SELECT sqlite_version()").await?.try_get::<String, _>(0)?)
            }
            Self::Postgres(connection) => {
                format!("PostgreSQL {}", connection.fetch_one("SHOW server_version").await?.try_get::<String, _>(0)?)
            }
        })
    }

    /// What an operator's night does: statistics up to date, nothing left over that would run in the middle of a measurement.
    pub async fn tidy(&mut self) -> Result<(), Failure> {
        let statements: &[&str] = match self {
            Self::Sqlite(_) => &["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize"],
            Self::Postgres(_) => &["VACUUM ANALYZE", "CHECKPOINT"],
        };
        for statement in statements {
            self.execute((*statement).to_owned()).await?;
        }
        Ok(())
    }

    /// Closes it.
    pub async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(connection) => Ok(connection.close().await?),
            Self::Postgres(connection) => Ok(connection.close().await?),
        }
    }
}

async fn sqlite(path: &Path) -> Result<SqliteConnection, Failure> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(true);
    Ok(SqliteConnection::connect_with(&options).await?)
}
