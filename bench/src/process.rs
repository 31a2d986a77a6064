//! The servers under test: starting them, telling when they are ready, what they use, and ending them, by their own process only.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::Failure;
use crate::clock::ticks;
use crate::http1;
use crate::load::exact;

/// Clock ticks in a second in `/proc`: `USER_HZ`, 100 on every Linux that Rust's tier 1 knows.
const TICKS: f64 = 100.0;
/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server that runs. Dropping it kills it.
pub struct Server {
    child: Child,
    pid: u32,
    /// Where it answers.
    pub address: SocketAddr,
    /// Where its health is, if it has any.
    internal: Option<SocketAddr>,
    /// From starting the process to the first answer that says "ready".
    pub ready_after: Duration,
    /// Where its database runs.
    pub database: DatabaseProcesses,
}

/// Where a server's database runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseProcesses {
    /// In the server, or it has none.
    Inside,
    /// In this process and its children.
    Of(u32),
    /// On a server that others look after.
    Elsewhere,
}

impl DatabaseProcesses {
    /// Seconds of processor time that it has used so far; `None` if there is no telling.
    pub fn processor_seconds(self) -> Result<Option<f64>, Failure> {
        match self {
            Self::Inside => Ok(Some(0.0)),
            Self::Of(pid) => family_seconds(pid).map(Some),
            Self::Elsewhere => Ok(None),
        }
    }
}

/// `hallpass serve` on a free loopback port with these settings (`HALLPASS_…`), its log in `log`.
pub async fn hallpass(binary: &Path, settings: &[(&str, String)], log: &Path) -> Result<Server, Failure> {
    let (address, internal) = (free_address()?, free_address()?);
    let mut command = Command::new(binary);
    // Whatever the caller's environment says about Hallpass is about another installation.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HALLPASS_")) {
        command.env_remove(name);
    }
    command
        .arg("serve")
        .envs(settings.iter().map(|(name, value)| (*name, value)))
        .env("HALLPASS_LISTEN", address.to_string())
        .env("HALLPASS_INTERNAL_LISTEN", internal.to_string())
        .stderr(std::fs::OpenOptions::new().create(true).append(true).open(log)?);
    start(command, address, Some(internal)).await
}

/// The bare server, which answers what is in `answer`: this very program in its other role.
pub async fn bare(answer: &Path) -> Result<Server, Failure> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", "--listen", &address.to_string(), "--answer"]).arg(answer);
    start(command, address, None).await
}

/// npm `oidc-provider`, as `bench/run` has installed it: where it answers, and its log in `log`.
pub async fn oidc_provider(secret: &str, log: &Path) -> Result<Server, Failure> {
    let folder = Path::new("bench/oidc-provider");
    let address = free_address()?;
    let mut command = Command::new(node(folder)?);
    command.arg(folder.join("server.mjs")).args([&address.to_string(), secret]).env("NODE_ENV", "production");
    command.stderr(std::fs::OpenOptions::new().create(true).append(true).open(log)?);
    start(command, address, None).await
}

/// The Node that is beside it.
fn node(folder: &Path) -> Result<PathBuf, Failure> {
    let found = ["x64", "arm64"].map(|name| folder.join(format!("node_modules/node-linux-{name}/bin/node")));
    let missing = "oidc-provider is not installed: run bench/run, which does that";
    Ok(found.into_iter().find(|node| node.exists()).ok_or(missing)?)
}

