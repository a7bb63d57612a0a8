//! One room on this gateway: its subscribers, the `seq` up to which changes are delivered, and the
//! changes that are held back behind a gap. Pure state: it awaits nothing and makes no calls.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parlance_core::UserId;
use tokio::time::Instant;

use crate::fanout::encode::{Change, Typist};
use crate::fanout::subscriber::{Phase, Subscriber};
use crate::fanout::typing_limit::TypingLimit;
use crate::limits::SubscriptionPermit;
use crate::messaging_client::StreamId;
use crate::ws::flush::FlushWorkers;
use crate::ws::frames::Frames;
use crate::ws::send_budget::{SendBudget, SharedFrames};
use crate::ws::send_queue::SendQueue;

/// The most bytes that are held back behind a gap. Changes beyond are read from the store later.
const MAX_HELD_BYTES: usize = 4 << 20;
/// The most bytes that are queued as one entry: a client that is shed still gets the rest of the
/// entry that is half written.
const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Send queues that are filled before the flush workers get the first of them.
const FLUSH_BATCH: usize = 64;

/// A room with at least one subscriber.
pub(super) struct Room {
    send_budget: SendBudget,
    flush_workers: FlushWorkers,
    /// The stream to the owner replica, which brings the events of the room.
    pub(super) owner: Option<StreamId>,
    /// The stream that brings the events until the one to a new owner replica does.
    pub(super) previous_owner: Option<StreamId>,
    /// All changes up to this `seq` are delivered. Unknown before the first confirmation.
    delivered_seq: Option<i64>,
    /// The highest `seq` that is known to exist.
    last_seq: i64,
    /// Changes behind a gap.
    held: BTreeMap<i64, SharedFrames>,
    held_bytes: usize,
    is_backfilling: bool,
    /// Users whose memberships are to be checked again.
    pub(super) to_renew: Vec<UserId>,
    /// True if the room waits for its turn among the [`Renewals`](super::reassign::Renewals), which
    /// set it.
    pub(super) is_renewal_queued: bool,
    typing_limit: TypingLimit,
    /// By connection id.
    subscribers: HashMap<u64, Subscriber>,
}

impl Room {
    pub(super) fn new(send_budget: &SendBudget, flush_workers: &FlushWorkers) -> Self {
        Self {
            send_budget: send_budget.clone(),
            flush_workers: flush_workers.clone(),
            owner: None,
            previous_owner: None,
            delivered_seq: None,
            last_seq: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            is_backfilling: false,
            to_renew: Vec::new(),
            is_renewal_queued: false,
            typing_limit: TypingLimit::new(),
            subscribers: HashMap::new(),
        }
    }

    /// Adds a subscriber that waits for its confirmation. An existing one stays as it is.
    pub(super) fn join(
        &mut self,
        send_queue: &Arc<SendQueue>,
        user_id: UserId,
        permit: Option<Arc<SubscriptionPermit>>,
    ) {
        let new = || Subscriber::new(send_queue.clone(), user_id, permit, self.delivered_seq);
        self.subscribers.entry(send_queue.id).or_insert_with(new);
    }

    /// Removes a subscriber. Returns whether there was one.
    pub(super) fn leave(&mut self, connection_id: u64) -> bool {
        self.subscribers.remove(&connection_id).is_some()
    }

    /// Returns true if this connection is a subscriber, confirmed or not.
    pub(super) fn has(&self, connection_id: u64) -> bool {
        self.subscribers.contains_key(&connection_id)
    }

    /// Counts the subscribers, confirmed or not.
    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    pub(super) fn is_live(&self, connection_id: u64) -> bool {
        self.subscribers.get(&connection_id).is_some_and(Subscriber::is_live)
    }

    /// Moves the room to another owner replica. Returns the users of the subscribers, in no order
    /// and with repeats, and the stream that brings no events for the room any more, if there is
    /// one. `None` if the room is there already.
    pub(super) fn move_to(&mut self, owner: StreamId) -> Option<(Vec<UserId>, Option<StreamId>)> {
        if self.owner == Some(owner) {
            return None;
        }
        let previous = self.owner.replace(owner);
        let superseded = std::mem::replace(&mut self.previous_owner, previous);
        let users = self.subscribers.values().map(|subscriber| subscriber.user_id);
        Some((users.collect(), superseded.filter(|stream| *stream != owner)))
    }

    /// Takes up to `max` users whose memberships are to be checked again.
    pub(super) fn take_renewals(&mut self, max: usize) -> Vec<UserId> {
        let rest = self.to_renew.len().saturating_sub(max);
        self.to_renew.split_off(rest)
    }

