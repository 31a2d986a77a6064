//! A thread that does one thing after another: what takes long on the connection that writes. The runtime's threads for such work would do, but there it
//! is one more whenever the last has not quite come to rest, and each keeps memory of its own.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use crate::error::StoreError;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. It ends, when it has done everything, with the last clone of this.
#[derive(Clone)]
pub(super) struct Thread(Sender<Job>);

impl Thread {
    pub(super) fn start() -> Result<Self, StoreError> {
        let (queue, jobs) = channel();
        let named = std::thread::Builder::new().name("sqlite-writer".to_owned());
        named.spawn(move || work(&jobs)).map_err(StoreError::unavailable)?;
        Ok(Self(queue))
    }

    /// What the work has led to. Once asked for it is done, whether or not anybody still waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(work())));
        self.0.send(job).map_err(|_| StoreError::unavailable("the thread of the writing connection has ended"))?;
        outcome.await.map_err(StoreError::unavailable)?
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        if std::panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a statement panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_works_on_after_a_panic() {
        let thread = Thread::start().expect("starts");
        let number = async |number: u32| thread.run(move || Ok(100 / number)).await;
        assert_eq!(number(4).await.ok(), Some(25));
        assert!(number(0).await.is_err(), "whoever waits is told");
        assert_eq!(number(5).await.ok(), Some(20));
    }

    #[tokio::test]
    async fn what_was_asked_for_is_done_though_nobody_waits() {
        let thread = Thread::start().expect("starts");
        let (go, going) = channel::<()>();
        let (done, outcome) = oneshot::channel();
        let job = thread.run(move || {
            let _ = going.recv();
            let _ = done.send(());
            Ok(())
        });
        let asked = tokio::time::timeout(std::time::Duration::ZERO, job).await;
        assert!(asked.is_err());
        drop(thread);
        go.send(()).expect("it waits");
        outcome.await.expect("done");
    }
}
