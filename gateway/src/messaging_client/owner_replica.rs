//! Picks the owner replica of a room.

use std::hash::{DefaultHasher, Hash, Hasher};

use parlance_core::RoomId;

use crate::messaging_client::streams::{StreamId, Streams};

impl Streams {
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
}
