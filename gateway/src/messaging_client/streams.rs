//! The attached streams, and which of them belongs to the owner replica of a room.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use parlance_core::RoomId;
use tokio::sync::mpsc;

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
pub(super) struct Streams(BTreeMap<SocketAddr, AttachedStream>);

struct AttachedStream {
    epoch: u64,
    queue: mpsc::Sender<StreamMessage>,
    /// The replica has sent its go-away: it answers pending requests and gets no new rooms.
    is_leaving: bool,
}

impl Streams {
    pub(super) fn add(&mut self, id: StreamId, queue: mpsc::Sender<StreamMessage>) {
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

    /// Queues a message. Returns false if the stream is gone or its queue is full.
    pub(super) fn push(&self, id: StreamId, message: StreamMessage) -> bool {
        self.get(id).is_some_and(|stream| stream.queue.try_send(message).is_ok())
    }

    /// Returns the stream to the owner replica of a room: the one with the highest hash of room and
    /// address (rendezvous hashing), so that only the rooms of a lost replica are reassigned.
    /// Gateways that see different replicas for a while pick different owners. Redis carries the
    /// events between the owners.
    pub(super) fn owner(&self, room_id: RoomId) -> Option<StreamId> {
        let staying = self.0.iter().filter(|(_, stream)| !stream.is_leaving);
        let (&address, stream) = staying.max_by_key(|(address, _)| {
            let mut hasher = DefaultHasher::new();
            (room_id, address).hash(&mut hasher);
            hasher.finish()
        })?;
        Some(StreamId { address, epoch: stream.epoch })
    }

    fn get(&self, id: StreamId) -> Option<&AttachedStream> {
        self.0.get(&id.address).filter(|stream| stream.epoch == id.epoch)
    }
}
