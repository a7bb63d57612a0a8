//! Rooms, memberships and their changes, as the use cases see them.

use std::sync::Arc;

pub(crate) use parlance_core::UserPair;
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
pub(crate) struct RoomSummary {
    pub(crate) id: RoomId,
    pub(crate) kind: Kind,
    pub(crate) version: RoomVersion,
    pub(crate) member_count: usize,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl RoomSummary {
    pub(crate) fn with_members(self, members: Arc<[Member]>) -> Room {
        let Self { id, kind, created_at, updated_at, .. } = self;
        Room { id, kind, members, created_at, updated_at }
    }
}

/// What only one kind of room has.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The room of two contacts, which cannot be changed.
    System,
    /// A room that a user has made.
    User { name: String, owner_id: UserId },
}

impl Kind {
    /// Takes the columns of the room, which are NULL for a system room.
    pub(crate) fn from_columns(name: Option<String>, owner_id: Option<UserId>) -> Self {
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

/// Counts the changes of a room's members. 0 if there is no such room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoomVersion(pub(crate) i64);

/// A user whom the owner of a room wants to add.
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

/// The question whether a user is a member of a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
}

/// The answer to a [`Question`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: MembershipStatus,
    /// The room version at the same moment.
    pub(crate) room_version: RoomVersion,
}

/// What this service knows of a user in a room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MembershipStatus {
    RoomNotFound,
    NotMember,
    Member,
    Owner,
}

/// A membership that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MembershipEnd {
    pub(crate) room_id: RoomId,
    /// `None` if the room was deleted, which ends all its memberships.
    pub(crate) user_id: Option<UserId>,
    pub(crate) reason: EndReason,
    /// The room version after this change.
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

/// Where a watcher of the log continues. Entries of transactions with this id and higher ones may
/// be new to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) u64);

/// Entries of the log for a watcher.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) ends: Vec<MembershipEnd>,
    pub(crate) cursor: Cursor,
    /// True if the log no longer reaches back to the cursor of the watcher.
    pub(crate) reset: bool,
}
