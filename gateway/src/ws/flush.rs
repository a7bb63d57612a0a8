//! Writes the send queues of many sockets with few tasks.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use parlance_runtime::Lifecycle;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::lock::lock;
use crate::ws::send_queue::SendQueue;

/// Queues that a worker flushes before it yields.
const FLUSHES_PER_TURN: usize = 32;

/// One worker per thread of the runtime. To wake one task per connection would cost more than the
/// event itself. Frames that are queued while the workers are busy are written together with the
/// ones before.
///
/// A queue is in the list at most once. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct FlushWorkers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    scheduled: Mutex<VecDeque<Arc<SendQueue>>>,
    /// Notifies one worker, or all if there is more than one turn of work.
    added: Notify,
}

impl FlushWorkers {
    pub(crate) fn run(&self, lifecycle: &Lifecycle) {
        for _ in 0..Handle::current().metrics().num_workers() {
            lifecycle.spawn_task("flush worker", self.clone().flush_forever());
        }
    }

    /// Schedules the flush of queues for which none is scheduled.
    pub(crate) fn add(&self, queues: Vec<Arc<SendQueue>>) {
        let added = queues.len();
        lock(&self.shared.scheduled).extend(queues);
        match added {
            0 => {}
            1..=FLUSHES_PER_TURN => self.shared.added.notify_one(),
            _ => self.shared.added.notify_waiters(),
        }
    }

    async fn flush_forever(self) -> anyhow::Result<()> {
        loop {
            while let Some(queues) = self.take() {
                queues.into_iter().for_each(|send_queue| send_queue.flush());
                tokio::task::yield_now().await;
            }
            let mut added = pin!(self.shared.added.notified());
            added.as_mut().enable();
            // A queue that was added before is not notified.
            if lock(&self.shared.scheduled).is_empty() {
                added.await;
            }
        }
    }

    fn take(&self) -> Option<Vec<Arc<SendQueue>>> {
        let mut scheduled = lock(&self.shared.scheduled);
        let count = scheduled.len().min(FLUSHES_PER_TURN);
        (count > 0).then(|| scheduled.drain(..count).collect())
    }
}
