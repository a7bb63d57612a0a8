//! What a man in the middle does to the frames that pass him. It knows frames, but no sockets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::checker::LIMIT;
use crate::clients::END;

/// Longer than delivery may be away after a fault.
const HOLD: Duration = LIMIT.saturating_add(Duration::from_millis(500));

/// What is done to the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// One subscriber does not get every third message.
    Drop,
    /// One subscriber gets every third message twice.
    Repeat,
    /// One subscriber gets every third message after the one that follows it.
    Swap,
    /// One subscriber gets every third message under the number of the one that follows it, and the
    /// other way round.
    SwapNumbers,
    /// Whoever is removed is not told, and gets what others get.
    LeakToRemoved,
    /// One answer to a send is lost.
    LoseOneAck,
    /// All answers to one send are lost, however often it is sent again.
    LoseAcksOfOneSend,
    /// Two messages that a client sends without waiting in between change places.
    SwapSends,
    /// One subscriber gets everything too late.
    HoldBack,
    /// Whoever sends nonsense is told that all is well.
    Forgive,
    /// Every client is cut off after a while, again and again, and the gateway is not told.
    KeepConnections,
}

/// A frame on its way to a client.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The connection, as the man in the middle counts them.
    pub(super) link: usize,
    pub(super) delay: Duration,
    pub(super) frame: Value,
}

/// The harm as it is being done to all connections of one run.
#[derive(Debug, Default)]
pub(super) struct Tampering {
    harm: Option<Harm>,
    /// How often it was done.
    pub(super) count: usize,
    /// The connection that was first to get a message.
    victim: Option<usize>,
    /// By room: a message that waits for the one that follows it.
    held: HashMap<i64, Value>,
    /// The send whose answers are lost.
    unanswered: Option<Value>,
    leak: Leak,
}

/// Every event by room and number, who has got how much, and who must not get more.
#[derive(Debug, Default)]
struct Leak {
    events: BTreeMap<(i64, i64), Value>,
    delivered: HashMap<(usize, i64), i64>,
    removed: HashSet<(usize, i64)>,
}

impl Tampering {
    pub(super) fn new(harm: Option<Harm>) -> Self {
        Self { harm, ..Self::default() }
    }

    /// What is passed on in place of a frame of the server.
    pub(super) fn answer(&mut self, link: usize, frame: Value) -> Vec<Outgoing> {
        let as_it_is = |frame| Outgoing { link, delay: Duration::ZERO, frame };
        let Some(harm) = self.harm else { return vec![as_it_is(frame)] };
        match harm {
            Harm::Drop | Harm::Repeat | Harm::Swap | Harm::SwapNumbers
                if self.is_for_victim(link, &frame) =>
            {
                self.falsify(harm, frame).into_iter().map(as_it_is).collect()
            }
            Harm::HoldBack if self.is_for_victim(link, &frame) => {
                self.count += 1;
                vec![Outgoing { delay: HOLD, ..as_it_is(frame) }]
            }
            Harm::LoseOneAck | Harm::LoseAcksOfOneSend if self.is_lost(harm, &frame) => Vec::new(),
            Harm::LeakToRemoved => self.leak(link, frame),
            Harm::Forgive
                if frame["code"].as_str().is_some_and(|code| code.starts_with("invalid_")) =>
            {
                self.count += 1;
                vec![as_it_is(json!({"type": "success", "ref": frame["ref"]}))]
            }
            _ => vec![as_it_is(frame)],
        }
    }

    /// Takes note of where a subscription of this connection begins: after what its client has got
    /// on another one.
    pub(super) fn hear(&mut self, link: usize, frame: &str) {
        if !self.does(Harm::LeakToRemoved) {
            return;
        }
        let frame: Value = serde_json::from_str(frame).unwrap_or(Value::Null);
        if frame["type"] == "subscribe"
            && let (Some(room), Some(seq)) =
                (frame["room_id"].as_i64(), frame["after_seq"].as_i64())
        {
            self.leak.delivered.insert((link, room), seq);
        }
    }

    /// Whether these two frames of a client, one sent right after the other, are to change places.
    pub(super) fn swaps(&mut self, first: &str, second: &str) -> bool {
        let parse = |text| serde_json::from_str(text).unwrap_or(Value::Null);
        let (first, second): (Value, Value) = (parse(first), parse(second));
        let are_sends = first["type"] == "send_message" && second["type"] == "send_message";
        let is_done = are_sends && first["room_id"] == second["room_id"];
        self.count += usize::from(is_done);
        is_done
    }

