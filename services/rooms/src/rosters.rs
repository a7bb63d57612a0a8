//! The members of rooms as they were last read, so that nobody's list of rooms reads them all
//! again.
//!
//! What is remembered is used only beside the version of the room that was just read from the
//! store: a change of the members, by whatever replica, changes the version in the same
//! transaction, and so is seen by every list that is asked for after it.

use std::sync::Arc;

use parlance_core::RoomId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::{Member, Room, RoomHead, RoomVersion};

/// How many members of rooms are remembered, all rooms together; each takes 16 bytes.
const MAX_MEMBERS: u64 = 2_000_000;
/// What a room costs besides its members, in members.
const COST_OF_ROOM: u64 = 10;
/// How many large rooms that is, to lay the cache out by: it is divided into 32 parts at most, and
/// a room that is larger than a part is not remembered.
const LARGE_ROOMS: usize = 1_000;

/// Remembers members. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Rosters {
    remembered: Arc<Cache<RoomId, Roster, Cost>>,
}

#[derive(Clone, Debug)]
struct Roster {
    version: RoomVersion,
    members: Arc<[Member]>,
}

/// Says what a room takes, in members.
#[derive(Clone, Debug)]
struct Cost;

impl Weighter<RoomId, Roster> for Cost {
    fn weight(&self, _: &RoomId, roster: &Roster) -> u64 {
        roster.members.len() as u64 + COST_OF_ROOM
    }
}

impl Rosters {
    pub(crate) fn new() -> Self {
        Self { remembered: Arc::new(Cache::with_weighter(LARGE_ROOMS, MAX_MEMBERS, Cost)) }
    }

    /// The room with its members, if those of this version are known.
    pub(crate) fn complete(&self, head: RoomHead) -> Result<Room, RoomId> {
        match self.remembered.get(&head.id).filter(|roster| roster.version == head.version) {
            Some(roster) => Ok(head.with_members(roster.members)),
            None => Err(head.id),
        }
    }

    /// Keeps the members that a room had at this version.
    pub(crate) fn remember(&self, room: &Room, version: RoomVersion) {
        self.remembered.insert(room.id, Roster { version, members: room.members.clone() });
    }
}
