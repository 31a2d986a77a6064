//! A connection's timer, set anew for every request.
//!
//! Making a timer of the runtime, entering it into its wheel and taking it out again for every request costs more than finding a session.
//! So the one that is there is left as it is: it goes off at the time that an earlier request set, and only then is it moved to the time
//! that the present one set.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::Sleep;

type Resting = Arc<Mutex<Option<Pin<Box<Sleep>>>>>;

/// The timer of one connection, for one purpose. Clones share it.
#[derive(Clone, Default)]
pub struct ConnectionTimer(Resting);

impl ConnectionTimer {
    /// Goes off at `deadline`. Usually the only one at a time; further ones, as of streams of HTTP/2, get timers of their own.
    pub fn until(&self, deadline: Instant) -> Alarm {
        let deadline = tokio::time::Instant::from_std(deadline);
        let resting = self.0.lock().take();
        // One that would go off too late was set by somebody who waits longer.
        let resting = resting.filter(|sleep| sleep.deadline() <= deadline);
        let sleep = resting.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(deadline)));
        Alarm { sleep: Some(sleep), deadline, resting: self.0.clone() }
    }

    /// Goes off after `duration`.
    pub fn after(&self, duration: Duration) -> Alarm {
        self.until(tokio::time::Instant::now().into_std() + duration)
    }
}

impl hyper::rt::Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.after(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.until(deadline))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// Ends when its time has come. Dropped before that, it hands the timer back.
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: tokio::time::Instant,
    resting: Resting,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { sleep, deadline, .. } = &mut *self;
        let Some(sleep) = sleep else { return Poll::Ready(()) };
        loop {
            std::task::ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= *deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(*deadline);
        }
    }
}

impl hyper::rt::Sleep for Alarm {}

impl Drop for Alarm {
    fn drop(&mut self) {
        *self.resting.lock() = self.sleep.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_was_set_to_however_often_it_was_set_before() {
        let timer = ConnectionTimer::default();
        for round in 1..=3 {
            let began = tokio::time::Instant::now();
            for _ in 0..10 {
                // A request that is answered in time.
                let mut alarm = timer.after(10 * SECOND);
                tokio::select! {
                    biased;
                    () = &mut alarm => panic!("too early"),
                    () = tokio::time::sleep(SECOND) => {}
                }
            }
            timer.after(10 * SECOND).await;
            assert_eq!(began.elapsed().as_secs(), 20, "round {round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_at_a_time_do_not_disturb_each_other() {
        let timer = ConnectionTimer::default();
        let began = tokio::time::Instant::now();
        let (long, short) = (timer.after(30 * SECOND), timer.after(10 * SECOND));
        short.await;
        assert_eq!(began.elapsed().as_secs(), 10);
        long.await;
        assert_eq!(began.elapsed().as_secs(), 30);
    }
}
