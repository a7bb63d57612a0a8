//! Starts and ends subscriptions, and replays missed changes.
//!
//! A new subscription reads from the store. In a reconnect storm, subscriptions wait for permits in
//! the order of their requests, for as long as it takes: the load refuses none. One user has few
//! permits at a time. Live subscriptions, sends and backfills need no permit. The synthetic probe
//! needs none either: it has to succeed in a storm, too. No permit is held while a client is to
//! read.

use std::sync::Arc;

use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::Subscribed;
use tokio::sync::SemaphorePermit;

use crate::fanout::change_pages::ChangePage;
use crate::fanout::hub::Hub;
use crate::fanout::room::Room;
use crate::limits::{SubscriptionPermit, UserShare};
use crate::ws::close_code::CloseCode;
use crate::ws::frames::Frames;
use crate::ws::protocol::{SuccessFields, success};
use crate::ws::send_queue::SendQueue;

/// A client that missed more changes than this resyncs.
const MAX_REPLAY: i64 = 1_000;
/// The length of the first page, whose changes may be long.
const FIRST_PAGE_LENGTH: i64 = 64;

/// A request to subscribe a connection to a room.
pub(crate) struct Subscription {
    pub(crate) send_queue: Arc<SendQueue>,
    pub(crate) user_id: UserId,
    pub(crate) room_id: RoomId,
    pub(crate) after_seq: Option<i64>,
    pub(crate) reference: Option<String>,
    pub(crate) turn: Turn,
    /// Counts the subscription as one of its user; none if it exists already.
    pub(crate) permit: Option<Arc<SubscriptionPermit>>,
}

/// When a subscription may read from messaging.
pub(crate) enum Turn {
    /// With a permit: first one of the user, so that no user fills the queue for the second, which
    /// all users share.
    Shared(Arc<UserShare>),
    /// At once. For the synthetic probe, so that no storm holds it up.
    AtOnce,
}

/// The permits of a subscription that reads from messaging.
type ReplayPermit<'a> = (SemaphorePermit<'a>, Option<SemaphorePermit<'a>>);

impl Hub {
    /// Subscribes a connection to a room. Queues the answer, the missed changes and the live ones,
    /// in this order. An error is left for the caller to send.
    pub(crate) async fn subscribe(&self, new: &Subscription) -> Result<(), ErrorCode> {
        loop {
            let permit = self.first_permit(new).await;
            let was_live = self.join(new);
            let start = self.messaging_client.subscribe(new.room_id, new.user_id).answer().await;
            let result = match start {
                Ok(start) if was_live => {
                    if self.confirm(new, &start, false) {
                        return Ok(());
                    }
                    // The membership ended before the answer. The next check finds a newer one.
                    continue;
                }
                Ok(start) => self.start(new, start, permit).await,
                // An existing subscription stays while the membership cannot be checked.
                Err(ErrorCode::Unavailable) if was_live => return Err(ErrorCode::Unavailable),
                Err(code) => Err(code),
            };
            if result.is_err() {
                self.leave(&mut self.rooms(), new.room_id, new.send_queue.id);
            }
            return result;
        }
    }

    /// Ends a subscription, if there is one. No event of the room is queued behind the answer.
    pub(crate) fn unsubscribe(&self, send_queue: &SendQueue, room_id: RoomId, answer: Frames) {
        let mut rooms = self.rooms();
        self.leave(&mut rooms, room_id, send_queue.id);
        send_queue.push(answer);
    }

    /// Returns true if a connection has a subscription to a room.
    pub(crate) fn is_subscribed(&self, connection_id: u64, room_id: RoomId) -> bool {
        self.rooms().get(&room_id).is_some_and(|room| room.has(connection_id))
    }

    /// Waits for the permits to subscribe. A connection that is live in the room reads nothing, and
    /// needs only that of its user.
    async fn first_permit<'a>(&'a self, new: &'a Subscription) -> Option<ReplayPermit<'a>> {
        let is_live_in = |room: &Room| room.is_live(new.send_queue.id);
        let is_live = self.rooms().get(&new.room_id).is_some_and(is_live_in);
        self.permit(new, !is_live).await
    }

