//! The header of a publication, and the channels and spans of rooms.

use std::time::{Duration, Instant};

use parlance_core::RoomId;
use parlance_proto::messaging::Event;
use parlance_runtime::trace::{Span, SpanBuilder, Trace};
use rand::Rng;

/// Makes and reads headers. A header holds the id of the publishing process and the time of the
/// publication on the clock of that process. So a replica recognises its own publications, and
/// measures how long Redis takes to deliver them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publisher {
    id: u64,
    started: Instant,
}

impl Publisher {
    /// The length of a header in bytes.
    pub(super) const HEADER: usize = 16;

    /// Creates the identity of this process.
    pub(super) fn new() -> Self {
        Self { id: rand::rng().random(), started: Instant::now() }
    }

    /// Returns the header of a publication that is made now.
    pub(super) fn header(&self) -> u128 {
        (u128::from(self.id) << 64) | u128::from(self.now_us())
    }

    /// Returns the age of a publication of this process; `None` if another process made it.
    pub(super) fn own_age(&self, header: u128) -> Option<Duration> {
        let (id, published_us) = ((header >> 64) as u64, header as u64);
        let age = Duration::from_micros(self.now_us().saturating_sub(published_us));
        (id == self.id).then_some(age)
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// Returns the channel of a room.
pub(super) fn channel_name(room_id: RoomId) -> String {
    format!("room:{room_id}")
}

/// Starts the span of an operation on a room's channel. The trace of the event continues in it.
/// Returns `None` if the trace is not recorded.
pub(super) fn start_span(
    event: &mut Event,
    new_span: impl FnOnce() -> SpanBuilder,
) -> Option<Span> {
    let span = Trace::follow(&event.traceparent, || {
        new_span()
            .with("messaging.system", "redis")
            .with("messaging.destination.template", "room:{id}")
            .with("messaging.destination.name", channel_name(RoomId::new(event.room_id)))
    });
    if !span.is_recorded() {
        return None;
    }
    event.traceparent = span.traceparent();
    Some(span)
}
