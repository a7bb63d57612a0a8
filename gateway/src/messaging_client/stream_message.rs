//! What a stream sends to a replica of messaging, and the receivers of its answers.

use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::{AttachRequest, Send, Subscribe, Subscribed, Typing};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A message to a replica. All but releases are requests, which are answered.
#[derive(Clone, Debug)]
pub(super) enum StreamMessage {
    Send(Send),
    Subscribe(Subscribe),
    Release(RoomId),
    Typing(Typing),
}

impl StreamMessage {
    pub(super) fn room_id(&self) -> RoomId {
        match self {
            Self::Send(send) => RoomId::new(send.room_id),
            Self::Subscribe(subscribe) => RoomId::new(subscribe.room_id),
            Self::Release(room_id) => *room_id,
            Self::Typing(typing) => RoomId::new(typing.room_id),
        }
    }

    /// Returns the position of the kind in a batch: a replica handles a batch kind by kind.
    pub(super) fn position(&self) -> u8 {
        match self {
            Self::Send(_) => 0,
            Self::Subscribe(_) => 1,
            Self::Release(_) => 2,
            Self::Typing(_) => 3,
        }
    }

    pub(super) fn add_to(self, batch: &mut AttachRequest) {
        match self {
            Self::Send(send) => batch.sends.push(send),
            Self::Subscribe(subscribe) => batch.subscribes.push(subscribe),
            Self::Release(room_id) => batch.released_room_ids.push(room_id.get()),
            Self::Typing(typing) => batch.typings.push(typing),
        }
    }
}

/// The receiver of the answer to a request.
pub(super) enum Reply {
    Caller(oneshot::Sender<Result<Outcome, ErrorCode>>),
    /// The event handler, which renews this user's subscription to this room.
    Renewal(RoomId, UserId, OwnedSemaphorePermit),
}

impl Reply {
    /// Passes the answer to the caller, or returns it if it is for the event handler.
    pub(super) fn resolve(self, result: Result<Outcome, ErrorCode>) -> Option<Renewal> {
        match self {
            Self::Caller(caller) => {
                // The caller may have stopped waiting.
                let _ = caller.send(result);
                None
            }
            Self::Renewal(room_id, user_id, permit) => {
                let result = result.and_then(|outcome| match outcome {
                    Outcome::Subscribed(subscribed) => Ok(subscribed),
                    _ => Err(ErrorCode::Internal),
                });
                Some(Renewal { room_id, user_id, result, _permit: permit })
            }
        }
    }
}

/// The answer to a renewed subscription.
pub(crate) struct Renewal {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
    pub(crate) result: Result<Subscribed, ErrorCode>,
    /// Counts the renewal as in flight.
    _permit: OwnedSemaphorePermit,
}
