//! The workbench: a folder that goes away, free ports, empty databases, and the user that servers run as.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use url::Url;

use crate::dice::Dice;

/// What can go wrong here is only ever reported.
pub type Checked<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded one.
    Sqlite,
    /// A server.
    Postgres,
}

impl Kind {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The workbench of one run.
pub struct Rig {
    folder: TempDir,
    /// The server's binary, where its user can reach it.
    pub binary: PathBuf,
    /// This program, where the same user can reach it.
    pub own_binary: PathBuf,
    /// User and group that servers run as; `None`: our own.
    pub user: Option<(u32, u32)>,
    postgres: Option<Url>,
    seed: u64,
    next: AtomicU32,
}

/// A database and a data folder of one installation.
pub struct Site {
    /// Where the master key and, for SQLite, the database lie.
    pub data_dir: PathBuf,
    /// `HALLPASS_DATABASE_URL`
    pub database_url: String,
}

impl Rig {
    /// Sets it up. Servers of somebody who is root run as `nobody`: they need no rights, and PostgreSQL's rule is a good one.
    pub fn new(binary: &Path, postgres: Option<&str>, seed: u64) -> Checked<Self> {
        let folder = tempfile::Builder::new().prefix("hallpass-soak.").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let user = if rustix::process::getuid().is_root() { Some(nobody()?) } else { None };
        let reachable = |from: &Path, name: &str| -> Checked<PathBuf> {
            let to = folder.path().join(name);
            fs::copy(from, &to).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
            Ok(to)
        };
        Ok(Self {
            binary: reachable(binary, "hallpass")?,
            own_binary: reachable(&std::env::current_exe()?, "hallpass-soak")?,
            user,
            postgres: postgres.map(Url::parse).transpose()?,
            seed,
            next: AtomicU32::new(0),
            folder,
        })
    }

    /// Choices for one purpose.
    pub fn dice(&self, purpose: &str) -> Dice {
        Dice::new(self.seed, purpose)
    }

    /// An empty installation.
    pub async fn site(&self, kind: Kind) -> Checked<Site> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let data_dir = self.folder.path().join(format!("site-{number}"));
        fs::create_dir(&data_dir)?;
        if let Some((user, group)) = self.user {
            chown(&data_dir, Some(user), Some(group))?;
        }
        let database_url = match kind {
            Kind::Sqlite => format!("sqlite:{}", data_dir.join("hallpass.db").display()),
            Kind::Postgres => {
                let name = format!("hallpass_soak_{}_{number}", std::process::id());
                self.administrate(format!("CREATE DATABASE {name}")).await?;
                let mut url = self.postgres()?;
                url.set_path(&name);
                url.into()
            }
        };
        Ok(Site { data_dir, database_url })
    }

    /// Takes an installation away again. Its servers have ended.
    pub async fn remove(&self, site: &Site) -> Checked<()> {
        if let Ok(url) = Url::parse(&site.database_url)
            && url.scheme().starts_with("postgres")
        {
            self.administrate(format!("DROP DATABASE {} WITH (FORCE)", url.path().trim_start_matches('/'))).await?;
        }
        Ok(fs::remove_dir_all(&site.data_dir)?)
    }

    /// The administrator's URL.
    fn postgres(&self) -> Checked<Url> {
        self.postgres.clone().ok_or_else(|| "HALLPASS_TEST_POSTGRES is not set".into())
    }

    async fn administrate(&self, statement: String) -> Checked<()> {
        let mut connection = PgConnection::connect(self.postgres()?.as_str()).await?;
        connection.execute(AssertSqlSafe(statement)).await?;
        Ok(connection.close().await?)
    }
}

/// A port that is free, below those that systems give to outgoing connections: a server that is started again must find
/// its own port free.
pub fn free_port(dice: &mut Dice) -> Checked<u16> {
    for _ in 0..200 {
        let port = 20_000 + u16::try_from(dice.below(12_000))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port between 20000 and 32000".into())
}

/// A progress bar for people; nothing where nobody looks.
pub fn progress(kind: Kind, what: &'static str, length: u32) -> ProgressBar {
    let hidden = std::env::var_os("CI").is_some();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{prefix:<10} {msg} {bar:30} {pos}/{len}").expect("the template is right");
    ProgressBar::with_draw_target(Some(u64::from(length)), target)
        .with_style(style)
        .with_prefix(kind.name())
        .with_message(what)
}

fn nobody() -> Checked<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("nobody:")).ok_or("there is no user nobody")?;
    let fields: Vec<&str> = line.split(':').collect();
    match fields[..] {
        [_, _, user, group, ..] => Ok((user.parse()?, group.parse()?)),
        _ => Err("the line of nobody in /etc/passwd is damaged".into()),
    }
}
