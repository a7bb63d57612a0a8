//! Beginning to listen to a room, with what was missed, and ending it.
//!
//! Beginning costs the store reads. When everybody comes back at once, each waits for his turn in
//! the order of coming, as long as it takes, and as many as the store can serve have theirs: nobody
//! is refused for the storm. Whoever is live, sends, or fills a gap does not wait for turns; and
//! nobody has one while he waits for a client.

use std::sync::Arc;

use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::Subscribed;
use tokio::sync::SemaphorePermit;

use crate::fanout::change_pages::Page;
use crate::fanout::hub::{Hub, lock};
use crate::fanout::room::Room;
use crate::ws::frames::Frames;
use crate::ws::protocol::{Addition, success};
use crate::ws::send_queue::{CloseCode, SendQueue};

/// More missed events than this are not replayed: the client reloads through history.
const MAX_REPLAY: i64 = 1_000;
/// The changes that are read first, before it is known how long they are.
const FIRST_PAGE: i64 = 64;

impl Hub {
    /// Subscribes a connection to a room. The answer, what was missed and what comes are queued in
    /// this order; a refusal is left to the caller.
    pub(crate) async fn subscribe(
        &self,
        send_queue: &Arc<SendQueue>,
        user_id: UserId,
        room_id: RoomId,
        after_seq: Option<i64>,
        reference: Option<&str>,
    ) -> Result<(), ErrorCode> {
        loop {
            let turn = self.turn_to_begin(send_queue, room_id).await;
            let was_live = self.join(send_queue, user_id, room_id);
            let answer = self.shared.messaging_client.subscribe(room_id, user_id).answer().await;
            let outcome = match answer {
                Ok(start) if was_live => {
                    let answer = subscribed(room_id, start.last_seq, false, reference);
                    if self.admit(send_queue, room_id, &start, answer) {
                        return Ok(());
                    }
                    // The subscription has ended meanwhile; whoever is a member again begins a new
                    // one.
                    continue;
                }
                Ok(start) => {
                    self.begin(send_queue, room_id, start, after_seq, reference, turn).await
                }
                // Who is subscribed stays so while nobody can tell whether he may.
                Err(ErrorCode::Unavailable) if was_live => return Err(ErrorCode::Unavailable),
                Err(code) => Err(code),
            };
            if outcome.is_err() {
                self.take_out(&mut lock(&self.shared.rooms), room_id, send_queue.id);
            }
            return outcome;
        }
    }

    /// Ends a subscription, if there is one; nothing of the room is queued behind the answer.
    pub(crate) fn unsubscribe(&self, send_queue: &SendQueue, room_id: RoomId, answer: Frames) {
        let mut rooms = lock(&self.shared.rooms);
        self.take_out(&mut rooms, room_id, send_queue.id);
        send_queue.push(answer);
    }

    /// Waits for the turn to begin; whoever is live already needs none, nor does the probe, which
    /// shows how those fare.
    async fn turn_to_begin(
        &self,
        send_queue: &SendQueue,
        room_id: RoomId,
    ) -> Option<SemaphorePermit<'_>> {
        let is_live =
            lock(&self.shared.rooms).get(&room_id).is_some_and(|room| room.is_live(send_queue.id));
        if is_live || room_id == RoomId::CANARY { None } else { self.turn().await }
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.shared.turns.acquire().await.ok()
    }

    /// Takes a connection into a room, buffering; whether it was live already.
    fn join(&self, send_queue: &Arc<SendQueue>, user_id: UserId, room_id: RoomId) -> bool {
        let mut rooms = lock(&self.shared.rooms);
        let room = rooms
            .entry(room_id)
            .or_insert_with(|| Room::new(&self.shared.send_budget, &self.shared.deliveries));
        if room.owner.is_none() {
            room.owner = self.shared.messaging_client.owner(room_id);
        }
        room.join(send_queue, user_id);
        room.is_live(send_queue.id)
    }

    /// Answers a first subscription: with what was missed, then live.
    async fn begin(
        &self,
        send_queue: &SendQueue,
        room_id: RoomId,
        start: Subscribed,
        after_seq: Option<i64>,
        reference: Option<&str>,
        turn: Option<SemaphorePermit<'_>>,
    ) -> Result<(), ErrorCode> {
        let head = start.last_seq;
        let missed = after_seq.map(|after| head - after);
        let resync = missed.is_some_and(|missed| !(0..=MAX_REPLAY).contains(&missed));
        let after = after_seq.filter(|_| !resync).unwrap_or(head);
        // Before the answer, so that a store that is away refuses the subscription.
        let first_page = self.shared.pages.read_some(room_id, after, head, FIRST_PAGE).await?;
        drop(turn);
        if !self.admit(send_queue, room_id, &start, subscribed(room_id, head, resync, reference)) {
            return Err(ErrorCode::NotAMember);
        }
        if self.catch_up(send_queue, room_id, head, first_page).await.is_err() {
            // The answer was given; the client comes back with the last number it has seen.
            send_queue.close(CloseCode::TRY_AGAIN);
        }
        Ok(())
    }

    fn admit(
        &self,
        send_queue: &SendQueue,
        room_id: RoomId,
        start: &Subscribed,
        answer: Frames,
    ) -> bool {
        let mut rooms = lock(&self.shared.rooms);
        let is_admitted = rooms.get_mut(&room_id).is_some_and(|room| {
            room.admit(send_queue.id, start.last_seq, start.room_version, answer)
        });
        self.backfill_where_needed(&mut rooms, [room_id]);
        is_admitted
    }

    /// Tells a subscriber everything up to the head, as fast as it reads, and lets it go live. Ends
    /// early when the subscription ends.
    async fn catch_up(
        &self,
        send_queue: &SendQueue,
        room_id: RoomId,
        mut head: i64,
        first_page: Page,
    ) -> Result<(), ErrorCode> {
        let mut page = first_page;
        loop {
            let next_page = page.length_to_follow();
            for (_, frame) in page.events {
                send_queue.has_space().await;
                let rooms = lock(&self.shared.rooms);
                if !rooms.get(&room_id).is_some_and(|room| room.tell(send_queue.id, &frame)) {
                    return Ok(());
                }
            }
            send_queue.has_space().await;
            if page.complete_up_to >= head {
                match self.go_live(send_queue, room_id, head) {
                    Some(further) => head = further,
                    None => return Ok(()),
                }
            }
            let _turn = self.turn().await;
            page =
                self.shared.pages.read_some(room_id, page.complete_up_to, head, next_page).await?;
        }
    }

    fn go_live(&self, send_queue: &SendQueue, room_id: RoomId, floor: i64) -> Option<i64> {
        lock(&self.shared.rooms).get_mut(&room_id)?.go_live(send_queue.id, floor)
    }
}

fn subscribed(room_id: RoomId, head_seq: i64, resync: bool, reference: Option<&str>) -> Frames {
    let addition = Addition {
        room_id: Some(room_id.get()),
        head_seq: Some(head_seq),
        resync,
        ..Addition::default()
    };
    success(reference, &format!("Subscribed to room {room_id}"), addition)
}