    /// Confirms a subscription: the user was a member at this room version, and `last_seq` was the
    /// room's then. Returns false, and does not queue the answer, if the subscription has ended.
    pub(super) fn confirm(
        &mut self,
        connection_id: u64,
        last_seq: i64,
        room_version: i64,
        answer: Frames,
    ) -> bool {
        self.start_at(last_seq);
        let subscriber = self.subscribers.get_mut(&connection_id);
        subscriber.is_some_and(|subscriber| subscriber.confirm(room_version, answer))
    }

    /// Notes the `last_seq` in the answer to a renewal.
    pub(super) fn note_start(&mut self, last_seq: i64) {
        self.start_at(last_seq);
        self.note_last_seq(last_seq);
    }

    /// Confirms all subscriptions of users after renewals, which give the room version of each.
    pub(super) fn confirm_users(&mut self, versions: &HashMap<UserId, i64>) {
        for subscriber in self.subscribers.values_mut() {
            if let Some(room_version) = versions.get(&subscriber.user_id) {
                subscriber.room_version = subscriber.room_version.max(*room_version);
            }
        }
    }

    /// Queues a missed change for one subscriber. Returns false if the subscription has ended.
    pub(super) fn replay(&self, connection_id: u64, frame: &SharedFrames) -> bool {
        let subscriber = self.subscribers.get(&connection_id);
        subscriber.map(|subscriber| subscriber.send_queue.push_shared(frame)).is_some()
    }

    /// Makes a subscriber live after the replay up to `replayed_seq`: queues what is buffered above
    /// it. Returns the `seq` up to which more has to be replayed first, if the buffer begins above
    /// `replayed_seq` or has overflowed.
    #[must_use]
    pub(super) fn go_live(&mut self, connection_id: u64, replayed_seq: i64) -> Option<i64> {
        let delivered_seq = self.delivered_seq.unwrap_or(replayed_seq);
        self.subscribers.get_mut(&connection_id)?.go_live(replayed_seq, delivered_seq)
    }

    /// Delivers the changes that are next, drops delivered ones and holds back the others.
    pub(super) fn on_changes(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut run = Vec::new();
        for (seq, frame) in changes {
            self.note_last_seq(seq);
            match self.delivered_seq {
                Some(delivered_seq) if seq <= delivered_seq => {}
                Some(delivered_seq) if seq == delivered_seq + 1 => {
                    self.delivered_seq = Some(seq);
                    run.push((seq, frame));
                }
                _ => self.hold(seq, frame),
            }
        }
        self.release_held(run);
    }

