//! Requests that were passed on, whose answers come in the order of their frames.

use parlance_core::RoomId;
use parlance_proto::messaging::Sent;
use parlance_runtime::trace::Span;

use crate::api::dto::ClientMessageId;
use crate::messaging_client::Pending;
use crate::ws::frames::Frames;
use crate::ws::protocol::{ErrorFrame, ServerFrame, refusal};

/// A request that was passed on, or an answer that has to wait for its turn.
pub(crate) enum InFlight {
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
    /// Waits for the answer, and makes it a frame if there is something to say. Safe to cancel.
    pub(crate) async fn answer(&mut self) -> Option<Frames> {
        match self {
            Self::Answered(frame) => Some(frame.clone()),
            Self::Typing { pending, reference } => {
                let refused = pending.answer().await.err()?;
                Some(refusal(&ErrorFrame::of_code(reference.clone(), refused)))
            }
            Self::Send { pending, room_id, reference, client_msg_id, span } => {
                match pending.answer().await {
                    Ok(sent) => ack(&sent, *room_id, reference.as_deref(), client_msg_id.as_ref()),
                    Err(code) => {
                        span.fail(code.name());
                        Some(refusal(&ErrorFrame::of_code(reference.clone(), code)))
                    }
                }
            }
        }
    }
}

/// The answer to a stored message, if the client has given something to know it by.
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
