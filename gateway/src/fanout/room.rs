//! One room as this gateway sees it: who is subscribed, how far the events have been passed on, and
//! what is held back until a gap before it is filled. Pure state: it waits for nothing and asks
//! nobody.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parlance_core::UserId;

use crate::messaging_client::StreamId;
use crate::ws::flush::FlushWorkers;
use crate::ws::frames::Frames;
use crate::ws::send_budget::{SendBudget, SharedFrames};
use crate::ws::send_queue::SendQueue;

/// What is held back behind a gap, in bytes; more than that is read from the store when its turn
/// comes.
const MAX_HELD: usize = 4 << 20;
/// What may collect for a subscriber while it is told what it missed, in bytes; more than that is
/// read from the store.
const MAX_BUFFERED: usize = 256 << 10;
/// What is passed on in one piece, in bytes: a client that is cut gets the rest of the piece it was
/// being sent.
const MAX_PIECE: usize = 64 << 10;
/// Subscribers for whom something is queued before the first of them are written to.
const MAX_UNANNOUNCED: usize = 64;

/// A room with at least one subscriber.
#[derive(Debug)]
pub(crate) struct Room {
    send_budget: SendBudget,
    deliveries: FlushWorkers,
    /// The stream over which its events come.
    pub(crate) owner: Option<StreamId>,
    /// The last `seq` passed on; unknown until the first subscription was answered.
    cursor: Option<i64>,
    /// The highest `seq` that is known to exist.
    known_head: i64,
    /// Events behind a gap, encoded.
    held: BTreeMap<i64, SharedFrames>,
    held_bytes: usize,
    is_backfilling: bool,
    /// Whether the users' memberships have to be asked for again, because nobody could tell.
    pub(crate) is_unconfirmed: bool,
    /// By the id of the connection.
    subscribers: HashMap<u64, Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    send_queue: Arc<SendQueue>,
    user_id: UserId,
    phase: Phase,
    /// Whether it was told that it is subscribed.
    is_admitted: bool,
    /// The membership version at which the user was a member; ends up to it are old news.
    room_version: i64,
    /// The version of the latest end heard of while the membership is being checked.
    ended_version: i64,
}

#[derive(Debug)]
enum Phase {
    /// Not answered yet, or being told what it missed: events collect, so that they can follow.
    Buffering(Buffer),
    /// Gets every event above the floor.
    Live { floor: i64 },
}

#[derive(Debug, Default)]
struct Buffer {
    /// Whatever is passed on above this is here; what is below has to be read from the store.
    /// Unknown as long as the room's cursor is.
    from: Option<i64>,
    events: Vec<(i64, SharedFrames)>,
    bytes: usize,
    /// There was more than fits, and nothing is kept.
    has_overflowed: bool,
}

impl Buffer {
    fn beginning_at(from: Option<i64>) -> Self {
        Self { from, ..Self::default() }
    }

    fn push(&mut self, seq: i64, frame: &SharedFrames) {
        self.bytes += frame.len();
        if self.bytes > MAX_BUFFERED {
            self.has_overflowed = true;
            self.events = Vec::new();
        } else {
            self.events.push((seq, frame.clone()));
        }
    }
}

impl Room {
    /// A room without subscribers.
    pub(crate) fn new(send_budget: &SendBudget, deliveries: &FlushWorkers) -> Self {
        Self {
            send_budget: send_budget.clone(),
            deliveries: deliveries.clone(),
            owner: None,
            cursor: None,
            known_head: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            is_backfilling: false,
            is_unconfirmed: false,
            subscribers: HashMap::new(),
        }
    }

    /// Takes a subscriber in, who gets nothing yet. One who is in already stays as it is.
    pub(crate) fn join(&mut self, send_queue: &Arc<SendQueue>, user_id: UserId) {
        let buffer = Buffer::beginning_at(self.cursor);
        self.subscribers.entry(send_queue.id).or_insert_with(|| Subscriber {
            send_queue: send_queue.clone(),
            user_id,
            phase: Phase::Buffering(buffer),
            is_admitted: false,
            room_version: 0,
            ended_version: 0,
        });
    }

    /// Takes a subscriber out; whether it was in.
    pub(crate) fn leave(&mut self, connection_id: u64) -> bool {
        self.subscribers.remove(&connection_id).is_some()
    }

    /// Whether this connection is subscribed, or about to be.
    pub(crate) fn has(&self, connection_id: u64) -> bool {
        self.subscribers.contains_key(&connection_id)
    }

    /// How many connections are subscribed, or about to be.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// Whether the subscriber gets events already.
    pub(crate) fn is_live(&self, connection_id: u64) -> bool {
        self.subscribers
            .get(&connection_id)
            .is_some_and(|subscriber| matches!(subscriber.phase, Phase::Live { .. }))
    }

