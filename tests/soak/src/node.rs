//! One `hallpass serve`: started, waited for, killed. Nothing but a process that was started here is ever ended here.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::dice::Dice;
use crate::door::Door;
use crate::figures::{now, wait_for};
use crate::rig::{Checked, Rig, Site, free_port};

/// Ready again after a kill: protocol §20, "recovery needs nobody".
pub const READY: Duration = Duration::from_secs(2);

/// How a node is started; the same again after each kill.
#[derive(Clone)]
pub struct Setup {
    data_dir: PathBuf,
    database_url: String,
    public_host: String,
    port: u16,
    internal_port: u16,
    log: PathBuf,
}

/// A running node.
pub struct Node {
    child: Child,
    setup: Setup,
}

impl Setup {
    /// The first node of an installation.
    pub fn new(site: &Site, dice: &mut Dice) -> Checked<Self> {
        let port = free_port(dice)?;
        Ok(Self {
            data_dir: site.data_dir.clone(),
            database_url: site.database_url.clone(),
            public_host: format!("auth.company.localhost:{port}"),
            port,
            internal_port: free_port(dice)?,
            log: site.data_dir.join("node-1.log"),
        })
    }

    /// Another node beside it, which reaches the database by `database_url`.
    pub fn beside(&self, database_url: &str, dice: &mut Dice) -> Checked<Self> {
        Ok(Self {
            database_url: database_url.to_owned(),
            port: free_port(dice)?,
            internal_port: free_port(dice)?,
            log: self.data_dir.join("node-2.log"),
            ..self.clone()
        })
    }

    /// What to talk to it through. A new one has no connections yet.
    pub fn door(&self) -> Checked<Door> {
        Door::new(self.port, self.internal_port, &self.public_host)
    }

    /// Starts it.
    pub fn start(&self, rig: &Rig) -> Checked<Node> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = self.command(rig, &["serve"]);
        command.stdout(Stdio::null()).stderr(log);
        Ok(Node { child: command.spawn()?, setup: self.clone() })
    }

    /// Runs an administrator's command beside the node; what it printed.
    pub async fn administer(&self, rig: &Rig, arguments: &[&str]) -> Checked<String> {
        let output = self.command(rig, arguments).output().await?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("hallpass {}: {}: {complaint}", arguments.join(" "), output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, rig: &Rig, arguments: &[&str]) -> Command {
        let mut command = Command::new(&rig.binary);
        command
            .args(arguments)
            .env_clear()
            .env("HALLPASS_PUBLIC_URL", format!("http://{}", self.public_host))
            .env("HALLPASS_COOKIE_DOMAIN", "company.localhost")
            .env("HALLPASS_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("HALLPASS_INTERNAL_LISTEN", format!("127.0.0.1:{}", self.internal_port))
            .env("HALLPASS_DATABASE_URL", &self.database_url)
            .env("HALLPASS_DATA_DIR", &self.data_dir)
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        as_user(&mut command, rig);
        command
    }

    /// Starts it and waits until it is ready; how long that took from the start of the process.
    pub async fn start_ready(&self, rig: &Rig, limit: Duration) -> Checked<(Node, Duration)> {
        let began = now();
        let mut node = self.start(rig)?;
        let door = self.door()?;
        // Longer than is allowed, so that a failure can say how long it really took.
        let ready = wait_for("/readyz to say 200", limit.max(READY) * 10, async || {
            if let Some(status) = node.child.try_wait()? {
                return Err(format!("the server ended by itself: {status}").into());
            }
            Ok(door.ready().await.then_some(()))
        })
        .await;
        let took = now().duration_since(began);
        match ready {
            Err(error) => Err(format!("{error}\n{}", self.last_words()).into()),
            Ok(_) if took > limit => {
                Err(format!("ready only after {took:?}; allowed are {limit:?}\n{}", self.last_words()).into())
            }
            Ok(_) => Ok((node, took)),
        }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        format!("the end of its log:\n{}", last.join("\n"))
    }

    /// A panic anywhere, however well it was caught, is a defect.
    pub fn check_log(&self) -> Checked<()> {
        let log = std::fs::read_to_string(&self.log)?;
        match log.lines().find(|line| line.contains("panicked")) {
            Some(line) => Err(format!("the server panicked: {line}").into()),
            None => Ok(()),
        }
    }
}

impl Node {
    /// `kill -9`, now.
    pub fn strike(&mut self) -> Checked<()> {
        Ok(self.child.start_kill()?)
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill(mut self) -> Checked<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to end (SIGTERM) and waits until it has, with success.
    pub async fn stop(mut self) -> Checked<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(pid.ok_or("the server has ended already")?, Signal::TERM)?;
        match tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => self.setup.check_log(),
            Ok(status) => Err(format!("asked to end, the server said {status:?}\n{}", self.setup.last_words()).into()),
            Err(_) => Err(format!("asked to end, the server went on for 20 s\n{}", self.setup.last_words()).into()),
        }
    }
}

/// Runs `command` as the rig's user, without any other group.
pub fn as_user(command: &mut Command, rig: &Rig) {
    if let Some((user, group)) = rig.user {
        command.uid(user).gid(group);
    }
}
