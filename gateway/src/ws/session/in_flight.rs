//! Requests that are sent to messaging and answered in the order of their frames.

use parlance_core::RoomId;
use parlance_proto::messaging::Sent;
use parlance_runtime::trace::Span;

use crate::api::dto::ClientMessageId;
use crate::messaging_client::Pending;
use crate::ws::frames::Frames;
use crate::ws::protocol::{ErrorFrame, ServerFrame};

/// A request in flight, or an answer that waits for the earlier ones.
pub(super) enum InFlight {
    Send {
        pending: Pending<Sent>,
        room_id: RoomId,
        reference: Option<String>,
        client_msg_id: Option<ClientMessageId>,
        /// From the frame to the answer.
        span: Span,
    },
    Typing {
        pending: Pending<()>,
        reference: Option<String>,
    },
    Answered(Frames),
}

impl InFlight {
    /// Waits for the answer and returns the frame for the client, if there is one. Safe to cancel.
    pub(super) async fn answer(&mut self) -> Option<Frames> {
        match self {
            Self::Answered(frame) => Some(frame.clone()),
            Self::Typing { pending, reference } => {
                let code = pending.answer().await.err()?;
                Some(ErrorFrame::new(reference.clone(), code).encode())
            }
            Self::Send { pending, room_id, reference, client_msg_id, span } => {
                match pending.answer().await {
                    Ok(sent) => ack(&sent, *room_id, reference.as_deref(), client_msg_id.as_ref()),
                    Err(code) => {
                        span.fail(code.name());
                        Some(ErrorFrame::new(reference.clone(), code).encode())
                    }
                }
            }
        }
    }
}

/// Encodes the ack of a stored message, if the client can match it to its frame.
fn ack(
    sent: &Sent,
    room_id: RoomId,
    reference: Option<&str>,
    client_msg_id: Option<&ClientMessageId>,
) -> Option<Frames> {
    if reference.is_none() && client_msg_id.is_none() {
        return None;
    }
    let message = sent.message.as_ref()?;
    let ack = ServerFrame::Ack {
        reference,
        client_msg_id: client_msg_id.map(ClientMessageId::as_str),
        room_id: room_id.get(),
        message_id: message.id,
        seq: message.seq,
    };
    Some(ack.encode())
}
