//! Moves rooms to other owner replicas when the replicas change, and renews the subscriptions of
//! their users there.
//!
//! A room is moved at once and its events come from the new owner replica after the first renewal.
//! The other users follow, since the end of a membership may have been missed: with a bound on the
//! renewals in flight, the rooms in turn, each user once. What is renewed stays so: a failure
//! repeats the renewal of one user, and another change of the replicas only those of its rooms.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::RoomId;
use parlance_runtime::ticks;
use tokio::sync::{Notify, Semaphore};

use crate::fanout::hub::Hub;
use crate::fanout::room::Room;
use crate::lock::lock;
use crate::messaging_client::{OwnerReplicas, StreamId};

/// How often the replicas are compared with those that the rooms were moved to, and how long a
/// failed renewal waits.
const INTERVAL: Duration = Duration::from_millis(250);
/// Rooms whose owners are picked without a pause for other tasks.
const ROOMS_PER_STEP: usize = 256;
/// Users of a room that are renewed in one turn of the room.
const USERS_PER_TURN: usize = 32;

/// The rooms with users whose subscriptions are to be renewed.
pub(super) struct Renewals {
    /// The renewals that may still be begun.
    permits: Arc<Semaphore>,
    rooms: Mutex<RoomQueue>,
    room_queued: Notify,
    replicas_changed: Notify,
}

#[derive(Default)]
struct RoomQueue {
    /// Rooms in the order of their turns, each once.
    ready: VecDeque<RoomId>,
    /// Rooms with failed renewals, which become ready at the next interval.
    failed: Vec<RoomId>,
}

impl Renewals {
    /// Allows at most `max_in_flight` renewals in flight.
    pub(super) fn new(max_in_flight: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(max_in_flight)),
            rooms: Mutex::default(),
            room_queued: Notify::new(),
            replicas_changed: Notify::new(),
        }
    }

    pub(super) fn note_replicas_changed(&self) {
        self.replicas_changed.notify_one();
    }

    /// Gives a room a turn, unless it waits for one.
    fn queue(&self, room_id: RoomId, room: &mut Room) {
        if !std::mem::replace(&mut room.is_renewal_queued, true) {
            lock(&self.rooms).ready.push_back(room_id);
            self.room_queued.notify_one();
        }
    }

    /// Gives a room with failed renewals a turn later, unless it waits for one.
    pub(super) fn retry(&self, room_id: RoomId, room: &mut Room) {
        if !std::mem::replace(&mut room.is_renewal_queued, true) {
            lock(&self.rooms).failed.push(room_id);
        }
    }

    fn retry_failed(&self) {
        let mut rooms = lock(&self.rooms);
        let failed = std::mem::take(&mut rooms.failed);
        if !failed.is_empty() {
            rooms.ready.extend(failed);
            self.room_queued.notify_one();
        }
    }

    /// Waits for the room whose turn it is.
    async fn next(&self) -> RoomId {
        loop {
            if let Some(room_id) = lock(&self.rooms).ready.pop_front() {
                return room_id;
            }
            self.room_queued.notified().await;
        }
    }
}

impl Hub {
    /// Moves the rooms when the replicas have changed.
    pub(super) async fn reassign_rooms_forever(self) -> anyhow::Result<()> {
        let mut ticks = ticks(INTERVAL);
        let mut moved_to = OwnerReplicas::default();
        loop {
            tokio::select! {
                () = self.renewals.replicas_changed.notified() => {}
                _ = ticks.tick() => self.renewals.retry_failed(),
            }
            let replicas = self.messaging_client.owner_replicas();
            if replicas != moved_to {
                self.reassign_rooms(&replicas).await;
                moved_to = replicas;
            }
        }
    }

    /// Moves each room that has another owner replica now. A room that gets its first subscriber
    /// meanwhile knows the replicas already.
    async fn reassign_rooms(&self, replicas: &OwnerReplicas) {
        let room_ids: Vec<RoomId> = self.rooms().keys().copied().collect();
        for room_ids in room_ids.chunks(ROOMS_PER_STEP) {
            for &room_id in room_ids {
                if let Some(owner) = replicas.owner(room_id) {
                    self.move_room(room_id, owner);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn move_room(&self, room_id: RoomId, owner: StreamId) {
        let moved = self.rooms().get_mut(&room_id).and_then(|room| room.move_to(owner));
        let Some((mut users, superseded)) = moved else { return };
        if let Some(stream) = superseded {
            self.messaging_client.release(room_id, stream);
        }
        // Without the lock, under which all events are delivered: a room may have many users.
        users.sort_unstable();
        users.dedup();
        if let Some(room) = self.rooms().get_mut(&room_id) {
            room.to_renew = users;
            self.renewals.queue(room_id, room);
        }
    }

    /// Renews the subscriptions of moved rooms, as fast as they are answered.
    pub(super) async fn renew_forever(self) -> anyhow::Result<()> {
        loop {
            let room_id = self.renewals.next().await;
            let users = self.rooms().get_mut(&room_id).map(|room| {
                room.is_renewal_queued = false;
                // One user suffices to have the events of a room come from the new owner replica.
                let users = room.take_renewals(room.previous_owner.map_or(USERS_PER_TURN, |_| 1));
                if !room.to_renew.is_empty() {
                    self.renewals.queue(room_id, room);
                }
                users
            });
            for user_id in users.unwrap_or_default() {
                let permit = self.renewals.permits.clone().acquire_owned().await?;
                self.messaging_client.renew(room_id, user_id, permit);
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/reassign.rs"]
mod tests;
