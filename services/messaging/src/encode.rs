//! Between the service's types and the wire format: encodes what streams and publications carry,
//! and decodes publications.

use parlance_core::{ErrorCode, MessageId, RoomId, Timestamp, UserId};
use parlance_proto::messaging as proto;
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::event::Kind;

use crate::model::{EndReason, Event, EventKind, MembershipEnd, Message, TypingUser};

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

pub(crate) fn event(event: &Event) -> proto::Event {
    let kind = match &event.kind {
        EventKind::Created(created) => Kind::Created(message(created.clone())),
        EventKind::Edited(edited) => Kind::Edited(message(edited.clone())),
        EventKind::Deleted(message_id) => Kind::DeletedMessageId(message_id.get()),
        EventKind::Typing(user) => Kind::Typing(proto::TypingUser {
            user_id: user.user_id.get(),
            username: user.username.clone(),
            origin: user.origin,
        }),
    };
    proto::Event {
        room_id: event.room_id.get(),
        seq: event.seq,
        kind: Some(kind),
        traceparent: event.traceparent.clone(),
    }
}

/// Decodes an event of another replica; `None` if this version does not know its kind.
pub(crate) fn decode_event(event: proto::Event) -> Option<Event> {
    let kind = match event.kind? {
        Kind::Created(created) => EventKind::Created(decode_message(created)),
        Kind::Edited(edited) => EventKind::Edited(decode_message(edited)),
        Kind::DeletedMessageId(message_id) => EventKind::Deleted(MessageId::new(message_id)),
        Kind::Typing(user) => EventKind::Typing(TypingUser {
            user_id: UserId::new(user.user_id),
            username: user.username,
            origin: user.origin,
        }),
    };
    Some(Event {
        room_id: RoomId::new(event.room_id),
        seq: event.seq,
        kind,
        traceparent: event.traceparent,
    })
}

fn decode_message(message: proto::Message) -> Message {
    Message {
        id: MessageId::new(message.id),
        room_id: RoomId::new(message.room_id),
        seq: message.seq,
        sender_id: UserId::new(message.sender_id),
        sender_name: message.sender_name,
        content: message.content,
        created_at: Timestamp::from_micros(message.created_at_us),
        updated_at: Timestamp::from_micros(message.updated_at_us),
        edited_at: message.edited_at_us.map(Timestamp::from_micros),
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