    /// The different users who are subscribed.
    pub(crate) fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> =
            self.subscribers.values().map(|subscriber| subscriber.user_id).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Notes that the user was a member at this version and that the room had come this far, and
    /// answers. False, and no answer, when the subscription ended meanwhile or an end heard of is
    /// newer than that.
    pub(crate) fn admit(
        &mut self,
        connection_id: u64,
        head: i64,
        room_version: i64,
        answer: Frames,
    ) -> bool {
        self.start_at(head);
        let Some(subscriber) = self.subscribers.get_mut(&connection_id) else { return false };
        subscriber.room_version = subscriber.room_version.max(room_version);
        subscriber.is_admitted = subscriber.ended_version <= room_version;
        if subscriber.is_admitted {
            subscriber.send_queue.push(answer);
        }
        subscriber.is_admitted
    }

    /// Tells one subscriber something that it missed; false when it is none any more.
    pub(crate) fn tell(&self, connection_id: u64, frame: &SharedFrames) -> bool {
        let subscriber = self.subscribers.get(&connection_id);
        subscriber.map(|subscriber| subscriber.send_queue.push_shared(frame)).is_some()
    }

    /// The same for all subscriptions of a user, after the stream was lost.
    pub(crate) fn confirm_user(&mut self, user_id: UserId, head: i64, room_version: i64) {
        self.start_at(head);
        self.known_head = self.known_head.max(head);
        for subscriber in
            self.subscribers.values_mut().filter(|subscriber| subscriber.user_id == user_id)
        {
            subscriber.room_version = subscriber.room_version.max(room_version);
        }
    }

    /// Lets a subscriber that was told everything up to the floor have what collected above it,
    /// then everything that comes. When collecting began only above the floor, or too much has
    /// collected, it has to be told more first: up to the number that comes back.
    #[must_use]
    pub(crate) fn go_live(&mut self, connection_id: u64, floor: i64) -> Option<i64> {
        let passed_on = self.cursor.unwrap_or(floor);
        let subscriber = self.subscribers.get_mut(&connection_id)?;
        let Phase::Buffering(buffer) = &mut subscriber.phase else { return None };
        if let Some(from) = buffer.from.filter(|from| *from > floor) {
            return Some(from);
        }
        let buffer = std::mem::replace(buffer, Buffer::beginning_at(Some(passed_on)));
        if buffer.has_overflowed && passed_on > floor {
            return Some(passed_on);
        }
        subscriber.phase = Phase::Live { floor };
        for (_, frame) in buffer.events.into_iter().filter(|(seq, _)| *seq > floor) {
            subscriber.send_queue.push_shared(&frame);
        }
        None
    }

    /// Takes events in: passes on those that come next, drops those that were passed on, and holds
    /// the others back.
    pub(crate) fn offer(&mut self, events: impl IntoIterator<Item = (i64, SharedFrames)>) {
        let mut run = Vec::new();
        for (seq, frame) in events {
            self.known_head = self.known_head.max(seq);
            match self.cursor {
                Some(cursor) if seq <= cursor => {}
                Some(cursor) if seq == cursor + 1 => {
                    self.cursor = Some(seq);
                    run.push((seq, frame));
                }
                _ => self.hold(seq, frame),
            }
        }
        self.release_held(&mut run);
        self.pass_on(&run);
    }

    fn hold(&mut self, seq: i64, frame: SharedFrames) {
        if self.held_bytes + frame.len() <= MAX_HELD {
            self.held_bytes += frame.len();
            let replaced = self.held.insert(seq, frame);
            self.held_bytes -= replaced.map_or(0, |frame| frame.len());
        }
    }

    /// Learns how far the room has come.
    pub(crate) fn note_head(&mut self, head: i64) {
        self.known_head = self.known_head.max(head);
    }

    /// Whether there is a gap that nobody is filling yet. Whoever is told so has to fill it.
    #[must_use]
    pub(crate) fn starts_backfill(&mut self) -> bool {
        let was_filling = self.is_backfilling;
        self.gap().is_some() && !was_filling
    }

    /// What has to be read from the store: above the first and up to the second number. Nothing
    /// when there is no gap (any more); then filling is over.
    pub(crate) fn gap(&mut self) -> Option<(i64, i64)> {
        let gap = self.cursor.and_then(|cursor| {
            let last_missing =
                self.held.keys().next().map_or(self.known_head, |first_held| first_held - 1);
            (last_missing > cursor).then_some((cursor, last_missing))
        });
        self.is_backfilling = gap.is_some();
        gap
    }

    /// Passes on what was read from the store, complete up to this number, and what was held back
    /// behind it.
    pub(crate) fn fill(&mut self, events: Vec<(i64, SharedFrames)>, complete_up_to: i64) {
        let mut run = Vec::new();
        for (seq, frame) in events {
            if self.cursor.is_none_or(|cursor| seq > cursor) {
                self.cursor = Some(seq);
                run.push((seq, frame));
            }
        }
        // Numbers whose change was overtaken do not exist any more.
        self.cursor = self.cursor.max(Some(complete_up_to));
        self.release_held(&mut run);
        self.pass_on(&run);
    }

