//! The bound on the memory of the frames that wait for all clients of this gateway.
//!
//! Frames that many queues share count once, until the last queue has written them. Each queue also
//! counts its entries and the frames that no other queue has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use opentelemetry::metrics::Counter;
use parlance_runtime::trace::Span;

use crate::limits::LimitsConfig;
use crate::metrics::counter;
use crate::ws::frames::Frames;

/// The memory of shared frames besides their bytes.
pub(crate) const SHARED_BYTES: usize = 2 * size_of::<CountedWire>();

/// The bytes that wait for all clients, and the limits. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SendBudget {
    shared: Arc<Shared>,
}

struct Shared {
    max_bytes_each: usize,
    max_bytes: usize,
    bytes: AtomicUsize,
    slow_clients_closed: Counter<u64>,
}

impl SendBudget {
    pub(crate) fn new(config: &LimitsConfig) -> Self {
        Self::with_limits(config.max_queued_bytes, config.max_queued_bytes_total)
    }

    pub(crate) fn with_limits(max_bytes_each: usize, max_bytes: usize) -> Self {
        let slow_clients_closed = counter(
            "parlance.gateway.slow_clients_closed",
            "Connections closed because the client did not read fast enough.",
        );
        slow_clients_closed.add(0, &[]);
        let bytes = AtomicUsize::new(0);
        let shared = Shared { max_bytes_each, max_bytes, bytes, slow_clients_closed };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the limit of one queue.
    pub(crate) fn max_bytes_each(&self) -> usize {
        self.shared.max_bytes_each
    }

    /// Returns the limit of all queues together.
    pub(crate) fn max_bytes(&self) -> usize {
        self.shared.max_bytes
    }

    /// Returns the bytes that wait for all clients.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn charge(&self) -> Charge {
        Charge { send_budget: self.clone(), bytes: 0 }
    }

    /// Makes frames shareable.
    pub(crate) fn share(&self, frames: Frames) -> SharedFrames {
        self.share_with_spans(frames, Vec::new())
    }

    /// Makes frames shareable. The spans end when the last socket has written the frames.
    pub(crate) fn share_with_spans(&self, frames: Frames, spans: Vec<Arc<Span>>) -> SharedFrames {
        let mut charge = self.charge();
        charge.add(frames.len() + SHARED_BYTES);
        let wire = CountedWire { wire: frames.wire, _charge: charge, _spans: spans.clone() };
        SharedFrames { frames: Frames { wire: Bytes::from_owner(wire) }, spans }
    }

    /// Joins frames into one piece.
    pub(crate) fn join<'a>(
        &self,
        frames: impl Iterator<Item = &'a SharedFrames> + Clone,
    ) -> SharedFrames {
        let mut wire = Vec::with_capacity(frames.clone().map(SharedFrames::len).sum());
        frames.clone().for_each(|frames| wire.extend_from_slice(&frames.frames.wire));
        let spans = frames.flat_map(|frames| &frames.spans).cloned().collect();
        self.share_with_spans(Frames { wire: wire.into() }, spans)
    }

    /// Counts a slow consumer that is shed.
    pub(crate) fn count_slow_client(&self) {
        self.shared.slow_clients_closed.add(1, &[]);
    }
}

/// Bytes that count until this is dropped.
pub(crate) struct Charge {
    send_budget: SendBudget,
    bytes: usize,
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

/// Frames that many queues share.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrames {
    pub(crate) frames: Frames,
    /// The spans of the recorded events among them.
    spans: Vec<Arc<Span>>,
}

impl SharedFrames {
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}

/// The bytes of shared frames. Dropped with the last of them.
struct CountedWire {
    wire: Bytes,
    _charge: Charge,
    _spans: Vec<Arc<Span>>,
}

impl AsRef<[u8]> for CountedWire {
    fn as_ref(&self) -> &[u8] {
        &self.wire
    }
}
