//! What waits to be sent on one stream. Messages wait by sender and leave in turn, so that one who
//! sends much delays no other; everything else leaves in its order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use parlance_core::UserId;
use parlance_proto::messaging::{AttachRequest, Send};
use parlance_runtime::FairQueue;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::lock;
use crate::messaging_client::stream_message::StreamMessage;

/// The most messages in one batch, and the most of everything else.
const MAX_BATCH: usize = 400;
/// The most bytes of contents in one batch, unless it is a single message: senders of long messages
/// delay the others no more than senders of many.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// The sending end, which closes the queue when it is dropped.
pub(super) struct RequestQueue(Arc<Shared>);

/// The receiving end.
pub(super) struct RequestReader {
    shared: Arc<Shared>,
    /// When the stream was opened. Times on the stream count from here.
    opened_at: Instant,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when the queue is not empty any more, and when it is closed.
    changed: Notify,
}

struct Queue {
    /// With the times until which their callers wait.
    sends: FairQueue<UserId, (Instant, Send)>,
    others: VecDeque<StreamMessage>,
    max: usize,
    is_closed: bool,
}

/// Makes a queue for at most `max` messages, and as much of everything else.
pub(super) fn new(max: usize) -> (RequestQueue, RequestReader) {
    let sends = FairQueue::new(max, max);
    let queue = Queue { sends, others: VecDeque::new(), max, is_closed: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Notify::new() });
    (RequestQueue(shared.clone()), RequestReader { shared, opened_at: Instant::now() })
}

impl RequestQueue {
    /// Queues a message. Returns false if there is no space. A message to store that still waits
    /// when it expires is dropped.
    pub(super) fn push(&self, message: StreamMessage, expires_at: Instant) -> bool {
        let mut queue = lock(&self.0.queue);
        let was_empty = queue.is_empty();
        match message {
            StreamMessage::Send(send) => {
                let sender_id = UserId::new(send.sender_id);
                if queue.sends.push(sender_id, (expires_at, send)).is_err() {
                    return false;
                }
            }
            _ if queue.others.len() >= queue.max => return false,
            other => queue.others.push_back(other),
        }
        drop(queue);
        if was_empty {
            self.0.changed.notify_one();
        }
        true
    }
}

impl Drop for RequestQueue {
    fn drop(&mut self) {
        lock(&self.0.queue).is_closed = true;
        self.0.changed.notify_one();
    }
}

impl RequestReader {
    /// Returns batches of what waits, until the queue is closed.
    pub(super) fn batches(self) -> impl Stream<Item = AttachRequest> {
        stream::unfold(self, |reader| async move { Some((reader.next().await?, reader)) })
    }

    async fn next(&self) -> Option<AttachRequest> {
        loop {
            {
                let mut queue = lock(&self.shared.queue);
                if queue.is_closed {
                    return None;
                }
                if let Some(batch) = queue.take(self.opened_at) {
                    return Some(batch);
                }
            }
            self.shared.changed.notified().await;
        }
    }
}

#[cfg(test)]
impl RequestReader {
    /// Returns the next batch without waiting.
    pub(super) fn take(&self) -> Option<AttachRequest> {
        lock(&self.shared.queue).take(self.opened_at)
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.others.is_empty()
    }

    /// Takes the next batch; `None` if nothing waits.
    fn take(&mut self, opened_at: Instant) -> Option<AttachRequest> {
        let now = Instant::now();
        let sent_at_us = micros(now.saturating_duration_since(opened_at));
        let mut batch = AttachRequest { sent_at_us, ..AttachRequest::default() };
        let mut bytes = 0;
        while batch.sends.len() < MAX_BATCH
            && bytes < MAX_BATCH_BYTES
            && let Some((_, (expires_at, mut send))) = self.sends.pop()
        {
            // An expired message is answered already.
            if now < expires_at {
                send.deadline_us = micros(expires_at.saturating_duration_since(opened_at));
                bytes += send.content.len();
                batch.sends.push(send);
            }
        }
        let is_empty = self.take_others(&mut batch) == 0 && batch.sends.is_empty();
        (!is_empty).then_some(batch)
    }

    /// Takes the other messages in their order; one whose kind comes earlier in a batch waits for
    /// the next. Returns how many were taken.
    fn take_others(&mut self, batch: &mut AttachRequest) -> usize {
        let (mut taken, mut position) = (0, 0);
        while taken < MAX_BATCH
            && let Some(message) = self.others.pop_front_if(|next| next.position() >= position)
        {
            position = message.position();
            message.add_to(batch);
            taken += 1;
        }
        if self.others.is_empty() {
            // Many messages wait only while the rooms of a replica move.
            self.others.shrink_to(MAX_BATCH);
        }
        taken
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tests/request_queue.rs"]
mod tests;
