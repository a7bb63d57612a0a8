//! Filling gaps: what the streams did not bring, or not in order, is read from the store before
//! anything behind it is passed on.

use std::collections::HashMap;
use std::time::Duration;

use parlance_core::RoomId;

use crate::fanout::hub::{Hub, lock};
use crate::fanout::room::Room;

/// An event that is on its way in another order than sent fills the gap by itself in this time.
const GAP_TIMEOUT: Duration = Duration::from_millis(10);
const BACKFILL_RETRY_INTERVAL: Duration = Duration::from_millis(250);

impl Hub {
    /// Fills the gaps that nobody is filling yet.
    pub(crate) fn backfill_where_needed(
        &self,
        rooms: &mut HashMap<RoomId, Room>,
        touched: impl IntoIterator<Item = RoomId>,
    ) {
        for room_id in touched {
            if rooms.get_mut(&room_id).is_some_and(Room::starts_backfill) {
                let hub = self.clone();
                self.shared.lifecycle.spawn(async move { hub.fill(room_id).await });
            }
        }
    }

    /// Fills a room's gaps from the store until there is none.
    async fn fill(&self, room_id: RoomId) {
        tokio::time::sleep(GAP_TIMEOUT).await;
        while let Some((after, up_to)) = self.gap(room_id) {
            let Ok(_permit) = self.shared.backfills.acquire().await else { return };
            match self.shared.pages.read(room_id, after, up_to).await {
                Ok(page) => {
                    self.shared.fills.add(1, &[]);
                    if let Some(room) = lock(&self.shared.rooms).get_mut(&room_id) {
                        room.fill(page.events, page.complete_up_to);
                    }
                }
                Err(code) => {
                    tracing::debug!(room.id = %room_id, error.code = code.name(), "a gap could not be filled yet");
                    tokio::time::sleep(BACKFILL_RETRY_INTERVAL).await;
                }
            }
        }
    }

    fn gap(&self, room_id: RoomId) -> Option<(i64, i64)> {
        lock(&self.shared.rooms).get_mut(&room_id)?.gap()
    }
}
