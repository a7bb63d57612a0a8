//! What the interceptor does to frames. It knows frames, but no connections.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use parlance_chaos::clients::FINAL_MESSAGE;
use serde_json::{Value, json};

/// Longer than the 5 s within which subscribers must be live again.
const HOLD: Duration = Duration::from_millis(5_500);

/// How frames are tampered with. The victim is the subscriber that gets the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tampering {
    /// Drops every third message to the victim.
    Drop,
    /// Sends every third message to the victim twice.
    Repeat,
    /// Sends every third message to the victim after its successor.
    Reorder,
    /// Exchanges the numbers of every third message to the victim and its successor.
    ExchangeNumbers,
    /// Drops `unsubscribed`, and sends removed members the events of other subscribers.
    LeakToRemoved,
    /// Drops one answer to a send.
    DropOneAck,
    /// Drops all answers to one send, however often it is repeated.
    DropAcksOfOneSend,
    /// Exchanges two messages that a client sends without waiting in between.
    ReorderSends,
    /// Delays everything to the victim.
    Delay,
    /// Answers invalid frames with success.
    AcceptInvalid,
    /// Disconnects every client after a while, and keeps the connection to the gateway.
    KeepConnections,
}

/// A frame on its way to a client.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The number of the connection.
    pub(super) connection: usize,
    pub(super) delay: Duration,
    pub(super) frame: Value,
}

impl Outgoing {
    fn now(connection: usize, frame: Value) -> Self {
        Self { connection, delay: Duration::ZERO, frame }
    }
}

/// The state of a tampering, for all connections of one run.
#[derive(Debug, Default)]
pub(super) struct State {
    tampering: Option<Tampering>,
    /// How often frames were tampered with.
    pub(super) count: usize,
    victim: Option<usize>,
    /// By room: a message that waits for its successor.
    held: HashMap<i64, Value>,
    /// The `client_msg_id` of the send whose answers are dropped.
    unanswered: Option<Value>,
    leak: Leak,
}

/// All events by room and number, the last number of each connection and room, and the connections
/// of removed members.
#[derive(Debug, Default)]
struct Leak {
    events: BTreeMap<(i64, i64), Value>,
    delivered: HashMap<(usize, i64), i64>,
    removed: HashSet<(usize, i64)>,
}

impl State {
    pub(super) fn new(tampering: Option<Tampering>) -> Self {
        Self { tampering, ..Self::default() }
    }

    /// Returns what is sent instead of a frame of the gateway.
    pub(super) fn on_gateway_frame(&mut self, connection: usize, frame: Value) -> Vec<Outgoing> {
        let now = |frame| Outgoing::now(connection, frame);
        let Some(tampering) = self.tampering else { return vec![now(frame)] };
        match tampering {
            Tampering::Drop
            | Tampering::Repeat
            | Tampering::Reorder
            | Tampering::ExchangeNumbers
                if self.is_for_victim(connection, &frame) =>
            {
                self.falsify(tampering, frame).into_iter().map(now).collect()
            }
            Tampering::Delay if self.is_for_victim(connection, &frame) => {
                self.count += 1;
                vec![Outgoing { delay: HOLD, ..now(frame) }]
            }
            Tampering::DropOneAck | Tampering::DropAcksOfOneSend
                if self.is_dropped(tampering, &frame) =>
            {
                Vec::new()
            }
            Tampering::LeakToRemoved => self.leak(connection, frame),
            Tampering::AcceptInvalid
                if frame["code"].as_str().is_some_and(|code| code.starts_with("invalid_")) =>
            {
                self.count += 1;
                vec![now(json!({"type": "success", "ref": frame["ref"]}))]
            }
            _ => vec![now(frame)],
        }
    }

    /// Remembers where a subscription begins: after what its client got on an earlier connection.
    pub(super) fn on_client_frame(&mut self, connection: usize, frame: &str) {
        if !self.is(Tampering::LeakToRemoved) {
            return;
        }
        let frame: Value = serde_json::from_str(frame).unwrap_or(Value::Null);
        if frame["type"] == "subscribe"
            && let (Some(room), Some(seq)) =
                (frame["room_id"].as_i64(), frame["after_seq"].as_i64())
        {
            self.leak.delivered.insert((connection, room), seq);
        }
    }

