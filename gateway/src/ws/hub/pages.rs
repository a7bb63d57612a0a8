//! Reading from the store what changed in a room.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::ReadChangesRequest;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_runtime::error::code_of_status;
use parlance_runtime::grpc::Client;

use super::encoder::Encoder;

/// Reads pages of changes, encoded.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) messaging: MessagingServiceClient<Client>,
    pub(super) encoder: Arc<Encoder>,
}

/// Events from the store, in `seq` order.
pub(super) struct Page {
    pub(super) events: Vec<(i64, Utf8Bytes)>,
    /// Up to here nothing is missing.
    pub(super) complete_up_to: i64,
}

impl Pages {
    /// What changed above `after_seq` and up to `up_to_seq`, or the first of it.
    pub(super) async fn read(
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
        let answer = answer.map_err(|status| code_of_status(&status))?.into_inner();
        let events = self.encoder.encode(answer.events).await;
        let events = events.into_iter().map(|event| (event.seq, event.frame)).collect();
        Ok(Page { events, complete_up_to: answer.complete_up_to_seq.max(after_seq + 1) })
    }
}
