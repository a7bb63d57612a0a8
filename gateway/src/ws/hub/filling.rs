//! Filling holes: what the streams did not bring, or not in order, is read from the store before
//! anything behind it is passed on.

use std::collections::HashMap;
use std::time::Duration;

use parlance_core::RoomId;

use super::super::room::Room;
use super::{Hub, lock};

/// An event that is on its way in another order than sent fills the hole by itself in this time.
const HOLE_PATIENCE: Duration = Duration::from_millis(10);
const FILL_RETRY_PAUSE: Duration = Duration::from_millis(250);

impl Hub {
    /// Fills the holes that nobody is filling yet.
    pub(super) fn fill_where_needed(
        &self,
        rooms: &mut HashMap<RoomId, Room>,
        touched: impl IntoIterator<Item = RoomId>,
    ) {
        for room_id in touched {
            if rooms.get_mut(&room_id).is_some_and(Room::begins_filling) {
                let hub = self.clone();
                self.shared.lifecycle.spawn(async move { hub.fill(room_id).await });
            }
        }
    }

    /// Fills a room's holes from the store until there is none.
    async fn fill(&self, room_id: RoomId) {
        tokio::time::sleep(HOLE_PATIENCE).await;
        while let Some((after, up_to)) = self.hole(room_id) {
            let Ok(_permit) = self.shared.filling.acquire().await else { return };
            match self.shared.pages.read(room_id, after, up_to).await {
                Ok(page) => {
                    self.shared.fills.add(1, &[]);
                    if let Some(room) = lock(&self.shared.rooms).get_mut(&room_id) {
                        room.fill(page.events, page.complete_up_to);
                    }
                }
                Err(code) => {
                    tracing::debug!(room.id = %room_id, error.code = code.name(), "a hole could not be filled yet");
                    tokio::time::sleep(FILL_RETRY_PAUSE).await;
                }
            }
        }
    }

    fn hole(&self, room_id: RoomId) -> Option<(i64, i64)> {
        lock(&self.shared.rooms).get_mut(&room_id)?.hole()
    }
}
