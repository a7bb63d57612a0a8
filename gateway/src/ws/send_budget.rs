//! What waits for the clients of this gateway, in bytes of memory, and who has to go when it is too
//! much.
//!
//! An event is counted once while anybody holds it, however many queues it is in; besides, each
//! queue counts its entries and the answers that are its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use opentelemetry::global;
use opentelemetry::metrics::Counter;
use parlance_runtime::trace::Span;
use tokio::time::Instant;

use crate::limits::LimitsConfig;
use crate::ws::frames::Frames;
use crate::ws::send_queue::SendQueue;

/// What shared frames take besides their bytes.
const SHARED_BYTES: usize = 2 * size_of::<SharedWire>();

/// The bounds of the queues towards clients, and what is in all of them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SendBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Of one queue.
    max_bytes_each: usize,
    max_bytes: usize,
    bytes: AtomicUsize,
    slow_clients_closed: Counter<u64>,
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    send_budget: SendBudget,
    bytes: usize,
}

/// Events, which many queues share.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrames {
    frames: Frames,
    /// Of those that are recorded; they last for as long as anybody holds the frames.
    spans: Vec<Arc<Span>>,
}

/// Bytes with what they cost.
struct SharedWire {
    wire: Bytes,
    _charge: Charge,
    _spans: Vec<Arc<Span>>,
}

impl SendBudget {
    pub(crate) fn new(config: &LimitsConfig) -> Self {
        let slow_clients_closed = global::meter("parlance")
            .u64_counter("parlance.gateway.slow_clients_closed")
            .with_description("Connections closed because the client did not read fast enough.")
            .build();
        slow_clients_closed.add(0, &[]);
        let shared = Shared {
            max_bytes_each: config.max_queued_bytes,
            max_bytes: config.max_queued_bytes_total,
            bytes: AtomicUsize::new(0),
            slow_clients_closed,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The most that may wait for one client.
    pub(crate) fn max_bytes_each(&self) -> usize {
        self.shared.max_bytes_each
    }

    /// The most that may wait for all clients.
    pub(crate) fn max_bytes(&self) -> usize {
        self.shared.max_bytes
    }

    /// What waits for all clients.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// An empty charge.
    pub(crate) fn charge(&self) -> Charge {
        Charge { send_budget: self.clone(), bytes: 0 }
    }

    /// Makes frames ones that are counted once, for as long as anybody holds them.
    pub(crate) fn share(&self, frames: Frames) -> SharedFrames {
        self.share_recorded(frames, Vec::new())
    }

    /// The same for frames with steps that end when nobody holds them any more: when the last
    /// socket has written them.
    pub(crate) fn share_recorded(&self, frames: Frames, spans: Vec<Arc<Span>>) -> SharedFrames {
        let mut charge = self.charge();
        charge.add(frames.len() + SHARED_BYTES);
        let wire = SharedWire { wire: frames.into_wire(), _charge: charge, _spans: spans.clone() };
        SharedFrames { frames: Frames::of_wire(Bytes::from_owner(wire)), spans }
    }

    /// All of them in one piece.
    pub(crate) fn join<'a>(
        &self,
        frames: impl Iterator<Item = &'a SharedFrames> + Clone,
    ) -> SharedFrames {
        let mut wire = Vec::with_capacity(frames.clone().map(SharedFrames::len).sum());
        frames.clone().for_each(|frames| wire.extend_from_slice(frames.frames.wire()));
        let spans = frames.flat_map(|frames| &frames.spans).cloned().collect();
        self.share_recorded(Frames::of_wire(wire.into()), spans)
    }

    /// Notes that a client did not read and was cut for it.
    pub(crate) fn note_slow_client(&self) {
        self.shared.slow_clients_closed.add(1, &[]);
    }

    /// Cuts, if more waits than may, connections whose clients have read nothing since then, those
    /// furthest behind first. What is left when all of them are cut waits for clients who read, or
    /// is less for each than its share of what may wait.
    pub(crate) fn shed_slow_consumers<'a>(
        &self,
        connections: impl ExactSizeIterator<Item = &'a SendQueue>,
        stalled_since: Instant,
    ) {
        if self.bytes() <= self.shared.max_bytes {
            return;
        }
        let share =
            (self.shared.max_bytes_each / 16).min(self.shared.max_bytes / connections.len().max(1));
        let stalled: Vec<(&SendQueue, usize)> = connections
            .map(|send_queue| (send_queue, send_queue.stalled_bytes(stalled_since)))
            .filter(|(_, bytes)| *bytes > share)
            .collect();
        let most = stalled.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        for (send_queue, _) in stalled.iter().filter(|(_, bytes)| *bytes >= most / 2) {
            send_queue.cut_off();
        }
    }
}

impl Charge {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.send_budget.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.send_budget.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.send_budget.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl SharedFrames {
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }
}

impl AsRef<[u8]> for SharedWire {
    fn as_ref(&self) -> &[u8] {
        &self.wire
    }
}

