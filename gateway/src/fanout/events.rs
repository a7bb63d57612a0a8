//! Delivers what the streams bring to the rooms of this gateway.
//!
//! A room's changes leave in `seq` order, once each and without gaps, in whatever order the streams
//! bring them: see [`Room`](super::room::Room).

use std::collections::{HashMap, HashSet};

use parlance_core::{ErrorCode, RoomId, Timestamp, UserId};
use parlance_proto::messaging::{AttachResponse, EndReason, Event, MembershipEnd};
use tokio::time::Instant;

use crate::fanout::encode::{Change, EncodedEvent};
use crate::fanout::hub::{Hub, Rooms};
use crate::messaging_client::{EventHandler, Renewal};
use crate::ws::frames::Frames;
use crate::ws::protocol::ServerFrame;

impl EventHandler for Hub {
    async fn on_events(&self, response: AttachResponse) {
        let (events, unknown) = self.encoder.encode_known(response.events);
        self.deliver_later(unknown);
        let mut rooms = self.rooms();
        self.deliver(&mut rooms, events);
        for committed in response.last_seqs {
            let room_id = RoomId::new(committed.room_id);
            if let Some(room) = rooms.get_mut(&room_id) {
                room.note_last_seq(committed.last_seq);
                self.start_backfill(room_id, room);
            }
        }
        for end in &response.ends {
            self.end_membership(&mut rooms, end);
        }
    }

    fn on_renewed(&self, renewals: Vec<Renewal>) {
        let mut by_room: HashMap<RoomId, Vec<Renewal>> = HashMap::new();
        for renewal in renewals {
            by_room.entry(renewal.room_id).or_default().push(renewal);
        }
        for (room_id, renewals) in by_room {
            self.renew_users(room_id, renewals);
        }
    }

    fn on_replicas_changed(&self) {
        self.renewals.note_replicas_changed();
    }
}

impl Hub {
    /// Applies the answers to the renewals of a room's users.
    fn renew_users(&self, room_id: RoomId, renewals: Vec<Renewal>) {
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(&room_id) else { return };
        let mut versions = HashMap::new();
        let (mut removed, mut are_gone, mut failed) = (HashSet::new(), HashSet::new(), Vec::new());
        for Renewal { user_id, result, .. } in &renewals {
            match result {
                Ok(subscribed) => {
                    room.note_start(subscribed.last_seq);
                    versions.insert(*user_id, subscribed.room_version);
                }
                Err(ErrorCode::NotAMember) => drop(removed.insert(*user_id)),
                Err(ErrorCode::RoomNotFound) => drop(are_gone.insert(*user_id)),
                // The membership is unknown for now: delivery goes on, and a later round renews
                // again.
                Err(_) => failed.push(*user_id),
            }
        }
        room.confirm_users(&versions);
        room.remove_users(&removed, &unsubscribed(room_id, EndReason::Removed));
        room.remove_users(&are_gone, &unsubscribed(room_id, EndReason::RoomDeleted));
        if failed.len() < renewals.len()
            && let Some(previous) = room.previous_owner.take()
        {
            // The stream to the new owner replica brings the events of the room now.
            self.messaging_client.release(room_id, previous);
        }
        if !failed.is_empty() {
            room.to_renew.append(&mut failed);
            self.renewals.retry(room_id, room);
        }
        self.start_backfill(room_id, room);
        self.drop_if_empty(&mut rooms, room_id);
    }

    /// Delivers events that name users who are not cached, when they are looked up. Their rooms
    /// wait for it, and the stream does not: a room holds back later changes, and reads these from
    /// the store if it takes long.
    fn deliver_later(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let Ok(permit) = self.look_up_permits.clone().try_acquire_owned() else {
            let events = self.encoder.encode_now(events, HashMap::new());
            return self.deliver(&mut self.rooms(), events);
        };
        let hub = self.clone();
        self.lifecycle.spawn(async move {
            let events = hub.encoder.encode(events).await;
            hub.deliver(&mut hub.rooms(), events);
            drop(permit);
        });
    }

    fn deliver(&self, rooms: &mut Rooms, events: Vec<EncodedEvent>) {
        let mut changes: HashMap<RoomId, Vec<Change>> = HashMap::new();
        let mut created = Vec::new();
        let now = Instant::now();
        // Recorded spans end when the events are in the queues.
        let mut spans = Vec::new();
        for mut event in events {
            let Some(room) = rooms.get_mut(&event.room_id) else { continue };
            created.extend(event.created_at);
            if event.span.is_recorded() {
                event.span.set("parlance.subscribers", room.subscribers() as i64);
                spans.push(event.span);
            }
            match event.typing {
                None => changes.entry(event.room_id).or_default().push((event.seq, event.frame)),
                Some(typist) => room.send_typing(&event.frame, typist, now),
            }
        }
        for (room_id, changes) in changes {
            if let Some(room) = rooms.get_mut(&room_id) {
                room.on_changes(changes);
                self.start_backfill(room_id, room);
            }
        }
        self.record_delays(&created);
    }

    /// Records the time of messages from the commit to the send queues. Postgres sets the time of
    /// creation, so a difference between the clocks counts as delay.
    fn record_delays(&self, created: &[Timestamp]) {
        let now = self.clock.now().as_micros();
        for created_at in created {
            let micros = now.saturating_sub(created_at.as_micros()).max(0);
            self.delays.record(micros as f64 / 1e6, &[]);
        }
    }

    fn end_membership(&self, rooms: &mut Rooms, end: &MembershipEnd) {
        let room_id = RoomId::new(end.room_id);
        if let Some(room) = rooms.get_mut(&room_id) {
            let notice = unsubscribed(room_id, end.reason());
            room.end_membership(end.user_id.map(UserId::new), end.room_version, &notice);
            self.drop_if_empty(rooms, room_id);
        }
    }
}

fn unsubscribed(room_id: RoomId, reason: EndReason) -> Frames {
    let reason = match reason {
        EndReason::Left => "left",
        EndReason::Removed | EndReason::Unspecified => "removed",
        EndReason::RoomDeleted => "room_deleted",
    };
    ServerFrame::Unsubscribed { room_id: room_id.get(), reason }.encode()
}
