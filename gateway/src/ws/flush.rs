//! Writing to very many sockets what was queued for them.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_runtime::Lifecycle;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::ws::send_queue::SendQueue;

/// So many sockets are written to at a time; then others have their turn.
const SHARE: usize = 32;

/// The connections for which something was queued that nobody has written yet. As many tasks as
/// there are threads write it: one task for each connection, woken up for each event, would cost
/// more than the event. What is queued while they are busy goes out with what waits already.
///
/// Each connection is in here at most once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlushWorkers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    due: Mutex<VecDeque<Arc<SendQueue>>>,
    /// Tells one writer when something is due, and all of them when it is more than one share.
    added: Notify,
}

impl FlushWorkers {
    /// Starts the tasks that write.
    pub(crate) fn run(&self, lifecycle: &Lifecycle) {
        for _ in 0..Handle::current().metrics().num_workers() {
            lifecycle.spawn_task("deliveries", self.clone().write_forever());
        }
    }

    /// Has written what was queued for these connections, none of which is in here.
    pub(crate) fn add(&self, outbounds: Vec<Arc<SendQueue>>) {
        let added = outbounds.len();
        self.lock().extend(outbounds);
        match added {
            0 => {}
            1..=SHARE => self.shared.added.notify_one(),
            _ => self.shared.added.notify_waiters(),
        }
    }

    async fn write_forever(self) -> anyhow::Result<()> {
        loop {
            while let Some(share) = self.take() {
                share.into_iter().for_each(|send_queue| send_queue.flush());
                tokio::task::yield_now().await;
            }
            let mut added = pin!(self.shared.added.notified());
            added.as_mut().enable();
            // Of what came before that nobody is told.
            if self.is_empty() {
                added.await;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Those that are due first; nothing when none is.
    fn take(&self) -> Option<Vec<Arc<SendQueue>>> {
        let mut due = self.lock();
        let share = due.len().min(SHARE);
        (share > 0).then(|| due.drain(..share).collect())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<SendQueue>>> {
        self.shared.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