    /// Whether it is this harm that is done.
    pub(super) fn does(&self, harm: Harm) -> bool {
        self.harm == Some(harm)
    }

    fn is_for_victim(&mut self, link: usize, frame: &Value) -> bool {
        if frame["type"] == "message" {
            self.victim.get_or_insert(link);
        }
        self.victim == Some(link)
    }

    fn falsify(&mut self, harm: Harm, frame: Value) -> Vec<Value> {
        let Some((room, seq)) = place_of(&frame) else { return vec![frame] };
        if let Some(held) = self.held.remove(&room) {
            return self.release(harm, held, frame);
        }
        // Every run depends on the last message of a room.
        if frame["type"] != "message" || is_end(&frame) || seq % 3 != 0 {
            return vec![frame];
        }
        match harm {
            Harm::Drop => {
                self.count += 1;
                Vec::new()
            }
            Harm::Repeat => {
                self.count += 1;
                vec![frame.clone(), frame]
            }
            _ => {
                self.held.insert(room, frame);
                Vec::new()
            }
        }
    }

    /// Two neighbours change places, or numbers. An edit or a deletion means nothing before its
    /// message, so it ends the wait only.
    fn release(&mut self, harm: Harm, mut held: Value, mut next: Value) -> Vec<Value> {
        if next["type"] != "message" {
            return vec![held, next];
        }
        self.count += 1;
        if harm == Harm::Swap {
            return vec![next, held];
        }
        let seq = held["message"]["seq"].take();
        held["message"]["seq"] = next["message"]["seq"].take();
        next["message"]["seq"] = seq;
        vec![next, held]
    }

    fn is_lost(&mut self, harm: Harm, frame: &Value) -> bool {
        let is_lost = match &self.unanswered {
            _ if frame["type"] != "ack" => false,
            None => true,
            Some(key) => harm == Harm::LoseAcksOfOneSend && *key == frame["client_msg_id"],
        };
        if is_lost {
            self.count += 1;
            self.unanswered = Some(frame["client_msg_id"].clone());
        }
        is_lost
    }

    fn leak(&mut self, link: usize, frame: Value) -> Vec<Outgoing> {
        let leak = &mut self.leak;
        if frame["type"] == "unsubscribed" {
            let room = frame["room_id"].as_i64().unwrap_or_default();
            leak.removed.insert((link, room));
            return Vec::new();
        }
        let Some((room, seq)) = place_of(&frame) else {
            return vec![Outgoing { link, delay: Duration::ZERO, frame }];
        };
        leak.delivered.insert((link, room), seq);
        leak.events.insert((room, seq), frame.clone());
        let leaked = leak.owed(room);
        self.count += leaked.len();
        let honest = Outgoing { link, delay: Duration::ZERO, frame };
        std::iter::once(honest).chain(leaked).collect()
    }
}

impl Leak {
    /// What those who were removed from a room have not got yet, although somebody has.
    fn owed(&mut self, room: i64) -> Vec<Outgoing> {
        let mut owed = Vec::new();
        for place in self.removed.iter().filter(|place| place.1 == room) {
            let last = self.delivered.get(place).copied().unwrap_or(0);
            for ((_, seq), frame) in self.events.range((room, last + 1)..=(room, i64::MAX)) {
                owed.push(Outgoing { link: place.0, delay: Duration::ZERO, frame: frame.clone() });
                self.delivered.insert(*place, *seq);
            }
        }
        owed
    }
}

/// The room and the number of an event.
fn place_of(frame: &Value) -> Option<(i64, i64)> {
    let message = &frame["message"];
    let (room, seq) = match frame["type"].as_str()? {
        "message" => (&message["room_id"], &message["seq"]),
        "message_edited" => (&message["room_id"], &frame["seq"]),
        "message_deleted" => (&frame["room_id"], &frame["seq"]),
        _ => return None,
    };
    Some((room.as_i64()?, seq.as_i64()?))
}

fn is_end(frame: &Value) -> bool {
    frame["message"]["content"].as_str().is_some_and(|content| content.starts_with(END))
}
