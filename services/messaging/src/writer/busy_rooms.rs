//! Rooms whose heads somebody else has locked, and how much waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;

use super::batch::Job;

/// The rooms that are on the detour, each with the number of its messages there. As long as there
/// is one, all that comes for the room has to follow it. Cheap to clone. The lock is held for
/// counting, never across an await.
#[derive(Clone, Debug, Default)]
pub(super) struct BusyRooms {
    messages: Arc<Mutex<HashMap<RoomId, usize>>>,
}

impl BusyRooms {
    /// Takes out what is for these rooms.
    pub(super) fn take(&self, jobs: &mut Vec<Job>) -> Vec<Job> {
        let messages = self.lock();
        if messages.is_empty() {
            return Vec::new();
        }
        jobs.extract_if(.., |job| messages.contains_key(&job.draft.room_id)).collect()
    }

    /// A message for this room goes on the detour.
    pub(super) fn enter(&self, room_id: RoomId) {
        *self.lock().entry(room_id).or_default() += 1;
    }

    /// It was told what has come of a message for this room.
    pub(super) fn leave(&self, room_id: RoomId) {
        let mut messages = self.lock();
        let left = messages.get_mut(&room_id).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            messages.remove(&room_id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, usize>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
