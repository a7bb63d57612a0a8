//! Closes gaps: reads from the store the changes that the streams did not bring.

use std::time::Duration;

use parlance_core::RoomId;

use crate::fanout::hub::Hub;
use crate::fanout::room::Room;

/// Events that only arrive in another order close a gap within this time.
const GAP_TIMEOUT: Duration = Duration::from_millis(10);
const BACKFILL_RETRY_INTERVAL: Duration = Duration::from_millis(250);

impl Hub {
    /// Starts a backfill if the room has a gap and no backfill.
    pub(super) fn start_backfill(&self, room_id: RoomId, room: &mut Room) {
        if room.begin_backfill() {
            self.lifecycle.spawn(self.clone().backfill(room_id));
        }
    }

    /// Reads pages from the store until the room has no gap.
    async fn backfill(self, room_id: RoomId) {
        tokio::time::sleep(GAP_TIMEOUT).await;
        while let Some((after_seq, up_to_seq)) = self.next_gap(room_id) {
            let Ok(_permit) = self.backfill_permits.acquire().await else { return };
            match self.change_pages.read(room_id, after_seq, up_to_seq).await {
                Ok(page) => {
                    self.backfills.add(1, &[]);
                    if let Some(room) = self.rooms().get_mut(&room_id) {
                        room.backfill(page.changes, page.complete_up_to);
                    }
                }
                Err(code) => {
                    tracing::debug!(
                        room.id = %room_id,
                        error.code = code.name(),
                        "backfill could not read the store; retrying"
                    );
                    tokio::time::sleep(BACKFILL_RETRY_INTERVAL).await;
                }
            }
        }
    }

    fn next_gap(&self, room_id: RoomId) -> Option<(i64, i64)> {
        self.rooms().get_mut(&room_id)?.next_gap()
    }
}