#[cfg(test)]
impl SendBudget {
    /// Bounds for a test of one part.
    pub(crate) fn of(max_bytes_each: usize, max_bytes: usize) -> Self {
        let slow_clients_closed = global::meter("test").u64_counter("slow_clients_closed").build();
        let bytes = AtomicUsize::new(0);
        let shared = Shared { max_bytes_each, max_bytes, bytes, slow_clients_closed };
        Self { shared: Arc::new(shared) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::ws::send_queue::ENTRY_BYTES;

    /// A frame of so many bytes, header included.
    fn frame_of(bytes: usize) -> Frames {
        Frames::of_wire("x".repeat(bytes).into())
    }

    /// Connections with an answer of so many bytes each, to clients that are busy.
    async fn connections(send_budget: &SendBudget, bytes: &[usize]) -> Vec<(SendQueue, TcpStream)> {
        let mut connections = Vec::new();
        for (&bytes, id) in bytes.iter().zip(0..) {
            let (send_queue, client) = SendQueue::to_busy_client(id, send_budget).await;
            send_queue.push(frame_of(bytes));
            connections.push((send_queue, client));
        }
        connections
    }

    fn shed_slow_consumers(
        send_budget: &SendBudget,
        connections: &[(SendQueue, TcpStream)],
        stalled_since: Instant,
    ) {
        send_budget.shed_slow_consumers(
            connections.iter().map(|(send_queue, _)| send_queue),
            stalled_since,
        );
    }

    fn cut(connections: &[(SendQueue, TcpStream)]) -> Vec<bool> {
        connections.iter().map(|(send_queue, _)| send_queue.is_cut()).collect()
    }

    #[tokio::test]
    async fn a_frame_that_many_share_counts_once_and_until_the_last_has_let_it_go() {
        let send_budget = SendBudget::of(1 << 20, 1 << 20);
        let queues = [SendQueue::new(1, None, &send_budget), SendQueue::new(2, None, &send_budget)];
        let frame = send_budget.share(frame_of(1_000));
        queues.iter().for_each(|send_queue| send_queue.push_shared(&frame));
        drop(frame);
        assert_eq!(send_budget.bytes(), 1_000 + SHARED_BYTES + 2 * ENTRY_BYTES);

        let [first, second] = queues;
        drop(first.take());
        assert_eq!(send_budget.bytes(), 1_000 + SHARED_BYTES + ENTRY_BYTES);
        second.cut_off();
        assert_eq!(send_budget.bytes(), 0);
    }

    #[tokio::test]
    async fn an_answer_counts_in_each_queue_until_it_is_written() {
        let send_budget = SendBudget::of(1 << 20, 1 << 20);
        let mut queues = connections(&send_budget, &[100, 200]).await;
        queues[0].0.flush();
        assert_eq!(send_budget.bytes(), 300 + 2 * ENTRY_BYTES, "nothing is taken yet");
        while send_budget.bytes() == 300 + 2 * ENTRY_BYTES {
            queues[0].1.read_exact(&mut [0; 1_000]).await.unwrap();
            queues[0].0.flush();
        }
        assert_eq!(send_budget.bytes(), 200 + ENTRY_BYTES);
        drop(queues);
        assert_eq!(send_budget.bytes(), 0);
    }

    #[tokio::test]
    async fn too_much_in_all_cuts_who_does_not_read_and_is_furthest_behind() {
        let send_budget = SendBudget::of(32_000, 40_000);
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let queues = connections(&send_budget, &[20_000, 11_000, 9_000, 30_000, 100]).await;
        for stalled in [0, 1, 2, 4] {
            queues[stalled].0.flush();
        }
        shed_slow_consumers(&send_budget, &queues, begin);
        assert_eq!(cut(&queues), [false; 5], "nobody is slow yet");
        shed_slow_consumers(&send_budget, &queues, Instant::now());
        assert_eq!(cut(&queues), [true, true, false, false, false]);
    }

    #[tokio::test]
    async fn nobody_is_cut_who_takes_what_is_written_or_is_not_far_behind() {
        let send_budget = SendBudget::of(32_000, 40_000);
        let mut queues =
            connections(&send_budget, &[32_000 / 16 - ENTRY_BYTES, 25_000, 25_000]).await;
        queues[0].0.flush();
        queues[1].0.flush();
        let flushed_at = Instant::now();
        let (send_queue, client) = &mut queues[1];
        while send_queue.stalled_bytes(flushed_at) > 0 {
            client.read_exact(&mut [0; 1_000]).await.unwrap();
            send_queue.flush();
        }
        send_queue.push(frame_of(25_000));
        shed_slow_consumers(&send_budget, &queues, flushed_at);
        assert_eq!(cut(&queues), [false; 3]);
    }

    #[tokio::test]
    async fn within_the_bound_nobody_is_cut() {
        let send_budget = SendBudget::of(32_000, 100_000);
        let queues = connections(&send_budget, &[30_000, 30_000]).await;
        queues[0].0.flush();
        shed_slow_consumers(&send_budget, &queues, Instant::now());
        assert_eq!(cut(&queues), [false, false]);
    }
}
