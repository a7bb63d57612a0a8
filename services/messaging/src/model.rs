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
    /// Its place in a trace that is recorded; empty for all others.
    pub(crate) traceparent: String,
}

impl Event {
    /// The event of a message that was sent.
    pub(crate) fn created(message: Message, traceparent: String) -> Self {
        Self {
            room_id: message.room_id,
            seq: message.seq,
            kind: EventKind::Created(message),
            traceparent,
        }
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
    /// Whether the key should be new, so that it need not be looked for.
    pub(crate) is_fresh: bool,
    pub(crate) content: String,
}

/// What the store made of a draft.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is a new message, which has the draft's content.
    Stored { id: MessageId, seq: i64, created_at: Timestamp },
    /// Its key was seen before; this is the first message.
    Known {
        id: MessageId,
        seq: i64,
        content: String,
        created_at: Timestamp,
        updated_at: Timestamp,
        edited_at: Option<Timestamp>,
    },
    /// The room was deleted.
    RoomDeleted,
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

impl Draft {
    /// Turns into the message that the store made of it.
    pub(crate) fn written(self, outcome: Outcome) -> Written {
        let Self { room_id, sender_id, sender_name, content: sent, .. } = self;
        match outcome {
            Outcome::Stored { id, seq, created_at } => Written::Stored(Message {
                id,
                room_id,
                seq,
                sender_id,
                sender_name,
                content: sent,
                created_at,
                updated_at: created_at,
                edited_at: None,
            }),
            Outcome::Known { id, seq, content, created_at, updated_at, edited_at } => {
                Written::Duplicate(Message {
                    id,
                    room_id,
                    seq,
                    sender_id,
                    sender_name,
                    content,
                    created_at,
                    updated_at,
                    edited_at,
                })
            }
            Outcome::RoomDeleted => Written::RoomDeleted,
        }
    }
}

/// Asks for a page of a room's messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageQuestion {
    pub(crate) acting: UserId,
    pub(crate) room_id: RoomId,
    /// The most messages in it.
    pub(crate) limit: u32,
    pub(crate) from: PageFrom,
    /// The head that the newest page had when the asker read it.
    pub(crate) known_last_seq: Option<i64>,
}

/// Where a page lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PageFrom {
    /// At the end.
    Newest,
    /// Right before this id, which need not exist.
    Before(i64),
    /// Right after this id, which need not exist.
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

/// What comes of asking for a page.
#[derive(Debug)]
pub(crate) enum Reading {
    Page(Page),
    /// The page is as the asker knows it.
    Unchanged,
}

/// Messages in ascending order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<Message>,
    /// Whether there are more in the direction of reading.
    pub(crate) has_more: bool,
    /// All changes up to this one are in it, if it is the newest page.
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
    /// Whose; nobody in particular when the room was deleted.
    pub(crate) user_id: Option<UserId>,
    pub(crate) reason: EndReason,
    pub(crate) room_version: i64,
}
