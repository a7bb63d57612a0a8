//! Picks the owner replica of a room.

use std::hash::{DefaultHasher, Hash, Hasher};

use parlance_core::RoomId;

use crate::messaging_client::streams::{StreamId, Streams};

/// The replicas that may own rooms, at one moment. Two of them are equal if they pick the same
/// streams for all rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnerReplicas(Vec<StreamId>);

impl OwnerReplicas {
    /// Returns the stream to the owner replica of a room.
    pub(crate) fn owner(&self, room_id: RoomId) -> Option<StreamId> {
        owner(self.0.iter().copied(), room_id)
    }
}

impl Streams {
    /// Returns the replicas that own rooms now.
    pub(super) fn owner_replicas(&self) -> OwnerReplicas {
        OwnerReplicas(self.staying().collect())
    }

    /// Returns the stream to the owner replica of a room.
    pub(super) fn owner(&self, room_id: RoomId) -> Option<StreamId> {
        owner(self.staying(), room_id)
    }

    /// Returns the streams to the replicas that have not sent their go-away.
    fn staying(&self) -> impl Iterator<Item = StreamId> {
        let staying = self.0.iter().filter(|(_, stream)| !stream.is_leaving);
        staying.map(|(&address, stream)| StreamId { address, epoch: stream.epoch })
    }
}

/// Picks the replica with the highest hash of room and address (rendezvous hashing), so that only
/// the rooms of a lost replica are reassigned. Gateways that see different replicas for a while
/// pick different owners. Redis carries the events between the owners.
fn owner(streams: impl Iterator<Item = StreamId>, room_id: RoomId) -> Option<StreamId> {
    streams.max_by_key(|stream| {
        let mut hasher = DefaultHasher::new();
        (room_id, stream.address).hash(&mut hasher);
        hasher.finish()
    })
}
