//! Pairs of users and their states, as the use cases see them.

use parlance_core::{Timestamp, UserId};

/// The id of a pair: of the invitation first, of the contact later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct PairId(pub(crate) i64);

/// The id of a row of the outbox.
#[derive(Clone, Copy, Debug, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct OutboxId(pub(crate) i64);

/// Two different users, in the one order in which they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserPair {
    pub(crate) low: UserId,
    pub(crate) high: UserId,
}

impl UserPair {
    /// The pair of two users in any order; nothing when they are one and the same.
    pub(crate) fn of(first: UserId, second: UserId) -> Option<Self> {
        (first != second).then(|| Self { low: first.min(second), high: first.max(second) })
    }

    /// The one of the two who is not `user`.
    pub(crate) fn other_than(self, user: UserId) -> UserId {
        if self.low == user { self.high } else { self.low }
    }
}

/// How two users stand to each other, when they have to do with each other at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) id: PairId,
    pub(crate) users: UserPair,
    pub(crate) inviter: UserId,
    pub(crate) invited_at: Timestamp,
    pub(crate) state: State,
}

/// What the inviter's wish has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Invited,
    /// With the wish for their system room while it may not be there yet.
    Contacts {
        since: Timestamp,
        wanted_room: Option<OutboxId>,
    },
}

impl Pair {
    /// The invitation that this is or was.
    pub(crate) fn invitation(&self) -> Invitation {
        Invitation {
            id: self.id,
            from: self.inviter,
            to: self.users.other_than(self.inviter),
            created_at: self.invited_at,
        }
    }

    /// The system room that two contacts do not have yet, as far as it is known.
    pub(crate) fn wanted_room(&self) -> Option<WantedRoom> {
        match self.state {
            State::Contacts { wanted_room: Some(id), .. } => {
                Some(WantedRoom { id, users: self.users })
            }
            _ => None,
        }
    }
}

/// An invitation. It never changes: it is accepted or rejected, and gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invitation {
    pub(crate) id: PairId,
    pub(crate) from: UserId,
    pub(crate) to: UserId,
    pub(crate) created_at: Timestamp,
}

/// A contact, seen from one of the two. It never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    pub(crate) id: PairId,
    pub(crate) other: UserId,
    pub(crate) created_at: Timestamp,
}

/// Everything that one user has, each list ordered by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overview {
    pub(crate) sent: Vec<Invitation>,
    pub(crate) received: Vec<Invitation>,
    pub(crate) contacts: Vec<Contact>,
}

/// A system room that has yet to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedRoom {
    pub(crate) id: OutboxId,
    pub(crate) users: UserPair,
}
