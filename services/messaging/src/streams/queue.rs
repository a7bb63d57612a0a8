//! The bounded queue of responses to one gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parlance_proto::messaging::AttachResponse;
use parlance_proto::messaging::event::Kind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The bounds of a queue. A stream that exceeds one is closed: the gateway attaches again and
/// catches up, which costs less memory than an unbounded queue.
const MAX_QUEUED_BYTES: usize = 64 << 20;
const MAX_QUEUED_RESPONSES: usize = 4_096;
/// The assumed size of an event or an answer without its content, in bytes.
const OVERHEAD: usize = 128;

/// Creates the queue of a new stream: the end that the registry keeps, and the end that the stream
/// reads.
pub(super) fn new() -> (StreamSender, StreamQueue) {
    let (sender, receiver) = mpsc::channel(MAX_QUEUED_RESPONSES);
    let (queued_bytes, closed) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let queue =
        StreamQueue { receiver, queued_bytes: queued_bytes.clone(), closed: closed.clone() };
    (StreamSender { sender, queued_bytes, closed }, queue)
}

/// The sending end.
#[derive(Debug)]
pub(super) struct StreamSender {
    sender: mpsc::Sender<AttachResponse>,
    queued_bytes: Arc<AtomicUsize>,
    closed: CancellationToken,
}

impl StreamSender {
    /// Queues a response, or closes the stream if the queue is full.
    pub(super) fn send(&self, response: AttachResponse) {
        let bytes = size_of(&response);
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if queued > MAX_QUEUED_BYTES || self.sender.try_send(response).is_err() {
            self.close();
        }
    }

    /// Ends the stream at once. Queued responses are dropped.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }
}

/// The receiving end.
pub(crate) struct StreamQueue {
    receiver: mpsc::Receiver<AttachResponse>,
    queued_bytes: Arc<AtomicUsize>,
    closed: CancellationToken,
}

impl StreamQueue {
    /// Returns the next response; `None` once the stream is closed or detached.
    pub(crate) async fn next(&mut self) -> Option<AttachResponse> {
        let response = self.closed.run_until_cancelled(self.receiver.recv()).await??;
        self.queued_bytes.fetch_sub(size_of(&response), Ordering::Relaxed);
        Some(response)
    }

    /// Is cancelled when the stream is closed.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

/// Estimates the size of a response in bytes.
fn size_of(response: &AttachResponse) -> usize {
    let content = |kind: &Option<Kind>| match kind {
        Some(Kind::Created(message) | Kind::Edited(message)) => message.content.len(),
        _ => 0,
    };
    let events: usize = response.events.iter().map(|event| OVERHEAD + content(&event.kind)).sum();
    let others = response.ends.len() + response.answers.len() + response.last_seqs.len();
    events + OVERHEAD * (1 + others)
}
