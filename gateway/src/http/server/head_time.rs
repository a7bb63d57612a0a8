//! How long a connection waits for the head of its next request.
//!
//! hyper asks for a timer before each head and drops it when the head is there. One of the
//! runtime's would be set and taken back for each request, under a lock that all connections share.
//! Here it is only written down until when to wait, and a connection has one timer, which is set
//! anew when it has run out and the head was there in time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// How long the head of a request may take to arrive, and how long a connection may be idle.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);

/// Until when a connection waits for a head, if it does; the timer that hyper is given. Cheap to
/// clone.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadTime(Arc<Mutex<Option<Instant>>>);

impl HeadTime {
    /// Resolves when a head has not arrived in time.
    pub(super) async fn run_out(&self) {
        loop {
            let next = match self.end() {
                Some(end) if end <= self.now() => return,
                Some(end) => end,
                // No wait that begins from now on ends before this.
                None => self.now() + HEAD_TIME,
            };
            tokio::time::sleep_until(next.into()).await;
        }
    }

    fn end(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_end(&self, end: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

impl Timer for HeadTime {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.set_end(Some(deadline));
        Box::pin(Wait(self.clone()))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

/// A wait for a head. It never resolves: the connection ends with [`HeadTime::run_out`].
struct Wait(HeadTime);

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for Wait {}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.set_end(None);
    }
}
