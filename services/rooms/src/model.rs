//! Rooms, memberships and their changes, as the use cases see them.

use std::sync::Arc;

use parlance_core::{RoomId, Timestamp, UserId};

/// A room with its members.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: Kind,
    /// The owner first, then in the order in which they joined.
    pub(crate) members: Arc<[Member]>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Room {
    pub(crate) fn has_member(&self, user: UserId) -> bool {
        self.members.iter().any(|member| member.user_id == user)
    }
}

/// A room without its members.
#[derive(Clone, Debug)]
pub(crate) struct RoomHead {
    pub(crate) id: RoomId,
    pub(crate) kind: Kind,
    pub(crate) version: RoomVersion,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl RoomHead {
    pub(crate) fn with_members(self, members: Arc<[Member]>) -> Room {
        let Self { id, kind, created_at, updated_at, version: _ } = self;
        Room { id, kind, members, created_at, updated_at }
    }
}

/// What only one kind of room has.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The unchangeable room of two contacts.
    System,
    /// A room that a user has made.
    User { name: String, owner_id: UserId },
}

impl Kind {
    /// The kind of a room with this name and this owner, which system rooms have not.
    pub(crate) fn of(name: Option<String>, owner_id: Option<UserId>) -> Self {
        match (name, owner_id) {
            (Some(name), Some(owner_id)) => Self::User { name, owner_id },
            _ => Self::System,
        }
    }
}

/// A user in a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) user_id: UserId,
    pub(crate) joined_at: Timestamp,
}

/// Who may change a room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Authority {
    /// Nobody: it is a system room.
    Nobody,
    /// This user, its owner.
    Owner(UserId),
}

/// Counts the changes of a room's members; 0 when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomVersion(pub(crate) i64);

/// Two different users, in the one order in which they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) low: UserId,
    pub(crate) high: UserId,
}

impl Pair {
    /// The pair of two users in any order; nothing when they are one and the same.
    pub(crate) fn of(first: UserId, second: UserId) -> Option<Self> {
        (first != second).then(|| Self { low: first.min(second), high: first.max(second) })
    }
}

/// A user whom the owner of a room wants as a member, and how that user stands to both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) user_id: UserId,
    pub(crate) is_member: bool,
    pub(crate) is_contact_of_owner: bool,
}

/// A user who was not added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skipped {
    pub(crate) user_id: UserId,
    pub(crate) reason: SkipReason,
}

/// Why a user was not added.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SkipReason {
    NotAContact,
    AlreadyAMember,
}

/// A question: is this user a member of this room?
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
}

/// The answer to a [`Question`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: MembershipStatus,
    /// The version of the room in the same moment.
    pub(crate) room_version: RoomVersion,
}

/// How a user stands to a room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MembershipStatus {
    RoomNotFound,
    NotMember,
    Member,
    Owner,
}

/// A membership that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) room_id: RoomId,
    /// Nobody in particular when the room was deleted.
    pub(crate) user_id: Option<UserId>,
    pub(crate) reason: EndReason,
    /// The version of the room after this change.
    pub(crate) room_version: RoomVersion,
}

/// Why a membership ended.
#[derive(Clone, Copy, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum EndReason {
    Left,
    Removed,
    RoomDeleted,
}

/// Where a watcher of the log goes on: everything that transactions with this id and higher ones
/// wrote may be new to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) u64);

/// Entries of the log on their way to a watcher.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) ends: Vec<End>,
    pub(crate) cursor: Cursor,
    /// The log no longer reaches back to where the watcher wanted to go on.
    pub(crate) reset: bool,
}