async fn start(mut command: Command, address: SocketAddr, internal: Option<SocketAddr>) -> Result<Server, Failure> {
    let started = ticks();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    let pid = child.id().ok_or("the server ended at once")?;
    let mut server =
        Server { child, pid, address, internal, ready_after: Duration::ZERO, database: DatabaseProcesses::Inside };
    while !server.is_ready() {
        if let Some(status) = server.child.try_wait()? {
            return Err(format!("a server ended before it was ready ({status}); see its log").into());
        }
        if started.elapsed() > PATIENCE {
            return Err("a server was not ready in time; see its log".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.ready_after = started.elapsed();
    Ok(server)
}

impl Server {
    fn is_ready(&self) -> bool {
        let Some(internal) = self.internal else { return http1::Connection::open(self.address).is_ok() };
        let ask = || {
            let request = format!("GET /readyz HTTP/1.1\r\nHost: {internal}\r\nConnection: close\r\n\r\n");
            http1::Connection::open(internal)?.exchange(request.as_bytes())
        };
        ask().is_ok_and(|answer| answer.status == 200)
    }

    /// Physical memory in MB (10^6 bytes), from `VmRSS`.
    pub fn memory_mb(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(exact(kib) * 1024.0 / 1e6)
    }

    /// Seconds of processor time used so far, by all its threads.
    pub fn processor_seconds(&self) -> Result<f64, Failure> {
        processor_seconds(&self.pid.to_string())
    }

    /// Waits until it has nothing left to do: what a server puts off must not run at the expense of whoever is measured next.
    /// Returns how long that took, or `None` if it was still busy after `patience`.
    pub async fn settle(&self, patience: Duration) -> Result<Option<Duration>, Failure> {
        const WINDOW: Duration = Duration::from_millis(600);
        let started = ticks();
        loop {
            let before = self.processor_seconds()?;
            let waited = started.elapsed();
            tokio::time::sleep(WINDOW).await;
            if self.processor_seconds()? - before < 0.035 {
                return Ok(Some(waited));
            }
            if waited > patience {
                return Ok(None);
            }
        }
    }

    /// Ends it as a supervisor would.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(Duration::from_mins(2), self.child.wait()).await;
        ended.map_err(|_| "a server did not end within two minutes of SIGTERM")??;
        Ok(())
    }

    /// Ends it as a power cut would.
    pub async fn kill(mut self) -> Result<(), Failure> {
        self.signal(Signal::KILL)?;
        self.child.wait().await?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or("not a process id")?;
        Ok(kill_process(pid, signal)?)
    }
}

/// Seconds of processor time that a process has used: its id, or `self`.
pub fn processor_seconds(process: &str) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command's name may hold spaces; the fields after it cannot.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("unreadable /proc")?.1.split_whitespace().collect();
    let (user, system): (u64, u64) = (fields[11].parse()?, fields[12].parse()?);
    Ok(exact(user + system) / TICKS)
}

/// The same of a process and its children, those included that have ended.
fn family_seconds(parent: u32) -> Result<f64, Failure> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended since.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("unreadable /proc")?.1.split_whitespace().collect();
        // user and system; of the parent also those of children that have ended.
        let counted = match (pid == parent, fields[1].parse::<u32>()? == parent) {
            (true, _) => 11..15,
            (_, true) => 11..13,
            _ => continue,
        };
        ticks += fields[counted].iter().map(|field| field.parse::<u64>()).sum::<Result<u64, _>>()?;
    }
    Ok(exact(ticks) / TICKS)
}

/// Seconds of all cores together since the machine started.
pub struct MachineSeconds {
    /// Spent on something.
    pub busy: f64,
    /// Wanted, and given to other machines by the hypervisor.
    pub stolen: f64,
}

impl MachineSeconds {
    /// Until now.
    pub fn read() -> Result<Self, Failure> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let first = stat.lines().next().ok_or("unreadable /proc")?;
        let fields: Vec<u64> = first.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
        // user nice system idle iowait irq softirq steal
        let sum = |which: &[usize]| exact(which.iter().filter_map(|index| fields.get(*index)).sum()) / TICKS;
        Ok(Self { busy: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) })
    }
}

/// Nanoseconds that this thread has been running.
pub fn thread_nanoseconds() -> Result<u64, Failure> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split_whitespace().next().ok_or("unreadable /proc")?.parse()?)
}

/// A loopback port that nobody uses at the moment.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The binary that was built beside this one.
pub fn hallpass_binary() -> Result<PathBuf, Failure> {
    let binary = std::env::current_exe()?.with_file_name("hallpass");
    if binary.exists() {
        Ok(binary)
    } else {
        Err(format!("{} is not there: run bench/run, which builds it", binary.display()).into())
    }
}
