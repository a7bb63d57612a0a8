//! Reads a room's changes from the store, for backfills and replays.

use std::sync::Arc;

use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::ReadChangesRequest;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::Client;

use crate::fanout::encode::{Change, Encoder};

/// The most bytes of a page for one client. They stay in memory until the client has read the
/// earlier ones.
const MAX_REPLAY_BYTES: usize = 512 << 10;
/// The most changes in a page, which is also the limit of messaging.
const MAX_PAGE_LENGTH: i64 = 200;

/// Reads pages of changes and encodes them.
pub(super) struct ChangePages {
    pub(super) messaging: MessagingServiceClient<Client>,
    pub(super) encoder: Arc<Encoder>,
}

/// Changes from the store, in `seq` order.
pub(super) struct ChangePage {
    pub(super) changes: Vec<Change>,
    /// No change up to this `seq` is missing. A change that a later one replaced is not missing.
    pub(super) complete_up_to: i64,
}

impl ChangePages {
    /// Reads the first page of the changes above `after_seq` and up to `up_to_seq`.
    pub(super) async fn read(
        &self,
        room_id: RoomId,
        after_seq: i64,
        up_to_seq: i64,
    ) -> Result<ChangePage, ErrorCode> {
        if after_seq >= up_to_seq {
            return Ok(ChangePage { changes: Vec::new(), complete_up_to: up_to_seq });
        }
        let request = ReadChangesRequest { room_id: room_id.get(), after_seq, up_to_seq };
        let answer = self.messaging.clone().read_changes(request).await;
        let answer = answer.map_err(|status| code_from_status(&status))?.into_inner();
        let events = self.encoder.encode(answer.events).await;
        let changes = events.into_iter().map(|event| (event.seq, event.frame)).collect();
        Ok(ChangePage { changes, complete_up_to: answer.complete_up_to_seq.max(after_seq + 1) })
    }

    /// Reads a page for one client that may be slow: at most `length` changes, and at most as many
    /// bytes as may wait for it.
    pub(super) async fn read_for_replay(
        &self,
        room_id: RoomId,
        after_seq: i64,
        up_to_seq: i64,
        length: i64,
    ) -> Result<ChangePage, ErrorCode> {
        let mut page = self.read(room_id, after_seq, up_to_seq.min(after_seq + length)).await?;
        page.truncate();
        Ok(page)
    }
}

impl ChangePage {
    /// Returns how many changes the next page should have, judged by the size of these.
    pub(super) fn next_length(&self) -> i64 {
        let bytes: usize = self.changes.iter().map(|(_, frame)| frame.len()).sum();
        let mean = (bytes / self.changes.len().max(1)).max(1);
        i64::try_from(MAX_REPLAY_BYTES / mean).unwrap_or(MAX_PAGE_LENGTH).clamp(1, MAX_PAGE_LENGTH)
    }

    /// Drops changes that exceed [`MAX_REPLAY_BYTES`], but never the first one.
    fn truncate(&mut self) {
        let mut bytes = 0;
        let fitting = self.changes.iter().take_while(|(_, frame)| {
            bytes += frame.len();
            bytes <= MAX_REPLAY_BYTES
        });
        let count = fitting.count().max(1);
        if count < self.changes.len() {
            self.changes.truncate(count);
            self.complete_up_to = self.changes.last().map_or(self.complete_up_to, |(seq, _)| *seq);
        }
    }
}

#[cfg(test)]
#[path = "tests/change_pages.rs"]
mod tests;
