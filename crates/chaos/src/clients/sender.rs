//! A sender: one message after the other, each with a `client_msg_id`, sent again at any gateway until it is answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::socket::Socket;
use super::{END, Phase, Phases, SharedWorld, reached};
use crate::history::{Change, ChangeKind, Outcome, Send};

/// Longer than the gateway takes to say that it does not know.
const ANSWER_DEADLINE: Duration = Duration::from_secs(4);

struct Sender {
    world: SharedWorld,
    person: usize,
    urls: Vec<String>,
    rng: StdRng,
    socket: Option<Socket>,
    sends: Vec<Send>,
}

/// Sends to the person's rooms until the run finishes; all that was sent, in order.
pub(crate) async fn run(
    world: SharedWorld,
    person: usize,
    mean_pause: Duration,
    rng: StdRng,
    phases: Phases,
) -> Vec<Send> {
    let mut rooms = world.rooms_of(person);
    let mut sender = Sender::new(world, person, rng);
    let mut finishing = phases.clone();
    let mut over = phases;
    loop {
        let pause = mean_pause.mul_f64(sender.rng.random_range(0.0..2.0));
        tokio::select! {
            () = reached(&mut finishing, Phase::Finishing) => break,
            () = sleep(pause) => {}
        }
        if rooms.is_empty() {
            break;
        }
        let room = rooms[sender.rng.random_range(0..rooms.len())];
        let key = format!("p{person}-{}", sender.sends.len());
        if sender.deliver(room, key, &mut over).await == Outcome::Refused {
            rooms.retain(|other| *other != room);
        }
    }
    sender.sends
}

/// Sends the last message of a room, by which subscribers know that they have everything.
pub(crate) async fn end_room(world: SharedWorld, index: usize, rng: StdRng, mut over: Phases) -> Vec<Send> {
    let (room, owner) = (world.rooms[index].0, world.rooms[index].1[0]);
    let mut sender = Sender::new(world, owner, rng);
    sender.deliver(room, format!("{END}{room}"), &mut over).await;
    sender.sends
}

impl Sender {
    fn new(world: SharedWorld, person: usize, rng: StdRng) -> Self {
        let urls = world.api.socket_urls();
        Self { world, person, urls, rng, socket: None, sends: Vec::new() }
    }

    /// Sends one message until it is answered, or the run is over.
    async fn deliver(&mut self, room: i64, key: String, over: &mut Phases) -> Outcome {
        let (outcome, tries) = tokio::select! {
            answered = self.send_until_answered(room, &key) => answered,
            () = reached(over, Phase::Over) => (Outcome::Unanswered, 0),
        };
        let mut change = None;
        if let Outcome::Acked { message, .. } = outcome {
            self.world.progress.acked.fetch_add(1, Ordering::Relaxed);
            // After several tries one may still be under way, and the key of a deleted message is free again.
            if tries == 1 && !key.starts_with(END) {
                change = self.perhaps_change(message, &key).await;
            }
        }
        let sender = self.world.people[self.person].id;
        self.sends.push(Send { sender, room, key, outcome, change });
        outcome
    }

    async fn send_until_answered(&mut self, room: i64, key: &str) -> (Outcome, u32) {
        let mut tries = 0;
        loop {
            tries += 1;
            let frame = json!({
                "type": "send_message",
                "room_id": room,
                "content": key,
                "client_msg_id": key,
                "ref": format!("{key}#{tries}"),
            });
            match self.ask(&frame).await {
                Some(answer) if answer["type"] == "ack" => {
                    if let (Some(message), Some(seq)) =
                        (answer["message_id"].as_i64(), answer["seq"].as_i64())
                    {
                        return (Outcome::Acked { message, seq }, tries);
                    }
                }
                Some(answer) if answer["code"] == "not_a_member" => return (Outcome::Refused, tries),
                // `unavailable`, or `rate_limited`.
                Some(_) => {}
                None => self.socket = None,
            }
            sleep(Duration::from_millis(self.rng.random_range(50..300))).await;
        }
    }

    /// Edits or deletes few messages, once: what came of it may stay unknown.
    async fn perhaps_change(&mut self, message: i64, key: &str) -> Option<Change> {
        let kind = match self.rng.random_range(0..100) {
            0..3 => ChangeKind::Edit,
            3..5 => ChangeKind::Delete,
            _ => return None,
        };
        let frame = match kind {
            ChangeKind::Edit => json!({
                "type": "edit_message",
                "message_id": message,
                "content": ChangeKind::edited(key),
                "ref": format!("{key}#edit"),
            }),
            ChangeKind::Delete => {
                json!({"type": "delete_message", "message_id": message, "ref": format!("{key}#delete")})
            }
        };
        let answer = self.ask(&frame).await;
        if answer.is_none() {
            self.socket = None;
        }
        Some(Change { kind, is_confirmed: answer.is_some_and(|answer| answer["type"] == "success") })
    }

    /// Sends a frame; the answer with its `ref`, or `None` when the connection failed or nothing came in time.
    async fn ask(&mut self, frame: &Value) -> Option<Value> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open_any(&self.urls, &self.world.people[self.person], &mut self.rng).await,
        };
        socket.send(frame).await.ok()?;
        let answered = timeout(ANSWER_DEADLINE, async {
            loop {
                let answer = socket.next().await.ok()?;
                if answer["ref"] == frame["ref"] {
                    return Some(answer);
                }
            }
        });
        let answer = answered.await.ok()??;
        self.socket = Some(socket);
        Some(answer)
    }
}
