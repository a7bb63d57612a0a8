//! A sender: messages with a `client_msg_id` each, sent again at any gateway until they are
//! answered. Most senders wait for the answer before they send the next message. Some send several
//! messages at once over one connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use parlance_client::{Error, WebSocket};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::phase::{Phase, Phases, reached};
use super::world::SharedWorld;
use crate::connection;
use crate::history::{Change, ChangeKind, Send, SendResult};

/// How the last message of each room begins.
pub const FINAL_MESSAGE: &str = "end-of-room-";

/// Longer than the gateway takes to answer `unavailable`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// One of so many senders sends bursts.
const BURST_SENDERS: usize = 3;
/// Messages of a burst.
const BURST: usize = 8;

struct Sender {
    world: SharedWorld,
    user: usize,
    rng: StdRng,
    socket: Option<WebSocket>,
    sends: Vec<Send>,
}

/// A message that needs an answer.
struct PendingMessage {
    key: String,
    attempts: u32,
    result: SendResult,
}

/// Sends to the rooms of a user until the run finishes. Returns all messages, in order.
pub(super) async fn run(
    world: SharedWorld,
    user: usize,
    mean_interval: Duration,
    rng: StdRng,
    phases: Phases,
) -> Vec<Send> {
    let mut rooms = world.rooms_of(user);
    let mut sender = Sender::new(world, user, rng);
    let mut finishing = phases.clone();
    let mut over = phases;
    let burst = if user.is_multiple_of(BURST_SENDERS) { BURST } else { 1 };
    while !rooms.is_empty() {
        let interval = mean_interval.mul_f64(burst as f64 * sender.rng.random_range(0.0..2.0));
        tokio::select! {
            () = reached(&mut finishing, Phase::Finishing) => break,
            () = sleep(interval) => {}
        }
        let room = rooms[sender.rng.random_range(0..rooms.len())];
        let first = sender.sends.len();
        let keys = (first..first + burst).map(|number| format!("u{user}-{number}")).collect();
        if sender.deliver(room, keys, &mut over).await.contains(&SendResult::Refused) {
            rooms.retain(|other| *other != room);
        }
    }
    sender.sends
}

/// Sends the final message of a room, which shows subscribers that they have everything.
pub(super) async fn send_final_message(
    world: SharedWorld,
    room: usize,
    rng: StdRng,
    mut over: Phases,
) -> Vec<Send> {
    let (room, owner) = (world.rooms[room].id, world.rooms[room].members[0]);
    let mut sender = Sender::new(world, owner, rng);
    sender.deliver(room, vec![format!("{FINAL_MESSAGE}{room}")], &mut over).await;
    sender.sends
}

impl Sender {
    fn new(world: SharedWorld, user: usize, rng: StdRng) -> Self {
        Self { world, user, rng, socket: None, sends: Vec::new() }
    }

    /// Sends a burst until all of it is answered, or the run is over.
    async fn deliver(
        &mut self,
        room: i64,
        keys: Vec<String>,
        over: &mut Phases,
    ) -> Vec<SendResult> {
        let pending = |key| PendingMessage { key, attempts: 0, result: SendResult::Unanswered };
        let mut messages: Vec<PendingMessage> = keys.into_iter().map(pending).collect();
        tokio::select! {
            () = self.send_until_answered(room, &mut messages) => {}
            () = reached(over, Phase::Over) => {}
        }
        let results = messages.iter().map(|message| message.result).collect();
        let burst = self.sends.len();
        let sender = self.world.users[self.user].user_id;
        for PendingMessage { key, attempts, result } in messages {
            let mut change = None;
            if let SendResult::Acknowledged { message, .. } = result {
                self.world.counters.acknowledged.fetch_add(1, Ordering::Relaxed);
                // After several attempts one may still be in flight, and the key of a deleted
                // message is free again.
                if attempts == 1 && !key.starts_with(FINAL_MESSAGE) {
                    change = self.maybe_change(message, &key).await;
                }
            }
            self.sends.push(Send { sender, room, key, burst, attempts, result, change });
        }
        results
    }

    async fn send_until_answered(&mut self, room: i64, messages: &mut [PendingMessage]) {
        while messages.iter().any(PendingMessage::is_unanswered) {
            if !self.send_once(room, messages).await {
                self.socket = None;
            }
            if messages.iter().any(PendingMessage::is_unanswered) {
                sleep(Duration::from_millis(self.rng.random_range(50..300))).await;
            }
        }
    }

    /// Sends the unanswered messages in order over one connection and takes the answers as long as
    /// they come. Returns false if the connection cannot be used any more.
    async fn send_once(&mut self, room: i64, messages: &mut [PendingMessage]) -> bool {
        let socket = self.connection().await;
        let mut waiting: Vec<&mut PendingMessage> =
            messages.iter_mut().filter(|message| message.is_unanswered()).collect();
        for message in &mut waiting {
            message.attempts += 1;
            if socket.send(&message.frame(room)).await.is_err() {
                return false;
            }
        }
        while !waiting.is_empty() {
            let Ok(Ok(answer)) = timeout(ANSWER_TIMEOUT, socket.next()).await else { return false };
            let answered = waiting.iter().position(|message| answer["ref"] == message.reference());
            if let Some(index) = answered {
                waiting.swap_remove(index).take_answer(&answer);
            }
        }
        true
    }

    async fn connection(&mut self) -> &mut WebSocket {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let account = &self.world.users[self.user];
                connection::connect_any(&self.world.target.gateways, account, &mut self.rng).await
            }
        };
        self.socket.insert(socket)
    }

    /// Edits or deletes a few messages, once. The result may stay unknown.
    async fn maybe_change(&mut self, message: i64, key: &str) -> Option<Change> {
        let kind = match self.rng.random_range(0..100) {
            0..3 => ChangeKind::Edit,
            3..5 => ChangeKind::Delete,
            _ => return None,
        };
        let frame = match kind {
            ChangeKind::Edit => json!({
                "type": "edit_message", "message_id": message, "content": ChangeKind::edited(key),
            }),
            ChangeKind::Delete => json!({"type": "delete_message", "message_id": message}),
        };
        let socket = self.connection().await;
        let answer = timeout(ANSWER_TIMEOUT, socket.request(frame)).await;
        if !matches!(answer, Ok(Ok(_) | Err(Error::Frame(_)))) {
            self.socket = None;
        }
        let is_confirmed = matches!(answer, Ok(Ok(answer)) if answer["type"] == "success");
        Some(Change { kind, is_confirmed })
    }
}

impl PendingMessage {
    fn is_unanswered(&self) -> bool {
        self.result == SendResult::Unanswered
    }

    /// Differs for each attempt.
    fn reference(&self) -> String {
        format!("{}#{}", self.key, self.attempts)
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

    /// Errors other than `not_a_member`, such as `unavailable`, leave the message unanswered.
    fn take_answer(&mut self, answer: &Value) {
        if answer["code"] == "not_a_member" {
            self.result = SendResult::Refused;
        } else if let (Some(message), Some(seq)) =
            (answer["message_id"].as_i64(), answer["seq"].as_i64())
        {
            self.result = SendResult::Acknowledged { message, seq };
        }
    }
}
