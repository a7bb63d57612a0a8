//! One connection's subscription to a room.

use std::sync::Arc;

use parlance_core::UserId;

use crate::fanout::encode::Change;
use crate::limits::SubscriptionPermit;
use crate::ws::frames::Frames;
use crate::ws::send_budget::SharedFrames;
use crate::ws::send_queue::SendQueue;

/// The most bytes that are buffered for a subscriber. Changes beyond are read from the store.
pub(super) const MAX_BUFFERED_BYTES: usize = 256 << 10;

pub(super) struct Subscriber {
    pub(super) send_queue: Arc<SendQueue>,
    pub(super) user_id: UserId,
    pub(super) phase: Phase,
    /// True once the answer to the subscription is queued.
    pub(super) is_confirmed: bool,
    /// The latest room version at which the user is known to be a member.
    pub(super) room_version: i64,
    /// Counts the subscription as one of its user.
    _permit: Option<Arc<SubscriptionPermit>>,
    /// The version of the latest membership end that arrived before the confirmation.
    ended_version: i64,
}

pub(super) enum Phase {
    /// Not confirmed, or missed changes are replayed. Later changes are buffered behind them.
    Buffering(Buffer),
    /// Receives every change above this `seq`.
    Live { after_seq: i64 },
}

#[derive(Default)]
pub(super) struct Buffer {
    /// The buffer has every change delivered above this `seq`. Unknown as long as the room's
    /// `delivered_seq` is.
    pub(super) after_seq: Option<i64>,
    changes: Vec<Change>,
    bytes: usize,
    /// True if the limit was exceeded and the changes were dropped.
    has_overflowed: bool,
}

impl Buffer {
    fn starting_after(after_seq: Option<i64>) -> Self {
        Self { after_seq, ..Self::default() }
    }

    pub(super) fn push(&mut self, seq: i64, frame: &SharedFrames) {
        self.bytes += frame.len();
        if self.bytes > MAX_BUFFERED_BYTES {
            self.has_overflowed = true;
            self.changes = Vec::new();
        } else {
            self.changes.push((seq, frame.clone()));
        }
    }
}

impl Subscriber {
    /// Makes a subscriber that is not confirmed yet.
    pub(super) fn new(
        send_queue: Arc<SendQueue>,
        user_id: UserId,
        permit: Option<Arc<SubscriptionPermit>>,
        delivered_seq: Option<i64>,
    ) -> Self {
        let phase = Phase::Buffering(Buffer::starting_after(delivered_seq));
        let (is_confirmed, room_version, ended_version) = (false, 0, 0);
        Self {
            send_queue,
            user_id,
            phase,
            is_confirmed,
            room_version,
            _permit: permit,
            ended_version,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Queues the answer, unless a membership end newer than `room_version` has arrived. Returns
    /// whether the subscription is confirmed.
    pub(super) fn confirm(&mut self, room_version: i64, answer: Frames) -> bool {
        self.room_version = self.room_version.max(room_version);
        self.is_confirmed = self.ended_version <= room_version;
        if self.is_confirmed {
            self.send_queue.push(answer);
        }
        self.is_confirmed
    }

    /// Makes the subscriber live, or returns the `seq` up to which more has to be replayed first.
    pub(super) fn go_live(&mut self, replayed_seq: i64, delivered_seq: i64) -> Option<i64> {
        let Phase::Buffering(buffer) = &mut self.phase else { return None };
        if let Some(after_seq) = buffer.after_seq.filter(|after_seq| *after_seq > replayed_seq) {
            return Some(after_seq);
        }
        let buffer = std::mem::replace(buffer, Buffer::starting_after(Some(delivered_seq)));
        if buffer.has_overflowed && delivered_seq > replayed_seq {
            return Some(delivered_seq);
        }
        self.phase = Phase::Live { after_seq: replayed_seq };
        for (_, frame) in buffer.changes.iter().filter(|(seq, _)| *seq > replayed_seq) {
            self.send_queue.push_shared(frame);
        }
        None
    }

    /// Returns false, after a notice to the client, if this membership end ends the subscription.
    pub(super) fn outlasts(&mut self, ended_version: i64, notice: &Frames) -> bool {
        if ended_version <= self.room_version {
            return true;
        }
        if !self.is_confirmed {
            // The version in the pending answer decides which of the two is newer.
            self.ended_version = self.ended_version.max(ended_version);
            return true;
        }
        self.send_queue.push(notice.clone());
        false
    }
}
