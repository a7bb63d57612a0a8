//! The types that all layers share.

use parlance_core::{ErrorCode, MessageId, RoomId, Timestamp, UserId};

/// A stored message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) room_id: RoomId,
    /// The number of its creation among the changes of the room.
    pub(crate) seq: i64,
    pub(crate) sender_id: UserId,
    pub(crate) sender_name: String,
    pub(crate) content: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) edited_at: Option<Timestamp>,
}

/// A change in a room, or a sign that a user is typing.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) room_id: RoomId,
    /// The number among the changes of the room; 0 for an event that is not stored.
    pub(crate) seq: i64,
    pub(crate) kind: EventKind,
    /// The position in a recorded trace; empty if the trace is not recorded.
    pub(crate) traceparent: String,
}

/// What an event is about.
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
    /// The connection of the user, which does not get the event.
    pub(crate) origin: u64,
}

/// A message to store.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) room_id: RoomId,
    pub(crate) sender_id: UserId,
    pub(crate) sender_name: String,
    /// The idempotency key.
    pub(crate) key: String,
    pub(crate) content: String,
}

impl Draft {
    /// Turns the draft into the message that was stored.
    pub(crate) fn into_message(self, id: MessageId, seq: i64, created_at: Timestamp) -> Message {
        Message {
            id,
            room_id: self.room_id,
            seq,
            sender_id: self.sender_id,
            sender_name: self.sender_name,
            content: self.content,
            created_at,
            updated_at: created_at,
            edited_at: None,
        }
    }
}

/// What became of a draft.
#[derive(Clone, Debug)]
pub(crate) enum WriteResult {
    /// It is a new message with the content of the draft.
    Stored { id: MessageId, seq: i64, created_at: Timestamp },
    /// Its key was stored before. This is the first message with the key.
    Duplicate(Message),
    /// It was not stored.
    Refused(ErrorCode),
}

/// A request for a page of a room's messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRequest {
    pub(crate) user_id: UserId,
    pub(crate) room_id: RoomId,
    /// The maximum number of messages.
    pub(crate) limit: u32,
    pub(crate) from: PageFrom,
    /// The `last_seq` of the page that the caller has, if it has one.
    pub(crate) known_last_seq: Option<i64>,
}

/// The position of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PageFrom {
    /// The newest messages.
    Newest,
    /// The newest messages with a lower id. The id need not exist.
    Before(i64),
    /// The oldest messages with a higher id. The id need not exist.
    After(i64),
}

impl PageFrom {
    pub(crate) fn before(self) -> Option<i64> {
        if let Self::Before(id) = self { Some(id) } else { None }
    }

    pub(crate) fn after(self) -> Option<i64> {
        if let Self::After(id) = self { Some(id) } else { None }
    }
}

/// The result of a page request.
#[derive(Debug)]
pub(crate) enum PageResult {
    Page(Page),
    /// The room has not changed since the caller read the page.
    Unchanged,
}

/// Messages in ascending order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<Message>,
    /// True if there are more in the direction of reading.
    pub(crate) has_more: bool,
    /// The newest page contains all changes up to this one. `None` for other pages.
    pub(crate) last_seq: Option<i64>,
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
    /// `None` if the room was deleted, which ends all memberships.
    pub(crate) user_id: Option<UserId>,
    pub(crate) reason: EndReason,
    pub(crate) room_version: i64,
}
