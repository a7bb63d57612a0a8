//! Reading from the store what changed in a room.

use std::sync::Arc;

use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::ReadChangesRequest;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::Client;

use crate::fanout::encode::Encoder;
use crate::ws::send_budget::SharedFrames;

/// What is kept of the changes read for one client, in bytes: they wait until it has read those
/// before.
const MAX_KEPT: usize = 512 << 10;
/// The most changes that are asked for at once; the store gives so many at most anyway.
const MAX_LENGTH: i64 = 200;

/// Reads pages of changes, encoded.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) messaging: MessagingServiceClient<Client>,
    pub(crate) encoder: Arc<Encoder>,
}

/// Events from the store, in `seq` order.
pub(crate) struct Page {
    pub(crate) events: Vec<(i64, SharedFrames)>,
    /// Up to here nothing is missing.
    pub(crate) complete_up_to: i64,
}

impl Pages {
    /// What changed above `after_seq` and up to `up_to_seq`, or the first of it.
    pub(crate) async fn read(
        &self,
        room_id: RoomId,
        after_seq: i64,
        up_to_seq: i64,
    ) -> Result<Page, ErrorCode> {
        if after_seq >= up_to_seq {
            return Ok(Page { events: Vec::new(), complete_up_to: up_to_seq });
        }
        let request = ReadChangesRequest { room_id: room_id.get(), after_seq, up_to_seq };
        let answer = self.messaging.clone().read_changes(request).await;
        let answer = answer.map_err(|status| code_from_status(&status))?.into_inner();
        let events = self.encoder.encode(answer.events).await;
        let events = events.into_iter().map(|event| (event.seq, event.frame)).collect();
        Ok(Page { events, complete_up_to: answer.complete_up_to_seq.max(after_seq + 1) })
    }

    /// The same for one client that may be slow: not more than so many changes, and not more than
    /// may be kept for it.
    pub(crate) async fn read_some(
        &self,
        room_id: RoomId,
        after_seq: i64,
        up_to_seq: i64,
        length: i64,
    ) -> Result<Page, ErrorCode> {
        let mut page = self.read(room_id, after_seq, up_to_seq.min(after_seq + length)).await?;
        page.shorten();
        Ok(page)
    }
}

impl Page {
    /// How many changes are worth asking for next, going by how long these are.
    pub(crate) fn length_to_follow(&self) -> i64 {
        let bytes: usize = self.events.iter().map(|(_, frame)| frame.len()).sum();
        let each = bytes / self.events.len().max(1);
        i64::try_from(MAX_KEPT / each.max(1)).unwrap_or(MAX_LENGTH).clamp(1, MAX_LENGTH)
    }

    /// Leaves out, but for the first event, what is more than may be kept.
    fn shorten(&mut self) {
        let mut bytes = 0;
        let fitting = self.events.iter().take_while(|(_, frame)| {
            bytes += frame.len();
            bytes <= MAX_KEPT
        });
        let count = fitting.count().max(1);
        if count < self.events.len() {
            self.events.truncate(count);
            self.complete_up_to = self.events.last().map_or(self.complete_up_to, |(seq, _)| *seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::frames::Frames;
    use crate::ws::send_budget::SendBudget;

    fn page_of(lengths: &[usize]) -> Page {
        let send_budget = SendBudget::of(1, 1);
        let frame = |length: usize| send_budget.share(Frames::of_wire("x".repeat(length).into()));
        let events = (1..).zip(lengths.iter().map(|&length| frame(length))).collect();
        Page { events, complete_up_to: 100 }
    }

    #[test]
    fn what_is_left_out_of_a_page_is_still_to_be_read() {
        for (lengths, count, complete_up_to) in [
            (vec![], 0, 100),
            (vec![1, 1, 1], 3, 100),
            (vec![MAX_KEPT / 2; 2], 2, 100),
            (vec![MAX_KEPT / 2; 3], 2, 2),
            (vec![2 * MAX_KEPT], 1, 100),
            (vec![2 * MAX_KEPT; 2], 1, 1),
        ] {
            let mut page = page_of(&lengths);
            page.shorten();
            assert_eq!((page.events.len(), page.complete_up_to), (count, complete_up_to));
        }
    }

    #[test]
    fn the_next_page_is_as_long_as_may_be_kept() {
        assert_eq!(page_of(&[]).length_to_follow(), MAX_LENGTH);
        assert_eq!(page_of(&[10; 5]).length_to_follow(), MAX_LENGTH);
        assert_eq!(page_of(&[MAX_KEPT / 10; 5]).length_to_follow(), 10);
        assert_eq!(page_of(&[2 * MAX_KEPT]).length_to_follow(), 1);
    }
}
