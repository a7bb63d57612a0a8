//! A sender: messages with a `client_msg_id` each, sent again at any gateway until they are
//! answered. Most senders wait for the answer before they send the next one; some send a few at
//! once over one connection.

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
/// One of so many senders sends several messages at once.
const PIPELINING: usize = 3;
/// How many that are.
const BURST: usize = 8;

struct Sender {
    world: SharedWorld,
    person: usize,
    urls: Vec<String>,
    rng: StdRng,
    socket: Option<Socket>,
    sends: Vec<Send>,
}

/// A message that has to be answered.
struct Letter {
    key: String,
    tries: u32,
    outcome: Outcome,
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
    let at_once = if person.is_multiple_of(PIPELINING) { BURST } else { 1 };
    loop {
        let pause = mean_pause.mul_f64(at_once as f64 * sender.rng.random_range(0.0..2.0));
        tokio::select! {
            () = reached(&mut finishing, Phase::Finishing) => break,
            () = sleep(pause) => {}
        }
        if rooms.is_empty() {
            break;
        }
        let room = rooms[sender.rng.random_range(0..rooms.len())];
        let first = sender.sends.len();
        let keys = (first..first + at_once).map(|number| format!("p{person}-{number}"));
        if sender.deliver(room, keys.collect(), &mut over).await.contains(&Outcome::Refused) {
            rooms.retain(|other| *other != room);
        }
    }
    sender.sends
}

/// Sends the last message of a room, by which subscribers know that they have everything.
pub(crate) async fn end_room(
    world: SharedWorld,
    index: usize,
    rng: StdRng,
    mut over: Phases,
) -> Vec<Send> {
    let (room, owner) = (world.rooms[index].0, world.rooms[index].1[0]);
    let mut sender = Sender::new(world, owner, rng);
    sender.deliver(room, vec![format!("{END}{room}")], &mut over).await;
    sender.sends
}

impl Sender {
    fn new(world: SharedWorld, person: usize, rng: StdRng) -> Self {
        let urls = world.api.socket_urls();
        Self { world, person, urls, rng, socket: None, sends: Vec::new() }
    }

    /// Sends messages together until all of them are answered, or the run is over.
    async fn deliver(&mut self, room: i64, keys: Vec<String>, over: &mut Phases) -> Vec<Outcome> {
        let letter = |key| Letter { key, tries: 0, outcome: Outcome::Unanswered };
        let mut letters: Vec<Letter> = keys.into_iter().map(letter).collect();
        tokio::select! {
            () = self.send_until_answered(room, &mut letters) => {}
            () = reached(over, Phase::Over) => {}
        }
        let burst = self.sends.len();
        for Letter { key, tries, outcome } in &letters {
            let mut change = None;
            if let Outcome::Acked { message, .. } = outcome {
                self.world.progress.acked.fetch_add(1, Ordering::Relaxed);
                // After several tries one may still be under way, and the key of a deleted message
                // is free again.
                if *tries == 1 && !key.starts_with(END) {
                    change = self.perhaps_change(*message, key).await;
                }
            }
            let sender = self.world.people[self.person].id;
            let (key, tries, outcome) = (key.clone(), *tries, *outcome);
            self.sends.push(Send { sender, room, key, burst, tries, outcome, change });
        }
        letters.iter().map(|letter| letter.outcome).collect()
    }

    async fn send_until_answered(&mut self, room: i64, letters: &mut [Letter]) {
        loop {
            self.send_once(room, letters).await;
            if letters.iter().all(|letter| letter.outcome != Outcome::Unanswered) {
                return;
            }
            sleep(Duration::from_millis(self.rng.random_range(50..300))).await;
        }
    }

    /// Sends what is not answered over one connection, in order, and takes up the answers for as
    /// long as they come.
    async fn send_once(&mut self, room: i64, letters: &mut [Letter]) {
        let mut socket = self.connection().await;
        let is_unanswered = |letter: &&mut Letter| letter.outcome == Outcome::Unanswered;
        let mut waiting: Vec<&mut Letter> = letters.iter_mut().filter(is_unanswered).collect();
        for letter in &mut waiting {
            letter.tries += 1;
            if socket.send(&letter.frame(room)).await.is_err() {
                return;
            }
        }
        while !waiting.is_empty() {
            let Ok(Ok(answer)) = timeout(ANSWER_DEADLINE, socket.next()).await else { return };
            if let Some(index) =
                waiting.iter().position(|letter| answer["ref"] == letter.reference())
            {
                waiting.swap_remove(index).take_answer(&answer);
            }
        }
        self.socket = Some(socket);
    }

    async fn connection(&mut self) -> Socket {
        match self.socket.take() {
            Some(socket) => socket,
            None => {
                Socket::open_any(&self.urls, &self.world.people[self.person], &mut self.rng).await
            }
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
        Some(Change {
            kind,
            is_confirmed: answer.is_some_and(|answer| answer["type"] == "success"),
        })
    }

    /// Sends a frame; the answer with its `ref`, or `None` when the connection failed or nothing
    /// came in time.
    async fn ask(&mut self, frame: &Value) -> Option<Value> {
        let mut socket = self.connection().await;
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

impl Letter {
    /// Each try has its own.
    fn reference(&self) -> String {
        format!("{}#{}", self.key, self.tries)
    }

    fn frame(&self, room: i64) -> Value {
        json!({
            "type": "send_message",
            "room_id": room,
            "content": self.key,
            "client_msg_id": self.key,
            "ref": self.reference(),
        })
    }

    /// Anything but an ack or a refusal, such as `unavailable`, leaves it unanswered.
    fn take_answer(&mut self, answer: &Value) {
        if answer["code"] == "not_a_member" {
            self.outcome = Outcome::Refused;
        } else if let (Some(message), Some(seq)) =
            (answer["message_id"].as_i64(), answer["seq"].as_i64())
        {
            self.outcome = Outcome::Acked { message, seq };
        }
    }
}