    /// Waits for the permits to read missed changes.
    async fn replay_permit<'a>(&'a self, new: &'a Subscription) -> Option<ReplayPermit<'a>> {
        self.permit(new, true).await
    }

    async fn permit<'a>(
        &'a self,
        new: &'a Subscription,
        will_read: bool,
    ) -> Option<ReplayPermit<'a>> {
        let Turn::Shared(user_share) = &new.turn else { return None };
        let of_user = user_share.begin_subscription().await?;
        let of_all = if will_read { self.replay_permits.acquire().await.ok() } else { None };
        Some((of_user, of_all))
    }

    /// Adds the connection to the room. Returns whether it is live there already.
    fn join(&self, new: &Subscription) -> bool {
        let mut rooms = self.rooms();
        let room = rooms
            .entry(new.room_id)
            .or_insert_with(|| Room::new(&self.send_budget, &self.flush_workers));
        if room.owner.is_none() {
            room.owner = self.messaging_client.owner(new.room_id);
        }
        room.join(&new.send_queue, new.user_id, new.permit.clone());
        room.is_live(new.send_queue.id)
    }

    /// Confirms a new subscription, replays what was missed and makes it live.
    async fn start(
        &self,
        new: &Subscription,
        start: Subscribed,
        permit: Option<ReplayPermit<'_>>,
    ) -> Result<(), ErrorCode> {
        let last_seq = start.last_seq;
        let missed = new.after_seq.map(|after_seq| last_seq - after_seq);
        let resync = missed.is_some_and(|missed| !(0..=MAX_REPLAY).contains(&missed));
        let after_seq = new.after_seq.filter(|_| !resync).unwrap_or(last_seq);
        // Read before the answer, so that an error of the store refuses the subscription.
        let first_page = self
            .change_pages
            .read_for_replay(new.room_id, after_seq, last_seq, FIRST_PAGE_LENGTH)
            .await?;
        drop(permit);
        if !self.confirm(new, &start, resync) {
            return Err(ErrorCode::NotAMember);
        }
        if self.replay(new, first_page, last_seq).await.is_err() {
            // The answer is queued already. The client comes back with the last `seq` it has seen.
            new.send_queue.close(CloseCode::TRY_AGAIN);
        }
        Ok(())
    }

    fn confirm(&self, new: &Subscription, start: &Subscribed, resync: bool) -> bool {
        let fields = SuccessFields {
            room_id: Some(new.room_id.get()),
            head_seq: Some(start.last_seq),
            resync,
            ..SuccessFields::default()
        };
        let sentence = format!("Subscribed to room {}", new.room_id);
        let answer = success(new.reference.as_deref(), &sentence, fields);
        self.rooms().get_mut(&new.room_id).is_some_and(|room| {
            let (last_seq, room_version) = (start.last_seq, start.room_version);
            let is_confirmed = room.confirm(new.send_queue.id, last_seq, room_version, answer);
            self.start_backfill(new.room_id, room);
            is_confirmed
        })
    }

    /// Replays the changes up to `last_seq` as fast as the client reads, and makes the subscriber
    /// live. Stops early if the subscription ends.
    async fn replay(
        &self,
        new: &Subscription,
        mut page: ChangePage,
        mut last_seq: i64,
    ) -> Result<(), ErrorCode> {
        let (room_id, id) = (new.room_id, new.send_queue.id);
        loop {
            let next_length = page.next_length();
            for (_, frame) in page.changes {
                new.send_queue.has_space().await;
                if !self.rooms().get(&room_id).is_some_and(|room| room.replay(id, &frame)) {
                    return Ok(());
                }
            }
            new.send_queue.has_space().await;
            if page.complete_up_to >= last_seq {
                let mut rooms = self.rooms();
                match rooms.get_mut(&room_id).and_then(|room| room.go_live(id, last_seq)) {
                    Some(further) => last_seq = further,
                    None => return Ok(()),
                }
            }
            let _permit = self.replay_permit(new).await;
            let after_seq = page.complete_up_to;
            page = self
                .change_pages
                .read_for_replay(room_id, after_seq, last_seq, next_length)
                .await?;
        }
    }
}
