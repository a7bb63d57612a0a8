//! The members of rooms as they were last read, so that neither a room nor a list of rooms need
//! read them all again.
//!
//! An entry is used only if it has the room version that was just read from the store. A change of
//! the members, by any replica, changes the room version in the same transaction, so a stale entry
//! is never used.

use std::sync::Arc;

use parlance_core::RoomId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::{Member, Room, RoomSummary, RoomVersion};

/// The capacity, in members of all rooms together. A member takes 16 bytes.
const MAX_MEMBERS: u64 = 2_000_000;
/// The overhead of a room, in members.
const ROOM_OVERHEAD: u64 = 10;
/// The expected number of large rooms. The cache derives from it how many parts it divides the
/// capacity into, at most 32; it does not keep a room that is larger than a part.
const LARGE_ROOMS: usize = 1_000;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MemberCache {
    cache: Arc<Cache<RoomId, Entry, EntryWeighter>>,
}

#[derive(Clone, Debug)]
struct Entry {
    version: RoomVersion,
    members: Arc<[Member]>,
}

/// Weighs an entry in members.
#[derive(Clone, Debug)]
struct EntryWeighter;

impl Weighter<RoomId, Entry> for EntryWeighter {
    fn weight(&self, _: &RoomId, entry: &Entry) -> u64 {
        entry.members.len() as u64 + ROOM_OVERHEAD
    }
}

impl MemberCache {
    pub(crate) fn new() -> Self {
        Self { cache: Arc::new(Cache::with_weighter(LARGE_ROOMS, MAX_MEMBERS, EntryWeighter)) }
    }

    /// Returns the room with its members, or what was given if the members of this version are not
    /// cached.
    pub(crate) fn complete(&self, summary: RoomSummary) -> Result<Room, RoomSummary> {
        match self.cache.get(&summary.id).filter(|entry| entry.version == summary.version) {
            Some(entry) => Ok(summary.with_members(entry.members)),
            None => Err(summary),
        }
    }

    /// Caches the members of the room at this version.
    pub(crate) fn insert(&self, room: &Room, version: RoomVersion) {
        self.cache.insert(room.id, Entry { version, members: room.members.clone() });
    }
}
