//! What the service thinks in.

use parlance_core::{MessageId, RoomId, Timestamp, UserId};

/// A stored message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) room_id: RoomId,
    /// The number of its creation among the room's changes.
    pub(crate) seq: i64,
    pub(crate) sender_id: UserId,
    pub(crate) sender_name: String,
    pub(crate) content: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) edited_at: Option<Timestamp>,
}

/// Something that happened in a room.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) room_id: RoomId,
    /// The number among the room's changes; 0 for what is not stored.
    pub(crate) seq: i64,
    pub(crate) kind: EventKind,
}

impl Event {
    /// The event of a message that was sent.
    pub(crate) fn created(message: Message) -> Self {
        Self { room_id: message.room_id, seq: message.seq, kind: EventKind::Created(message) }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum EventKind {
    Created(Message),
    Edited(Message),
    Deleted(MessageId),
    Typing(TypingUser),
}

/// A user who is typing.
#[derive(Clone, Debug)]
pub(crate) struct TypingUser {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    /// The connection that says so.
    pub(crate) origin: u64,
}

/// A message on its way into the store.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) room_id: RoomId,
    pub(crate) sender_id: UserId,
    pub(crate) sender_name: String,
    /// What makes a repeated send the same send.
    pub(crate) key: String,
    pub(crate) content: String,
}

/// What came of a draft.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// The message is new.
    Stored(Message),
    /// The key was seen before; this is the first message.
    Duplicate(Message),
    /// The room was deleted.
    RoomDeleted,
}

/// Why a membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    Left,
    Removed,
    RoomDeleted,
}

/// A membership that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MembershipEnd {
    pub(crate) room_id: RoomId,
    /// Whose; nobody in particular when the room was deleted.
    pub(crate) user_id: Option<UserId>,
    pub(crate) reason: EndReason,
    pub(crate) room_version: i64,
}
