//! A subscriber: one connection at any gateway, subscribed to all rooms of a user. After each
//! disconnect it reconnects and subscribes with `after_seq`.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use parlance_client::WebSocket;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use super::phase::{Phase, Phases, reached};
use super::sender::FINAL_MESSAGE;
use super::world::SharedWorld;
use crate::connection::{Received, connect_any, receive};
use crate::history::{Entry, Event, EventKind, View};

/// Time before a failed subscription is repeated.
const RETRY_BACKOFF: Duration = Duration::from_millis(200);

struct Subscriber {
    world: SharedWorld,
    user: usize,
    subscriptions: Vec<Subscription>,
}

struct Subscription {
    view: View,
    /// The highest number seen: the `after_seq` of the next subscription.
    last_seq: i64,
    /// True if the gateway has said that the user is no longer a member.
    has_ended: bool,
}

/// Follows the rooms of a user until the run is over. Returns what it saw of each.
pub(super) async fn run(
    world: SharedWorld,
    user: usize,
    mut rng: StdRng,
    mut phases: Phases,
) -> Vec<View> {
    let user_id = world.users[user].user_id;
    let subscription = |room| Subscription {
        view: View { user: user_id, room, entries: Vec::new() },
        last_seq: 0,
        has_ended: false,
    };
    let subscriptions = world.rooms_of(user).into_iter().map(subscription).collect();
    let mut subscriber = Subscriber { world, user, subscriptions };
    tokio::select! {
        () = reached(&mut phases, Phase::Over) => {}
        () = subscriber.follow_forever(&mut rng) => {}
    }
    subscriber.subscriptions.into_iter().map(|subscription| subscription.view).collect()
}

impl Subscriber {
    async fn follow_forever(&mut self, rng: &mut StdRng) {
        loop {
            let world = &self.world;
            let account = &world.users[self.user];
            let mut socket = connect_any(&world.target.gateways, account, rng).await;
            // The client reconnects, whatever ended the connection.
            let _ = self.follow(&mut socket).await;
            sleep(Duration::from_millis(rng.random_range(50..300))).await;
        }
    }

    /// Subscribes to all rooms, and again to those that the gateway refuses for the moment. Returns
    /// when the connection has ended.
    async fn follow(&mut self, socket: &mut WebSocket) -> anyhow::Result<()> {
        let open = self.subscriptions.iter().filter(|subscription| !subscription.has_ended);
        let mut missing: BTreeSet<i64> = open.map(|subscription| subscription.view.room).collect();
        loop {
            for room in std::mem::take(&mut missing) {
                let after_seq = self.subscription(room).map_or(0, |it| it.last_seq);
                let subscribe = json!({
                    "type": "subscribe", "room_id": room, "after_seq": after_seq,
                    "ref": room.to_string(),
                });
                socket.send(&subscribe).await?;
            }
            let mut retry = std::pin::pin!(sleep(RETRY_BACKOFF));
            loop {
                tokio::select! {
                    received = receive(socket.stream()) => match received? {
                        Received::Frame(frame) => missing.extend(self.on_frame(&frame)),
                        Received::Closed(code) => bail!("closed with code {code:?}"),
                    },
                    () = &mut retry, if !missing.is_empty() => break,
                }
            }
        }
    }

    fn subscription(&mut self, room: i64) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.view.room == room)
    }

    /// Handles a frame. Returns a room that must be subscribed to again.
    fn on_frame(&mut self, frame: &Value) -> Option<i64> {
        match frame["type"].as_str()? {
            "success" if frame["resync"] == true => {
                let last_seq = frame["head_seq"].as_i64()?;
                let subscription = self.subscription(frame["room_id"].as_i64()?)?;
                subscription.last_seq = last_seq;
                subscription.view.entries.push(Entry::Resync { last_seq });
            }
            "error" => {
                let room = frame["ref"].as_str()?.parse().ok()?;
                if frame["code"] != "not_a_member" {
                    return Some(room);
                }
                self.subscription(room)?.has_ended = true;
            }
            "message" | "message_edited" | "message_deleted" => self.record(frame)?,
            // The connection stays open. Events of the room that still arrive are recorded.
            "unsubscribed" => self.subscription(frame["room_id"].as_i64()?)?.has_ended = true,
            _ => {}
        }
        None
    }

    /// Records an event, or nothing if the frame is incomplete.
    fn record(&mut self, frame: &Value) -> Option<()> {
        let delivered_at = self.world.clock.now().as_micros();
        let message = &frame["message"];
        let room = frame["room_id"].as_i64().or_else(|| message["room_id"].as_i64())?;
        let content = || message["content"].as_str().map(str::to_owned);
        let (kind, seq, id) = match frame["type"].as_str()? {
            "message_deleted" => (EventKind::Deleted, &frame["seq"], &frame["message_id"]),
            "message" => {
                let created_at = micros(&message["created_at"])?;
                let kind = EventKind::Created { content: content()?, created_at };
                (kind, &message["seq"], &message["id"])
            }
            _ => {
                let edited_at = micros(&message["updated_at"])?;
                let kind = EventKind::Edited { content: content()?, edited_at };
                (kind, &frame["seq"], &message["id"])
            }
        };
        let is_final = matches!(
            &kind, EventKind::Created { content, .. } if content.starts_with(FINAL_MESSAGE)
        );
        let event = Event { seq: seq.as_i64()?, message: id.as_i64()?, delivered_at, kind };
        let subscription = self.subscription(room)?;
        subscription.last_seq = subscription.last_seq.max(event.seq);
        subscription.view.entries.push(Entry::Event(event));
        let counters = &self.world.counters;
        counters.delivered.fetch_add(1, Ordering::Relaxed);
        counters.final_messages.fetch_add(usize::from(is_final), Ordering::Relaxed);
        Some(())
    }
}

pub(super) fn micros(time: &Value) -> Option<i64> {
    let time = OffsetDateTime::parse(time.as_str()?, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()
}
