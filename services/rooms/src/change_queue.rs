//! The changes of a room happen one after the other. Those of this replica wait here for their
//! turn, so that only one of them for each room waits for the room's lock, with a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::context::RequestContext;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;

const MAX_WAIT: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangeQueue {
    /// The rooms with a change. Locked for look-ups, never across an await.
    rooms: Arc<Mutex<HashMap<RoomId, Arc<Semaphore>>>>,
}

/// The right to change a room. Held until the transaction has ended.
#[must_use]
#[derive(Debug)]
pub(crate) struct Turn {
    queue: ChangeQueue,
    room_id: RoomId,
    room: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl ChangeQueue {
    /// Waits until the earlier changes of the room have ended; fails if that takes too long. Only
    /// for users who may change the room: others would hold them up.
    pub(crate) async fn turn(&self, room_id: RoomId) -> Result<Turn, Error> {
        let new = || Arc::new(Semaphore::new(1));
        let room = self.lock().entry(room_id).or_insert_with(new).clone();
        let mut turn = Turn { queue: self.clone(), room_id, room, permit: None };
        let acquire = turn.room.clone().acquire_owned();
        let acquired = timeout(RequestContext::limit_nested_call(MAX_WAIT), acquire).await;
        // The semaphore is never closed.
        turn.permit = Some(acquired.ok().and_then(Result::ok).ok_or(Error::TooManyChanges)?);
        Ok(turn)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Arc<Semaphore>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut rooms = self.queue.lock();
        // One is in the map, one here: no other change waits.
        if Arc::strong_count(&self.room) == 2 {
            rooms.remove(&self.room_id);
        }
    }
}

#[cfg(test)]
#[path = "tests/change_queue.rs"]
mod tests;
