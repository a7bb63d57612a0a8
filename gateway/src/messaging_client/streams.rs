//! The attached streams: one to each replica of messaging.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use parlance_core::RoomId;
use tokio::time::Instant;

use crate::messaging_client::request_queue::RequestQueue;
use crate::messaging_client::stream_message::StreamMessage;

/// Names one stream to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    pub(super) address: SocketAddr,
    /// Distinguishes successive streams to one address.
    pub(super) epoch: u64,
}

/// The attached streams, one to each replica.
#[derive(Default)]
pub(super) struct Streams(pub(super) BTreeMap<SocketAddr, AttachedStream>);

pub(super) struct AttachedStream {
    pub(super) epoch: u64,
    queue: RequestQueue,
    /// The replica has sent its go-away: it answers pending requests and gets no new rooms.
    pub(super) is_leaving: bool,
}

impl Streams {
    pub(super) fn add(&mut self, id: StreamId, queue: RequestQueue) {
        self.0.insert(id.address, AttachedStream { epoch: id.epoch, queue, is_leaving: false });
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        if self.get(id).is_some() {
            self.0.remove(&id.address);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn mark_leaving(&mut self, id: StreamId) {
        if let Some(stream) = self.0.get_mut(&id.address).filter(|stream| stream.epoch == id.epoch)
        {
            stream.is_leaving = true;
        }
    }

    pub(super) fn is_leaving(&self, id: StreamId) -> bool {
        self.get(id).is_some_and(|stream| stream.is_leaving)
    }

    /// Queues a request that expires. Returns false if the stream is gone or its queue is full.
    pub(super) fn push(&self, id: StreamId, message: StreamMessage, expires_at: Instant) -> bool {
        self.get(id).is_some_and(|stream| stream.queue.push(message, expires_at))
    }

    /// Queues the release of a room.
    pub(super) fn release(&self, id: StreamId, room_id: RoomId) {
        // A full queue belongs to a replica in trouble. Events of a room without subscribers are
        // dropped on arrival.
        self.push(id, StreamMessage::Release(room_id), Instant::now());
    }

    fn get(&self, id: StreamId) -> Option<&AttachedStream> {
        self.0.get(&id.address).filter(|stream| stream.epoch == id.epoch)
    }
}
