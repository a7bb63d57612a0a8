//! A subscriber: one connection at any gateway, subscribed to all rooms of one person, that comes
//! back with `after_seq`.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use super::socket::Socket;
use super::{END, Phase, Phases, SharedWorld, reached};
use crate::history::{Entry, Event, View, What};

/// Before a room is asked for again that could not be subscribed to.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

struct Subscriber {
    world: SharedWorld,
    person: usize,
    views: Vec<Following>,
}

/// A room that is followed.
struct Following {
    view: View,
    /// The last number seen: where to go on after a reconnect.
    cursor: i64,
    /// Whether the person is known to be no member any more.
    has_ended: bool,
}

/// Follows the person's rooms until the run is over; what was seen of each.
pub(crate) async fn run(
    world: SharedWorld,
    person: usize,
    mut rng: StdRng,
    mut phases: Phases,
) -> Vec<View> {
    let user = world.people[person].id;
    let follow = |room| Following {
        view: View { user, room, entries: Vec::new() },
        cursor: 0,
        has_ended: false,
    };
    let views = world.rooms_of(person).into_iter().map(follow).collect();
    let mut subscriber = Subscriber { world, person, views };
    tokio::select! {
        () = reached(&mut phases, Phase::Over) => {}
        () = subscriber.follow_forever(&mut rng) => {}
    }
    subscriber.views.into_iter().map(|following| following.view).collect()
}

impl Subscriber {
    async fn follow_forever(&mut self, rng: &mut StdRng) {
        let urls = self.world.api.socket_urls();
        loop {
            let mut socket = Socket::open_any(&urls, &self.world.people[self.person], rng).await;
            // Every end of a connection is one more reason to come back.
            let _ = self.follow(&mut socket).await;
            sleep(Duration::from_millis(rng.random_range(50..300))).await;
        }
    }

    async fn follow(&mut self, socket: &mut Socket) -> anyhow::Result<()> {
        let mut wanted: BTreeSet<i64> = self.open_rooms().collect();
        loop {
            for room in std::mem::take(&mut wanted) {
                let after_seq = self.of(room).map_or(0, |following| following.cursor);
                let subscribe = json!({"type": "subscribe", "room_id": room, "after_seq": after_seq, "ref": room.to_string()});
                socket.send(&subscribe).await?;
            }
            let mut retry = std::pin::pin!(sleep(RETRY_PAUSE));
            loop {
                tokio::select! {
                    frame = socket.next() => wanted.extend(self.take(&frame?)),
                    () = &mut retry, if !wanted.is_empty() => break,
                }
            }
        }
    }

    fn open_rooms(&self) -> impl Iterator<Item = i64> {
        self.views
            .iter()
            .filter(|following| !following.has_ended)
            .map(|following| following.view.room)
    }

    fn of(&mut self, room: i64) -> Option<&mut Following> {
        self.views.iter_mut().find(|following| following.view.room == room)
    }

    /// Takes a frame up; a room that has to be asked for again.
    fn take(&mut self, frame: &Value) -> Option<i64> {
        match frame["type"].as_str()? {
            "success" if frame["resync"] == true => {
                let head = frame["head_seq"].as_i64()?;
                let following = self.of(frame["room_id"].as_i64()?)?;
                following.cursor = head;
                following.view.entries.push(Entry::Resync { head });
                None
            }
            "error" => {
                let room = frame["ref"].as_str()?.parse().ok()?;
                if frame["code"] == "not_a_member" {
                    self.of(room)?.has_ended = true;
                    return None;
                }
                Some(room)
            }
            "message" | "message_edited" | "message_deleted" => self.record(frame),
            // Whoever is removed stays connected: nothing of the room may come any more.
            "unsubscribed" => {
                self.of(frame["room_id"].as_i64()?)?.has_ended = true;
                None
            }
            _ => None,
        }
    }

    /// Records an event; never asks for anything.
    fn record(&mut self, frame: &Value) -> Option<i64> {
        let delivered_at = self.world.clock.now().as_micros();
        let message = &frame["message"];
        let room = frame["room_id"].as_i64().or_else(|| message["room_id"].as_i64())?;
        let (what, seq, id) = match frame["type"].as_str()? {
            "message_deleted" => (What::Deleted, &frame["seq"], &frame["message_id"]),
            "message" => {
                let created_at = micros(&message["created_at"])?;
                (
                    What::Created { content: content(message)?, created_at },
                    &message["seq"],
                    &message["id"],
                )
            }
            _ => {
                let edited_at = micros(&message["updated_at"])?;
                (
                    What::Edited { content: content(message)?, edited_at },
                    &frame["seq"],
                    &message["id"],
                )
            }
        };
        let is_end = matches!(&what, What::Created { content, .. } if content.starts_with(END));
        let event = Event { seq: seq.as_i64()?, message: id.as_i64()?, delivered_at, what };
        let following = self.of(room)?;
        following.cursor = following.cursor.max(event.seq);
        following.view.entries.push(Entry::Event(event));
        self.world.progress.delivered.fetch_add(1, Ordering::Relaxed);
        self.world.progress.ends_seen.fetch_add(usize::from(is_end), Ordering::Relaxed);
        None
    }
}

fn content(message: &Value) -> Option<String> {
    message["content"].as_str().map(str::to_owned)
}

fn micros(time: &Value) -> Option<i64> {
    let time = OffsetDateTime::parse(time.as_str()?, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()
}
