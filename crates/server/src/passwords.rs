//! Password hashing on its own bounded pool of low-priority threads, so that introspection never waits for it. Protocol §17.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use hallpass_core::authenticator::Workspace;
use hallpass_core::authenticator::password::{self, Argon2Cost, Password, PasswordHash, Verdict};
use hallpass_core::crypto::SystemRandom;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::PasswordConfig;
use crate::context::StartError;
use crate::web::error::Error;

type Job = Box<dyn FnOnce(&mut Workspace) + Send>;

/// How long a thread without work keeps the memory that it hashes in: people come to work at the same time.
const KEPT: Duration = Duration::from_secs(1);

/// The pool.
pub struct Passwords {
    queue: SyncSender<Job>,
    jobs: Arc<Mutex<Receiver<Job>>>,
    threads: usize,
    /// How many of them have been started: none before the first password comes, because each takes memory of its own.
    started: Mutex<usize>,
    waiting: Arc<AtomicUsize>,
    refused: AtomicU64,
    cost: Argon2Cost,
    /// Compared against when there is no such user, so that the work is the same.
    dummy: Arc<PasswordHash>,
}

impl Passwords {
    /// A pool whose threads end when it is dropped.
    pub fn new(config: &PasswordConfig) -> Result<Self, StartError> {
        let cost = Argon2Cost::new(config.memory_kib, config.passes, 1)
            .map_err(|error| StartError::Other(format!("password: {error}")))?;
        let threads = config.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let (queue, jobs) = sync_channel::<Job>(config.queue);
        Ok(Self {
            queue,
            jobs: Arc::new(Mutex::new(jobs)),
            threads: threads.max(1),
            started: Mutex::new(0),
            waiting: Arc::default(),
            refused: AtomicU64::new(0),
            cost,
            dummy: Arc::new(PasswordHash::dummy(cost)),
        })
    }

    /// Compares a presented password with a stored hash, or with nothing, at the same cost; hands the password back.
    pub async fn verify(&self, password: Password, stored: Option<String>) -> Result<(Verdict, Password), Error> {
        let (dummy, cost) = (self.dummy.clone(), self.cost);
        self.run(move |workspace| {
            let stored = stored.map(|text| text.parse::<PasswordHash>()).transpose();
            // A hash that cannot be read is a fault of ours, not a wrong password.
            let stored = stored.map_err(|error| Error::unavailable().because(error.to_string()))?;
            let verdict = password::verify(&password, stored.as_ref().unwrap_or(&dummy), cost, workspace);
            let verdict = verdict.map_err(|error| Error::unavailable().because(error.to_string()))?;
            Ok((verdict, password))
        })
        .await?
    }

    /// Hashes a new password.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        let cost = self.cost;
        let hashed = self.run(move |workspace| password::hash(&password, cost, workspace, &mut SystemRandom)).await?;
        hashed.map_err(|error| Error::unavailable().because(error.to_string()))
    }

    /// How many passwords wait for a thread.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many were turned away because the queue was full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Workspace) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.start_threads()
            .map_err(|error| Error::unavailable().because(format!("no thread for hashing: {error}")))?;
        let (answer, answered) = oneshot::channel();
        let waiting = self.waiting.clone();
        waiting.fetch_add(1, Ordering::Relaxed);
        let job: Job = Box::new(move |workspace| {
            waiting.fetch_sub(1, Ordering::Relaxed);
            // Nobody waits any more if the browser went away.
            let _ = answer.send(work(workspace));
        });
        match self.queue.try_send(job) {
            Ok(()) => answered.await.map_err(|_| Error::unavailable().because("a hashing thread ended")),
            Err(TrySendError::Full(_)) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(Error::unavailable().because("the password queue is full"))
            }
            Err(TrySendError::Disconnected(_)) => Err(Error::unavailable().because("the password threads ended")),
        }
    }

    fn start_threads(&self) -> std::io::Result<()> {
        let mut started = self.started.lock();
        while *started < self.threads {
            let (jobs, cost) = (self.jobs.clone(), self.cost);
            let named = std::thread::Builder::new().name(format!("passwords-{started}"));
            match named.spawn(move || work(&jobs, cost)) {
                Ok(_) => *started += 1,
                // The others do the work; the next password tries again.
                Err(_) if *started > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, cost: Argon2Cost) {
    lower_priority();
    let mut workspace = Workspace::default();
    while let Some(job) = next(jobs, &mut workspace) {
        if std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut workspace))).is_err() {
            tracing::error!("password hashing panicked");
        }
        workspace.shrink_to(cost.memory_kib());
    }
}

/// The next job; `None` when there will be no more. The lock is held while waiting, so that exactly one idle thread waits for a job and the
/// others for the lock.
fn next(jobs: &Mutex<Receiver<Job>>, workspace: &mut Workspace) -> Option<Job> {
    match jobs.try_lock_for(KEPT).map(|jobs| jobs.recv_timeout(KEPT)) {
        Some(Ok(job)) => return Some(job),
        Some(Err(RecvTimeoutError::Disconnected)) => return None,
        Some(Err(RecvTimeoutError::Timeout)) | None => {}
    }
    workspace.clear();
    jobs.lock().recv().ok()
}

/// A sign-in flood must not slow introspection: these threads get a processor when nobody else of this process wants it, and leave it at
/// once when somebody does. A mere lower priority is not enough: until its time slice ends, Linux lets such a thread keep the processor,
/// and a request waits for more than ten milliseconds.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let this = thread_priority::thread_native_id();
        if let Err(error) = thread_priority::set_thread_priority_and_policy(this, ThreadPriority::Min, idle) {
            tracing::warn!(
                ?error,
                "hashing threads keep the ordinary priority: a flood of sign-ins will slow introspection"
            );
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashing_gives_way_to_everything_else() {
        const SCHED_IDLE: &str = "5";
        let passwords = Passwords::new(&PasswordConfig::default()).expect("starts");
        let stat = || std::fs::read_to_string("/proc/thread-self/stat").expect("Linux tells");
        let policy = |stat: &str| stat.split_whitespace().nth(40).map(ToOwned::to_owned);
        assert_eq!(policy(&passwords.run(move |_| stat()).await.expect("runs")).as_deref(), Some(SCHED_IDLE));
        assert_ne!(policy(&stat()).as_deref(), Some(SCHED_IDLE), "only there");
    }
}