    /// Shows that somebody is typing, to all but the connection it comes from.
    pub(crate) fn show_typing(&self, frame: &SharedFrames, origin: u64) {
        for (connection_id, subscriber) in &self.subscribers {
            if *connection_id != origin && matches!(subscriber.phase, Phase::Live { .. }) {
                subscriber.send_queue.push_unless_busy(frame);
            }
        }
    }

    /// Ends the subscriptions of a user, or of everybody, unless they were confirmed at this
    /// version or a later one.
    pub(crate) fn end(&mut self, user_id: Option<UserId>, room_version: i64, notice: &Frames) {
        self.subscribers.retain(|_, subscriber| {
            let is_concerned = user_id.is_none_or(|user_id| subscriber.user_id == user_id);
            if !is_concerned || room_version <= subscriber.room_version {
                return true;
            }
            if !subscriber.is_admitted {
                // The answer that is under way tells whether this was before or after.
                subscriber.ended_version = subscriber.ended_version.max(room_version);
                return true;
            }
            subscriber.send_queue.push(notice.clone());
            false
        });
    }

    /// Ends the subscriptions of a user who is found to be no member.
    pub(crate) fn expel(&mut self, user_id: UserId, notice: &Frames) {
        self.subscribers.retain(|_, subscriber| {
            let stays = subscriber.user_id != user_id || !subscriber.is_admitted;
            if !stays {
                subscriber.send_queue.push(notice.clone());
            }
            stays
        });
    }

    /// Begins to pass on above the head, if it is not known yet from where.
    fn start_at(&mut self, head: i64) {
        if self.cursor.is_some() {
            return;
        }
        self.cursor = Some(head);
        // Others may wait for an answer with a lower head: what was held back up to this one is not
        // passed on to them.
        for subscriber in self.subscribers.values_mut() {
            if let Phase::Buffering(buffer) = &mut subscriber.phase {
                buffer.from = Some(head);
            }
        }
        let mut run = Vec::new();
        self.release_held(&mut run);
        self.pass_on(&run);
    }

    /// Adds to a run what was held back and follows it.
    fn release_held(&mut self, run: &mut Vec<(i64, SharedFrames)>) {
        let Some(mut cursor) = self.cursor else { return };
        while let Some(entry) = self.held.first_entry() {
            let seq = *entry.key();
            if seq > cursor + 1 {
                break;
            }
            let frame = entry.remove();
            self.held_bytes -= frame.len();
            if seq == cursor + 1 {
                run.push((seq, frame));
                cursor = seq;
            }
        }
        self.cursor = Some(cursor);
    }

    /// Passes on events that follow one another, to those who are live in a few large pieces.
    fn pass_on(&mut self, run: &[(i64, SharedFrames)]) {
        let Some(&(first_seq, _)) = run.first() else { return };
        let pieces = in_pieces(run, &self.send_budget);
        let mut to_be_written = Vec::new();
        for subscriber in self.subscribers.values_mut() {
            match &mut subscriber.phase {
                Phase::Live { floor } if first_seq > *floor => {
                    let queued =
                        pieces.iter().map(|piece| subscriber.send_queue.push_for_delivery(piece));
                    to_be_written.extend(
                        queued.filter(|&is_due| is_due).map(|_| subscriber.send_queue.clone()),
                    );
                    if to_be_written.len() >= MAX_UNANNOUNCED {
                        self.deliveries.add(std::mem::take(&mut to_be_written));
                    }
                }
                Phase::Live { floor } => {
                    let above = run.iter().filter(|(seq, _)| seq > floor);
                    above.for_each(|(_, frame)| subscriber.send_queue.push_shared(frame));
                }
                Phase::Buffering(buffer) => {
                    run.iter().for_each(|(seq, frame)| buffer.push(*seq, frame))
                }
            }
        }
        self.deliveries.add(to_be_written);
    }
}

/// The frames of a run, joined as long as the pieces do not become too long.
fn in_pieces(run: &[(i64, SharedFrames)], send_budget: &SendBudget) -> Vec<SharedFrames> {
    let mut bytes = 0;
    let chunks = run.chunk_by(|(_, frame), (_, next)| {
        bytes += frame.len();
        let fits = bytes + next.len() <= MAX_PIECE;
        bytes = if fits { bytes } else { 0 };
        fits
    });
    let pieces = chunks.map(|chunk| match chunk {
        [(_, only)] => only.clone(),
        _ => send_budget.join(chunk.iter().map(|(_, frame)| frame)),
    });
    pieces.collect()
}
