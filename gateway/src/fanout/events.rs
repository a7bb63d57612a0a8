//! Delivers what the streams bring to the rooms of this gateway.
//!
//! A room's changes leave in `seq` order, once each and without gaps, in whatever order the streams
//! bring them: see [`Room`](super::room::Room).

use std::collections::HashMap;

use parlance_core::{ErrorCode, RoomId, Timestamp, UserId};
use parlance_proto::messaging::{AttachResponse, EndReason, MembershipEnd};

use crate::fanout::encode::{Change, EncodedEvent};
use crate::fanout::hub::{Hub, Rooms};
use crate::messaging_client::{EventHandler, Renewal};
use crate::ws::frames::Frames;
use crate::ws::protocol::ServerFrame;

impl EventHandler for Hub {
    async fn on_events(&self, response: AttachResponse) {
        let events = self.encoder.encode(response.events).await;
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

    fn on_renewed(&self, renewal: Renewal) {
        let Renewal { room_id, user_id, result } = renewal;
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(&room_id) else { return };
        match result {
            Ok(subscribed) => {
                room.confirm_user(user_id, subscribed.last_seq, subscribed.room_version)
            }
            Err(ErrorCode::NotAMember) => {
                room.remove_user(user_id, &unsubscribed(room_id, EndReason::Removed))
            }
            Err(ErrorCode::RoomNotFound) => {
                room.remove_user(user_id, &unsubscribed(room_id, EndReason::RoomDeleted))
            }
            // The membership is unknown for now: delivery goes on, and the next round renews again.
            Err(_) => room.needs_renewal = true,
        }
        self.start_backfill(room_id, room);
        self.drop_if_empty(&mut rooms, room_id);
    }

    fn on_replicas_changed(&self) {
        self.reassign_rooms();
    }
}

impl Hub {
    fn deliver(&self, rooms: &mut Rooms, events: Vec<EncodedEvent>) {
        let mut changes: HashMap<RoomId, Vec<Change>> = HashMap::new();
        let mut created = Vec::new();
        // Recorded spans end when the events are in the queues.
        let mut spans = Vec::new();
        for mut event in events {
            let Some(room) = rooms.get(&event.room_id) else { continue };
            created.extend(event.created_at);
            if event.span.is_recorded() {
                event.span.set("parlance.subscribers", room.subscribers() as i64);
                spans.push(event.span);
            }
            match event.typing_origin {
                None => changes.entry(event.room_id).or_default().push((event.seq, event.frame)),
                Some(origin) => room.send_typing(&event.frame, origin),
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
