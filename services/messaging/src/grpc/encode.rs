//! From the service's own types to those of the wire, and for publications back.

use parlance_core::{ErrorCode, MessageId, RoomId, Timestamp, UserId};
use parlance_proto::messaging as proto;
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::event::Kind;
use parlance_proto::messaging::history_answer::Outcome as HistoryOutcome;

use crate::model::{
    EndReason, Event, EventKind, MembershipEnd, Message, Page, Reading, TypingUser, Written,
};

pub(crate) fn message(message: &Message) -> proto::Message {
    into_message(message.clone())
}

fn into_message(message: Message) -> proto::Message {
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

fn without_content(message: &Message) -> proto::Message {
    into_message(Message {
        content: String::new(),
        sender_name: message.sender_name.clone(),
        ..*message
    })
}

pub(crate) fn event(event: &Event) -> proto::Event {
    let kind = match &event.kind {
        EventKind::Created(created) => Kind::Created(message(created)),
        EventKind::Edited(edited) => Kind::Edited(message(edited)),
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

/// Reads an event of another replica; nothing when it is of a kind that this version does not know.
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

pub(crate) fn history(answer: Result<Reading, ErrorCode>) -> proto::HistoryAnswer {
    let outcome = match answer {
        Ok(Reading::Page(Page { messages, has_more, last_seq })) => {
            HistoryOutcome::Page(proto::HistoryPage {
                messages: messages.into_iter().map(into_message).collect(),
                has_more,
                last_seq: last_seq.unwrap_or(0),
            })
        }
        Ok(Reading::Unchanged) => HistoryOutcome::Unchanged(proto::UnchangedPage {}),
        Err(code) => HistoryOutcome::Error(code.name().to_owned()),
    };
    proto::HistoryAnswer { outcome: Some(outcome) }
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

/// The answer to a send. The content of a new message is what the gateway sent, so it is not sent
/// back.
pub(crate) fn sent(request_id: u64, written: &Written) -> proto::Answer {
    let (stored, duplicate) = match written {
        Written::Stored(message) => (message, false),
        Written::Duplicate(message) => (message, true),
        Written::RoomDeleted => return refused(request_id, ErrorCode::RoomNotFound),
    };
    let message = if duplicate { message(stored) } else { without_content(stored) };
    answer(request_id, Outcome::Sent(proto::Sent { message: Some(message), duplicate }))
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

/// How many bytes of text an event carries.
pub(crate) fn content_bytes(event: &proto::Event) -> usize {
    match &event.kind {
        Some(Kind::Created(message) | Kind::Edited(message)) => message.content.len(),
        _ => 0,
    }
}

fn answer(request_id: u64, outcome: Outcome) -> proto::Answer {
    proto::Answer { request_id, outcome: Some(outcome) }
}