    /// True if two successive frames of a client are to be exchanged.
    pub(super) fn exchanges(&mut self, first: &str, second: &str) -> bool {
        let parse = |text| serde_json::from_str(text).unwrap_or(Value::Null);
        let (first, second): (Value, Value) = (parse(first), parse(second));
        let are_sends = first["type"] == "send_message" && second["type"] == "send_message";
        let are_exchanged = are_sends && first["room_id"] == second["room_id"];
        self.count += usize::from(are_exchanged);
        are_exchanged
    }

    pub(super) fn is(&self, tampering: Tampering) -> bool {
        self.tampering == Some(tampering)
    }

    fn is_for_victim(&mut self, connection: usize, frame: &Value) -> bool {
        if frame["type"] == "message" {
            self.victim.get_or_insert(connection);
        }
        self.victim == Some(connection)
    }

    fn falsify(&mut self, tampering: Tampering, frame: Value) -> Vec<Value> {
        let Some((room, seq)) = room_and_seq(&frame) else { return vec![frame] };
        if let Some(held) = self.held.remove(&room) {
            return self.release(tampering, held, frame);
        }
        // Every run needs the final message of a room.
        if frame["type"] != "message" || is_final(&frame) || seq % 3 != 0 {
            return vec![frame];
        }
        match tampering {
            Tampering::Drop => {
                self.count += 1;
                Vec::new()
            }
            Tampering::Repeat => {
                self.count += 1;
                vec![frame.clone(), frame]
            }
            _ => {
                self.held.insert(room, frame);
                Vec::new()
            }
        }
    }

    /// Exchanges two messages, or their numbers. An edit or a deletion must not overtake its
    /// message, so it only ends the wait.
    fn release(&mut self, tampering: Tampering, mut held: Value, mut next: Value) -> Vec<Value> {
        if next["type"] != "message" {
            return vec![held, next];
        }
        self.count += 1;
        if tampering == Tampering::Reorder {
            return vec![next, held];
        }
        let seq = held["message"]["seq"].take();
        held["message"]["seq"] = next["message"]["seq"].take();
        next["message"]["seq"] = seq;
        vec![next, held]
    }

    fn is_dropped(&mut self, tampering: Tampering, frame: &Value) -> bool {
        let drops_all = tampering == Tampering::DropAcksOfOneSend;
        let is_dropped = match &self.unanswered {
            _ if frame["type"] != "ack" => false,
            None => true,
            Some(key) => drops_all && *key == frame["client_msg_id"],
        };
        if is_dropped {
            self.count += 1;
            self.unanswered = Some(frame["client_msg_id"].clone());
        }
        is_dropped
    }

    fn leak(&mut self, connection: usize, frame: Value) -> Vec<Outgoing> {
        let leak = &mut self.leak;
        if frame["type"] == "unsubscribed" {
            let room = frame["room_id"].as_i64().unwrap_or_default();
            leak.removed.insert((connection, room));
            return Vec::new();
        }
        let Some((room, seq)) = room_and_seq(&frame) else {
            return vec![Outgoing::now(connection, frame)];
        };
        leak.delivered.insert((connection, room), seq);
        leak.events.insert((room, seq), frame.clone());
        let leaked = leak.missing(room);
        self.count += leaked.len();
        std::iter::once(Outgoing::now(connection, frame)).chain(leaked).collect()
    }
}

impl Leak {
    /// Returns the known events of a room that removed members have not got yet.
    fn missing(&mut self, room: i64) -> Vec<Outgoing> {
        let mut missing = Vec::new();
        for key in self.removed.iter().filter(|key| key.1 == room) {
            let last = self.delivered.get(key).copied().unwrap_or(0);
            for ((_, seq), frame) in self.events.range((room, last + 1)..=(room, i64::MAX)) {
                missing.push(Outgoing::now(key.0, frame.clone()));
                self.delivered.insert(*key, *seq);
            }
        }
        missing
    }
}

/// The room and the number of an event.
fn room_and_seq(frame: &Value) -> Option<(i64, i64)> {
    let message = &frame["message"];
    let (room, seq) = match frame["type"].as_str()? {
        "message" => (&message["room_id"], &message["seq"]),
        "message_edited" => (&message["room_id"], &frame["seq"]),
        "message_deleted" => (&frame["room_id"], &frame["seq"]),
        _ => return None,
    };
    Some((room.as_i64()?, seq.as_i64()?))
}

fn is_final(frame: &Value) -> bool {
    let content = frame["message"]["content"].as_str();
    content.is_some_and(|content| content.starts_with(FINAL_MESSAGE))
}
