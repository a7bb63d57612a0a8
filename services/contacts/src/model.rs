//! Pairs of users and their states, as the use cases see them.

pub(crate) use parlance_core::UserPair;
use parlance_core::{Timestamp, UserId};

/// The id of a pair: first of its invitation, then of its contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct PairId(pub(crate) i64);

/// The id of an outbox row.
#[derive(Clone, Copy, Debug, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct OutboxId(pub(crate) i64);

/// Two users with an invitation or a contact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) id: PairId,
    pub(crate) users: UserPair,
    pub(crate) inviter: UserId,
    pub(crate) invited_at: Timestamp,
    pub(crate) state: State,
}

/// The state of a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Invited,
    Contacts {
        since: Timestamp,
        /// The outbox row of their system room, until the room is made.
        outbox_id: Option<OutboxId>,
    },
}

impl Pair {
    /// Returns the invitation that the pair began with.
    pub(crate) fn invitation(&self) -> Invitation {
        Invitation {
            id: self.id,
            from: self.inviter,
            to: self.users.other_than(self.inviter),
            created_at: self.invited_at,
        }
    }

    pub(crate) fn is_contacts(&self) -> bool {
        matches!(self.state, State::Contacts { .. })
    }

    /// Returns the outbox row of a system room that is not made yet.
    pub(crate) fn outbox_entry(&self) -> Option<OutboxEntry> {
        match self.state {
            State::Contacts { outbox_id: Some(id), .. } => {
                Some(OutboxEntry { id, users: self.users })
            }
            _ => None,
        }
    }
}

/// An invitation. It never changes: it is accepted or rejected, and then gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invitation {
    pub(crate) id: PairId,
    pub(crate) from: UserId,
    pub(crate) to: UserId,
    pub(crate) created_at: Timestamp,
}

/// A contact, from the view of one of the two users. It never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    pub(crate) id: PairId,
    pub(crate) other: UserId,
    pub(crate) created_at: Timestamp,
}

/// All invitations and contacts of one user, each list ordered by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overview {
    pub(crate) sent: Vec<Invitation>,
    pub(crate) received: Vec<Invitation>,
    pub(crate) contacts: Vec<Contact>,
}

/// An outbox row: a system room to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxEntry {
    pub(crate) id: OutboxId,
    pub(crate) users: UserPair,
}