    /// Notes that this `seq` exists.
    pub(super) fn note_last_seq(&mut self, seq: i64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// Returns true if the room has a gap and no backfill. The caller starts one then.
    #[must_use]
    pub(super) fn begin_backfill(&mut self) -> bool {
        let was_backfilling = self.is_backfilling;
        self.next_gap().is_some() && !was_backfilling
    }

    /// Returns the first gap: the `seq` before it and its last `seq`. `None` ends the backfill.
    pub(super) fn next_gap(&mut self) -> Option<(i64, i64)> {
        let gap = self.delivered_seq.and_then(|delivered_seq| {
            let first_held = self.held.keys().next();
            let last_missing = first_held.map_or(self.last_seq, |first_held| first_held - 1);
            (last_missing > delivered_seq).then_some((delivered_seq, last_missing))
        });
        self.is_backfilling = gap.is_some();
        gap
    }

    /// Delivers changes from the store, which are complete up to a `seq`, and the held ones behind
    /// them.
    pub(super) fn backfill(&mut self, changes: Vec<Change>, complete_up_to: i64) {
        let delivered_seq = self.delivered_seq;
        let is_new = |&(seq, _): &Change| delivered_seq.is_none_or(|delivered| seq > delivered);
        let run: Vec<Change> = changes.into_iter().filter(is_new).collect();
        // The store has only the last change of each message: a `seq` without one is no gap.
        let last = run.last().map(|(seq, _)| *seq);
        self.delivered_seq = delivered_seq.max(last).max(Some(complete_up_to));
        self.release_held(run);
    }

    /// Queues a typing event for all live subscribers but the connection that it comes from, unless
    /// too many users type.
    pub(super) fn send_typing(&mut self, frame: &SharedFrames, typist: Typist, now: Instant) {
        if !self.typing_limit.allow(typist.user_id, self.subscribers.len(), now) {
            return;
        }
        for (connection_id, subscriber) in &self.subscribers {
            if *connection_id != typist.origin && subscriber.is_live() {
                subscriber.send_queue.push_droppable(frame);
            }
        }
    }

    /// Ends the subscriptions of a user, or of all users, that are older than a membership end.
    pub(super) fn end_membership(
        &mut self,
        user_id: Option<UserId>,
        room_version: i64,
        notice: &Frames,
    ) {
        self.subscribers.retain(|_, subscriber| {
            user_id.is_some_and(|user_id| subscriber.user_id != user_id)
                || subscriber.outlasts(room_version, notice)
        });
    }

    /// Ends the confirmed subscriptions of users who are not members.
    pub(super) fn remove_users(&mut self, users: &HashSet<UserId>, notice: &Frames) {
        if users.is_empty() {
            return;
        }
        self.subscribers.retain(|_, subscriber| {
            let stays = !users.contains(&subscriber.user_id) || !subscriber.is_confirmed;
            if !stays {
                subscriber.send_queue.push(notice.clone());
            }
            stays
        });
    }

    /// Starts delivery above `last_seq`, unless it has started.
    fn start_at(&mut self, last_seq: i64) {
        if self.delivered_seq.is_some() {
            return;
        }
        self.delivered_seq = Some(last_seq);
        // A subscriber whose own answer has a lower `last_seq` replays the changes between the two.
        for subscriber in self.subscribers.values_mut() {
            if let Phase::Buffering(buffer) = &mut subscriber.phase {
                buffer.after_seq = Some(last_seq);
            }
        }
        self.release_held(Vec::new());
    }

    fn hold(&mut self, seq: i64, frame: SharedFrames) {
        if self.held_bytes + frame.len() <= MAX_HELD_BYTES {
            self.held_bytes += frame.len();
            let replaced = self.held.insert(seq, frame);
            self.held_bytes -= replaced.map_or(0, |frame| frame.len());
        }
    }

    /// Delivers a run of changes and the held ones that follow it.
    fn release_held(&mut self, mut run: Vec<Change>) {
        let Some(mut delivered_seq) = self.delivered_seq else { return };
        while let Some(entry) = self.held.first_entry()
            && *entry.key() <= delivered_seq + 1
        {
            let (seq, frame) = entry.remove_entry();
            self.held_bytes -= frame.len();
            if seq == delivered_seq + 1 {
                run.push((seq, frame));
                delivered_seq = seq;
            }
        }
        self.delivered_seq = Some(delivered_seq);
        self.deliver(&run);
    }

    /// Queues a run of changes for all subscribers, in a few large chunks for those that are live.
    fn deliver(&mut self, run: &[Change]) {
        let Some(&(first_seq, _)) = run.first() else { return };
        let chunks = join_in_chunks(run, &self.send_budget);
        let mut to_flush = Vec::new();
        for subscriber in self.subscribers.values_mut() {
            let send_queue = &subscriber.send_queue;
            match &mut subscriber.phase {
                Phase::Live { after_seq } if first_seq > *after_seq => {
                    let unscheduled =
                        chunks.iter().filter(|chunk| send_queue.push_unflushed(chunk));
                    to_flush.extend(unscheduled.map(|_| send_queue.clone()));
                    if to_flush.len() >= FLUSH_BATCH {
                        self.flush_workers.add(std::mem::take(&mut to_flush));
                    }
                }
                Phase::Live { after_seq } => {
                    let above = run.iter().filter(|(seq, _)| seq > after_seq);
                    above.for_each(|(_, frame)| send_queue.push_shared(frame));
                }
                Phase::Buffering(buffer) => {
                    run.iter().for_each(|(seq, frame)| buffer.push(*seq, frame))
                }
            }
        }
        self.flush_workers.add(to_flush);
    }
}

/// Joins the frames of a run into chunks of at most [`MAX_CHUNK_BYTES`].
fn join_in_chunks(run: &[Change], send_budget: &SendBudget) -> Vec<SharedFrames> {
    let mut bytes = 0;
    let chunks = run.chunk_by(|(_, frame), (_, next)| {
        bytes += frame.len();
        let fits = bytes + next.len() <= MAX_CHUNK_BYTES;
        bytes = if fits { bytes } else { 0 };
        fits
    });
    let joined = chunks.map(|chunk| match chunk {
        [(_, only)] => only.clone(),
        _ => send_budget.join(chunk.iter().map(|(_, frame)| frame)),
    });
    joined.collect()
}

#[cfg(test)]
#[path = "tests/room.rs"]
mod tests;
