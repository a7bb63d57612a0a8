//! What goes into a stream to messaging, and whom to tell the answer.

use futures_util::stream::{self, Stream};
use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::{AttachRequest, Send, Sent, Subscribe, Subscribed, Typing};
use tokio::sync::{mpsc, oneshot};

/// Messages in one batch.
const MAX_BATCH: usize = 400;

/// What goes into a stream.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Send(Send),
    Subscribe(Subscribe),
    Release(RoomId),
    Typing(Typing),
}

/// Whom to tell the answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Sent(oneshot::Sender<Result<Sent, ErrorCode>>),
    Subscribed(oneshot::Sender<Result<Subscribed, ErrorCode>>),
    Shown(oneshot::Sender<Result<(), ErrorCode>>),
    /// The hub, which renews a subscription.
    Renewed(RoomId, UserId),
}

/// A subscription that was asked for again, and the answer.
pub(crate) struct Renewal {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
    pub(crate) outcome: Result<Subscribed, ErrorCode>,
}

impl Message {
    pub(crate) fn room_id(&self) -> RoomId {
        match self {
            Self::Send(send) => RoomId::new(send.room_id),
            Self::Subscribe(subscribe) => RoomId::new(subscribe.room_id),
            Self::Release(room_id) => *room_id,
            Self::Typing(typing) => RoomId::new(typing.room_id),
        }
    }

    /// The place of its kind in a batch, whose kinds are handled one after the other.
    fn place(&self) -> u8 {
        match self {
            Self::Send(_) => 0,
            Self::Subscribe(_) => 1,
            Self::Release(_) => 2,
            Self::Typing(_) => 3,
        }
    }

    fn add_to(self, batch: &mut AttachRequest) {
        match self {
            Self::Send(send) => batch.sends.push(send),
            Self::Subscribe(subscribe) => batch.subscribes.push(subscribe),
            Self::Release(room_id) => batch.released_room_ids.push(room_id.get()),
            Self::Typing(typing) => batch.typings.push(typing),
        }
    }
}

impl Reply {
    /// Tells the answer; one for the hub comes back.
    pub(crate) fn resolve(self, outcome: Option<Outcome>) -> Option<Renewal> {
        match (self, outcome) {
            // Who asked may have stopped waiting, here and below.
            (Self::Sent(reply), Some(Outcome::Sent(sent))) => drop(reply.send(Ok(sent))),
            (Self::Subscribed(reply), Some(Outcome::Subscribed(start))) => {
                drop(reply.send(Ok(start)))
            }
            (Self::Shown(reply), Some(Outcome::TypingShown(_))) => drop(reply.send(Ok(()))),
            (Self::Renewed(room_id, user_id), Some(Outcome::Subscribed(start))) => {
                return Some(Renewal { room_id, user_id, outcome: Ok(start) });
            }
            (reply, Some(Outcome::Error(name))) => {
                return reply.refuse(ErrorCode::from_name(&name).unwrap_or(ErrorCode::Internal));
            }
            (reply, _) => {
                tracing::error!("messaging answered something else than what was asked");
                return reply.refuse(ErrorCode::Internal);
            }
        }
        None
    }

    pub(crate) fn refuse(self, code: ErrorCode) -> Option<Renewal> {
        match self {
            Self::Sent(reply) => drop(reply.send(Err(code))),
            Self::Subscribed(reply) => drop(reply.send(Err(code))),
            Self::Shown(reply) => drop(reply.send(Err(code))),
            Self::Renewed(room_id, user_id) => {
                return Some(Renewal { room_id, user_id, outcome: Err(code) });
            }
        }
        None
    }
}

pub(crate) fn subscribe(number: u64, room_id: RoomId, user_id: UserId) -> Subscribe {
    Subscribe { request_id: number, room_id: room_id.get(), user_id: user_id.get() }
}

/// Everything that waits goes out in one batch; kinds that stand in the wrong order begin a new
/// one.
pub(crate) fn batches(messages: mpsc::Receiver<Message>) -> impl Stream<Item = AttachRequest> {
    stream::unfold((messages, Vec::new().into_iter()), |(mut messages, left_over)| async move {
        let mut waiting = left_over.peekable();
        if waiting.peek().is_none() {
            let mut more = Vec::with_capacity(16);
            if messages.recv_many(&mut more, MAX_BATCH).await == 0 {
                return None;
            }
            waiting = more.into_iter().peekable();
        }
        let mut batch = AttachRequest::default();
        let mut place = 0;
        while let Some(message) = waiting.next_if(|message: &Message| message.place() >= place) {
            place = message.place();
            message.add_to(&mut batch);
        }
        let left_over: Vec<Message> = waiting.collect();
        Some((batch, (messages, left_over.into_iter())))
    })
}
