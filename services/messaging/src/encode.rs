//! Encodes events and answers for streams and publications. Both carry them in the wire format, so
//! that an event is encoded once, however many streams get it.

use parlance_core::{ErrorCode, Timestamp, UserId};
use parlance_proto::messaging as proto;
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::event::Kind;

use crate::model::{EndReason, Event, EventKind, MembershipEnd, Message};

pub(crate) fn message(message: Message) -> proto::Message {
    proto::Message {
        id: message.id.get(),
        room_id: message.room_id.get(),
        seq: message.seq,
        sender_id: message.sender_id.get(),
        sender_name: message.sender_name,
        content: message.content,
        created_at_us: message.created_at.as_micros(),
        updated_at_us: message.updated_at.as_micros(),
        edited_at_us: message.edited_at.map(Timestamp::as_micros),
    }
}

pub(crate) fn event(event: Event) -> proto::Event {
    let kind = match event.kind {
        EventKind::Created(created) => Kind::Created(message(created)),
        EventKind::Edited(edited) => Kind::Edited(message(edited)),
        EventKind::Deleted(message_id) => Kind::DeletedMessageId(message_id.get()),
        EventKind::Typing(user) => Kind::Typing(proto::TypingUser {
            user_id: user.user_id.get(),
            username: user.username,
            origin: user.origin,
        }),
    };
    proto::Event {
        room_id: event.room_id.get(),
        seq: event.seq,
        kind: Some(kind),
        traceparent: event.traceparent,
    }
}

pub(crate) fn membership_end(end: &MembershipEnd) -> proto::MembershipEnd {
    let reason = match end.reason {
        EndReason::Left => proto::EndReason::Left,
        EndReason::Removed => proto::EndReason::Removed,
        EndReason::RoomDeleted => proto::EndReason::RoomDeleted,
    };
    proto::MembershipEnd {
        room_id: end.room_id.get(),
        user_id: end.user_id.map(UserId::get),
        reason: reason.into(),
        room_version: end.room_version,
    }
}

/// The answer to a send that is a new message. It omits the content, which the gateway has.
pub(crate) fn stored(request_id: u64, stored: &Message) -> proto::Answer {
    let sender_name = stored.sender_name.clone();
    let message = message(Message { content: String::new(), sender_name, ..*stored });
    answer(request_id, Outcome::Sent(proto::Sent { message: Some(message), duplicate: false }))
}

/// The answer to a send whose key was stored before, with the first message.
pub(crate) fn duplicate(request_id: u64, first: Message) -> proto::Answer {
    let message = Some(message(first));
    answer(request_id, Outcome::Sent(proto::Sent { message, duplicate: true }))
}

pub(crate) fn subscribed(request_id: u64, last_seq: i64, room_version: i64) -> proto::Answer {
    answer(request_id, Outcome::Subscribed(proto::Subscribed { last_seq, room_version }))
}

pub(crate) fn typing_shown(request_id: u64) -> proto::Answer {
    answer(request_id, Outcome::TypingShown(proto::TypingShown {}))
}

pub(crate) fn refused(request_id: u64, code: ErrorCode) -> proto::Answer {
    answer(request_id, Outcome::Error(code.name().to_owned()))
}

fn answer(request_id: u64, outcome: Outcome) -> proto::Answer {
    proto::Answer { request_id, outcome: Some(outcome) }
}
